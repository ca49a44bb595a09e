# SPDX-License-Identifier: Apache-2.0
"""Ledgers for tests: over a journal in memory, small, on a manual clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.clock import ManualClock
from kit.journal import T0_US, Journal
from ringfence.ledger.pipeline import Ledger, Pace
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import Cdr
from ringfence.ledger.store import ParquetStore

PACE = Pace(read_frames=50, cut_frames=10, cut_busy_frames=5, cut_busy_us=3_000_000, cut_us=60_000_000)


@contextmanager
def ledger_of(
    journal: Journal, directory: Path, clock: ManualClock | None = None, pace: Pace = PACE
) -> Iterator[Ledger]:
    """A ledger that has taken in what is visible of a journal."""
    ledger = Ledger(directory, journal.source(), clock or ManualClock(T0_US), node="n1", pace=pace)
    try:
        take_in(ledger)
        yield ledger
    finally:
        ledger.close()


def take_in(ledger: Ledger) -> None:
    """Read all there is."""
    while ledger.step():
        pass


def seal_all(ledger: Ledger, clock: ManualClock) -> None:
    """Let so much time pass that everything can be sealed, and seal it."""
    take_in(ledger)
    clock.advance(3600)
    ledger.seal()
    assert ledger.progress.frames_held == 0


def all_rows(store: ParquetStore, query: CdrQuery | None = None) -> list[Cdr]:
    """Every row that matches, pending ones unless a query is given, newest first."""
    return list(store.page(query or CdrQuery(pending=True), limit=100_000).rows)
