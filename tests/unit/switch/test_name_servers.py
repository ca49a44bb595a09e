# SPDX-License-Identifier: Apache-2.0
"""Vendors named by host, looked up at a name server on loopback."""

import asyncio
from collections import Counter

import dns.asyncresolver
import pytest

from kit.dns_server import TTL_S, Zone, dns_server
from ringfence.routing.locations import Found, Locations, Name
from ringfence.switch.name_servers import LookUpError, NameServers, in_order, look_up_due

ZONE: Zone = {
    ("sip.example.com.", "A"): ("192.0.2.1", "192.0.2.2"),
    ("sip.example.com.", "AAAA"): ("2001:db8::1",),
    ("_sip._udp.example.net.", "SRV"): ("20 0 5080 b.example.net.", "10 0 5070 a.example.net."),
    ("_sips._tcp.example.net.", "SRV"): ("10 0 5061 a.example.net.",),
    ("_sip._tcp.example.net.", "SRV"): ("0 0 0 .",),
    ("a.example.net.", "A"): ("192.0.2.10",),
    ("b.example.net.", "A"): ("192.0.2.20",),
}


def find(name: Name) -> Found:
    async def ask() -> Found:
        async with dns_server(ZONE) as resolver:
            return await NameServers(resolver, lambda: 0.0).find(name)

    return asyncio.run(ask())


def test_a_host_without_srv_is_at_its_addresses_and_the_usual_port() -> None:
    found = find(Name("UDP", "sip.example.com"))
    assert set(found.places) == {("192.0.2.1", 5060), ("192.0.2.2", 5060), ("2001:db8::1", 5060)}
    assert found.places[-1] == ("2001:db8::1", 5060)
    assert found.ttl_s == TTL_S
    assert find(Name("TLS", "a.example.net")).places == (("192.0.2.10", 5061),)


def test_a_host_with_a_port_is_not_asked_for_srv() -> None:
    assert find(Name("UDP", "a.example.net", 5099)).places == (("192.0.2.10", 5099),)


def test_srv_records_say_hosts_and_ports_in_order_of_priority() -> None:
    assert find(Name("UDP", "example.net")).places == (("192.0.2.10", 5070), ("192.0.2.20", 5080))
    assert find(Name("TLS", "example.net")).places == (("192.0.2.10", 5061),)


@pytest.mark.parametrize("name", [Name("TCP", "example.net"), Name("UDP", "nowhere.example")])
def test_a_name_without_a_place_is_told(name: Name) -> None:
    with pytest.raises(LookUpError, match=r"example"):
        find(name)


def test_records_of_one_priority_are_tried_by_their_weights() -> None:
    records = [(10, 3, 5060, "a"), (10, 1, 5060, "b"), (5, 0, 5060, "first")]
    firsts: Counter[str] = Counter()
    for number in range(1000):
        ordered = in_order(records, lambda number=number: number / 1000)  # type: ignore[misc]
        assert ordered[0][3] == "first"
        firsts[ordered[1][3]] += 1
    assert firsts == {"a": 750, "b": 250}


def test_what_is_wanted_is_looked_up_and_what_fails_is_told() -> None:
    locations = Locations()
    locations.want([Name("UDP", "example.net"), Name("UDP", "nowhere.example")])

    async def look() -> list[bool]:
        async with dns_server(ZONE) as resolver:
            servers = NameServers(resolver, lambda: 0.0)
            first = await look_up_due(locations, servers, lambda: 0.0)
            return [first, await look_up_due(locations, servers, lambda: 3600.0)]

    # The second time it says the same.
    assert asyncio.run(look()) == [True, False]
    found, lost = locations.view()
    assert found.places[0] == ("192.0.2.10", 5070)
    assert "nowhere.example" in lost.trouble


def test_a_machine_without_name_servers_says_so() -> None:
    locations = Locations()
    locations.want([Name("UDP", "example.net")])
    assert asyncio.run(look_up_due(locations, None, lambda: 0.0)) is False
    assert "resolv.conf" in locations.view()[0].trouble


def test_a_silent_name_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.switch.name_servers.LONGEST_S", 0.05)

    async def ask() -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = transport.get_extra_info("sockname")[1]
        try:
            await NameServers(resolver, lambda: 0.0).find(Name("UDP", "example.net"))
        finally:
            transport.close()

    with pytest.raises(LookUpError, match="no name server answered"):
        asyncio.run(ask())
