# SPDX-License-Identifier: Apache-2.0
"""`ringfence route state`: whether vendors have taken our registrations and are there, as the switch says."""

import click

from ringfence.cli.output import Format, Value, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc
from ringfence.control.client import NOT_RUNNING, ControlClient
from ringfence.control.standing import LiveVendors, VendorState
from ringfence.errors import ControlError
from ringfence.settings.calls_model import RoutingGateway

_COLUMNS = (
    "name",
    "registration",
    "registered_until",
    "next_try",
    "registration_failure",
    "health",
    "health_since",
    "last_answer",
    "lines_in_use",
    "calls_this_second",
    "asr_percent",
    "acd_s",
)
"""Columns of the table; JSON and CSV have everything."""


@click.command("state")
@click.argument("name", required=False)
@with_session
def state(session: Session, *, name: str | None) -> None:
    """Say how we stand with vendors now: registration, OPTIONS, lines, calls. With NAME that one only."""
    with session.reading() as store:
        routes = store.routing_gateways.all() if name is None else (store.routing_gateways.get(name),)
    live = live_vendors(session)
    found = [{"name": route.name, "id": route.id, **state_fields(route, live)} for route in routes]
    if name is not None:
        session.output.record(found[0])
        return
    columns = _COLUMNS if session.output.form is Format.TABLE or not found else tuple(found[0])
    rows = [[fields[column] for column in columns] for fields in found]
    session.output.rows(
        columns, rows, empty="no routing gateway yet: `ringfence route add NAME ADDRESS` adds one"
    )


def live_vendors(session: Session) -> LiveVendors | None:
    """What the switch says of vendors; None, and a remark, if none runs.

    Raises: ControlError if one runs and does not answer.
    """
    try:
        with ControlClient(session.data_dir) as client:
            return LiveVendors.of(client.vendors(), client.call_counts())
    except ControlError as error:
        if error.code != NOT_RUNNING:
            raise
        note(error.message)
        return None


def state_fields(route: RoutingGateway, live: LiveVendors | None) -> dict[str, Value]:
    """How we stand with a vendor, field by field; None = there is none, or nobody can say."""
    standing = VendorState.of(route, live)
    ours, asked, load = standing.ours, standing.asked, standing.load
    return {
        "registration": standing.registration.value,
        "registrar": None if ours is None else ours.registrar,
        "registered_until": None if ours is None else _moment(ours.until_us),
        "next_try": None if ours is None else _moment(ours.next_us),
        "registration_status": ours.status or None if ours is not None else None,
        "registration_failures": None if ours is None else ours.failures,
        "registration_failure": ours.why or None if ours is not None else None,
        "health": standing.health.value,
        "health_since": None if asked is None else _moment(asked.since_us),
        "unanswered": None if asked is None else asked.failures,
        "last_status": asked.status or None if asked is not None else None,
        "last_answer": None if asked is None else _moment(asked.answered_us),
        "lines_in_use": None if load is None else load.lines,
        "calls_this_second": None if load is None else load.calls_this_second,
        "calls_today": None if load is None else load.calls_today,
        "asr_percent": load.asr_percent if load is not None and load.calls_today else None,
        "acd_s": load.acd_s if load is not None and load.answered_today else None,
    }


def _moment(us: int) -> str | None:
    return iso_utc(us) if us else None
