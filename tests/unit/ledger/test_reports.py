# SPDX-License-Identifier: Apache-2.0
"""Reports say what counting all rows by hand says, wherever the rows lie and whatever sums them up."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kit.clock import ManualClock
from kit.journal import OPTIONS, RATE_EXCEEDED, SOURCE_IS_PROVEN, T0_US, Journal
from kit.ledgers import all_rows, ledger_of, seal_all, take_in
from ringfence.ledger import counting, engine, maintenance, summaries
from ringfence.ledger.beside import SUMMARY
from ringfence.ledger.dialled import international
from ringfence.ledger.manifest import Manifest
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery, parse_source, timestamp_us
from ringfence.ledger.reports import MOST_POINTS, Ranking, Reports, bucket_for_us
from ringfence.ledger.schema import Cdr
from ringfence.ledger.store import ParquetStore
from ringfence.ledger.summaries import SummaryWriter
from ringfence.ledger.view import View

S = 1_000_000
HOUR_US = 3600 * S
NUMBERS = ("00972595725668", "+46500729221", "100", "", "'; --", "011442079460000", "900972592546689")
AGENTS = ("pplsip", "", "friendly-scanner\u202e")
ZONE = ZoneInfo("Asia/Kathmandu")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Rows of all kinds in a merged file, in small ones and in the tail; several at the same microsecond."""
    journal = Journal()
    clock = ManualClock(T0_US)
    for n in range(150):
        at = T0_US + (n // 3) * 97 * S + (n // 3) * 7
        journal.refuse(
            at,
            source=f"198.51.100.{n * n % 11}",
            callee=NUMBERS[n * 3 % len(NUMBERS)] if n % 2 else f"00{n:09d}",
            user_agent=AGENTS[n % len(AGENTS)],
            fingerprint=n % 2,
            method=OPTIONS if n % 4 == 0 else 1,
            reason=RATE_EXCEEDED if n % 7 == 0 else 1,
            flags=SOURCE_IS_PROVEN if n % 13 == 0 else 0,
        )
        if n % 6 == 0:
            journal.increment(at, n + 1 + n // 6, 1 + n % 3)
        if n % 10 == 0:
            journal.end_call(at, user_agent="phone")
    journal.visible[0] = 100
    with ledger_of(journal, tmp_path_factory.mktemp("cdr"), clock) as ledger:
        clock.advance(3000)
        ledger.seal()
        maintenance.merge_segments(ledger, ManualClock(clock.utc_us() + 3600 * S))
        journal.visible[0] = 140
        take_in(ledger)
        clock.advance(1060)
        ledger.seal()
        journal.visible[0] = 1 << 60
        take_in(ledger)
        assert ledger.view.tail.parts()
        assert len(ledger.manifest.segments) > 3
        # Merging left some; each test writes those that it wants.
        for summary in ledger.directory.glob("dt=*/*.summary*"):
            summary.unlink()
        yield ledger


@pytest.fixture(
    scope="module",
    params=[(0, 100_000, 1000), (1, 100_000, 1000), (2, 8, 1000), (2, 8, 3)],
    ids=["rows", "some summaries", "slices", "cut"],
)
def ledger(request: pytest.FixtureRequest, sealed: Ledger) -> Iterator[Ledger]:
    """The same rows, with summaries of none, half and all of the files, the last ones sliced and cut."""
    how, slice_rows, most_lines = request.param
    with pytest.MonkeyPatch.context() as patch:
        for module in (summaries, counting):
            patch.setattr(module, "SLICE_ROWS", slice_rows)
        patch.setattr(summaries, "_MOST_LINES", most_lines)
        patch.setattr(summaries, "_MOST_LINES_OF_SLICES", most_lines)
        writer = SummaryWriter(sealed.directory, engine.connect(sealed.directory))
        written = sealed.manifest.segments[:: 3 - how] if how else ()
        for segment in written:
            writer.write(segment)
        assert any(map(summaries.is_sliced, written)) == (slice_rows < 100_000)
        yield sealed
        for segment in written:
            (sealed.directory / (segment.path + SUMMARY)).unlink()


MOMENT = st.one_of(st.none(), st.integers(-S, 5000 * S).map(lambda us: T0_US + us))
QUERY = st.builds(
    CdrQuery,
    kinds=st.frozensets(st.sampled_from(["illegal", "event", "call"]), max_size=2),
    since_us=MOMENT,
    until_us=MOMENT,
    source=st.sampled_from([None, None, None, parse_source("198.51.100.4")]),
    pending=st.booleans(),
)
EACH = settings(
    max_examples=6,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def grouped(rows: Iterable[Cdr], key: Callable[[Cdr], object]) -> dict[object, list[Cdr]]:
    groups: dict[object, list[Cdr]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def attempts(rows: Iterable[Cdr]) -> int:
    return sum(row.attempts for row in rows)


def span(rows: Iterable[Cdr]) -> tuple[int, int]:
    times = [timestamp_us(row) for row in rows]
    return min(times), max(times)


def largest(groups: dict[object, list[Cdr]], limit: int) -> list[int]:
    return sorted(map(attempts, groups.values()), reverse=True)[:limit]


@EACH
@given(query=QUERY, limit=st.integers(1, 200))
def test_sources_are_those_of_the_rows(ledger: Ledger, query: CdrQuery, limit: int) -> None:
    rows = all_rows(ledger.store, query)
    found = Reports(ledger.store).sources(query, limit=limit)
    assert (found.total.rows, found.total.attempts) == (len(rows), attempts(rows))
    groups = grouped(rows, lambda row: row.callerip)
    if found.is_exact:
        assert [line.attempts for line in found.lines] == largest(groups, limit)
    for line in found.lines:
        theirs = groups[line.source]
        assert line.attempts <= attempts(theirs)
        if not found.is_exact:
            continue
        assert (line.attempts, line.rows) == (attempts(theirs), len(theirs))
        assert (line.first_us, line.last_us) == span(theirs)
        assert line.is_proven == any(row.proven for row in theirs)
        numbers = {row.calleeAccessE164 for row in theirs}
        assert line.numbers.number <= len(numbers)
        assert not line.numbers.is_exact or line.numbers.number == len(numbers)


@EACH
@given(query=QUERY, limit=st.integers(1, 200))
def test_dialled_numbers_tools_and_reasons_are_those_of_the_rows(
    ledger: Ledger, query: CdrQuery, limit: int
) -> None:
    rows = all_rows(ledger.store, query)
    reports = Reports(ledger.store)
    numbers = reports.numbers(query, limit=limit)
    tools = reports.tools(query, limit=limit)
    reasons = reports.reasons(query, limit=limit)
    by_number = grouped(rows, lambda row: row.calleeAccessE164)
    by_tool = grouped(rows, lambda row: (row.user_agent, f"{row.fingerprint:016x}"))
    by_reason = grouped(rows, lambda row: (row.kind, row.reason))
    told: list[tuple[Ranking[Any], dict[object, list[Cdr]], list[list[Cdr]]]] = [
        (numbers, by_number, [by_number[line.number] for line in numbers.lines]),
        (tools, by_tool, [by_tool[line.user_agent, line.fingerprint] for line in tools.lines]),
        (reasons, by_reason, [by_reason[line.kind, line.reason] for line in reasons.lines]),
    ]
    for found, groups, theirs in told:
        assert (found.total.rows, found.total.attempts) == (len(rows), attempts(rows))
        if found.is_exact:
            assert [line.attempts for line in found.lines] == largest(groups, limit)
        for line, same in zip(found.lines, theirs, strict=True):
            assert line.attempts <= attempts(same)
            if found.is_exact:
                assert (line.attempts, line.rows) == (attempts(same), len(same))
                assert (line.first_us, line.last_us) == span(same)
                assert line.sources.number == len({row.callerip for row in same})
    assert reasons.is_exact


@EACH
@given(query=QUERY)
def test_areas_are_those_of_the_numbers(ledger: Ledger, query: CdrQuery) -> None:
    rows = all_rows(ledger.store, query)
    found = Reports(ledger.store).areas(query, limit=1000)
    groups = grouped(rows, lambda row: international(row.calleeAccessE164)[:4])
    assert {line.area: line.attempts for line in found.lines} == {
        area: attempts(theirs) for area, theirs in groups.items()
    }
    assert all(international(line.example)[:4] == line.area for line in found.lines)
    assert found.is_exact


@EACH
@given(query=QUERY, most_points=st.integers(2, 3000))
def test_a_timeline_has_every_attempt_in_its_bucket(
    ledger: Ledger, query: CdrQuery, most_points: int
) -> None:
    rows = all_rows(ledger.store, query)
    now_us = T0_US + 6000 * S
    found = Reports(ledger.store).timeline(query, now_us=now_us, most_points=most_points)
    bucket_us = found.bucket_s * S
    expected: dict[tuple[str, str, int], int] = defaultdict(int)
    for row in rows:
        expected[row.kind, row.reason, (timestamp_us(row) - found.since_us) // bucket_us] += row.attempts
    assert {
        (series.kind, series.reason, place): came
        for series in found.series
        for place, came in enumerate(series.attempts)
        if came
    } == expected
    lengths = {len(series.attempts) for series in found.series}
    assert len(lengths) <= 1
    assert max(lengths, default=0) <= most_points
    if query.since_us is not None:
        assert 0 <= query.since_us - found.since_us < bucket_us


@EACH
@given(query=QUERY)
def test_a_heat_map_counts_hours_of_its_zone(ledger: Ledger, query: CdrQuery) -> None:
    expected = [[0] * 24 for _ in range(7)]
    for row in all_rows(ledger.store, query):
        local = row.recorded_at.astimezone(ZONE)
        expected[local.weekday()][local.hour] += row.attempts
    found = Reports(ledger.store).heat_map(query, zone=ZONE)
    assert [list(day) for day in found.attempts] == expected


def test_the_tool_of_a_source_is_the_one_it_used_most(ledger: Ledger) -> None:
    query = CdrQuery(kinds=frozenset({"illegal"}))
    groups = grouped(all_rows(ledger.store, query), lambda row: row.callerip)
    found = Reports(ledger.store).sources(query)
    for line in found.lines:
        tools = grouped(groups[line.source], lambda row: row.user_agent)
        if found.is_exact:
            assert attempts(tools[line.tool]) == largest(tools, 1)[0]
        else:
            assert line.tool in tools


def test_the_largest_lines_are_those_of_the_whole_report(ledger: Ledger) -> None:
    query = CdrQuery(kinds=frozenset({"illegal", "event"}))
    reports = Reports(ledger.store)
    largest, whole = reports.largest(summaries.SOURCES, query), reports.sources(query)
    assert [(line.value, line.attempts) for line in largest.lines] == [
        (line.source, line.attempts) for line in whole.lines
    ]
    assert (largest.total, largest.distinct, largest.is_exact) == (
        whole.total,
        whole.distinct,
        whole.is_exact,
    )


def test_rows_beyond_the_limit_are_told_to_be_unread(sealed: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    query = CdrQuery(callee="0*")
    whole = Reports(sealed.store).numbers(query)
    monkeypatch.setattr(counting, "COUNTED_ROWS", 30)
    part = Reports(sealed.store).numbers(query)
    assert (whole.unread_rows, whole.is_exact) == (0, True)
    assert 0 < part.unread_rows <= 150
    assert not part.is_exact
    assert 0 < part.total.rows < whole.total.rows
    assert max(line.last_us for line in part.lines) == max(line.last_us for line in whole.lines)


def test_many_values_are_counted_to_a_tenth_or_so(tmp_path: Path) -> None:
    journal = Journal()
    for n in range(3000):
        journal.refuse(T0_US + n, callee=f"00{n % 1000:09d}")
    clock = ManualClock(T0_US)
    with ledger_of(journal, tmp_path / "cdr", clock) as ledger:
        clock.advance(3600)
        ledger.seal()
        [line] = Reports(ledger.store).sources(CdrQuery()).lines
        assert not line.numbers.is_exact
        assert 700 < line.numbers.number < 1300


def test_a_summary_is_written_once_and_whole(tmp_path: Path) -> None:
    with two_files(tmp_path / "cdr", ManualClock(T0_US)) as ledger:
        segment = ledger.manifest.segments[0]
        path = ledger.directory / (segment.path + SUMMARY)
        [writer] = [each for each in ledger.beside if isinstance(each, SummaryWriter)]
        assert writer.write(segment)
        written = path.stat()
        assert not writer.write(segment)
        assert path.stat().st_mtime_ns == written.st_mtime_ns
        assert not list(path.parent.glob("*.tmp"))


def test_a_merged_file_has_its_summary_before_it_is_listed(tmp_path: Path) -> None:
    clock = ManualClock(T0_US)
    with two_files(tmp_path / "cdr", clock) as ledger:
        assert maintenance.lay_beside(ledger) == 2
        assert maintenance.lay_beside(ledger) == 0
        before = Reports(ledger.store).sources(CdrQuery())
        clock.advance(3600)
        maintenance.merge_segments(ledger, clock)
        [merged] = ledger.manifest.segments
        assert (ledger.directory / (merged.path + SUMMARY)).exists()
        assert Reports(ledger.store).sources(CdrQuery()) == before
        clock.advance(31)
        maintenance.unlink_retired(ledger, clock)
        assert len(list(ledger.directory.glob("dt=*/*"))) == 2


def test_summaries_of_listed_files_survive_a_restart_and_no_others(tmp_path: Path) -> None:
    clock = ManualClock(T0_US)
    with two_files(tmp_path / "cdr", clock) as ledger:
        maintenance.lay_beside(ledger)
        kept = {ledger.directory / (segment.path + SUMMARY) for segment in ledger.manifest.segments}
    of_other_version = next(iter(kept)).with_suffix(".summary0-0")
    of_none = next(iter(kept)).with_name("event-1.1.parquet" + SUMMARY)
    for path in (of_other_version, of_none):
        path.write_bytes(b"old")
    with ledger_of(Journal(), tmp_path / "cdr", clock) as ledger:
        assert set(ledger.removed) == {of_other_version, of_none}
        assert all(path.exists() for path in kept)


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_summed_up(tmp_path: Path) -> None:
    clock = ManualClock(T0_US)
    with two_files(tmp_path / "cdr", clock) as ledger:
        newest, oldest = sorted(ledger.manifest.segments, key=lambda s: s.max_time_us, reverse=True)
        (ledger.directory / newest.path).write_bytes(b"damaged")
        with pytest.raises(ExceptionGroup):
            maintenance.lay_beside(ledger)
        assert (ledger.directory / (oldest.path + SUMMARY)).exists()
        assert not (ledger.directory / (newest.path + SUMMARY)).exists()
        assert maintenance.lay_beside(ledger, lambda: True) == 0


@contextmanager
def two_files(directory: Path, clock: ManualClock) -> Iterator[Ledger]:
    """A ledger with two small files of illegal calls of one hour."""
    journal = Journal()
    for n in range(40):
        journal.refuse(T0_US + n * S, source=f"198.51.100.{n % 7}")
    journal.visible[0] = 20
    with ledger_of(journal, directory, clock) as ledger:
        seal_all(ledger, clock)
        journal.visible[0] = 40
        seal_all(ledger, clock)
        yield ledger


def test_an_empty_ledger_has_empty_reports(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path, engine.connect(tmp_path), lambda: View(manifest=Manifest()))
    reports = Reports(store)
    ranking = reports.sources(CdrQuery())
    assert (ranking.lines, ranking.total.attempts, ranking.is_exact) == ((), 0, True)
    assert reports.timeline(CdrQuery(), now_us=T0_US).series == ()
    assert sum(map(sum, reports.heat_map(CdrQuery(), zone=ZONE).attempts)) == 0


@given(st.integers(0, 4 * 10**15), st.integers(1, 10**15), st.integers(2, MOST_POINTS))
def test_buckets_are_no_more_than_wanted(since_us: int, length_us: int, most_points: int) -> None:
    until_us = since_us + length_us
    bucket_us = bucket_for_us(since_us, until_us, most_points)
    assert -(-until_us // bucket_us) - since_us // bucket_us <= most_points
    assert bucket_us % S == 0


def test_a_bucket_is_as_short_as_it_may_be() -> None:
    midnight = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp()) * S
    day_us = int(timedelta(days=1) / timedelta(microseconds=1))
    assert bucket_for_us(midnight, midnight + HOUR_US) == 2 * S
    assert bucket_for_us(midnight, midnight + day_us) == 60 * S
    assert bucket_for_us(midnight, midnight + 365 * day_us) == 21_600 * S
