# SPDX-License-Identifier: Apache-2.0
"""REGISTER: what the registrar decides, done in the edge and noted for calls."""

from collections.abc import Iterable
from email.utils import formatdate
from typing import Final, Protocol

from ringfence.clock import Clock
from ringfence.core import Edge, Request
from ringfence.registrar.bindings import Binding, Flow
from ringfence.registrar.registrar import Registrar

ON_THE_WAY_US: Final = 5_000_000
"""What was bound so lately may still be on its way to the edge."""


class FlowInForce(Protocol):
    """A contact as the edge lists it; addresses as "192.0.2.1:5060" or "[2001:db8::1]:5060"."""

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
    def q(self) -> int:
        """Preference in thousandths."""
        ...

    @property
    def path(self) -> str:
        """Values of Path with line feeds between them."""
        ...

    @property
    def instance(self) -> str:
        """The device, empty for none."""
        ...

    @property
    def reg_id(self) -> int:
        """Which of its flows, 0 for none."""
        ...

    @property
    def call_id(self) -> str:
        """Of the last REGISTER, the first 128 bytes."""
        ...

    @property
    def cseq(self) -> int:
        """Of the last REGISTER."""
        ...

    @property
    def user_agent(self) -> str:
        """What it calls itself."""
        ...

    @property
    def since_us(self) -> int:
        """When the last REGISTER came."""
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
        if not answer.ended and not answer.bound:
            self._edge.respond(request.transaction, answer.status, headers)
            return
        ended = [_identity(each) for each in answer.ended]
        bound = [(_identity(each), each.q, _path(each), _lasts_s(each)) for each in answer.bound]
        self._edge.register(request.transaction, ended, bound, headers)

    def restore(self, flows: Iterable[FlowInForce]) -> None:
        """Take over what was in force before a restart."""
        self._bindings.restore(map(binding_of, flows), self._clock.utc_us())

    def let_go(self, flows: Iterable[FlowInForce], *, asked_us: int) -> None:
        """Let go of what has run out, and of what the edge has not; newer ones stay."""
        self._bindings.expire(self._clock.utc_us())
        held = {(each.number, each.key, each.flow) for each in map(binding_of, flows)}
        old = [each for each in self._bindings if each.since_us < asked_us - ON_THE_WAY_US]
        self._bindings.end(each for each in old if (each.number, each.key, each.flow) not in held)


def binding_of(flow: FlowInForce) -> Binding:
    """A contact of the edge as the binding that it stands for."""
    return Binding(
        number=flow.number,
        contact=flow.contact,
        flow=Flow(transport=flow.transport.upper(), source=_address(flow.source), local=_address(flow.local)),
        since_us=flow.since_us,
        expires_us=flow.expires_at_us,
        q=flow.q,
        path=tuple(flow.path.split("\n")) if flow.path else (),
        instance=flow.instance or None,
        reg_id=flow.reg_id or None,
        user_agent=flow.user_agent,
        call_id=flow.call_id,
        cseq=flow.cseq,
    )


def _identity(binding: Binding) -> tuple[bytes, bytes, int]:
    return binding.contact.encode(), (binding.instance or "").encode(), binding.reg_id or 0


def _path(binding: Binding) -> bytes:
    return "\n".join(binding.path).encode()


def _lasts_s(binding: Binding) -> int:
    return (binding.expires_us - binding.since_us) // 1_000_000


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
