# SPDX-License-Identifier: Apache-2.0
"""`ringfence books`: whether every message that was read is accounted for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from ringfence.cli.output import Format, Value, note
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc
from ringfence.control.client import NOT_RUNNING, ControlClient
from ringfence.control.messages import Books
from ringfence.errors import ControlError

WAYS: Final = ("admitted", "recorded", "challenged", "folded", "absorbed", "unrecordable")
"""The ways that a message can go, in the order of the balance."""


@click.command()
@with_session
def command(session: Session) -> None:
    """Show the balance of this run: what was read, and which way each message went.

    Without a running switch it is the last balance that the journal holds.
    """
    try:
        with ControlClient(session.data_dir) as client:
            books = client.books()
    except ControlError as error:
        if error.code != NOT_RUNNING:
            raise
        kept = last_books(session.data_dir, session.config.name)
        if kept is None:
            raise ControlError(
                f"{error.message}, and its journal holds no balance", hint=error.hint, code=error.code
            ) from error
        note("no switch is running here: this is the last balance in the journal")
        books = kept
    if session.output.form is Format.TABLE:
        _print(books)
    else:
        session.output.record(fields(books))


def last_books(data_dir: Path, node: str) -> Books | None:
    """The newest balance in the journal; None if there is none.

    Raises: StoreError.
    """
    # Reading the journal takes the native core and Arrow; asking a live switch does not.
    from ringfence.core import COUNTERS  # noqa: PLC0415
    from ringfence.ledger import reader  # noqa: PLC0415

    found = reader.last_books(data_dir)
    if found is None:
        return None
    # A run of an older version may have had fewer counters: they are only ever added at the end.
    counters = dict(zip(COUNTERS, found.counters, strict=False))
    return books_of(counters, node=node, run=found.run, at_us=found.time_us)


def books_of(counters: Mapping[str, int], *, node: str, run: int, at_us: int) -> Books:
    """The balance out of the counters of the edge."""
    return Books(
        node=node,
        run=run,
        at_us=at_us,
        read=counters["read"],
        **{way: counters[way] for way in WAYS},
        socket_drops=counters.get("socket_drops_strangers", 0) + counters.get("socket_drops_known", 0),
    )


def fields(books: Books) -> dict[str, Value]:
    """The balance as one flat object."""
    ways = {way: getattr(books, way) for way in WAYS}
    return {
        "node": books.node,
        "run": books.run,
        "at": iso_utc(books.at_us),
        "read": books.read,
        **ways,
        "accounted": books.accounted,
        "difference": books.difference,
        "is_balanced": books.difference == 0,
        "socket_drops": books.socket_drops,
    }


def verdict(books: Books) -> str:
    """Whether the books balance, in words."""
    if books.difference == 0:
        return "balanced"
    return f"{abs(books.difference)} {'missing' if books.difference > 0 else 'too many'}"


def _print(books: Books) -> None:
    lines = [("read", books.read, "")]
    lines += [(f"{'=' if way == WAYS[0] else '+'} {way}", getattr(books, way), "") for way in WAYS]
    lines += [
        ("sum", books.accounted, verdict(books)),
        ("socket drops", books.socket_drops, "beside the balance"),
    ]
    widest = max(len(str(number)) for _, number, _ in lines)
    click.echo(f"node {books.node}, run {books.run}, {iso_utc(books.at_us)}")
    for name, number, remark in lines:
        click.echo(f"  {name:<14}  {number:>{widest}}  {remark}".rstrip())
