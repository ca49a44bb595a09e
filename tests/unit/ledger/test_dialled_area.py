# SPDX-License-Identifier: Apache-2.0
"""Where was dialled to is asked of every row alike: in the tail, in files that say it and in older ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.clock import ManualClock
from kit.journal import T0_US, Journal
from kit.ledgers import all_rows, ledger_of, take_in
from ringfence.ledger import maintenance, paging, places
from ringfence.ledger.dialled import area_sql, areas_of, international, international_sql
from ringfence.ledger.geography import country_of_number
from ringfence.ledger.manifest import Manifest, Segment
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reports import Reports

S = 1_000_000
CALLEES = ("00972595725668", "+46500729221", "100", "", "011442079460000", "900972592546689", "4930123456789")
QUERIES = (
    *(CdrQuery(dialled=digits) for digits in ("9", "972", "97259", "972595725668", "4420", "0", "31")),
    *(CdrQuery(dialled_country=country) for country in ("IL", "SE", "GB", "FR")),
)


@contextmanager
def dialling(directory: Path, clock: ManualClock) -> Iterator[Ledger]:
    """A ledger with two files and a tail; calls and illegal calls to numbers of some countries."""
    journal = Journal()
    for n in range(90):
        journal.refuse(T0_US + n * S, callee=CALLEES[n * n % len(CALLEES)])
        if n % 9 == 0:
            journal.end_call(
                T0_US + n * S, callee=CALLEES[n % len(CALLEES)], callee_access="00" + "31201234567"
            )
    journal.visible[0] = 60
    with ledger_of(journal, directory, clock) as ledger:
        clock.advance(70)
        ledger.seal()
        journal.visible[0] = 90
        take_in(ledger)
        assert ledger.manifest.segments
        assert ledger.view.tail.parts()
        yield ledger


def as_older_versions_wrote(ledger: Ledger) -> None:
    """Take the column out of every file."""
    connection = duckdb.connect()

    def older(segment: Segment) -> Segment:
        path = ledger.directory / segment.path
        rows = connection.read_parquet(str(path)).project("* EXCLUDE (dialled_area)").to_arrow_table()
        connection.from_arrow(rows).write_parquet(str(path))
        return msgspec.structs.replace(segment, has_area=False, size=path.stat().st_size)

    def change(present: Manifest) -> Manifest:
        # Every other one, so that pages meet both.
        changed = (older(s) if n % 2 == 0 else s for n, s in enumerate(present.segments))
        return msgspec.structs.replace(present, segments=tuple(changed))

    ledger.change_manifest(change)
    connection.close()


@pytest.fixture(params=["newer files", "older files", "merged files"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    clock = ManualClock(T0_US)
    with dialling(tmp_path, clock) as ledger:
        if request.param != "newer files":
            as_older_versions_wrote(ledger)
            assert not all(segment.has_area for segment in ledger.manifest.segments)
        if request.param == "merged files":
            clock.advance(3800)
            assert maintenance.merge_segments(ledger, clock)
            merged = [segment for segment in ledger.manifest.segments if "m.parquet" in segment.path]
            assert merged
            assert all(segment.has_area for segment in merged)
        yield ledger


def test_pages_counts_exports_and_reports_find_the_numbers_dialled(ledger: Ledger) -> None:
    every = all_rows(ledger.store, CdrQuery())
    for query in QUERIES:
        wanted = [
            row
            for row in every
            if international(row.calleeAccessE164).startswith(query.dialled or "")
            and (query.dialled or country_of_number(row.calleeAccessE164) == query.dialled_country)
        ]
        assert all_rows(ledger.store, query) == wanted
        assert ledger.store.count(query).rows == len(wanted)
        assert sum(batch.num_rows for batch in ledger.store.export(query)) == len(wanted)
        ranking = Reports(ledger.store).numbers(query)
        assert ranking.total.rows == len(wanted)
        assert {line.number for line in ranking.lines} == {row.calleeAccessE164 for row in wanted}


def test_rare_numbers_are_looked_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LEAST_ROWS", 1)
    monkeypatch.setattr(paging, "_SLICE_ROWS", 4)
    monkeypatch.setattr(paging, "_SLICES_FIRST", 1)
    wanted = [all_rows(ledger.store, query) for query in QUERIES]
    looked_up: list[int] = []
    take_listings = paging.Paging._take_listings

    def take(self: paging.Paging, first: paging._Listing) -> None:
        looked_up.append(1)
        take_listings(self, first)

    monkeypatch.setattr(paging.Paging, "_take_listings", take)
    maintenance.lay_beside(ledger)
    assert [all_rows(ledger.store, query) for query in QUERIES] == wanted
    assert looked_up


def test_files_are_looked_up_together_whatever_files_without_places_lie_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LEAST_ROWS", 6)
    monkeypatch.setattr(paging, "_SLICE_ROWS", 6)
    clock, journal, batches = ManualClock(T0_US), Journal(), 12
    with ledger_of(journal, tmp_path, clock) as ledger:
        for batch in range(batches):
            for n in range(6):
                journal.refuse(T0_US + (batch * 100 + n) * S, callee=CALLEES[0])
            journal.end_call(T0_US + (batch * 100 + 50) * S, callee=CALLEES[0], callee_access=CALLEES[0])
            take_in(ledger)
            clock.advance(100)
            ledger.seal()
        maintenance.lay_beside(ledger)
        assert len(ledger.manifest.segments) == 2 * batches
        asked: list[int] = []
        look_up = paging.Paging._looked_up
        take_slices = paging.Paging._take_slices

        def looked_up(self: paging.Paging, listings: Sequence[paging._Listing]) -> dict[Segment, list[int]]:
            asked.append(len(listings))
            return look_up(self, listings)

        def sliced(self: paging.Paging, first: paging._Slice) -> None:
            asked.append(0)
            take_slices(self, first)

        monkeypatch.setattr(paging.Paging, "_looked_up", looked_up)
        monkeypatch.setattr(paging.Paging, "_take_slices", sliced)
        assert all_rows(ledger.store, CdrQuery(dialled_country="FR")) == []
    assert len([listings for listings in asked if listings]) == 1
    assert len(asked) < batches


def test_the_column_is_no_part_of_the_record(tmp_path: Path) -> None:
    with dialling(tmp_path, ManualClock(T0_US)) as ledger:
        batch = next(ledger.store.export(CdrQuery()))
        assert "dialled_area" not in batch.schema.names


@given(st.one_of(st.from_regex(r"\A\+?9{0,2}(00|011|0011|810|)[0-9]{0,16}\Z"), st.text(max_size=20)))
def test_the_engine_reads_a_number_as_python_does(number: str) -> None:
    text = number.encode("utf-8", "replace").decode().replace("\0", "")
    [(digits, area)] = ENGINE.execute(
        f"FROM (SELECT $n AS n) SELECT {international_sql('n')}, {area_sql('n')}", {"n": text}
    ).fetchall()
    assert digits == international(text)
    assert area == int(digits[:4] or 0)
    if digits:
        for length in range(1, 6):
            first, last = areas_of(digits[:length])
            assert first <= area <= last


def test_no_area_begins_with_zero() -> None:
    first, last = areas_of("0")
    assert first > last


ENGINE = duckdb.connect()
