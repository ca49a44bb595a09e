# SPDX-License-Identifier: Apache-2.0
"""Whole runs against a small switch of the test's own, over real sockets."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from ringfence.control.messages import Books
from ringfence.drill import driver, scenarios
from ringfence.drill.corpus import AttackClass, Fields, Step, Steps
from ringfence.drill.report import as_text
from ringfence.drill.runner import Recorded, run
from ringfence.drill.scenarios import Crack, Load, Scenario
from ringfence.drill.target import Target, parse_target
from ringfence.errors import ControlError

pytestmark = pytest.mark.integration


class SmallSwitch:
    """Refuses INVITEs, challenges REGISTERs, absorbs ACKs, takes what it read before for a repetition."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.02)
        self.target: Target = parse_target(f"127.0.0.1:{self._socket.getsockname()[1]}")
        self.seen: Counter[bytes] = Counter()
        self.counts: Counter[str] = Counter()
        self.passwords: list[bytes] = []
        self.unaccounted = 0
        self.run = 1
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def books(self) -> Books:
        names = ("admitted", "recorded", "challenged", "folded", "absorbed", "unrecordable")
        counts = {name: self.counts[name] for name in names}
        read = sum(counts.values()) + self.unaccounted
        return Books(node="n1", run=self.run, at_us=0, read=read, socket_drops=0, **counts)

    @contextmanager
    def running(self) -> Iterator["SmallSwitch"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._end.set()
            self._thread.join()
            self._socket.close()

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                message, source = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            self.seen[message] += 1
            if self.seen[message] > 1:
                self.counts["folded"] += 1
            elif message.startswith(b"ACK "):
                self.counts["absorbed"] += 1
                continue
            elif message.startswith(b"REGISTER "):
                self.counts["challenged"] += 1
                self._answer(
                    message, source, b"401 Unauthorized", b'WWW-Authenticate: Digest realm="r", nonce="n"'
                )
                continue
            else:
                self.counts["recorded"] += 1
            self._answer(message, source, b"403 Forbidden", b"X: y")

    def _answer(self, message: bytes, source: tuple[str, int], status: bytes, extra: bytes) -> None:
        call_id = message.partition(b"\r\nCall-ID: ")[2].partition(b"\r\n")[0]
        to = message.partition(b"\r\nTo: ")[2].partition(b"\r\n")[0]
        lines = [b"SIP/2.0 " + status, b"To: " + to + b";tag=t", b"Call-ID: " + call_id, extra]
        self._socket.sendto(b"\r\n".join(lines) + b"\r\n\r\n", source)


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallSwitch]:
    monkeypatch.setattr(driver, "LINGER_S", 0.3)
    monkeypatch.setattr(driver, "COPY_AFTER_S", 0.01)
    with SmallSwitch().running() as running:
        yield running


def two_steps() -> tuple[Step, ...]:
    steps = Steps(seed=1, seconds=0.2)
    steps.add(
        "callers", AttackClass.FLOOD, [Fields(acknowledge=True)] * 10, template="sipp/invite", sources=5
    )
    steps.add("phones", AttackClass.MISCONFIGURED_PEER, [Fields(copies=3)] * 2, template="pbx/softphone")
    return tuple(steps.made)


def test_attackers_are_counted_apart_and_the_books_balance(switch: SmallSwitch) -> None:
    report = run(Scenario(name="t", steps=two_steps()), switch.target, 1, switch)
    callers, phones = report.steps
    assert (callers.requests, callers.sent, callers.acks, callers.by_status) == (10, 20, 10, {"403": 10})
    assert (callers.first_source, callers.sources) == ("127.66.0.1", 5)
    assert (phones.requests, phones.sent, phones.by_status) == (2, 6, {"403": 6})
    books = report.books
    assert (books.read, books.recorded, books.folded, books.absorbed) == (26, 12, 4, 10)
    assert report.is_balanced
    assert report.is_all_read
    assert "The books balance" in as_text(report)
    assert "rows" not in as_text(report)


def test_a_cracker_answers_each_challenge_with_another_wrong_guess(switch: SmallSwitch) -> None:
    plan = Crack(source="127.67.0.1", number="777", guesses=6, every_s=0.0)
    report = run(Scenario(name="t", crack=plan), switch.target, 1, switch)
    (step,) = report.steps
    assert (step.tool, step.attack_class, step.sent) == ("svcrack", "credential", 6)
    assert step.by_status == {"401": 6}
    guesses = [
        m for m in switch.seen if b'\r\nAuthorization: Digest username="777", realm="r", nonce="n"' in m
    ]
    assert len(guesses) == 5
    responses = {message.partition(b'response="')[2][:32] for message in guesses}
    assert len(responses) == 5


def test_a_native_load_stands_in_the_same_table(switch: SmallSwitch) -> None:
    load = Load(rate=500, seconds=0.2, sources=8)
    report = run(Scenario(name="flood", load=load), switch.target, 3, switch)
    (step,) = report.steps
    assert step.sent == step.answers == step.by_status["403"] > 10
    assert report.books.recorded == step.sent


def test_records_are_given_to_the_attacker_whose_source_they_have(switch: SmallSwitch) -> None:
    sources = [source for step in two_steps() for source in step.sources]

    def records(since_us: int, until_us: int) -> Mapping[str, Recorded]:
        assert since_us < until_us
        others = {"127.1.0.7": Recorded(rows=1, attempts=1), "127.0.0.1": Recorded(rows=100, attempts=100)}
        return others | {source: Recorded(rows=1, attempts=2) for source in sources}

    plan = Scenario(name="t", steps=two_steps(), load=Load(rate=200, seconds=0.1, sources=8))
    report = run(plan, switch.target, 1, switch, records=records)
    assert [(step.rows, step.attempts) for step in report.steps] == [(1, 1), (5, 10), (1, 2)]
    assert as_text(report).splitlines()[0].endswith("rows  attempts")


def test_books_that_do_not_balance_are_reported(switch: SmallSwitch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.drill.runner.SETTLE_S", 0.05)
    steps = two_steps()

    class Forgetful:
        def __init__(self) -> None:
            self.asked = 0

        def books(self) -> Books:
            self.asked += 1
            if self.asked == 2:
                switch.unaccounted = 3
            return switch.books()

    report = run(Scenario(name="t", steps=steps), switch.target, 1, Forgetful())
    assert not report.is_balanced
    assert "THE BOOKS DO NOT BALANCE: 3 messages" in as_text(report)


def test_what_the_switch_never_read_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.drill.runner.SETTLE_S", 0.05)
    monkeypatch.setattr(driver, "LINGER_S", 0.01)
    deaf = SmallSwitch()
    report = run(Scenario(name="t", steps=two_steps()), deaf.target, 1, deaf)
    deaf._socket.close()
    assert not report.is_all_read
    assert "16 datagrams were sent that the switch has neither read nor seen dropped" in as_text(report)


def test_a_switch_that_was_started_anew_is_an_error(switch: SmallSwitch) -> None:
    class Restarted:
        def books(self) -> Books:
            switch.run += 1
            return switch.books()

    with pytest.raises(ControlError, match="started anew"):
        run(Scenario(name="t", steps=two_steps()), switch.target, 1, Restarted())


def test_the_scenarios_of_the_command_line_are_those_that_can_be_made() -> None:
    made = [scenarios.scan(1), scenarios.crack(), scenarios.flood(), scenarios.mixed(1)]
    assert tuple(scenario.name for scenario in made) == scenarios.SCENARIOS
