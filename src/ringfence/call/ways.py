# SPDX-License-Identifier: Apache-2.0
"""Which of our addresses a message goes out from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final, Self

from ringfence.call.engine import Target

ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Listener:
    """Where we listen. Shape: `transport` in capitals."""

    transport: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Our listeners.

    Shape: `source_for` says which address of this machine the system sends from to another one; it is asked
    only where we listen on all addresses.
    """

    listeners: tuple[Listener, ...]
    source_for: Callable[[str], str]

    @classmethod
    def read(cls, listeners: Iterable[str], source_for: Callable[[str], str]) -> Self:
        """Read listeners as the edge tells them.

        >>> Ways.read(["udp:[::1]:5060"], str).listeners
        (Listener(transport='UDP', host='::1', port=5060),)
        """
        return cls(listeners=tuple(map(_listener, listeners)), source_for=source_for)

    def to(self, transport: str, host: str, port: int | None, *, local_address: str | None) -> Target | None:
        """The way to an address or a host name; None if we do not listen where it could begin.

        Shape: `local_address` None = any. A host name is looked for by IPv4 where there is a choice.
        """
        version = _version(host)
        fitting = [
            listener
            for listener in self.listeners
            if listener.transport == transport
            and (version is None or _version(listener.host) == version)
            and _may_be(listener, local_address)
        ]
        # Listeners on IPv4 first; sorting keeps the operator's order.
        fitting.sort(key=lambda listener: _version(listener.host) or 0)
        if not fitting:
            return None
        chosen = fitting[0]
        ours = chosen.host
        if ours in ANYWHERE:
            ours = local_address or self.source_for(host if version else _ELSEWHERE[_version(ours)])
        local = (ours, chosen.port)
        return Target(transport=transport, remote=(host, port), local=local, shown=local)

    def back(self, came: Target, *, local_address: str | None) -> Target:
        """The way back to where a request came from; by another address of ours if there is one there."""
        host, port = came.remote
        other = (
            None
            if local_address is None
            else self.to(came.transport, host, port, local_address=local_address)
        )
        return came if other is None else replace(came, local=other.local, shown=other.shown)


_ELSEWHERE: Final = {4: "192.0.2.1", 6: "2001:db8::1", None: "192.0.2.1"}
"""Addresses that stand for "anywhere out there" (RFC 5737, RFC 3849); nothing is sent to them."""


def _listener(text: str) -> Listener:
    transport, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    return Listener(transport.upper(), host.strip("[]"), int(port))


def _version(host: str) -> int | None:
    try:
        return ip_address(host).version
    except ValueError:
        return None


def _may_be(listener: Listener, local_address: str | None) -> bool:
    if local_address is None or listener.host == local_address:
        return True
    return listener.host in ANYWHERE and _version(listener.host) == _version(local_address)
