# SPDX-License-Identifier: Apache-2.0
"""The registrar's decision (RFC 3261 §10.3). Pure: the request's fields and the operator's limits come in.

The guard has checked the credentials, and that a phone registers its own number only. A phone is reached on
the flow that its REGISTER came on, so one REGISTER binds one contact: its first with a lifetime.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ANY: Final = b"*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds: the longest life of a registration (`SS_ENDPOINT_EXPIRE`), the shortest (`RF_MIN_EXPIRES`)."""

    longest_s: int
    shortest_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Put this contact in force on the flow for so many seconds."""

    contact: bytes
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbind:
    """End this contact, or every contact of the number for None."""

    contact: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The phone asks which contacts are in force; nothing changes (RFC 3261 §10.2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Nothing changes; `min_expires_s` goes into Min-Expires of a 423."""

    status: int
    min_expires_s: int | None = None


Decision = Bind | Unbind | Query | Refuse


def decide(contacts: Sequence[tuple[bytes, int | None]], expires_s: int | None, limits: Limits) -> Decision:
    """Decide on a REGISTER.

    Shape: `contacts` in order, each with its own `expires` parameter; `*` is the wildcard. `expires_s` is the
    Expires header field.
    """
    if not contacts:
        return Query()
    if any(uri == ANY for uri, _ in contacts):
        # RFC 3261 §10.3 step 6: the wildcard stands alone, and only to end all bindings.
        return Unbind(contact=None) if len(contacts) == 1 and expires_s == 0 else Refuse(status=400)
    default_s = limits.longest_s if expires_s is None else expires_s
    wanted = [(uri, default_s if own_s is None else own_s) for uri, own_s in contacts]
    uri, asked_s = next(((uri, s) for uri, s in wanted if s > 0), wanted[0])
    if asked_s == 0:
        return Unbind(contact=uri)
    if asked_s < limits.shortest_s:
        # RFC 3261 §10.3 step 7; a registrar may not shorten below what it asked for itself.
        return Refuse(status=423, min_expires_s=limits.shortest_s)
    return Bind(contact=uri, expires_s=min(asked_s, limits.longest_s))
