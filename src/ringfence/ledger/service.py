# SPDX-License-Identifier: Apache-2.0
"""The ledger's threads in the office: one takes in and seals, one keeps house, one lays beside, one sums up.

They are several so that new rows do not wait while old ones are merged, nor reports for what is new.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import structlog

from ringfence.clock import Clock
from ringfence.errors import StoreError
from ringfence.ledger import maintenance
from ringfence.ledger.geography import know_areas
from ringfence.ledger.maintenance import Limits, Parameters
from ringfence.ledger.manifest import LetGo
from ringfence.ledger.pipeline import Ledger, Pace, Progress
from ringfence.ledger.reader import cdr_directory, journal_sources, last_seq
from ringfence.ledger.reports import Reports
from ringfence.ledger.schema import EDGE, KINDS
from ringfence.ledger.store import ParquetStore

_POLL_S: Final = 0.1
_WORTH_A_STEP: Final = 2_000
"""Frames for which a step goes on at once: to take in a few costs nearly as much as to take in many."""
_RETRY_S: Final = 2.0
_MAINTAIN_EVERY_S: Final = 60.0
_SUMMARISE_EVERY_S: Final = 1.0
_SUM_UP_EVERY_S: Final = 0.25
_COUNT_EVERY_S: Final = 1.0
_NICE: Final = 10

_log = structlog.get_logger()

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How the ledger is doing.

    Shape: `lag_s` is how old the newest frame taken in was when it was taken in, 0 while nothing waits;
    `pending` are frames in the journal that are not taken in yet, as far as its sealed segments tell. `error`
    is what stops it or keeps it from tidying up, None while all is well.
    """

    progress: Progress | None = None
    lag_s: float = 0.0
    pending: int = 0
    segments: int = 0
    bytes_by_kind: Mapping[str, int] | None = None
    rows_by_kind: Mapping[str, int] | None = None
    rollup_attempts: int = 0
    error: str | None = None


class LedgerService:
    """Runs a ledger on a thread of its own.

    Shape: `store` and `stats` serve any thread. A ledger that fails is closed, its error shown, and opened
    again shortly after; what was sealed stays sealed and nothing is taken in twice.
    """

    def __init__(
        self, data_dir: Path, clock: Clock, parameters: Parameters, *, node: str, pace: Pace | None = None
    ) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._parameters = parameters
        self._node = node
        self._pace = pace
        self._stopping = threading.Event()
        self._ledger: Ledger | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-opener")
        self._missing_said = 0
        self._untidy: str | None = None
        self.stats = Stats()

    @property
    def store(self) -> ParquetStore:
        """Where to ask.

        Raises: StoreError("starting") while there is no ledger.
        """
        ledger = self._ledger
        if ledger is None:
            raise StoreError(
                self.stats.error or "the ledger is starting", hint="try again in a moment", code="starting"
            )
        return ledger.store

    @property
    def reports(self) -> Reports:
        """What adds rows up.

        Raises: StoreError("starting") while there is no ledger.
        """
        return Reports(self.store)

    @property
    def ledger(self) -> Ledger | None:
        """The ledger; None while it is being opened."""
        return self._ledger

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the step under way and end; what is not sealed is read again at the next start."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # A thread of its own each time: one that has stood back cannot come forward again, and the engine
            # that it opens would serve those who ask as slowly.
            attempt = threading.Thread(target=self._attempt, name="ledger")
            attempt.start()
            attempt.join()

    def _attempt(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt starts clean
            self.stats = replace(self.stats, error=str(error))
            _log.error("ledger.failed", error=str(error), kind=type(error).__name__)
            self._stopping.wait(_RETRY_S)

    def _serve(self) -> None:
        ledger = Ledger(
            cdr_directory(self._data_dir),
            journal_sources(self._data_dir),
            self._clock,
            node=self._node,
            pace=self._pace,
        )
        if ledger.removed:
            _log.info("ledger.cleaned", files=len(ledger.removed))
        # Not before: the engine's own threads, which serve those who ask too, begin with this one's priority.
        stand_back()
        self._ledger = ledger
        ending = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ledger, ending), name="ledger-keeper")
        keeper.start()
        maker = threading.Thread(target=self._lay_beside, args=(ledger, ending), name="ledger-beside")
        maker.start()
        summer = threading.Thread(target=self._sum_up, args=(ledger, ending), name="ledger-tail")
        summer.start()
        try:
            counted_s = float("-inf")
            while not self._stopping.is_set():
                came = ledger.step()
                now_s = self._clock.monotonic_s()
                if now_s - counted_s >= _COUNT_EVERY_S or came == 0:
                    counted_s = now_s
                    self._count(ledger)
                if came < _WORTH_A_STEP:
                    self._stopping.wait(_POLL_S)
        finally:
            self._ledger = None
            ending.set()
            keeper.join()
            maker.join()
            summer.join()
            ledger.close()

    def _lay_beside(self, ledger: Ledger, ending: threading.Event) -> None:
        """Write what is to lie beside new segments as they come; rows are read wherever it is missing."""
        stand_back()
        know_areas()
        said: set[str] = set()
        while not (ending.wait(_SUMMARISE_EVERY_S) or self._stopping.is_set()):
            try:
                maintenance.lay_beside(ledger, self._stopping.is_set)
            except Exception as error:  # noqa: BLE001 - it is tried again, and reports do without
                told = {f"{type(fault).__name__}: {fault}" for fault in _single(error)}
                for fault in told - said:
                    _log.error("ledger.beside_missing", error=fault)
                said = told

    def _sum_up(self, ledger: Ledger, ending: threading.Event) -> None:
        """Sum up what is not sealed yet; without standing back, for all who ask would have to count."""
        said: set[str] = set()
        while not (ending.wait(_SUM_UP_EVERY_S) or self._stopping.is_set()):
            try:
                ledger.sum_up_tail()
            except duckdb.CatalogException:
                continue  # An epoch was dropped meanwhile: it is sealed.
            except Exception as error:  # noqa: BLE001 - it is tried again, and reports do without
                told = f"{type(error).__name__}: {error}"
                if told not in said:
                    _log.error("ledger.tail_not_summed", error=told)
                said = {told}

    def _keep(self, ledger: Ledger, ending: threading.Event) -> None:
        """Tidy every minute; what fails is told and tried again."""
        stand_back()
        while not (ending.wait(_MAINTAIN_EVERY_S) or self._stopping.is_set()):
            faults = self._maintain(ledger)
            told = list(dict.fromkeys(str(fault) for fault in faults))
            self._untidy = f"old records cannot be merged or let go: {'; '.join(told)}" if told else None
            for fault in faults:
                _log.error("ledger.untidy", error=str(fault), kind=type(fault).__name__)

    def _maintain(self, ledger: Ledger) -> list[Exception]:
        """Keep house once; what failed. Space is freed first, and no step waits for another to succeed."""
        faults: list[Exception] = []
        known = set(ledger.manifest.let_go)

        def tried(step: Callable[..., Result], *arguments: object) -> Result | None:
            try:
                return step(*arguments)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other steps are due all the same
                faults.extend(_single(error))
                return None

        sums: tuple[LetGo, ...] | None = None
        limits = tried(lambda: Limits.of(self._parameters.parameters()))
        tried(maintenance.unlink_retired, ledger, self._clock)
        if limits is not None:
            tried(maintenance.let_journal_go, ledger, self._data_dir, self._clock, limits)
            tried(maintenance.let_rows_go, ledger, self._clock, limits)
            sums = tried(maintenance.let_sums_go, ledger, self._clock, limits)
        # Summing up may have taken longer than files wait for their readers.
        tried(maintenance.unlink_retired, ledger, self._clock)
        merged = tried(maintenance.merge_segments, ledger, self._clock)
        tried(maintenance.merge_rollups, ledger, self._clock)
        archived = tried(maintenance.archive_journal, self._data_dir, limits) if limits is not None else None
        if merged or archived:
            _log.info("ledger.tidied", merged=merged or 0, archived=archived or 0)
        for note in (*ledger.manifest.let_go, *(sums or ())):
            if note not in known:
                _log.info(
                    "ledger.let_go", kind=note.kind, rows=note.rows, attempts=note.attempts, bytes=note.size
                )
        return faults

    def _count(self, ledger: Ledger) -> None:
        progress = ledger.progress
        if progress.missing > self._missing_said:
            _log.error(
                "ledger.unreadable",
                frames=progress.missing - self._missing_said,
                hint="a part of the journal cannot be read; `ringfence ledger verify` says where",
            )
        self._missing_said = progress.missing
        listed = ledger.manifest
        pending = 0 if progress.is_at_end else max(last_seq(self._data_dir, EDGE) - progress.edge_read, 0)
        lag_s = 0.0 if progress.is_at_end else max(self._clock.utc_us() - progress.newest_frame_us, 0) / 1e6
        self.stats = Stats(
            progress=progress,
            lag_s=lag_s,
            pending=pending,
            segments=len(listed.segments),
            bytes_by_kind=_by_kind((segment.kind, segment.size) for segment in listed.segments),
            rows_by_kind=_by_kind((segment.kind, segment.rows) for segment in listed.segments),
            rollup_attempts=sum(rollup.attempts for rollup in listed.rollups),
            error=self._untidy,
        )


def stand_back() -> None:
    """Have this thread wait for the switch and those who ask; what it is late with lies in the journal."""
    own = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + _NICE)


def _single(error: Exception) -> list[Exception]:
    """What an error is made of."""
    if isinstance(error, ExceptionGroup):
        return [one for inner in error.exceptions for one in _single(inner)]
    return [error]


def _by_kind(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums = dict.fromkeys(KINDS, 0)
    for kind, number in pairs:
        sums[kind] += number
    return sums
