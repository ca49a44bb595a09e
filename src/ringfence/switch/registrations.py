# SPDX-License-Identifier: Apache-2.0
"""REGISTER: what the registrar decides, done in the edge and noted for calls."""

from email.utils import formatdate
from typing import assert_never

from ringfence.clock import Clock
from ringfence.core import Edge, Request
from ringfence.registrar.bindings import Bindings, Contact
from ringfence.registrar.register import Bind, Limits, Query, Refuse, Unbind, decide


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
                self._bindings.bound(number, self._contact(request, contact, expires_s))
            case Unbind(contact=contact):
                self._edge.unbind(request.id, contact, [date])
                self._bindings.unbound(number, None if contact is None else _text(contact))
            case Query():
                now_us = self._clock.utc_us()
                contacts = [
                    (
                        "Contact",
                        f"<{known.uri}>;expires={(known.expires_at_us - now_us) // 1_000_000}".encode(),
                    )
                    for known in self._bindings.of(number, now_us=now_us)
                ]
                self._edge.answer(request.id, 200, [*contacts, date])
            case Refuse(status=status, min_expires_s=None):
                self._edge.answer(request.id, status, [])
            case Refuse(status=status, min_expires_s=min_expires_s):
                self._edge.answer(request.id, status, [("Min-Expires", str(min_expires_s).encode())])
            case _:
                assert_never(decision)

    def _contact(self, request: Request, contact: bytes, expires_s: int) -> Contact:
        now_us = self._clock.utc_us()
        return Contact(
            uri=_text(contact),
            transport=request.transport.upper(),
            source=request.source,
            local=request.local,
            since_us=now_us,
            expires_at_us=now_us + expires_s * 1_000_000,
        )


def _text(contact: bytes) -> str:
    return contact.decode(errors="replace")
