# SPDX-License-Identifier: Apache-2.0
"""Why a call ended or was refused: the tables behind `reason`, `endReason`, `billingMode` and their kin.

The codes are stable: records on disk carry them. SIP to Q.850 follows RFC 3398 §8.2.6.1. `docs/reasons.md` is
made from this file by `python -m ringfence.ledger.reasons`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class EndReason:
    """One value of `endReason` that is ours (negative).

    Units: `sip` is the status usually answered, 0 for what ends a call that was answered; `q850` is the cause
    sent to networks that want one.
    """

    code: int
    name: str
    text: str
    sip: int
    q850: int


ILLEGAL_CALL: Final = -9
SECURITY_EVENT: Final = -10

END_REASONS: Final[tuple[EndReason, ...]] = (
    EndReason(
        code=ILLEGAL_CALL,
        name="IllegalCall",
        text="Call from a source that is not authorised",
        sip=403,
        q850=21,
    ),
    EndReason(
        code=SECURITY_EVENT,
        name="SecurityEvent",
        text="Something other than a call from a stranger",
        sip=403,
        q850=21,
    ),
    EndReason(code=-11, name="RateExceeded", text="The source sent more than it may", sip=503, q850=42),
    EndReason(
        code=-12, name="NumberBlacklisted", text="A black list holds the source or a number", sip=403, q850=21
    ),
    EndReason(
        code=-13, name="InvalidNumber", text="A number carries characters no number has", sip=484, q850=28
    ),
    EndReason(code=-14, name="MalformedRequest", text="The message breaks the syntax", sip=400, q850=41),
    EndReason(
        code=-15, name="ProcessingUnavailable", text="The server could not process the call", sip=503, q850=41
    ),
    EndReason(
        code=-16, name="AuthenticationFailed", text="No right answer came to a challenge", sip=403, q850=21
    ),
    EndReason(code=-17, name="LockedOut", text="Too many wrong answers for this number", sip=403, q850=21),
    EndReason(code=-18, name="MethodNotAllowed", text="The method is not served", sip=405, q850=63),
    EndReason(
        code=-19,
        name="UnknownDialog",
        text="The request names a dialog that does not exist",
        sip=481,
        q850=41,
    ),
    EndReason(
        code=-20, name="CountryDenied", text="The country of the source is not allowed", sip=403, q850=21
    ),
    EndReason(code=-21, name="Unregistered", text="The phone is not registered", sip=403, q850=21),
    EndReason(code=-22, name="AccountLocked", text="The gateway or account is locked", sip=403, q850=21),
    EndReason(code=-23, name="OutsideHours", text="The gateway may not call at this time", sip=403, q850=21),
    EndReason(
        code=-24, name="ConnectionLimitExceeded", text="All lines of the gateway are in use", sip=503, q850=34
    ),
    EndReason(
        code=-25, name="CallerDenied", text="The rules do not let the caller's number pass", sip=403, q850=21
    ),
    EndReason(
        code=-26, name="CalleeDenied", text="The rules do not let the number called pass", sip=403, q850=21
    ),
    EndReason(
        code=-27, name="CalledNotOnline", text="The phone that was called is not registered", sip=480, q850=20
    ),
    EndReason(code=-28, name="NotFound", text="No gateway serves the number called", sip=404, q850=1),
    EndReason(
        code=-29,
        name="NoAvailableRouter",
        text="No gateway that serves the number can take the call",
        sip=503,
        q850=34,
    ),
    EndReason(code=-30, name="ResponseTimeout", text="The gateway did not answer in time", sip=408, q850=102),
    EndReason(code=-31, name="NoAnswer", text="It rang until nobody had answered in time", sip=480, q850=19),
    EndReason(code=-32, name="Unreachable", text="The gateway could not be reached", sip=503, q850=38),
    EndReason(
        code=-33,
        name="SessionTimeout",
        text="A side no longer confirms that the call is up",
        sip=0,
        q850=102,
    ),
    EndReason(code=-34, name="AckMissing", text="The caller never acknowledged the answer", sip=0, q850=102),
    EndReason(code=-35, name="LongestCall", text="The call reached its longest time", sip=0, q850=16),
    EndReason(code=-36, name="HungUp", text="An operator hung the call up", sip=503, q850=16),
    EndReason(code=-37, name="NodeStopped", text="The node was stopped", sip=503, q850=41),
    EndReason(
        code=-38,
        name="NodeRestart",
        text="The node stopped without warning; the call ended when it was last known to be up",
        sip=0,
        q850=41,
    ),
    EndReason(code=-39, name="TooManyHops", text="The call came through too many hops", sip=483, q850=25),
    EndReason(
        code=-40,
        name="UnsupportedExtension",
        text="The caller requires what this server does not do",
        sip=420,
        q850=127,
    ),
    EndReason(
        code=-41,
        name="SessionIntervalTooSmall",
        text="The caller wants its session confirmed too often",
        sip=422,
        q850=127,
    ),
    EndReason(
        code=-42,
        name="ProvisionalNotAcknowledged",
        text="The caller never acknowledged a reliable provisional answer",
        sip=504,
        q850=102,
    ),
    EndReason(code=-43, name="InternalError", text="A fault of this server", sip=500, q850=41),
    EndReason(
        code=-44, name="UnknownBody", text="The call came with a body that is no session", sip=415, q850=79
    ),
    EndReason(
        code=-45, name="SdpNotAccepted", text="The caller takes no session in an answer", sip=406, q850=79
    ),
    EndReason(
        code=-50,
        name="NoCallToReplace",
        text="The call names no call of the same caller whose place it could take",
        sip=481,
        q850=31,
    ),
    EndReason(
        code=-51,
        name="ReplacedCallOver",
        text="The call whose place it was to take is over",
        sip=603,
        q850=21,
    ),
    EndReason(
        code=-52,
        name="ReplacedCallAnswered",
        text="The call was to take the place of another one only while that rings",
        sip=486,
        q850=17,
    ),
    EndReason(
        code=-53,
        name="ReplacedCallBusy",
        text="The call whose place it was to take is just being answered or transferred",
        sip=491,
        q850=42,
    ),
)
END_REASON_BY_CODE: Final[dict[int, EndReason]] = {reason.code: reason for reason in END_REASONS}
END_REASON_BY_NAME: Final[dict[str, EndReason]] = {reason.name: reason for reason in END_REASONS}

NORMAL_CLEARING: Final = 16
_Q850_OF_SIP: Final = {
    401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127,
    415: 79, 416: 127, 420: 127, 421: 127, 422: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28,
    485: 1, 486: 17, 487: 16, 488: 31, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127,
    600: 17, 603: 21, 604: 1, 606: 31,
}  # fmt: skip


def q850_of(status: int) -> int:
    """The Q.850 cause that a SIP status stands for (RFC 3398 §8.2.6.1), its class where it is not listed.

    >>> q850_of(486), q850_of(302), q850_of(599)
    (17, 23, 41)
    """
    if status < 300:
        return NORMAL_CLEARING
    if status < 400:
        return 23
    return _Q850_OF_SIP.get(status, 31 if status < 500 else 41)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the guard refused an attempt.

    Shape: `code` as on disk; `end_reason` is what a call of an *authorised* source ends with for this reason
    (a stranger's call always ends with -9).
    """

    code: int
    name: str
    text: str
    end_reason: int

    @property
    def title(self) -> str:
        """The name as a heading: "Unknown source"."""
        return self.name.replace("_", " ").capitalize()

    @property
    def q850(self) -> int:
        """The Q.850 cause of this reason."""
        return END_REASON_BY_CODE[self.end_reason].q850


LOST_RECORD: Final = 0

REASONS: Final[tuple[Reason, ...]] = (
    Reason(
        code=LOST_RECORD,
        name="lost_record",
        text="Attempts counted into a record that could not be read",
        end_reason=SECURITY_EVENT,
    ),
    Reason(
        code=1,
        name="unknown_source",
        text="The source is no gateway and no registered phone",
        end_reason=ILLEGAL_CALL,
    ),
    Reason(code=2, name="unregistered", text="The phone exists but is not registered", end_reason=-21),
    Reason(code=3, name="blacklisted", text="A black list holds the source or a number", end_reason=-12),
    Reason(code=4, name="bad_credentials", text="The credentials are wrong", end_reason=-16),
    Reason(
        code=5, name="unanswered_challenge", text="The challenge was not answered in time", end_reason=-16
    ),
    Reason(code=6, name="locked_out", text="Too many wrong credentials for this number", end_reason=-17),
    Reason(code=7, name="forged_nonce", text="The nonce was never given out by this server", end_reason=-16),
    Reason(code=8, name="geo_denied", text="The country of the source is not allowed", end_reason=-20),
    Reason(code=9, name="rate_exceeded", text="The source sent more than it may", end_reason=-11),
    Reason(code=10, name="malformed", text="The message breaks the syntax of SIP", end_reason=-14),
    Reason(code=11, name="method_not_allowed", text="The method is not served here", end_reason=-18),
    Reason(
        code=12, name="unknown_dialog", text="The request names a dialog that does not exist", end_reason=-19
    ),
    Reason(
        code=13,
        name="injection",
        text="A value carries characters that belong to another language",
        end_reason=-13,
    ),
)
REASON_BY_NAME: Final[dict[str, Reason]] = {reason.name: reason for reason in REASONS}


class BillingMode(IntEnum):
    """Whose account pays; who paid for nothing has a code of its own."""

    PHONE = 0
    MAPPING_GATEWAY = 1
    BOUND_NUMBER = 2
    PHONE_CARD = 3
    UNBILLED = -1
    ILLEGAL_CALL = -9


BILLING_MODE_TEXT: Final[dict[BillingMode, str]] = {
    BillingMode.PHONE: "the account of the phone",
    BillingMode.MAPPING_GATEWAY: "the account of the mapping gateway",
    BillingMode.BOUND_NUMBER: "the account of the bound number",
    BillingMode.PHONE_CARD: "the account of the phone card in use",
    BillingMode.UNBILLED: "nobody: a security event",
    BillingMode.ILLEGAL_CALL: "nobody: an illegal call",
}


class EndDirection(IntEnum):
    """Which side ended the call."""

    CALLER = 0
    CALLEE = 1
    SERVER = 2


METHODS: Final[tuple[str, ...]] = (
    "",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "REFER",
    "MESSAGE",
    "UPDATE",
)
TRANSPORTS: Final[tuple[str, ...]] = ("UDP", "TCP", "TLS", "WS", "WSS")
SCOPES: Final[tuple[str, ...]] = ("own", "source", "network", "other")


def as_markdown() -> str:
    """The page `docs/reasons.md`."""
    lines = [
        "# Reasons",
        "",
        "Made from `src/ringfence/ledger/reasons.py` by `python -m ringfence.ledger.reasons`.",
        "",
        "## `endReason`",
        "",
        "Positive values are SIP status codes or Q.850 causes from the far end. Negative values are ours:",
        "",
        "| Code | Name | Meaning | SIP | Q.850 |",
        "|---|---|---|---|---|",
        *(f"| {r.code} | `{r.name}` | {r.text} | {r.sip or '-'} | {r.q850} |" for r in END_REASONS),
        "",
        "Every call from a source that is not authorised ends with -9, whatever the reason below says.",
        "",
        "## `reason`",
        "",
        "Why an attempt was refused, and the `endReason` that a call of an authorised source gets for it:",
        "",
        "| Code in the journal | Name | Meaning | `endReason` | Q.850 |",
        "|---|---|---|---|---|",
        *(f"| {r.code} | `{r.name}` | {r.text} | {r.end_reason} | {r.q850} |" for r in REASONS),
        "",
        "## `billingMode`",
        "",
        "| Code | Who pays |",
        "|---|---|",
        *(f"| {mode.value} | {text} |" for mode, text in BILLING_MODE_TEXT.items()),
        "",
        "## `endDirection`",
        "",
        "| Code | Who ended it |",
        "|---|---|",
        *(f"| {side.value} | {side.name.lower()} |" for side in EndDirection),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    from pathlib import Path

    Path("docs/reasons.md").write_text(as_markdown(), encoding="utf-8")
