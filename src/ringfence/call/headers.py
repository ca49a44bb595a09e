# SPDX-License-Identifier: Apache-2.0
"""Headers that the switch writes, and the one list of those that pass from one side to the other."""

from typing import Final

from ringfence.call.engine import Headers
from ringfence.core import Message

METHODS: Final = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "MESSAGE")
ALLOW: Final = ("Allow", ", ".join(METHODS).encode())
ALLOW_REFER: Final = ("Allow", ", ".join((*METHODS, "REFER")).encode())
"""For phones, which may transfer calls."""

ACCEPT: Final = ("Accept", b"application/sdp")
_SDP_RANGES: Final = frozenset({"application/sdp", "application/*", "*/*"})
NONE: Final[frozenset[str]] = frozenset()
UNDERSTOOD: Final = frozenset({"100rel", "replaces", "timer"})
"""Extensions that a request may require of us (RFC 3261 §8.2.2.3)."""

PASSED: Final = frozenset(
    {
        "identity",
        "info-package",
        "p-early-media",
        "priority",
        "reason",
        "recv-info",
        "session-id",
        "subject",
        "user-to-user",
    }
)
"""All that passes besides the body, in requests and responses alike: nothing that names a host of a side."""

_OF_BODIES: Final = frozenset(
    {"content-disposition", "content-encoding", "content-language", "content-type", "mime-version"}
)
_PASSED_WITH_BODY: Final = PASSED | _OF_BODIES


def elsewhere(status: int, text: str) -> tuple[str, bytes]:
    """The Reason of a CANCEL to a branch because of another one's final answer (RFC 3326 §2, §3.1)."""
    return ("Reason", f'SIP;cause={status};text="{text}"'.encode())


def passed(message: Message, also: frozenset[str] = NONE) -> Headers:
    """The headers of a message that go on to the other side, with what belongs to its body.

    Shape: `also` are names of more of them, in lower case.
    """
    goes_on = _PASSED_WITH_BODY if message.has_body else PASSED
    # The engine refuses NUL; whoever sends one loses the header, not the call.
    return [
        (name, value)
        for name, value in message.fields()
        if ((lower := name.lower()) in goes_on or lower in also) and b"\0" not in value
    ]


def passed_alone(message: Message) -> Headers:
    """The same where the body does not go on, and nothing that belongs to it."""
    return [(name, value) for name, value in passed(message) if name.lower() not in _OF_BODIES]


def unsupported(message: Message) -> list[str]:
    """What a request requires and we do not do (RFC 3261 §8.2.2.3)."""
    return [option for option in message.headers("Require") if option.lower() not in UNDERSTOOD]


def is_body_known(message: Message) -> bool:
    """Whether a request has no body but one that calls have, or that may be passed over (RFC 3261 §8.2.3)."""
    kind = _media_type(message.header("Content-Type") or "application/sdp")
    if not message.has_body or kind == "application/sdp" or kind.startswith("multipart/"):
        return True
    return "handling=optional" in "".join((message.header("Content-Disposition") or "").lower().split())


def accepts_sdp(message: Message) -> bool:
    """Whether an INVITE takes SDP in answers (RFC 3261 §20.1: it does if it does not say)."""
    if message.header("Accept") is None:
        return True
    return not _SDP_RANGES.isdisjoint(map(_media_type, message.headers("Accept")))


def _media_type(value: str) -> str:
    return "".join(value.partition(";")[0].lower().split())


def options(message: Message, name: str) -> frozenset[str]:
    """The tokens of Supported, Require or Allow; options in lower case, methods as they are."""
    values = message.headers(name)
    if not values:
        return NONE
    return frozenset(values if name == "Allow" else map(str.lower, values))


def number(value: str | None) -> int | None:
    """The seconds or count at the start of a value (Retry-After, Expires); None if there is none.

    >>> number("120 (come back later);duration=5"), number(None), number("soon")
    (120, None, None)
    """
    digits = "" if value is None else value.split(";")[0].split("(")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 11 else None


def cause(message: Message) -> int | None:
    """The Q.850 cause of a Reason header (RFC 3326), where there is one."""
    for reason in message.headers("Reason"):
        protocol, *parameters = (part.strip() for part in reason.split(";"))
        if protocol.upper() == "Q.850":
            for parameter in parameters:
                name, _, value = parameter.partition("=")
                if name.strip().lower() == "cause" and value.strip().isascii() and value.strip().isdigit():
                    return min(int(value.strip()[:3]), 127)
    return None


def reason(q850: int, text: str) -> tuple[str, bytes]:
    """A Reason header that says in Q.850's terms what happened, and in words of ours whose word it is."""
    return ("Reason", f'Q.850;cause={q850};text="{text}"'.encode())
