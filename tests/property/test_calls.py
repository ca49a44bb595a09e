# SPDX-License-Identifier: Apache-2.0
"""Whatever far ends do and lose: one record a call, exact times, and nothing left behind."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.call_crowd import Crowd
from kit.call_world import FarEnd, World, said
from ringfence.call.engine import Ack, Cancel, Ended, Event, Headers, Response, Why
from ringfence.call.table import SPARE_WAKES
from ringfence.core import Message
from ringfence.ledger.open_calls import open_calls

KINDS = ("response", "response", "ack", "cancel", *(why.value for why in Why))
STATUSES = (100, 180, 183, 200, 202, 302, 401, 422, 481, 486, 487, 491, 503)


def assert_sound(crowd: Crowd, calls: int) -> None:
    world = crowd.world
    ended = world.ended
    assert not world.faults, world.faults[:3]
    assert crowd.asked == calls
    assert sorted(e.call_id for e in ended) == sorted({e.call_id for e in ended}), "no call has two records"
    assert len(ended) == calls
    ids = [e.id for e in ended if e.id]
    assert len(ids) == len(set(ids))
    for record in ended:
        talked_us = record.ended_us - record.answered_us if record.answered_us else 0
        assert record.hold_s == talked_us // 1_000_000 + (talked_us % 1_000_000 >= 50_000)
        seen = crowd.answered_at.get(record.call_id)
        assert (record.answered_us or None) == seen, "answered when the caller heard so, or never"
        if record.answered_us:
            byes = crowd.byes.get(record.call_id, []) + crowd.byes.get(record.other.call_id, [])
            is_prompt = crowd.lag_s is None and byes
            assert not is_prompt or record.ended_us in byes, "ended when the first side said so"
    table = world.calls.table
    assert not table.calls, [(call.state, call.pending) for call in table.calls.values()]
    assert not table.by_tag
    assert not table.owners
    assert not world.router.lines
    assert table.counts.started == crowd.asked
    assert table.counts.live == table.counts.talking == 0
    assert table.counts.answered + sum(table.counts.failed.values()) == crowd.asked
    assert len(table.wakes) <= SPARE_WAKES
    assert not world.engine.open_tags
    assert open_calls(world.engine.frames) == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_any_calls_end_with_one_record_each(seed: int) -> None:
    crowd = Crowd(seed)
    crowd.run(8, over_s=5.0)
    assert_sound(crowd, 8)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_events_that_come_late_change_nothing_of_that(seed: int) -> None:
    crowd = Crowd(seed, lag_s=2.0)
    crowd.run(8, over_s=5.0)
    assert_sound(crowd, 8)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), lag_s=st.sampled_from((None, 2.0)))
def test_phones_that_ring_at_once_change_nothing_of_that(seed: int, lag_s: float | None) -> None:
    crowd = Crowd(seed, most_phones=4, lag_s=lag_s)
    crowd.run(8, over_s=5.0)
    assert_sound(crowd, 8)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    phones=st.integers(1, 5),
    steps=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from((100, 180, 183, 200, 302, 404, 486, 503, 603)))
    ),
)
def test_of_phones_that_ring_at_once_one_wins(phones: int, steps: list[tuple[int, int]]) -> None:
    world = World()
    world.rings_at_once = True
    far_ends = [world.far_end(f"p{n}", f"p{n}.example") for n in range(phones)]
    world.routes = [world.route(far, n + 1) for n, far in enumerate(far_ends)]
    world.alice.invite()
    for far in far_ends:
        far.expect("INVITE")
    rule = Rule(phones)
    for which, status in steps:
        if which < phones and which not in rule.finals:
            far_ends[which].answer(status)
            rule.take(which, status)
    if rule.winner is not None:
        world.alice.ack()
    elif rule.is_open:
        world.alice.cancel()
    for n in set(range(phones)) - set(rule.finals):
        far_ends[n].answer(487)
    heard = [message.status for message, _ in world.alice.inbox if message.status >= 200]
    assert len(heard) == 1, world.story
    assert (heard == [200]) == (rule.winner is not None)
    for n, far in enumerate(far_ends):
        got = [message.method for message, _ in far.inbox]
        # A 2xx that nobody waited for is acknowledged and hung up.
        assert got.count("ACK") == (rule.finals.get(n) == 200), world.story
        assert got.count("BYE") == (rule.finals.get(n) == 200 and n != rule.winner), world.story
        if "BYE" in got:
            world.engine.response(far, *byed(far))
    world.calls.stop(world.now)
    world.assert_at_rest()
    [record] = world.ended
    assert len(record.route_attempts) == phones
    assert bool(record.answered_us) == (rule.winner is not None)
    if rule.winner is not None:
        assert record.other.call_id == far_ends[rule.winner].call_id
    else:
        assert record.end_reason in rule.told


@dataclass
class Rule:
    """RFC 3261 §16.7: the first 2xx, or else the first 6xx, or else the best of all failures."""

    phones: int
    finals: dict[int, int] = field(default_factory=dict)
    winner: int | None = None
    refused: int | None = None

    @property
    def is_open(self) -> bool:
        return self.winner is None and self.refused is None and len(self.finals) < self.phones

    def take(self, which: int, status: int) -> None:
        was_open = self.is_open
        if status >= 200:
            self.finals[which] = status
        if was_open and status == 200:
            self.winner = which
        elif was_open and status >= 600:
            self.refused = status

    @property
    def told(self) -> set[int]:
        """What a call that nobody answered may end with."""
        if self.refused is not None:
            return {self.refused}
        if self.is_open:
            return {487}
        said = set(self.finals.values())
        return said & {486} or said & {302, 404} or said


def byed(far: FarEnd) -> tuple[int, Message]:
    """The 200 to the BYE that a far end got: its transaction, and the message."""
    bye, transaction = next((m, t) for m, t in far.inbox if m.method == "BYE")
    lines: Headers = [(name, (bye.header(name) or "").encode()) for name in ("Via", "From", "To", "Call-ID")]
    return transaction, said("SIP/2.0 200 OK", [*lines, ("CSeq", f"{bye.cseq} BYE".encode())])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 7), st.sampled_from(STATUSES))))
def test_events_in_any_order_break_nothing(steps: list[tuple[str, int, int]]) -> None:
    """Events that no engine would give, too: one record, no fault, no call left."""
    world = World()
    world.alice.invite()
    world.bob.expect("INVITE")
    for kind, which, status in steps:
        known = list(world.calls.table.owners) or [1]
        world.tell(an_event(world, kind, known[which % len(known)], status))
    world.calls.stop(world.now)
    for transaction in list(world.calls.table.owners):
        world.tell(Ended(transaction=transaction, why=Why.NO_RESPONSE))
    for transaction in list(world.calls.table.owners):
        world.tell(Ended(transaction=transaction, why=Why.NO_RESPONSE))
    assert not world.faults, world.story
    assert len(world.ended) == 1
    assert not world.calls.table.calls
    assert not world.calls.table.by_tag
    assert not world.router.lines


def an_event(world: World, kind: str, transaction: int, status: int) -> Event:
    invite, _ = world.bob.asked["INVITE"]
    lines: Headers = [
        ("Via", b"SIP/2.0/UDP h;branch=z9hG4bK1"),
        ("From", (invite.header("From") or "").encode()),
        ("To", f"<sip:b@h>;tag=t{status}".encode()),
        ("Call-ID", invite.call_id.encode()),
        ("CSeq", b"1 INVITE"),
        ("Contact", b"<sip:b@203.0.113.2:5060>"),
    ]
    response = said(f"SIP/2.0 {status} Said", lines, b"v=0\r\n" if status in {183, 200} else b"")
    match kind:
        case "response":
            return Response(transaction=transaction, message=response, came=world.bob.target)
        case "ack":
            return Ack(transaction=transaction, message=invite)
        case "cancel":
            return Cancel(transaction=transaction, message=invite)
        case _:
            return Ended(transaction=transaction, why=Why(kind))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_calls_leave_ten_thousand_records() -> None:
    crowd = Crowd(20261129)
    crowd.run(10_000, over_s=600.0)
    assert_sound(crowd, 10_000)
