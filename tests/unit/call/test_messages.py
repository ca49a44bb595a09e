# SPDX-License-Identifier: Apache-2.0
"""Text messages outside calls (RFC 3428): from a gateway or a phone to the phones of a number."""

import pytest

from kit.call_world import FarEnd, World
from kit.served_world import ServedWorld, bob_gw, customer
from ringfence.settings.calls_model import NumberRules


@pytest.fixture
def world() -> ServedWorld:
    return ServedWorld(customer(), bob_gw(), phones=("1001", "1002"))


@pytest.fixture
def desk(world: ServedWorld) -> FarEnd:
    return world.phone("desk", "10.0.0.1", "1001")


@pytest.fixture
def mobile(world: ServedWorld) -> FarEnd:
    return world.phone("mobile", "10.0.0.2", "1002")


def says(far: FarEnd, status: int) -> None:
    """A far end answers the message that it got."""
    far.answer(status, to="MESSAGE", tag=f"{far.name}-tag")


def counts(world: ServedWorld) -> tuple[int, int]:
    found = world.service.counts
    return found.messages_delivered, found.messages_failed


def test_a_message_of_a_phone_reaches_the_other_one_and_the_answer_comes_back(
    world: ServedWorld, desk: FarEnd, mobile: FarEnd
) -> None:
    desk.text(
        "1002", b"dinner at 8?", headers=[("Subject", "food"), ("Date", "Sat, 28 Nov 2026 18:00:00 GMT")]
    )
    told = mobile.expect("MESSAGE")
    assert (told.uri, told.body, told.header("Content-Type")) == (
        mobile.contact.strip("<>"),
        b"dinner at 8?",
        "text/plain",
    )
    assert (told.from_.user, told.to.user, told.header("Max-Forwards")) == ("1001", "1002", "69")
    assert (told.header("Subject"), told.header("Date")) == ("food", "Sat, 28 Nov 2026 18:00:00 GMT")
    assert "10.0.0.1" not in (told.header("From") or "") + told.call_id
    assert told.contact is None
    desk.nothing()
    # RFC 3428 §7: such an answer has no body; one that comes with it stays here.
    mobile.answer(200, b"v=0\r\n", to="MESSAGE", tag="m")
    answer = desk.expect(200)
    assert (answer.contact, answer.header("Content-Type"), answer.body) == (None, None, b"")
    assert counts(world) == (1, 0)
    assert not world.ended
    world.assert_at_rest()


def test_a_gateway_may_send_messages_to_phones_and_hears_its_own_codes() -> None:
    world = ServedWorld(customer(failure_codes=("480:404",)), bob_gw(), phones=("1001",))
    desk = world.phone("desk", "10.0.0.1", "1001")
    world.alice.text("1001")
    desk.expect("MESSAGE")
    says(desk, 202)
    world.alice.expect(202)
    world.register(desk, expires_s=0)
    world.alice.text("1001")
    world.alice.expect(404)
    assert not world.lines
    world.assert_at_rest()


def test_all_phones_of_a_number_get_it_and_the_first_answer_counts(world: ServedWorld, desk: FarEnd) -> None:
    one, two = world.phone("one", "10.0.0.3", "1002"), world.phone("two", "10.0.0.4", "1002")
    desk.text("1002")
    one.expect("MESSAGE")
    two.expect("MESSAGE")
    says(one, 486)
    desk.nothing()
    says(two, 200)
    desk.expect(200)
    assert counts(world) == (1, 0)
    world.assert_at_rest()


def test_a_device_that_turned_a_message_down_is_not_asked_over_its_other_flow(
    world: ServedWorld, desk: FarEnd
) -> None:
    """RFC 5626 §5.3."""
    other = world.phone("other", "10.0.0.3", "1002", flow_of=("<urn:uuid:1>", 1))
    world.pass_time(1.0)
    asked = world.phone("asked", "10.0.0.4", "1002", flow_of=("<urn:uuid:1>", 2))
    desk.text("1002")
    asked.expect("MESSAGE")
    says(asked, 415)
    desk.expect(415)
    other.nothing()
    world.assert_at_rest()


def test_phones_of_lower_preference_get_it_once_the_others_have_failed(
    world: ServedWorld, desk: FarEnd
) -> None:
    first, second = world.phone("one", "10.0.0.3", "1002"), world.phone("two", "10.0.0.4", "1002", q=500)
    desk.text("1002")
    first.expect("MESSAGE")
    second.nothing()
    says(first, 415)
    second.expect("MESSAGE")
    says(second, 415)
    desk.expect(415)
    assert counts(world) == (0, 1)
    world.assert_at_rest()


@pytest.mark.parametrize(("status", "told"), [(300, 480), (407, 403), (488, 488), (603, 603)])
def test_what_a_phone_refuses_it_with_is_told_unless_it_names_hosts_or_asks_for_credentials(
    world: ServedWorld, desk: FarEnd, mobile: FarEnd, status: int, told: int
) -> None:
    desk.text("1002")
    mobile.expect("MESSAGE")
    says(mobile, status)
    desk.expect(told)
    world.assert_at_rest()


def test_a_phone_that_says_nothing_is_not_there(world: ServedWorld, desk: FarEnd, mobile: FarEnd) -> None:
    mobile.is_deaf = True
    desk.text("1002")
    desk.nothing()
    world.pass_time(32.0)
    desk.expect(480)
    mobile.is_deaf, mobile.is_reachable = False, False
    desk.text("1002")
    world.pass_time(0.1)
    desk.expect(480)
    world.assert_at_rest()


@pytest.mark.parametrize(
    ("number", "headers", "status"),
    [
        ("1002", [], 480),
        ("4930123", [], 404),
        ("4930123", [("Require", "join")], 420),
        ("1001", [("Max-Forwards", "0")], 483),
    ],
    ids=["not registered", "a vendor's number", "an extension we lack", "too many hops"],
)
def test_a_message_that_goes_nowhere_says_why(
    world: ServedWorld, desk: FarEnd, number: str, headers: list[tuple[str, str]], status: int
) -> None:
    desk.text(number, headers=headers)
    desk.expect(status)
    world.bob.nothing()
    assert counts(world) == (0, 1)
    world.assert_at_rest()


def test_the_callers_rules_hold_for_messages_and_lines_in_use_do_not() -> None:
    world = ServedWorld(
        customer(lines=1, callee=NumberRules(deny=("1002",))), bob_gw(), phones=("1001", "1002")
    )
    desk = world.phone("desk", "10.0.0.1", "1001")
    other = world.far_end("other", "198.51.100.9", gateway_id=7)
    other.invite("4930123")
    world.bob.expect("INVITE")
    world.alice.text("1002")
    world.alice.expect(403)
    world.alice.text("1001")
    desk.expect("MESSAGE")
    says(desk, 200)
    world.alice.expect(200)
    world.bob.answer(486)
    world.assert_at_rest()


def test_a_node_that_drains_takes_no_messages(world: ServedWorld, desk: FarEnd, mobile: FarEnd) -> None:
    world.calls.drain()
    desk.text("1002")
    assert desk.expect(503).header("Retry-After") == "30"
    mobile.nothing()


def test_a_caller_that_hides_its_number_is_nobody_to_a_phone(world: ServedWorld, mobile: FarEnd) -> None:
    world.alice.text("1002", headers=[("Privacy", "id"), ("P-Asserted-Identity", "<sip:1001@x>")])
    told = mobile.expect("MESSAGE")
    assert (told.from_.user, told.header("P-Asserted-Identity")) == ("anonymous", None)
    says(mobile, 200)
    world.alice.expect(200)


def test_a_node_that_has_no_room_asks_to_come_again(world: ServedWorld, desk: FarEnd, mobile: FarEnd) -> None:
    world.engine.is_crowded = True
    desk.text("1002")
    world.pass_time(0.1)
    desk.expect(503)
    mobile.nothing()
    world.assert_at_rest()


def test_a_fault_of_ours_is_an_answer_too_and_leaves_nothing() -> None:
    def breaks(status: int) -> int:
        raise RuntimeError(f"a fault of ours at {status}")

    world = World()
    world.failure_status = breaks
    world.alice.text("1002")
    world.bob.expect("MESSAGE")
    says(world.bob, 404)
    world.alice.expect(500)
    assert [str(fault) for fault in world.faults] == ["a fault of ours at 404"]
    assert not len(world.calls.messages)
