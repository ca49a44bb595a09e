# SPDX-License-Identifier: Apache-2.0
"""What pages and API work on: the ledger, the settings, the switch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ringfence.clock import Clock
from ringfence.control.client import NOT_RUNNING, ControlClient
from ringfence.control.messages import (
    Books,
    CallCounts,
    Flows,
    Lists,
    LiveCall,
    LiveCalls,
    Status,
    Traced,
    TraceRequest,
    Vendors,
)
from ringfence.control.standing import LiveVendors
from ringfence.defence.delivery import Outcome
from ringfence.defence.webhooks import Posted, Retry
from ringfence.errors import ControlError
from ringfence.ids import AlarmId, ChannelId, WebhookId
from ringfence.ledger.reports import Reports
from ringfence.ledger.service import Stats
from ringfence.ledger.store import ParquetStore
from ringfence.settings.alarms_model import Alarm
from ringfence.settings.model import Change
from ringfence.settings.store import SettingsStore

_ASK_S: Final = 0.5
_TAKE_S: Final = 5.0
_FLOWS: Final = 10_000


class Ledger(Protocol):
    """Call records."""

    @property
    def store(self) -> ParquetStore:
        """Where to ask for records.

        Raises: StoreError while there is none.
        """
        ...

    @property
    def reports(self) -> Reports:
        """What adds records up.

        Raises: StoreError while there is none.
        """
        ...

    @property
    def stats(self) -> Stats:
        """How the ledger is doing."""
        ...


class Switch(Protocol):
    """The switch of this node; None says that none answers."""

    def counters(self) -> Mapping[str, int] | None:
        """What the edge counted in this run, by name."""
        ...

    def books(self) -> Books | None:
        """The balance of this run."""
        ...

    def call_counts(self) -> CallCounts | None:
        """Calls of this run, counted, and gateways at work."""
        ...

    def vendors(self) -> Vendors | None:
        """How we stand with the vendors that we register with or ask by OPTIONS."""
        ...

    def calls(self, limit: int) -> LiveCalls | None:
        """Live calls, the oldest first, at most `limit`."""
        ...

    def call(self, call_id: int) -> tuple[LiveCall, int] | None:
        """One live call, and the moment of it in UTC microseconds; None if it is over too."""
        ...

    def hang_up(self, call_id: int) -> None:
        """End a live call.

        Raises: ControlError, "not_found" included.
        """
        ...

    def flows(self) -> Flows | None:
        """Registrations in force."""
        ...

    def lists(self) -> Lists | None:
        """List entries in force in the edge."""
        ...

    def status(self) -> Status | None:
        """Who answers."""
        ...

    def trace(self, asked: TraceRequest) -> Traced | None:
        """Messages of calls that are still in its memory.

        Raises: ControlError if it runs and did not tell them.
        """
        ...

    def take(self, version: int) -> bool:
        """Have it judge by at least this version of the settings; False if none runs.

        Raises: ControlError if it runs and did not take them.
        """
        ...


class LocalSwitch:
    """The switch behind the control socket of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def counters(self) -> Mapping[str, int] | None:
        """What the edge counted in this run, by name."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.counters().counters
        except ControlError:
            return None

    def call_counts(self) -> CallCounts | None:
        """Calls of this run, counted, and gateways at work."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.call_counts()
        except ControlError:
            return None

    def vendors(self) -> Vendors | None:
        """How we stand with the vendors that we register with or ask by OPTIONS."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.vendors()
        except ControlError:
            return None

    def calls(self, limit: int) -> LiveCalls | None:
        """Live calls, the oldest first, at most `limit`."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.calls(limit)
        except ControlError:
            return None

    def call(self, call_id: int) -> tuple[LiveCall, int] | None:
        """One live call, and the moment of it in UTC microseconds; None if it is over too."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.call(call_id), client.calls(1).at_us
        except ControlError:
            return None

    def hang_up(self, call_id: int) -> None:
        """End a live call.

        Raises: ControlError, "not_found" included.
        """
        with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
            client.hang_up(call_id)

    def books(self) -> Books | None:
        """The balance of this run."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.books()
        except ControlError:
            return None

    def flows(self) -> Flows | None:
        """Registrations in force."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.flows(_FLOWS)
        except ControlError:
            return None

    def lists(self) -> Lists | None:
        """List entries in force in the edge."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.lists()
        except ControlError:
            return None

    def status(self) -> Status | None:
        """Who answers."""
        try:
            with ControlClient(self._data_dir, timeout_s=_ASK_S) as client:
                return client.status()
        except ControlError:
            return None

    def trace(self, asked: TraceRequest) -> Traced | None:
        """Messages of calls that are still in its memory.

        Raises: ControlError if it runs and did not tell them.
        """
        try:
            with ControlClient(self._data_dir, timeout_s=_TAKE_S) as client:
                return client.trace(asked)
        except ControlError as error:
            if error.code == NOT_RUNNING:
                return None
            raise

    def take(self, version: int) -> bool:
        """Have it judge by at least this version of the settings; False if none runs.

        Raises: ControlError if it runs and did not take them.
        """
        try:
            with ControlClient(self._data_dir, timeout_s=_TAKE_S) as client:
                client.settings_changed(version)
        except ControlError as error:
            if error.code == NOT_RUNNING:
                return False
            raise
        return True


class Alarms(Protocol):
    """Who watches and tells."""

    def acknowledge(self, alarm_id: AlarmId, *, note: str = "", actor: str) -> Change[Alarm]:
        """Say that somebody has seen to an incident, and tell programs so.

        Raises: NotFoundError, ConfigError, StoreError.
        """
        ...

    def send_test(self, channel_id: ChannelId) -> Outcome:
        """Send a test through a channel now, and say what failed.

        Raises: NotFoundError, StoreError.
        """
        ...

    def send_test_webhook(self, webhook_id: WebhookId) -> Outcome:
        """POST a test to a webhook now, and say what failed.

        Raises: NotFoundError, StoreError.
        """
        ...

    def posted(self, webhook_id: WebhookId) -> tuple[Posted, ...]:
        """The last deliveries to a webhook since the office started, newest first."""
        ...

    def retries(self, webhook_id: WebhookId) -> tuple[Retry, ...]:
        """What a webhook did not take so far, and when each is tried again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Everything that a page or a call of the API may need."""

    ledger: Ledger
    settings: SettingsStore
    switch: Switch
    alarms: Alarms
    clock: Clock
    node: str
    data_dir: Path

    def live_vendors(self) -> LiveVendors | None:
        """What the switch says of vendors; None if none answers."""
        vendors, counts = self.switch.vendors(), self.switch.call_counts()
        return None if vendors is None or counts is None else LiveVendors.of(vendors, counts)

    def hang_up(self, call_id: int, *, actor: str) -> None:
        """End a live call, and note who did it.

        Raises: ControlError, "not_found" included; StoreError if the call is ended and cannot be noted.
        """
        self.switch.hang_up(call_id)
        self.settings.note_act("hang_up", "call", str(call_id), actor=actor)
