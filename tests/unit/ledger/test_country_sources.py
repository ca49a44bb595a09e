# SPDX-License-Identifier: Apache-2.0
"""A query for a country finds the rows that counting by hand finds, in files and in the tail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.clock import ManualClock
from kit.journal import OPTIONS, T0_US, Journal
from kit.ledgers import all_rows, ledger_of, seal_all, take_in
from ringfence.errors import ConfigError
from ringfence.ledger import country_sources
from ringfence.ledger.geography import countries_of_addresses, country_of_address, country_of_number
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reports import Reports

SOURCES = ("193.0.6.139", "2001:67c:2e8:22::c100:68b", "8.8.8.8", "198.51.100.7", "193.0.6.140")
CALLEES = ("0014162345678", "+972595725668", "00441614960000", "0012125551234", "100", "01197259572566")
SOME = 40
HOUR_US = 3_600_000_000
SINCE_US, UNTIL_US = T0_US + 10_000_000, T0_US + HOUR_US + 60_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Refusals of several countries: a file, and as many in the tail."""
    journal, clock = Journal(), ManualClock(T0_US)
    for n in range(2 * SOME):
        journal.refuse(
            T0_US + n * 1_000_000 + (HOUR_US if n >= SOME else 0),
            source=SOURCES[n % len(SOURCES)],
            callee=CALLEES[n % len(CALLEES)],
            method=OPTIONS if n % 3 == 0 else 1,
        )
    journal.visible[0] = SOME
    with ledger_of(journal, tmp_path / "cdr", clock) as made:
        seal_all(made, clock)
        journal.visible[0] = 2 * SOME
        take_in(made)
        assert made.progress.frames_held
        yield made


QUERIES = (
    CdrQuery(country="NL"),
    CdrQuery(country="US", kinds=frozenset({"illegal"})),
    CdrQuery(country="NL", callee="00*"),
    CdrQuery(country="NL", since_us=SINCE_US, until_us=UNTIL_US),
    CdrQuery(country="DE"),
    CdrQuery(dialled_country="IL"),
    CdrQuery(dialled_country="CA", country="NL"),
    CdrQuery(dialled_country="US"),
    CdrQuery(dialled_country="KZ"),
)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(QUERIES.index(query)))
def test_every_question_finds_the_rows_of_a_country_and_no_others(ledger: Ledger, query: CdrQuery) -> None:
    expected = [
        row
        for row in all_rows(ledger.store)
        if query.country in (None, country_of_address(row.callerip))
        and query.dialled_country in (None, country_of_number(row.calleeAccessE164))
        and (not query.kinds or row.kind in query.kinds)
        and (query.callee is None or row.calleeAccessE164.startswith("00"))
        and (query.since_us is None or row.recorded_at.timestamp() * 1e6 >= SINCE_US)
        and (query.until_us is None or row.recorded_at.timestamp() * 1e6 < UNTIL_US)
    ]
    store, reports = ledger.store, Reports(ledger.store)
    assert all_rows(store, query) == expected
    assert store.count(query).rows == len(expected)
    exported = [name for batch in store.export(query) for name in batch.column("flowNo").to_pylist()]
    assert sorted(exported) == sorted(row.flowNo for row in expected)
    assert reports.sources(query).total.rows == len(expected)
    assert {line.source for line in reports.sources(query).lines} == {row.callerip for row in expected}
    timeline = reports.timeline(query, now_us=T0_US + 2 * HOUR_US)
    assert sum(sum(series.attempts) for series in timeline.series) == len(expected)


def test_some_query_finds_rows_in_the_file_and_in_the_tail(ledger: Ledger) -> None:
    found = all_rows(ledger.store, CdrQuery(country="NL"))
    times = [row.recorded_at.timestamp() * 1e6 for row in found]
    assert min(times) < T0_US + HOUR_US <= max(times)


def test_a_file_is_looked_at_once_for_a_country_and_the_tail_each_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def counted(addresses: list[str]) -> list[str]:
        looked_at.append(len(addresses))
        return countries_of_addresses(addresses)

    monkeypatch.setattr(country_sources, "countries_of_addresses", counted)
    ledger.store.count(CdrQuery(country="NL"))
    first = sum(looked_at)
    ledger.store.count(CdrQuery(country="NL", callee="1*"))
    again = sum(looked_at) - first
    assert first - again == len(ledger.manifest.segments) * len(SOURCES)
    assert again >= len(SOURCES)


def test_more_sources_than_can_be_looked_up_are_refused_in_words(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(country_sources, "MOST_LOOKED_AT", 3)
    with pytest.raises(ConfigError) as told:
        ledger.store.page(CdrQuery(country="NL"))
    assert told.value.code == "too_wide"
    assert told.value.hint == "choose a shorter time"


def test_what_is_kept_has_a_bound_and_answers_stay_right(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {country: ledger.store.count(CdrQuery(country=country)) for country in ("NL", "US")}
    monkeypatch.setattr(country_sources, "_MOST_KEPT", 0)
    for _ in range(2):
        for country, count in expected.items():
            assert ledger.store.count(CdrQuery(country=country)) == count
