# SPDX-License-Identifier: Apache-2.0
"""What is known of vendors named by host, and when it is asked again."""

from kit.routes import a_vendor, tables
from ringfence.routing.locations import DOUBT_S, LONGEST_S, RETRY_S, SHORTEST_S, Found, Locations, Name

VENDOR = Name("UDP", "sip.example.com")
ONE = ("192.0.2.1", 5060)
OTHER = ("192.0.2.2", 5060)


def wanted() -> Locations:
    locations = Locations()
    locations.want([VENDOR])
    return locations


def test_a_name_is_asked_once_until_its_answer_is_there() -> None:
    locations = wanted()
    assert locations.due(0) == [VENDOR]
    assert locations.due(100) == []
    locations.learn(VENDOR, Found((ONE,), 300), 100)
    assert (locations.due(399), locations.due(400)) == ([], [VENDOR])


def test_an_answer_lasts_neither_too_short_nor_too_long() -> None:
    for ttl_s, lasts_s in ((0, SHORTEST_S), (10**9, LONGEST_S)):
        locations = wanted()
        locations.due(0)
        locations.learn(VENDOR, Found((ONE,), ttl_s), 0)
        assert (locations.due(lasts_s - 1), locations.due(lasts_s)) == ([], [VENDOR])


def test_what_was_known_stays_in_use_while_name_servers_fail() -> None:
    locations = wanted()
    locations.learn(VENDOR, Found((ONE,), 60), 0)
    locations.due(60)
    locations.failed(VENDOR, "no name server answered", 60)
    assert locations.of(VENDOR, 60) == (ONE,)
    assert locations.view()[0].trouble == "no name server answered"
    assert (locations.due(60 + RETRY_S - 1), locations.due(60 + RETRY_S)) == ([], [VENDOR])
    locations.failed(VENDOR, "no name server answered", 65)
    assert (locations.due(65 + 2 * RETRY_S - 1), locations.due(65 + 2 * RETRY_S)) == ([], [VENDOR])


def test_a_place_that_did_not_answer_comes_last_for_a_while() -> None:
    locations = wanted()
    locations.learn(VENDOR, Found((ONE, OTHER), 3600), 0)
    locations.doubt(ONE, 0)
    assert locations.of(VENDOR, 1) == (OTHER, ONE)
    assert locations.of(VENDOR, DOUBT_S) == (ONE, OTHER)


def test_names_that_the_settings_no_longer_hold_are_forgotten() -> None:
    locations = wanted()
    locations.learn(VENDOR, Found((ONE,), 60), 0)
    locations.want([])
    assert (locations.of(VENDOR, 0), locations.due(0)) == ((), [])
    locations.learn(VENDOR, Found((ONE,), 60), 0)
    locations.failed(VENDOR, "late", 0)
    assert locations.view() == []


def test_hosts_are_the_addresses_of_all_vendors_and_of_what_their_names_stand_for() -> None:
    _, table = tables(
        a_vendor("by address", address="198.51.100.1"),
        a_vendor("by name", number=2, address="sip.example.com"),
    )
    locations = wanted()
    assert locations.hosts(table) == {"198.51.100.1"}
    locations.learn(VENDOR, Found((ONE, OTHER), 60), 0)
    assert locations.hosts(table) == {"198.51.100.1", "192.0.2.1", "192.0.2.2"}
