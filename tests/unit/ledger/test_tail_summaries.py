# SPDX-License-Identifier: Apache-2.0
"""What is summed up of the tail says what its rows say, however they come, change and are sealed."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kit.clock import ManualClock
from kit.journal import NO_MESSAGE, OPTIONS, SOURCE_IS_PROVEN, T0_US, Journal
from kit.ledgers import PACE, all_rows, ledger_of, take_in
from ringfence.ledger import summaries, tail_summaries
from ringfence.ledger.beside import SUMMARY
from ringfence.ledger.dialled import international
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery, timestamp_us
from ringfence.ledger.reports import Reports

S = 1_000_000
CALLEES = ("00972595725668", "+46500729221", "100", "", "011442079460000")

STEP = st.tuples(
    st.sampled_from(
        [
            "refuse",
            "refuse",
            "event",
            "silent",
            "challenge",
            "wrong",
            "flow",
            "again",
            "again",
            "wide",
            "call",
        ]
    ),
    st.integers(0, 3 * S),
    st.integers(0, 12),
)
MOMENT = st.one_of(st.none(), st.integers(-S, 120 * S).map(lambda us: T0_US + us))
QUERY = st.builds(
    CdrQuery,
    kinds=st.frozensets(st.sampled_from(["illegal", "event", "call"]), max_size=2),
    since_us=MOMENT,
    until_us=MOMENT,
    dialled=st.sampled_from([None, None, None, "972", "46500729"]),
    pending=st.booleans(),
)

EACH = settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def journal_of(steps: list[tuple[str, int, int]]) -> tuple[Journal, int]:
    """A journal of what happened (what, how much later, about which frame or number), and when it ended."""
    journal, now_us = Journal(), T0_US
    seqs, challenges = [9_999], [0]
    for what, later_us, about in steps:
        now_us += later_us
        base = seqs[-1 - about % len(seqs)]
        asked = challenges[-1 - about % len(challenges)]
        dialled = {"source": f"198.51.100.{about % 5}", "callee": CALLEES[about % len(CALLEES)]}
        match what:
            case "refuse":
                flags = SOURCE_IS_PROVEN if about == 3 else 0
                seqs.append(journal.refuse(now_us, flags=flags, fingerprint=about % 3, **dialled))
            case "event":
                seqs.append(journal.refuse(now_us, method=OPTIONS, **dialled))
            case "silent":
                seqs.append(journal.refuse(now_us, method=0, flags=NO_MESSAGE))
            case "challenge":
                challenges.append(journal.challenge(now_us, **dialled))
                seqs.append(challenges[-1])
            case "wrong":
                seqs.append(journal.refuse(now_us, reason=4, settles=asked, **dialled))
            case "flow":
                journal.flow(now_us, settles=asked)
            case "again" | "wide":
                journal.increment(now_us, base, 1 + about, widened=what == "wide")
            case "call":
                journal.end_call(now_us, settles=asked)
    return journal, now_us


def counted_by_hand(ledger: Ledger, query: CdrQuery) -> dict[str, dict[object, tuple[int, int, int, int]]]:
    """Attempts, rows, first and last moment by question and line, from the rows themselves."""
    found: dict[str, dict[object, tuple[int, int, int, int]]] = defaultdict(dict)
    for row in all_rows(ledger.store, query):
        at_us = timestamp_us(row)
        for question, line in (
            ("sources", row.callerip),
            ("numbers", row.calleeAccessE164),
            ("tools", (row.user_agent, f"{row.fingerprint:016x}")),
            ("reasons", (row.kind, row.reason)),
            ("areas", international(row.calleeAccessE164)[:4]),
        ):
            attempts, rows, first_us, last_us = found[question].get(line, (0, 0, at_us, at_us))
            told = (attempts + row.attempts, rows + 1, min(first_us, at_us), max(last_us, at_us))
            found[question][line] = told
    return dict(found)


def reported(ledger: Ledger, query: CdrQuery) -> dict[str, dict[object, tuple[int, int, int, int]]]:
    """The same from reports."""
    reports = Reports(ledger.store)
    told: dict[str, dict[Any, Any]] = {
        "sources": {line.source: line for line in reports.sources(query).lines},
        "numbers": {line.number: line for line in reports.numbers(query).lines},
        "tools": {(line.user_agent, line.fingerprint): line for line in reports.tools(query).lines},
        "reasons": {(line.kind, line.reason): line for line in reports.reasons(query).lines},
        "areas": {line.area: line for line in reports.areas(query).lines},
    }
    return {
        question: {
            name: (line.attempts, line.rows, line.first_us, line.last_us) for name, line in lines.items()
        }
        for question, lines in told.items()
        if lines
    }


@EACH
@given(
    steps=st.lists(STEP, min_size=10, max_size=120),
    queries=st.lists(QUERY, min_size=1, max_size=2),
    times=st.integers(1, 4),
)
def test_reports_of_a_tail_that_is_summed_up_are_those_of_its_rows(
    steps: list[tuple[str, int, int]], queries: list[CdrQuery], times: int
) -> None:
    journal, end_us = journal_of(steps)
    clock = ManualClock(T0_US)
    clock.advance((end_us - T0_US) / S)
    frames = len(journal.streams[0])
    each = journal.visible[0] = frames // times + 1
    with TemporaryDirectory() as directory, ledger_of(journal, Path(directory), clock) as ledger:
        while True:
            # Some epochs are summed up before what changes their rows has come, and some are sealed.
            ledger.sum_up_tail()
            for query in queries:
                assert reported(ledger, query) == counted_by_hand(ledger, query)
            if journal.visible[0] >= frames:
                break
            journal.visible[0] += each
            take_in(ledger)
        distinct = {row.callerip: set[str]() for row in all_rows(ledger.store, queries[0])}
        for row in all_rows(ledger.store, queries[0]):
            distinct[row.callerip].add(row.calleeAccessE164)
        for line in Reports(ledger.store).sources(queries[0]).lines:
            assert (line.numbers.number, line.numbers.is_exact) == (len(distinct[line.source]), True)


@EACH
@given(steps=st.lists(STEP, min_size=10, max_size=80), query=QUERY, bucket_s=st.sampled_from([1, 5, 60]))
def test_a_timeline_of_a_tail_that_is_summed_up_is_that_of_its_rows(
    steps: list[tuple[str, int, int]], query: CdrQuery, bucket_s: int
) -> None:
    journal, end_us = journal_of(steps)
    clock = ManualClock(T0_US)
    clock.advance((end_us - T0_US) / S)
    with TemporaryDirectory() as directory, ledger_of(journal, Path(directory), clock) as ledger:
        ledger.sum_up_tail()
        points = max(-(-(end_us + 2 * S - (query.since_us or T0_US)) // (bucket_s * S)) + 1, 2)
        found = Reports(ledger.store).timeline(query, now_us=end_us, most_points=points)
        told: Counter[tuple[str, str, int]] = Counter()
        for row in all_rows(ledger.store, query):
            place = (timestamp_us(row) - found.since_us) // (found.bucket_s * S)
            told[row.kind, row.reason, place] += row.attempts
        assert told == {
            (series.kind, series.reason, place): attempts
            for series in found.series
            for place, attempts in enumerate(series.attempts)
            if attempts
        }


@contextmanager
def five_epochs(directory: Path, clock: ManualClock) -> Iterator[Ledger]:
    """A ledger that holds four closed epochs and one that is open, a row a second."""
    journal = Journal()
    for n in range(4 * PACE.cut_frames + 3):
        journal.refuse(T0_US + n * S // 2, source=f"198.51.100.{n % 7}", callee=f"00{n:09d}")
    journal.visible[0] = 0
    with ledger_of(journal, directory, clock) as ledger:
        for _ in range(5):
            journal.visible[0] += PACE.cut_frames
            take_in(ledger)
        yield ledger


def tables(ledger: Ledger) -> list[str]:
    """The tables of summaries that the engine holds."""
    sql = "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'summary%' ORDER BY ALL"
    return ledger.store.ask(
        CdrQuery(), lambda _, cursor: [name for (name,) in cursor.execute(sql).fetchall()]
    )


def test_closed_epochs_are_summed_up_once_and_the_open_one_is_not(tmp_path: Path) -> None:
    with five_epochs(tmp_path, ManualClock(T0_US)) as ledger:
        closed = [epoch.number for epoch in ledger.view.tail.epochs[:-1] if epoch.frames]
        assert len(closed) > 2
        assert ledger.sum_up_tail() == len(closed)
        assert ledger.sum_up_tail() == 0
        assert sorted(ledger.view.summaries) == closed
        assert tables(ledger) == sorted(f"summary_{number}" for number in closed)


def test_the_summary_of_an_epoch_goes_with_it_once_it_is_sealed(tmp_path: Path) -> None:
    clock = ManualClock(T0_US)
    with five_epochs(tmp_path, clock) as ledger:
        ledger.sum_up_tail()
        before = Reports(ledger.store).sources(CdrQuery())
        clock.advance(3600)
        ledger.seal()
        assert Reports(ledger.store).sources(CdrQuery()) == before
        # Those who began before may still read it.
        assert tables(ledger)
        clock.advance(10)
        ledger.step()
        assert tables(ledger) == []
        ledger.step()
        assert ledger.view.summaries == {}


def test_an_epoch_that_is_sealed_while_it_is_summed_up_leaves_nothing(tmp_path: Path) -> None:
    clock = ManualClock(T0_US)
    with five_epochs(tmp_path, clock) as ledger:
        making = tail_summaries.TailSummaries(ledger.store.ask(CdrQuery(), lambda _, cursor: cursor.cursor()))
        old = ledger.view.tail
        for epoch in old.epochs[:-1]:
            making.drop(epoch)
        assert making.make(old) == 0
        assert (making.made, tables(ledger)) == ({}, [])


def test_nothing_is_summed_up_while_a_backlog_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_summaries, "MOST_EPOCHS", 3)
    with five_epochs(tmp_path, ManualClock(T0_US)) as ledger:
        before = Reports(ledger.store).sources(CdrQuery())
        assert ledger.sum_up_tail() == 0
        assert tables(ledger) == []
        assert Reports(ledger.store).sources(CdrQuery()) == before


def test_a_summary_holds_no_more_lines_than_that_of_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "_MOST_LINES", 3)
    monkeypatch.setattr(summaries, "_MOST_LINES_OF_SLICES", 3)
    with five_epochs(tmp_path, ManualClock(T0_US)) as ledger:
        ledger.sum_up_tail()
        sql = (
            "SELECT count(value) FROM tail.summary_1 WHERE question IN ('source', 'number') GROUP BY question"
        )
        longest = ledger.store.ask(CdrQuery(), lambda _, cursor: cursor.execute(sql).fetchall())
        assert longest == [(3,), (3,)]
        numbers = Reports(ledger.store).numbers(CdrQuery())
        assert not numbers.is_exact
        assert numbers.total.rows == len(all_rows(ledger.store, CdrQuery()))


def test_a_file_that_is_sealed_as_frames_arrive_has_its_summary_at_once(tmp_path: Path) -> None:
    journal, clock = Journal(), ManualClock(T0_US)
    for n in range(100):
        journal.refuse(T0_US + n * S)
    journal.visible[0] = 0
    with ledger_of(journal, tmp_path, clock) as ledger:
        for n in range(0, 100, 10):
            journal.visible[0] = n + 10
            clock.advance(10)
            take_in(ledger)
        listed = ledger.manifest.segments
        assert listed
        assert all((ledger.directory / (segment.path + SUMMARY)).exists() for segment in listed)
