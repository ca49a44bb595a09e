# SPDX-License-Identifier: Apache-2.0
"""The call detail record, and what the calls stream of the journal says in MessagePack.

`Cdr` is the one list of columns: the SQL types, the Parquet files, the exports and `docs/cdr.md` (made by
`python -m ringfence.ledger.schema`) all come from it. The first 35 columns carry the names and the order of
the VOS3000 record `InfoCdr`; the rest is ours.
"""
# ruff: noqa: N815 - operators' scripts know these names

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, cast, get_args, get_type_hints

import msgspec
from msgspec import Meta

CALL_STARTED_FRAME: Final = 6
CALL_ANSWERED_FRAME: Final = 7
CALL_ENDED_FRAME: Final = 8
CALLS_ALIVE_FRAME: Final = 9
"""Kinds of frames: `CallStarted`, `CallAnswered`, `CallEnded`, `CallsAlive`."""

EDGE: Final = 0
CALLS: Final = 1
STREAMS: Final[tuple[str, str]] = ("edge", "calls")
KINDS: Final[tuple[str, str, str]] = ("illegal", "event", "call")


def _column(sql: str, meaning: str) -> Meta:
    return Meta(description=meaning, extra={"sql": sql})


class Cdr(msgspec.Struct, frozen=True, kw_only=True):
    r"""One call detail record.

    Shape: text from the network is text here: bytes that are no UTF-8 stand as `\xNN`; control characters
    are kept and each sink makes them harmless. Empty text means "not known"; None only where a column says
    so.
    """

    callerE164: Annotated[str, _column("VARCHAR", "Caller number that is billed.")]
    callerAccessE164: Annotated[str, _column("VARCHAR", "Caller number as it came in.")]
    callerProductId: Annotated[str, _column("VARCHAR", "Device name of the caller: its User-Agent.")]
    callerToGatewayE164: Annotated[str, _column("VARCHAR", "Caller number as it was sent out.")]
    callerGateway: Annotated[
        str,
        _column(
            "VARCHAR", "Mapping gateway by name; empty where the native edge refused (see `gateway_id`)."
        ),
    ]
    callerip: Annotated[str, _column("VARCHAR", "Source address of the message.")]
    calleeE164: Annotated[str, _column("VARCHAR", "Callee number that is billed.")]
    calleeAccessE164: Annotated[str, _column("VARCHAR", "Callee number as it came in.")]
    calleeProductId: Annotated[str, _column("VARCHAR", "Device name of the callee.")]
    calleeToGatewayE164: Annotated[str, _column("VARCHAR", "Callee number as it was sent out.")]
    calleeGateway: Annotated[str, _column("VARCHAR", "Routing gateway.")]
    calleeip: Annotated[str, _column("VARCHAR", "Callee address; empty if no callee was reached.")]
    start: Annotated[int, _column("BIGINT", "Start, ms since 1970 UTC.")]
    stop: Annotated[int, _column("BIGINT", "End, ms since 1970 UTC.")]
    holdTime: Annotated[int, _column("INTEGER", "Talk time, s.")]
    feeTime: Annotated[int, _column("INTEGER", "Billed time, s.")]
    fee: Annotated[Decimal, _column("DECIMAL(18,6)", "Charge to the account.")]
    feePrefix: Annotated[str, _column("VARCHAR", "Rate prefix that matched.")]
    suiteFee: Annotated[Decimal, _column("DECIMAL(18,6)", "Charge taken from package money.")]
    suiteFeeTime: Annotated[int, _column("INTEGER", "Time taken from package minutes, s.")]
    agentFee: Annotated[Decimal, _column("DECIMAL(18,6)", "Charge to the reseller.")]
    agentFeeTime: Annotated[int, _column("INTEGER", "Time billed to the reseller, s.")]
    agentFeePrefix: Annotated[str, _column("VARCHAR", "Rate prefix of the reseller.")]
    agentSuiteFee: Annotated[Decimal, _column("DECIMAL(18,6)", "Charge to the reseller's package money.")]
    agentSuiteFeeTime: Annotated[int, _column("INTEGER", "Time from the reseller's package minutes, s.")]
    callLevel: Annotated[
        int, _column("SMALLINT", "1 on-net, 2 local, 4 domestic long distance, 5 international; 0 not rated.")
    ]
    account: Annotated[str, _column("VARCHAR", "Account id.")]
    accountName: Annotated[str, _column("VARCHAR", "Account name.")]
    agentAccount: Annotated[str, _column("VARCHAR", "Reseller's account id.")]
    agentName: Annotated[str, _column("VARCHAR", "Reseller's name.")]
    endDirection: Annotated[int, _column("SMALLINT", "Who ended it: 0 caller, 1 callee, 2 server.")]
    endReason: Annotated[
        int, _column("SMALLINT", "Why it ended: negative is ours (-9 illegal call), positive the far end's.")
    ]
    calleeBilling: Annotated[int, _column("SMALLINT", "Who pays: 0 caller, 1 callee, 2 external billing.")]
    billingMode: Annotated[
        int,
        _column(
            "SMALLINT",
            "0 phone, 1 mapping gateway, 2 bound number, 3 phone card, -1 unbilled, -9 illegal call.",
        ),
    ]
    flowNo: Annotated[
        int,
        _column(
            "BIGINT", "Unique within `journal_id`: 2 x `seq`, plus 1 for the calls stream; rises with time."
        ),
    ]

    journal_id: Annotated[str, _column("VARCHAR", "The journal that holds the frame, 32 hexadecimal digits.")]
    seq: Annotated[int, _column("UBIGINT", "Sequence number of the frame in its stream.")]
    recorded_at: Annotated[
        datetime,
        _column("TIMESTAMP", "When the frame was written, UTC, microseconds; rows are sorted by it."),
    ]
    node: Annotated[str, _column("VARCHAR", "Name of the node.")]
    kind: Annotated[
        str,
        _column(
            "VARCHAR",
            "`illegal`: a call (INVITE) from an unauthorised source; `event`: anything else a stranger "
            "sent; `call`: a call of an authorised source.",
        ),
    ]
    source_port: Annotated[int, _column("USMALLINT", "Source port.")]
    local_address: Annotated[str, _column("VARCHAR", "Our address that was asked.")]
    local_port: Annotated[int, _column("USMALLINT", "Our port that was asked.")]
    transport: Annotated[str, _column("VARCHAR", "UDP, TCP, TLS, WS or WSS.")]
    method: Annotated[str, _column("VARCHAR", "Method as sent; empty where no message could be read.")]
    user_agent: Annotated[str, _column("VARCHAR", "User-Agent of the caller.")]
    auth_number: Annotated[str, _column("VARCHAR", "The number that the sent credentials name.")]
    call_id: Annotated[str, _column("VARCHAR", "Call-ID of the caller's side.")]
    callee_call_id: Annotated[str, _column("VARCHAR", "Call-ID of the callee's side.")]
    sip_status: Annotated[int, _column("USMALLINT", "SIP status that was answered; 0 = silence.")]
    q850_cause: Annotated[int, _column("USMALLINT", "Q.850 cause.")]
    reason: Annotated[
        str, _column("VARCHAR", "Why it was refused (see reasons.md); empty if it was not refused.")
    ]
    detail: Annotated[int, _column("USMALLINT", "What is wrong with a malformed message; 0 otherwise.")]
    fingerprint: Annotated[
        int, _column("UBIGINT", "Fingerprint of the sender's grammar; 16 hexadecimal digits in exports.")
    ]
    traits: Annotated[int, _column("UINTEGER", "Bits of the grammar that tell tools apart.")]
    attempts: Annotated[int, _column("BIGINT", "How many messages this row stands for.")]
    scope: Annotated[
        str,
        _column(
            "VARCHAR",
            "Whose attempts are counted: `own` this one and its retransmissions; under a flood `source`, "
            "`network` or `other`.",
        ),
    ]
    proven: Annotated[bool, _column("BOOLEAN", "Whether the source was proven to be at its address.")]
    gateway_id: Annotated[int, _column("UINTEGER", "Mapping gateway by number; 0 none.")]
    route_attempts: Annotated[str | None, _column("VARCHAR", "JSON: routes tried, in order; null if none.")]
    price_breakdown: Annotated[
        str | None, _column("VARCHAR", "JSON: how the charge came about; null if none.")
    ]
    raw: Annotated[
        bytes | None,
        _column("BLOB", "The message as sent, credentials masked, at most 2,048 bytes; null if not kept."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the record: its name, its SQL type, what it means."""

    name: str
    sql: str
    meaning: str


def _columns() -> tuple[Column, ...]:
    found = []
    for name, hint in get_type_hints(Cdr, include_extras=True).items():
        meta = cast("Meta", get_args(hint)[1])
        extra = cast("dict[str, str]", meta.extra)
        found.append(Column(name=name, sql=extra["sql"], meaning=meta.description or ""))
    return tuple(found)


COLUMNS: Final[tuple[Column, ...]] = _columns()
COLUMN_NAMES: Final[tuple[str, ...]] = tuple(column.name for column in COLUMNS)
VOS_COLUMNS: Final[tuple[str, ...]] = COLUMN_NAMES[:35]


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return f'"{name}"'


SELECT_LIST: Final[str] = ", ".join(quoted(name) for name in COLUMN_NAMES)

DIALLED_AREA: Final = "dialled_area"
"""A column that rows are stored with and that is no part of the record: the number dialled says it too."""

STORED_LIST: Final[str] = f"{SELECT_LIST}, {DIALLED_AREA}"


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a call from its first message on.

    Shape: `id` is unique within the journal, 0 for a call that was refused at once. `settles` is the sequence
    of the edge frame (a challenge) that this call answered, 0 none.
    Units: `_us` are UTC microseconds since 1970.
    """

    id: int = 0
    started_us: int
    billing_mode: int
    settles: int = 0
    gateway_id: int = 0
    gateway: str = ""
    account: str = ""
    account_name: str = ""
    source: str
    source_port: int = 0
    local: str = ""
    local_port: int = 0
    transport: str = "UDP"
    method: str = "INVITE"
    caller: str = ""
    caller_access: str = ""
    callee: str = ""
    callee_access: str = ""
    user_agent: str = ""
    auth_number: str = ""
    call_id: str = ""
    fingerprint: int = 0
    traits: int = 0
    is_proven: bool = False


class Callee(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The other side of a call, as the last attempt left it; `ip` is empty if nobody was reached."""

    gateway: str = ""
    ip: str = ""
    product: str = ""
    caller_number: str = ""
    callee_number: str = ""
    call_id: str = ""


class RouteAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway that a call was sent to, and what came of it; one of `route_attempts`.

    Shape: `status` is the final answer, 0 = there was none. `why` is a sentence, empty for the one that
    answered.
    Units: `after_ms` since the call came in; `pdd_ms` (post-dial delay) from sending to ringing, early media
    or answer, None = it did not get so far.
    """

    gateway: str
    callee: str
    call_id: str
    after_ms: int
    pdd_ms: int | None = None
    status: int = 0
    why: str = ""


class CallStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call is about to be sent on. Frame kind 6; a frame of kind 8 with the same id ends it."""

    call: Call
    callee: Callee


class DialogState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a restarted switch needs to send a BYE inside a dialog (RFC 3261 §12.2.1.1).

    Shape: parties are values of From and To with their tags; addresses are host and port, `shown` is the
    local one as others see it.
    """

    call_id: str
    local_party: str
    remote_party: str
    local_seq: int
    remote_target: str
    route_set: tuple[str, ...] = ()
    transport: str
    remote: tuple[str, int]
    local: tuple[str, int]
    shown: tuple[str, int]
    is_flow: bool = False
    domain: str = ""


class CallAnswered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call was answered. Frame kind 7; a later one with the same id has newer dialogs.

    Shape: `dialogs` are the caller's and the callee's, or none if they would not fit into a frame.
    """

    id: int
    answered_us: int
    callee: Callee
    dialogs: tuple[DialogState, ...] = ()


class CallsAlive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Calls that are up at the time of the frame, each named every 10 s. Frame kind 9.

    Shape: at most `MOST_ALIVE` ids; more calls are more frames, some milliseconds apart. All calls that are
    up, named here or not, began at `since_us` or later: whoever looks for their first frames need not look
    further back.
    """

    since_us: int
    ids: tuple[int, ...]


MOST_ALIVE: Final = 1000
"""So many ids are in a frame: to make it takes a millisecond."""


class CallEnded(Call, frozen=True, kw_only=True, omit_defaults=True):
    """A call is over: all that its record needs. Frame kind 8 of the calls stream, a MessagePack map.

    Shape: a field that an older reader does not know is skipped by it. `is_recorded` False leaves no row.
    `route_attempts` in the order tried.
    Units: `hold_s` whole seconds, rounded; `answered_us` 0 = never.
    """

    ended_us: int
    answered_us: int = 0
    hold_s: int = 0
    end_direction: int = 2
    end_reason: int
    sip_status: int = 0
    q850_cause: int = 0
    reason: str = ""
    other: Callee = Callee()
    route_attempts: tuple[RouteAttempt, ...] = ()
    is_recorded: bool = True


_ENCODER: Final = msgspec.msgpack.Encoder()
_CALL_STARTED: Final = msgspec.msgpack.Decoder(CallStarted)
_CALL_ANSWERED: Final = msgspec.msgpack.Decoder(CallAnswered)
_CALL_ENDED: Final = msgspec.msgpack.Decoder(CallEnded)
_CALLS_ALIVE: Final = msgspec.msgpack.Decoder(CallsAlive)


def encode(frame: CallStarted | CallAnswered | CallEnded | CallsAlive) -> bytes:
    """The payload of a frame of the calls stream."""
    return _ENCODER.encode(frame)


def encode_call_ended(ended: CallEnded) -> bytes:
    """The payload of a `call_ended` frame."""
    return _ENCODER.encode(ended)


def decode_call_started(payload: bytes) -> CallStarted:
    """Read the payload of a `call_started` frame.

    Raises: msgspec.DecodeError, msgspec.ValidationError if it is none.
    """
    return _CALL_STARTED.decode(payload)


def decode_call_answered(payload: bytes) -> CallAnswered:
    """Read the payload of a `call_answered` frame.

    Raises: msgspec.DecodeError, msgspec.ValidationError if it is none.
    """
    return _CALL_ANSWERED.decode(payload)


def decode_call_ended(payload: bytes) -> CallEnded:
    """Read the payload of a `call_ended` frame.

    Raises: msgspec.DecodeError, msgspec.ValidationError if it is none.
    """
    return _CALL_ENDED.decode(payload)


def decode_calls_alive(payload: bytes) -> CallsAlive:
    """Read the payload of a `calls_alive` frame.

    Raises: msgspec.DecodeError, msgspec.ValidationError if it is none.
    """
    return _CALLS_ALIVE.decode(payload)


def call_row(ended: CallEnded, *, journal_id: str, seq: int, time_us: int, node: str) -> dict[str, Any]:
    """The record of an ended call, column by column; `recorded_at` in UTC microseconds."""
    row: dict[str, Any] = dict(EMPTY)
    row.update(
        callerE164=ended.caller,
        callerAccessE164=ended.caller_access or ended.caller,
        callerProductId=ended.user_agent,
        callerToGatewayE164=ended.other.caller_number,
        callerGateway=ended.gateway,
        callerip=ended.source,
        calleeE164=ended.callee,
        calleeAccessE164=ended.callee_access or ended.callee,
        calleeProductId=ended.other.product,
        calleeToGatewayE164=ended.other.callee_number,
        calleeGateway=ended.other.gateway,
        calleeip=ended.other.ip,
        start=ended.started_us // 1000,
        stop=ended.ended_us // 1000,
        holdTime=ended.hold_s,
        account=ended.account,
        accountName=ended.account_name,
        endDirection=ended.end_direction,
        endReason=ended.end_reason,
        billingMode=ended.billing_mode,
        flowNo=seq * 2 + CALLS,
        journal_id=journal_id,
        seq=seq,
        recorded_at=time_us,
        node=node,
        kind="call",
        source_port=ended.source_port,
        local_address=ended.local,
        local_port=ended.local_port,
        transport=ended.transport,
        method=ended.method,
        user_agent=ended.user_agent,
        auth_number=ended.auth_number,
        call_id=ended.call_id,
        callee_call_id=ended.other.call_id,
        sip_status=ended.sip_status,
        q850_cause=ended.q850_cause,
        reason=ended.reason,
        fingerprint=ended.fingerprint,
        traits=ended.traits,
        attempts=1,
        scope="own",
        proven=ended.is_proven,
        gateway_id=ended.gateway_id,
        route_attempts=msgspec.json.encode(ended.route_attempts).decode() if ended.route_attempts else None,
        price_breakdown=None,
        raw=None,
    )
    return row


_EMPTY_OF: Final[dict[str, Any]] = {
    "VARCHAR": "",
    "BLOB": None,
    "BOOLEAN": False,
    "TIMESTAMP": 0,
    "DECIMAL(18,6)": Decimal(0),
    **dict.fromkeys(("BIGINT", "UBIGINT", "INTEGER", "UINTEGER", "SMALLINT", "USMALLINT"), 0),
}

EMPTY: Final[dict[str, Any]] = {column.name: _EMPTY_OF[column.sql] for column in COLUMNS}
"""What a column holds that nothing is known of; times as microseconds."""


def as_cdr(row: Sequence[Any], columns: Sequence[str] = COLUMN_NAMES) -> Cdr:
    """One fetched row, its columns named in their order; the others are empty."""
    values = dict(zip(columns, row, strict=True))
    values["recorded_at"] = values["recorded_at"].replace(tzinfo=UTC)
    return Cdr(**(values if len(values) == len(COLUMN_NAMES) else EMPTY | values))


LISTED: Final[tuple[str, ...]] = (
    "recorded_at",
    "kind",
    "callerip",
    "transport",
    "method",
    "callerAccessE164",
    "calleeAccessE164",
    "user_agent",
    "reason",
    "endReason",
    "sip_status",
    "attempts",
    "scope",
    "proven",
)
"""The columns of a list that people look at."""


def as_markdown() -> str:
    """The page `docs/cdr.md`."""
    lines = [
        "# The call detail record",
        "",
        "Made from `src/ringfence/ledger/schema.py` by `python -m ringfence.ledger.schema`.",
        "",
        "One row per refused attempt, per security event and per call. The first 35 columns carry the names",
        "and the order of the VOS3000 record; `flowNo` with `journal_id` is the key. Rows lie in Parquet",
        "files that `cdr/manifest.json` lists, sorted by `recorded_at`; what reads Parquet may read them.",
        "Newer files have one column more, which is no part of the record: `dialled_area`, the first four",
        "digits of `calleeAccessE164` from the country code on, 0 if it was dialled without one.",
        "",
        "Text that came from the network may hold anything: bytes that are no UTF-8 stand as `\\xNN`. Make",
        "it harmless for where you show it.",
        "",
        "| # | Column | Type | Meaning |",
        "|---|---|---|---|",
        *(f"| {n} | `{c.name}` | {c.sql} | {c.meaning} |" for n, c in enumerate(COLUMNS, 1)),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    from pathlib import Path

    Path("docs/cdr.md").write_text(as_markdown(), encoding="utf-8")
