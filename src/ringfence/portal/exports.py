# SPDX-License-Identifier: Apache-2.0
"""Exports of records as jobs: asked for, worked off one after the other, fetched within a day.

A job belongs to who asked for it; only they and admins see it. One thread writes, to a directory of its own
per job below `data_dir/exports`, which is emptied when an office starts. Exports share the disk with the
journal, which must never wait for them: together they stay under a limit, and all stop while the disk still
has room.
"""

import errno
import os
import secrets
import shutil
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
import pyarrow as pa
import structlog

from ringfence.clock import Clock
from ringfence.errors import NotFoundError, RingfenceError, StoreError
from ringfence.ledger.exports import Batches, Form, exporting, parse_columns, write
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import VOS_COLUMNS
from ringfence.ledger.service import stand_back
from ringfence.ledger.store import CdrStore
from ringfence.portal.rights import Caller
from ringfence.settings.model import Role
from ringfence.text import sentence

RESTARTS: Final = 3
"""How often an export begins again because records were let go underneath."""

_ROWS_AT_ONCE: Final = 2000
_TIDY_S: Final = 60.0
_STOP_S: Final = 10.0

_OUR_FAULT: Final = sentence("the export failed for a reason that is our fault")

_log = structlog.get_logger("ringfence.office")


class Ledger(Protocol):
    """Where records are."""

    @property
    def store(self) -> CdrStore:
        """Where to ask for records.

        Raises: StoreError while there is none.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLimits:
    """What exports may take.

    Units: `disk_bytes` is for all files together, those that are being written included; `reserve_bytes` is
    what has to stay free on the disk. `kept_s` counts from the end of a job.
    """

    waiting: int = 20
    waiting_per_caller: int = 3
    kept_per_caller: int = 10
    kept_s: int = 24 * 3600
    disk_bytes: int = 8 << 30
    reserve_bytes: int = 2 << 30


class JobState(Enum):
    """How far an export is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen any more."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """An export at one moment.

    Shape: `owner` is `Caller.actor`. `rows_total` is None until the records are counted. `problem` and `hint`
    say why it failed. `size_bytes` is that of the file once it is done.
    Units: `_us` are UTC microseconds since 1970; the file goes at `expires_us`.
    """

    id: str
    owner: str
    query: CdrQuery
    form: Form
    columns: tuple[str, ...]
    created_us: int
    state: JobState = JobState.QUEUED
    rows_done: int = 0
    rows_total: int | None = None
    size_bytes: int = 0
    restarts: int = 0
    ended_us: int | None = None
    expires_us: int | None = None
    problem: str | None = None
    hint: str | None = None

    @property
    def file_name(self) -> str:
        """How the file is called when it is saved: ASCII, without a separator."""
        created = datetime.fromtimestamp(self.created_us // 1_000_000, UTC)
        return f"ringfence-cdr-{created:%Y%m%dT%H%M%SZ}{self.form.suffix}"


class _Cancelled(Exception):  # noqa: N818 - not an error
    """The job is to end."""


class ExportJobs:
    """Exports of one office. Usable from any thread; `begin` starts the one that writes.

    Shape: `free_bytes` tells what is free on the disk of a directory.
    """

    def __init__(
        self,
        ledger: Ledger,
        data_dir: Path,
        clock: Clock,
        *,
        limits: ExportLimits | None = None,
        free_bytes: Callable[[Path], int] = lambda directory: shutil.disk_usage(directory).free,
    ) -> None:
        self._ledger = ledger
        self._directory = data_dir / "exports"
        self._clock = clock
        self._limits = limits or ExportLimits()
        self._free_bytes = free_bytes
        self._jobs: dict[str, ExportJob] = {}
        self._queue: deque[str] = deque()
        self._to_cancel: set[str] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._worker: threading.Thread | None = None
        # Jobs are known to the process that took them in: what an earlier one left has no owner.
        with suppress(OSError):
            for left in self._directory.iterdir():
                _remove(left)

    def begin(self) -> None:
        """Start to work off jobs in a thread."""
        self._worker = threading.Thread(target=self._work, name="exports", daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """End: the running job is given up, within some seconds but for the last step of a spreadsheet."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.join(_STOP_S)

    def start(self, query: CdrQuery, form: Form, columns: Sequence[str], caller: Caller) -> str:
        """Take in an export, to be run when those before it are over; its id cannot be guessed.

        Shape: no `columns` means all; VOS3000's formats have theirs whatever is asked for.
        Raises: ConfigError("bad_value") for columns that do not exist; StoreError("exports_busy") if too many
        wait, of this caller or in all.
        """
        wanted = VOS_COLUMNS if form in {Form.VOS, Form.VOS_HOURLY} else parse_columns(columns)
        job = ExportJob(
            id=secrets.token_hex(16),
            owner=caller.actor,
            query=query,
            form=form,
            columns=wanted,
            created_us=self._clock.utc_us(),
        )
        with self._changed:
            self._tidy()
            active = [each for each in self._jobs.values() if not each.state.is_over]
            own = sum(each.owner == job.owner for each in active)
            if own >= self._limits.waiting_per_caller:
                raise StoreError(
                    sentence("{own} of your exports are waiting or running already", own=own),
                    hint="wait until one is done, or cancel one",
                    code="exports_busy",
                )
            if len(active) >= self._limits.waiting:
                raise StoreError(
                    sentence("{count} exports are waiting already", count=len(active)),
                    hint="try again later",
                    code="exports_busy",
                )
            self._jobs[job.id] = job
            self._queue.append(job.id)
            self._changed.notify_all()
        return job.id

    def job(self, job_id: str, caller: Caller) -> ExportJob:
        """A job as it is now.

        Raises: NotFoundError if there is none, or it is someone else's.
        """
        with self._changed:
            self._tidy()
            return self._seen(job_id, caller)

    def jobs(self, caller: Caller) -> tuple[ExportJob, ...]:
        """The jobs that the caller may see, newest first: their own, of all callers for an admin."""
        with self._changed:
            self._tidy()
            seen = [job for job in self._jobs.values() if _may_see(job, caller)]
        return tuple(reversed(seen))

    def wait(self, job_id: str, caller: Caller, timeout_s: float) -> ExportJob:
        """The job as soon as it is over, or as it is after so long.

        Raises: as `job`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._seen(job_id, caller).state.is_over, timeout_s)
            return self._seen(job_id, caller)

    def file(self, job_id: str, caller: Caller) -> Path:
        """Where the file of a job is that is done.

        Raises: as `job`; StoreError("export_not_done") if it has no file.
        """
        job = self.job(job_id, caller)
        if job.state is not JobState.DONE:
            raise StoreError(
                sentence("the export has no file: it is {state}", state=sentence(job.state.value)),
                hint="wait until it is done" if not job.state.is_over else "start it again",
                code="export_not_done",
            )
        return self._path(job)

    def cancel(self, job_id: str, caller: Caller) -> ExportJob:
        """Have a job end and leave no file; one that is over stays as it is.

        Shape: a running one is cancelled a moment later, as `wait` shows.
        Raises: as `job`.
        """
        with self._changed:
            job = self._seen(job_id, caller)
            if job.state is JobState.QUEUED:
                self._queue.remove(job_id)
                self._end(job_id, JobState.CANCELLED)
            elif job.state is JobState.RUNNING:
                self._to_cancel.add(job_id)
            return self._jobs[job_id]

    def remove(self, job_id: str, caller: Caller) -> None:
        """Forget a job that is over, and remove its file.

        Raises: as `job`; StoreError("export_not_over") if it waits or runs.
        """
        with self._changed:
            job = self._seen(job_id, caller)
            if not job.state.is_over:
                raise StoreError("the export is not over", hint="cancel it first", code="export_not_over")
            self._forget(job)

    def run_next(self) -> bool:
        """Run the job that has waited longest, in this thread; False if none waits."""
        with self._changed:
            if not self._queue:
                return False
            job_id = self._queue.popleft()
            self._update(job_id, state=JobState.RUNNING)
        directory = self._directory / job_id
        try:
            size_bytes = self._run(job_id, directory)
        except _Cancelled:
            self._give_up(job_id, directory, JobState.CANCELLED, None, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next job must run
            problem, hint = _explained(error)
            _log.warning("export.failed", why=problem, exc_info=problem == _OUR_FAULT)
            self._give_up(job_id, directory, JobState.FAILED, problem, hint)
        else:
            with self._changed:
                rows = self._jobs[job_id].rows_done
                self._end(job_id, JobState.DONE, size_bytes=size_bytes, rows_total=rows)
        return True

    def _work(self) -> None:
        stand_back()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._queue, _TIDY_S)
                if self._stopping:
                    return
                self._tidy()
            self.run_next()

    def _run(self, job_id: str, directory: Path) -> int:
        """Write the file of a job, and say how many bytes it has."""
        while True:
            job = self._jobs[job_id]
            try:
                _make_private(directory)
                self._check_disk(directory)
                store = self._ledger.store
                self._update(job_id, rows_done=0, rows_total=store.count(job.query).rows)
                return self._write(job, directory, store)
            except StoreError as error:
                if error.code != "let_go" or job.restarts >= RESTARTS:
                    raise
            _remove(directory)
            self._update(job_id, restarts=job.restarts + 1)

    def _write(self, job: ExportJob, directory: Path, store: CdrStore) -> int:
        path = self._path(job)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file, exporting(store, job.query) as batches:
            watched = self._watched(job.id, batches, directory)
            write(job.form, watched, file, columns=job.columns, working=directory)
        # The last bytes of a file, and all of a spreadsheet, come after the last row.
        self._look(job.id, directory)
        return path.stat().st_size

    def _watched(self, job_id: str, batches: Batches, directory: Path) -> Iterator[pa.RecordBatch]:
        """The batches in smaller parts; when the next part is asked for, the last is written."""
        done = 0
        for batch in batches:
            for first in range(0, batch.num_rows, _ROWS_AT_ONCE):
                part = batch.slice(first, _ROWS_AT_ONCE)
                self._look(job_id, directory)
                yield part
                done += part.num_rows
                # Records that came since they were counted are written too.
                total = max(self._jobs[job_id].rows_total or 0, done)
                self._update(job_id, rows_done=done, rows_total=total)

    def _look(self, job_id: str, directory: Path) -> None:
        """Whether a running job may go on.

        Raises: _Cancelled; StoreError("exports_full") if it takes too much disk.
        """
        with self._changed:
            if self._stopping or job_id in self._to_cancel:
                raise _Cancelled
        self._check_disk(directory)

    def _check_disk(self, directory: Path) -> None:
        with self._changed:
            taken = sum(job.size_bytes for job in self._jobs.values())
        if taken + _size_bytes(directory) > self._limits.disk_bytes:
            raise StoreError(
                sentence(
                    "exports may take {size} of the disk together, and this one would take more",
                    size=_in_words(self._limits.disk_bytes),
                ),
                hint="choose a shorter time or fewer columns, or remove exports that are no longer needed",
                code="exports_full",
            )
        if self._free_bytes(directory) < self._limits.reserve_bytes:
            raise StoreError(
                sentence(
                    "less than {size} is free on the disk, which the journal needs",
                    size=_in_words(self._limits.reserve_bytes),
                ),
                hint="free some space, then start the export again",
                code="exports_full",
            )

    def _give_up(
        self, job_id: str, directory: Path, state: JobState, problem: str | None, hint: str | None
    ) -> None:
        _remove(directory)
        with self._changed:
            self._end(job_id, state, problem=problem, hint=hint)

    def _end(self, job_id: str, state: JobState, **changed: Any) -> None:
        now_us = self._clock.utc_us()
        self._to_cancel.discard(job_id)
        expires_us = now_us + self._limits.kept_s * 1_000_000
        self._update(job_id, state=state, ended_us=now_us, expires_us=expires_us, **changed)
        self._drop_oldest_but(self._jobs[job_id])

    def _update(self, job_id: str, **changed: Any) -> None:
        with self._changed:
            self._jobs[job_id] = replace(self._jobs[job_id], **changed)
            self._changed.notify_all()

    def _seen(self, job_id: str, caller: Caller) -> ExportJob:
        job = self._jobs.get(job_id)
        if job is None or not _may_see(job, caller):
            raise NotFoundError("there is no such export", hint="exports are kept for a day")
        return job

    def _tidy(self) -> None:
        """Forget what has been over for long enough."""
        now_us = self._clock.utc_us()
        for job in list(self._jobs.values()):
            if job.expires_us is not None and job.expires_us <= now_us:
                self._forget(job)

    def _drop_oldest_but(self, latest: ExportJob) -> None:
        """Forget what has been over for longest of a caller's jobs, beyond those that are kept."""
        over = [
            job
            for job in self._jobs.values()
            if job.owner == latest.owner and job.state.is_over and job.id != latest.id
        ]
        over.sort(key=lambda job: job.ended_us or 0, reverse=True)
        for job in over[self._limits.kept_per_caller - 1 :]:
            self._forget(job)

    def _forget(self, job: ExportJob) -> None:
        del self._jobs[job.id]
        _remove(self._directory / job.id)

    def _path(self, job: ExportJob) -> Path:
        return self._directory / job.id / f"records{job.form.suffix}"


def _may_see(job: ExportJob, caller: Caller) -> bool:
    return job.owner == caller.actor or caller.role is Role.ADMIN


def _make_private(directory: Path) -> None:
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(mode=0o700)


def _remove(path: Path) -> None:
    """Remove a directory and all in it, or a file; what cannot be removed now goes at the next start."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _size_bytes(directory: Path) -> int:
    """What the files in a directory take; sheets come and go below it while it is looked at."""
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                found = (Path(place) / name).lstat()
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def _in_words(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.3g} GiB"


def _explained(error: Exception) -> tuple[str, str | None]:
    """What went wrong in plain words, and what to do."""
    if isinstance(error, RingfenceError):
        return error.told, error.advice
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            sentence("the disk became full; the export was given up and its file removed"),
            sentence("free some space, then start the export again"),
        )
    if isinstance(error, OSError):
        return (
            sentence("the export cannot be written: {why}", why=error.strerror),
            sentence("look at the disk and the data directory"),
        )
    if isinstance(error, duckdb.Error | pa.ArrowException | MemoryError):
        return (
            sentence("the records could not be read"),
            sentence("choose a shorter time, or try again later"),
        )
    return _OUR_FAULT, sentence("report what the office's log says")
