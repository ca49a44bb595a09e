# SPDX-License-Identifier: Apache-2.0
"""Where vendors named by host are (RFC 3263): what was found, for how long it holds, what to ask again.

Pure: whoever asks the name servers hands in answers and the time. Calls are decided from what is known at
that moment and never wait for a name server; an answer that is too old is better than none, and stays in use
while servers cannot be reached.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from ringfence.routing.table import Address, RoutingTable, address_of

Place = tuple[str, int]
"""IP address and port."""

SHORTEST_S: Final = 10.0
LONGEST_S: Final = 3600.0
"""Seconds. What a name server says lasts no shorter and no longer than this."""
RETRY_S: Final = 5.0
MOST_RETRY_S: Final = 60.0
"""Seconds. After a failure it is asked again so soon, each time twice as late, up to the second."""
MOST_KNOWN: Final = 4096
"""So many addresses are known for what they are: more than there are vendors, mostly."""
DOUBT_S: Final = 60.0
"""Seconds. A place that did not answer is the last choice for so long."""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """What is looked for. Shape: `transport` in capitals; `port` None = SRV, then the usual port."""

    transport: str
    host: str
    port: int | None = None


@lru_cache(MOST_KNOWN)
def name_of(address: Address) -> Name | None:
    """What is to be looked for; None if it is an IP address. It is asked for each attempt of a call."""
    try:
        ip_address(address.host)
    except ValueError:
        return Name(address.transport.name, address.host.lower(), address.port)
    return None


def _addresses_of(table: RoutingTable) -> list[Address]:
    """Where vendors are, and the registrars that are not the vendor itself."""
    addresses = [route.where for route in table.routes.values() if isinstance(route.where, Address)]
    addresses += [
        address_of(route.calls.registering.registrar, route.calls.transport)
        for route in table.routes.values()
        if route.calls.registering.registrar is not None
    ]
    return addresses


def names_of(table: RoutingTable) -> set[Name]:
    """All names of vendors, and of the registrars that are not the vendor itself."""
    return {name for address in _addresses_of(table) if (name := name_of(address)) is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """What name servers said. Shape: `places` in the order to be tried, at least one."""

    places: tuple[Place, ...]
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationView:
    """A name as people see it. Shape: `trouble` is a sentence, empty while all is well."""

    name: Name
    places: tuple[Place, ...]
    trouble: str


@dataclass(slots=True)
class _Entry:
    places: tuple[Place, ...] = ()
    due_s: float = 0.0
    retry_s: float = RETRY_S
    trouble: str = ""
    is_asked: bool = False


@dataclass(slots=True)
class Locations:
    """The names that the settings hold. Bounded by them: nothing that strangers send is looked up."""

    _entries: dict[Name, _Entry] = field(default_factory=dict)
    _doubted: dict[Place, float] = field(default_factory=dict)

    def want(self, names: Iterable[Name]) -> None:
        """Know about these from now on, and about no others."""
        self._entries = {name: self._entries.get(name, _Entry()) for name in names}

    def due(self, now_s: float) -> list[Name]:
        """What is to be asked now; each is given once, until its answer is handed in."""
        names = [name for name, entry in self._entries.items() if not entry.is_asked and entry.due_s <= now_s]
        for name in names:
            self._entries[name].is_asked = True
        return names

    def learn(self, name: Name, found: Found, now_s: float) -> None:
        """A name server answered."""
        if (entry := self._entries.get(name)) is not None:
            entry.places, entry.trouble, entry.is_asked = found.places, "", False
            entry.retry_s = RETRY_S
            entry.due_s = now_s + min(max(found.ttl_s, SHORTEST_S), LONGEST_S)

    def failed(self, name: Name, trouble: str, now_s: float) -> None:
        """No name server answered, or the name does not exist; what was known stays in use."""
        if (entry := self._entries.get(name)) is not None:
            entry.trouble, entry.is_asked = trouble, False
            entry.due_s = now_s + entry.retry_s
            entry.retry_s = min(entry.retry_s * 2, MOST_RETRY_S)

    def of(self, name: Name, now_s: float) -> tuple[Place, ...]:
        """Where it is, in the order to be tried; places that did not answer lately come last."""
        entry = self._entries.get(name)
        places = () if entry is None else entry.places
        return tuple(sorted(places, key=lambda place: self._doubted.get(place, 0.0) > now_s))

    def doubt(self, place: Place, now_s: float) -> None:
        """It did not answer, or said 503."""
        known = {known for entry in self._entries.values() for known in entry.places}
        self._doubted = {old: until for old, until in self._doubted.items() if old in known and until > now_s}
        if place in known:
            self._doubted[place] = now_s + DOUBT_S

    def hosts(self, table: RoutingTable) -> set[str]:
        """The IP addresses of all vendors and registrars, as far as they are known."""
        hosts = {address.host for address in _addresses_of(table) if name_of(address) is None}
        return hosts | {host for entry in self._entries.values() for host, _ in entry.places}

    def view(self) -> list[LocationView]:
        """All of them, by name."""
        entries = sorted(self._entries.items(), key=lambda item: (item[0].host, item[0].transport))
        return [
            LocationView(name=name, places=entry.places, trouble=entry.trouble) for name, entry in entries
        ]
