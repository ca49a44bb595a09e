# SPDX-License-Identifier: Apache-2.0
"""A REGISTER from its message to its answer (RFC 3261 §10.3, RFC 3327 §5.3, RFC 5626 §6). Pure.

The guard has checked the credentials. The answer is sent, and the flow let in, by whoever has the socket.
"""

from dataclasses import dataclass
from typing import Final, assert_never

from ringfence.core import Message
from ringfence.registrar.bindings import Binding, Bindings, Flow
from ringfence.registrar.contact import BEST_Q, Contact, contacts_of, read_expires
from ringfence.registrar.register import Clear, Limits, Query, Refuse, Update, decide

MOST_PATH: Final = 8
"""So many proxies may stand between a phone and us."""

LONGEST_PATH: Final = 1024
"""Bytes of all values of Path with one between them: what the journal keeps."""

UNDERSTOOD: Final = frozenset({"path", "outbound"})
LONGEST_USER_AGENT: Final = 64

AnswerHeaders = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterAnswer:
    """What a REGISTER is answered with.

    Shape: the edge ends what is in `ended`, then puts in force what is in `bound`.
    """

    status: int
    headers: AnswerHeaders
    ended: tuple[Binding, ...] = ()
    bound: tuple[Binding, ...] = ()


OVERTAKEN: Final = RegisterAnswer(status=500, headers=[("Retry-After", b"1")])
"""A newer REGISTER of the same phone was taken already (RFC 3261 §10.3)."""


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
        decision = decide(contacts, read_expires(_expires(message)), self.limits, self.bindings.most)
        match decision:
            case Update():
                return self._update(message, number, flow, decision, now_us)
            case Clear():
                if self.bindings.is_overtaken(number, message.call_id, message.cseq):
                    return OVERTAKEN
                return self._answer(message, number, now_us, ended=self.bindings.unbind(number, None))
            case Query():
                return self._answer(message, number, now_us)
            case Refuse(status=status, min_expires_s=least_s):
                told = [] if least_s is None else [("Min-Expires", b"%d" % least_s)]
                return RegisterAnswer(status=status, headers=told)
            case _:
                assert_never(decision)

    def _update(
        self, message: Message, number: str, flow: Flow, update: Update, now_us: int
    ) -> RegisterAnswer:
        """All contacts of a REGISTER, or none (RFC 3261 §10.3 step 7)."""
        here = _Here(message=message, number=number, flow=flow, now_us=now_us)
        going = [_binding(here, contact, 0) for contact in update.ended]
        coming = [_binding(here, contact, lasts_s) for contact, lasts_s in update.bound]
        if any(map(self.bindings.is_late, [*going, *coming])):
            return OVERTAKEN
        ended: list[Binding] = []
        for each in going:
            ended += self.bindings.unbind(number, each.contact, each.key)
        for each in coming:
            ended += self.bindings.bind(each)
        outbound: AnswerHeaders = []
        if any(each.reg_id is not None for each in coming):
            outbound.append(("Require", b"outbound"))
        bound = tuple({each.key: each for each in coming}.values())
        return self._answer(message, number, now_us, ended=tuple(ended), bound=bound, more=outbound)

    def _answer(
        self,
        message: Message,
        number: str,
        now_us: int,
        *,
        ended: tuple[Binding, ...] = (),
        bound: tuple[Binding, ...] = (),
        more: AnswerHeaders | None = None,
    ) -> RegisterAnswer:
        """A 200 with every contact in force (RFC 3261 §10.3 step 8)."""
        headers = [("Contact", _written(each, now_us)) for each in self.bindings.of(number, now_us)]
        headers.append(("Supported", b"path, outbound"))
        headers += more or []
        if "path" in {option.lower() for option in message.headers("Supported")}:
            headers += [("Path", value.encode()) for value in message.headers("Path")]
        return RegisterAnswer(status=200, headers=headers, ended=ended, bound=bound)


def _read(message: Message) -> tuple[Contact, ...] | RegisterAnswer:
    """The contacts, or why the message is not looked at any further."""
    missing = [option for option in message.headers("Require") if option.lower() not in UNDERSTOOD]
    if missing:
        return RegisterAnswer(status=420, headers=[("Unsupported", ", ".join(missing).encode())])
    path = message.headers("Path")
    is_kept = len(path) <= MOST_PATH and len("\n".join(path).encode()) <= LONGEST_PATH
    if not is_kept or not all(value.isprintable() for value in path):
        return RegisterAnswer(status=400, headers=[])
    try:
        return contacts_of(message)
    except ValueError:
        return RegisterAnswer(status=400, headers=[])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """What the contacts of one REGISTER have in common."""

    message: Message
    number: str
    flow: Flow
    now_us: int


def _binding(here: _Here, contact: Contact, lasts_s: int) -> Binding:
    message = here.message
    return Binding(
        number=here.number,
        contact=contact.uri,
        flow=here.flow,
        since_us=here.now_us,
        expires_us=here.now_us + lasts_s * 1_000_000,
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


def _expires(message: Message) -> str | None:
    text = message.header("Expires")
    return None if text is None else text.strip()


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
