# SPDX-License-Identifier: Apache-2.0
"""`ringfence cdr`: list, count and export call records; works whether or not anything is running."""

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

from ringfence.cli.moment import MomentType
from ringfence.cli.output import Format, Output, Value, note
from ringfence.cli.session import Session, config_option, data_option, with_session
from ringfence.cli.steps import steps
from ringfence.errors import ConfigError, StoreError
from ringfence.ledger.exports import Form, exporting, first_rows, plain, write, write_hours
from ringfence.ledger.geography import COUNTRIES
from ringfence.ledger.query import (
    DEFAULT_LIMIT,
    CdrQuery,
    Cursor,
    parse_country,
    parse_dialled,
    parse_source,
)
from ringfence.ledger.reader import LedgerReader, open_reader
from ringfence.ledger.reasons import REASON_BY_NAME, BillingMode
from ringfence.ledger.schema import COLUMN_NAMES, LISTED, Cdr
from ringfence.settings.node import Overrides, load
from ringfence.settings.spelling import did_you_mean

SHOWN: Final = (
    "time",
    "kind",
    "source",
    "gateway",
    "method",
    "caller",
    "callee",
    "user_agent",
    "reason",
    "end_reason",
    "answer",
    "attempts",
)
"""Columns of the table; JSON and CSV have every column of the record."""


def _countries(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return sorted(country for country in COUNTRIES if country.startswith(incomplete.upper()))


def _reasons(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in REASON_BY_NAME if name.startswith(incomplete)]


def filters(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the conditions, and the query made of them as `query`."""

    @click.option("--illegal", is_flag=True, help="Calls from unauthorised sources.")
    @click.option("--events", is_flag=True, help="What strangers sent other than calls.")
    @click.option(
        "--billing-mode", type=int, metavar="N", help="-9 illegal, 0 phone, 1 gateway, -1 unbilled."
    )
    @click.option("--since", type=MomentType(), metavar="T", help="From this time on, UTC, or so long ago.")
    @click.option("--until", type=MomentType(), metavar="T", help="Before this time, UTC, or so long ago.")
    @click.option("--source", metavar="CIDR", help="Source address or network.")
    @click.option("--caller", metavar="X", help="Caller number; with * at the end, its beginning.")
    @click.option("--callee", metavar="X", help="Callee number; with * at the end, its beginning.")
    @click.option("--account", metavar="A", help="Account.")
    @click.option("--country", metavar="CC", shell_complete=_countries, help="Country of the source: NL.")
    @click.option("--dialled", metavar="DIGITS", help="The number called begins so, at its country code: 44.")
    @click.option(
        "--dialled-country", metavar="CC", shell_complete=_countries, help="Country of the number called: IL."
    )
    @click.option("--reason", metavar="R", shell_complete=_reasons, help="Why it was refused.")
    @click.option("--min-duration", type=click.IntRange(min=0), metavar="S", help="Talk time, s.")
    @click.option(
        "--pending", is_flag=True, help="Also challenges younger than 34 s, which may still be answered."
    )
    @functools.wraps(function)
    def command(
        *args: Any,
        illegal: bool,
        events: bool,
        billing_mode: int | None,
        since: int | None,
        until: int | None,
        source: str | None,
        caller: str | None,
        callee: str | None,
        account: str | None,
        country: str | None,
        dialled: str | None,
        dialled_country: str | None,
        reason: str | None,
        min_duration: int | None,
        pending: bool,
        **arguments: Any,
    ) -> None:
        if reason is not None and reason not in REASON_BY_NAME:
            raise ConfigError(
                f"there is no reason {reason!r}",
                hint=did_you_mean(reason, REASON_BY_NAME) or f"one of {', '.join(REASON_BY_NAME)}",
                code="bad_value",
            )
        if billing_mode is not None and billing_mode not in set(BillingMode):
            raise ConfigError(
                f"there is no billing mode {billing_mode}",
                hint=f"one of {', '.join(str(mode) for mode in sorted(BillingMode))}",
                code="bad_value",
            )
        if since is not None and until is not None and since >= until:
            raise ConfigError(
                "--until is not after --since, so nothing can match", hint="swap the two", code="bad_value"
            )
        query = CdrQuery(
            kinds=frozenset([*(["illegal"] if illegal else []), *(["event"] if events else [])]),
            billing_mode=billing_mode,
            since_us=since,
            until_us=until,
            source=None if source is None else parse_source(source),
            caller=caller,
            callee=callee,
            account=account,
            country=None if country is None else parse_country(country),
            dialled=None if dialled is None else parse_dialled(dialled),
            dialled_country=None if dialled_country is None else parse_country(dialled_country),
            reason=reason,
            min_duration_s=min_duration,
            pending=pending,
        )
        function(*args, query=query, **arguments)

    return command


@click.group()
def command() -> None:
    """List, count or export call records."""


@command.command("list")
@filters
@click.option("--limit", type=click.IntRange(1, 100_000), default=DEFAULT_LIMIT, show_default=True)
@click.option("--below", metavar="PLACE", help="Go on below this place, as the last page named it.")
@with_session
def list_command(session: Session, *, query: CdrQuery, limit: int, below: str | None) -> None:
    """Show the newest records that match, newest first.

    The table has the columns that one looks at; JSON and CSV have every column of the record.
    """
    start = None if below is None else Cursor.parse(below)
    with opened(session) as reader:
        is_table = session.output.form is Format.TABLE
        columns = (*LISTED, "callerGateway", "gateway_id") if is_table else COLUMN_NAMES
        page = reader.store.page(query, limit=limit, below=start, columns=columns)
    if is_table:
        unnamed = any(row.gateway_id and not row.callerGateway for row in page.rows)
        names = _gateway_names(session) if unnamed else {}
        session.output.rows(SHOWN, [shown(row, names) for row in page.rows], empty="no records match")
    else:
        session.output.rows(COLUMN_NAMES, (values(row) for row in page.rows))
    if page.older is not None and below is not None:
        note(f"older: --below {page.older}")
    elif page.older is not None:
        note(f"there are older ones: --limit N shows more, --below {page.older} goes on")


@command.command("count")
@filters
@click.option("--attempts", is_flag=True, help="Sum the attempts that the records stand for.")
@with_session
def count_command(session: Session, *, query: CdrQuery, attempts: bool) -> None:
    """Count the records that match, exactly."""
    with opened(session) as reader:
        found = reader.store.count(query)
    if session.output.form is Format.TABLE:
        click.echo(found.attempts if attempts else found.rows)
    else:
        session.output.record({"records": found.rows, "attempts": found.attempts})


@command.command("export")
@data_option
@config_option
@filters
@click.option("--limit", type=click.IntRange(min=1), help="So many records at most.  [default: all]")
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Form]),
    default=Form.CSV.value,
    show_default=True,
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File.  [default: stdout]")
@click.option(
    "--hours",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --format vos: a directory, for one file per hour.",
)
def export_command(
    *,
    data: Path | None,
    config: Path | None,
    query: CdrQuery,
    limit: int | None,
    form: str,
    output: Path | None,
    hours: Path | None,
) -> None:
    """Write every record that matches, oldest first, with all columns.

    The formats vos and vos-hourly have the 35 fields of VOS3000, separated by |.
    """
    session = Session(config=load(config, Overrides(data=data)), output=Output(Format.CSV))
    wanted = Form(form)
    if hours is not None and (wanted is not Form.VOS or output is not None):
        raise ConfigError(
            "--hours is for --format vos without --output",
            hint="vos-hourly puts the same files into one ZIP",
            code="bad_value",
        )
    if not wanted.is_text and output is None and sys.stdout.isatty():
        raise ConfigError(
            f"{wanted.value} is not for terminals", hint="name a file with --output", code="bad_value"
        )
    with opened(session) as reader, exporting(reader.store, query) as batches:
        rows = first_rows(batches, limit)
        if hours is not None:
            with _openable(hours):
                hours.mkdir(parents=True, exist_ok=True)
                write_hours(rows, lambda hour: (hours / f"{hour}.txt").open("wb"))
            return
        with _binary(output) as file:
            write(wanted, rows, file)


@contextmanager
def _binary(path: Path | None) -> Iterator[IO[bytes]]:
    if path is None:
        try:
            yield sys.stdout.buffer
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ConfigError(
                f"the output cannot be written: {error.strerror}", hint="name a file with --output"
            ) from error
        return
    with _openable(path), path.open("wb") as file:
        yield file


@contextmanager
def _openable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", hint="choose another file"
        ) from error


def _gateway_names(session: Session) -> dict[int, str]:
    """What mapping gateways are called now, by number; none where the settings cannot be read."""
    try:
        with session.reading() as store:
            return {gateway.id: gateway.name for gateway in store.gateways.all()}
    except StoreError:
        return {}


def shown(row: Cdr, gateways: Mapping[int, str]) -> list[Value]:
    """A record as a line of the table.

    Shape: where the edge refused a gateway it wrote its number only; that is said by the name it has now, or
    as "#7" if it is gone.
    """
    number = f"#{row.gateway_id}" if row.gateway_id else ""
    return [
        f"{row.recorded_at:%Y-%m-%dT%H:%M:%S}.{row.recorded_at.microsecond // 1000:03d}Z",
        row.kind,
        row.callerip,
        row.callerGateway or gateways.get(row.gateway_id, number),
        row.method,
        row.callerAccessE164,
        row.calleeAccessE164,
        row.user_agent,
        row.reason,
        row.endReason,
        row.sip_status or "silence",
        row.attempts,
    ]


def values(row: Cdr) -> list[Value]:
    """A record with all its columns, each as something that text can hold without loss."""
    return [plain(name, getattr(row, name)) for name in COLUMN_NAMES]


@contextmanager
def opened(session: Session) -> Iterator[LedgerReader]:
    """A reader of the session's records; a long journal above them shows as progress."""
    with (
        steps("reading the journal") as report,
        open_reader(session.data_dir, node=session.config.name, report=report) as reader,
    ):
        if reader.missing:
            note(
                f"{reader.missing} frames of the journal cannot be read: `ringfence ledger verify` says where"
            )
        yield reader
