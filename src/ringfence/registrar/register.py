# SPDX-License-Identifier: Apache-2.0
"""The registrar's decision (RFC 3261 §10.3). Pure: the request's fields and the operator's limits come in.

The guard has checked the credentials, and that a phone registers its own number only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ringfence.registrar.contact import Contact

ANY: Final = "*"

RINGABLE: Final = ("sip:", "sips:")
"""Contacts of other schemes (RFC 3261 §10.2.1 has one with mailto) cannot be called, so they are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds: the longest life of a registration (`SS_ENDPOINT_EXPIRE`), the shortest (`RF_MIN_EXPIRES`)."""

    longest_s: int
    shortest_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """End these contacts, then put those in force for so many seconds each; all of it or nothing."""

    ended: tuple[Contact, ...] = ()
    bound: tuple[tuple[Contact, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """End every contact of the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The phone asks which contacts are in force; nothing changes (RFC 3261 §10.2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Nothing changes; `min_expires_s` goes into Min-Expires of a 423."""

    status: int
    min_expires_s: int | None = None


Decision = Update | Clear | Query | Refuse


def decide(contacts: Sequence[Contact], expires_s: int | None, limits: Limits, most: int) -> Decision:
    """Decide on a REGISTER.

    Shape: `contacts` in order; `*` is the wildcard. `expires_s` is the Expires header field. `most` contacts
    may be in force at once (`RF_CONTACTS_PER_NUMBER`).
    """
    if not contacts:
        return Query()
    if any(contact.uri == ANY for contact in contacts):
        # RFC 3261 §10.3 step 6: the wildcard stands alone, and only to end all bindings.
        return Clear() if len(contacts) == 1 and expires_s == 0 else Refuse(status=400)
    default_s = limits.longest_s if expires_s is None else expires_s
    asked = [
        (contact, default_s if contact.expires_s is None else contact.expires_s)
        for contact in contacts
        if contact.uri.lower().startswith(RINGABLE)
    ]
    lasting = tuple((contact, min(s, limits.longest_s)) for contact, s in asked if s > 0)
    if not asked or (len(lasting) > 1 and any(contact.reg_id is not None for contact, _ in lasting)):
        # RFC 5626 §6: a flow has one contact.
        return Refuse(status=400)
    if len(lasting) > most:
        # RFC 3261 §10.3 step 7: all of them, or none.
        return Refuse(status=403)
    # Were the shortest above the longest, no phone could ask for anything that is granted.
    shortest_s = min(limits.shortest_s, limits.longest_s)
    if any(s < shortest_s for _, s in lasting):
        # RFC 3261 §10.3 step 7; a registrar may not shorten below what it asked for itself.
        return Refuse(status=423, min_expires_s=shortest_s)
    return Update(ended=tuple(contact for contact, s in asked if s == 0), bound=lasting)
