# SPDX-License-Identifier: Apache-2.0
"""Export jobs: who sees them, how they end, what they leave on the disk."""

import csv
import errno
import json
import os
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pytest

from kit.clock import ManualClock
from kit.journal import T0_US, Journal
from kit.ledgers import ledger_of
from ringfence.errors import ConfigError, NotFoundError, StoreError
from ringfence.ledger.exports import Form
from ringfence.ledger.paging import Page
from ringfence.ledger.query import DEFAULT_LIMIT, CdrQuery, Cursor
from ringfence.ledger.schema import COLUMN_NAMES, EMPTY, VOS_COLUMNS
from ringfence.ledger.store import CdrStore, Count, Report
from ringfence.ledger.tail import ROW_SCHEMA
from ringfence.portal.exports import ExportJobs, ExportLimits, JobState
from ringfence.portal.rights import Caller
from ringfence.settings.model import Role

ANN = Caller(name="ann", role=Role.VIEWER)
BEN = Caller(name="ben", role=Role.ANALYST)
ANN_TOKEN = Caller(name="ann", role=Role.VIEWER, is_token=True)
ROOT = Caller(name="root", role=Role.ADMIN)
DAY_S = 24 * 3600
CHANGED = StoreError("records were let go while they were exported", hint="again", code="let_go")


def some_rows(first: int, count: int) -> pa.RecordBatch:
    at = datetime(2026, 11, 22)  # noqa: DTZ001 - as Arrow gives it
    rows = [{**EMPTY, "recorded_at": at, "flowNo": n} for n in range(first, first + count)]
    return pa.RecordBatch.from_pylist(rows, schema=ROW_SCHEMA)


@dataclass(kw_only=True)
class FakeStore:
    """Two batches of records; `between` is called after the first was written, and may raise."""

    first: int = 3
    second: int = 2
    between: Callable[[], object] = lambda: None
    counted: int = 5
    exports: int = 0
    closed: int = 0

    def count(self, query: CdrQuery) -> Count:  # noqa: ARG002 - all is counted
        return Count(rows=self.counted, attempts=self.counted)

    def export(self, query: CdrQuery) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - all is exported
        self.exports += 1
        try:
            yield some_rows(0, self.first)
            self.between()
            yield some_rows(self.first, self.second)
        finally:
            self.closed += 1

    def page(
        self,
        query: CdrQuery,
        *,
        limit: int = DEFAULT_LIMIT,
        below: Cursor | None = None,
        columns: Sequence[str] = COLUMN_NAMES,
    ) -> Page:
        raise NotImplementedError

    def report(self, name: str, query: CdrQuery, *, limit: int = DEFAULT_LIMIT) -> Report:
        raise NotImplementedError


@dataclass(kw_only=True)
class FakeLedger:
    found: CdrStore | None

    @property
    def store(self) -> CdrStore:
        if self.found is None:
            raise StoreError("the ledger is starting", hint="try again in a moment", code="starting")
        return self.found


@dataclass(kw_only=True)
class Desk:
    """Export jobs over a fake store."""

    data_dir: Path
    store: FakeStore = field(default_factory=FakeStore)
    clock: ManualClock = field(default_factory=ManualClock)
    free: int = 1 << 40

    def jobs(self, ledger: FakeLedger | None = None, **limits: Any) -> ExportJobs:
        return ExportJobs(
            ledger or FakeLedger(found=self.store),
            self.data_dir,
            self.clock,
            limits=ExportLimits(**limits),
            free_bytes=lambda _: self.free,
        )

    @property
    def left(self) -> list[Path]:
        """Everything below the directory of exports."""
        return sorted((self.data_dir / "exports").rglob("*"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(data_dir=tmp_path)


def ask(
    jobs: ExportJobs, caller: Caller = ANN, form: Form = Form.CSV, columns: Sequence[str] = ("flowNo",)
) -> str:
    return jobs.start(CdrQuery(), form, columns, caller)


def raising(error: Exception) -> Callable[[], object]:
    def raise_it() -> object:
        raise error

    return raise_it


def test_a_job_waits_then_leaves_a_file_for_its_caller_alone(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs)
    assert jobs.job(job_id, ANN).state is JobState.QUEUED
    with pytest.raises(StoreError) as wrong:
        jobs.file(job_id, ANN)
    assert (wrong.value.code, wrong.value.message) == (
        "export_not_done",
        "the export has no file: it is queued",
    )
    assert jobs.run_next()
    assert not jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert (job.state, job.rows_done, job.rows_total, job.restarts) == (JobState.DONE, 5, 5, 0)
    path = jobs.file(job_id, ANN)
    assert path.read_text() == "flowNo\n0\n1\n2\n3\n4\n"
    assert job.size_bytes == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.is_relative_to(desk.data_dir / "exports")
    assert job.file_name == "ringfence-cdr-20261122T000000Z.csv"
    assert desk.store.closed == 1


def test_the_mode_of_a_file_does_not_depend_on_the_umask(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs)
    before = os.umask(0)
    try:
        jobs.run_next()
    finally:
        os.umask(before)
    path = jobs.file(job_id, ANN)
    assert [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent, path.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]


def test_progress_counts_what_is_written(desk: Desk) -> None:
    jobs = desk.jobs()
    seen = []
    job_id = ask(jobs)
    desk.store.between = lambda: seen.append(jobs.job(job_id, ANN))
    jobs.run_next()
    [job] = seen
    assert (job.state, job.rows_done, job.rows_total) == (JobState.RUNNING, 3, 5)


def test_records_that_come_after_the_count_do_not_make_more_than_all(desk: Desk) -> None:
    desk.store.counted = 1
    jobs = desk.jobs()
    seen = []
    job_id = ask(jobs)
    desk.store.between = lambda: seen.append(jobs.job(job_id, ANN))
    jobs.run_next()
    assert [(job.rows_done, job.rows_total) for job in (*seen, jobs.job(job_id, ANN))] == [(3, 3), (5, 5)]


def test_only_the_caller_and_admins_see_a_job(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs, ANN)
    other = ask(jobs, BEN)
    assert [job.id for job in jobs.jobs(ANN)] == [job_id]
    assert jobs.jobs(ANN_TOKEN) == ()
    assert [job.id for job in jobs.jobs(ROOT)] == [other, job_id]
    assert jobs.job(job_id, ROOT).owner == "user:ann"
    refused: list[Callable[[str, Caller], object]] = [jobs.job, jobs.file, jobs.cancel, jobs.remove]
    for act in refused:
        for stranger in (BEN, ANN_TOKEN):
            with pytest.raises(NotFoundError, match="there is no such export"):
                act(job_id, stranger)
    with pytest.raises(NotFoundError):
        jobs.wait(job_id, BEN, 0)


def test_ids_cannot_be_guessed(desk: Desk) -> None:
    jobs = desk.jobs()
    ids = {ask(jobs, caller) for caller in (ANN, BEN, ROOT)}
    assert len(ids) == 3
    assert all(len(bytes.fromhex(job_id)) == 16 for job_id in ids)


def test_jobs_run_in_their_order(desk: Desk) -> None:
    jobs = desk.jobs()
    first, second = ask(jobs, ANN), ask(jobs, BEN)
    jobs.run_next()
    assert [jobs.job(job_id, ROOT).state for job_id in (first, second)] == [JobState.DONE, JobState.QUEUED]


def test_a_caller_may_have_some_jobs_waiting_and_all_together_some_more(desk: Desk) -> None:
    jobs = desk.jobs(waiting=3, waiting_per_caller=2)
    ask(jobs, ANN)
    ask(jobs, ANN)
    with pytest.raises(StoreError) as wrong:
        ask(jobs, ANN)
    assert (wrong.value.code, wrong.value.message) == (
        "exports_busy",
        "2 of your exports are waiting or running already",
    )
    ask(jobs, BEN)
    with pytest.raises(StoreError) as wrong:
        ask(jobs, ROOT)
    assert (wrong.value.code, wrong.value.message) == ("exports_busy", "3 exports are waiting already")
    jobs.run_next()
    ask(jobs, ROOT)


def test_a_running_job_counts_as_waiting(desk: Desk) -> None:
    jobs = desk.jobs(waiting_per_caller=1)
    desk.store.between = lambda: ask(jobs)
    job_id = ask(jobs)
    jobs.run_next()
    assert jobs.job(job_id, ANN).problem == "1 of your exports are waiting or running already"


def test_columns_that_do_not_exist_are_refused_at_once(desk: Desk) -> None:
    jobs = desk.jobs()
    with pytest.raises(ConfigError):
        ask(jobs, columns=["nope"])
    assert jobs.jobs(ANN) == ()


def test_vos_has_its_own_columns(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs, form=Form.VOS_HOURLY)
    jobs.run_next()
    assert jobs.job(job_id, ANN).columns == VOS_COLUMNS
    with zipfile.ZipFile(jobs.file(job_id, ANN)) as archive:
        assert archive.namelist() == ["cdr/2026112200.txt"]


def test_a_waiting_job_that_is_cancelled_never_runs(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs)
    assert jobs.cancel(job_id, ANN).state is JobState.CANCELLED
    assert not jobs.run_next()
    assert desk.store.exports == 0
    assert jobs.cancel(job_id, ANN).state is JobState.CANCELLED


@pytest.mark.parametrize("form", Form)
def test_a_running_job_that_is_cancelled_leaves_no_file(desk: Desk, form: Form) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs, form=form)
    desk.store.between = lambda: jobs.cancel(job_id, ROOT)
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert (job.state, job.problem, job.rows_done) == (JobState.CANCELLED, None, 3)
    assert desk.left == []
    assert desk.store.closed == 1
    desk.store.between = lambda: None
    again = ask(jobs)
    jobs.run_next()
    assert jobs.job(again, ANN).state is JobState.DONE
    assert jobs.cancel(again, ANN).state is JobState.DONE


def test_a_job_begins_again_when_records_were_let_go(desk: Desk) -> None:
    jobs = desk.jobs()
    errors = [CHANGED, CHANGED, CHANGED]
    desk.store.between = lambda: raising(errors.pop())() if errors else None
    job_id = ask(jobs)
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert (job.state, job.restarts, job.rows_done, desk.store.exports) == (JobState.DONE, 3, 5, 4)
    assert jobs.file(job_id, ANN).read_text() == "flowNo\n0\n1\n2\n3\n4\n"


def test_a_job_begins_again_three_times_at_most(desk: Desk) -> None:
    jobs = desk.jobs()
    desk.store.between = raising(CHANGED)
    job_id = ask(jobs)
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert (job.state, job.restarts, desk.store.exports) == (JobState.FAILED, 3, 4)
    assert (job.problem, job.hint) == ("records were let go while they were exported", "again")
    assert desk.left == []


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk became full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk became full"),
        (OSError(errno.EIO, "Input/output error"), "the export cannot be written: Input/output error"),
        (StoreError("call records cannot be read"), "call records cannot be read"),
        (duckdb.OutOfMemoryException("secret"), "the records could not be read"),
        (RuntimeError("secret"), "the export failed for a reason that is our fault"),
    ],
)
def test_a_job_that_fails_says_why_and_leaves_no_file(desk: Desk, error: Exception, problem: str) -> None:
    jobs = desk.jobs()
    desk.store.between = raising(error)
    job_id = ask(jobs)
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert job.state is JobState.FAILED
    assert (job.problem or "").startswith(problem)
    assert "secret" not in f"{job.problem} {job.hint}"
    assert desk.left == []
    desk.store.between = lambda: None
    again = ask(jobs)
    jobs.run_next()
    assert jobs.job(again, ANN).state is JobState.DONE


@pytest.mark.parametrize("form", [Form.CSV, Form.XLSX])
def test_a_disk_that_is_full_in_truth_is_one_message(
    desk: Desk, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs, form=form)
    real = os.open

    def open_on_a_full_disk(path: str | Path, flags: int, *rest: Any, **more: Any) -> int:
        if isinstance(path, Path) and path.name.startswith("records"):
            return real("/dev/full", os.O_WRONLY)
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", open_on_a_full_disk)
    jobs.run_next()
    assert (jobs.job(job_id, ANN).problem or "").startswith("the disk became full")
    assert desk.left == []


def test_a_directory_that_cannot_be_made_is_said(desk: Desk) -> None:
    (desk.data_dir / "exports").write_text("in the way")
    jobs = desk.jobs()
    job_id = ask(jobs)
    jobs.run_next()
    assert (jobs.job(job_id, ANN).problem or "").startswith("the export cannot be written")


def test_a_ledger_that_is_not_there_yet_is_said(desk: Desk) -> None:
    jobs = desk.jobs(FakeLedger(found=None))
    job_id = ask(jobs)
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert (job.problem, job.hint) == ("the ledger is starting", "try again in a moment")


def test_exports_together_stay_under_their_limit(desk: Desk) -> None:
    jobs = desk.jobs(disk_bytes=30)
    first, second = ask(jobs), ask(jobs)
    jobs.run_next()
    jobs.run_next()
    assert jobs.job(first, ANN).size_bytes == 17
    job = jobs.job(second, ANN)
    assert job.state is JobState.FAILED
    assert "of the disk together, and this one would take more" in (job.problem or "")
    assert len([path for path in desk.left if path.is_file()]) == 1
    jobs.remove(first, ANN)
    third = ask(jobs)
    jobs.run_next()
    assert jobs.job(third, ANN).state is JobState.DONE


def test_sheets_that_are_not_whole_yet_count_too(desk: Desk) -> None:
    desk.store.first = 20_000
    jobs = desk.jobs(disk_bytes=100_000)
    job_id = ask(jobs, form=Form.XLSX, columns=("flowNo", "journal_id"))
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert job.state is JobState.FAILED
    assert 0 < job.rows_done < 20_000
    assert desk.left == []


def test_an_export_stops_while_the_journal_still_has_room(desk: Desk) -> None:
    jobs = desk.jobs(reserve_bytes=2 << 30)
    job_id = ask(jobs)

    def fill_up() -> None:
        desk.free = (2 << 30) - 1

    desk.store.between = fill_up
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert job.state is JobState.FAILED
    assert job.problem == "less than 2 GiB is free on the disk, which the journal needs"
    assert desk.left == []
    assert ask(jobs)
    jobs.run_next()
    assert desk.store.exports == 1


def test_a_file_goes_after_a_day(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs)
    desk.clock.advance(100)
    jobs.run_next()
    job = jobs.job(job_id, ANN)
    assert (job.ended_us, job.expires_us) == (desk.clock.utc_us(), desk.clock.utc_us() + DAY_S * 1_000_000)
    desk.clock.advance(DAY_S - 1)
    assert jobs.file(job_id, ANN).exists()
    desk.clock.advance(1)
    assert jobs.jobs(ANN) == ()
    assert desk.left == []
    with pytest.raises(NotFoundError):
        jobs.job(job_id, ANN)


def test_a_job_that_waits_does_not_go(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs)
    desk.clock.advance(2 * DAY_S)
    assert jobs.job(job_id, ANN).state is JobState.QUEUED


def test_what_an_earlier_office_left_is_removed(desk: Desk) -> None:
    elsewhere = desk.data_dir / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    left = desk.data_dir / "exports" / "0123"
    left.mkdir(parents=True)
    (left / "records.csv").touch()
    (left.parent / "stray").touch()
    (left.parent / "link").symlink_to(elsewhere)
    desk.jobs()
    assert desk.left == []
    assert (elsewhere / "kept").exists()


def test_the_oldest_jobs_of_a_caller_make_room(desk: Desk) -> None:
    jobs = desk.jobs(kept_per_caller=2)
    ids = []
    for _ in range(4):
        ids.append(ask(jobs))
        jobs.run_next()
        desk.clock.advance(1)
    other = ask(jobs, BEN)
    jobs.run_next()
    assert [job.id for job in jobs.jobs(ROOT)] == [other, ids[3], ids[2]]
    assert len([path for path in desk.left if path.is_file()]) == 3
    cancelled = ask(jobs)
    jobs.cancel(cancelled, ANN)
    assert [job.id for job in jobs.jobs(ANN)] == [cancelled, ids[3]]


def test_a_job_is_removed_only_when_it_is_over(desk: Desk) -> None:
    jobs = desk.jobs()
    job_id = ask(jobs)
    with pytest.raises(StoreError) as wrong:
        jobs.remove(job_id, ANN)
    assert wrong.value.code == "export_not_over"
    jobs.run_next()
    jobs.remove(job_id, ANN)
    assert jobs.jobs(ANN) == ()
    assert desk.left == []


def test_a_thread_works_jobs_off_until_it_is_stopped(desk: Desk) -> None:
    jobs = desk.jobs()
    before = ask(jobs)
    jobs.begin()
    after = ask(jobs)
    assert [jobs.wait(job_id, ANN, 20).state for job_id in (before, after)] == [JobState.DONE] * 2
    jobs.stop()
    waiting = ask(jobs)
    assert jobs.wait(waiting, ANN, 0).state is JobState.QUEUED


def test_stopping_gives_up_the_running_job(desk: Desk) -> None:
    jobs = desk.jobs()
    running, stopped = threading.Event(), threading.Event()

    def block() -> None:
        running.set()
        assert stopped.wait(20)

    desk.store.between = block
    job_id = ask(jobs)
    jobs.begin()
    assert running.wait(20)
    stopper = threading.Thread(target=jobs.stop)
    stopper.start()
    jobs_stopping(jobs)
    stopped.set()
    stopper.join(20)
    assert jobs.job(job_id, ANN).state is JobState.CANCELLED
    assert desk.left == []


def jobs_stopping(jobs: ExportJobs) -> None:
    """Wait until `stop` was called."""
    with jobs._changed:
        assert jobs._changed.wait_for(lambda: jobs._stopping, 20)


@pytest.mark.parametrize("form", Form)
def test_real_records_come_out_in_each_format(tmp_path: Path, form: Form) -> None:
    journal = Journal()
    for n in range(30):
        journal.refuse(T0_US + n, callee=f"=00{n}")
    with ledger_of(journal, tmp_path / "cdr", ManualClock(T0_US + 60_000_000)) as ledger:
        jobs = ExportJobs(
            FakeLedger(found=ledger.store), tmp_path, ManualClock(), free_bytes=lambda _: 1 << 40
        )
        job_id = jobs.start(CdrQuery(callee="=002*"), form, ("flowNo", "calleeE164"), ANN)
        jobs.run_next()
        job = jobs.job(job_id, ANN)
        assert (job.problem, job.rows_done, job.rows_total) == (None, 11, 11)
        content = jobs.file(job_id, ANN)
    assert content.name == f"records{form.suffix}"
    callees = ["=002", *(f"=00{n}" for n in range(20, 30))]
    if form is Form.CSV:
        with content.open(newline="") as file:
            assert [row["calleeE164"] for row in csv.DictReader(file)] == [f"'{callee}" for callee in callees]
    elif form is Form.JSON:
        assert [row["calleeE164"] for row in json.loads(content.read_text())] == callees
    elif form is Form.XLSX:
        book = openpyxl.load_workbook(content)
        rows = list(book.worksheets[0].iter_rows(min_row=2, values_only=True))
        assert [row[1] for row in rows] == callees
    assert [path for path in (tmp_path / "exports").rglob("*") if path.is_file()] == [content]
