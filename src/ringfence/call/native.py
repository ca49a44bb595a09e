# SPDX-License-Identifier: Apache-2.0
"""The engine that runs in the native edge, as the call layer knows it."""

from collections.abc import Callable
from typing import assert_never

from ringfence import core
from ringfence.call.engine import (
    NO_HEADERS,
    Ack,
    Cancel,
    Ended,
    Event,
    Frame,
    Headers,
    Request,
    Response,
    Target,
    Why,
)
from ringfence.core import Came, Edge

Shown = Callable[[str, tuple[str, int]], tuple[str, int]]
"""The address that others see, by transport and the address bound: another one behind 1:1 NAT."""


def as_bound(_transport: str, local: tuple[str, int]) -> tuple[str, int]:
    """No NAT: others see the address that is bound."""
    return local


class NativeEngine:
    """Orders to an edge. Implements `engine.Engine`.

    Raises: ValueError for what cannot be written, CoreError("stopped") once the edge is stopped.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

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
        """Answer a request."""
        self._edge.respond(transaction, status, headers, body, tag=tag, frame=_frame(frame))

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
        """Send a request; the number of its transaction."""
        return self._edge.send(
            _target(target), method, uri, headers, body, max_forwards=max_forwards, frame=_frame(frame)
        )

    def acknowledge(
        self, transaction: int, target: Target, uri: str, headers: Headers, body: bytes = b""
    ) -> None:
        """Send the ACK for a 2xx."""
        self._edge.acknowledge(transaction, _target(target), uri, headers, body)

    def cancel(self, transaction: int, headers: Headers = NO_HEADERS) -> None:
        """Send a CANCEL."""
        self._edge.cancel(transaction, headers)

    def open(self, tag: str, call_id: str) -> None:
        """Admit requests inside dialogs with this tag and this Call-ID."""
        self._edge.open(tag, call_id)

    def close(self, tag: str) -> None:
        """Admit none any more."""
        self._edge.close(tag)

    def append(self, frame: Frame) -> None:
        """Write a frame that goes with no message."""
        self._edge.append((frame.kind, frame.payload, frame.is_durable))


def event_of(
    event: core.Request | core.Response | core.Ack | core.Cancel | core.Ended, shown: Shown = as_bound
) -> Event:
    """What the edge says, as an event of the call layer."""
    match event:
        case core.Request():
            return Request(
                transaction=event.transaction,
                message=event.message,
                came=_came(event.came, shown),
                gateway_id=event.gateway_id,
                number=event.number,
                settles=event.settles,
            )
        case core.Response():
            return Response(
                transaction=event.transaction, message=event.message, came=_came(event.came, shown)
            )
        case core.Ack():
            return Ack(transaction=event.transaction, message=event.message)
        case core.Cancel():
            return Cancel(transaction=event.transaction, message=event.message)
        case core.Ended():
            return Ended(transaction=event.transaction, why=Why(event.why))
        case _:
            assert_never(event)


def _came(came: Came, shown: Shown) -> Target:
    return Target(
        transport=came.transport,
        remote=came.remote,
        local=came.local,
        shown=shown(came.transport, came.local),
        is_flow=came.is_flow,
    )


def _target(
    target: Target,
) -> tuple[str, tuple[str, int | None], tuple[str, int], tuple[str, int], bool, str]:
    return target.transport, target.remote, target.local, target.shown, target.is_flow, target.domain


def _frame(frame: Frame | None) -> tuple[int, bytes, bool] | None:
    return None if frame is None else (frame.kind, frame.payload, frame.is_durable)
