# SPDX-License-Identifier: Apache-2.0
"""What the switch decided about a call, in sentences: noted while it happens, or read from its record.

Both make the same sentences, so that what was noted and stands in the record too is told once.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ringfence.ledger.reasons import END_REASON_BY_CODE, EndDirection
from ringfence.ledger.schema import Cdr, RouteAttempt
from ringfence.text import Sentence, sentence, unpacked, visible

_ATTEMPTS: Final = msgspec.json.Decoder(list[RouteAttempt])
_NAME: Final = 80
_PHONE: Final = 0


def encode(said: Sentence) -> bytes:
    """A sentence as the edge keeps it beside the messages."""
    return msgspec.json.encode(said.packed())


def decode(content: bytes) -> Sentence:
    """A sentence as `encode` gave it; anything else stands for itself."""
    try:
        return unpacked(msgspec.json.decode(content))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return sentence("{text}", text=_shown(content.decode("utf-8", "backslashreplace")))


def admitted(billing_mode: int, auth_number: str, caller: str, gateway: str) -> Sentence:
    """Who the caller is, by the fields of the record."""
    return admitted_phone(auth_number or caller) if billing_mode == _PHONE else admitted_gateway(gateway)


def admitted_gateway(name: str) -> Sentence:
    """The caller is a mapping gateway."""
    return sentence("Admitted: mapping gateway {name}", name=_shown(name))


def admitted_phone(number: str) -> Sentence:
    """The caller is a phone of ours."""
    return sentence("Admitted: phone {number}", number=_shown(number))


def numbers(caller: str, callee: str) -> Sentence:
    """What the rules for numbers made of caller and callee."""
    return sentence(
        "Numbers by the rules: {caller} calls {callee}", caller=_shown(caller), callee=_shown(callee)
    )


def attempted(number: int, gateway: str, callee: str) -> Sentence:
    """An INVITE goes to a gateway; attempts count from 1."""
    return sentence(
        "Attempt {number}: gateway {gateway}, number {callee}",
        number=number,
        gateway=_shown(gateway),
        callee=_shown(callee),
    )


def answered(number: int, status: int, why: str) -> Sentence:
    """What became of an attempt; status 0 = there was no answer, `why` is empty if nothing is to be added."""
    if not why and not status:
        return sentence("Attempt {number}: no answer", number=number)
    if not why:
        return sentence("Attempt {number}: answered with {status}", number=number, status=status)
    if not status:
        return sentence("Attempt {number}: no answer. {why}", number=number, why=_shown(why))
    return sentence(
        "Attempt {number}: answered with {status}. {why}", number=number, status=status, why=_shown(why)
    )


def ended(direction: int, reason: int) -> Sentence:
    """Who ended the call, and why."""
    found = END_REASON_BY_CODE.get(reason)
    why = sentence(found.text) if found else sentence("code {code}", code=reason)
    if direction == EndDirection.CALLER.value:
        return sentence("Ended by the caller: {why}", why=why)
    if direction == EndDirection.CALLEE.value:
        return sentence("Ended by the callee: {why}", why=why)
    return sentence("Ended by the switch: {why}", why=why)


def of_record(record: Cdr, finals: Mapping[str, int]) -> Iterator[tuple[int, Sentence]]:
    """When the switch decided what, by the record of a call.

    Shape: `finals` says when the final answer of each Call-ID came, UTC microseconds.
    """
    if record.kind != "call":
        return
    began_us, over_us = record.start * 1000, record.stop * 1000 + 999
    yield (
        began_us,
        admitted(record.billingMode, record.auth_number, record.callerE164, record.callerGateway),
    )
    if (record.callerE164, record.calleeE164) != (record.callerAccessE164, record.calleeAccessE164):
        yield began_us, numbers(record.callerE164, record.calleeE164)
    attempts = attempts_of(record)
    for number, attempt in enumerate(attempts, 1):
        sent_us = began_us + attempt.after_ms * 1000
        yield sent_us, attempted(number, attempt.gateway, attempt.callee)
        following_ms = _next_ms(attempts, number)
        given_up_us = over_us if following_ms is None else began_us + following_ms * 1000
        if attempt.status or attempt.why:
            yield finals.get(attempt.call_id, given_up_us), answered(number, attempt.status, attempt.why)
    yield over_us, ended(record.endDirection, record.endReason)


def _next_ms(attempts: Sequence[RouteAttempt], number: int) -> int | None:
    """When the attempt after this one began, None = there was none. Phones of a number begin together."""
    attempt = attempts[number - 1]
    begins = (each.after_ms for each in attempts[number:])
    return next((ms for ms in begins if attempt.gateway or ms > attempt.after_ms), None)


def attempts_of(record: Cdr) -> list[RouteAttempt]:
    """The routes that a call was sent to, in order."""
    try:
        return _ATTEMPTS.decode(record.route_attempts or "[]")
    except msgspec.MsgspecError:
        return []


def _shown(text: str) -> str:
    """A name or number from elsewhere inside a sentence of ours."""
    safe = visible(text[: _NAME + 1])
    return safe if len(safe) <= _NAME else f"{safe[: _NAME - 1]}…"
