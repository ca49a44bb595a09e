# SPDX-License-Identifier: Apache-2.0
"""Which of our addresses a message goes out from."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from msgspec import structs

from ringfence.call.engine import Target
from ringfence.routing.locations import Locations, Place, name_of
from ringfence.routing.table import USUAL_PORT, Address
from ringfence.settings.listening import Advertised

ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Listener:
    """Where we listen. Shape: `transport` in capitals."""

    transport: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Our listeners, what others are told of them, and where vendors named by host are.

    Shape: `advertised` has what stands in Via and Contact instead of a listener's own address; one that is
    not in it is told as it is. `source_for` says which address of this machine the system sends from to
    another one; it is asked only where we listen on all addresses.
    """

    listeners: tuple[Listener, ...]
    source_for: Callable[[str], str]
    advertised: Mapping[Listener, Place] = field(default_factory=dict)
    locations: Locations = field(default_factory=Locations)

    @classmethod
    def read(
        cls,
        listeners: Iterable[str],
        source_for: Callable[[str], str],
        advertised: Iterable[Advertised | None] = (),
    ) -> Self:
        """Read listeners as the edge tells them; `advertised` in the same order.

        >>> Ways.read(["udp:[::1]:5060"], str).listeners
        (Listener(transport='UDP', host='::1', port=5060),)
        """
        read = tuple(map(_listener, listeners))
        told = {
            listener: (each.host, each.port or listener.port)
            for listener, each in zip(read, advertised, strict=False)
            if each is not None
        }
        return cls(listeners=read, source_for=source_for, advertised=told)

    def shown(self, transport: str, local: Place) -> Place:
        """What others see of the address that a message comes to or leaves from."""
        if not self.advertised:
            return local
        own = Listener(transport, *local)
        if own not in self.listeners:
            own = replace(own, host="::" if ":" in own.host else "0.0.0.0")  # noqa: S104 - compared with
        return self.advertised.get(own, local)

    def to(self, transport: str, host: str, port: int | None, *, local_address: str | None) -> Target | None:
        """The way to an IP address; None if we do not listen where it could begin.

        Shape: `port` None = the usual one. `local_address` None = any.
        """
        fitting = [
            listener
            for listener in self.listeners
            if listener.transport == transport
            and _is_v6(listener.host) == _is_v6(host)
            and _may_be(listener, local_address)
        ]
        if not fitting:
            return None
        chosen = fitting[0]
        ours = chosen.host
        if ours in ANYWHERE:
            ours = local_address or self.source_for(host)
        local = (ours, chosen.port)
        remote = (host, USUAL_PORT[transport] if port is None else port)
        shown = self.advertised.get(chosen, local)
        return Target(transport=transport, remote=remote, local=local, shown=shown)

    def to_vendor(
        self, address: Address, now_s: float, *, local_address: str | None, tried: Collection[Place] = ()
    ) -> Target | None:
        """The way to a vendor, named by host or by IP address.

        Shape: None if no way begins at one of our listeners, its name is not found yet, or every place was
        `tried` (RFC 3263 §4.3). Places that did not answer lately come last.
        """
        found = self.all_to_vendor(address, now_s, local_address=local_address)
        if name_of(address) is None:
            return found[0] if found else None
        return next((target for target in found if target.remote not in tried), None)

    def all_to_vendor(
        self, address: Address, now_s: float, *, local_address: str | None
    ) -> tuple[Target, ...]:
        """The ways to all places of a vendor, in the order to be tried."""
        name = name_of(address)
        transport, domain = address.transport.name, address.host if name is None else name.host
        places: Iterable[tuple[str, int | None]] = ((address.host, address.port),)
        if name is not None:
            places = self.locations.of(name, now_s)
        found = (_named(self.to(transport, *place, local_address=local_address), domain) for place in places)
        return tuple(target for target in found if target is not None)

    def back(self, came: Target, *, local_address: str | None) -> Target:
        """The way back to where a request came from; by another address of ours if there is one there."""
        host, port = came.remote
        other = (
            None
            if local_address is None
            else self.to(came.transport, host, port, local_address=local_address)
        )
        return came if other is None else structs.replace(came, local=other.local, shown=other.shown)


def _named(target: Target | None, domain: str) -> Target | None:
    """With what a vendor's certificate has to bear: what the operator wrote, not what name servers say."""
    is_tls = target is not None and target.transport == "TLS"
    return structs.replace(target, domain=domain) if target is not None and is_tls else target


def _listener(text: str) -> Listener:
    transport, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    return Listener(transport.upper(), host.strip("[]"), int(port))


def _may_be(listener: Listener, local_address: str | None) -> bool:
    if local_address is None or listener.host == local_address:
        return True
    return listener.host in ANYWHERE and _is_v6(listener.host) == _is_v6(local_address)


def _is_v6(address: str) -> bool:
    """Of which version an IP address is: two are asked for each call, and to read them whole takes 10 us."""
    return ":" in address
