# SPDX-License-Identifier: Apache-2.0
"""Every query gives what filtering all rows by hand gives, wherever the rows lie."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.clock import ManualClock
from kit.journal import OPTIONS, RATE_EXCEEDED, SOURCE_IS_AUTHORISED, T0_US, Journal
from kit.ledgers import all_rows, ledger_of, take_in
from ringfence.ledger import maintenance, paging, places, store
from ringfence.ledger.beside import PLACES
from ringfence.ledger.dialled import international
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.query import CdrQuery, Cursor, parse_source, timestamp_us
from ringfence.ledger.schema import Cdr

SOURCES = (
    "198.51.100.7",
    "198.51.100.200",
    "198.51.7.1",
    "203.0.113.9",
    "2001:db8::7",
    "2001:db8:0:1::",
    "::1",
    "fe80::1:0",
)
NETWORKS = (
    *("198.51.100.7", "198.51.100.0/24", "198.51.100.128/25", "198.51.0.0/17", "0.0.0.0/0", "203.0.112.0/21"),
    *("192.0.0.0/3", "2001:db8::/32", "2001:db8::/64", "2001:db8::7", "::/0", "::/127", "fe80::/10"),
    "2001:db8:0:1::/64",
)
NUMBERS = ("100", "1001", "00972595725668", "+4420", "1%0", "a_b", "'; DROP TABLE x; --", "\u202e555", "*")
S = 1_000_000
LATER_US = 10_000 * S
CALL_IDS = ("", "a1@198.51.100.7", "a2", "'\u202e")
AGENTS = ("", "pplsip", "pplsip/2", "'\"\u202e\x00")


@pytest.fixture(scope="module", params=["looked through", "looked up"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Rows of every kind: merged, sealed, and in the tail; several at the same microsecond.

    Shape: once without files of places, and once with them, asked as soon as they can be.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "looked up":
            patch.setattr(places, "LEAST_ROWS", 1)
            patch.setattr(places, "_ROWS_BETWEEN_MOMENTS", 3)
            patch.setattr(paging, "_SLICES_FIRST", 0)
        with _ledger(tmp_path_factory.mktemp("cdr")) as made:
            maintenance.lay_beside(made)
            listed = [made.directory / (segment.path + PLACES) for segment in made.manifest.segments]
            assert all(path.exists() == (request.param == "looked up") for path in listed)
            yield made


@contextmanager
def _ledger(directory: Path) -> Iterator[Ledger]:
    journal = Journal()
    clock = ManualClock(T0_US)
    for n in range(120):
        at = T0_US + (n // 3) * 4 * S + (0 if n < 80 else LATER_US)
        journal.refuse(
            at,
            source=SOURCES[n % len(SOURCES)],
            caller=NUMBERS[n % len(NUMBERS)],
            callee=NUMBERS[(n // 2) % len(NUMBERS)],
            method=OPTIONS if n % 4 == 0 else 1,
            reason=RATE_EXCEEDED if n % 7 == 0 else 1,
            flags=SOURCE_IS_AUTHORISED if n % 5 == 0 else 0,
            gateway_id=n % 2,
            user_agent=AGENTS[n % len(AGENTS)],
            method_text="INVITEX" if n % 8 == 0 else "",
            call_id=CALL_IDS[n % len(CALL_IDS)],
        )
        if n % 6 == 0:
            journal.increment(at, n + 1 + n // 6, 1 + n % 3)
        if n % 10 == 0:
            journal.end_call(
                at,
                account=f"a{n % 3}",
                hold_s=n,
                caller_access="0049100",
                callee="1001",
                gateway=f"gw{n % 20}",
            )
    # Frame numbers: 50 rows are merged, 80 sealed, the rest stays in the tail.
    half = journal.streams[0][49].time_us
    journal.visible[0] = 50
    with ledger_of(journal, directory, clock) as made:
        clock.advance((half - T0_US) / S)
        take_in(made)
        clock.advance(200)
        made.seal()
        maintenance.merge_segments(made, ManualClock(clock.utc_us() + 3600 * S))
        journal.visible[0] = 85
        take_in(made)
        clock.advance(400)
        made.seal()
        journal.visible[0] = 1 << 60
        take_in(made)
        assert made.view.tail.parts()
        assert len(made.manifest.segments) > 2
        yield made


def matches(row: Cdr, query: CdrQuery) -> bool:
    """The conditions, in Python."""

    def number_is(wanted: str | None, *found: str) -> bool:
        if wanted is None:
            return True
        if wanted.endswith("*"):
            return any(number.startswith(wanted[:-1]) for number in found)
        return wanted in found

    at_us = timestamp_us(row)
    return (
        (not query.kinds or row.kind in query.kinds)
        and query.billing_mode in {None, row.billingMode}
        and (query.since_us is None or at_us >= query.since_us)
        and (query.until_us is None or at_us < query.until_us)
        and (
            query.source is None
            or (bool(row.callerip) and ipaddress.ip_address(row.callerip) in query.source)
        )
        and number_is(query.caller, row.callerE164, row.callerAccessE164)
        and number_is(query.callee, row.calleeE164, row.calleeAccessE164)
        and query.account in {None, row.account}
        and query.reason in {None, row.reason}
        and (query.min_duration_s is None or row.holdTime >= query.min_duration_s)
        and (query.max_duration_s is None or row.holdTime <= query.max_duration_s)
        and query.method in {None, row.method}
        and query.call_id in {None, row.call_id}
        and query.gateway_id in {None, row.gateway_id}
        and query.gateway in {None, row.callerGateway, row.calleeGateway}
        and number_is(query.tool, row.user_agent)
        and (query.dialled is None or international(row.calleeAccessE164).startswith(query.dialled))
    )


def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.none(), st.none(), values)


NUMBER_ASKED = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS).map(lambda n: n[:2] + "*"))
MOMENT = st.one_of(
    st.integers(T0_US - S, T0_US + 110 * S),
    st.integers(T0_US + LATER_US + 100 * S, T0_US + LATER_US + 170 * S),
)
QUERY = st.builds(
    CdrQuery,
    kinds=st.frozensets(st.sampled_from(["illegal", "event", "call"]), max_size=2),
    billing_mode=maybe(st.sampled_from([-9, -1, 0, 1, 3])),
    since_us=maybe(MOMENT),
    until_us=maybe(MOMENT),
    source=maybe(st.sampled_from(NETWORKS).map(parse_source)),
    caller=maybe(NUMBER_ASKED),
    callee=maybe(NUMBER_ASKED),
    account=maybe(st.sampled_from(["a0", "a1", "nobody"])),
    reason=maybe(st.sampled_from(["unknown_source", "rate_exceeded", "lost_record"])),
    min_duration_s=maybe(st.sampled_from([0, 1, 50, 500])),
    max_duration_s=maybe(st.sampled_from([-1, 0, 49, 500])),
    dialled=maybe(st.sampled_from(["972", "9725", "44", "1"])),
    tool=maybe(st.sampled_from([*AGENTS, "ppl*", "*", "sipcli"])),
    method=maybe(st.sampled_from(["INVITE", "OPTIONS", "INVITEX", "invite"])),
    call_id=maybe(st.sampled_from([*CALL_IDS, "a"])),
    gateway=maybe(st.sampled_from(["gw0", "gw10", "nowhere"])),
    gateway_id=maybe(st.sampled_from([0, 1, 7])),
)
SLOW_IS_FINE = settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@SLOW_IS_FINE
@given(query=QUERY)
def test_a_query_gives_what_filtering_by_hand_gives(ledger: Ledger, query: CdrQuery) -> None:
    wanted = [row for row in all_rows(ledger.store) if matches(row, query)]
    assert all_rows(ledger.store, query) == wanted
    found = ledger.store.count(query)
    assert (found.rows, found.attempts) == (len(wanted), sum(row.attempts for row in wanted))
    exported = [flow for batch in ledger.store.export(query) for flow in batch.column("flowNo").to_pylist()]
    assert exported == [row.flowNo for row in sorted(wanted, key=Cursor.of)]


@pytest.mark.parametrize("at_once", [7, 60])
def test_an_export_in_parts_is_in_order_too(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(store, "_EXPORTED_AT_ONCE", at_once)
    query = CdrQuery(pending=True)
    exported = [flow for batch in ledger.store.export(query) for flow in batch.column("flowNo").to_pylist()]
    assert exported == [row.flowNo for row in reversed(all_rows(ledger.store, query))]


def page_by_page(ledger: Ledger, query: CdrQuery, limit: int) -> list[Cdr]:
    seen: list[Cdr] = []
    below = None
    while True:
        page = ledger.store.page(query, limit=limit, below=below)
        assert len(page.rows) <= limit
        seen += page.rows
        if page.older is None:
            return seen
        below = Cursor.parse(str(page.older))


@SLOW_IS_FINE
@given(query=QUERY, limit=st.integers(7, 60))
def test_pages_follow_on_without_skipping_or_repeating(ledger: Ledger, query: CdrQuery, limit: int) -> None:
    assert page_by_page(ledger, query, limit) == all_rows(ledger.store, query)


@pytest.mark.parametrize(
    "query",
    [
        CdrQuery(source=parse_source("198.51.100.200")),
        CdrQuery(source=parse_source("2001:db8::7")),
        CdrQuery(source=parse_source("198.51.0.0/17")),
        CdrQuery(source=parse_source("2001:db8::/32")),
        CdrQuery(caller="0049100"),
        CdrQuery(caller="1001", kinds=frozenset({"illegal"})),
        CdrQuery(callee="10*"),
        CdrQuery(callee="1001", method="OPTIONS"),
        CdrQuery(callee="'*", caller="1%0"),
        CdrQuery(call_id="a2"),
        CdrQuery(source=parse_source("198.51.100.7"), until_us=T0_US + 77 * S),
        CdrQuery(callee="\u202e*", since_us=T0_US + 20 * S, until_us=T0_US + LATER_US + 140 * S),
    ],
)
def test_rows_that_come_seldom_are_found_page_by_page(ledger: Ledger, query: CdrQuery) -> None:
    wanted = [row for row in all_rows(ledger.store) if matches(row, query)]
    assert wanted
    for limit in (1, 3, 100):
        assert page_by_page(ledger, query, limit) == wanted


@pytest.mark.parametrize("query", [CdrQuery(), CdrQuery(reason="rate_exceeded")])
def test_a_page_of_some_columns_is_the_page_with_the_others_empty(ledger: Ledger, query: CdrQuery) -> None:
    whole = ledger.store.page(query, limit=40)
    part = ledger.store.page(query, limit=40, columns=("callerip", "kind"))
    assert part.older == whole.older
    assert [(row.flowNo, row.recorded_at, row.callerip, row.kind) for row in part.rows] == [
        (row.flowNo, row.recorded_at, row.callerip, row.kind) for row in whole.rows
    ]
    assert {(row.call_id, row.reason, row.attempts) for row in part.rows} == {("", "", 0)}


def test_all_rows_are_newest_first(ledger: Ledger) -> None:
    places = [Cursor.of(row) for row in all_rows(ledger.store)]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize("name", ["top_sources", "top_callees", "top_reasons", "timeline"])
def test_reports_count_every_attempt(ledger: Ledger, name: str) -> None:
    query = CdrQuery()
    report = ledger.store.report(name, query, limit=10_000)
    place = report.columns.index("attempts")
    assert sum(row[place] for row in report.rows) == ledger.store.count(query).attempts
    narrow = replace(query, kinds=frozenset({"event"}))
    report = ledger.store.report(name, narrow, limit=10_000)
    assert sum(row[place] for row in report.rows) == ledger.store.count(narrow).attempts


def test_sealed_files_are_in_the_order_of_time(ledger: Ledger, tmp_path: Path) -> None:
    for segment in ledger.manifest.segments:
        times = pq.read_table(ledger.directory / segment.path, columns=["recorded_at"])[
            "recorded_at"
        ].to_pylist()
        assert times == sorted(times)
        assert len(times) == segment.rows
