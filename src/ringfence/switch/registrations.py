# SPDX-License-Identifier: Apache-2.0
"""REGISTER: what the registrar decides, done in the edge and noted for calls."""

from collections.abc import Iterable
from email.utils import formatdate
from typing import Protocol, assert_never

from ringfence.clock import Clock
from ringfence.core import Edge, Request
from ringfence.registrar.bindings import Binding, Flow
from ringfence.registrar.register import Bind, Unbind
from ringfence.registrar.registrar import Registrar


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

    def __init__(self, edge: Edge, registrar: Registrar, clock: Clock) -> None:
        self._edge = edge
        self._bindings = registrar.bindings
        self._registrar = registrar
        self._clock = clock

    def answer(self, request: Request) -> None:
        """Have the registrar decide, and the edge keep to it.

        Raises: CoreError if the edge is stopping.
        """
        came = request.came
        flow = Flow(transport=came.transport, source=came.remote, local=came.local)
        now_us = self._clock.utc_us()
        answer = self._registrar.register(request.message, request.number or "", flow, now_us)
        headers = [*answer.headers, ("Date", formatdate(usegmt=True).encode())]
        match answer.change:
            case Bind(contact=contact, expires_s=expires_s):
                self._edge.bind(request.transaction, contact, expires_s, headers)
            case Unbind(contact=contact):
                self._edge.unbind(request.transaction, contact, headers)
            case None:
                self._edge.respond(request.transaction, answer.status, headers)
            case _:
                assert_never(answer.change)

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
