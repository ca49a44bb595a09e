# SPDX-License-Identifier: Apache-2.0
"""Webhooks: signed, once while all is well, again while they are not taken, and nothing is missed."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kit.clock import ManualClock
from kit.journal import OPTIONS, T0_US, Journal
from kit.ledgers import ledger_of, seal_all, take_in
from kit.receivers import HttpReceiver, http_receiver
from ringfence.defence import webhooks
from ringfence.defence.delivery import Outcome
from ringfence.defence.webhooks import LOOK_EVERY_S, WAITS_S, Delivery, Hooks, post, signature
from ringfence.errors import StoreError
from ringfence.ids import WebhookId
from ringfence.ledger.pipeline import Ledger
from ringfence.ledger.service import Stats
from ringfence.ledger.store import CdrStore
from ringfence.settings.alarms_model import HookEvent, Webhook, WebhookTarget

SECRET = "5e" * 32
ILLEGAL, EVENT, CALL, ALARM = HookEvent


def a_target(
    url: str = "http://127.0.0.1/", *events: HookEvent, number: int = 1, enabled: bool = True
) -> WebhookTarget:
    webhook = Webhook(
        id=WebhookId(number), name=f"w{number}", address="x", enabled=enabled, events=events or (ILLEGAL,)
    )
    return WebhookTarget(webhook=webhook, url=url, secret=SECRET)


def a_delivery(body: bytes = b'{"x":1}') -> Delivery:
    return Delivery(id="d1", event=ALARM, body=body)


# One POST


@pytest.fixture
def web() -> Iterator[HttpReceiver]:
    with http_receiver() as received:
        yield received


def test_what_is_posted_is_signed_with_its_time(web: HttpReceiver) -> None:
    target = a_target(f"http://{web.address}/in?key=1", ALARM)
    assert post(target, a_delivery(), 1_795_305_600_999_999) == Outcome()
    [request] = web.requests
    assert request.path == "/in?key=1"
    assert request.body == b'{"x":1}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["ringfence-event"] == "alarm"
    assert request.headers["ringfence-delivery"] == "d1"
    stamp, _, proof = request.headers["ringfence-signature"].partition(",v1=")
    assert stamp == "t=1795305600"
    assert proof == hmac.new(SECRET.encode(), b'1795305600.{"x":1}', hashlib.sha256).hexdigest()


def test_another_body_time_or_secret_has_another_signature() -> None:
    signed = {signature(SECRET, b"a", 1), signature(SECRET, b"b", 1), signature(SECRET, b"a", 2)}
    assert len(signed | {signature("00" * 32, b"a", 1)}) == 4


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(web: HttpReceiver, status: int) -> None:
    web.answers = [(status, {"Location": f"http://{web.address}/elsewhere"})]
    outcome = post(a_target(f"http://{web.address}/in"), a_delivery(), 0)
    assert "redirect" in (outcome.problem or "")
    assert [request.path for request in web.requests] == ["/in"]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_refusal_is_an_outcome(web: HttpReceiver, status: int) -> None:
    web.answers = [(status, {})]
    assert post(a_target(f"http://{web.address}/"), a_delivery(), 0).problem == f"it answered {status}"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/",
        "https://127.0.0.1:9/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:9/a b",
    ],
)
def test_a_dead_or_impossible_address_is_an_outcome(url: str) -> None:
    assert post(a_target(url), a_delivery(), 0).problem


def test_an_answer_that_is_no_http_or_never_ends_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_TRY_S", 0.2)
    for answer in (b"\x1b[2J\r\n\r\n", b""):
        with socket.create_server(("127.0.0.1", 0)) as server:
            done = threading.Event()

            def serve(
                answer: bytes = answer, server: socket.socket = server, done: threading.Event = done
            ) -> None:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(answer)
                    done.wait(20)

            thread = threading.Thread(target=serve)
            thread.start()
            outcome = post(a_target(f"http://127.0.0.1:{server.getsockname()[1]}/"), a_delivery(), 0)
            done.set()
            thread.join()
        assert outcome.problem
        assert outcome.problem.isprintable()


# What is sent


@dataclass(kw_only=True)
class Desk:
    """Webhooks over a small ledger, with a receiver that fails when it is told to."""

    clock: ManualClock
    journal: Journal
    ledger: Ledger
    targets: list[WebhookTarget] = field(default_factory=list)
    is_down: bool = False
    is_ledger_up: bool = True
    tried: int = 0
    taken: list[tuple[int, Delivery]] = field(default_factory=list)
    failed: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hooks = Hooks(lambda: tuple(self.targets), self, self.clock, node="n1", post=self.post)

    @property
    def store(self) -> CdrStore:
        if not self.is_ledger_up:
            raise StoreError("the ledger is starting")
        return self.ledger.store

    @property
    def stats(self) -> Stats:
        return Stats(progress=self.ledger.progress)

    def post(self, target: WebhookTarget, delivery: Delivery, at_us: int) -> Outcome:
        assert at_us == self.clock.utc_us()
        self.tried += 1
        if self.is_down:
            self.failed.append(delivery)
            return Outcome(problem="down")
        self.taken.append((target.webhook.id, delivery))
        return Outcome()

    def look(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Let time pass, look, and read what was taken."""
        self.clock.advance(seconds)
        take_in(self.ledger)
        before = len(self.taken)
        self.hooks.step()
        return [json.loads(delivery.body) for _, delivery in self.taken[before:]]

    def refuse(self, count: int = 1, **fields: Any) -> None:
        for n in range(count):
            self.journal.refuse(self.clock.utc_us() + n, source="203.0.113.9", callee=f"00{n}", **fields)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    clock, journal = ManualClock(T0_US), Journal()
    with ledger_of(journal, tmp_path, clock) as ledger:
        yield Desk(clock=clock, journal=journal, ledger=ledger, targets=[a_target("http://x/", ILLEGAL)])


def callees(told: list[dict[str, Any]]) -> list[str]:
    return [row["calleeAccessE164"] for each in told for row in each["cdrs"]]


def test_a_record_is_sent_once_when_it_is_final(desk: Desk) -> None:
    assert desk.look() == []
    desk.clock.advance(1)
    desk.refuse(3)
    assert desk.look(30) == []
    [told] = desk.look(10)
    assert (told["event"], told["node"]) == ("cdr.illegal", "n1")
    assert callees([told]) == ["000", "001", "002"]
    row = told["cdrs"][0]
    assert (row["callerip"], row["kind"], row["endReason"], row["fee"]) == (
        "203.0.113.9",
        "illegal",
        -9,
        "0.000000",
    )
    assert row["recorded_at"].endswith("Z")
    assert len(row["fingerprint"]) == 16
    assert "raw" not in row
    assert "missed" not in told
    assert desk.look(3600) == []
    assert desk.tried == 1


def test_what_was_recorded_before_the_office_started_is_not_sent(desk: Desk) -> None:
    desk.refuse(3)
    desk.clock.advance(3600)
    assert desk.look() == []
    desk.clock.advance(1)
    desk.refuse(1)
    assert len(callees(desk.look(60))) == 1


def test_each_kind_goes_to_those_who_want_it(desk: Desk) -> None:
    desk.targets = [a_target("http://x/", ILLEGAL, EVENT), a_target("http://y/", EVENT, number=2)]
    desk.look()
    desk.clock.advance(1)
    desk.refuse(1)
    desk.refuse(1, method=OPTIONS)
    told = desk.look(60)
    assert sorted(
        (number, delivery.event.value, len(json.loads(delivery.body)["cdrs"]))
        for number, delivery in desk.taken
    ) == [(1, "cdr.event", 1), (1, "cdr.illegal", 1), (2, "cdr.event", 1)]
    assert len({each["id"] for each in told}) == 2


def test_many_records_come_in_order_in_batches_none_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BATCH_ROWS", 7)
    desk.look()
    for _ in range(4):
        desk.clock.advance(2)
        desk.refuse(10)
        take_in(desk.ledger)
    seal_all(desk.ledger, desk.clock)
    told = desk.look()
    assert [len(each["cdrs"]) for each in told] == [7, 7, 7, 7, 7, 5]
    keys = [(row["recorded_at"], row["flowNo"]) for each in told for row in each["cdrs"]]
    assert keys == sorted(set(keys))
    assert len({each["id"] for each in told}) == 6


def test_what_was_not_taken_is_sent_again_later_each_time_and_is_the_same(desk: Desk) -> None:
    desk.look()
    desk.clock.advance(1)
    desk.refuse(2)
    desk.is_down = True
    for tries, wait_s in enumerate([*WAITS_S, WAITS_S[-1]], 1):
        assert desk.look(60 if tries == 1 else 0) == []
        assert desk.tried == tries
        assert desk.look(wait_s - 0.5) == []
        assert desk.tried == tries
        desk.clock.advance(0.5)
    desk.refuse(1)
    desk.clock.advance(60)
    desk.is_down = False
    told = desk.look(WAITS_S[-1])
    assert [callees([each]) for each in told] == [["000", "001"], ["000"]]
    assert {delivery.id for delivery in desk.failed} == {told[0]["id"]}
    posted = desk.hooks.posted(WebhookId(1))
    assert [each.outcome.is_delivered for each in posted[:3]] == [True, True, False]


def test_what_is_not_taken_yet_is_told_with_the_time_of_the_next_try(desk: Desk) -> None:
    desk.look()
    desk.clock.advance(1)
    desk.refuse(1)
    desk.is_down = True
    desk.look(60)
    began_us = desk.clock.utc_us()
    desk.look(WAITS_S[0])
    [retry] = desk.hooks.retries(WebhookId(1))
    assert (retry.event, retry.failing_since_us) == (ILLEGAL, began_us)
    assert retry.due_us == began_us + round((WAITS_S[0] + WAITS_S[1]) * 1e6)
    assert desk.hooks.retries(WebhookId(2)) == ()
    desk.is_down = False
    desk.look(WAITS_S[1])
    assert desk.hooks.retries(WebhookId(1)) == ()
    told = [(each.event, each.outcome.problem) for each in desk.hooks.posted(WebhookId(1))]
    assert told == [(ILLEGAL, None), (ILLEGAL, "down"), (ILLEGAL, "down")]


def test_the_newest_deliveries_are_kept_of_webhooks_that_are_there(desk: Desk) -> None:
    for _ in range(webhooks.KEPT + 3):
        desk.hooks.send_test(desk.targets[0])
        desk.clock.advance(1)
    times = [each.at_us for each in desk.hooks.posted(WebhookId(1))]
    assert times == [T0_US + (webhooks.KEPT + 2 - n) * 1_000_000 for n in range(webhooks.KEPT)]
    desk.targets.clear()
    desk.look()
    assert desk.hooks.posted(WebhookId(1)) == ()


def test_one_that_is_away_for_too_long_is_told_what_it_missed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "GIVE_UP_S", 3600.0)
    desk.look()
    desk.clock.advance(1)
    desk.refuse(2)
    desk.is_down = True
    desk.look(60)
    for _ in range(int(3600 / WAITS_S[-1]) + 1):
        desk.look(WAITS_S[-1])
    tried = desk.tried
    desk.is_down = False
    assert desk.look(WAITS_S[-1]) == []
    assert desk.tried == tried
    desk.clock.advance(1)
    desk.refuse(1)
    [told] = desk.look(60)
    assert callees([told]) == ["000"]
    assert told["missed"]["since"] < told["missed"]["until"] <= told["cdrs"][0]["recorded_at"]
    desk.clock.advance(1)
    desk.refuse(1)
    assert "missed" not in desk.look(60)[0]


def test_a_receiver_that_fails_keeps_no_other_from_being_told(desk: Desk) -> None:
    desk.targets = [a_target("http://x/", ILLEGAL), a_target("http://y/", ILLEGAL, number=2)]
    real = desk.post

    def first_fails(target: WebhookTarget, delivery: Delivery, at_us: int) -> Outcome:
        return Outcome(problem="down") if target.webhook.id == 1 else real(target, delivery, at_us)

    desk.hooks = Hooks(lambda: tuple(desk.targets), desk, desk.clock, node="n1", post=first_fails)
    desk.look()
    desk.clock.advance(1)
    desk.refuse(1)
    desk.look(60)
    assert [number for number, _ in desk.taken] == [2]


def test_while_there_is_no_ledger_nothing_is_sent_and_nothing_lost(desk: Desk) -> None:
    desk.look()
    desk.clock.advance(1)
    desk.refuse(2)
    desk.is_ledger_up = False
    assert desk.look(60) == []
    desk.is_ledger_up = True
    assert len(callees(desk.look(1))) == 2


def test_one_that_is_switched_off_is_sent_nothing_and_begins_anew(desk: Desk) -> None:
    desk.look()
    desk.targets = [a_target("http://x/", ILLEGAL, enabled=False)]
    desk.clock.advance(1)
    desk.refuse(2)
    assert desk.look(60) == []
    desk.targets = [a_target("http://x/", ILLEGAL)]
    assert desk.look(60) == []
    desk.clock.advance(1)
    desk.refuse(1)
    assert len(callees(desk.look(60))) == 1


def test_an_alarm_is_told_at_once_in_order_and_until_it_is_taken(desk: Desk) -> None:
    desk.targets = [a_target("http://x/", ALARM), a_target("http://y/", CALL, number=2)]
    desk.is_down = True
    desk.hooks.tell("opened", {"code": 20020})
    desk.hooks.tell("cleared", {"code": 20020})
    assert desk.look() == []
    assert desk.tried == 1
    desk.is_down = False
    told = desk.look(WAITS_S[0])
    assert [(each["event"], each["action"], each["alarm"]["code"]) for each in told] == [
        ("alarm", "opened", 20020),
        ("alarm", "cleared", 20020),
    ]
    assert len({each["id"] for each in told}) == 2
    assert [number for number, _ in desk.taken] == [1, 1]


def test_alarms_that_wait_are_bounded(desk: Desk) -> None:
    desk.targets = [a_target("http://x/", ALARM)]
    desk.is_down = True
    for n in range(webhooks.MOST_ALARMS + 5):
        desk.hooks.tell("opened", {"n": n})
        if n % 100 == 0:
            desk.look()
    desk.look()
    desk.is_down = False
    told = desk.look(WAITS_S[-1])
    assert len(told) == webhooks.MOST_ALARMS
    assert told[-1]["alarm"]["n"] == webhooks.MOST_ALARMS + 4


def test_the_next_look_is_no_later_than_what_is_due(desk: Desk) -> None:
    assert desk.hooks.step() == LOOK_EVERY_S
    desk.targets = [a_target("http://x/", ALARM)]
    desk.is_down = True
    desk.hooks.tell("opened", {})
    assert desk.hooks.step() == min(LOOK_EVERY_S, WAITS_S[0])


def test_the_test_of_a_webhook_is_posted_at_once(desk: Desk) -> None:
    assert desk.hooks.send_test(a_target("http://x/", CALL, enabled=False)).is_delivered
    assert json.loads(desk.taken[0][1].body)["action"] == "test"
    desk.is_down = True
    assert desk.hooks.send_test(a_target()).problem == "down"
