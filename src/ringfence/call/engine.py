# SPDX-License-Identifier: Apache-2.0
"""Between the call layer and the transaction engine: events that come in, orders that go out.

The engine owns transactions: it repeats, matches and times messages (RFC 3261 §17), writes Via, Max-Forwards
and Content-Length, and answers CANCEL and what belongs to no dialog. Orders are carried out in the order they
were given; nothing here waits.
"""

from enum import Enum
from typing import Final, Protocol

import msgspec

from ringfence.core import Message

Headers = list[tuple[str, bytes]]
"""Names and values in the order written. What cannot be written (a value with CR, LF or NUL, a URI that is
none) raises ValueError when the order is given."""

NO_HEADERS: Final[Headers] = []


class Moment(msgspec.Struct, frozen=True):
    """Now, on two clocks: `mono_s` for lengths, in seconds; `utc_us` for stamps, microseconds since 1970."""

    mono_s: float
    utc_us: int


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The way to a far end, or from one: what a message goes over.

    Shape: `remote` is a host and a port; a port of None and a name are resolved by RFC 3263. `local` is the
    address bound, `shown` the one that others see (another one behind 1:1 NAT). `is_flow` = only over the
    connection or mapping that is there already, as for a registered phone. `domain` is for TLS: the name that
    the far end's certificate has to bear (RFC 5922 §4); empty = only over a connection that is there already.
    """

    transport: str
    remote: tuple[str, int | None]
    local: tuple[str, int]
    shown: tuple[str, int]
    is_flow: bool = False
    domain: str = ""

    @property
    def uri(self) -> str:
        """The far end as a URI."""
        host, port = self.remote
        host = f"[{host}]" if ":" in host else host
        return f"sip:{host}" if port is None else f"sip:{host}:{port}"

    @property
    def shown_host(self) -> str:
        """The host of `shown` as a URI has it."""
        host = self.shown[0]
        return f"[{host}]" if ":" in host else host


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A new server transaction.

    Shape: `gateway_id` is the mapping gateway that sent it, `number` the phone (of ours) that its credentials
    or its flow prove; one of them is None, or both inside a dialog. `settles` as in `ledger.schema.Call`.
    """

    transaction: int
    message: Message
    came: Target
    gateway_id: int | None = None
    number: str | None = None
    settles: int = 0


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """To a client transaction: each provisional one, 100 too, and each final one once.

    Shape: an INVITE may get several 2xx, one for each fork (RFC 3261 §13.2.2.4).
    """

    transaction: int
    message: Message
    came: Target


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The ACK for a 2xx that we sent to an INVITE."""

    transaction: int
    message: Message


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """A CANCEL for an INVITE that has no final answer; the CANCEL is answered, the INVITE wants a 487."""

    transaction: int
    message: Message


class Why(Enum):
    """Why a transaction ended without the answer it was owed."""

    OVER = "over"
    """An INVITE that had a 2xx: no other fork can answer any more, or no repetition needs its ACK."""
    NO_RESPONSE = "no_response"
    NO_ACK = "no_ack"
    TRANSPORT = "transport"
    """The request could not be sent, or the connection that it went over is gone."""
    CANCEL_UNANSWERED = "cancel_unanswered"
    NOT_RECORDED = "not_recorded"
    """Its frame could not be written: the request was not sent, the INVITE was answered 503 instead."""
    NO_ROOM = "no_room"
    """There are as many transactions as there may be; the request was not sent."""

    @property
    def is_ours(self) -> bool:
        """Whether it says something about this node and nothing about the far end."""
        return self in {Why.NOT_RECORDED, Why.NO_ROOM}

    @property
    def status(self) -> int:
        """What it counts as (RFC 3261 §8.1.3.1); an INVITE that was cancelled may get no answer (§9.1)."""
        if self is Why.CANCEL_UNANSWERED:
            return 487
        return 503 if self is Why.TRANSPORT or self.is_ours else 408


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The last event of a transaction that no final response or ACK has ended, or whose frame is unwritten.

    Shape: a client transaction other than INVITE ends with its final response or with this; an INVITE client
    ends with a failure response or with this, after a 2xx too; an INVITE server that answered with 2xx ends
    with its ACK or with this.
    """

    transaction: int
    why: Why


Event = Request | Response | Ack | Cancel | Ended


class Frame(msgspec.Struct, frozen=True):
    """A frame of the calls journal; a durable one is on disk before the message it goes with leaves."""

    kind: int
    payload: bytes
    is_durable: bool = False


class Engine(Protocol):
    """What the call layer may order. An order about a transaction that is over does nothing."""

    def respond(
        self,
        transaction: int,
        status: int,
        headers: Headers,
        body: bytes = b"",
        *,
        tag: str = "",
        frame: Frame | None = None,
    ) -> None:
        """Answer a request.

        Shape: `tag` goes into To where it has none. A 2xx to INVITE is repeated until its ACK. Record-Route
        is copied from the request (RFC 3261 §12.1.1).
        """
        ...

    def send(
        self,
        target: Target,
        method: str,
        uri: str,
        headers: Headers,
        body: bytes = b"",
        *,
        max_forwards: int = 70,
        frame: Frame | None = None,
    ) -> int:
        """Send a request as a new client transaction; its number, which is never used again."""
        ...

    def acknowledge(
        self, transaction: int, target: Target, uri: str, headers: Headers, body: bytes = b""
    ) -> None:
        """Send the ACK for a 2xx; it is sent again for each repetition of the 2xx with the same To tag."""
        ...

    def cancel(self, transaction: int, headers: Headers = NO_HEADERS) -> None:
        """Send a CANCEL as soon as a provisional response allows it (RFC 3261 §9.1)."""
        ...

    def open(self, tag: str, call_id: str) -> None:
        """Admit requests inside dialogs with this tag of ours and this Call-ID."""
        ...

    def close(self, tag: str) -> None:
        """Admit none any more."""
        ...

    def append(self, frame: Frame) -> None:
        """Write a frame that goes with no message."""
        ...
