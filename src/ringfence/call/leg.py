# SPDX-License-Identifier: Apache-2.0
"""One side of a call: its far end, its dialogs, and what was last said about media on it."""

import re
from dataclasses import dataclass, field
from itertools import compress, product
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from ringfence.call.dialog import Dialog
from ringfence.call.digest import DigestClient
from ringfence.call.engine import Engine, Headers, Target
from ringfence.call.headers import ALLOW, ALLOW_REFER, options
from ringfence.call.identity import uri_of
from ringfence.call.plan import Side
from ringfence.call.session_timer import Agreed
from ringfence.call.timers import Timer
from ringfence.core import Message

if TYPE_CHECKING:
    from ringfence.call.b2bua import Call


_EXTENSIONS = (b"timer", b"100rel", b"replaces")
_SUPPORTED = {
    are: ("Supported", b", ".join(compress(_EXTENSIONS, are)))
    for are in product((True, False), repeat=len(_EXTENSIONS))
}


_ORIGIN = re.compile(rb"^o=.*$", re.MULTILINE)
_DIRECTION = re.compile(rb"^a=(?:sendrecv|sendonly|recvonly|inactive)\r?\n", re.MULTILINE)
_HELD = re.compile(rb"^a=(?:recvonly|inactive)(?=\r?$)", re.MULTILINE)


class Session(msgspec.Struct, frozen=True):
    """A body that describes a session, with its Content-Type."""

    content_type: bytes
    body: bytes

    @property
    def headers(self) -> Headers:
        """What goes with the body."""
        return [("Content-Type", self.content_type)]

    def is_like(self, other: "Session") -> bool:
        """Whether both describe the same media, whatever versions they have (RFC 3264 §8)."""
        return self.content_type == other.content_type and _untold(self.body) == _untold(other.body)

    def is_at(self, other: "Session") -> bool:
        """Whether both have the same media in the same place, whoever is held."""
        one, two = (Session(each.content_type, _DIRECTION.sub(b"", each.body)) for each in (self, other))
        return one.is_like(two)

    @property
    def resumed(self) -> "Session":
        """The same without a hold: who was held answered recvonly or inactive (RFC 3264 §8.4)."""
        return Session(self.content_type, _HELD.sub(b"a=sendrecv", self.body))


def _untold(body: bytes) -> bytes:
    return _ORIGIN.sub(b"", body)


def session_of(message: Message) -> Session | None:
    """The body of a message, if it has one."""
    if not message.has_body:
        return None
    return Session((message.header("Content-Type") or "application/sdp").encode(), message.body)


class Sent(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A request of ours inside a dialog, so that it can be sent again with credentials.

    Shape: `headers` without those of the dialog and credentials. `tries` = how often it was sent again.
    """

    transaction: int
    seq: int
    dialog: Dialog
    method: str
    headers: Headers
    body: bytes
    tries: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Leg:
    """One side of a call.

    Shape: `dialogs` by our tag and the far end's: several while leg B is forked or leg A is told of forks;
    `dialog` is the confirmed one, or the one that spoke last. `got` and `sent` are the session descriptions
    in force. `allows` are methods the far end names, empty = it did not say. `digest` has our credentials at
    the far end, if it gave us any; `invited_with` are those of the last INVITE.
    """

    call: "Call"
    is_caller: bool
    side: Side
    target: Target
    number: str
    dialogs: dict[tuple[str, str], Dialog] = field(default_factory=dict)
    dialog: Dialog | None = None
    allows: frozenset[str] = frozenset()
    knows_timer: bool = False
    timer: Agreed | None = None
    got: Session | None = None
    sent: Session | None = None
    digest: DigestClient | None = None
    invited_with: Headers = field(default_factory=list)

    @property
    def contact(self) -> tuple[str, bytes]:
        """Our Contact on this side."""
        host, port = self.target.shown
        host = f"[{host}]" if ":" in host else host
        transport = "" if self.target.transport == "UDP" else f";transport={self.target.transport.lower()}"
        return ("Contact", f"<{uri_of(self.number, f'{host}:{port}')}{transport}>".encode())

    @property
    def allow(self) -> tuple[str, bytes]:
        """Our Allow on this side."""
        return ALLOW if self.side.phone is None else ALLOW_REFER

    def allow_but(self, method: str) -> tuple[str, bytes]:
        """The same where the other side does not take a method."""
        name, value = self.allow
        return (name, b", ".join(each for each in value.split(b", ") if each != method.encode()))

    @property
    def supported(self) -> tuple[str, bytes]:
        """Our Supported on this side."""
        return _SUPPORTED[self.side.session_timer, self.side.rel100, self.side.may_replace]

    @property
    def supported_without_100rel(self) -> tuple[str, bytes]:
        """The same where nobody would acknowledge what is provisional: in all but the first INVITE."""
        return _SUPPORTED[self.side.session_timer, False, self.side.may_replace]

    @property
    def refresh_timer(self) -> Timer:
        """When we refresh the session."""
        return Timer.REFRESH_CALLER if self.is_caller else Timer.REFRESH_CALLEE

    @property
    def give_up_timer(self) -> Timer:
        """When we hang up because nobody did."""
        return Timer.GIVE_UP_CALLER if self.is_caller else Timer.GIVE_UP_CALLEE

    def learn(self, message: Message) -> None:
        """Take over what a message of the far end says about it."""
        allows = options(message, "Allow")
        if allows:
            self.allows = allows
        if not self.knows_timer:
            self.knows_timer = "timer" in options(message, "Supported") | options(message, "Require")

    def saw(self, came: Target) -> None:
        """A message came: a phone behind NAT is where it sends from."""
        if self.side.to_source and (came := structs.replace(came, domain=self.target.domain)) != self.target:
            self.target = came

    def hop(self, dialog: Dialog) -> Target:
        """Where requests of ours go."""
        if self.side.to_source or self.target.is_flow:
            return self.target
        return dialog.next_hop(self.target)

    def send(
        self,
        engine: Engine,
        dialog: Dialog,
        method: str,
        headers: Headers,
        body: bytes = b"",
        *,
        tries: int = 0,
    ) -> Sent:
        """Send a request inside a dialog; `tries` as in `Sent`."""
        seq = dialog.next_seq()
        uri, own = dialog.request(method, seq)
        own += self.credentials(method, uri)
        transaction = engine.send(self.hop(dialog), method, uri, own + headers, body)
        return Sent(
            transaction=transaction,
            seq=seq,
            dialog=dialog,
            method=method,
            headers=headers,
            body=body,
            tries=tries,
        )

    def credentials(self, method: str, uri: str) -> Headers:
        """What a request to the far end carries because it asked for it."""
        if self.digest is None:
            return []
        found = self.digest.headers(method, uri)
        if method == "INVITE":
            self.invited_with = found
        return found

    def again(self, engine: Engine, sent: Sent, message: Message) -> Sent | None:
        """Send a request again that was answered 401 or 407; None = that is its answer (RFC 3261 §22.2)."""
        if self.digest is None or not self.digest.takes(message, sent.tries):
            return None
        return self.send(engine, sent.dialog, sent.method, sent.headers, sent.body, tries=sent.tries + 1)

    def forget(self) -> None:
        """The call is over: what was said on this side is of no use any more."""
        self.dialogs.clear()
        self.dialog = self.got = self.sent = None

    def acknowledge(
        self, engine: Engine, dialog: Dialog, transaction: int, seq: int, session: Session | None
    ) -> None:
        """Send the ACK for a 2xx to the INVITE with that number, and its credentials (RFC 3261 §13.2.2.4)."""
        uri, own = dialog.request("ACK", seq)
        own += self.invited_with
        headers = own if session is None else own + session.headers
        body = b"" if session is None else session.body
        engine.acknowledge(transaction, self.hop(dialog), uri, headers, body)
