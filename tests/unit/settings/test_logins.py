# SPDX-License-Identifier: Apache-2.0
"""Logins in the audit: those that succeed one by one, those that fail folded, whoever guesses how often."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from kit.clock import ManualClock
from kit.journal import T0_US
from ringfence.errors import StoreError
from ringfence.settings.database import Database
from ringfence.settings.model import AuditRow, Role
from ringfence.settings.objects import logins
from ringfence.settings.objects.logins import KEPT, MOST_AN_HOUR, Failure
from ringfence.settings.store import SettingsStore

MINUTE_S = 60.0
HOUR_S = 3600.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0_US)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[SettingsStore]:
    with SettingsStore.open_or_create(tmp_path, clock=clock) as made:
        made.users.add("ann", Role.ADMIN, "correct horse battery", actor="test")
        yield made


def told(store: SettingsStore, limit: int = 1000) -> list[tuple[str, str, str, int]]:
    """Who, what, to whom, how often; newest first."""
    return [
        (row.actor, row.action, row.name, attempts(row)) for row in store.audit(kind="login", limit=limit)
    ]


def attempts(row: AuditRow) -> int:
    return int(json.loads(row.after or "{}").get("attempts", 1))


def test_who_comes_and_goes_is_told_with_the_address_and_the_switch_has_nothing_to_take(
    store: SettingsStore,
) -> None:
    version = store.version()
    store.sessions.open(store.users.get("ann"), address="192.0.2.1", user_agent="x")
    [session] = store.sessions.of("ann")
    store.sessions.close(session.id, actor="user:boss")
    gone, came = store.audit(kind="login")
    assert (came.actor, came.action, came.name, came.after) == (
        "user:ann",
        "log_in",
        "ann",
        '{"address":"192.0.2.1"}',
    )
    assert (gone.actor, gone.action, gone.name, gone.before) == (
        "user:boss",
        "log_out",
        "ann",
        '{"address":"192.0.2.1"}',
    )
    assert store.version() == version == came.version


def test_failures_of_a_source_fold_into_one_row_an_hour_for_each_way(
    store: SettingsStore, clock: ManualClock
) -> None:
    for _ in range(50):
        store.logins.failed(Failure.PASSWORD, source="192.0.2.1", name="ann")
    for _ in range(7):
        store.logins.failed(Failure.LOCKED_OUT, source="192.0.2.1", name="hunter2")
    store.logins.failed(Failure.PASSWORD, source="192.0.2.2", name="ann")
    clock.advance(HOUR_S)
    store.logins.failed(Failure.PASSWORD, source="192.0.2.1", name="ann")
    assert told(store) == [
        ("address:192.0.2.1", "wrong_password", "ann", 1),
        ("address:192.0.2.2", "wrong_password", "ann", 1),
        ("address:192.0.2.1", "locked_out", "", 7),
        ("address:192.0.2.1", "wrong_password", "ann", 50),
    ]


def test_only_users_are_named_for_what_is_typed_may_be_a_password(store: SettingsStore) -> None:
    for name in ("hunter2", "ann", "x" * 100_000):
        store.logins.failed(Failure.PASSWORD, source="192.0.2.1", name=name)
    [row] = store.audit(kind="login")
    assert json.loads(row.after or "")["users"] == ["ann"]
    assert "hunter2" not in (row.after or "")


def test_a_flood_of_guesses_writes_at_once_then_once_a_minute(
    store: SettingsStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def count(*_: object) -> None:
        written.append(1)

    event.listen(Engine, "commit", count)
    try:
        for _ in range(1000):
            store.logins.failed(Failure.LOCKED_OUT, source="192.0.2.1", name="ann")
        assert len(written) == 1
        clock.advance(MINUTE_S)
        store.logins.failed(Failure.LOCKED_OUT, source="192.0.2.1", name="ann")
        assert len(written) == 2
    finally:
        event.remove(Engine, "commit", count)
    assert told(store) == [("address:192.0.2.1", "locked_out", "ann", 1001)]


def test_sources_beyond_the_bound_of_an_hour_share_a_row(store: SettingsStore) -> None:
    for number in range(3 * MOST_AN_HOUR):
        store.logins.failed(Failure.PASSWORD, source=f"n{number}", name="ann")
    rows = told(store)
    assert len(rows) == MOST_AN_HOUR + 1
    assert rows[0] == ("address:others", "wrong_password", "ann", 2 * MOST_AN_HOUR)


def test_rows_of_failures_are_bounded_and_never_push_out_what_people_did(
    store: SettingsStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "KEPT", 20)
    assert KEPT > 20
    store.sessions.open(store.users.get("ann"), address="192.0.2.1", user_agent="x")
    for number in range(60):
        store.logins.failed(Failure.PASSWORD, source=f"n{number}", name="ann")
        clock.advance(HOUR_S)
    rows = told(store)
    assert len(rows) == 21
    assert rows[0][0] == "address:n59"
    assert rows[-1][1] == "log_in"
    assert [row.action for row in store.audit(kind="user")] == ["add"]
    assert len(store.logins._counts) <= 2


def test_a_store_that_cannot_be_written_keeps_nobody_out_and_loses_no_count(
    store: SettingsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise StoreError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "change", locked)
        for _ in range(3):
            store.logins.failed(Failure.PASSWORD, source="192.0.2.1", name="ann")
        assert told(store) == []
    assert told(store) == [("address:192.0.2.1", "wrong_password", "ann", 3)]


def test_what_was_counted_is_written_at_the_end(tmp_path: Path, clock: ManualClock) -> None:
    for _ in range(2):
        with SettingsStore.open_or_create(tmp_path, clock=clock) as store:
            for _ in range(5):
                store.logins.failed(Failure.CODE, source="192.0.2.1", name="ann")
    with SettingsStore.open_read_only(tmp_path, clock=clock) as store:
        assert [each[-1] for each in told(store)] == [5, 5]
