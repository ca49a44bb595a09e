# SPDX-License-Identifier: Apache-2.0
"""The portal for tests: real settings, a ledger over a journal in memory, an obedient switch."""

import atexit
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from starlette.applications import Starlette
from starlette.testclient import TestClient

from kit.clock import ManualClock
from kit.journal import T0_US, Journal
from kit.ledgers import ledger_of
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
from ringfence.defence.delivery import Outcome
from ringfence.defence.webhooks import Posted, Retry
from ringfence.errors import ControlError, StoreError
from ringfence.ids import AlarmId, ChannelId, WebhookId
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.reports import Reports
from ringfence.ledger.service import Stats
from ringfence.ledger.store import ParquetStore
from ringfence.portal.access import Access, form_token
from ringfence.portal.app import create_app
from ringfence.portal.exports import ExportJobs
from ringfence.portal.office import Office
from ringfence.portal.site import COOKIE
from ringfence.settings.alarms_model import Alarm
from ringfence.settings.model import Change, Role
from ringfence.settings.store import SettingsStore

PASSWORD = "correct horse battery"
BASE = "http://127.0.0.1:8080"


@dataclass(kw_only=True)
class FakeLedger:
    found: ParquetStore | None
    stats: Stats

    @property
    def store(self) -> ParquetStore:
        if self.found is None:
            raise StoreError("the ledger is starting", hint="try again in a moment", code="starting")
        return self.found

    @property
    def reports(self) -> Reports:
        return Reports(self.store)


@dataclass(kw_only=True)
class FakeSwitch:
    """Answers with what it was given; remembers the versions it was to take."""

    counted: dict[str, int] | None = field(default_factory=lambda: {"read": 7, "tcp_connections_open": 2})
    taken: list[int] = field(default_factory=list)
    registered: Flows | None = None
    entries: Lists | None = None
    counts: CallCounts | None = None
    known_vendors: Vendors | None = None
    live: LiveCalls | None = None
    hung_up: list[int] = field(default_factory=list)
    traced: Traced | None = None
    traces_asked: list[TraceRequest] = field(default_factory=list)

    def counters(self) -> Mapping[str, int] | None:
        return self.counted

    def books(self) -> Books | None:
        if self.counted is None:
            return None
        ways = ("admitted", "challenged", "folded", "absorbed", "unrecordable", "socket_drops")
        return Books(node="n1", run=1, at_us=T0_US, read=7, recorded=7, **dict.fromkeys(ways, 0))

    def call_counts(self) -> CallCounts | None:
        return self.counts

    def vendors(self) -> Vendors | None:
        return self.known_vendors

    def calls(self, limit: int) -> LiveCalls | None:
        assert limit > 0
        return self.live

    def call(self, call_id: int) -> tuple[LiveCall, int] | None:
        live = self.live
        return next(((call, live.at_us) for call in live.calls if call.id == call_id), None) if live else None

    def hang_up(self, call_id: int) -> None:
        if self.call(call_id) is None:
            raise ControlError("there is no such call", code="not_found")
        self.hung_up.append(call_id)

    def flows(self) -> Flows | None:
        return self.registered

    def lists(self) -> Lists | None:
        return self.entries

    def status(self) -> Status | None:
        return None

    def trace(self, asked: TraceRequest) -> Traced | None:
        self.traces_asked.append(asked)
        return self.traced

    def take(self, version: int) -> bool:
        self.taken.append(version)
        return self.counted is not None


@dataclass(kw_only=True)
class FakeAlarms:
    """Acknowledges in the settings; a test message goes the way it is told to."""

    settings: SettingsStore
    problem: str | None = None
    deliveries: dict[WebhookId, tuple[Posted, ...]] = field(default_factory=dict)
    waiting: dict[WebhookId, tuple[Retry, ...]] = field(default_factory=dict)

    def acknowledge(self, alarm_id: AlarmId, *, note: str = "", actor: str) -> Change[Alarm]:
        return self.settings.alarms.acknowledge(alarm_id, note=note, actor=actor)

    def send_test(self, channel_id: ChannelId) -> Outcome:
        self.settings.channels.get(channel_id)
        return Outcome(problem=self.problem)

    def send_test_webhook(self, webhook_id: WebhookId) -> Outcome:
        self.settings.webhooks.get(webhook_id)
        return Outcome(problem=self.problem)

    def posted(self, webhook_id: WebhookId) -> tuple[Posted, ...]:
        return self.deliveries.get(webhook_id, ())

    def retries(self, webhook_id: WebhookId) -> tuple[Retry, ...]:
        return self.waiting.get(webhook_id, ())


@dataclass(kw_only=True)
class Site:
    """A portal and somebody who looks at it."""

    app: Starlette
    client: TestClient
    settings: SettingsStore
    ledger: FakeLedger
    switch: FakeSwitch
    alarms: FakeAlarms
    access: Access
    jobs: ExportJobs
    clock: ManualClock
    cookie: str = ""

    def log_in(self, role: Role = Role.ADMIN, name: str = "") -> None:
        """Become a user with a role; each role has one of its name."""
        name = name or role.value
        if name not in {user.name for user in self.settings.users.all()}:
            self.settings.users.add(name, role, PASSWORD, actor="test")
        user = self.settings.users.get(name)
        self.cookie = self.settings.sessions.open(user, address="127.0.0.1", user_agent="test")
        self.client.cookies.set(COOKIE, self.cookie)

    def post(self, path: str, **fields: str) -> "Page":
        """Send a form as a page of this session would; what the page that follows shows."""
        return Page.of(self.client.post(path, data={"csrf": form_token(self.cookie), **fields}))

    def get(self, path: str, **headers: str) -> "Page":
        return Page.of(self.client.get(path, headers=headers))


@dataclass(kw_only=True)
class Page:
    """What came."""

    status: int
    text: str
    path: str

    @classmethod
    def of(cls, response: object) -> "Page":
        return cls(
            status=response.status_code,  # type: ignore[attr-defined]
            text=response.text,  # type: ignore[attr-defined]
            path=response.url.path,  # type: ignore[attr-defined]
        )


@cache
def _prepared() -> Path:
    """Settings with a user of each role, to be copied: to make tables takes longer than a test."""
    directory = Path(mkdtemp(prefix="ringfence-test-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    with SettingsStore.open_or_create(directory, clock=ManualClock(T0_US)) as settings:
        for role in Role:
            settings.users.add(role.value, role, PASSWORD, actor="test")
    return directory


@contextmanager
def site_over(
    records: Journal | Ledger,
    directory: Path,
    clock: ManualClock | None = None,
    *,
    is_new: bool = False,
    settings_url: str | None = None,
) -> Iterator[Site]:
    """A portal over what is in a journal, or over a ledger that others share and nobody feeds.

    It has users of each role unless it is new, or its settings are on a server.
    """
    clock = clock or ManualClock(T0_US + 20_000_000)
    if not is_new and settings_url is None:
        shutil.copytree(_prepared(), directory / "settings")
    shared_or_own = (
        ledger_of(records, directory / "cdr", clock) if isinstance(records, Journal) else nullcontext(records)
    )
    with (
        shared_or_own as ledger,
        SettingsStore.open_or_create(directory / "settings", url=settings_url, clock=clock) as settings,
    ):
        fake = FakeLedger(found=ledger.store, stats=Stats(progress=ledger.progress))
        switch, alarms = FakeSwitch(), FakeAlarms(settings=settings)
        office = Office(
            ledger=fake,
            settings=settings,
            switch=switch,
            alarms=alarms,
            clock=clock,
            node="n<1>",
            data_dir=directory,
        )
        access, jobs = Access(settings, clock), ExportJobs(fake, directory, clock)
        app = create_app(office, access, jobs)
        with TestClient(app, base_url=BASE) as client:
            yield Site(
                app=app,
                client=client,
                settings=settings,
                ledger=fake,
                switch=switch,
                alarms=alarms,
                access=access,
                jobs=jobs,
                clock=clock,
            )
