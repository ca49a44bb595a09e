# SPDX-License-Identifier: Apache-2.0
"""A REGISTER from its message to its answer (RFC 3261 §10.3, RFC 3327 §5.3, RFC 5626 §6). Pure.

The guard has checked the credentials. The answer is sent, and the flow let in, by whoever has the socket.
"""

from dataclasses import dataclass, replace
from typing import Final, assert_never

from ringfence.core import Message
from ringfence.registrar.bindings import Binding, Bindings, Flow
from ringfence.registrar.contact import BEST_Q, Contact, contacts_of
from ringfence.registrar.register import Bind, Limits, Query, Refuse, Unbind, decide

MOST_PATH: Final = 8
"""So many proxies may stand between a phone and us."""

UNDERSTOOD: Final = frozenset({"path", "outbound"})
LONGEST_USER_AGENT: Final = 64

AnswerHeaders = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterAnswer:
    """What a REGISTER is answered with.

    Shape: `change` is what the edge does with the flow, None = nothing. `gone` are bindings that it ended.
    """

    status: int
    headers: AnswerHeaders
    change: Bind | Unbind | None = None
    gone: tuple[Binding, ...] = ()


class Registrar:
    """The registrar of a node: `bindings` are in force, `limits` those of the settings."""

    def __init__(self, limits: Limits, most: int) -> None:
        self.limits = limits
        self.bindings = Bindings(most)

    def configure(self, limits: Limits, most: int) -> None:
        """Bring settings into force; what is bound stays until it is renewed."""
        self.limits = limits
        self.bindings.most = most

    def register(self, message: Message, number: str, flow: Flow, now_us: int) -> RegisterAnswer:
        """Act on a REGISTER of a number that was proven."""
        contacts = _read(message)
        if isinstance(contacts, RegisterAnswer):
            return contacts
        asked = [(contact.uri.encode(), contact.expires_s) for contact in contacts]
        decision = decide(asked, _expires_s(message), self.limits)
        match decision:
            case Bind(contact=uri):
                contact = next(each for each in contacts if each.uri.encode() == uri)
                binding = _binding(message, number, flow, contact)
                return self._bind(message, binding, decision, now_us)
            case Unbind(contact=uri):
                gone = self.bindings.unbind(number, None if uri is None else uri.decode())
                return self._answer(message, number, now_us, change=decision, gone=gone)
            case Query():
                return self._answer(message, number, now_us)
            case Refuse(status=status, min_expires_s=least_s):
                told = [] if least_s is None else [("Min-Expires", b"%d" % least_s)]
                return RegisterAnswer(status=status, headers=told)
            case _:
                assert_never(decision)

    def _bind(self, message: Message, binding: Binding, bind: Bind, now_us: int) -> RegisterAnswer:
        expires_us = now_us + bind.expires_s * 1_000_000
        binding = replace(binding, since_us=now_us, expires_us=expires_us)
        if self.bindings.is_late(binding):
            return RegisterAnswer(status=500, headers=[("Retry-After", b"1")])
        gone = self.bindings.bind(binding)
        outbound: AnswerHeaders = []
        if binding.reg_id is not None:
            outbound.append(("Require", b"outbound"))
        return self._answer(message, binding.number, now_us, change=bind, gone=gone, more=outbound)

    def _answer(
        self,
        message: Message,
        number: str,
        now_us: int,
        *,
        change: Bind | Unbind | None = None,
        gone: tuple[Binding, ...] = (),
        more: AnswerHeaders | None = None,
    ) -> RegisterAnswer:
        """A 200 with every contact in force (RFC 3261 §10.3 step 8)."""
        headers = [("Contact", _written(each, now_us)) for each in self.bindings.of(number, now_us)]
        headers.append(("Supported", b"path, outbound"))
        headers += more or []
        if "path" in {option.lower() for option in message.headers("Supported")}:
            headers += [("Path", value.encode()) for value in message.headers("Path")]
        return RegisterAnswer(status=200, headers=headers, change=change, gone=gone)


def _read(message: Message) -> tuple[Contact, ...] | RegisterAnswer:
    """The contacts, or why the message is not looked at any further."""
    missing = [option for option in message.headers("Require") if option.lower() not in UNDERSTOOD]
    if missing:
        return RegisterAnswer(status=420, headers=[("Unsupported", ", ".join(missing).encode())])
    path = message.headers("Path")
    if len(path) > MOST_PATH or not all(value.isprintable() for value in path):
        return RegisterAnswer(status=400, headers=[])
    try:
        return contacts_of(message)
    except ValueError:
        return RegisterAnswer(status=400, headers=[])


def _binding(message: Message, number: str, flow: Flow, contact: Contact) -> Binding:
    """What is to be bound; its times come with the decision."""
    return Binding(
        number=number,
        contact=contact.uri,
        flow=flow,
        since_us=0,
        expires_us=0,
        q=contact.q,
        path=tuple(message.headers("Path")),
        instance=contact.instance,
        reg_id=contact.reg_id if _is_outbound(message, contact) else None,
        user_agent=(message.header("User-Agent") or "")[:LONGEST_USER_AGENT],
        call_id=message.call_id,
        cseq=message.cseq,
    )


def _is_outbound(message: Message, contact: Contact) -> bool:
    """Whether the flow is the phone's own, or that of a proxy that keeps it (RFC 5626 §6)."""
    if contact.reg_id is None or contact.instance is None:
        return False
    path = message.headers("Path")
    if not path:
        return len(message.headers("Via")) == 1
    uri = path[-1].partition("<")[2].partition(">")[0]
    return "ob" in {parameter.strip().lower() for parameter in uri.split(";")[1:]}


def _expires_s(message: Message) -> int | None:
    text = (message.header("Expires") or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None


def _written(binding: Binding, now_us: int) -> bytes:
    left_s = max(0, binding.expires_us - now_us) // 1_000_000
    text = f"<{binding.contact}>;expires={left_s}"
    if binding.q != BEST_Q:
        text += f";q=0.{binding.q:03}"
    if binding.instance is not None:
        text += f';+sip.instance="<{binding.instance}>"'
    if binding.reg_id is not None:
        text += f";reg-id={binding.reg_id}"
    return text.encode()
