# SPDX-License-Identifier: Apache-2.0
"""The ledger's thread: it takes in, reports, survives what fails, and stops."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kit.native import DiskJournal
from ringfence.clock import SystemClock
from ringfence.errors import StoreError
from ringfence.ledger import engine, maintenance, service
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reader import cdr_directory
from ringfence.ledger.service import LedgerService
from ringfence.settings.parameters import defaults

PATIENCE_S = 20.0


class Defaults:
    def parameters(self) -> Mapping[str, int]:
        return defaults()


@pytest.fixture
def journal(tmp_path: Path) -> DiskJournal:
    return DiskJournal(tmp_path, now_us=SystemClock().utc_us())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[LedgerService]:
    made = LedgerService(tmp_path, SystemClock(), Defaults(), node="n1")
    yield made
    made.stop()


def wait_for(is_so: Callable[[], bool]) -> None:
    """Look until it is so; a test that waits in vain fails."""
    turn = threading.Event()
    for _ in range(int(PATIENCE_S / 0.01)):
        if is_so():
            return
        turn.wait(0.01)
    pytest.fail("it never came to be")


def rows(running: LedgerService) -> int:
    try:
        return running.store.count(CdrQuery()).rows
    except StoreError:
        return -1


def test_a_frame_becomes_a_row_while_it_runs(journal: DiskJournal, running: LedgerService) -> None:
    journal.refuse(10)
    running.start()
    wait_for(lambda: rows(running) == 10)
    journal.refuse(5)
    wait_for(lambda: rows(running) == 15)
    wait_for(lambda: running.stats.progress is not None and running.stats.progress.frames_held == 15)
    assert running.stats.error is None
    assert (running.stats.lag_s, running.stats.pending) == (0.0, 0)


def test_before_it_runs_it_says_that_it_starts(running: LedgerService) -> None:
    with pytest.raises(StoreError, match="starting"):
        _ = running.store
    running.start()


def test_it_tries_again_after_a_failure_and_tells_of_it(
    journal: DiskJournal, running: LedgerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_RETRY_S", 0.01)
    directory = cdr_directory(journal.data_dir)
    directory.mkdir()
    (directory / "manifest.json").write_bytes(b"{")
    journal.refuse(3)
    running.start()
    wait_for(lambda: running.stats.error is not None)
    assert "manifest.json" in (running.stats.error or "")
    (directory / "manifest.json").unlink()
    wait_for(lambda: rows(running) == 3)
    wait_for(lambda: running.stats.error is None)


KEEPING = (
    "unlink_retired",
    "let_journal_go",
    "let_rows_go",
    "unlink_retired",
    "merge_segments",
    "merge_rollups",
    "archive_journal",
)


def test_it_keeps_house_by_the_parameters_and_frees_space_first(
    journal: DiskJournal, running: LedgerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in set(KEEPING):
        real = getattr(maintenance, name)

        def kept(*args: object, name: str = name, real: Callable[..., object] = real) -> object:
            done.append(name)
            return real(*args)

        monkeypatch.setattr(maintenance, name, kept)
    monkeypatch.setattr(service, "_MAINTAIN_EVERY_S", 0.0)
    journal.refuse(1)
    running.start()
    wait_for(lambda: len(done) >= len(KEEPING))
    assert tuple(done[: len(KEEPING)]) == KEEPING
    assert running.stats.error is None


def test_a_step_that_fails_is_told_and_keeps_no_other_from_being_done(
    journal: DiskJournal, running: LedgerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in set(KEEPING):

        def failing(*_: object, name: str = name) -> None:
            done.append(name)
            raise ExceptionGroup("both", [OSError(f"no space for {name}"), OSError("nor here")])

        monkeypatch.setattr(maintenance, name, failing)
    monkeypatch.setattr(service, "_MAINTAIN_EVERY_S", 0.01)
    journal.refuse(1)
    running.start()
    wait_for(lambda: len(done) >= len(KEEPING))
    assert tuple(done[: len(KEEPING)]) == KEEPING
    wait_for(lambda: running.stats.error is not None)
    assert running.stats.error is not None
    assert "no space for let_rows_go; " in running.stats.error
    assert running.stats.error.count("nor here") == 1
    assert rows(running) == 1


def test_it_waits_for_those_who_ask(journal: DiskJournal, running: LedgerService) -> None:
    journal.refuse(1)
    running.start()
    wait_for(lambda: rows(running) == 1)
    threads = [thread for thread in threading.enumerate() if thread.name in ("ledger", "ledger-keeper")]
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert len(threads) == 2
    for thread in threads:
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) > own


def test_an_engine_that_is_opened_again_waits_for_nobody_either(
    journal: DiskJournal, running: LedgerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_RETRY_S", 0.01)
    opened_at: list[int] = []
    connect = engine.connect

    def noted(directory: Path, **options: Any) -> duckdb.DuckDBPyConnection:
        # The engine that merges has no threads of its own.
        if options.get("threads", engine.THREADS) > 1:
            opened_at.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return connect(directory, **options)

    step = Ledger.step

    def failing_at_first(ledger: Ledger) -> int:
        if len(opened_at) == 2:
            raise OSError("the disk is gone")
        return step(ledger)

    monkeypatch.setattr(engine, "connect", noted)
    monkeypatch.setattr(Ledger, "step", failing_at_first)
    journal.refuse(3)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    running.start()
    wait_for(lambda: rows(running) == 3)
    assert opened_at == [own] * 4
