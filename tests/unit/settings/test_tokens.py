# SPDX-License-Identifier: Apache-2.0
"""Tokens of programs: shown once, kept as digests, good until they expire or are removed."""

import sqlite3
from pathlib import Path

import pytest

from kit.clock import ManualClock
from ringfence.errors import ConfigError, NotFoundError
from ringfence.settings.model import Role
from ringfence.settings.objects.answers import KEPT_PER_ACTOR, KEPT_US, Answer
from ringfence.settings.store import SettingsStore


def test_a_secret_finds_its_token_and_no_other_does(store: SettingsStore) -> None:
    made = store.tokens.add("billing", Role.VIEWER, actor="t")
    other = store.tokens.add("robot", Role.ADMIN, actor="t")
    assert made.secret.startswith("rf_")
    assert len(made.secret) == 46
    found = store.tokens.find(made.secret)
    assert found is not None
    assert (found.name, found.role) == ("billing", Role.VIEWER)
    assert other.secret != made.secret
    for wrong in ("", "rf_", made.secret[:-1], made.secret.upper(), "\ud800", "x" * 100_000):
        assert store.tokens.find(wrong) is None


def test_a_secret_lies_nowhere(store: SettingsStore, data_dir: Path) -> None:
    secret = store.tokens.add("billing", Role.VIEWER, actor="t").secret
    store.tokens.find(secret)
    store.close()
    written = b"".join(path.read_bytes() for path in data_dir.iterdir())
    assert b"billing" in written
    assert secret.encode() not in written


def test_a_token_that_expired_or_was_removed_is_none(store: SettingsStore, clock: ManualClock) -> None:
    short = store.tokens.add("short", Role.VIEWER, for_s=60, actor="t").secret
    gone = store.tokens.add("gone", Role.VIEWER, actor="t").secret
    clock.advance(59)
    assert store.tokens.find(short) is not None
    clock.advance(1)
    assert store.tokens.find(short) is None
    store.tokens.remove("gone", actor="t")
    assert store.tokens.find(gone) is None
    assert [token.name for token in store.tokens.all()] == ["short"]


def test_each_change_is_audited_and_a_use_is_not(store: SettingsStore, clock: ManualClock) -> None:
    secret = store.tokens.add("billing", Role.VIEWER, actor="ann").secret
    version = store.version()
    store.tokens.find(secret)
    assert store.version() == version == 2
    store.tokens.remove("billing", actor="bob")
    rows = store.audit(kind="token")
    assert [(row.actor, row.action, row.name) for row in rows] == [
        ("bob", "remove", "billing"),
        ("ann", "add", "billing"),
    ]
    assert secret not in f"{rows}"


def test_use_is_noted_once_a_minute(store: SettingsStore, clock: ManualClock) -> None:
    secret = store.tokens.add("billing", Role.VIEWER, actor="t").secret
    assert store.tokens.get("billing").used_at_us is None
    first = clock.utc_us()
    for _ in range(3):
        store.tokens.find(secret)
        assert store.tokens.get("billing").used_at_us == first
        clock.advance(25)
    store.tokens.find(secret)
    assert store.tokens.get("billing").used_at_us == first + 75_000_000


def test_a_store_that_takes_no_writes_still_says_who_may_call(store: SettingsStore, data_dir: Path) -> None:
    secret = store.tokens.add("billing", Role.VIEWER, actor="t").secret
    with SettingsStore.open_read_only(data_dir) as reader:
        assert reader.tokens.find(secret) is not None
        assert reader.tokens.get("billing").used_at_us is None


@pytest.mark.parametrize(
    ("name", "for_s", "code"),
    [
        ("", None, "bad_value"),
        ("a b", None, "bad_value"),
        ("a", 0, "out_of_range"),
        ("there", None, "duplicate"),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    store: SettingsStore, name: str, for_s: int | None, code: str
) -> None:
    store.tokens.add("there", Role.VIEWER, actor="t")
    with pytest.raises(ConfigError) as caught:
        store.tokens.add(name, Role.VIEWER, for_s=for_s, actor="t")
    assert caught.value.code == code


def test_a_token_that_is_not_there_is_named_with_the_nearest(store: SettingsStore) -> None:
    store.tokens.add("billing", Role.VIEWER, actor="t")
    with pytest.raises(NotFoundError) as caught:
        store.tokens.remove("biling", actor="t")
    assert caught.value.hint == "did you mean billing?"


def test_answers_are_kept_for_a_day_and_per_caller(store: SettingsStore, clock: ManualClock) -> None:
    answer = Answer(request_hash="h", status=201, body="{}")
    store.answers.put("token:a", "k", answer)
    assert store.answers.get("token:a", "k") == answer
    assert store.answers.get("token:b", "k") is None
    clock.advance(KEPT_US / 1e6)
    assert store.answers.get("token:a", "k") is None
    assert store.version() == 1


def test_the_newest_answers_of_a_caller_stay(
    store: SettingsStore, clock: ManualClock, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.settings.objects.answers.KEPT_PER_ACTOR", 3)
    answer = Answer(request_hash="h", status=201, body="{}")
    store.answers.put("token:b", "mine", answer)
    for n in range(6):
        clock.advance(1)
        store.answers.put("token:a", f"k{n}", answer)
    assert KEPT_PER_ACTOR == 1000
    with sqlite3.connect(data_dir / "settings.db") as connection:
        kept = connection.execute("SELECT key FROM idempotency ORDER BY key").fetchall()
    connection.close()
    assert kept == [("k3",), ("k4",), ("k5",), ("mine",)]
