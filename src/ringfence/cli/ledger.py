# SPDX-License-Identifier: Apache-2.0
"""`ringfence ledger`: prove the call records, or make them again from the journal."""

from contextlib import ExitStack

import click

from ringfence import core
from ringfence.cli.lock import hold_lock
from ringfence.cli.output import Format, Value, note
from ringfence.cli.session import Session, with_session
from ringfence.cli.steps import steps
from ringfence.clock import SystemClock, iso_utc
from ringfence.errors import StoreError
from ringfence.ledger import manifest
from ringfence.ledger.reader import cdr_directory, expect_data
from ringfence.ledger.rebuild import Rebuilt, discard, rebuild, swap
from ringfence.ledger.schema import KINDS, STREAMS
from ringfence.ledger.source import stream_directory
from ringfence.ledger.verify import verify


@click.group()
def command() -> None:
    """Prove the call records, or make them again from the journal."""


@command.command("verify")
@with_session
def verify_command(session: Session) -> None:
    """Check that everything is there, and that it is what was written.

    The journal's hash chain, every file of records, and that no frame was passed over. Ends with exit code 1
    if anything is wrong.
    """
    with ExitStack() as shown:
        found = verify(session.data_dir, lambda title: shown.enter_context(steps(title)))
    columns = ("stream", "segments", "archived", "frames", "first_seq", "last_seq", "let_go", "disk_bytes")
    if session.output.form is Format.TABLE:
        session.output.rows(columns, [[getattr(check, name) for name in columns] for check in found.streams])
        click.echo(f"{found.files} files with {found.rows} records of {found.attempts} attempts")
        for fault in found.faults:
            note(f"wrong: {fault}")
        click.echo("wrong" if found.faults else "all is well")
    else:
        fields: dict[str, Value] = {
            f"{check.stream}_{name}": getattr(check, name) for check in found.streams for name in columns[1:]
        }
        session.output.record(
            {
                **fields,
                "files": found.files,
                "records": found.rows,
                "attempts": found.attempts,
                "faults": tuple(found.faults),
                "is_well": not found.faults,
            }
        )
    if found.faults:
        raise StoreError(
            f"{len(found.faults)} faults were found",
            hint="`ringfence ledger rebuild` makes records again from what the journal holds",
            code="faults",
        )


@command.command("rebuild")
@click.option("--compare", is_flag=True, help="Only compare; leave the present records in place.")
@click.option("--force", is_flag=True, help="Replace them even if records are lost by it.")
@with_session
def rebuild_command(session: Session, *, compare: bool, force: bool) -> None:
    """Make the call records again from the journal, and put them in place of the present ones.

    The present ones stay beside them until the next rebuild. The switch may run; the office must not, unless
    with --compare. Where the journal is damaged and the present records may hold what it no longer gives,
    they are left in place.
    """
    data_dir = session.data_dir
    expect_data(data_dir)
    with ExitStack() as held:
        if not compare:
            held.enter_context(hold_lock(data_dir / "office.lock", "an office"))
        with steps("rebuilding") as report:
            made = rebuild(data_dir, SystemClock(), node=session.config.name, report=report)
        is_swapped = not compare and (force or not made.may_lose)
        before = swap(data_dir) if is_swapped else None
        if before is None:
            discard(data_dir)
    _tell(session, made)
    for path in made.unreadable:
        note(f"{path} could not be read: its records are there again only if the journal has them")
    if made.missing or made.short:
        note(f"{made.missing + made.short} frames of the journal cannot be read")
    if before is not None:
        note(f"the records before are in {before}")
    elif not compare:
        raise StoreError(
            "the journal may not give all the records that are in place, so they were left there",
            hint="`ringfence ledger verify` says what is damaged; rebuild --force replaces them all the same",
            code="fewer",
        )
    if compare and not made.is_same:
        raise StoreError(
            "the records in place are not those that the journal gives",
            hint="`ringfence ledger verify` says what is wrong; without --compare, rebuild replaces them",
            code="differs",
        )


def _tell(session: Session, made: Rebuilt) -> None:
    columns = ("kind", "records", "attempts", "records_before", "attempts_before", "is_same")
    rows: list[list[Value]] = []
    for kind in KINDS:
        new = made.new.kinds.get(kind, (0, 0, 0))
        old = (0, 0, 0) if made.old is None else made.old.kinds.get(kind, (0, 0, 0))
        rows.append([kind, new[0], new[1], old[0], old[1], new == old])
    session.output.rows(columns, rows)


@command.command("status")
@with_session
def status_command(session: Session) -> None:
    """Show what is sealed into files, and how far that is.

    Records of the last minutes are read from the journal; they are in no count here.
    """
    listed = manifest.load(cdr_directory(session.data_dir))
    fields: dict[str, Value] = {"generation": listed.generation}
    for stream, mark in ((0, listed.edge), (1, listed.calls)):
        name = STREAMS[stream]
        segments = core.segments(stream_directory(session.data_dir, stream))
        fields[f"{name}_journal"] = mark.journal_id or None
        fields[f"{name}_sealed"] = mark.sealed
        fields[f"{name}_sealed_at"] = iso_utc(mark.sealed_time_us) if mark.sealed else None
        fields[f"{name}_journal_segments"] = len(segments)
        fields[f"{name}_journal_bytes"] = sum(segment.disk_bytes for segment in segments)
    for kind in KINDS:
        of_kind = [segment for segment in listed.segments if segment.kind == kind]
        fields[f"{kind}_records"] = sum(segment.rows for segment in of_kind)
        fields[f"{kind}_attempts"] = sum(segment.attempts for segment in of_kind)
        fields[f"{kind}_files"] = len(of_kind)
        fields[f"{kind}_bytes"] = sum(segment.size for segment in of_kind)
        fields[f"{kind}_oldest"] = (
            iso_utc(min(segment.min_time_us for segment in of_kind)) if of_kind else None
        )
    fields["summed_up_attempts"] = sum(rollup.attempts for rollup in listed.rollups)
    fields["let_go_records"] = sum(note.rows for note in listed.let_go)
    session.output.record(fields)
