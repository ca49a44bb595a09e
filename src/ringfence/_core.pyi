# SPDX-License-Identifier: Apache-2.0
# The native module. Only `ringfence.core` imports it; the docstrings are in `crates/python`.

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Final, Literal, TypeAlias, final

__version__: Final[str]

# journal

_Path: TypeAlias = str | PathLike[str]
_Column: TypeAlias = tuple[Literal["u8", "u16", "u32", "u64", "string", "bytes"], int, list[bytes | None]]

ARCHIVE_LEVEL: Final[int]
COUNTERS: Final[list[str]]
KINDS: Final[dict[int, str]]
REASONS: Final[dict[int, str]]
METHODS: Final[dict[int, str]]
SCOPES: Final[dict[int, str]]
TRANSPORTS: Final[dict[int, str]]
INCREMENT_WHYS: Final[dict[int, str]]
FLOW_OPS: Final[dict[int, str]]
FLAG_SOURCE_V6: Final[int]
FLAG_LOCAL_V6: Final[int]
FLAG_PROVEN: Final[int]
FLAG_AUTHORISED: Final[int]
FLAG_RAW: Final[int]
FLAG_EMPTY_CONNECTION: Final[int]

@final
class JournalTail:
    def __new__(cls, directory: _Path, after_seq: int = 0, skip_unreadable: bool = False) -> JournalTail: ...
    def read(self, max_frames: int) -> FrameBatch | None: ...
    @property
    def next_seq(self) -> int: ...
    @property
    def missing(self) -> int: ...
    @property
    def journal_id(self) -> bytes: ...

@final
class FrameBatch:
    @property
    def first_seq(self) -> int: ...
    @property
    def last_seq(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def journal_id(self) -> bytes: ...
    def attempts(self) -> dict[str, _Column]: ...
    def increments(self) -> dict[str, _Column]: ...
    def summaries(self) -> dict[str, _Column]: ...
    def flows(self) -> dict[str, _Column]: ...
    def opaque(self) -> list[tuple[int, int, int, bytes]]: ...
    def books(self) -> list[tuple[int, int, int, list[int]]]: ...

@final
class JournalReport:
    @property
    def journal_id(self) -> bytes: ...
    @property
    def segments(self) -> int: ...
    @property
    def archived(self) -> int: ...
    @property
    def writes(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def disk_bytes(self) -> int: ...
    @property
    def first_seq(self) -> int: ...
    @property
    def last_seq(self) -> int: ...
    @property
    def let_go(self) -> int: ...
    @property
    def tail_bytes(self) -> int: ...
    @property
    def fault(self) -> tuple[str, int, str] | None: ...

@final
class JournalWriter:
    def __new__(
        cls,
        directory: _Path,
        *,
        now_us: int,
        stream: Literal["edge", "calls"] = "edge",
        segment_bytes: int | None = None,
    ) -> JournalWriter: ...
    @property
    def next_seq(self) -> int: ...
    @property
    def journal_id(self) -> bytes: ...
    @property
    def run(self) -> int: ...
    def attempt(
        self,
        *,
        time_us: int,
        reason: str | None = None,
        is_challenge: bool = False,
        method: str = "INVITE",
        transport: str = "UDP",
        scope: str = "own",
        status: int = 403,
        detail: int = 0,
        source: str | None = None,
        source_port: int = 5060,
        local: str | None = None,
        local_port: int = 5060,
        flags: int = 0,
        gateway_id: int = 0,
        traits: int = 0,
        fingerprint: int = 0,
        settles: int = 0,
        caller: bytes = ...,
        callee: bytes = ...,
        user_agent: bytes = ...,
        call_id: bytes = ...,
        auth_user: bytes = ...,
        raw: bytes | None = None,
    ) -> int: ...
    def increment(
        self, *, time_us: int, base_seq: int, count: int = 1, why: str = "retransmission"
    ) -> int: ...
    def summary(
        self, *, time_us: int, reason: str = "unknown_source", method: str = "INVITE", count: int = 1
    ) -> int: ...
    def flow(
        self,
        *,
        time_us: int,
        op: str = "bound",
        transport: str = "UDP",
        flags: int = 0,
        source: str | None = None,
        source_port: int = 5060,
        local: str | None = None,
        local_port: int = 5060,
        expires_s: int = 3600,
        cseq: int = 1,
        settles: int = 0,
        number: bytes = ...,
        contact: bytes = ...,
        call_id: bytes = ...,
        user_agent: bytes = ...,
    ) -> int: ...
    def opaque(self, *, time_us: int, kind: str, payload: bytes) -> int: ...
    def books(self, *, time_us: int, counters: list[int]) -> int: ...
    def commit(self, now_us: int) -> None: ...
    def rotate(self, now_us: int) -> None: ...
    def sync(self) -> None: ...

def archive_sealed(directory: _Path, level: int = ...) -> list[str]: ...
def verify_journal(
    directory: _Path, progress: Callable[[int, int], object] | None = None
) -> JournalReport: ...
def segments(directory: _Path) -> list[tuple[str, int, int | None, int, bool, int, int | None]]: ...

# edge

_Headers: TypeAlias = list[tuple[str, bytes]]

_Target: TypeAlias = tuple[str, tuple[str, int | None], tuple[str, int], tuple[str, int], bool]
_Frame: TypeAlias = tuple[int, bytes, bool]

@final
class Came:
    @property
    def transport(self) -> str: ...
    @property
    def remote(self) -> tuple[str, int]: ...
    @property
    def local(self) -> tuple[str, int]: ...
    @property
    def is_flow(self) -> bool: ...

@final
class Request:
    @property
    def transaction(self) -> int: ...
    @property
    def message(self) -> Message: ...
    @property
    def came(self) -> Came: ...
    @property
    def gateway_id(self) -> int | None: ...
    @property
    def number(self) -> str | None: ...
    @property
    def settles(self) -> int: ...
    @property
    def at_us(self) -> int: ...
    @property
    def tag(self) -> str: ...
    @property
    def expires_s(self) -> int | None: ...
    @property
    def contacts(self) -> list[tuple[bytes, int | None]]: ...

@final
class Response:
    @property
    def transaction(self) -> int: ...
    @property
    def message(self) -> Message: ...
    @property
    def came(self) -> Came: ...

@final
class Ack:
    @property
    def transaction(self) -> int: ...
    @property
    def message(self) -> Message: ...

@final
class Cancel:
    @property
    def transaction(self) -> int: ...
    @property
    def message(self) -> Message: ...

@final
class Ended:
    @property
    def transaction(self) -> int: ...
    @property
    def why(self) -> str: ...

@final
class Started:
    @property
    def listeners(self) -> list[str]: ...
    @property
    def run(self) -> int: ...
    @property
    def flows(self) -> int: ...
    @property
    def notes(self) -> list[str]: ...

@final
class FlowInForce:
    @property
    def number(self) -> str: ...
    @property
    def transport(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def local(self) -> str: ...
    @property
    def contact(self) -> str: ...
    @property
    def user_agent(self) -> str: ...
    @property
    def since_us(self) -> int: ...
    @property
    def expires_at_us(self) -> int: ...

@final
class Edge:
    @staticmethod
    def start(config: bytes, snapshot: bytes) -> tuple[Edge, Started]: ...
    def events_fd(self) -> int: ...
    def events(self, limit: int) -> list[Request | Response | Ack | Cancel | Ended | str]: ...
    def counters(self) -> dict[str, int]: ...
    def connections(self) -> int: ...
    def configure(self, snapshot: bytes) -> int: ...
    def flows(self) -> list[FlowInForce]: ...
    def respond(
        self,
        transaction: int,
        status: int,
        headers: _Headers,
        body: bytes = b"",
        *,
        tag: str = "",
        frame: _Frame | None = None,
    ) -> None: ...
    def bind(self, transaction: int, contact: bytes, expires_s: int, headers: _Headers) -> None: ...
    def unbind(self, transaction: int, contact: bytes | None, headers: _Headers) -> None: ...
    def send(
        self,
        to: _Target,
        method: str,
        uri: str,
        headers: _Headers,
        body: bytes = b"",
        *,
        max_forwards: int = 70,
        frame: _Frame | None = None,
    ) -> int: ...
    def acknowledge(
        self, transaction: int, to: _Target, uri: str, headers: _Headers, body: bytes = b""
    ) -> None: ...
    def cancel(self, transaction: int, headers: _Headers) -> None: ...
    def open(self, tag: str, call_id: str) -> None: ...
    def close(self, tag: str) -> None: ...
    def append(self, frame: _Frame) -> None: ...
    def stop(self) -> None: ...

# message

@final
class Address:
    @property
    def display(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def user(self) -> str: ...

@final
class TopVia:
    @property
    def transport(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int | None: ...
    @property
    def branch(self) -> str: ...
    @property
    def received(self) -> str | None: ...

@final
class Message:
    def __new__(cls, message: bytes) -> Message: ...
    @property
    def method(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def call_id(self) -> str: ...
    @property
    def cseq(self) -> int: ...
    @property
    def cseq_method(self) -> str: ...
    @property
    def from_tag(self) -> str: ...
    @property
    def to_tag(self) -> str: ...
    @property
    def from_(self) -> Address: ...
    @property
    def to(self) -> Address: ...
    @property
    def contact(self) -> str | None: ...
    @property
    def via(self) -> TopVia: ...
    @property
    def body(self) -> bytes: ...
    @property
    def has_body(self) -> bool: ...
    def header(self, name: str) -> str | None: ...
    def headers(self, name: str) -> list[str]: ...
    def fields(self) -> list[tuple[str, bytes]]: ...
    def __bytes__(self) -> bytes: ...

def read_address(value: str) -> Address: ...
def read_uri(uri: str) -> tuple[str, str, str, int | None, bool]: ...

# drill

def flood(
    target: str,
    *,
    seconds: float = 5.0,
    count: int | None = None,
    rate: float | None = None,
    window: int | None = None,
    sources: int = 4096,
    sockets: int = 8,
    batch: int = 32,
    train: int = 1,
    invite: int = 1,
    register: int = 0,
    options: int = 0,
    random: int = 0,
    grammars: Sequence[str] = ...,
    retransmit: int = 0,
    retransmit_after_s: float = 0.5,
    core: int | None = None,
    seed: int = 1,
    linger_s: float = 0.5,
    warm_up_s: float = 0.0,
    by_source: bool = False,
    counts_file: str | PathLike[str] | None = None,
) -> dict[str, Any]: ...
def streams(
    target: str,
    *,
    connections: int = 100,
    behaviour: str = "requests",
    sources: int = 64,
    seconds: float = 5.0,
    byte_every_s: float = 0.2,
    seed: int = 1,
) -> dict[str, Any]: ...
def call_load(
    target: str,
    *,
    customer: str,
    vendor: str,
    rate: float = 10.0,
    seconds: float = 5.0,
    count: int | None = None,
    hold_s: float = 0.0,
    hold_at_most_s: float = 0.0,
    ring_s: float = 0.0,
    fates: str = "caller_hangs_up",
    loss: float = 0.0,
    duplication: float = 0.0,
    caller: str = "1001",
    prefix: str = "44",
    core: int | None = None,
    seed: int = 1,
    linger_s: float = 40.0,
    warm_up_s: float = 0.0,
    calls_file: str | PathLike[str] | None = None,
) -> dict[str, Any]: ...
def drill_templates() -> list[tuple[str, str]]: ...
def drill_message(
    template: str,
    *,
    target: str,
    source: str,
    seed: int,
    index: int,
    callee: bytes | None = None,
    caller: bytes | None = None,
    extension: bytes | None = None,
    authorization: bytes | None = None,
    password: bytes | None = None,
    cseq: int | None = None,
) -> bytes: ...
