# SPDX-License-Identifier: Apache-2.0
"""Where the phones that are registered now can be reached (RFC 3261 §10): a view of the edge's flows.

The edge owns flows; the switch tells this view what it tells the edge, and reads all of them now and then,
for those that the edge let go by itself (a connection that was closed).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

MOST_CONTACTS: Final = 16
"""Of one number; the newest ones are kept."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One registration in force.

    Shape: `uri` is its Contact, untrusted; requests go over the flow from `local` to `source`, whatever it
    says. `transport` in capitals. `since_us` is when it was first made, not when it was refreshed.
    """

    uri: str
    transport: str
    source: Address
    local: Address
    since_us: int
    expires_at_us: int


class FlowRow(Protocol):
    """A flow as the edge lists it; addresses as "192.0.2.1:5060" or "[2001:db8::1]:5060"."""

    @property
    def number(self) -> str:
        """Whose it is."""
        ...

    @property
    def transport(self) -> str:
        """As "UDP"."""
        ...

    @property
    def source(self) -> str:
        """The far address."""
        ...

    @property
    def local(self) -> str:
        """Our address."""
        ...

    @property
    def contact(self) -> str:
        """The URI."""
        ...

    @property
    def since_us(self) -> int:
        """When it was made."""
        ...

    @property
    def expires_at_us(self) -> int:
        """When it ends."""
        ...


class Bindings:
    """Contacts by number. Takes room for numbers that registered with a password, and for no others."""

    def __init__(self) -> None:
        self._by_number: dict[str, list[Contact]] = {}

    def of(self, number: str, *, now_us: int) -> tuple[Contact, ...]:
        """The contacts in force, newest first."""
        known = self._by_number.get(number, ())
        return tuple(contact for contact in known if contact.expires_at_us > now_us)

    def bound(self, number: str, contact: Contact) -> None:
        """A contact is in force; it takes the place of an older one with its URI or on its flow."""
        known = self._by_number.get(number, [])
        same = [old for old in known if _is_same(old, contact)]
        since_us = min(
            (old.since_us for old in same if _is_same_flow(old, contact)), default=contact.since_us
        )
        kept = [old for old in known if not _is_same(old, contact) and old.expires_at_us > contact.since_us]
        kept.append(replace(contact, since_us=since_us))
        self._by_number[number] = _newest_first(kept)

    def unbound(self, number: str, uri: str | None) -> None:
        """A contact is in force no longer; None = none of the number is."""
        left = [
            contact for contact in self._by_number.get(number, ()) if uri is not None and contact.uri != uri
        ]
        self._put(number, left)

    def reload(self, flows: Iterable[FlowRow], *, asked_us: int) -> None:
        """Take what the edge said it has; contacts made since it was asked stay."""
        found: dict[str, list[Contact]] = {}
        for flow in flows:
            found.setdefault(flow.number, []).append(_contact(flow))
        for number, known in self._by_number.items():
            fresh = [contact for contact in known if contact.since_us >= asked_us]
            if fresh:
                old = [
                    each for each in found.get(number, []) if not any(_is_same(each, new) for new in fresh)
                ]
                found[number] = old + fresh
        self._by_number = {number: _newest_first(contacts) for number, contacts in found.items()}

    def _put(self, number: str, contacts: list[Contact]) -> None:
        if contacts:
            self._by_number[number] = contacts
        else:
            self._by_number.pop(number, None)


def _is_same_flow(a: Contact, b: Contact) -> bool:
    return (a.transport, a.source, a.local) == (b.transport, b.source, b.local)


def _is_same(a: Contact, b: Contact) -> bool:
    return a.uri == b.uri or _is_same_flow(a, b)


def _newest_first(contacts: list[Contact]) -> list[Contact]:
    return sorted(contacts, key=lambda contact: -contact.since_us)[:MOST_CONTACTS]


def _contact(flow: FlowRow) -> Contact:
    return Contact(
        uri=flow.contact,
        transport=flow.transport.upper(),
        source=_address(flow.source),
        local=_address(flow.local),
        since_us=flow.since_us,
        expires_at_us=flow.expires_at_us,
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
