# SPDX-License-Identifier: Apache-2.0
"""The alarms of an office: looks every few seconds, keeps incidents, has people and programs told.

Three threads, so that no slow receiver keeps an alarm from opening: one looks, one tells people through
channels, one tells programs through webhooks.
"""

import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import structlog

from ringfence.clock import Clock, iso_utc
from ringfence.defence import delivery, webhooks
from ringfence.defence.alarms import Cleared, Opened, Reading, Risen, evaluate
from ringfence.defence.delivery import Attempt, Delivery, Message, Outcome, Send, Worker
from ringfence.defence.readings import WINDOW_S, Ledger, Machine, Readings, Switch
from ringfence.defence.webhooks import Hooks, Post, Posted, Retry
from ringfence.errors import StoreError
from ringfence.ids import AlarmId, ChannelId, WebhookId
from ringfence.ledger.query import CdrQuery
from ringfence.settings.alarms_model import (
    ILLEGAL_CALL,
    PROCESS_EXIT,
    Alarm,
    AlarmDraft,
    AlarmRule,
)
from ringfence.settings.model import Change
from ringfence.settings.store import SettingsStore
from ringfence.text import Sentence, inert, sentence

LOOK_EVERY_S: Final = 5.0
_STOP_S: Final = 2.0
_TOLD_COLUMNS: Final = ("callerip", "calleeAccessE164", "user_agent")

_log = structlog.get_logger("ringfence.alarms")


class AlarmService:
    """Watches, and tells.

    Shape: `portal` is where people reach the pages ("https://switch.example.com"), for links in messages. Any
    thread may ask, acknowledge and test; `step` belongs to the thread that looks.
    """

    def __init__(
        self,
        settings: SettingsStore,
        ledger: Ledger,
        switch: Switch,
        clock: Clock,
        *,
        data_dir: Path,
        node: str,
        portal: str,
        machine: Machine | None = None,
        send: Send = delivery.send,
        post: Post = webhooks.post,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._node = node
        self._portal = portal.rstrip("/")
        self._readings = Readings(
            Machine(data_dir) if machine is None else machine, ledger, switch, clock, data_dir=data_dir
        )
        self.delivery = Delivery(settings.channels.addresses, clock, send=send)
        self.hooks = Hooks(settings.webhooks.targets, ledger, clock, node=node, post=post)
        self._latest: tuple[Reading, ...] = ()
        self._workers = (
            Worker("alarms", self.step, threading.Event(), longest_s=LOOK_EVERY_S),
            Worker("alarm-delivery", self.delivery.step, self.delivery.woken, longest_s=60.0),
            Worker("webhooks", self.hooks.step, self.hooks.woken, longest_s=webhooks.LOOK_EVERY_S),
        )

    def start(self) -> None:
        """Begin."""
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """End; what is still on its way to a slow receiver is let go."""
        for worker in self._workers:
            worker.stop(_STOP_S)

    # What pages and the API ask

    def open_alarms(self) -> tuple[Alarm, ...]:
        """Incidents of every node that are not over, newest first.

        Raises: StoreError.
        """
        return self._settings.alarms.open()

    def readings(self) -> tuple[Reading, ...]:
        """The values as they were at the last look; empty before the first."""
        return self._latest

    def acknowledge(self, alarm_id: AlarmId, *, note: str = "", actor: str) -> Change[Alarm]:
        """Say that someone has seen to an incident, and tell webhooks so.

        Raises: as `settings.objects.alarms.Alarms.acknowledge`.
        """
        change = self._settings.alarms.acknowledge(alarm_id, note=note, actor=actor)
        if change.changed and change.after is not None:
            self._tell_programs("acknowledged", change.after)
        return change

    def send_test(self, channel_id: ChannelId) -> Outcome:
        """Send a test through a channel now, and say what failed.

        Raises: NotFoundError, StoreError.
        """
        return self.delivery.send_test(self._settings.channels.address(channel_id), node=self._node)

    def send_test_webhook(self, webhook_id: WebhookId) -> Outcome:
        """POST a test to a webhook now, and say what failed.

        Raises: NotFoundError, StoreError.
        """
        return self.hooks.send_test(self._settings.webhooks.target(webhook_id))

    def last_delivery(self, channel_id: ChannelId) -> Attempt | None:
        """The last delivery to a channel since the office started; None if there was none."""
        return self.delivery.last(channel_id)

    def posted(self, webhook_id: WebhookId) -> tuple[Posted, ...]:
        """The last deliveries to a webhook since the office started, newest first."""
        return self.hooks.posted(webhook_id)

    def retries(self, webhook_id: WebhookId) -> tuple[Retry, ...]:
        """What a webhook did not take so far, and when each is tried again."""
        return self.hooks.retries(webhook_id)

    # The look

    def step(self) -> float:
        """Look once, and do what follows; the seconds until the next look.

        Raises: StoreError if incidents cannot be read or kept; the next look does what this one did not.
        """
        self._latest = self._readings.take()
        alarms = self._settings.alarms
        for effect in evaluate(self._latest, alarms.rules(), alarms.open(node=self._node)):
            match effect:
                case Opened(rule=rule, reading=reading):
                    self._open(rule, reading)
                case Risen(alarm=alarm, value=value):
                    alarms.rise(alarm.id, value)
                case Cleared(alarm=alarm, reading=reading):
                    self._clear(alarm, is_switched_off=reading is None)
        return LOOK_EVERY_S

    def _open(self, rule: AlarmRule, reading: Reading) -> None:
        since_us = self._clock.utc_us() - round(WINDOW_S * 1e6)
        is_illegal_call = rule.code == ILLEGAL_CALL
        sentences = [_sentence(rule, reading)]
        if is_illegal_call:
            sentences += self._latest_illegal_call(since_us)
        alarm = self._settings.alarms.begin(
            AlarmDraft(
                node=self._node,
                code=rule.code,
                level=rule.level,
                subject=reading.subject,
                value=reading.value,
                told=tuple(sentences),
                link=illegal_calls_link(since_us) if is_illegal_call else "",
            )
        )
        if alarm is None:
            return
        _log.warning(
            "alarm.opened", code=alarm.code, subject=alarm.subject, level=alarm.level.value, value=alarm.value
        )
        self._tell(alarm, "opened")

    def _clear(self, alarm: Alarm, *, is_switched_off: bool) -> None:
        cleared = self._settings.alarms.clear(alarm.id)
        if cleared is None:
            return
        _log.info("alarm.cleared", code=alarm.code, subject=alarm.subject, switched_off=is_switched_off)
        self._tell(cleared, "cleared")

    def _latest_illegal_call(self, since_us: int) -> list[Sentence]:
        """Who called last, in a sentence whose words from outside are inert; none if no record is there."""
        query = CdrQuery(kinds=frozenset({"illegal"}), since_us=since_us)
        try:
            rows = self._ledger.store.page(query, limit=1, columns=_TOLD_COLUMNS).rows
        except StoreError:
            return []
        return [
            sentence(
                "The latest came from {address}, called {number} and named itself {tool}.",
                address=inert(row.callerip),
                number=inert(row.calleeAccessE164) or sentence("no number"),
                tool=inert(row.user_agent) or sentence("nothing"),
            )
            for row in rows
        ]

    def _tell(self, alarm: Alarm, action: str) -> None:
        self._tell_programs(action, alarm)
        self.delivery.deliver(self.message(alarm))

    def _tell_programs(self, action: str, alarm: Alarm) -> None:
        link = f"{self._portal}{alarm.link}" if alarm.link else None
        fields = asdict(alarm)
        del fields["told"]
        told = {
            **fields,
            "message": alarm.message,
            "name": alarm.kind.name,
            "unit": alarm.kind.unit,
            "link": link,
            "alarms": f"{self._portal}/alarms",
        }
        self.hooks.tell(action, told)

    def message(self, alarm: Alarm) -> Message:
        """What people are told of an incident as it stands."""
        subject = f" ({alarm.subject})" if alarm.subject else ""
        name = f"{alarm.kind.name}{subject}"
        if alarm.cleared_at_us is None:
            title = f"Ringfence {self._node}: {name}, {alarm.level.value}"
            lines = [alarm.message]
        else:
            title = f"Ringfence {self._node}: {name} is over"
            lasted_s = (alarm.cleared_at_us - alarm.opened_at_us) // 1_000_000
            highest = _amount(alarm.value, alarm.kind.unit)
            lines = [f"It lasted {_length(lasted_s)}; the highest value was {highest}."]
        lines.append(f"Alarm {alarm.code}, level {alarm.level.value}, opened {_utc(alarm.opened_at_us)}.")
        if alarm.link:
            lines.append(f"Records: {self._portal}{alarm.link}")
        lines.append(f"Alarms: {self._portal}/alarms")
        return Message(
            title=title, body="\n".join(lines), level=alarm.level, is_over=alarm.cleared_at_us is not None
        )


def illegal_calls_link(since_us: int) -> str:
    """The page with the records of illegal calls since a moment, within the portal."""
    return f"/cdrs?{urlencode({'kind': 'illegal', 'since': iso_utc(since_us)})}"


def _sentence(rule: AlarmRule, reading: Reading) -> Sentence:
    """What happened."""
    kind = rule.kind
    if kind.code == ILLEGAL_CALL:
        if reading.value == 1:
            return sentence("1 call from unauthorised sources was refused within a minute.")
        return sentence(
            "{count:,} calls from unauthorised sources were refused within a minute.",
            count=reading.value,
        )
    if kind.code == PROCESS_EXIT:
        return sentence("The {process} ended, or does not answer.", process=sentence(reading.subject))
    return sentence(
        "{alarm}: {value}; the alarm is set at {bound}.",
        alarm=sentence(kind.name),
        value=_amount(reading.value, kind.unit),
        bound=_amount(rule.upper, kind.unit),
    )


def _amount(value: int, unit: str) -> Sentence:
    word = unit.removesuffix("s") if value == 1 else unit
    return sentence("{number:,} {unit}", number=value, unit=sentence(word))


def _utc(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _length(seconds: int) -> str:
    """A length in the largest unit that leaves at least two of it.

    >>> _length(150), _length(90), _length(7200)
    ('2 min', '90 s', '2 h')
    """
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
