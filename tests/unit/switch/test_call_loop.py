# SPDX-License-Identifier: Apache-2.0
"""Calls on an event loop: woken in time, shown, hung up, and brought to an end with the process."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kit.call_world import FixedChance
from kit.routes import a_vendor
from kit.served_world import BOB, ServedWorld, customer
from ringfence.call.engine import Ended, Event, Why
from ringfence.carrier.carriers import Carriers
from ringfence.errors import NotFoundError
from ringfence.switch.call_desk import CallDesk
from ringfence.switch.call_loop import CallLoop, SystemChance, source_for


class LoopWorld(ServedWorld):
    """A world whose calls are driven by a `CallLoop`, and whose clock is the world's."""

    def __init__(self, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self.carriers = Carriers(
            self.engine, self.service.counters, FixedChance(), on_fault=self.faults.append
        )
        self.loop = CallLoop(self.service, self.carriers, self)
        self.desk = CallDesk(self.loop, run=1)

    def utc_us(self) -> int:
        return self.now.utc_us

    def monotonic_s(self) -> float:
        return self.now.mono_s

    def tell(self, event: Event) -> None:
        self.loop.take([event])

    def talk(self) -> None:
        self.alice.invite()
        self.bob.expect("INVITE")
        self.bob.answer(200)
        self.bob.expect("ACK")
        self.alice.expect(200)
        self.alice.ack()


def test_calls_are_woken_when_they_want_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        world = LoopWorld()
        waits: list[tuple[float, Callable[[], None]]] = []
        running = asyncio.get_running_loop()
        real = running.call_later

        def call_later(wait_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
            waits.append((wait_s, act))
            return real(3600, act)

        monkeypatch.setattr(running, "call_later", call_later)
        world.alice.invite()
        world.bob.expect("INVITE")
        assert [wait_s for wait_s, _ in waits] == [9.0]
        world._set(world.now.mono_s + 9.0)
        waits[-1][1]()
        assert [wait_s for wait_s, _ in waits[1:]] == [1.0]
        world._set(world.now.mono_s + 1.0)
        waits[-1][1]()
        world.carol.expect("INVITE")
        assert [wait_s for wait_s, _ in waits[2:]] == [8.0]
        world._set(world.now.mono_s + 100.0)
        waits[-1][1]()
        world.alice.expect(408)
        assert len(world.ended) == 1
        await world.loop.end(0, asyncio.Event())

    asyncio.run(scenario())


def test_live_calls_are_listed_counted_and_hung_up() -> None:
    async def scenario() -> None:
        world = LoopWorld()
        world.talk()
        dave = world.far_end("dave", "198.51.100.4", gateway_id=7)
        dave.invite()
        world.pass_time(1.0)
        listed = world.desk.list(1, None)
        assert (listed.total, [call.state for call in listed.calls]) == (2, ["up"])
        [up, setup] = world.desk.list(10, None).calls
        assert (up.gateway, up.callee_gateway, up.source, up.attempts) == (
            "customer",
            "bob",
            "198.51.100.1:5060",
            1,
        )
        assert (setup.state, setup.answered_us, setup.attempts) == ("setup", 0, 1)
        assert world.desk.list(10, up.id).calls == (up,)
        counts = world.desk.counts()
        assert (counts.started, counts.answered, counts.live, counts.talking) == (2, 1, 2, 1)
        [customer] = counts.gateways
        assert (customer.name, customer.lines, customer.calls_today) == ("customer", 2, 0)
        assert world.desk.hang_up(up.id).id == up.id
        world.alice.expect("BYE")
        with pytest.raises(NotFoundError):
            world.desk.hang_up(up.id)
        with pytest.raises(NotFoundError):
            world.desk.list(10, up.id)
        assert [(ended.end_reason, ended.end_direction) for ended in world.ended] == [(-36, 2)]
        after = world.desk.counts()
        assert (after.live, after.talking, after.gateways[0].asr_percent) == (1, 0, 100)
        world.desk.hang_up(setup.id)
        dave.expect(503)
        assert world.desk.counts().failed == {"HungUp": 1}
        await world.loop.end(0, asyncio.Event())

    asyncio.run(scenario())


def test_a_drain_takes_no_new_calls_and_is_over_with_the_last_one() -> None:
    async def scenario() -> None:
        world = LoopWorld()
        world.talk()
        ending = asyncio.ensure_future(world.loop.end(3600, asyncio.Event()))
        await asyncio.sleep(0)
        dave = world.far_end("dave", "198.51.100.4", gateway_id=7)
        dave.invite()
        assert dave.expect(503).header("Retry-After") == "30"
        await asyncio.sleep(0)
        assert not ending.done()
        world.alice.ask("INFO")
        world.bob.expect("INFO")
        world.bob.answer(200, to="INFO")
        world.alice.ask("BYE")
        world.bob.expect("BYE")
        world.bob.answer(200, to="BYE")
        async with asyncio.timeout(5):
            await ending
        assert [(e.end_reason, e.end_direction) for e in world.ended] == [(-37, 2), (200, 0)]
        assert not world.calls.table.calls

    asyncio.run(scenario())


def test_what_is_left_after_the_drain_is_hung_up_on_both_sides() -> None:
    async def scenario() -> None:
        world = LoopWorld()
        world.talk()
        ending = asyncio.ensure_future(world.loop.end(0, asyncio.Event()))
        for _ in range(10):
            await asyncio.sleep(0)
        for far in (world.alice, world.bob):
            far.expect("BYE")
            assert not ending.done()
            far.answer(200, to="BYE")
        async with asyncio.timeout(5):
            await ending
        assert [(e.end_reason, e.end_direction, e.sip_status) for e in world.ended] == [(-37, 2, 200)]

    asyncio.run(scenario())


def test_a_second_signal_ends_all_waiting_and_leaves_records() -> None:
    async def scenario() -> None:
        world = LoopWorld()
        world.talk()
        hurry = asyncio.Event()
        ending = asyncio.ensure_future(world.loop.end(3600, hurry))
        await asyncio.sleep(0)
        hurry.set()
        async with asyncio.timeout(5):
            await ending
        assert [ended.end_reason for ended in world.ended] == [-37]
        world.alice.expect("BYE")

    asyncio.run(scenario())


def test_a_vendor_is_asked_whether_it_is_there_and_calls_go_by_it() -> None:
    async def scenario() -> None:
        asked = a_vendor("bob", number=1, address=BOB, options=True)
        world = LoopWorld(customer(), asked)
        world.loop.configure(world.tables(customer(), asked), world.ways)
        for _ in range(3):
            world._set(world.now.mono_s + 60.0)
            world.loop._tick()
            world.bob.expect("OPTIONS")
            world.tell(Ended(transaction=max(world.engine.clients), why=Why.NO_RESPONSE))
        world.alice.invite()
        world.alice.expect(503)
        assert [ended.end_reason for ended in world.ended] == [-29]
        await world.loop.end(0, asyncio.Event())

    asyncio.run(scenario())


def test_tags_are_tokens_that_do_not_repeat() -> None:
    chance = SystemChance()
    tokens = {chance.token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(token.isalnum() and len(token) == 16 for token in tokens)
    assert all(0 <= chance.fraction() < 1 for _ in range(1000))


def test_the_system_says_which_address_it_sends_from() -> None:
    assert source_for("127.0.0.1") == "127.0.0.1"
