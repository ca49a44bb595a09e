# SPDX-License-Identifier: Apache-2.0
"""Rows are a pure function of frames: however they are read, wherever the office is killed."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.clock import ManualClock
from kit.journal import (
    NO_MESSAGE,
    OPTIONS,
    RATE_EXCEEDED,
    SOURCE_IS_AUTHORISED,
    T0_US,
    Expected,
    Journal,
    expected_rows,
)
from ringfence.ledger import manifest
from ringfence.ledger.pipeline import Ledger, Pace
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import CALLS, EDGE

PACE = Pace(read_frames=50, cut_frames=4, cut_busy_frames=2, cut_busy_us=3_000_000, cut_us=60_000_000)

STEP = st.tuples(
    st.sampled_from(
        ["refuse", "event", "gateway", "silent", "challenge", "wrong", "flow", "again", "wide", "sum", "call"]
    ),
    st.integers(0, 15_000_000),
    st.integers(0, 30),
)


def journal_of(steps: list[tuple[str, int, int]]) -> Journal:
    """A journal from what happened: (what, how much later, which earlier frame it is about)."""
    journal = Journal()
    now_us = T0_US
    seqs = [0, 9_999]  # 0 settles nothing; 9,999 is a frame that no reader ever gave.
    challenges = [0]
    for what, later_us, about in steps:
        now_us += later_us
        base = seqs[-1 - about % len(seqs)]
        asked = challenges[-1 - about % len(challenges)]
        match what:
            case "refuse":
                seqs.append(journal.refuse(now_us))
            case "event":
                seqs.append(journal.refuse(now_us, method=OPTIONS))
            case "gateway":
                seqs.append(
                    journal.refuse(now_us, flags=SOURCE_IS_AUTHORISED, reason=RATE_EXCEEDED, gateway_id=4)
                )
            case "silent":
                seqs.append(journal.refuse(now_us, method=0, flags=NO_MESSAGE))
            case "challenge":
                challenges.append(journal.challenge(now_us))
                seqs.append(challenges[-1])
            case "wrong":
                seqs.append(journal.refuse(now_us, reason=4, settles=asked))
            case "flow":
                journal.flow(now_us, settles=asked)
            case "again":
                journal.increment(now_us, base or 9_999, 1 + about)
            case "wide":
                journal.increment(now_us, base or 9_999, 1 + about, widened=True)
            case "sum":
                journal.summary(now_us, 1 + about)
            case "call":
                journal.end_call(now_us, settles=asked)
    return journal


def rows_of(ledger: Ledger) -> Expected:
    found: Expected = {}
    for batch in ledger.store.export(CdrQuery(pending=True)):
        for row in batch.to_pylist():
            assert row["flowNo"] not in found, "a row was doubled"
            found[row["flowNo"]] = (row["kind"], row["reason"], row["attempts"])
    return found


def unrecorded(ledger: Ledger) -> int:
    return sum(rollup.attempts for rollup in ledger.manifest.rollups)


class KilledError(Exception):
    """Stands for kill -9."""


def live_through(journal: Journal, directory: Path, chunk: Callable[[], int], kills: list[int]) -> Expected:
    """Run an office beside the journal while it grows, killing it as told; the rows in the end.

    Each entry of `kills` is one seal: 0 goes well, 1 dies before the manifest is replaced, 2 right after.
    """
    clock = ManualClock(T0_US)
    real_replace = manifest.replace
    deaths = iter(kills)

    def replace(where: Path, changed: manifest.Manifest) -> manifest.Manifest:
        death = next(deaths, 0)
        if death == 1:
            raise KilledError
        kept = real_replace(where, changed)
        if death == 2:
            raise KilledError
        return kept

    times = sorted({frame.time_us for stream in journal.streams for frame in stream})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "replace", replace)
        ledger = Ledger(directory, journal.source(chunk), clock, node="n1", pace=PACE)
        for time_us in [*times, *([times[-1]] if times else [])]:
            clock.advance(max(time_us - clock.utc_us(), 0) / 1e6)
            for stream in (EDGE, CALLS):
                seen = [frame.seq for frame in journal.streams[stream] if frame.time_us <= time_us]
                journal.visible[stream] = max(seen, default=0)
            try:
                ledger.step()
            except KilledError:
                ledger.close()
                ledger = Ledger(directory, journal.source(chunk), clock, node="n1", pace=PACE)
        lengths = [len(stream) for stream in journal.streams]
        for _ in range(1000):
            done = ledger.progress
            if [done.edge_read, done.calls_read, done.frames_held] == [*lengths, 0]:
                break
            clock.advance(25)
            try:
                ledger.step()
            except KilledError:
                ledger.close()
                ledger = Ledger(directory, journal.source(chunk), clock, node="n1", pace=PACE)
    found = rows_of(ledger)
    assert ledger.progress.frames_held == 0, "everything is sealed in the end"
    summed = sum(f.fields["count"] for f in journal.streams[EDGE] if f.what == "summary")
    assert unrecorded(ledger) == summed
    ledger.close()
    return found


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEP, max_size=40),
    chunks=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    kills=st.lists(st.sampled_from([0, 0, 1, 2]), max_size=12),
)
def test_rows_depend_on_frames_alone(
    steps: list[tuple[str, int, int]], chunks: list[int], kills: list[int]
) -> None:
    journal = journal_of(steps)
    wanted = expected_rows(journal, PACE.window_us)
    turn = iter(range(1 << 60))

    def chunk() -> int:
        return chunks[next(turn) % len(chunks)]

    with TemporaryDirectory() as directory:
        assert live_through(journal, Path(directory), chunk, kills) == wanted


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=60))
def test_a_backlog_read_at_once_gives_the_same_rows(steps: list[tuple[str, int, int]]) -> None:
    journal = journal_of(steps)
    with TemporaryDirectory() as directory:
        clock = ManualClock(T0_US)
        ledger = Ledger(Path(directory), journal.source(), clock, node="n1", pace=PACE)
        while ledger.step():
            pass
        before = rows_of(ledger)
        clock.advance(3600)
        ledger.seal()
        assert ledger.progress.frames_held == 0
        assert rows_of(ledger) == before == expected_rows(journal, PACE.window_us)
        ledger.close()
