# SPDX-License-Identifier: Apache-2.0
"""Where a redirection (3xx) of a routing gateway leads, if it may be followed at all (RFC 3261 §8.1.3.4).

A Contact is written by whoever answers, and may name any host and any number: followed blindly, it has a
stranger called, or a number that costs a fortune, on the account of the caller. So it leads only

- back to the gateway that sent it, with another number; or
- to another routing gateway's address, if our own routing would send this caller's call to that number there:
  its prefixes, groups, hours, number rules and lines decide as they do for any call.

The black list of numbers is asked in both cases, and a call is redirected `MOST_FOLLOWED` times at most,
never twice to the same number at the same gateway.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import unquote

from msgspec import structs

from ringfence.core import read_uri
from ringfence.ids import RoutingGatewayId
from ringfence.policy.admission import is_callee
from ringfence.registrar.contact import Contact, read_contact
from ringfence.routing.locations import Place
from ringfence.routing.selection import Candidate, Loads, Wanted, select
from ringfence.routing.table import USUAL_PORT, RoutingTable

MOST_FOLLOWED: Final = 5
MOST_CONTACTS: Final = 5
"""So many Contacts of one redirection are looked at, the best q first."""


class _Goal(NamedTuple):
    """What a Contact names; `port` None = it names none."""

    number: str
    host: str
    port: int | None


class Redirects:
    """The redirections of one call."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._followed: set[tuple[RoutingGatewayId, str]] = set()

    def follow(
        self,
        contacts: Sequence[str],
        by: Candidate,
        place: Place | None,
        *,
        routes: RoutingTable,
        loads: Loads,
        now_us: int,
    ) -> Candidate | None:
        """Where the call goes now; None = a redirection that is not followed.

        Shape: `contacts` are the values of the answer, `by` is the gateway that gave it, at `place`.
        """
        if len(self._followed) >= MOST_FOLLOWED:
            return None
        for goal in _goals(contacts):
            if routes.lists.refusal(self._wanted.caller, goal.number, now_us=now_us) is not None:
                continue
            named = routes.at(goal.host, goal.port)
            if by.route.id in named or place == (goal.host, goal.port or USUAL_PORT["UDP"]):
                found: Candidate | None = structs.replace(by, callee_to_gateway=goal.number)
            else:
                wanted = structs.replace(self._wanted, callee=goal.number)
                routed = select(routes, wanted, loads, now_us=now_us).candidates if named else ()
                found = next((each for each in routed if each.route.id in named), None)
            if found is not None and (key := (found.route.id, goal.number)) not in self._followed:
                self._followed.add(key)
                return found
        return None


def _goals(contacts: Sequence[str]) -> Iterable[_Goal]:
    """What Contacts name, best q first; those that cannot be read, or name no number, are passed over."""
    read = [contact for value in contacts[:MOST_CONTACTS] if (contact := _read(value)) is not None]
    read.sort(key=lambda contact: -contact.q)
    for contact in read:
        parts = read_uri(contact.uri)
        # Parameters of a telephone number (RFC 3966 §5.1) are no part of what is dialled.
        number = unquote(parts.user).partition(";")[0]
        if parts.scheme in {"sip", "sips"} and is_callee(number):
            yield _Goal(number, _plain(parts.host), parts.port)


def _read(value: str) -> Contact | None:
    try:
        contact = read_contact(value)
        read_uri(contact.uri)
    except ValueError:
        return None
    return contact


def _plain(host: str) -> str:
    """A host as addresses of gateways are written: lower case, IPv6 without brackets and in short."""
    bare = host.strip("[]").lower()
    try:
        return str(ip_address(bare))
    except ValueError:
        return bare
