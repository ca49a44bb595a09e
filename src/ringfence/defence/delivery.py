# SPDX-License-Identifier: Apache-2.0
"""Telling alarms to people: one message a channel when an incident opens, one when it is over.

Messages are plain text. What fails is tried again a few times, later each time, and then let go: the incident
itself is kept by the settings store and seen in the portal. What still waits when the office ends is let go
too.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from ringfence.clock import Clock
from ringfence.errors import RingfenceError
from ringfence.ids import ChannelId
from ringfence.settings.alarms_model import ChannelAddress, Level
from ringfence.settings.objects.channels import quiet_apprise
from ringfence.text import sentence, visible

WAITS_S: Final = (5.0, 15.0, 60.0, 180.0, 600.0)
"""How long to wait before each further try; then no more."""

MOST_WAITING: Final = 1000
"""How many messages may wait, of all channels together."""

_TRY_S: Final = 15.0
_LONGEST_PROBLEM: Final = 300

_log = structlog.get_logger("ringfence.alarms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people are told; strangers' text in it is inert already."""

    title: str
    body: str
    level: Level
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a delivery went; `problem` says what failed, None = it was taken."""

    problem: str | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the other side took it."""
        return self.problem is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A delivery that was tried, and when (UTC microseconds)."""

    at_us: int
    outcome: Outcome


Send = Callable[[ChannelAddress, Message], Outcome]
"""Sends one message through one channel; never raises."""


def send(address: ChannelAddress, message: Message) -> Outcome:
    """Send one message through one channel, as plain text; whatever fails is in the outcome."""
    quiet_apprise()
    # It takes half a second and some memory, so only offices that have a channel pay for it.
    import apprise  # noqa: PLC0415

    asset = apprise.AppriseAsset(
        app_id="Ringfence",
        app_desc="Ringfence SIP softswitch",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        http_redirects=False,
        interpret_escapes=False,
        interpret_emojis=False,
        storage_mode="memory",
    )
    try:
        service = apprise.Apprise.instantiate(address.url, asset=asset)
        if service is None:
            return Outcome(problem="apprise cannot read the address of this channel")
        result = apprise.Apprise(services=service, asset=asset).notify(
            title=message.title,
            body=message.body,
            notify_type=_kind(message),
            body_format=apprise.NotifyFormat.TEXT.value,
            timeout=_TRY_S,
        )
    except Exception as error:  # noqa: BLE001 - a hundred plug-ins, and none may end the office
        return Outcome(problem=sentence("{kind} in apprise", kind=type(error).__name__))
    if result:
        return Outcome()
    told = "; ".join(dict.fromkeys(entry.message for entry in result.logs()))
    if not told:
        told = f"no answer within {_TRY_S:g} s" if result.status.name == "TIMEOUT" else "it was not taken"
    return Outcome(problem=visible(told[:_LONGEST_PROBLEM]))


def _kind(message: Message) -> str:
    if message.is_over:
        return "success"
    return "failure" if message.level.reaches(Level.MAJOR) else "warning"


@dataclass(slots=True, kw_only=True)
class _Job:
    """A message on its way to one channel."""

    channel_id: ChannelId
    message: Message
    tries: int = 0


class Delivery:
    """Sends messages to channels, first those that have waited longest.

    Shape: any thread may `deliver`; one thread takes steps. `channels` gives the channels as they are now, so
    one that was switched off or mended counts at once for what still waits.
    """

    def __init__(
        self, channels: Callable[[], tuple[ChannelAddress, ...]], clock: Clock, *, send: Send = send
    ) -> None:
        self._channels = channels
        self._clock = clock
        self._send = send
        self._told: deque[Message] = deque(maxlen=MOST_WAITING)
        self._waiting: list[tuple[float, int, _Job]] = []
        self._numbers = itertools.count()
        self._last: dict[ChannelId, Attempt] = {}
        self.dropped = 0
        self.woken = threading.Event()

    def deliver(self, message: Message) -> None:
        """Tell every channel that is to be told of this level."""
        if len(self._told) == MOST_WAITING:
            self._drop()
        self._told.append(message)
        self.woken.set()

    def send_test(self, address: ChannelAddress, *, node: str) -> Outcome:
        """Send a message that says that it is a test, at once, whatever the channel's level is."""
        message = Message(
            title=f"Ringfence {node}: test",
            body=f"This is a test of the channel {address.channel.name}. Alarms of {node} will arrive here.",
            level=Level.GENERAL,
            is_over=True,
        )
        return self._try(address, message)

    def last(self, channel_id: ChannelId) -> Attempt | None:
        """The last delivery to a channel since the office started; None if there was none."""
        return self._last.get(channel_id)

    def step(self) -> float | None:
        """Send what is due.

        Shape: how many seconds until something is due again; None = nothing waits.
        Raises: StoreError if the channels cannot be read; nothing is lost then.
        """
        addresses = {address.channel.id: address for address in self._channels()}
        while self._told:
            message = self._told.popleft()
            for address in addresses.values():
                if address.channel.enabled and message.level.reaches(address.channel.least_level):
                    job = _Job(channel_id=address.channel.id, message=message)
                    self._put(job, self._clock.monotonic_s(), next(self._numbers))
        while self._waiting:
            due_s, number, job = self._waiting[0]
            wait_s = due_s - self._clock.monotonic_s()
            if wait_s > 0:
                return wait_s
            heapq.heappop(self._waiting)
            address_now = addresses.get(job.channel_id)
            if address_now is not None and address_now.channel.enabled:
                self._attempt(address_now, job, number)
        return None

    def _attempt(self, address: ChannelAddress, job: _Job, number: int) -> None:
        outcome = self._try(address, job.message)
        if outcome.is_delivered:
            return
        job.tries += 1
        name = address.channel.name
        if job.tries > len(WAITS_S):
            _log.error("alarm.undelivered", channel=name, problem=outcome.problem, tries=job.tries)
            return
        _log.warning("alarm.delivery_failed", channel=name, problem=outcome.problem, tries=job.tries)
        self._put(job, self._clock.monotonic_s() + WAITS_S[job.tries - 1], number)

    def _try(self, address: ChannelAddress, message: Message) -> Outcome:
        outcome = self._send(address, message)
        self._last[address.channel.id] = Attempt(at_us=self._clock.utc_us(), outcome=outcome)
        return outcome

    def _put(self, job: _Job, due_s: float, number: int) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._drop()
        else:
            heapq.heappush(self._waiting, (due_s, number, job))

    def _drop(self) -> None:
        self.dropped += 1
        _log.error("alarm.dropped", hint="too many messages wait; look at the channels")


class Worker:
    """A thread that takes steps until it is stopped; what a step raises is logged and tried again.

    Shape: `step` gives the seconds until the next one, None = when woken, and at the latest after
    `longest_s`.
    """

    def __init__(
        self, name: str, step: Callable[[], float | None], woken: threading.Event, *, longest_s: float
    ) -> None:
        self._step = step
        self._woken = woken
        self._longest_s = longest_s
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """End after the step under way; a step that takes longer than this ends with the process."""
        self._is_stopping = True
        self._woken.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        while not self._is_stopping:
            self._woken.clear()
            wait_s: float | None = self._longest_s
            try:
                wait_s = self._step()
            except RingfenceError as error:
                _log.error("alarm.step_failed", thread=self._thread.name, error=error.message)
            except Exception as error:  # noqa: BLE001 - alarms have to outlive what they report
                _log.error(
                    "alarm.step_failed",
                    thread=self._thread.name,
                    error=visible(str(error)),
                    kind=type(error).__name__,
                )
            if not self._is_stopping:
                self._woken.wait(self._longest_s if wait_s is None else min(wait_s, self._longest_s))
