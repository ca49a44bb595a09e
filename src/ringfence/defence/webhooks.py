# SPDX-License-Identifier: Apache-2.0
"""Telling programs: call records and alarms, POSTed as JSON and signed.

Call records go out when nothing can change them any more, some 40 s after they were written, oldest first, in
batches. Where a webhook is in the records is a cursor in memory that begins at the start of the office; what
was not taken stays in the ledger and is sent again, so a receiver that was away misses nothing, may see a
batch twice, and knows it by its id. One that is away for longer than `GIVE_UP_S` is told what it missed.

Each request has these headers, as a receiver may check them:

    Ringfence-Event: cdr.illegal
    Ringfence-Delivery: the id of what is sent, the same each time that it is sent
    Ringfence-Signature: t=<unix time, s>,v1=<hex HMAC-SHA256 of "<t>.<body>" with the secret as ASCII text>
"""

import hashlib
import hmac
import http.client
import itertools
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import pyarrow as pa
import structlog

import ringfence
from ringfence.clock import Clock, iso_utc
from ringfence.defence.delivery import Attempt, Outcome
from ringfence.defence.readings import Ledger
from ringfence.errors import StoreError
from ringfence.ids import WebhookId
from ringfence.ledger.feed import GRACE_US
from ringfence.ledger.query import CdrQuery, Cursor, timestamp_us
from ringfence.ledger.schema import COLUMN_NAMES, Cdr, as_cdr
from ringfence.ledger.tail import WINDOW_US
from ringfence.settings.alarms_model import HookEvent, WebhookTarget
from ringfence.text import sentence, visible

BATCH_ROWS: Final = 500
LOOK_EVERY_S: Final = 5.0
WAITS_S: Final = (5.0, 15.0, 60.0, 300.0)
"""How long to wait before each further try; the last one goes on."""

GIVE_UP_S: Final = 86_400.0
"""For how long the same thing is tried."""

MOST_ALARMS: Final = 1000
"""How many alarms may wait for one webhook; the oldest go first."""

KEPT: Final = 10
"""How many deliveries of each webhook are kept to be looked at."""

_SETTLED_US: Final = WINDOW_US + GRACE_US
_BATCHES_A_TURN: Final = 20
_SPAN_US: Final = 600_000_000
_TRY_S: Final = 10.0
_LONGEST_PROBLEM: Final = 300
_SENT_COLUMNS: Final = tuple(name for name in COLUMN_NAMES if name != "raw")

_log = structlog.get_logger("ringfence.alarms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What is to be POSTed: the id, and the JSON body."""

    id: str
    event: HookEvent
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted(Attempt):
    """A delivery that was tried."""

    event: HookEvent
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What a webhook did not take: since when, and when it is tried again (UTC microseconds)."""

    event: HookEvent
    due_us: int
    failing_since_us: int


Post = Callable[[WebhookTarget, Delivery, int], Outcome]
"""POSTs one delivery, signed at a time in UTC microseconds; never raises."""


def signature(secret: str, body: bytes, at_s: int) -> str:
    """The value of the header that proves who sent a body, and when.

    >>> signature("00" * 32, b"{}", 0)[:20]
    't=0,v1=3523dcc0013f0'
    """
    signed = hmac.new(secret.encode("ascii"), f"{at_s}.".encode("ascii") + body, hashlib.sha256)
    return f"t={at_s},v1={signed.hexdigest()}"


def post(target: WebhookTarget, delivery: Delivery, at_us: int) -> Outcome:
    """POST once, to the very address that is set: no redirect is followed, no proxy asked.

    Shape: any 2xx answer is delivery. An answer that is not there within some seconds is a failure, however
    busily it trickles.
    """
    parts = urlsplit(target.url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in {"http", "https"} or not host:
        return Outcome(problem="the address is no http or https address")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Ringfence/{ringfence.__version__}",
        "Ringfence-Event": delivery.event.value,
        "Ringfence-Delivery": delivery.id,
        "Ringfence-Signature": signature(target.secret, delivery.body, at_us // 1_000_000),
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, port, timeout=_TRY_S, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TRY_S)
    cut = threading.Timer(2 * _TRY_S, _cut, (connection,))
    cut.daemon = True
    cut.start()
    try:
        connection.request("POST", path, delivery.body, headers)
        status = connection.getresponse().status
    except TimeoutError:
        return Outcome(problem=sentence("no answer within {try_s:g} s", try_s=_TRY_S))
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = str(error) or type(error).__name__
        return Outcome(problem=visible(told[:_LONGEST_PROBLEM]))
    finally:
        cut.cancel()
        connection.close()
    if 200 <= status < 300:
        return Outcome()
    if 300 <= status < 400:
        return Outcome(problem=sentence("it answered {status}; redirects are not followed", status=status))
    return Outcome(problem=sentence("it answered {status}", status=status))


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection from outside, whatever is waited for on it."""
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(2)
        except OSError:
            return


@dataclass(slots=True, kw_only=True)
class _Lane:
    """One kind of event on its way to one webhook: where it is, what is stuck, and when to try again."""

    tries: int = 0
    due_s: float = 0.0
    failing_since_s: float | None = None
    cursor: Cursor | None = None
    stuck: tuple[Delivery, Cursor] | None = None
    missed_since_us: int | None = None
    alarms: "deque[Delivery]" = field(default_factory=lambda: deque(maxlen=MOST_ALARMS))

    def succeeded(self) -> None:
        self.tries, self.due_s, self.failing_since_s = 0, 0.0, None
        self.stuck = self.missed_since_us = None

    def skip_to(self, time_us: int) -> None:
        """Give up what was to be sent of the time before."""
        if self.missed_since_us is None and self.cursor is not None:
            self.missed_since_us = self.cursor.time_us
        self.cursor, self.stuck, self.failing_since_s = _just_before(time_us), None, None

    def failed(self, now_s: float) -> bool:
        """Note a failure; whether it has been failing for too long."""
        self.due_s = now_s + WAITS_S[min(self.tries, len(WAITS_S) - 1)]
        self.tries += 1
        if self.failing_since_s is None:
            self.failing_since_s = now_s
        return now_s - self.failing_since_s >= GIVE_UP_S


class Hooks:
    """Sends to webhooks; any thread may tell of an alarm, one thread takes steps."""

    def __init__(
        self,
        targets: Callable[[], tuple[WebhookTarget, ...]],
        ledger: Ledger,
        clock: Clock,
        *,
        node: str,
        post: Post = post,
    ) -> None:
        self._targets = targets
        self._ledger = ledger
        self._clock = clock
        self._node = node
        self._post = post
        self._lanes: dict[tuple[WebhookId, HookEvent], _Lane] = {}
        self._posted: dict[WebhookId, tuple[Posted, ...]] = {}
        self._told: deque[Delivery] = deque(maxlen=MOST_ALARMS)
        self._numbers = itertools.count(1)
        self._started_us = clock.utc_us()
        self.woken = threading.Event()

    def tell(self, action: str, alarm: Mapping[str, object]) -> None:
        """Tell those who want alarms: `action` is opened, cleared or acknowledged."""
        self._told.append(
            self._delivery(
                HookEvent.ALARM, f"alarm:{self._started_us}-{next(self._numbers)}", action=action, alarm=alarm
            )
        )
        self.woken.set()

    def send_test(self, target: WebhookTarget) -> Outcome:
        """POST a test at once: an alarm event with the action "test"."""
        delivery = self._delivery(HookEvent.ALARM, f"test:{self._clock.utc_us()}", action="test", alarm=None)
        return self._try(target, delivery)

    def posted(self, webhook_id: WebhookId) -> tuple[Posted, ...]:
        """The last deliveries to a webhook since the office started, newest first."""
        return self._posted.get(webhook_id, ())

    def retries(self, webhook_id: WebhookId) -> tuple[Retry, ...]:
        """What a webhook did not take so far, and when each is tried again."""
        now_us, now_s = self._clock.utc_us(), self._clock.monotonic_s()

        def utc_us(at_s: float) -> int:
            return now_us + round((at_s - now_s) * 1e6)

        found = []
        for (of, event), lane in self._lanes.items():
            # Read once: the thread that sends may succeed meanwhile.
            since_s = lane.failing_since_s
            if of == webhook_id and since_s is not None:
                found.append(Retry(event=event, due_us=utc_us(lane.due_s), failing_since_us=utc_us(since_s)))
        return tuple(found)

    def step(self) -> float:
        """Send what is due; how many seconds until the next look.

        Raises: StoreError if the webhooks cannot be read; nothing is lost then.
        """
        targets = self._targets()
        for gone in set(self._posted) - {target.webhook.id for target in targets}:
            self._posted.pop(gone, None)
        wanted = {
            (target.webhook.id, event): target
            for target in targets
            if target.webhook.enabled
            for event in target.webhook.events
        }
        # One that is switched off and on again begins anew: it was off, not away.
        self._lanes = {key: self._lanes.get(key) or _Lane() for key in wanted}
        while self._told:
            told = self._told.popleft()
            for (_, event), lane in self._lanes.items():
                if event is HookEvent.ALARM:
                    lane.alarms.append(told)
        horizon_us = self._horizon_us()
        for (webhook_id, event), target in wanted.items():
            lane = self._lanes[webhook_id, event]
            now_s = self._clock.monotonic_s()
            kind = event.cdr_kind
            if kind is None:
                if lane.due_s <= now_s:
                    self._send_alarms(target, lane)
            elif horizon_us is not None:
                if lane.cursor is None:
                    lane.cursor = _just_before(horizon_us)
                if lane.due_s <= now_s:
                    self._send_records(target, event, kind, lane, horizon_us)
        now_s = self._clock.monotonic_s()
        due_s = [lane.due_s for lane in self._lanes.values() if lane.due_s > now_s]
        return min([LOOK_EVERY_S, *(each - now_s for each in due_s)])

    def _send_alarms(self, target: WebhookTarget, lane: _Lane) -> None:
        while lane.alarms:
            if self._try(target, lane.alarms[0]).is_delivered:
                lane.succeeded()
            elif not lane.failed(self._clock.monotonic_s()):
                return
            lane.alarms.popleft()

    def _send_records(
        self, target: WebhookTarget, event: HookEvent, kind: str, lane: _Lane, horizon_us: int
    ) -> None:
        # The generator starts only when what is stuck, if anything, has been taken.
        stuck = [] if lane.stuck is None else [lane.stuck]
        batches = itertools.chain(stuck, self._batches(event, kind, lane, horizon_us))
        try:
            for delivery, reached in itertools.islice(batches, _BATCHES_A_TURN):
                if delivery is not None:
                    if not self._try(target, delivery).is_delivered:
                        lane.stuck = delivery, reached
                        if lane.failed(self._clock.monotonic_s()):
                            lane.skip_to(horizon_us)
                        return
                    lane.succeeded()
                lane.cursor = reached
        except StoreError as error:
            # Moved or let go while they were read; what was not sent is read again.
            _log.warning("webhook.records_unreadable", webhook=target.webhook.name, error=error.message)

    def _batches(
        self, event: HookEvent, kind: str, lane: _Lane, horizon_us: int
    ) -> Iterator[tuple[Delivery | None, Cursor]]:
        """Batches after a lane's cursor, and the cursor once each is delivered; None = nothing to deliver."""
        assert lane.cursor is not None  # noqa: S101 - its caller has seen to it
        since_us = lane.cursor.time_us
        while since_us < horizon_us:
            until_us = min(horizon_us, since_us + _SPAN_US)
            query = CdrQuery(kinds=frozenset({kind}), since_us=since_us, until_us=until_us)
            after = lane.cursor
            rows = (row for row in _rows(self._ledger.store.export(query)) if Cursor.of(row) > after)
            while batch := list(itertools.islice(rows, BATCH_ROWS)):
                reached = Cursor.of(batch[-1])
                missed = (
                    {}
                    if lane.missed_since_us is None
                    else {
                        "missed": {
                            "since": iso_utc(lane.missed_since_us),
                            "until": iso_utc(timestamp_us(batch[0])),
                        }
                    }
                )
                yield (
                    self._delivery(
                        event, f"{event.value}:{reached}", cdrs=[_told(row) for row in batch], **missed
                    ),
                    reached,
                )
            since_us = until_us
            yield None, _just_before(until_us)

    def _horizon_us(self) -> int | None:
        """Rows before this are all there and final; None if the ledger cannot say."""
        try:
            _ = self._ledger.store
        except StoreError:
            return None
        progress = self._ledger.stats.progress
        if progress is None:
            return None
        if progress.is_at_end:
            return self._clock.utc_us() - _SETTLED_US
        # Of the two streams one may be ahead of the other by as much again.
        return progress.newest_frame_us - 2 * _SETTLED_US

    def _delivery(self, event: HookEvent, delivery_id: str, **content: object) -> Delivery:
        body = {
            "id": delivery_id,
            "event": event.value,
            "at": iso_utc(self._clock.utc_us()),
            "node": self._node,
            **content,
        }
        return Delivery(id=delivery_id, event=event, body=msgspec.json.encode(body))

    def _try(self, target: WebhookTarget, delivery: Delivery) -> Outcome:
        now_us = self._clock.utc_us()
        outcome = self._post(target, delivery, now_us)
        before = self._posted.get(target.webhook.id, ())
        posted = Posted(at_us=now_us, outcome=outcome, event=delivery.event, id=delivery.id)
        self._posted[target.webhook.id] = (posted, *before)[:KEPT]
        if not outcome.is_delivered and (not before or before[0].outcome.is_delivered):
            _log.warning("webhook.failed", webhook=target.webhook.name, problem=outcome.problem)
        return outcome


def _just_before(time_us: int) -> Cursor:
    """The place below every row of a moment."""
    return Cursor(time_us=time_us, flow_no=-1, journal_id="")


def _rows(batches: Iterator[pa.RecordBatch]) -> Iterator[Cdr]:
    for batch in batches:
        names = batch.schema.names
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield as_cdr(values, names)


def _told(row: Cdr) -> dict[str, Any]:
    """A record as JSON tells it: all columns but the message itself, whole numbers and text unchanged."""
    told = {name: getattr(row, name) for name in _SENT_COLUMNS}
    told["recorded_at"] = iso_utc(timestamp_us(row))
    told["fingerprint"] = f"{row.fingerprint:016x}"
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in told.items()}
