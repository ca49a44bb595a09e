# SPDX-License-Identifier: Apache-2.0
"""The one wrapper around the native module `ringfence._core`.

Journal: `JournalTail` follows a stream and gives `FrameBatch`es; a batch decodes to columns in Arrow's memory
layout, ready for `pyarrow.Array.from_buffers`. What the frames mean is in `docs/architecture.md` ("Journal
format"). Failures of the journal raise `ringfence.errors.StoreError` with a code that starts with `journal_`.
"""

from collections.abc import Mapping
from os import PathLike
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from ringfence import _core
from ringfence._core import (
    Ack,
    Address,
    Came,
    Cancel,
    Edge,
    Ended,
    FrameBatch,
    JournalReport,
    JournalTail,
    JournalWriter,
    Message,
    Request,
    Response,
    Started,
    TopVia,
    Traced,
    archive_sealed,
    read_address,
    verify_journal,
)

__all__ = [
    "ARCHIVE_LEVEL",
    "COUNTERS",
    "FLAG_AUTHORISED",
    "FLAG_EMPTY_CONNECTION",
    "FLAG_LOCAL_V6",
    "FLAG_PROVEN",
    "FLAG_RAW",
    "FLAG_SOURCE_V6",
    "FLOW_OPS",
    "INCREMENT_WHYS",
    "KINDS",
    "METHODS",
    "REASONS",
    "SCOPES",
    "TRANSPORTS",
    "Ack",
    "Address",
    "CallLoadReport",
    "Came",
    "Cancel",
    "Column",
    "Edge",
    "EdgeEvent",
    "Ended",
    "Fate",
    "FloodLatency",
    "FloodReport",
    "FrameBatch",
    "JournalReport",
    "JournalTail",
    "JournalWriter",
    "Message",
    "Request",
    "Response",
    "Segment",
    "SourceCount",
    "Started",
    "StreamReport",
    "TopVia",
    "Traced",
    "UriParts",
    "archive_sealed",
    "call_load",
    "drill_message",
    "drill_templates",
    "flood",
    "read_address",
    "read_uri",
    "segments",
    "streams",
    "verify_journal",
]

# Codes of the journal format and their stable names.
KINDS: Final[Mapping[int, str]] = _core.KINDS
REASONS: Final[Mapping[int, str]] = _core.REASONS
METHODS: Final[Mapping[int, str]] = _core.METHODS  # code 0 is every other method; its name is in the record
SCOPES: Final[Mapping[int, str]] = _core.SCOPES
TRANSPORTS: Final[Mapping[int, str]] = _core.TRANSPORTS
INCREMENT_WHYS: Final[Mapping[int, str]] = _core.INCREMENT_WHYS
FLOW_OPS: Final[Mapping[int, str]] = _core.FLOW_OPS

# Bits of `flags` in attempts (all) and flows (the two addresses).
FLAG_SOURCE_V6: Final = _core.FLAG_SOURCE_V6
FLAG_LOCAL_V6: Final = _core.FLAG_LOCAL_V6
FLAG_PROVEN: Final = _core.FLAG_PROVEN
FLAG_AUTHORISED: Final = _core.FLAG_AUTHORISED
FLAG_RAW: Final = _core.FLAG_RAW
FLAG_EMPTY_CONNECTION: Final = _core.FLAG_EMPTY_CONNECTION

ARCHIVE_LEVEL: Final = _core.ARCHIVE_LEVEL
COUNTERS: Final[tuple[str, ...]] = tuple(_core.COUNTERS)  # in the order of a `books` frame

Column: TypeAlias = tuple[Literal["u8", "u16", "u32", "u64", "string", "bytes"], int, list[bytes | None]]
"""Type, rows, Arrow buffers.

The buffers: validity (None if every row has a value), for strings and bytes i32 offsets, the values.
"""


class Segment(NamedTuple):
    """A segment file, plain (`.rfj`) or archived (`.rfj.zst`).

    `last_seq` and `last_time_us` are None for the live segment; no frame of a sealed one is later than
    `last_time_us`, which is when the next segment was begun. `disk_bytes` is the size of the file.
    """

    path: str
    first_seq: int
    last_seq: int | None
    disk_bytes: int
    is_sealed: bool
    first_time_us: int
    last_time_us: int | None


def segments(directory: str | PathLike[str]) -> list[Segment]:
    """The segments of a stream, oldest first, from names and headers alone; none if there is no journal."""
    return [Segment._make(row) for row in _core.segments(directory)]


# --- edge ---

EdgeEvent: TypeAlias = Request | Response | Ack | Cancel | Ended | str
"""What `Edge.events` gives: a `str` is a sentence for the operator."""


# --- messages ---


class UriParts(NamedTuple):
    """A URI in its parts; what is not there is empty.

    Shape: `scheme` in lower case. A tel URI has its number as `user`. `host` keeps the brackets of IPv6.
    `is_loose` says that there is an `lr` parameter (RFC 3261 §16.12).
    """

    scheme: str
    user: str
    host: str
    port: int | None
    is_loose: bool


def read_uri(uri: str) -> UriParts:
    """The parts of a URI that stands alone.

    Raises: ValueError if it is none.
    """
    return UriParts._make(_core.read_uri(uri))


# --- drill: the load sender and its message templates ---


class FloodLatency(msgspec.Struct, frozen=True, kw_only=True):
    """From sending a request to its first final answer; microseconds by the sender's clock."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class SourceCount(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams sent from an address, repetitions included, and its requests that got a final answer."""

    sent: int
    answered: int


class FloodReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the load sender did.

    Shape: `sent` = `requests` + `retransmitted` + `noise`; `requests` = `answered` + `lost`. Rates and
    latency cover the `measured_s` between the warm-up and the last request, everything else the whole run.
    """

    target: str
    seed: int
    seconds: float
    measured_s: float
    sent: int
    requests: int
    retransmitted: int
    noise: int
    by_method: dict[str, int]
    sent_per_s: float
    answered: int
    answered_per_s: float
    duplicates: int
    by_status: dict[str, int]
    unmatched: int
    lost: int
    loss_percent: float
    skipped: int
    dropped_here: int
    average_bytes: float
    cpu_s: float
    latency_us: FloodLatency
    by_source: dict[str, SourceCount] | None = None


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """What many TCP connections saw."""

    connected: int
    refused: int
    closed_by_target: int
    most_open: int
    requests: int
    bytes: int
    by_status: dict[str, int]


def flood(
    target: str,
    *,
    seconds: float,
    count: int | None = None,
    rate: float | None = None,
    window: int | None = None,
    sources: int = 4096,
    train: int = 1,
    mix: dict[Literal["invite", "register", "options", "random"], int] | None = None,
    grammars: tuple[str, ...] = (),
    retransmit: int = 0,
    retransmit_after_s: float = 0.5,
    seed: int = 1,
    linger_s: float = 0.5,
    by_source: bool = False,
    counts_file: str | PathLike[str] | None = None,
) -> FloodReport:
    """Send a load to a loopback target (`127.0.0.1:5060`) until it is over or Ctrl-C is pressed.

    Shape: without `rate` (per second) and `window` (unanswered requests) as fast as it goes. At most 3,600 s.
    Raises: ConfigError for a target that is not loopback or an option out of range, CoreError if the kernel
    refuses.
    """
    shares = {"invite": 1} if mix is None else {str(kind): share for kind, share in mix.items()}
    report = _core.flood(
        target,
        seconds=seconds,
        count=count,
        rate=rate,
        window=window,
        sources=sources,
        train=train,
        invite=shares.get("invite", 0),
        register=shares.get("register", 0),
        options=shares.get("options", 0),
        random=shares.get("random", 0),
        grammars=list(grammars),
        retransmit=retransmit,
        retransmit_after_s=retransmit_after_s,
        seed=seed,
        linger_s=linger_s,
        by_source=by_source,
        counts_file=counts_file,
    )
    return msgspec.convert(report, FloodReport)


def streams(
    target: str,
    *,
    seconds: float,
    connections: int = 100,
    behaviour: Literal["requests", "slow", "half", "silent", "noise"] = "requests",
    sources: int = 64,
    byte_every_s: float = 0.2,
    seed: int = 1,
) -> StreamReport:
    """Keep many TCP connections to a loopback target open, most kinds of them ill-behaved.

    Raises: ConfigError for a target that is not loopback or an option out of range, CoreError if the kernel
    refuses.
    """
    report = _core.streams(
        target,
        seconds=seconds,
        connections=connections,
        behaviour=behaviour,
        sources=sources,
        byte_every_s=byte_every_s,
        seed=seed,
    )
    return msgspec.convert(report, StreamReport)


class CallLoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of calls came to.

    Shape: `started` = `as_fated` + `failed`; `outcomes` counts ends by fate and outcome, as in `busy: refused
    486`; `open` had not ended when the run did. `set_up_us` goes from the first INVITE to the 200.
    """

    target: str
    customer: str
    vendor: str
    seed: int
    seconds: float
    started: int
    started_per_s: float
    answered: int
    as_fated: int
    failed: int
    failed_percent: float
    outcomes: dict[str, int]
    open: int
    legs: int
    unacknowledged: int
    unexpected: int
    retransmissions: int
    skipped: int
    dropped_here: int
    set_up_us: FloodLatency
    cpu_s: float


Fate: TypeAlias = Literal[
    "caller_hangs_up",
    "callee_hangs_up",
    "busy",
    "declined",
    "fails_over",
    "cancelled_ringing",
    "cancelled_trying",
    "silent",
    "crashes",
]
"""What becomes of a call of `call_load`; the vendor reads it from the number called."""


def call_load(
    target: str,
    *,
    customer: str,
    vendor: str,
    rate: float,
    seconds: float,
    count: int | None = None,
    hold_s: tuple[float, float] = (0.0, 0.0),
    ring_s: float = 0.0,
    fates: Mapping[Fate, int] | None = None,
    loss: float = 0.0,
    duplication: float = 0.0,
    caller: str = "1001",
    prefix: str = "44",
    core: int | None = None,
    seed: int = 1,
    linger_s: float = 40.0,
    warm_up_s: float = 0.0,
    calls_file: str | PathLike[str] | None = None,
) -> CallLoadReport:
    """Call through a switch on loopback: `customer` calls at `rate` per second, `vendor` answers.

    Shape: addresses as `127.0.0.1:5060`. `fates` are shares, None = all answered; answered calls last between
    the two `hold_s`. Of all datagrams a share of `loss` is lost and one of `duplication` comes twice. Blocks
    until the last call has ended, at most `linger_s` after the last one began, or Ctrl-C is pressed.
    Raises: ConfigError for an address that is not loopback or an option out of range, CoreError if the kernel
    refuses.
    """
    shares: Mapping[Fate, int] = {"caller_hangs_up": 1} if fates is None else fates
    report = _core.call_load(
        target,
        customer=customer,
        vendor=vendor,
        rate=rate,
        seconds=seconds,
        count=count,
        hold_s=hold_s[0],
        hold_at_most_s=hold_s[1],
        ring_s=ring_s,
        fates=",".join(f"{fate}={share}" for fate, share in shares.items()),
        loss=loss,
        duplication=duplication,
        caller=caller,
        prefix=prefix,
        core=core,
        seed=seed,
        linger_s=linger_s,
        warm_up_s=warm_up_s,
        calls_file=calls_file,
    )
    return msgspec.convert(report, CallLoadReport)


def drill_templates() -> dict[str, str]:
    """The method that each message template writes, by the template's name (`tool/what`)."""
    return dict(_core.drill_templates())


def drill_message(
    template: str,
    *,
    target: str,
    source: str,
    seed: int,
    index: int,
    callee: str | None = None,
    caller: str | None = None,
    extension: str | None = None,
    authorization: str | None = None,
    password: str | None = None,
    cseq: int | None = None,
) -> bytes:
    """Write one message in the grammar of a tool; the same arguments give the same bytes.

    Shape: `target` and `source` are loopback addresses with ports; `index` is the number of the message in
    its run; what is None is chosen by chance, as the tool would; `authorization` is a whole header line
    without its end.
    Raises: ConfigError for an unknown template or an address that is not loopback.
    """
    return _core.drill_message(
        template,
        target=target,
        source=source,
        seed=seed,
        index=index,
        callee=_bytes(callee),
        caller=_bytes(caller),
        extension=_bytes(extension),
        authorization=_bytes(authorization),
        password=_bytes(password),
        cseq=cseq,
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
