# SPDX-License-Identifier: Apache-2.0
"""A vendor that asks for credentials (RFC 3261 §22)."""

import re

import pytest
from msgspec import structs

from kit.call_world import FarEnd, World
from ringfence.call.digest import Challenge, Credentials, response
from ringfence.call.table import CallSettings
from ringfence.core import Message
from ringfence.routing.failover import Answered, Heard

CREDENTIALS = Credentials(user="us", secret="Kxq9 secret")


def asks(nonce: str, more: str = "", *, algorithm: str = "SHA-256") -> list[tuple[str, str]]:
    value = f'Digest realm="vendor", nonce="{nonce}", qop="auth", algorithm={algorithm}{more}'
    return [("Proxy-Authenticate", value)]


def carried(message: Message) -> dict[str, str]:
    """The credentials of a request, by parameter; empty if there are none."""
    value = message.header("Proxy-Authorization") or message.header("Authorization") or ""
    return {name: quoted or token for name, quoted, token in re.findall(r'(\w+)=(?:"([^"]*)"|(\w+))', value)}


def is_right(message: Message, nonce: str) -> bool:
    """Whether a vendor would take the credentials."""
    given = carried(message)
    challenge = Challenge(
        name="Proxy-Authenticate",
        realm="vendor",
        nonce=nonce,
        algorithm="sha-256",
        algorithm_text="SHA-256",
        opaque=None,
        has_qop=True,
        is_stale=False,
    )
    expected = response(
        challenge,
        CREDENTIALS,
        cnonce=given["cnonce"],
        count=given["nc"],
        method=message.method,
        uri=message.uri,
    )
    return given["response"] == expected and given["uri"] == message.uri and given["nonce"] == nonce


@pytest.fixture
def world() -> World:
    world = World()
    world.routes = [
        world.route(world.bob, 1, credentials=CREDENTIALS),
        world.route(world.carol, 2),
    ]
    return world


def challenged(world: World, bob: FarEnd) -> Message:
    """Begin a call that bob answers with a challenge; the INVITE that follows."""
    world.alice.invite()
    first = bob.expect("INVITE")
    assert carried(first) == {}
    bob.answer(407, headers=asks("n1"))
    again = bob.expect("INVITE")
    assert again.call_id == first.call_id
    assert again.from_tag == first.from_tag
    assert again.cseq == first.cseq + 1
    assert not again.to_tag
    return again


def test_a_challenge_is_answered_inside_the_same_attempt(world: World) -> None:
    alice, bob = world.alice, world.bob
    invite = challenged(world, bob)
    assert is_right(invite, "n1")
    bob.answer(200)
    ack = bob.expect("ACK")
    assert ack.header("Proxy-Authorization") == invite.header("Proxy-Authorization")
    alice.expect(200)
    alice.ack()
    world.carol.nothing()
    alice.ask("BYE")
    alice.expect(200)
    bye = bob.expect("BYE")
    assert is_right(bye, "n1")
    assert carried(bye)["nc"] == "00000002"
    bob.answer(200, to="BYE")
    (record,) = world.ended
    assert [attempt.status for attempt in record.route_attempts] == [200]
    world.assert_at_rest()


def test_credentials_that_are_refused_are_a_fail_over_that_says_so(world: World) -> None:
    challenged(world, world.bob)
    world.bob.answer(407, headers=asks("n2"))
    world.bob.nothing()
    world.carol.expect("INVITE")
    world.carol.answer(486)
    world.alice.expect(486)
    plan = world.router.plans[0]
    assert plan.outcomes[1] == Answered(407, None, "it refused our credentials")
    (record,) = world.ended
    assert record.route_attempts[0].status == 407
    assert record.route_attempts[0].why == "it refused our credentials"
    world.assert_at_rest()


def test_a_vendor_without_credentials_that_asks_for_them_is_a_fail_over(world: World) -> None:
    world.routes = [world.route(world.bob, 1)]
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(401, headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n"')])
    # The caller is no party to it.
    assert not world.alice.expect(403).headers("WWW-Authenticate")
    assert world.ended[0].end_reason == 401
    world.assert_at_rest()


def test_a_challenge_that_nobody_knows_is_a_fail_over(world: World) -> None:
    world.alice.invite()
    world.bob.expect("INVITE")
    world.bob.answer(407, headers=asks("n1", algorithm="SHA-999"))
    world.carol.expect("INVITE")
    assert world.router.plans[0].outcomes[1] == Answered(
        407, None, "it asks for credentials in a way that is not known here"
    )
    world.alice.cancel()
    world.carol.nothing()
    world.assert_at_rest()


def test_a_stale_nonce_is_renewed(world: World) -> None:
    challenged(world, world.bob)
    world.bob.answer(407, headers=asks("n2", ", stale=true"))
    assert is_right(world.bob.expect("INVITE"), "n2")
    world.bob.answer(486)
    world.alice.expect(486)
    world.assert_at_rest()


def test_a_vendor_that_asks_forever_is_left(world: World) -> None:
    challenged(world, world.bob)
    for number in range(2):
        world.bob.answer(407, headers=asks(f"s{number}", ", stale=true"))
        world.bob.expect("INVITE")
    world.bob.answer(407, headers=asks("s9", ", stale=true"))
    world.bob.nothing()
    world.carol.expect("INVITE")
    world.alice.cancel()
    world.assert_at_rest()


def test_the_caller_may_give_up_between_challenge_and_answer(world: World) -> None:
    challenged(world, world.bob)
    world.bob.answer(180)
    world.alice.expect(180)
    world.alice.cancel()
    world.bob.expect("CANCEL")
    world.bob.answer(487)
    world.alice.expect(487)
    world.assert_at_rest()


def up(world: World) -> None:
    challenged(world, world.bob)
    world.bob.answer(200, headers=[("Session-Expires", "600;refresher=uac"), ("Require", "timer")])
    world.bob.expect("ACK")
    world.alice.expect(200)
    world.alice.ack()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO"])
def test_a_request_that_is_passed_on_and_challenged_goes_again(world: World, method: str) -> None:
    up(world)
    alice, bob = world.alice, world.bob
    alice.ask(method, alice.sdp("2"))
    first = bob.expect(method)
    assert is_right(first, "n1")
    bob.answer(407, to=method, headers=asks("n3"))
    again = bob.expect(method)
    assert is_right(again, "n3")
    assert again.cseq == first.cseq + 1
    assert again.body == first.body
    bob.answer(200, to=method, body=bob.sdp("2") if method != "INFO" else b"")
    alice.expect(200)
    if method == "INVITE":
        assert is_right(bob.expect("ACK"), "n3") is False  # the INVITE's own, made for its method
        alice.ack()
    alice.ask("BYE")
    bob.expect("BYE")
    bob.answer(200, to="BYE")
    world.assert_at_rest()


def test_a_challenge_is_no_end_of_a_session_refresh(world: World) -> None:
    up(world)
    bob = world.bob
    world.pass_time(300)
    bob.expect("UPDATE")
    bob.answer(407, to="UPDATE", headers=asks("n4", ", stale=true"))
    assert is_right(bob.expect("UPDATE"), "n4")
    bob.answer(200, to="UPDATE", headers=[("Session-Expires", "600;refresher=uac")])
    assert [view.call_id for view in world.calls.list()] == [world.alice.call_id]
    world.calls.stop(world.now)
    world.assert_at_rest()


def test_a_bye_that_is_challenged_goes_again(world: World) -> None:
    up(world)
    bob = world.bob
    world.alice.ask("BYE")
    bob.expect("BYE")
    bob.answer(407, to="BYE", headers=asks("n5"))
    assert is_right(bob.expect("BYE"), "n5")
    bob.answer(407, to="BYE", headers=asks("n6"))
    bob.nothing()
    world.assert_at_rest()


def test_the_secret_is_in_no_message_and_no_record(world: World) -> None:
    up(world)
    world.alice.ask("BYE")
    said = b"".join(bytes(client.request) for client in world.engine.clients.values())
    kept = b"".join(frame.payload for frame in world.engine.frames)
    assert b"Kxq9" not in said + kept
    assert "Kxq9" not in repr(world.routes)


def test_a_route_set_goes_with_the_invite() -> None:
    world = World(settings=CallSettings())
    path = ("<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>")
    world.routes = [structs.replace(world.route(world.bob, 1), route_set=path)]
    world.alice.invite()
    assert tuple(world.bob.expect("INVITE").headers("Route")) == path
    world.alice.cancel()
    world.assert_at_rest()


def test_heard_is_nothing_before_the_challenge_is_answered(world: World) -> None:
    challenged(world, world.bob)
    (call,) = world.calls.table.calls.values()
    assert call.setup.heard == Heard()
    world.bob.answer(486)
    world.assert_at_rest()
