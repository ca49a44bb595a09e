# SPDX-License-Identifier: Apache-2.0
"""`ringfence block`: keep the black and white lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from ringfence.cli.duration import DurationType
from ringfence.cli.output import Value, note
from ringfence.cli.session import Session, with_session
from ringfence.cli.tables import Rows, read_lines, read_rows, shown_name
from ringfence.clock import iso_utc
from ringfence.errors import ConfigError
from ringfence.ids import BlockId
from ringfence.settings import checks
from ringfence.settings.duration import parse_duration
from ringfence.settings.model import Block, BlockDraft, Change, Color, ListName

E = TypeVar("E", bound=Enum)

_COLUMNS = ("id", "list", "color", "value", "reason", "created_at", "expires_at", "actor")
_PAST_COLUMNS = (*_COLUMNS, "removed_at", "removed_by")
_LISTS = click.Choice([name.value for name in ListName])

_list = click.option("--list", "list_name", type=_LISTS, help="What it is compared with.  [default: source]")
_white = click.option("--white", is_flag=True, help="Let through instead of refusing.")
_for = click.option(
    "--for", "for_s", type=DurationType(), help="For how long, such as 2h; else until removed."
)
_reason = click.option("--reason", default="", help="Why, for those who come after.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usual:
    """What an entry has where its row does not say."""

    list_name: ListName
    color: Color
    reason: str
    for_s: int | None


@click.group()
def command() -> None:
    """Keep the black and white lists of sources, callers and callees.

    Sources are IP addresses and networks; callers and callees are number prefixes. An authorised source is
    never blocked. What a blocked source tries is counted all the same.
    """


@command.command("list")
@_list
@click.option("--past", is_flag=True, help="Those that were removed or have expired, newest first.")
@with_session
def list_blocks(session: Session, *, list_name: str | None, past: bool) -> None:
    """List the entries in force."""
    with session.reading() as store:
        blocks = store.lists.past() if past else store.lists.in_force()
    columns = _PAST_COLUMNS if past else _COLUMNS
    rows = [
        [_fields(block)[column] for column in columns]
        for block in blocks
        if list_name is None or block.list.value == list_name
    ]
    session.output.rows(columns, rows, empty="the lists are empty")


@command.command()
@click.argument("entry", metavar="ID|VALUE")
@_list
@with_session
def show(session: Session, *, entry: str, list_name: str | None) -> None:
    """Show one entry, by its id or by its value."""
    with session.reading() as store:
        fields = _fields(_find(store.lists.get, store.lists.find, entry, list_name))
    session.output.record(fields)


@command.command()
@click.argument("values", nargs=-1, required=True, metavar="VALUE...")
@_list
@_white
@_for
@_reason
@with_session
def add(
    session: Session,
    *,
    values: tuple[str, ...],
    list_name: str | None,
    white: bool,
    for_s: int | None,
    reason: str,
) -> None:
    """Put one or more VALUEs on a list: addresses, networks, or with --list caller|callee number prefixes."""
    usual = _usual(list_name, white, for_s, reason)
    drafts = [_draft(value, usual) for value in values]
    with session.changing() as store:
        changes = store.lists.add_all(drafts, actor=session.actor)
        version = store.version()
    _tell(session, changes, version)


@command.command()
@click.argument("entries", nargs=-1, required=True, metavar="ID|VALUE...")
@_list
@with_session
def remove(session: Session, *, entries: tuple[str, ...], list_name: str | None) -> None:
    """Take entries off their list, by id or by value."""
    with session.changing() as store:
        blocks = [_find(store.lists.get, store.lists.find, entry, list_name) for entry in entries]
        for block in blocks:
            change = store.lists.remove(block.id, actor=session.actor)
            note(f"removed entry {block.id}: {block.value}")
    session.announce(change.version)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@_list
@_white
@_for
@_reason
@click.option("--skip-existing", is_flag=True, help="Pass over values that are on the list already.")
@with_session
def import_blocks(
    session: Session,
    *,
    file: Path,
    list_name: str | None,
    white: bool,
    for_s: int | None,
    reason: str,
    skip_existing: bool,
) -> None:
    """Put all values in a FILE on a list, or none if one of them is refused ("-" = stdin).

    The file is CSV whose first line names the columns (value, and where wanted list, color, reason, for),
    or one value a line with # before remarks. The options say what the file leaves open.
    """
    usual = _usual(list_name, white, for_s, reason)
    drafts = _read(read_lines(file), shown_name(file), usual)
    with session.changing() as store:
        if skip_existing:
            there = {(block.list, block.value) for block in store.lists.in_force()}
            wanted = drafts.only(lambda draft: (draft.list, draft.value) not in there)
            note(f"passed over {len(drafts) - len(wanted)} that are on the list already")
            drafts = wanted
        with drafts.naming_lines():
            changes = store.lists.add_all(drafts, actor=session.actor)
        version = store.version()
    _tell(session, changes, version)


def _usual(list_name: str | None, white: bool, for_s: int | None, reason: str) -> _Usual:
    return _Usual(
        list_name=ListName.SOURCE if list_name is None else ListName(list_name),
        color=Color.WHITE if white else Color.BLACK,
        reason=reason,
        for_s=for_s,
    )


def _draft(value: str, usual: _Usual) -> BlockDraft:
    return BlockDraft(
        list=usual.list_name,
        value=checks.list_value(usual.list_name, value),
        color=usual.color,
        reason=usual.reason,
        for_s=usual.for_s,
    )


def _tell(session: Session, changes: Sequence[Change[Block]], version: int) -> None:
    blocks = [change.after for change in changes if change.after is not None]
    for block in blocks[:10]:
        note(f"added entry {block.id}: {block.value} on the {block.color.value} list of {block.list.value}s")
    if len(blocks) > 10:
        note(f"and {len(blocks) - 10} more")
    for_programs = [[_fields(block)[column] for column in _COLUMNS] for block in blocks]
    session.output.outcomes(_COLUMNS, for_programs)
    session.announce(version, changed=bool(blocks))


def _read(text: list[str], name: str, usual: _Usual) -> Rows[BlockDraft]:
    heading = [cell.strip().lower() for cell in text[0].split(",")] if text else []
    if "value" in heading:
        optional = ("list", "color", "reason", "for", "id", "created_at", "expires_at", "actor")
        return read_rows(
            text, name, required=("value",), optional=optional, read=lambda row: _from_cells(row, usual)
        )
    drafts: Rows[BlockDraft] = Rows(name)
    for number, line in enumerate(text, 1):
        value = line.partition("#")[0].strip()
        if value:
            drafts.read(number, partial(_draft, value, usual))
    return drafts


def _from_cells(cells: Mapping[str, str], usual: _Usual) -> BlockDraft:
    for_s = usual.for_s
    if "for" in cells:
        try:
            for_s = parse_duration(cells["for"])
        except ValueError:
            raise ConfigError(
                f"{cells['for']!r} is not a length of time such as 90s, 30m, 2h, 1d12h or 2w",
                code="bad_value",
            ) from None
    return _draft(
        cells["value"],
        _Usual(
            list_name=_one_of(ListName, cells.get("list", usual.list_name.value), "list"),
            color=_one_of(Color, cells.get("color", usual.color.value), "color"),
            reason=cells.get("reason", usual.reason),
            for_s=for_s,
        ),
    )


def _find(
    by_id: Callable[[BlockId], Block],
    by_value: Callable[[ListName, str], Block],
    entry: str,
    list_name: str | None,
) -> Block:
    if list_name is None and entry.isascii() and entry.isdigit():
        return by_id(BlockId(int(entry)))
    return by_value(ListName.SOURCE if list_name is None else ListName(list_name), entry)


def _one_of(kind: type[E], text: str, column: str) -> E:
    try:
        return kind(text.lower())
    except ValueError:
        known = " or ".join(str(member.value) for member in kind)
        raise ConfigError(f"{column} has to be {known}, not {text!r}", code="bad_value") from None


def _time(us: int | None) -> Value:
    return None if us is None else iso_utc(us)


def _fields(block: Block) -> dict[str, Value]:
    return {
        "id": block.id,
        "list": block.list.value,
        "color": block.color.value,
        "value": block.value,
        "reason": block.reason,
        "created_at": _time(block.created_at_us),
        "expires_at": _time(block.expires_at_us),
        "actor": block.actor,
        "removed_at": _time(block.removed_at_us),
        "removed_by": block.removed_by,
    }
