# SPDX-License-Identifier: Apache-2.0
"""What an operator changes while traffic goes on is in force within a second, and leaves a trace."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kit.node import Half, Node
from kit.sip import Peer, Request
from kit.waiting import eventually
from ringfence.core import flood
from ringfence.settings.store import SettingsStore

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

RECORDING = "SERVER_BILLING_RECORD_ILLEGAL_CALL"
PROMISE_S = 1.0
SLACK_S = 1.0


@contextmanager
def traffic(switch: Half, *, seconds: float) -> Iterator[None]:
    """Strangers call, 500 times a second, for so long; what is done meanwhile must be done by then."""
    thread = threading.Thread(target=lambda: flood(switch.target, seconds=seconds, rate=500, sources=50))
    thread.start()
    yield
    thread.join()


def promptly(change: Callable[[], object], is_in_force: Callable[[], bool]) -> None:
    """Change something; it must be in force within a second of the change being stored."""
    change()
    began = time.monotonic()
    eventually(is_in_force, within_s=10)
    assert time.monotonic() - began < PROMISE_S + SLACK_S


def test_recording_stops_and_goes_on_during_traffic_while_the_books_never_do(node: Node) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))

    def still(name: str) -> bool:
        """Whether this counter stands still while calls go on being refused."""
        before = node.counters()
        after = eventually(
            lambda: (now := node.counters())["illegal_calls"] >= before["illegal_calls"] + 50 and now
        )
        assert isinstance(after, dict)
        return bool(after[name] == before[name])

    with traffic(switch, seconds=8):
        assert not still("recorded")
        promptly(lambda: node.cli.ok("param", "set", RECORDING, "0"), lambda: still("recorded"))
        off = node.totals()
        assert not still("suppressed")
        assert node.books().difference == 0
        promptly(lambda: node.cli.ok("param", "set", RECORDING, "1"), lambda: still("suppressed"))
        assert not still("recorded")
    books = node.quiet()
    on = node.totals()
    assert on.summaries > 0
    assert on.refusals > off.refusals
    assert books.recorded + books.folded + books.challenged == on.attempts
    assert node.counters()["illegal_calls"] == on.attempts
    # Rows are for what was recorded only; the totals that stand for the rest are no rows.
    rows = node.cli.json("cdr", "count", "--illegal")["attempts"]
    assert rows == on.attempts - on.summaries
    with SettingsStore.open_read_only(node.data_dir) as store:
        changes = store.audit(kind="parameter", name=RECORDING)
    assert len(changes) == 2
    assert all(change.actor.startswith("cli:") for change in changes)


def test_a_blocked_source_hears_nothing_more_within_a_second(node: Node) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    with Peer(switch.address("udp"), "127.0.0.66") as stranger:
        assert stranger.ask(Request()).status == 403

        def is_silent() -> bool:
            read = node.books().read
            stranger.send(Request().write())
            eventually(lambda: node.books().read > read)
            return stranger.waiting() == []

        promptly(lambda: node.cli.ok("block", "add", "127.0.0.0/25"), is_silent)
        newest = node.cli.json("cdr", "list", "--illegal", "--limit", "1")[0]
        assert (newest["reason"], newest["sip_status"]) == ("blacklisted", 0)
        promptly(lambda: node.cli.ok("block", "remove", "127.0.0.0/25"), lambda: not is_silent())
    assert node.books().difference == 0


def test_a_source_that_becomes_a_gateway_is_no_stranger_any_more(node: Node) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    with Peer(switch.address("udp"), "127.0.0.30") as carrier:
        assert carrier.ask(Request(call_id="before")).status == 403
        node.cli.ok("block", "add", "127.0.0.30")
        promptly(
            lambda: node.cli.ok("gateway", "add", "carrier", "127.0.0.30"),
            lambda: carrier.ask(Request(caller="42")).status == 404,
        )
        # Adding it lifted the block, too: an authorised source is never blocked.
        assert node.cli.json("block", "list") == []
    calls = node.cli.json("cdr", "list", "--billing-mode", "1")
    assert calls
    assert {(row["kind"], row["callerGateway"], row["sip_status"]) for row in calls} == {
        ("call", "carrier", 404)
    }
    assert [row["call_id"] for row in node.cli.json("cdr", "list", "--illegal")] == ["before"]
    assert node.books().difference == 0
