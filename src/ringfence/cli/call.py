# SPDX-License-Identifier: Apache-2.0
"""`ringfence call`: the calls that are live now."""

import click

from ringfence.cli.output import Format, Value, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc
from ringfence.control.client import ControlClient
from ringfence.control.messages import CALLS_LIMIT, LiveCall

_COLUMNS = ("id", "state", "caller", "callee", "from", "to", "started", "talk_s")
"""Columns of the table; JSON and CSV have every field."""

call_id = click.argument("call_id", metavar="ID", type=click.IntRange(min=1))


@click.group()
def command() -> None:
    """Look at live calls, and end them. Calls that are over are call records: `ringfence cdr list`."""


@command.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, CALLS_LIMIT),
    default=1000,
    show_default=True,
    help="At most so many, the oldest first.",
)
@with_session
def list_calls(session: Session, *, limit: int) -> None:
    """List live calls, the oldest first."""
    with ControlClient(session.data_dir) as client:
        found = client.calls(limit)
    if session.output.form is Format.TABLE:
        rows = [[_short(call, found.at_us)[column] for column in _COLUMNS] for call in found.calls]
        session.output.rows(_COLUMNS, rows, empty="no call is live")
    else:
        session.output.rows(_ALL_COLUMNS, [list(_fields(call, found.at_us).values()) for call in found.calls])
    if found.total > len(found.calls):
        note(f"{found.total - len(found.calls)} more calls are live: raise --limit to see them")


@command.command()
@call_id
@with_session
def show(session: Session, *, call_id: int) -> None:
    """Show one live call."""
    with ControlClient(session.data_dir) as client:
        call = client.call(call_id)
        at_us = client.calls(1).at_us
    session.output.record(_fields(call, at_us))


@command.command()
@call_id
@with_session
def hangup(session: Session, *, call_id: int) -> None:
    """End a live call: both sides get a BYE, or the caller a 503 if nobody has answered."""
    with ControlClient(session.data_dir) as client:
        client.hang_up(call_id)
    note(f"hung up call {call_id}")
    session.output.outcome({"id": call_id})


def _short(call: LiveCall, at_us: int) -> dict[str, Value]:
    return {
        "id": call.id,
        "state": call.state,
        "caller": call.caller,
        "callee": call.callee,
        "from": call.gateway or f"phone {call.phone}",
        "to": call.callee_gateway or f"phone {call.callee_number}",
        "started": iso_utc(call.started_us),
        "talk_s": _talk_s(call, at_us),
    }


def _fields(call: LiveCall, at_us: int) -> dict[str, Value]:
    return {
        "id": call.id,
        "state": call.state,
        "caller": call.caller,
        "caller_access": call.caller_access,
        "callee": call.callee,
        "callee_access": call.callee_access,
        "gateway": call.gateway or None,
        "phone": call.phone or None,
        "source": call.source,
        "callee_gateway": call.callee_gateway or None,
        "callee_number": call.callee_number,
        "attempts": call.attempts,
        "call_id": call.call_id,
        "callee_call_id": call.callee_call_id,
        "started": iso_utc(call.started_us),
        "answered": iso_utc(call.answered_us) if call.answered_us else None,
        "talk_s": _talk_s(call, at_us),
    }


_ALL_COLUMNS = (
    *LiveCall.__struct_fields__[: LiveCall.__struct_fields__.index("started_us")],
    "started",
    "answered",
    "talk_s",
)


def _talk_s(call: LiveCall, at_us: int) -> int | None:
    """Whole seconds since the answer; None before it."""
    return max(0, at_us - call.answered_us) // 1_000_000 if call.answered_us else None
