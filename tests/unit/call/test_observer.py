# SPDX-License-Identifier: Apache-2.0
"""What an observer hears while a call goes on, and that the record says the same."""

from collections.abc import Callable

import pytest
from msgspec import structs

from kit.call_world import World
from ringfence.call.plan import Account, Refused
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.ledger.schema import Call, Callee, CallEnded, RouteAttempt


class Heard:
    """Keeps what it hears; `order` says it in short."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.reports: list[RouteAttempt] = []
        self.over: list[CallEnded] = []
        self.callees: list[Callee] = []
        self.calls: list[Call] = []
        self.sent_before: list[int] = []
        self.world = World(observer=self)

    def admitted(self, call: Call, at_us: int) -> None:
        assert at_us == self.world.now.utc_us
        self.calls.append(call)
        self.order.append("admitted")

    def attempted(self, call: Call, callee: Callee, number: int, at_us: int) -> None:
        assert at_us == self.world.now.utc_us
        self.calls.append(call)
        self.callees.append(callee)
        self.sent_before.append(len(self.world.bob.inbox) + len(self.world.carol.inbox))
        self.order.append(f"attempted {number} {callee.gateway}")

    def answered(self, call: Call, attempt: RouteAttempt, number: int, at_us: int) -> None:
        assert at_us == self.world.now.utc_us
        self.calls.append(call)
        self.reports.append(attempt)
        self.order.append(f"answered {number} {attempt.status}")

    def ended(self, call: CallEnded) -> None:
        self.over.append(call)
        self.order.append(f"ended {call.end_reason}")


def test_a_call_is_told_in_order_and_each_attempt_before_its_invite() -> None:
    heard = Heard()
    world = heard.world
    world.routes.append(world.route(world.carol, 2))
    world.alice.invite()
    invite = world.bob.expect("INVITE")
    assert heard.order == ["admitted", "attempted 1 bob-gw"]
    assert heard.callees[0].call_id == invite.call_id
    world.bob.answer(503)
    again = world.carol.expect("INVITE")
    assert heard.callees[1].call_id == again.call_id
    # No INVITE had come anywhere when its attempt was told.
    assert heard.sent_before == [0, 0]
    world.carol.answer(200)
    world.carol.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.alice.ask("BYE")
    assert heard.order == [
        "admitted",
        "attempted 1 bob-gw",
        "answered 1 503",
        "attempted 2 carol-gw",
        "answered 2 200",
        "ended 200",
    ]
    assert {call.call_id for call in heard.calls} == {heard.over[0].call_id}


def nobody_is_left(world: World) -> None:
    world.routes.append(world.route(world.carol, 2))
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(500)
    world.carol.expect("INVITE")
    world.carol.answer(503)


def is_busy(world: World) -> None:
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(486)


def gives_up(world: World) -> None:
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(180)
    world.alice.cancel()


def is_silent(world: World) -> None:
    world.alice.invite()
    world.pass_time(100.0)


def asks_for_credentials(world: World) -> None:
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(401, headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n"')])


@pytest.mark.parametrize(
    "goes",
    [nobody_is_left, is_busy, gives_up, is_silent, asks_for_credentials],
)
def test_what_is_told_of_attempts_is_what_the_record_says(goes: Callable[[World], None]) -> None:
    heard = Heard()
    goes(heard.world)
    [ended] = heard.world.ended
    assert tuple(heard.reports) == ended.route_attempts
    assert ended.route_attempts
    assert heard.over == [ended]
    assert heard.order[-1] == f"ended {ended.end_reason}"


def test_a_call_that_is_refused_at_once_only_ends() -> None:
    heard = Heard()
    account = Account(caller="1001", caller_access="1001", callee="1", callee_access="1", billing_mode=1)
    no_route = END_REASON_BY_NAME["NoAvailableRouter"]
    heard.world.router.refused = Refused(reason=no_route, account=account)
    heard.world.alice.invite()
    assert heard.order == [f"ended {no_route.code}"]
    assert heard.over == heard.world.ended


def test_a_call_handed_over_is_told_as_a_call_of_its_own() -> None:
    heard = Heard()
    world = heard.world
    world.caller_side = structs.replace(world.caller_side, phone="1001")
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(200)
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()
    world.routes = [world.route(world.carol, 2)]
    world.alice.ask("REFER", headers=[("Refer-To", "<sip:3003@192.0.2.1>")])
    world.carol.expect("INVITE")
    assert heard.order[-2:] == ["admitted", "attempted 1 carol-gw"]
    assert heard.calls[-1].call_id not in {heard.calls[0].call_id, heard.callees[0].call_id}
