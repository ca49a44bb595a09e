# SPDX-License-Identifier: Apache-2.0
"""A dialog as one of its two ends sees it (RFC 3261 §12)."""

from dataclasses import dataclass
from typing import Self

from ringfence.call.engine import Headers, Target
from ringfence.core import Message, UriParts, read_uri
from ringfence.ledger.schema import DialogState

_GAP = 10_000
"""How far a restarted switch counts on: requests since the answer may have used numbers."""


@dataclass(slots=True, kw_only=True)
class Dialog:
    """One dialog, early or confirmed.

    Shape: parties are values of From and To with their tags, as they go into requests of ours. `remote_seq`
    None = the far end has sent no request. `hop` is the way of requests to `remote_target` by `route_set`,
    None = not worked out yet.
    """

    call_id: str
    local_tag: str
    remote_tag: str
    local_party: str
    remote_party: str
    local_seq: int
    remote_seq: int | None
    remote_target: str
    route_set: tuple[str, ...] = ()
    is_confirmed: bool = False
    hop: Target | None = None

    @classmethod
    def of_request(cls, message: Message, local_tag: str, remote_target: str) -> Self:
        """The called end, once it answers with a tag (RFC 3261 §12.1.1)."""
        return cls(
            call_id=message.call_id,
            local_tag=local_tag,
            remote_tag=message.from_tag,
            local_party=f"{_party(message, 'To')};tag={local_tag}",
            remote_party=_party(message, "From"),
            local_seq=0,
            remote_seq=message.cseq,
            remote_target=remote_target,
            route_set=_routes(message),
        )

    @classmethod
    def of_response(cls, message: Message, *, local_tag: str, local_party: str, asked: str) -> Self:
        """The calling end, by a response with a tag (RFC 3261 §12.1.2); `asked` is the URI that was called.

        Shape: a response without Contact leaves the URI called as target; there is no better one.
        """
        return cls(
            call_id=message.call_id,
            local_tag=local_tag,
            remote_tag=message.to_tag,
            local_party=local_party,
            remote_party=_party(message, "To"),
            local_seq=message.cseq,
            remote_seq=None,
            remote_target=contact_of(message) or asked,
            route_set=_routes(message)[::-1],
        )

    @classmethod
    def of_state(cls, state: DialogState) -> Self:
        """A dialog of a switch that is no more."""
        return cls(
            call_id=state.call_id,
            local_tag=_tag(state.local_party),
            remote_tag=_tag(state.remote_party),
            local_party=state.local_party,
            remote_party=state.remote_party,
            local_seq=state.local_seq + _GAP,
            remote_seq=None,
            remote_target=state.remote_target,
            route_set=state.route_set,
            is_confirmed=True,
        )

    def confirm(self, message: Message) -> None:
        """A 2xx came: its route set counts, not the one of a response before (RFC 3261 §13.2.2.4)."""
        self.is_confirmed = True
        self.remote_target = contact_of(message) or self.remote_target
        self.route_set = _routes(message)[::-1]
        self.hop = None

    def refresh(self, message: Message) -> bool:
        """Take over the Contact of a target refresh (RFC 3261 §12.2.1.2, §12.2.2); whether it changed."""
        contact = contact_of(message)
        if contact is None or contact == self.remote_target:
            return False
        self.remote_target = contact
        self.hop = None
        return True

    def takes(self, cseq: int) -> bool:
        """Whether a request of the far end is in order (RFC 3261 §12.2.2); if so, it counts."""
        if self.remote_seq is not None and cseq <= self.remote_seq:
            return False
        self.remote_seq = cseq
        return True

    def next_seq(self) -> int:
        """The number of our next request."""
        self.local_seq += 1
        return self.local_seq

    def request(self, method: str, seq: int) -> tuple[str, Headers]:
        """Request-URI and headers of a request of ours (RFC 3261 §12.2.1.1)."""
        uri = self.remote_target
        routes = self.route_set
        if routes and not _is_loose(routes[0]):
            # A strict router: its URI is asked, and the target is the last of the route.
            uri = _uri_of(routes[0])
            routes = (*routes[1:], f"<{self.remote_target}>")
        headers: Headers = [("Route", route.encode()) for route in routes]
        headers += [
            ("From", self.local_party.encode()),
            ("To", self.remote_party.encode()),
            ("Call-ID", self.call_id.encode()),
            ("CSeq", b"%d %s" % (seq, method.encode())),
        ]
        return uri, headers

    def next_hop(self, over: Target) -> Target:
        """Where requests of ours go; transport and local address are those of `over`.

        Shape: a URI that cannot be read goes where `over` goes, and so does everything over TLS: only there
        is the far end the one that the certificate names, or the one that called.
        """
        if over.transport == "TLS":
            return over
        if self.hop is None:
            self.hop = _hop(_uri_of(self.route_set[0]) if self.route_set else self.remote_target, over)
        return self.hop

    def state(self, hop: Target) -> DialogState:
        """What a restarted switch needs to end it; `hop` is where its requests go."""
        return DialogState(
            call_id=self.call_id,
            local_party=self.local_party,
            remote_party=self.remote_party,
            local_seq=self.local_seq,
            remote_target=self.remote_target,
            route_set=self.route_set,
            transport=hop.transport,
            remote=(hop.remote[0], hop.remote[1] or 0),
            local=hop.local,
            shown=hop.shown,
            is_flow=hop.is_flow,
            domain=hop.domain,
        )


def contact_of(message: Message) -> str | None:
    """Where requests may go; None if there is no Contact, or one that cannot stand in a Request-URI."""
    contact = message.contact
    return None if contact is None or _parts(contact) is None else contact


def target_of(state: DialogState) -> Target:
    """The way to the far end of a dialog of a switch that is no more."""
    host, port = state.remote
    return Target(
        transport=state.transport,
        remote=(host, port or None),
        local=state.local,
        shown=state.shown,
        is_flow=state.is_flow,
        domain=state.domain,
    )


def _party(message: Message, name: str) -> str:
    """From or To for requests of ours; what a name may have and they may not is another character there."""
    return (message.header(name) or "").replace("\0", "?")


def _routes(message: Message) -> tuple[str, ...]:
    """The route as it came, with names as those of parties."""
    return tuple(route.replace("\0", "?") for route in message.headers("Record-Route"))


def _tag(party: str) -> str:
    return party.rpartition(";tag=")[2]


def _uri_of(address: str) -> str:
    """What stands between the angle brackets of a route; they are always there (RFC 3261 §20.34)."""
    return address.partition("<")[2].partition(">")[0]


def _parts(uri: str) -> UriParts | None:
    try:
        return read_uri(uri)
    except ValueError:
        return None


def _is_loose(route: str) -> bool:
    parts = _parts(_uri_of(route))
    # What cannot be read is taken for what nearly everyone sends.
    return parts is None or parts.is_loose


def _hop(uri: str, over: Target) -> Target:
    parts = _parts(uri)
    if parts is None or not parts.host:
        return over
    if (parts.host, parts.port) == over.remote:
        return over
    return Target(
        transport=over.transport,
        remote=(parts.host.strip("[]"), parts.port),
        local=over.local,
        shown=over.shown,
    )
