# SPDX-License-Identifier: Apache-2.0
"""Asks name servers where vendors are: SRV, then A and AAAA (RFC 3263 §4.2, RFC 2782).

The transport is the operator's to say, so NAPTR (§4.1), which would choose one, is not asked for.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from ringfence.routing.locations import Found, Locations, Name, Place
from ringfence.routing.table import USUAL_PORT

LONGEST_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
_SERVICE: Final = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}

Draw = Callable[[], float]
"""At least 0 and below 1, by chance."""

_NOTHING: Final = (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer)


class LookUpError(Exception):
    """The name has no address. Shape: the text is a sentence for people."""


class NameServers:
    """The name servers of this machine, or those that are given."""

    def __init__(self, resolver: dns.asyncresolver.Resolver, draw: Draw) -> None:
        self._resolver = resolver
        self._draw = draw

    @classmethod
    def of_this_machine(cls, draw: Draw) -> "NameServers | None":
        """Those of /etc/resolv.conf; None if there are none."""
        try:
            return cls(dns.asyncresolver.Resolver(), draw)
        except dns.resolver.NoResolverConfiguration:
            return None

    async def find(self, name: Name) -> Found:
        """Where a name is.

        Raises: LookUpError.
        """
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._find(name)
        except TimeoutError:
            raise LookUpError(f"no name server answered for {name.host}") from None
        except dns.exception.DNSException as error:
            raise LookUpError(f"{name.host} cannot be looked up: {error}") from error

    async def _find(self, name: Name) -> Found:
        if name.port is not None:
            return await self._addresses(name.host, name.port)
        try:
            service = f"{_SERVICE[name.transport]}.{name.host}"
            answer = await self._resolver.resolve(service, "SRV", search=False)
        except _NOTHING:
            return await self._addresses(name.host, USUAL_PORT[name.transport])
        places: list[Place] = []
        ttl_s = float(answer.rrset.ttl) if answer.rrset is not None else 0.0
        for _priority, _weight, port, target in in_order(
            [(srv.priority, srv.weight, srv.port, srv.target.to_text()) for srv in answer], self._draw
        ):
            if target == ".":
                continue
            try:
                found = await self._addresses(target, port)
            except LookUpError:
                continue
            places += (place for place in found.places if place not in places)
            ttl_s = min(ttl_s, found.ttl_s)
        if not places:
            raise LookUpError(f"{name.host} offers no {name.transport} service")
        return Found(tuple(places), ttl_s)

    async def _addresses(self, host: str, port: int) -> Found:
        """IPv4 first, as listeners are."""
        places: list[Place] = []
        ttls: list[float] = []
        for kind in ("A", "AAAA"):
            try:
                answer = await self._resolver.resolve(host, kind, search=False)
            except _NOTHING:
                continue
            places += ((record.address, port) for record in answer)
            ttls.append(float(answer.rrset.ttl) if answer.rrset is not None else 0.0)
        if not places:
            raise LookUpError(f"{host.rstrip('.')} has no address")
        return Found(tuple(places), min(ttls))


Srv = tuple[int, int, int, str]
"""Priority, weight, port, target."""


def in_order(records: Iterable[Srv], draw: Draw) -> list[Srv]:
    """SRV records in the order to be tried: by priority, of one priority by chance and weight (RFC 2782)."""
    left = sorted(records, key=lambda record: (record[0], record[1]))
    ordered: list[Srv] = []
    while left:
        same = [record for record in left if record[0] == left[0][0]]
        mark = draw() * sum(weight for _, weight, _, _ in same)
        for record in same:
            mark -= record[1]
            if mark < 0 or record is same[-1]:
                ordered.append(record)
                left.remove(record)
                break
    return ordered


async def keep_found(
    locations: Locations,
    servers: NameServers | None,
    now_s: Callable[[], float],
    on_found: Callable[[], None],
    until: asyncio.Event,
) -> None:
    """Look up what is due, again and again, until that is set; `on_found` is told when a name has moved."""
    while not until.is_set():
        if await look_up_due(locations, servers, now_s):
            on_found()
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await until.wait()
        except TimeoutError:
            continue


async def look_up_due(locations: Locations, servers: NameServers | None, now_s: Callable[[], float]) -> bool:
    """Look up what is due now; whether a name has moved."""
    names = locations.due(now_s())
    before = [set(locations.of(name, now_s())) for name in names]
    await asyncio.gather(*(_look_up(name, locations, servers, now_s) for name in names))
    return before != [set(locations.of(name, now_s())) for name in names]


async def _look_up(
    name: Name, locations: Locations, servers: NameServers | None, now_s: Callable[[], float]
) -> None:
    if servers is None:
        locations.failed(name, "this machine has no name server (/etc/resolv.conf)", now_s())
        return
    try:
        locations.learn(name, await servers.find(name), now_s())
    except LookUpError as error:
        locations.failed(name, str(error), now_s())
