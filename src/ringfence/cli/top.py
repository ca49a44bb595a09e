# SPDX-License-Identifier: Apache-2.0
"""`ringfence top`: watch the switch at work."""

import sys
import time
from collections.abc import Callable, Iterator

import click

from ringfence.cli.books import WAYS
from ringfence.cli.live import Sample, balance_lines, take_sample
from ringfence.cli.output import Value
from ringfence.cli.session import Session, with_session
from ringfence.clock import iso_utc


@click.command()
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds.",
)
@click.option(
    "--count", type=click.IntRange(1, 1_000_000), help="Print so many rows instead of a live screen."
)
@with_session
def command(session: Session, *, interval_s: float, count: int | None) -> None:
    """Watch the switch at work: the balance and the counters, with rates per second.

    Where stdout is no terminal, or with --count, rates are printed as rows: one, or as many as --count says.
    """

    def ask() -> Sample:
        return take_sample(session.data_dir)

    first = ask()
    if count is None and sys.stdout.isatty():
        # A second of imports that nothing else needs.
        from ringfence.cli.screen import LiveScreen  # noqa: PLC0415

        LiveScreen(ask, interval_s=interval_s).run()
        return
    columns = ("at", "read", *WAYS, "socket_drops", "difference")
    rows = rate_rows(first, ask, lambda: time.sleep(interval_s), count or 1)
    session.output.rows(columns, rows)


def rate_rows(
    first: Sample, ask: Callable[[], Sample], wait: Callable[[], None], count: int
) -> Iterator[list[Value]]:
    """Rates per second between one sample and the next, `count` times; last the difference of the books."""
    before = first
    for _ in range(count):
        wait()
        now = ask()
        rates = [round(line.per_s, 1) for line in balance_lines(before, now)]
        yield [iso_utc(now.books.at_us), *rates, now.books.difference]
        before = now
