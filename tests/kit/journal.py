# SPDX-License-Identifier: Apache-2.0
"""A journal in memory: frames in lists, read as the native reader does, and what rows must come of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ringfence.ledger.frames import (
    ATTEMPTS,
    CHALLENGE,
    INCREMENTS,
    REFUSAL,
    SETTLES,
    SUMMARIES,
    Frames,
    Opaque,
    answers,
)
from ringfence.ledger.schema import CALL_ENDED_FRAME, CALLS, EDGE, CallEnded, encode_call_ended

T0_US = (
    1_732_233_600_000_000  # 2024-11-22T00:00:00Z: readers compare with the real time, so it has to be past
)
JOURNAL_ID = "0123456789abcdef" * 2

INVITE = 1
OPTIONS = 5
REGISTER = 6

SOURCE_IS_PROVEN = 4
SOURCE_IS_AUTHORISED = 8
NO_MESSAGE = 32

UNKNOWN_SOURCE = 1
UNANSWERED_CHALLENGE = 5
RATE_EXCEEDED = 9


def attempt(**changed: Any) -> dict[str, Any]:
    """The fields of a refusal frame: an INVITE from a stranger unless told otherwise."""
    return {
        "kind": REFUSAL,
        "reason": UNKNOWN_SOURCE,
        "method": INVITE,
        "transport": 0,
        "scope": 0,
        "status": 403,
        "detail": 0,
        "source": "198.51.100.7",
        "source_port": 5062,
        "local": "192.0.2.1",
        "local_port": 5060,
        "flags": 0,
        "gateway_id": 0,
        "traits": 3,
        "fingerprint": 0xFEED_FACE_CAFE_BEEF,
        "settles": 0,
        "caller": "100",
        "callee": "00972595725668",
        "user_agent": "friendly-scanner",
        "call_id": "845637284",
        "method_text": "",
        "auth_user": "",
        "raw": None,
    } | changed


def challenge(**changed: Any) -> dict[str, Any]:
    """The fields of a challenge frame."""
    return attempt(kind=CHALLENGE, reason=UNANSWERED_CHALLENGE, status=407) | changed


def ended(**changed: Any) -> CallEnded:
    """A call of a gateway that this server could not process."""
    fields: dict[str, Any] = {
        "started_us": T0_US,
        "ended_us": T0_US,
        "end_reason": -15,
        "billing_mode": 1,
        "sip_status": 503,
        "q850_cause": 41,
        "gateway_id": 7,
        "gateway": "carrier-a",
        "source": "203.0.113.9",
        "caller": "15550100",
        "callee": "442079460000",
        "call_id": "a84b4c76e66710",
    }
    return CallEnded(**(fields | changed))


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: `what` is attempt, increment, summary, settle or ended."""

    seq: int
    time_us: int
    what: str
    fields: dict[str, Any]


@dataclass(slots=True)
class Journal:
    """Both streams. What is `visible` can be read; hide frames to have them come later."""

    journal_id: str = JOURNAL_ID
    streams: tuple[list[Frame], list[Frame]] = field(default_factory=lambda: ([], []))
    visible: list[int] = field(default_factory=lambda: [1 << 60, 1 << 60])

    def _put(self, stream: int, time_us: int, what: str, fields: dict[str, Any]) -> int:
        frames = self.streams[stream]
        seq = frames[-1].seq + 1 if frames else 1
        frames.append(Frame(seq, time_us, what, fields))
        return seq

    def refuse(self, time_us: int, **changed: Any) -> int:
        return self._put(EDGE, time_us, "attempt", attempt(**changed))

    def challenge(self, time_us: int, **changed: Any) -> int:
        return self._put(EDGE, time_us, "attempt", challenge(**changed))

    def increment(self, time_us: int, base_seq: int, count: int = 1, *, widened: bool = False) -> int:
        return self._put(
            EDGE, time_us, "increment", {"base_seq": base_seq, "count": count, "why": int(widened)}
        )

    def summary(self, time_us: int, count: int, reason: int = UNKNOWN_SOURCE, method: int = INVITE) -> int:
        return self._put(EDGE, time_us, "summary", {"reason": reason, "method": method, "count": count})

    def flow(self, time_us: int, settles: int) -> int:
        return self._put(CALLS, time_us, "settle", {"settles": settles})

    def end_call(self, time_us: int, **changed: Any) -> int:
        return self._put(CALLS, time_us, "ended", {"ended": ended(**changed)})

    def source(self, chunk: Callable[[], int] | None = None) -> Callable[[int, int], "MemorySource"]:
        """Opens streams; `chunk` says how many frames the next read gives at most."""
        return lambda stream, after: MemorySource(self, stream, after, chunk)


class MemorySource:
    """One stream of a journal, from a place on."""

    def __init__(self, journal: Journal, stream: int, after: int, chunk: Callable[[], int] | None) -> None:
        self._journal = journal
        self._stream = stream
        self._next = after + 1
        self._chunk = chunk

    @property
    def journal_id(self) -> str:
        return self._journal.journal_id

    def read(self, max_frames: int) -> Frames | None:
        frames = self._journal.streams[self._stream]
        limit = min(max_frames, self._chunk() if self._chunk else max_frames)
        first = next((n for n, frame in enumerate(frames) if frame.seq >= self._next), len(frames))
        run: list[Frame] = []
        for frame in frames[first : first + limit]:
            # Like the native reader: a batch has no hole.
            if frame.seq > self._journal.visible[self._stream] or (run and frame.seq != run[-1].seq + 1):
                break
            run.append(frame)
        if not run:
            return None
        self._next = run[-1].seq + 1
        return as_frames(self._journal.journal_id, run)


def as_frames(journal_id: str, run: Sequence[Frame]) -> Frames:
    """A run of frames as the ledger takes it."""
    attempts = _table(ATTEMPTS, (f for f in run if f.what == "attempt"))
    return Frames(
        journal_id=journal_id,
        first_seq=run[0].seq,
        last_seq=run[-1].seq,
        min_time_us=min(frame.time_us for frame in run),
        max_time_us=max(frame.time_us for frame in run),
        attempts=attempts,
        increments=_table(INCREMENTS, (f for f in run if f.what == "increment")),
        summaries=_table(SUMMARIES, (f for f in run if f.what == "summary")),
        settles=pa.concat_tables(
            [answers(attempts), _table(SETTLES, (f for f in run if f.what == "settle"))]
        ),
        opaque=tuple(
            Opaque(
                kind=CALL_ENDED_FRAME,
                seq=f.seq,
                time_us=f.time_us,
                payload=encode_call_ended(f.fields["ended"]),
            )
            for f in run
            if f.what == "ended"
        ),
    )


def _table(schema: pa.Schema, frames: Iterable[Frame]) -> pa.Table:
    rows = [{"seq": frame.seq, "time_us": frame.time_us, **frame.fields} for frame in frames]
    return pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)


Expected = dict[int, tuple[str, str, int]]
"""By flow number: kind, reason and attempts."""


def expected_rows(journal: Journal, window_us: int) -> Expected:
    """The rows that must come of a journal, worked out frame by frame and without SQL."""
    edge, calls = journal.streams
    attempts = {frame.seq: frame for frame in edge if frame.what == "attempt"}
    repeated = dict.fromkeys(attempts, 0)
    standing = dict.fromkeys(attempts, 1)
    rows: Expected = {}
    for frame in edge:
        if frame.what != "increment":
            continue
        base = attempts.get(frame.fields["base_seq"])
        count = frame.fields["count"]
        if base is None or frame.time_us > base.time_us + window_us:
            rows[frame.seq * 2] = ("event", "lost_record", count)
        elif frame.fields["why"]:
            standing[base.seq] += count
        else:
            repeated[base.seq] += count
    settling = [(frame.time_us, frame.fields["settles"]) for frame in edge if frame.what == "attempt"]
    settling += [(frame.time_us, frame.fields["settles"]) for frame in calls if frame.what == "settle"]
    settling += [(frame.time_us, frame.fields["ended"].settles) for frame in calls if frame.what == "ended"]
    for time_us, settles in settling:
        base = attempts.get(settles)
        if base is not None and base.fields["kind"] == CHALLENGE and time_us <= base.time_us + window_us:
            standing[settles] -= 1
    for seq, frame in attempts.items():
        fields = frame.fields
        if fields["kind"] == CHALLENGE and standing[seq] <= 0:
            continue
        is_call = fields["method"] == INVITE and not fields["flags"] & NO_MESSAGE
        is_authorised = fields["flags"] & SOURCE_IS_AUTHORISED
        kind = ("call" if is_authorised else "illegal") if is_call else "event"
        rows[seq * 2] = (kind, _REASONS[fields["reason"]], standing[seq] + repeated[seq])
    for frame in calls:
        if frame.what == "ended":
            rows[frame.seq * 2 + 1] = ("call", frame.fields["ended"].reason, 1)
    return rows


_REASONS = {
    UNKNOWN_SOURCE: "unknown_source",
    UNANSWERED_CHALLENGE: "unanswered_challenge",
    RATE_EXCEEDED: "rate_exceeded",
    4: "bad_credentials",
}
