# SPDX-License-Identifier: Apache-2.0
"""REGISTER: what the registrar decides, done in the edge and noted for calls."""

from collections.abc import Iterable
from email.utils import formatdate
from typing import Protocol, assert_never

from ringfence.clock import Clock
from ringfence.core import Edge, Request
from ringfence.registrar.bindings import Binding, Bindings, Flow
from ringfence.registrar.register import Bind, Limits, Query, Refuse, Unbind, decide


class FlowInForce(Protocol):
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
    def user_agent(self) -> str:
        """What it calls itself."""
        ...

    @property
    def since_us(self) -> int:
        """When it was made."""
        ...

    @property
    def expires_at_us(self) -> int:
        """When it ends."""
        ...


class Registrations:
    """Answers REGISTERs that the edge let through; their credentials are right."""

    def __init__(self, edge: Edge, bindings: Bindings, clock: Clock) -> None:
        self._edge = edge
        self._bindings = bindings
        self._clock = clock

    def answer(self, request: Request, limits: Limits) -> None:
        """Bind, unbind, tell or refuse.

        Raises: CoreError if the edge is stopping.
        """
        decision = decide(request.contacts, request.expires_s, limits)
        date = ("Date", formatdate(usegmt=True).encode())
        number = request.number or ""
        match decision:
            case Bind(contact=contact, expires_s=expires_s):
                value = b"<%s>;expires=%d" % (contact, expires_s)
                self._edge.bind(request.id, contact, expires_s, [("Contact", value), date])
                self._bindings.bind(self._binding(request, contact, expires_s))
            case Unbind(contact=contact):
                self._edge.unbind(request.id, contact, [date])
                self._bindings.unbind(number, None if contact is None else _text(contact))
            case Query():
                now_us = self._clock.utc_us()
                contacts = [
                    (
                        "Contact",
                        f"<{known.contact}>;expires={(known.expires_us - now_us) // 1_000_000}".encode(),
                    )
                    for known in self._bindings.of(number, now_us)
                ]
                self._edge.answer(request.id, 200, [*contacts, date])
            case Refuse(status=status, min_expires_s=None):
                self._edge.answer(request.id, status, [])
            case Refuse(status=status, min_expires_s=min_expires_s):
                self._edge.answer(request.id, status, [("Min-Expires", str(min_expires_s).encode())])
            case _:
                assert_never(decision)

    def _binding(self, request: Request, contact: bytes, expires_s: int) -> Binding:
        now_us = self._clock.utc_us()
        return Binding(
            number=request.number or "",
            contact=_text(contact),
            flow=Flow(transport=request.transport.upper(), source=request.source, local=request.local),
            since_us=now_us,
            expires_us=now_us + expires_s * 1_000_000,
        )

    def restore(self, flows: Iterable[FlowInForce]) -> None:
        """Take over what was in force before a restart."""
        self._bindings.restore(map(binding_of, flows), self._clock.utc_us())

    def let_go(self, flows: Iterable[FlowInForce], *, asked_us: int) -> None:
        """Let go of what the edge has let go: a connection was closed. Newer ones stay."""
        now_us = self._clock.utc_us()
        held = {binding_of(flow).flow for flow in flows}
        known = [each for number in self._bindings.numbers() for each in self._bindings.of(number, now_us)]
        for lost in {each.flow for each in known if each.since_us < asked_us} - held:
            self._bindings.lose(lost)


def binding_of(flow: FlowInForce) -> Binding:
    """A flow of the edge as the binding that it stands for; what else its REGISTER said is not known."""
    return Binding(
        number=flow.number,
        contact=flow.contact,
        flow=Flow(transport=flow.transport.upper(), source=_address(flow.source), local=_address(flow.local)),
        since_us=flow.since_us,
        expires_us=flow.expires_at_us,
        user_agent=flow.user_agent,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _text(contact: bytes) -> str:
    return contact.decode(errors="replace")
