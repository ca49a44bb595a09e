# SPDX-License-Identifier: Apache-2.0
"""The ledger over a journal on disk: reading beside the office, verifying, rebuilding, letting go."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kit.clock import ManualClock
from kit.journal import T0_US, ended
from kit.ledgers import PACE, all_rows, seal_all, take_in
from kit.native import DiskJournal
from ringfence import core
from ringfence.errors import StoreError
from ringfence.ledger import maintenance, manifest
from ringfence.ledger.maintenance import Limit, Limits
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reader import Report, cdr_directory, journal_sources, last_books, open_reader
from ringfence.ledger.rebuild import rebuild, swap
from ringfence.ledger.schema import CALLS, EDGE, Cdr
from ringfence.ledger.segments import merged_span
from ringfence.ledger.source import stream_directory
from ringfence.ledger.verify import verify
from ringfence.settings.parameters import defaults

SMALL = replace(PACE, read_frames=10)


@pytest.fixture
def journal(tmp_path: Path) -> DiskJournal:
    return DiskJournal(tmp_path)


@contextmanager
def office(data_dir: Path, clock: ManualClock) -> Iterator[Ledger]:
    ledger = Ledger(cdr_directory(data_dir), journal_sources(data_dir), clock, node="n1", pace=SMALL)
    try:
        take_in(ledger)
        yield ledger
    finally:
        ledger.close()


def sealed(data_dir: Path) -> ManualClock:
    """Have an office seal everything; the clock after that."""
    clock = ManualClock(T0_US)
    with office(data_dir, clock) as ledger:
        seal_all(ledger, clock)
    return clock


def read_all(data_dir: Path) -> list[Cdr]:
    with open_reader(data_dir, node="n1") as reader:
        return all_rows(reader.store)


def silent(_: str) -> Report:
    return nothing


def nothing(_done: int, _whole: int) -> None:
    """Report nothing."""


def test_a_reader_needs_neither_office_nor_records(journal: DiskJournal) -> None:
    journal.refuse(20)
    journal.end_call(ended())
    rows = read_all(journal.data_dir)
    assert len(rows) == 21
    assert rows[0].call_id == "\\xff19"
    assert not cdr_directory(journal.data_dir).exists()


def test_a_reader_of_an_empty_directory_finds_nothing(tmp_path: Path) -> None:
    assert read_all(tmp_path) == []
    assert last_books(tmp_path) is None


def test_a_reader_adds_the_journal_to_the_segments(journal: DiskJournal) -> None:
    journal.refuse(20)
    sealed(journal.data_dir)
    journal.pass_time(7200)
    journal.refuse(5)
    with open_reader(journal.data_dir, node="n1") as reader:
        assert reader.store.count(CdrQuery()).rows == 25
        assert reader.view.manifest.edge.sealed == 20


def test_a_reader_finds_its_way_when_segments_were_merged_underneath(journal: DiskJournal) -> None:
    journal.refuse(100)
    clock = sealed(journal.data_dir)
    with open_reader(journal.data_dir, node="n1") as reader:
        before = all_rows(reader.store)
        with office(journal.data_dir, clock) as ledger:
            assert maintenance.merge_segments(ledger, clock)
            clock.advance(60)
            maintenance.unlink_retired(ledger, clock)
        assert all_rows(reader.store) == before


def test_the_last_books_are_found_though_frames_follow(journal: DiskJournal) -> None:
    journal.edge.books(time_us=T0_US, counters=[1, 2])
    journal.edge.books(time_us=T0_US + 1, counters=[5, 6, 7])
    journal.edge.commit(T0_US)
    journal.refuse(10)
    journal.rotate()
    journal.refuse(10)
    found = last_books(journal.data_dir)
    assert found is not None
    assert (found.counters, found.time_us, found.run) == ((5, 6, 7), T0_US + 1, journal.edge.run)


def test_verify_is_content_with_what_was_written(journal: DiskJournal) -> None:
    journal.refuse(30)
    journal.end_call(ended())
    sealed(journal.data_dir)
    found = verify(journal.data_dir, silent)
    assert found.faults == []
    assert (found.rows, found.streams[EDGE].frames, found.streams[CALLS].frames) == (31, 30, 1)


def test_verify_names_what_is_damaged(journal: DiskJournal) -> None:
    journal.refuse(30)
    journal.rotate()
    sealed(journal.data_dir)
    listed = manifest.load(cdr_directory(journal.data_dir))
    gone, cut = (cdr_directory(journal.data_dir) / segment.path for segment in listed.segments[:2])
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    [segment, *_] = core.segments(stream_directory(journal.data_dir, EDGE))
    content = bytearray(Path(segment.path).read_bytes())
    content[600] ^= 1
    Path(segment.path).write_bytes(content)
    faults = verify(journal.data_dir, silent).faults
    assert len(faults) == 3
    for path in (gone, cut, Path(segment.path)):
        assert any(str(path) in fault for fault in faults)


def test_verify_finds_frames_that_were_never_taken_in(journal: DiskJournal) -> None:
    journal.refuse(30)
    sealed(journal.data_dir)
    directory = cdr_directory(journal.data_dir)
    content = (directory / manifest.NAME).read_bytes()
    (directory / manifest.NAME).write_bytes(content.replace(b'"first":1,"last":30', b'"first":1,"last":29'))
    [fault] = verify(journal.data_dir, silent).faults
    assert "30" in fault


def test_a_rebuild_gives_the_same_rows(journal: DiskJournal) -> None:
    journal.refuse(30)
    journal.end_call(ended())
    journal.rotate()
    journal.refuse(30, method="OPTIONS")
    clock = sealed(journal.data_dir)
    with office(journal.data_dir, clock) as ledger:
        maintenance.merge_segments(ledger, clock)
    maintenance.archive_journal(journal.data_dir, Limits())
    before = read_all(journal.data_dir)
    made = rebuild(journal.data_dir, clock, node="n1", report=nothing)
    assert made.is_same
    assert made.new.rows == 61
    swap(journal.data_dir)
    assert read_all(journal.data_dir) == before
    assert verify(journal.data_dir, silent).faults == []


def test_a_rebuild_shows_that_a_row_was_changed(journal: DiskJournal) -> None:
    journal.refuse(30)
    clock = sealed(journal.data_dir)
    directory = cdr_directory(journal.data_dir)
    listed = manifest.load(directory)
    with office(journal.data_dir, clock) as ledger:
        made = ledger.write_segments(
            "(SELECT * REPLACE ('1.1.1.1' AS callerip) FROM read_parquet($paths))",
            merged_span(listed.segments[:1]),
            {"paths": [str(directory / listed.segments[0].path)]},
        )
    (directory / made[0].path).replace(directory / listed.segments[0].path)
    assert not rebuild(journal.data_dir, clock, node="n1", report=nothing).is_same


def test_a_rebuild_makes_records_where_the_manifest_is_lost(journal: DiskJournal) -> None:
    journal.refuse(30)
    clock = sealed(journal.data_dir)
    before = read_all(journal.data_dir)
    (cdr_directory(journal.data_dir) / manifest.NAME).write_bytes(b"gone")
    with pytest.raises(StoreError):
        read_all(journal.data_dir)
    assert rebuild(journal.data_dir, clock, node="n1", report=nothing).old is None
    swap(journal.data_dir)
    assert read_all(journal.data_dir) == before


def test_a_rebuild_keeps_rows_that_the_journal_no_longer_holds(journal: DiskJournal) -> None:
    """The second segment begins with what belongs to frames of the first one."""
    journal.refuse(40)
    journal.rotate()
    journal.edge.increment(time_us=journal.now_us, base_seq=40, count=5)
    journal.refuse(40)
    journal.pass_time(300)
    journal.refuse(40)
    clock = sealed(journal.data_dir)
    before = read_all(journal.data_dir)
    [first, *_] = core.segments(stream_directory(journal.data_dir, EDGE))
    Path(first.path).unlink()
    made = rebuild(journal.data_dir, clock, node="n1", report=nothing)
    assert made.is_same
    assert 40 < made.kept < 120
    swap(journal.data_dir)
    assert read_all(journal.data_dir) == before
    assert verify(journal.data_dir, silent).faults == []


def test_a_rebuild_does_not_bring_back_what_was_let_go(journal: DiskJournal) -> None:
    journal.refuse(40, step_us=10_000_000)
    clock = sealed(journal.data_dir)
    with office(journal.data_dir, clock) as ledger:
        age_us = clock.utc_us() - T0_US - 200_000_000
        assert maintenance.let_rows_go(ledger, clock, Limits(illegal=Limit(age_us=age_us)))
    before = read_all(journal.data_dir)
    assert 0 < len(before) < 40
    made = rebuild(journal.data_dir, clock, node="n1", report=nothing)
    assert made.is_same
    swap(journal.data_dir)
    assert read_all(journal.data_dir) == before


def damage(path: Path) -> None:
    """Make a journal segment unreadable behind its header."""
    content = bytearray(path.read_bytes())
    content[200:] = b"\0" * (len(content) - 200)
    path.write_bytes(content)


@pytest.mark.parametrize("index", [1, -1], ids=["in the middle", "at the end"])
def test_a_rebuild_tells_when_the_journal_gives_less_than_the_records_hold(
    journal: DiskJournal, index: int
) -> None:
    for _ in range(3):
        journal.refuse(10)
        journal.pass_time(600)
        journal.rotate()
    clock = sealed(journal.data_dir)
    assert not rebuild(journal.data_dir, clock, node="n1", report=nothing).may_lose
    full = [s for s in core.segments(stream_directory(journal.data_dir, EDGE)) if s.first_seq <= 30]
    damage(Path(full[index].path))
    made = rebuild(journal.data_dir, clock, node="n1", report=nothing)
    assert made.may_lose
    assert made.missing + made.short == 10
    assert not made.is_same


def test_records_that_are_not_listed_cannot_be_lost(journal: DiskJournal) -> None:
    journal.refuse(10)
    journal.rotate()
    journal.refuse(10)
    journal.rotate()
    journal.refuse(10)
    damage(Path(core.segments(stream_directory(journal.data_dir, EDGE))[1].path))
    made = rebuild(journal.data_dir, ManualClock(journal.now_us), node="n1", report=nothing)
    assert (made.missing, made.may_lose) == (10, False)


def test_a_comparison_beside_a_running_switch_goes_as_far_as_both_are_sealed(journal: DiskJournal) -> None:
    journal.refuse(40)
    journal.end_call(ended())
    sealed(journal.data_dir)
    journal.pass_time(3600)
    journal.refuse(7)
    journal.end_call(ended())
    made = rebuild(journal.data_dir, ManualClock(journal.now_us), node="n1", report=nothing)
    assert made.is_same
    assert made.old is not None
    assert made.new.rows == made.old.rows == 41


def test_a_rebuild_that_fails_leaves_nothing_behind(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.refuse(10)

    def failing(_done: int, _whole: int) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        rebuild(journal.data_dir, ManualClock(T0_US), node="n1", report=failing)
    assert [path.name for path in journal.data_dir.iterdir()] == ["journal"]


def test_a_rebuild_gets_over_a_file_of_records_that_is_damaged_inside(journal: DiskJournal) -> None:
    journal.refuse(30)
    clock = sealed(journal.data_dir)
    before = read_all(journal.data_dir)
    directory = cdr_directory(journal.data_dir)
    [segment, *_] = manifest.load(directory).segments
    content = bytearray((directory / segment.path).read_bytes())
    content[4:200] = b"\xff" * 196
    (directory / segment.path).write_bytes(content)
    made = rebuild(journal.data_dir, clock, node="n1", report=nothing)
    assert made.unreadable == (segment.path,)
    assert not made.may_lose
    swap(journal.data_dir)
    assert read_all(journal.data_dir) == before


def sums(data_dir: Path) -> dict[datetime, int]:
    """Attempts without a row, by the minute."""
    directory = cdr_directory(data_dir)
    found: dict[datetime, int] = {}
    for rollup in manifest.load(directory).rollups:
        for row in pq.read_table(directory / rollup.path).to_pylist():
            found[row["minute"]] = found.get(row["minute"], 0) + row["attempts"]
    return found


def test_a_rebuild_keeps_sums_of_minutes_that_the_journal_no_longer_holds(journal: DiskJournal) -> None:
    for _ in range(20):
        journal.edge.summary(time_us=journal.now_us, count=5)
        journal.refuse(10)
        journal.pass_time(120)
        journal.rotate()
    clock = sealed(journal.data_dir)
    with office(journal.data_dir, clock) as ledger:
        maintenance.merge_rollups(ledger, clock)
        assert len(ledger.manifest.rollups) == 1
    before = sums(journal.data_dir)
    assert len(before) == 20
    for segment in core.segments(stream_directory(journal.data_dir, EDGE))[:5]:
        Path(segment.path).unlink()
    made = rebuild(journal.data_dir, clock, node="n1", report=nothing)
    assert not made.may_lose
    swap(journal.data_dir)
    assert sums(journal.data_dir) == before


def test_a_rebuild_keeps_what_two_former_journals_gave_on_one_day(tmp_path: Path) -> None:
    clock = ManualClock(T0_US)
    for n in range(3):
        journal = DiskJournal(tmp_path, now_us=T0_US + n * 3_600_000_000)
        journal.edge.summary(time_us=journal.now_us, count=5)
        journal.refuse(10)
        clock.advance(3600)
        with office(tmp_path, clock) as ledger:
            seal_all(ledger, clock)
        if n < 2:
            (tmp_path / "journal").rename(tmp_path / f"journal.{n}")
    before, before_sums = read_all(tmp_path), sums(tmp_path)
    assert (len(before), len(before_sums)) == (30, 3)
    made = rebuild(tmp_path, clock, node="n1", report=nothing)
    assert made.is_same
    assert made.kept == 20
    swap(tmp_path)
    assert read_all(tmp_path) == before
    assert sums(tmp_path) == before_sums


def test_a_segment_is_not_written_over_another(journal: DiskJournal) -> None:
    journal.refuse(10)
    clock = sealed(journal.data_dir)
    with office(journal.data_dir, clock) as ledger:
        [segment, *_] = ledger.manifest.segments
        bound: dict[str, object] = {"paths": [str(ledger.directory / segment.path)]}
        [made] = ledger.write_segments("read_parquet($paths)", merged_span([segment]), bound)
        content = (ledger.directory / made.path).read_bytes()
        with pytest.raises(FileExistsError):
            ledger.write_segments("read_parquet($paths)", merged_span([segment]), bound)
        assert (ledger.directory / made.path).read_bytes() == content
        [other] = ledger.write_segments("read_parquet($paths)", merged_span([segment]), bound, part=".1")
        assert other.path != made.path


def test_the_journal_goes_by_age_but_never_what_the_ledger_may_still_read(journal: DiskJournal) -> None:
    for _ in range(4):
        journal.refuse(10)
        journal.pass_time(600)
        journal.rotate()
    clock = ManualClock(journal.now_us)
    limits = Limits(journal=Limit(age_us=0))
    with office(journal.data_dir, clock) as ledger:
        assert (ledger.manifest.edge.sealed, ledger.manifest.edge.context) == (40, 31)
        maintenance.let_journal_go(ledger, journal.data_dir, clock, limits)
        left = core.segments(stream_directory(journal.data_dir, EDGE))
        assert left[0].first_seq == 31
        assert [note.kind for note in ledger.manifest.let_go] == ["journal/edge"] * 3
        before = all_rows(ledger.store)
    with office(journal.data_dir, clock) as ledger:
        assert all_rows(ledger.store) == before


def first_seqs(journal: DiskJournal, stream: int) -> list[int]:
    return [segment.first_seq for segment in core.segments(stream_directory(journal.data_dir, stream))]


@pytest.fixture
def long_journal(journal: DiskJournal) -> DiskJournal:
    """Four segments of either stream with something in them, and one without."""
    for _ in range(4):
        journal.refuse(10)
        journal.end_call(ended())
        journal.pass_time(600)
        journal.rotate()
    return journal


def test_the_journal_goes_by_bytes_oldest_first(long_journal: DiskJournal) -> None:
    clock = sealed(long_journal.data_dir)
    with office(long_journal.data_dir, clock) as ledger:
        segments = core.segments(stream_directory(long_journal.data_dir, EDGE))
        room = sum(segment.disk_bytes for segment in segments) - 1
        limits = Limits(journal=Limit(size=room))
        maintenance.let_journal_go(ledger, long_journal.data_dir, clock, limits)
        assert first_seqs(long_journal, EDGE) == [11, 21, 31, 41]


def test_a_flood_takes_nothing_of_the_calls_journal(long_journal: DiskJournal) -> None:
    clock = sealed(long_journal.data_dir)
    limits = Limits.of(defaults() | {"RF_RETENTION_JOURNAL_BYTES": 1})
    with office(long_journal.data_dir, clock) as ledger:
        before = first_seqs(long_journal, CALLS)
        maintenance.let_journal_go(ledger, long_journal.data_dir, clock, limits)
        assert first_seqs(long_journal, CALLS) == before
        assert first_seqs(long_journal, EDGE)[0] > 1
        # By age it goes.
        clock.advance(91 * 86_400)
        maintenance.let_journal_go(ledger, long_journal.data_dir, clock, limits)
        assert first_seqs(long_journal, CALLS)[0] > 1


def test_an_unreadable_segment_is_passed_over_and_counted(journal: DiskJournal) -> None:
    journal.refuse(10)
    journal.rotate()
    journal.refuse(10)
    journal.rotate()
    journal.refuse(10)
    [_, damaged, *_] = core.segments(stream_directory(journal.data_dir, EDGE))
    damage(Path(damaged.path))
    clock = ManualClock(T0_US)
    with office(journal.data_dir, clock) as ledger:
        assert ledger.progress.missing == 10
        assert len(all_rows(ledger.store)) == 20
        seal_all(ledger, clock)
        assert [(c.first, c.last) for c in ledger.manifest.coverage if c.stream == EDGE] == [
            (1, 10),
            (21, 30),
        ]
    assert any("11 to 20" in fault for fault in verify(journal.data_dir, silent).faults)
