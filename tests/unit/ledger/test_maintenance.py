# SPDX-License-Identifier: Apache-2.0
"""Merging and letting go: totals stay exact, kinds do not cost each other anything."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.clock import ManualClock
from kit.journal import OPTIONS, T0_US, Journal
from kit.ledgers import PACE, all_rows, ledger_of, seal_all, take_in
from ringfence.errors import StoreError
from ringfence.ledger import maintenance, store
from ringfence.ledger.maintenance import Limit, Limits
from ringfence.ledger.manifest import Retired, Segment
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.rollup import TOP
from ringfence.settings.parameters import defaults

S = 1_000_000
HOUR_US = 3600 * S


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0_US)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock, journal: Journal) -> Iterator[Ledger]:
    """Two hours of illegal calls and events in small segments, and two calls."""
    with ledger_of(journal, tmp_path / "cdr", clock) as made:
        for n in range(120):
            at = T0_US + n * 60 * S
            journal.refuse(at, source=f"198.51.100.{n % 50}", callee=f"00{n:06d}")
            journal.increment(at, 3 * n + 1, 2)
            journal.refuse(at, method=OPTIONS)
            if n in {0, 119}:
                journal.end_call(at)
        take_in(made)
        clock.advance(2 * 3600)
        seal_all(made, clock)
        yield made


def totals(ledger: Ledger) -> int:
    return ledger.store.count(CdrQuery()).attempts + sum(
        rollup.attempts for rollup in ledger.manifest.rollups
    )


def test_merging_leaves_every_row_as_it_was(ledger: Ledger, clock: ManualClock) -> None:
    before = all_rows(ledger.store)
    # The one file of calls has nothing to be merged with.
    small = [segment for segment in ledger.manifest.segments if segment.kind != "call"]
    assert maintenance.merge_segments(ledger, clock) == len(small)
    assert all_rows(ledger.store) == before
    hours = {(segment.kind, segment.min_time_us // HOUR_US) for segment in ledger.manifest.segments}
    assert len(hours) == len(ledger.manifest.segments) < len(small)
    assert maintenance.merge_segments(ledger, clock) == 0


def test_a_day_that_is_over_becomes_one_file_of_each_kind(ledger: Ledger, clock: ManualClock) -> None:
    before = all_rows(ledger.store)
    maintenance.merge_segments(ledger, clock)
    clock.advance(24 * 3600)
    assert maintenance.merge_segments(ledger, clock) > 0
    assert sorted(segment.kind for segment in ledger.manifest.segments) == ["call", "event", "illegal"]
    assert all_rows(ledger.store) == before


def test_what_is_sealed_while_a_merge_is_under_way_stays_listed(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_rows(ledger.store)
    listed = ledger.manifest.segments
    later_us = clock.utc_us() + HOUR_US
    extra = msgspec.structs.replace(listed[-1], path="new", min_time_us=later_us, max_time_us=later_us)
    write = ledger.write_segments

    def meanwhile(*arguments: Any) -> tuple[Segment, ...]:
        made = write(*arguments)
        ledger.change_manifest(
            lambda present: msgspec.structs.replace(present, segments=(*present.segments, extra))
        )
        monkeypatch.undo()
        return made

    monkeypatch.setattr(ledger, "write_segments", meanwhile)
    maintenance.merge_segments(ledger, clock)
    assert extra in ledger.manifest.segments
    ledger.change_manifest(
        lambda present: msgspec.structs.replace(
            present, segments=tuple(segment for segment in present.segments if segment != extra)
        )
    )
    assert all_rows(ledger.store) == before


def test_merged_files_stay_until_no_reader_can_want_them(ledger: Ledger, clock: ManualClock) -> None:
    old = [ledger.directory / segment.path for segment in ledger.manifest.segments if segment.kind != "call"]
    maintenance.merge_segments(ledger, clock)
    assert maintenance.unlink_retired(ledger, clock) == 0
    assert all(path.exists() for path in old)
    clock.advance(31)
    assert maintenance.unlink_retired(ledger, clock) == len(old)
    assert not any(path.exists() for path in old)
    assert ledger.manifest.retired == ()


def flow_numbers(batches: Iterable[pa.RecordBatch]) -> list[int]:
    return [flow for batch in batches for flow in batch.column("flowNo").to_pylist()]


def test_an_export_goes_on_while_records_are_sealed_and_merged(
    ledger: Ledger, clock: ManualClock, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        journal.refuse(clock.utc_us() + n * S)
    take_in(ledger)
    assert ledger.view.tail.parts()
    wanted = [row.flowNo for row in reversed(all_rows(ledger.store))]
    monkeypatch.setattr(store, "_EXPORTED_AT_ONCE", 30)
    batches = ledger.store.export(CdrQuery(pending=True))
    exported = flow_numbers([next(batches)])
    seal_all(ledger, clock)
    maintenance.merge_segments(ledger, clock)
    clock.advance(31)
    ledger.step()
    maintenance.unlink_retired(ledger, clock)
    journal.refuse(clock.utc_us())
    take_in(ledger)
    assert exported + flow_numbers(batches) == wanted


def test_an_export_says_that_records_were_let_go_before_their_turn(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_EXPORTED_AT_ONCE", 30)
    batches = ledger.store.export(CdrQuery(kinds=frozenset({"illegal"})))
    next(batches)
    maintenance.let_rows_go(ledger, clock, Limits(event=Limit(age_us=0)))
    next(batches)
    maintenance.let_rows_go(ledger, clock, Limits(illegal=Limit(age_us=0)))
    with pytest.raises(StoreError) as raised:
        list(batches)
    assert raised.value.code == "let_go"


def test_files_that_a_crash_removed_before_the_list_did_are_forgotten(
    ledger: Ledger, clock: ManualClock
) -> None:
    maintenance.let_rows_go(ledger, clock, Limits(illegal=Limit(age_us=0), event=Limit(age_us=0)))
    maintenance.let_rows_go(ledger, clock, Limits(call=Limit(age_us=0)))
    days = set()
    for retired in ledger.manifest.retired:
        path = ledger.directory / retired.path
        path.unlink()
        days.add(path.parent)
    [day] = days
    day.rmdir()
    clock.advance(31)
    assert maintenance.unlink_retired(ledger, clock) > 0
    assert ledger.manifest.retired == ()


def test_the_directory_of_a_day_goes_with_its_last_file_once_the_day_is_over(
    ledger: Ledger, clock: ManualClock
) -> None:
    [day] = {(ledger.directory / segment.path).parent for segment in ledger.manifest.segments}
    everything = Limits(illegal=Limit(age_us=0), event=Limit(age_us=0), call=Limit(age_us=0))
    listed = ledger.manifest.segments
    maintenance.let_rows_go(ledger, clock, everything)
    clock.advance(31)
    maintenance.unlink_retired(ledger, clock)
    assert day.is_dir()
    # The same again on the next day: a file that is gone already is no fault.
    again = tuple(Retired(path=segment.path, at_us=clock.utc_us()) for segment in listed)
    ledger.change_manifest(lambda present: msgspec.structs.replace(present, retired=again))
    clock.advance(24 * 3600)
    maintenance.unlink_retired(ledger, clock)
    assert not day.exists()


def test_a_file_that_cannot_be_removed_keeps_no_other(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance.merge_segments(ledger, clock)
    stuck = ledger.manifest.retired[0]
    unlink = Path.unlink

    def failing(path: Path, missing_ok: bool = False) -> None:
        if path.name == Path(stuck.path).name:
            raise PermissionError(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", failing)
    clock.advance(31)
    with pytest.raises(ExceptionGroup):
        maintenance.unlink_retired(ledger, clock)
    assert ledger.manifest.retired == (stuck,)


def test_a_group_that_cannot_be_merged_keeps_no_other(ledger: Ledger, clock: ManualClock) -> None:
    damaged = next(segment for segment in ledger.manifest.segments if segment.kind == "event")
    (ledger.directory / damaged.path).write_bytes(b"PAR1")
    with pytest.raises(ExceptionGroup) as raised:
        maintenance.merge_segments(ledger, clock)
    assert len(raised.value.exceptions) == 1
    assert damaged in ledger.manifest.segments
    hours = [s.min_time_us // HOUR_US for s in ledger.manifest.segments if s.kind == "illegal"]
    assert len(hours) == len(set(hours))


def test_a_file_that_cannot_be_summed_up_stays_alone(ledger: Ledger, clock: ManualClock) -> None:
    damaged = [segment for segment in ledger.manifest.segments if segment.kind == "illegal"][3]
    (ledger.directory / damaged.path).write_bytes(b"PAR1")
    with pytest.raises(ExceptionGroup) as raised:
        maintenance.let_rows_go(ledger, clock, Limits(illegal=Limit(age_us=0), event=Limit(age_us=0)))
    assert len(raised.value.exceptions) == 1
    left = [segment for segment in ledger.manifest.segments if segment.kind != "call"]
    assert left == [damaged]
    assert sum(note.rows for note in ledger.manifest.let_go) == 240 - damaged.rows


def test_the_newest_segments_are_not_merged_yet(ledger: Ledger) -> None:
    early = ManualClock(T0_US + 60 * 60 * S)
    maintenance.merge_segments(ledger, early)
    assert all(
        segment.max_time_us < T0_US + HOUR_US or segment.rows <= 60 for segment in ledger.manifest.segments
    )


def test_rows_past_their_age_are_summed_up_before_they_go(ledger: Ledger, clock: ManualClock) -> None:
    whole = totals(ledger)
    calls = ledger.store.count(CdrQuery(kinds=frozenset({"call"})))
    events = ledger.store.count(CdrQuery(kinds=frozenset({"event"})))
    limits = Limits(illegal=Limit(age_us=clock.utc_us() - T0_US - HOUR_US))
    [note] = maintenance.let_rows_go(ledger, clock, limits)
    assert note.kind == "illegal"
    assert note.rows >= 50
    assert totals(ledger) == whole
    assert ledger.store.count(CdrQuery(kinds=frozenset({"call"}))) == calls
    assert ledger.store.count(CdrQuery(kinds=frozenset({"event"}))) == events
    kept = all_rows(ledger.store, CdrQuery(kinds=frozenset({"illegal"})))
    assert kept
    assert ledger.manifest.let_go == (note,)
    assert maintenance.let_rows_go(ledger, clock, limits) == ()


def test_bytes_limit_each_kind_apart_and_the_oldest_go_first(ledger: Ledger, clock: ManualClock) -> None:
    whole = totals(ledger)
    events = [segment for segment in ledger.manifest.segments if segment.kind == "event"]
    room = sum(segment.size for segment in events[-3:])
    [note] = maintenance.let_rows_go(ledger, clock, Limits(event=Limit(size=room)))
    left = [segment for segment in ledger.manifest.segments if segment.kind == "event"]
    assert left == events[-3:]
    assert note.until_us == events[-4].max_time_us
    assert totals(ledger) == whole


def test_roll_ups_name_the_largest_groups_and_count_the_rest_exactly(tmp_path: Path) -> None:
    journal = Journal()
    clock = ManualClock(T0_US)
    for n in range(TOP + 15):
        first = journal.refuse(T0_US, source=f"203.0.113.{n}", callee="0097259")
        journal.increment(T0_US, first, n + 1)
    with ledger_of(journal, tmp_path, clock) as ledger:
        seal_all(ledger, clock)
        maintenance.let_rows_go(ledger, clock, Limits(illegal=Limit(age_us=0)))
        [rollup] = ledger.manifest.rollups
        rows = pq.read_table(tmp_path / rollup.path).to_pylist()
        assert all_rows(ledger.store) == []
    named = [row for row in rows if not row["is_other"]]
    [other] = [row for row in rows if row["is_other"]]
    assert {row["source"] for row in named} == {f"203.0.113.{n}" for n in range(15, TOP + 15)}
    assert {row["prefix"] for row in named} == {"009725"}
    assert (other["rows"], other["attempts"]) == (15, sum(n + 2 for n in range(15)))
    assert sum(row["attempts"] for row in rows) == rollup.attempts


def test_attempts_without_a_row_are_summed_by_the_minute(tmp_path: Path) -> None:
    journal = Journal()
    clock = ManualClock(T0_US)
    for n in range(4):
        journal.summary(T0_US + n * 30 * S, 10)
    with ledger_of(journal, tmp_path, clock) as ledger:
        seal_all(ledger, clock)
        assert ledger.manifest.segments == ()
        rows = [row for r in ledger.manifest.rollups for row in pq.read_table(tmp_path / r.path).to_pylist()]
    assert {row["kind"] for row in rows} == {"unrecorded"}
    assert {row["reason"] for row in rows} == {"unknown_source"}
    assert sum(row["attempts"] for row in rows) == 40
    assert len({row["minute"] for row in rows}) == 2


def test_many_small_sums_become_one_file(tmp_path: Path) -> None:
    journal = Journal()
    clock = ManualClock(T0_US)
    for n in range(20):
        journal.summary(T0_US + n * 120 * S, 1)
    with ledger_of(journal, tmp_path, clock, replace(PACE, read_frames=1, cut_frames=1)) as ledger:
        seal_all(ledger, clock)
        assert len(ledger.manifest.rollups) == 20
        maintenance.merge_rollups(ledger, clock)
        [rollup] = ledger.manifest.rollups
        assert rollup.attempts == 20


def test_old_sums_go_a_day_at_a_time_and_the_others_stay_exact(tmp_path: Path) -> None:
    journal, day_us = Journal(), 86_400 * S
    clock = ManualClock(T0_US)
    for n in range(40):
        journal.summary(T0_US + n * day_us // 4, 1)
    with ledger_of(journal, tmp_path, clock, replace(PACE, read_frames=1, cut_frames=1)) as ledger:
        seal_all(ledger, clock)
        maintenance.merge_rollups(ledger, clock)
        clock.advance(10 * 86_400 - (clock.utc_us() - T0_US) / S)
        assert maintenance.let_sums_go(ledger, clock, Limits()) == ()
        limits = Limits(sums=Limit(age_us=4 * day_us))
        [note] = maintenance.let_sums_go(ledger, clock, limits)
        assert (note.kind, note.attempts, note.until_us) == ("sums/unrecorded", 24, T0_US + 6 * day_us)
        assert note.size > 0
        [rollup] = ledger.manifest.rollups
        assert (rollup.attempts, rollup.min_time_us) == (16, T0_US + 6 * day_us)
        assert sum(pq.read_table(tmp_path / rollup.path)["attempts"].to_pylist()) == 16
        assert len(ledger.manifest.retired) > 0
        # Until the next day nothing is written anew.
        assert maintenance.let_sums_go(ledger, clock, limits) == ()
        clock.advance(90 * 86_400)
        [note] = maintenance.let_sums_go(ledger, clock, limits)
        assert (note.attempts, ledger.manifest.rollups) == (16, ())


def test_limits_are_what_the_parameters_say() -> None:
    limits = Limits.of(defaults() | {"RF_RETENTION_CALL_BYTES": 0, "RF_RETENTION_EVENT_DAYS": 2})
    assert limits.call.size is None
    assert limits.event.age_us == 2 * 86_400 * S
    assert limits.sums.age_us == 1825 * 86_400 * S
    assert Limits.of(defaults() | {"RF_RETENTION_SUMS_DAYS": 0}).sums.age_us is None


@pytest.mark.parametrize(
    ("journal_days", "memory_days", "kept_days"), [(90, 30, 90), (7, 30, 31), (7, 0, None)]
)
def test_the_calls_journal_is_kept_as_long_as_an_address_stays_known(
    journal_days: int, memory_days: int, kept_days: int | None
) -> None:
    limits = Limits.of(
        defaults()
        | {"RF_RETENTION_JOURNAL_DAYS": journal_days, "RF_REGISTRATION_MEMORY_DAYS": memory_days}
        | {"RF_RETENTION_JOURNAL_BYTES": 1}
    )
    assert limits.journal == Limit(age_us=journal_days * 86_400 * S, size=1)
    assert limits.calls_journal == Limit(age_us=None if kept_days is None else kept_days * 86_400 * S)
