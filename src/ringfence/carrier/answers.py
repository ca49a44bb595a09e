# SPDX-License-Identifier: Apache-2.0
"""What a registrar's answer to our REGISTER says: how long, by which proxies, where else. Pure."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from msgspec import structs

from ringfence.call.engine import Target
from ringfence.call.headers import number
from ringfence.carrier.carrier import Account
from ringfence.core import Message, UriParts, read_address, read_uri
from ringfence.registrar.contact import parameters_of
from ringfence.routing.table import USUAL_PORT

MOST_CONTACTS: Final = 8
"""So many Contacts of a redirection are looked at."""

MOST_SERVICE_ROUTE: Final = 8
LONGEST_SERVICE_ROUTE: Final = 1024
"""Characters of all values: they go into each INVITE."""

REDIRECTS: Final = frozenset({300, 301, 302})


def granted_s(message: Message, contact: str, asked_s: int) -> int:
    """How long it lasts: as our Contact says in a 200, or the Expires header (RFC 3261 §10.2.4)."""
    contacts = message.headers("Contact")
    own = [value for value in contacts if _place(_uri_of(value)) == _place(contact)]
    # A registrar that rewrites our Contact for NAT has one of which we know no better.
    chosen = own or (contacts if len(contacts) == 1 else [])
    if contacts and not chosen:
        return 0
    said = number(parameters_of(chosen[0]).get("expires")) if chosen else None
    if said is None:
        said = number(message.header("Expires"))
    return asked_s if said is None else said


def service_route(message: Message) -> tuple[str, ...]:
    """The proxies that our calls to the vendor go by (RFC 3608 §5), nearest to us first; empty = by none.

    Shape: a list that is too long, or has a URI that is no loose router's, is left out as a whole: with half
    of it a call would go astray.
    """
    values = message.headers("Service-Route")
    if len(values) > MOST_SERVICE_ROUTE or sum(map(len, values)) > LONGEST_SERVICE_ROUTE:
        return ()
    if not all(value.isprintable() and _is_loose(value) for value in values):
        return ()
    return tuple(values)


def redirected(message: Message, account: Account, been: Iterable[Target]) -> tuple[Target, str] | None:
    """Where a 3xx sends our REGISTER (RFC 3261 §8.1.3.4), and its Request-URI; None = nowhere that we go.

    Shape: `been` are the ways that this REGISTER was sent by already. Whoever can forge an answer could
    otherwise have us knock wherever it likes, and take an account over TLS in the clear. So the transport
    stays as it is, and the host is the registrar's own by another port, or an IP address: a public one,
    unless the registrar itself is at a private one. Other names are not looked up.
    """
    for value in message.headers("Contact")[:MOST_CONTACTS]:
        uri = _uri_of(value)
        try:
            parts = read_uri(uri)
        except ValueError:
            continue
        address = _address(parts, account)
        if address is None or not _keeps_transport(parts, uri, account.target):
            continue
        port = parts.port or USUAL_PORT[account.target.transport]
        target = structs.replace(account.target, remote=(address, port))
        if target not in been:
            return target, f"sip:{parts.host}" + ("" if parts.port is None else f":{parts.port}")
    return None


def _address(parts: UriParts, account: Account) -> str | None:
    host, own = parts.host.strip("[]").lower(), account.target.remote[0]
    if host in {account.host.lower(), account.domain.strip("[]").lower()}:
        return own
    try:
        there, here = ip_address(host), ip_address(own)
    except ValueError:
        return None
    if there.version != here.version or there.is_multicast or there.is_unspecified:
        return None
    return host if there.is_global or not here.is_global else None


def _keeps_transport(parts: UriParts, uri: str, target: Target) -> bool:
    named = uri.lower().partition(";transport=")[2].partition(";")[0].partition("?")[0]
    if parts.scheme == "sips":
        return target.transport == "TLS"
    return parts.scheme == "sip" and named in {"", target.transport.lower()}


def _is_loose(value: str) -> bool:
    try:
        parts = read_uri(read_address(value).uri)
    except ValueError:
        return False
    return parts.scheme in {"sip", "sips"} and parts.is_loose


def _uri_of(contact: str) -> str:
    try:
        return read_address(contact).uri
    except ValueError:
        return ""


def _place(uri: str) -> tuple[str, str, int] | None:
    """What of a Contact says that it is ours; its parameters may be changed (RFC 3261 §19.1.4)."""
    try:
        parts = read_uri(uri)
    except ValueError:
        return None
    return (parts.user, parts.host.lower(), parts.port or 5060)
