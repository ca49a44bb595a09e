# SPDX-License-Identifier: Apache-2.0
"""An office with some records and settings, the API over it, and a token of each role."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from kit.clock import ManualClock
from kit.journal import OPTIONS, T0_US, Journal
from kit.ledgers import ledger_of
from kit.site import FakeAlarms, FakeLedger
from kit.switch import CALL, FLOW, REGISTERED, some_books
from kit.traces import a_call
from ringfence.control.messages import (
    Books,
    CallCounts,
    Flows,
    ListEntry,
    Lists,
    LiveCall,
    LiveCalls,
    Status,
    Traced,
    TraceRequest,
    Vendor,
    Vendors,
)
from ringfence.errors import ControlError
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.service import Stats
from ringfence.portal.api import create_api
from ringfence.portal.exports import ExportJobs
from ringfence.portal.office import Office
from ringfence.settings.model import Role
from ringfence.settings.store import SettingsStore

ATTACKS = (
    "<script>alert(1)</script>",
    "=cmd|'/C calc'!A0",
    "\x1b[2J\x07",
    "\u202e001\r\nX: y\x00",
    "'; DROP TABLE cdr; --",
    "{{ 7 * 7 }}",
    "\r\n\r\nevent: tick\r\ndata: {}",
    "A" * 2000,
)


@dataclass(kw_only=True)
class FakeSwitch:
    """A switch in memory: does it run, does it take settings, which ones did it take?"""

    runs: bool = True
    failure: ControlError | None = None
    taken: list[int] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=lambda: {"read": 21, "recorded": 2})
    run: int = 3
    asked: int = 0
    entries: tuple[ListEntry, ...] = ()
    counts: CallCounts | None = None
    known_vendors: tuple[Vendor, ...] = (REGISTERED,)
    hung_up: list[int] = field(default_factory=list)
    traces_asked: list[TraceRequest] = field(default_factory=list)

    def counters(self) -> Mapping[str, int] | None:
        self.asked += 1
        return dict(self.counted) if self.runs else None

    def books(self) -> Books | None:
        return some_books(run=self.run, read=self.counted["read"]) if self.runs else None

    def call_counts(self) -> CallCounts | None:
        return self.counts if self.runs else None

    def vendors(self) -> Vendors | None:
        return Vendors(at_us=T0_US, vendors=self.known_vendors) if self.runs else None

    def calls(self, limit: int) -> LiveCalls | None:
        assert limit > 0
        return LiveCalls(at_us=T0_US, total=1, calls=(CALL,)) if self.runs else None

    def call(self, call_id: int) -> tuple[LiveCall, int] | None:
        return (CALL, T0_US) if self.runs and call_id == CALL.id else None

    def hang_up(self, call_id: int) -> None:
        if self.call(call_id) is None:
            raise ControlError("there is no such call", hint="look again", code="not_found")
        self.hung_up.append(call_id)

    def flows(self) -> Flows | None:
        return Flows(total=2, flows=(FLOW, FLOW)) if self.runs else None

    def lists(self) -> Lists | None:
        return Lists(entries=self.entries) if self.runs else None

    def status(self) -> Status | None:
        if not self.runs:
            return None
        return Status(
            node="n1",
            pid=7,
            software="ringfence 0",
            run=self.run,
            started_at_us=T0_US,
            uptime_s=1.5,
            listeners=("udp:127.0.0.1:5060",),
            settings_version=1,
            draining=False,
        )

    def trace(self, asked: TraceRequest) -> Traced | None:
        self.traces_asked.append(asked)
        return a_call() if self.runs else None

    def take(self, version: int) -> bool:
        if self.failure is not None:
            raise self.failure
        if self.runs:
            self.taken.append(version)
        return self.runs


@dataclass(kw_only=True)
class Site:
    """The API mounted as the portal mounts it."""

    client: TestClient
    app: Starlette
    office: Office
    ledger: FakeLedger
    switch: FakeSwitch
    settings: SettingsStore
    clock: ManualClock
    tokens: dict[str, str]
    jobs: ExportJobs
    alarms: FakeAlarms

    def bearing(self, role: str = "admin") -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[role]}"}


@dataclass(kw_only=True)
class GrowingSite(Site):
    """One over a journal of its own, for tests that add to it."""

    journal: Journal
    records: Ledger


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Settings with a token of each role, to be copied: to make tables takes longer than a test."""
    directory = tmp_path_factory.mktemp("settings")
    with SettingsStore.open_or_create(directory, clock=ManualClock(T0_US)) as settings:
        tokens = {
            role.value: settings.tokens.add(f"a-{role.value}", role, actor="test").secret for role in Role
        }
    return directory, tokens


def attacked_journal() -> Journal:
    """120 refusals of three sources, every attack in every field, one call."""
    journal = Journal()
    for n in range(120):
        journal.refuse(
            T0_US + n, source=f"198.51.100.{n % 3}", callee=f"00{n:03d}", method=OPTIONS if n % 2 else 1
        )
    for n, attack in enumerate(ATTACKS):
        journal.refuse(
            T0_US + 1000 + n,
            source="203.0.113.66",
            caller=attack,
            callee=attack,
            user_agent=attack,
            call_id=attack,
            auth_user=attack,
            raw=attack.encode(),
        )
    journal.end_call(T0_US + 2000, account="acme", hold_s=61, gateway="<b>carrier</b>")
    return journal


@pytest.fixture(scope="session")
def shared_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """The ledger of all sites that do not grow."""
    directory = tmp_path_factory.mktemp("records")
    with ledger_of(attacked_journal(), directory, ManualClock(T0_US + 20_000_000)) as made:
        yield made


@pytest.fixture
def site(shared_records: Ledger, tmp_path: Path, prepared: tuple[Path, dict[str, str]]) -> Iterator[Site]:
    with served(shared_records, tmp_path, prepared, ManualClock(T0_US + 20_000_000)) as parts:
        yield Site(**parts)


@pytest.fixture
def growing(tmp_path: Path, prepared: tuple[Path, dict[str, str]]) -> Iterator[GrowingSite]:
    journal, clock = attacked_journal(), ManualClock(T0_US + 20_000_000)
    with (
        ledger_of(journal, tmp_path / "cdr", clock) as records,
        served(records, tmp_path, prepared, clock) as parts,
    ):
        yield GrowingSite(journal=journal, records=records, **parts)


@contextmanager
def served(
    records: Ledger, directory: Path, prepared: tuple[Path, dict[str, str]], clock: ManualClock
) -> Iterator[dict[str, Any]]:
    """The parts of a site, with settings of its own."""
    found, tokens = prepared
    shutil.copytree(found, directory / "settings")
    with SettingsStore.open_or_create(directory / "settings", clock=clock) as settings:
        ledger, switch = FakeLedger(found=records.store, stats=Stats()), FakeSwitch()
        alarms = FakeAlarms(settings=settings)
        office = Office(
            ledger=ledger,
            settings=settings,
            switch=switch,
            alarms=alarms,
            clock=clock,
            node="n1",
            data_dir=directory,
        )
        jobs = ExportJobs(ledger, directory, clock)
        app = Starlette(routes=[Mount("/api/v1", app=create_api(office, jobs=jobs))])
        with TestClient(app, base_url="http://127.0.0.1/api/v1/") as client:
            yield {
                "client": client,
                "app": app,
                "office": office,
                "ledger": ledger,
                "switch": switch,
                "settings": settings,
                "clock": clock,
                "tokens": tokens,
                "jobs": jobs,
                "alarms": alarms,
            }
