# SPDX-License-Identifier: Apache-2.0
"""`ringfence trace`: the last messages of calls as ladders, or as a capture file."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

from ringfence.cli.moment import MomentType
from ringfence.cli.output import Format, Value, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc
from ringfence.control.client import ControlClient
from ringfence.control.messages import TRACE_CALLS, TRACE_LIMIT, Traced, TraceRequest
from ringfence.errors import ConfigError
from ringfence.ledger.cells import json_text
from ringfence.ledger.query import parse_source
from ringfence.ledger.schema import Cdr
from ringfence.text import visible
from ringfence.trace import pcap, terminal
from ringfence.trace.document import document
from ringfence.trace.ladder import Ladder, ladders

SHOWN: Final = 20
_PIPED_WIDTH: Final = 100
_CELL: Final = 80
_COLUMNS: Final = (
    "call",
    "at",
    "after_s",
    "from",
    "to",
    "transport",
    "call_id",
    "label",
    "cseq",
    "is_repeat",
    "size_bytes",
    "note",
)


@click.command()
@click.option("--call", "call_id", metavar="ID", help="The call with this Call-ID, of either leg.")
@click.option("--number", metavar="N", help="Calls from or to this number; with * at the end, its beginning.")
@click.option("--source", metavar="IP", help="Calls that this address or network took part in.")
@click.option("--since", type=MomentType(), metavar="T", help="From this time on, UTC, or so long ago.")
@click.option("--until", type=MomentType(), metavar="T", help="Before this time, UTC, or so long ago.")
@click.option("--limit", type=click.IntRange(1, TRACE_CALLS), default=SHOWN, show_default=True)
@click.option(
    "--pcap",
    "capture",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="F",
    help="Write a capture file for Wireshark instead; - is stdout.",
)
@with_session
def command(
    session: Session,
    *,
    call_id: str | None,
    number: str | None,
    source: str | None,
    since: int | None,
    until: int | None,
    limit: int,
    capture: Path | None,
) -> None:
    """Show the last messages of calls as they went over the wire, with what the switch decided.

    The running switch holds them in memory (RF_TRACE_BYTES), credentials masked; only what authorised sources
    exchange with it. Without a condition: the newest calls. OPTIONS and REGISTER are shown to who asks for a
    number, an address or a Call-ID.
    """
    if source is not None:
        parse_source(source)
    asked = TraceRequest(
        call_ids=() if call_id is None else (call_id,),
        number=number,
        source=source,
        since_us=since,
        until_us=until,
        calls=limit,
        limit=TRACE_LIMIT,
    )
    with ControlClient(session.data_dir) as client:
        found = client.trace(asked)
    if capture is not None:
        _write(capture, found)
    elif session.output.form is Format.JSON:
        _json(made(session, found))
    elif session.output.form is Format.CSV:
        rows = [row for place, ladder in enumerate(made(session, found), 1) for row in _rows(place, ladder)]
        session.output.rows(_COLUMNS, rows)
    else:
        _show(made(session, found))
    _remark(found)


def made(session: Session, found: Traced) -> tuple[Ladder, ...]:
    """The calls, with what their records say that the switch decided."""
    calls = ladders(found.entries)
    ids = [call_id for call in calls if call.method == "INVITE" for call_id in call.call_ids[:1]]
    return ladders(found.entries, _records(session, ids)) if ids else calls


def _records(session: Session, call_ids: Sequence[str]) -> list[Cdr]:
    # Reading records takes a second; whoever wants a capture does not wait for it.
    from ringfence.cli.cdr import opened  # noqa: PLC0415
    from ringfence.ledger.query import CdrQuery  # noqa: PLC0415

    with opened(session) as reader:
        return [
            row
            for call_id in call_ids
            for row in reader.store.page(CdrQuery(call_id=call_id, pending=True), limit=1).rows
        ]


def _show(calls: Sequence[Ladder]) -> None:
    width = shutil.get_terminal_size((_PIPED_WIDTH, 24)).columns
    for place, ladder in enumerate(calls):
        if place:
            click.echo()
        who = f"{_short(ladder.caller)} -> {_short(ladder.callee)}"
        click.echo(f"{iso_utc(ladder.began_us)}  {_short(ladder.method)}  {who}  {ladder.outcome}")
        for call_id in ladder.call_ids:
            click.echo(f"Call-ID {_short(call_id)}")
        if ladder.is_begun_before:
            click.echo("its beginning is not in memory any more")
        click.echo()
        for line in terminal.lines(ladder, width):
            click.echo(line)


def _short(text: str) -> str:
    safe = visible(text[: _CELL + 1])
    return safe if len(safe) <= _CELL else f"{safe[: _CELL - 1]}…"


def _json(calls: Sequence[Ladder]) -> None:
    click.echo(
        "[" + ",".join(f"\n  {json_text(document(ladder))}" for ladder in calls) + ("\n]" if calls else "]")
    )


def _rows(place: int, ladder: Ladder) -> Iterator[Sequence[Value]]:
    steps: list[dict[str, Any]] = document(ladder)["steps"]
    for step in steps:
        yield [place, *(step.get(column) for column in _COLUMNS[1:])]


def _write(path: Path, found: Traced) -> None:
    with _opened(path) as file:
        for piece in pcap.packets(found.entries):
            file.write(piece)
    count = sum(entry.kind in {"received", "sent"} for entry in found.entries)
    note(f"{count} messages written")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        if sys.stdout.isatty():
            raise ConfigError(
                "a capture is not for terminals", hint="name a file with --pcap", code="bad_value"
            )
        yield sys.stdout.buffer
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", hint="choose another file"
        ) from error


def _remark(found: Traced) -> None:
    if not found.is_on:
        note("no messages are kept: `ringfence param set RF_TRACE_BYTES 33554432` keeps the newest 32 MiB")
    elif not found.entries:
        since = "it is empty" if found.oldest_us is None else f"it reaches back to {iso_utc(found.oldest_us)}"
        note(f"no messages of such a call are in memory: {since}")
    elif found.is_cut:
        note("there are older ones: --limit, --since and --until choose others")
