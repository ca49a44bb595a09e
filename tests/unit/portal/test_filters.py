# SPDX-License-Identifier: Apache-2.0
"""Filters in the address bar: what is written reads as the same, and mistakes are named in plain words."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import ConfigError
from ringfence.ledger.geography import COUNTRIES
from ringfence.ledger.query import CdrQuery, Cursor, parse_source
from ringfence.ledger.reasons import REASON_BY_NAME, BillingMode
from ringfence.ledger.schema import KINDS
from ringfence.portal.filters import NAMES, RANGES, Filter, address, pairs_of, parse, parse_address

NOW_US = 1_795_305_600_000_000
HOUR_US = 3_600_000_000

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)
moments = st.integers(0, 253_402_300_799_999_999)
networks = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda given: f"{given[0]}/{given[1]}"),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda given: f"{given[0]}/{given[1]}"),
).map(parse_source)
cursors = st.builds(
    Cursor,
    time_us=st.integers(0, 9_999_999_999_999_999),
    flow_no=st.integers(0, 2**63 - 1),
    journal_id=st.text("0123456789abcdef", min_size=1, max_size=32),
)


def perhaps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Everything that an address can say."""
    relative = draw(perhaps(st.sampled_from(sorted(RANGES))))
    span = sorted([draw(moments), draw(moments)])
    since, until = (draw(perhaps(st.just(moment))) for moment in span)
    if relative is not None:
        since, until = NOW_US - int(RANGES[relative].total_seconds()) * 1_000_000, None
    query = CdrQuery(
        kinds=frozenset(draw(st.sets(st.sampled_from(KINDS)))),
        billing_mode=draw(perhaps(st.sampled_from([mode.value for mode in BillingMode]))),
        since_us=since,
        until_us=until,
        source=draw(perhaps(networks)),
        caller=draw(perhaps(texts)),
        callee=draw(perhaps(texts)),
        account=draw(perhaps(texts)),
        reason=draw(perhaps(st.sampled_from(sorted(REASON_BY_NAME)))),
        min_duration_s=draw(perhaps(st.integers(0, 2**31 - 1))),
        max_duration_s=draw(perhaps(st.integers(0, 2**31 - 1))),
        dialled=draw(perhaps(st.text("0123456789", min_size=1, max_size=15))),
        country=draw(perhaps(st.sampled_from(sorted(COUNTRIES)))),
        dialled_country=draw(perhaps(st.sampled_from(sorted(COUNTRIES)))),
        tool=draw(perhaps(texts)),
        method=draw(perhaps(texts)),
        call_id=draw(perhaps(texts)),
        gateway=draw(perhaps(texts)),
        gateway_id=draw(perhaps(st.integers(0, 2**32 - 1))),
        pending=draw(st.booleans()),
    )
    return Filter(query=query, range=relative, below=draw(perhaps(cursors)))


@given(asked=filters())
def test_what_is_written_reads_as_the_same(asked: Filter) -> None:
    assert parse(pairs_of(asked), now_us=NOW_US) == asked
    written = address(asked)
    assert written.isascii()
    assert parse_address(f"?{written}", now_us=NOW_US) == asked
    assert parse(parse_qsl(written), now_us=NOW_US) == asked


def refusal_or_filter(read: Callable[[], Filter]) -> ConfigError | Filter:
    try:
        return read()
    except ConfigError as error:
        return error


def is_read_or_refused_in_words(found: ConfigError | Filter) -> bool:
    if isinstance(found, ConfigError):
        return bool(found.hint) and len(found.message) < 300
    return parse_address(address(found), now_us=NOW_US) == found


@given(text=st.text())
def test_any_address_is_read_or_refused_in_words(text: str) -> None:
    assert is_read_or_refused_in_words(refusal_or_filter(lambda: parse_address(text, now_us=NOW_US)))


@given(name=st.sampled_from(NAMES), value=st.text(max_size=200))
def test_any_value_is_read_or_refused_in_words(name: str, value: str) -> None:
    assert is_read_or_refused_in_words(refusal_or_filter(lambda: parse([(name, value)], now_us=NOW_US)))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", CdrQuery()),
        ("caller=&source=", CdrQuery()),
        ("kind=illegal&kind=event", CdrQuery(kinds=frozenset({"illegal", "event"}))),
        ("country=nl&dialled_country=IL", CdrQuery(country="NL", dialled_country="IL")),
        ("billing_mode=-9", CdrQuery(billing_mode=-9)),
        ("billing_mode=illegal_call", CdrQuery(billing_mode=-9)),
        ("since=2026-11-22T00:00:00Z", CdrQuery(since_us=NOW_US)),
        ("since=2026-11-22", CdrQuery(since_us=NOW_US)),
        ("since=2026-11-22T01:00", CdrQuery(since_us=NOW_US + HOUR_US)),
        ("until=2026-11-22T01:00:00%2B01:00", CdrQuery(until_us=NOW_US)),
        ("until=2026-11-22T01:00:00+01:00", CdrQuery(until_us=NOW_US)),
        ("until=2026-11-22+01:00", CdrQuery(until_us=NOW_US + HOUR_US)),
        ("range=1h", CdrQuery(since_us=NOW_US - HOUR_US)),
        ("range=30d", CdrQuery(since_us=NOW_US - 30 * 24 * HOUR_US)),
        ("source=198.51.100.9/24", CdrQuery(source=parse_source("198.51.100.0/24"))),
        ("source=::ffff:198.51.100.9", CdrQuery(source=parse_source("198.51.100.9"))),
        ("caller=%2B49*", CdrQuery(caller="+49*")),
        ("callee=a%0D%0Ab", CdrQuery(callee="a\r\nb")),
        ("account=acme", CdrQuery(account="acme")),
        ("reason=unknown_source", CdrQuery(reason="unknown_source")),
        ("reason=reason_99", CdrQuery(reason="reason_99")),
        ("min_duration=30", CdrQuery(min_duration_s=30)),
        ("pending=1", CdrQuery(pending=True)),
        ("columns=reason&limit=5&reason=malformed", CdrQuery(reason="malformed")),
    ],
)
def test_an_address_is_read(text: str, query: CdrQuery) -> None:
    assert parse_address(text, now_us=NOW_US).query == query


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("billing_mod=1", "there is no filter 'billing_mod'", "did you mean billing_mode?"),
        ("kind=illegall", "there is no kind of record 'illegall'", "did you mean illegal?"),
        ("kind=x", "there is no kind of record 'x'", "one of illegal, event, call"),
        ("billing_mode=7", "there is no billing mode '7'", "-9 (nobody: an illegal call)"),
        ("billing_mode=٣", "there is no billing mode '٣'", "0 (the account of the phone)"),
        ("since=yesterday", "'yesterday' is no time", "range=24h"),
        ("since=1969-12-31", "the time lies outside", "2026"),
        ("until=9999-12-31T23:59:59-05:00", "the time lies outside", "2026"),
        ("since=2026-11-23&until=2026-11-22", "since is later than until", "exchange the two"),
        ("range=2h", "there is no range '2h'", "one of 1h, 24h, 7d, 30d"),
        ("range=1h&since=2026-11-22", "range and since or until are given together", "give range"),
        ("range=1h&until=2026-11-22", "range and since or until are given together", "give range"),
        ("source=198.51.100", "'198.51.100' is no IP address and no network", "198.51.100.0/24"),
        ("source=fe80::1%25eth0", "'fe80::1%eth0' names a network interface", "leave out %"),
        ("reason=unknwon_source", "there is no reason 'unknwon_source'", "did you mean unknown_source?"),
        ("country=XX", "there is no country 'XX'", "such as NL"),
        ("dialled_country=ISR", "there is no country 'ISR'", "such as NL"),
        ("min_duration=-1", "'-1' is no number of seconds", "such as 30"),
        ("min_duration=99999999999", "'99999999999' is no number of seconds", "such as 30"),
        ("min_duration=1.5", "'1.5' is no number of seconds", "such as 30"),
        ("pending=yes", "'yes' is neither 1 nor 0", "1 means yes"),
        ("below=here", "'here' is no place in the list", "first page"),
        ("caller=1&caller=2", "caller is given twice", "once"),
        ("caller=" + "9" * 129, "caller is longer than 128 characters", "*"),
        ("&".join("kind=call" for _ in range(65)), "the address has too many parts", "64"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_address(text, now_us=NOW_US)
    assert wrong.value.message.startswith(message)
    assert hint in (wrong.value.hint or "")
    assert wrong.value.code == "bad_value"


def test_half_a_character_is_refused() -> None:
    with pytest.raises(ConfigError, match="no text has"):
        parse([("caller", "\ud800")], now_us=NOW_US)


def test_a_number_of_128_characters_is_asked_for_whole() -> None:
    assert parse_address("callee=" + "9" * 128, now_us=NOW_US).query.callee == "9" * 128


def test_a_relative_range_stays_relative() -> None:
    asked = parse_address("range=24h", now_us=NOW_US)
    assert address(asked) == "range=24h"
    later = parse_address(address(asked), now_us=NOW_US + HOUR_US)
    assert later.query.since_us == NOW_US - 23 * HOUR_US


def test_a_link_to_the_first_page_keeps_the_conditions() -> None:
    asked = parse_address("kind=call&below=5-1-ab", now_us=NOW_US)
    assert asked.below == Cursor(time_us=5, flow_no=1, journal_id="ab")
    assert address(asked.first_page()) == "kind=call"


@pytest.mark.parametrize(
    "query",
    [
        CdrQuery(caller=""),
        CdrQuery(account="9" * 129),
        CdrQuery(callee="\ud800"),
        CdrQuery(kinds=frozenset({"other"})),
        CdrQuery(billing_mode=7),
        CdrQuery(reason="because"),
        CdrQuery(min_duration_s=-1),
        CdrQuery(since_us=-1),
        CdrQuery(until_us=1 << 60),
        CdrQuery(since_us=2, until_us=1),
    ],
)
def test_what_no_address_can_say_is_refused_when_written(query: CdrQuery) -> None:
    with pytest.raises(ConfigError):
        address(Filter(query=query))


def test_a_range_and_an_end_cannot_both_be_written() -> None:
    with pytest.raises(ConfigError):
        address(Filter(query=CdrQuery(since_us=NOW_US, until_us=NOW_US), range="1h"))


def test_every_field_of_a_query_has_a_name() -> None:
    whole = Filter(
        query=CdrQuery(
            kinds=frozenset({"call"}),
            billing_mode=0,
            since_us=0,
            until_us=1,
            source=parse_source("::1"),
            caller="1",
            callee="2",
            account="a",
            reason="malformed",
            min_duration_s=0,
            max_duration_s=1,
            dialled="44",
            tool="t",
            method="INVITE",
            call_id="a@b",
            gateway="g",
            country="NL",
            dialled_country="IL",
            gateway_id=1,
            pending=True,
        ),
        below=Cursor(time_us=1, flow_no=2, journal_id="a"),
    )
    assert {name for name, _ in pairs_of(whole)} == set(NAMES) - {"range"}
    assert len(whole.query.__dataclass_fields__) == len(NAMES) - 2
