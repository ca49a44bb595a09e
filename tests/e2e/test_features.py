# SPDX-License-Identifier: Apache-2.0
"""One story for every feature of a call: sipp as customer and as vendor, each by a scenario of our own.

A story ends well if neither side met a message that it did not expect, each call left exactly one record
with the right end, and no call is left in the tables.
"""

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from kit.calling import records
from kit.capture import needs
from kit.node import Half, Node
from kit.sip import Peer, Phone
from kit.sipp import Sipp
from kit.softphone import Softphone
from kit.waiting import eventually
from ringfence.ledger.reasons import END_REASON_BY_NAME, EndDirection

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

SCENARIOS = Path(__file__).parent / "scenarios"
CUSTOMER = "127.0.0.40"
VENDORS = {"vendor": "127.0.0.41", "other": "127.0.0.42"}
PHONES = ("127.0.0.43", "127.0.0.44")
PHONE, PASSWORD = "1002", "correct horse battery"
DIALLED = "442071234567"
CALLS = 5
CALLER, CALLEE, SERVER = EndDirection.CALLER, EndDirection.CALLEE, EndDirection.SERVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Who plays what, and what the records say.

    Shape: `vendor` empty = the call never leaves the switch. `other` is a vendor before that one. `end` is a
    status of a far end or the name of a reason of ours; `before` = each call was refused once before, for
    that reason; `status` and `answers` fill the scenarios in, for
    customer and vendor.
    """

    customer: str
    before: str = ""
    vendor: str = ""
    other: str = ""
    end: int | str = 200
    direction: EndDirection = CALLER
    status: int = 0
    answers: int = 0
    gateway: tuple[str, ...] = ()
    route: tuple[str, ...] = ()
    other_route: tuple[str, ...] = ()
    secret: str | None = None
    parameters: dict[str, int] = field(default_factory=dict)


def refused(answers: int, status: int, *gateway: str, end: int | None = None) -> Story:
    """The vendor says no, and the customer hears `status`."""
    return Story(
        customer="refused",
        vendor="refuses",
        answers=answers,
        status=status,
        gateway=gateway,
        end=answers if end is None else end,
        direction=CALLEE,
    )


STORIES = {
    "caller hangs up": Story(customer="hangs_up", vendor="answers"),
    "callee hangs up": Story(customer="is_hung_up", vendor="hangs_up", direction=CALLEE),
    "early media": Story(customer="early_media", vendor="early_media"),
    "reliable provisional responses": Story(customer="prack", vendor="prack"),
    "late offer": Story(customer="late_offer", vendor="late_offer"),
    "hold and resume": Story(customer="hold", vendor="hold"),
    "callee holds": Story(customer="reinvited", vendor="reinvites"),
    "UPDATE both ways": Story(customer="update", vendor="update"),
    "glare": Story(customer="glare", vendor="glare"),
    "session timers agreed on": Story(
        customer="session_timer", vendor="session_timer", before="SessionIntervalTooSmall"
    ),
    "session timers refreshed": Story(
        customer="refreshed",
        vendor="refreshed",
        parameters={"SS_SIP_SESSION_TTL": 90, "SS_SIP_SESSION_UPDATE_SEGMENT": 10},
    ),
    "DTMF by INFO": Story(customer="info", vendor="info"),
    "MESSAGE inside the call": Story(customer="message", vendor="message"),
    "CANCEL before it rings": Story(customer="cancels_trying", vendor="trying", end=487),
    "CANCEL while it rings": Story(customer="cancels_ringing", vendor="ringing", end=487),
    "BYE crosses the vendor's": Story(customer="hangs_up", vendor="bye_crosses"),
    "BYE crosses the customer's": Story(customer="bye_crosses", vendor="hangs_up", direction=CALLEE),
    "redirection": Story(customer="refused", vendor="redirects", status=480, end=302, direction=CALLEE),
    "redirection to another vendor": Story(
        customer="hangs_up",
        vendor="answers",
        other="redirects_to_vendor",
        other_route=("--follow-redirects",),
    ),
    "404": refused(404, 404),
    "486": refused(486, 486),
    "503": refused(503, 503),
    "404 by the map of failures": refused(404, 480, "--failure-codes", "404:480 503:500"),
    "503 by the map of failures": refused(503, 500, "--failure-codes", "404:480 503:500"),
    "next vendor after silence": Story(
        customer="hangs_up", vendor="answers", other="trying", other_route=("--timeout-trying", "1")
    ),
    "vendor wants credentials": Story(
        customer="hangs_up",
        vendor="challenges",
        route=("--register-as", "trunk", "--no-register", "--password-stdin"),
        secret="carrier secret",
    ),
    "vendor wants credentials as a proxy": Story(
        customer="hangs_up",
        vendor="challenges_as_proxy",
        route=("--register-as", "trunk", "--no-register", "--password-stdin"),
        secret="carrier secret",
    ),
    "proxies before the customer": Story(customer="behind_proxies", vendor="hangs_up", direction=CALLEE),
    "proxies before the vendor": Story(customer="hangs_up", vendor="behind_proxies"),
    "strict router before the vendor": Story(customer="hangs_up", vendor="behind_strict_router"),
    "identity passed on": Story(
        customer="names_itself",
        vendor="is_told_all",
        gateway=("--display", "--rpid", "--pai", "pass", "--ppi", "pass", "--privacy", "pass"),
        route=("--display", "--rpid", "--pai", "pass", "--ppi", "pass", "--privacy", "pass"),
    ),
    "identity taken away": Story(
        customer="names_itself",
        vendor="is_told_little",
        gateway=("--display", "--rpid", "--pai", "pass", "--ppi", "pass", "--privacy", "pass"),
        route=("--no-display", "--no-rpid", "--pai", "caller", "--ppi", "remove", "--privacy", "none"),
    ),
    "line ends in names": Story(
        customer="injects",
        vendor="is_not_injected",
        gateway=("--display", "--rpid", "--pai", "pass", "--ppi", "pass", "--privacy", "pass"),
        route=("--display", "--rpid", "--pai", "pass", "--ppi", "pass", "--privacy", "pass"),
    ),
    "line ends in the number called": Story(
        customer="injects_numbers", end="InvalidNumber", direction=SERVER
    ),
    "Max-Forwards 0": Story(customer="no_hops", end="TooManyHops", direction=SERVER),
    "unknown extension required": Story(
        customer="requires_unknown", end="UnsupportedExtension", direction=SERVER
    ),
}


def sipp(
    node: Node,
    who: str,
    scenario: str,
    *,
    host: str,
    status: int = 0,
    port: int | None = None,
    target: str = "",
    dials: str = DIALLED,
    elsewhere: str = "",
) -> Sipp:
    """One side of a story; `status` and `elsewhere` fill its scenario in."""
    text = (SCENARIOS / f"{who}_{scenario}.xml").read_text()
    text = text.replace("{status}", str(status)).replace("{elsewhere}", elsewhere)
    file = node.root / f"{who}_{scenario}.xml"
    file.write_text(text)
    options = ("-s", dials, "-r", "50") if target else ()
    return Sipp(node.root, file, host=host, port=port, target=target, calls=CALLS, options=options)


def customer(node: Node, switch: Half, scenario: str, status: int = 0) -> Sipp:
    return sipp(node, "customer", scenario, host=CUSTOMER, status=status, target=switch.target)


def vendor(
    node: Node, name: str, scenario: str, story: Story, route: tuple[str, ...], *, elsewhere: str = ""
) -> Sipp:
    """A vendor that listens, and the way to it; `elsewhere` is where the other one is."""
    made = sipp(node, "vendor", scenario, host=VENDORS[name], status=story.answers, elsewhere=elsewhere)
    secret = None if story.secret is None else f"{story.secret}\n"
    node.cli.ok("route", "add", name, made.address, "--prefixes", "44", *route, stdin=secret)
    eventually(lambda: made.is_listening)
    return made


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_feature(node: Node, story: Story) -> None:
    needs("sipp")
    for name, value in story.parameters.items():
        node.cli.ok("param", "set", name, str(value))
    node.cli.ok("gateway", "add", "customer", CUSTOMER, *story.gateway)
    playing: list[Sipp] = []
    try:
        if story.vendor:
            route = ("--priority", "1", *story.route)
            playing.append(vendor(node, "vendor", story.vendor, story, route))
        if story.other:
            route = ("--priority", "0", *story.other_route)
            elsewhere = playing[0].address
            playing.append(vendor(node, "other", story.other, story, route, elsewhere=elsewhere))
        switch = node.switch(sip=("udp:127.0.0.1:0",))
        playing.insert(0, customer(node, switch, story.customer, story.status))
        for side in playing:
            side.succeed()
    finally:
        for side in playing:
            side.end()
    ended_once_each(node, story)


def ended_once_each(node: Node, story: Story) -> None:
    """Each call left one record, and nothing else."""
    end = story.end if isinstance(story.end, int) else END_REASON_BY_NAME[story.end].code
    expected = Counter({(end, int(story.direction)): CALLS})
    if story.before:
        expected[END_REASON_BY_NAME[story.before].code, int(SERVER)] = CALLS
    eventually(lambda: len(records(node)) >= expected.total())
    assert Counter((row["endReason"], row["endDirection"]) for row in records(node)) == expected
    assert len({row["call_id"] for row in records(node)}) == CALLS
    eventually(lambda: node.cli.json("call", "list") == [])
    assert node.books().difference == 0


def a_phone(node: Node, switch: Half, scenario: str, host: str) -> Sipp:
    """A phone of ours that registers, and then does what its scenario says at the same address."""
    with Peer(switch.address("udp"), host) as peer:
        assert Phone(peer, PHONE, PASSWORD).register()[0].status == 200
        port = peer.port
    made = sipp(node, *scenario.split(" "), host=host, port=port)
    eventually(lambda: made.is_listening)
    return made


def test_phones_of_one_number_ring_at_once_and_one_has_the_call(node: Node) -> None:
    needs("sipp")
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    node.cli.ok("phone", "add", PHONE, "--password-stdin", stdin=f"{PASSWORD}\n")
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    with (
        a_phone(node, switch, "vendor answers", PHONES[0]) as answers,
        a_phone(node, switch, "phone rings_for_another", PHONES[1]) as rings,
        sipp(node, "customer", "hangs_up", host=CUSTOMER, target=switch.target, dials=PHONE) as calls,
    ):
        for side in (calls, answers, rings):
            side.succeed()
    ended_once_each(node, Story(customer="hangs_up"))
    for row in records(node):
        attempts = json.loads(row["route_attempts"])
        said = sorted((each.get("status", 0), each.get("why", "")) for each in attempts)
        assert said == [(0, "answered elsewhere"), (200, "")]
        assert row["calleeip"] == PHONES[0]


def test_text_messages_go_to_a_phone_and_are_no_calls(node: Node) -> None:
    """RFC 3428."""
    needs("sipp")
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    node.cli.ok("phone", "add", PHONE, "--password-stdin", stdin=f"{PASSWORD}\n")
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    with (
        a_phone(node, switch, "phone is_texted", PHONES[0]) as phone,
        sipp(node, "customer", "texts", host=CUSTOMER, target=switch.target, dials=PHONE) as texting,
    ):
        for side in (texting, phone):
            side.succeed()
    assert records(node) == []
    assert node.books().difference == 0


def test_options_are_answered(node: Node) -> None:
    """RFC 3261 §11.2."""
    needs("sipp")
    node.cli.ok("gateway", "add", "customer", CUSTOMER)
    with customer(node, node.switch(sip=("udp:127.0.0.1:0",)), "asks_options") as asking:
        asking.succeed()
    assert records(node) == []


PASSWORD = "correct horse battery"
BOSS, BOB, CAROL = "127.0.0.43", "127.0.0.44", "127.0.0.45"


@pytest.mark.parametrize("lets_go", [False, True], ids=["waits for the end", "hangs up at once"])
def test_a_phone_joins_two_calls_of_its_own(node: Node, lets_go: bool) -> None:
    """RFC 5589 §7: bob is on hold, carol agrees, and the two are connected."""
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    node.cli.ok("phone", "add", "1001", "--password-stdin", stdin=f"{PASSWORD}\n")
    target = switch.address("udp")
    with ExitStack() as stack:
        boss, line2 = (stack.enter_context(Softphone(target, BOSS, "1001", PASSWORD)) for _ in range(2))
        bob, carol = (
            stack.enter_context(Softphone(target, *far)) for far in ((BOB, "bob"), (CAROL, "carol"))
        )
        assert Phone(boss.peer, "1001", PASSWORD).register()[0].status == 200
        for far, prefix in ((bob, "44"), (carol, "45")):
            node.cli.ok("route", "add", far.number, far.address, "--prefixes", prefix)
        talk(boss, bob, "442071234567")
        hold = boss.begin("INVITE", boss.sdp(2, "sendonly"))
        bob.answer(bob.expect("INVITE"), body=bob.sdp(2, "recvonly"))
        assert boss.answer_to(hold).status == 200
        bob.expect("ACK")
        talk(line2, carol, "4512345678")

        ours, theirs = line2.tags
        replaces = quote(f"{line2.call_id};to-tag={theirs};from-tag={ours}", safe="")
        refer = (f"Refer-To: <sip:4512345678@127.0.0.1?Replaces={replaces}>",)
        assert boss.ask("REFER", extra=refer).status == 202
        assert boss.is_told().startswith(b"SIP/2.0 100")
        offer = bob.expect("INVITE")
        if lets_go:
            assert boss.ask("BYE").status == line2.ask("BYE").status == 200
        assert offer.body == b""
        bob.answer(offer, body=bob.sdp(3))
        invite = carol.expect("INVITE")
        assert invite.body == bob.sdp(3)
        carol.answer(invite, body=carol.sdp(2))
        carol.expect("ACK")
        assert bob.expect("ACK").body == carol.sdp(2)
        if not lets_go:
            assert boss.is_told().startswith(b"SIP/2.0 200")
            boss.is_hung_up()
            line2.is_hung_up()
        # Still two calls, with an account each, until the two hang up.
        assert len(node.cli.json("call", "list")) == 2
        info = carol.begin("INFO")
        bob.answer(bob.expect("INFO"))
        assert carol.answer_to(info).status == 200
        assert carol.ask("BYE").status == 200
        bob.is_hung_up()
    eventually(lambda: len(records(node)) >= 2)
    assert {(row["calleeE164"], row["endReason"], row["endDirection"]) for row in records(node)} == {
        ("442071234567", 200, int(CALLER)),
        ("4512345678", 200, int(CALLEE)),
    }
    assert node.cli.json("call", "list") == []
    assert node.books().difference == 0


def test_a_call_goes_on_at_another_phone_of_the_number(node: Node) -> None:
    """RFC 3891: the kitchen takes up what the desk began, and a stranger with the same tags does not."""
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    for number in ("1001", "1002"):
        node.cli.ok("phone", "add", number, "--password-stdin", stdin=f"{PASSWORD}\n")
    target = switch.address("udp")
    with ExitStack() as stack:
        desk, kitchen = (stack.enter_context(Softphone(target, BOSS, "1001", PASSWORD)) for _ in range(2))
        thief = stack.enter_context(Softphone(target, CAROL, "1002", PASSWORD))
        bob = stack.enter_context(Softphone(target, BOB, "bob"))
        for phone in (desk, thief):
            assert Phone(phone.peer, phone.number, PASSWORD).register()[0].status == 200
        node.cli.ok("route", "add", "bob", bob.address, "--prefixes", "44")
        talk(desk, bob, "442071234567")
        replaces = f"Replaces: {desk.call_id};to-tag={desk.tags[1]};from-tag={desk.tags[0]}"
        assert thief.answer_to(thief.calls("442071234567", replaces)).status == 481
        invite = kitchen.calls("442071234567", replaces)
        offer = bob.expect("INVITE")
        assert offer.body == kitchen.sdp()
        bob.answer(offer, body=bob.sdp(2))
        bob.expect("ACK")
        answer = kitchen.answer_to(invite)
        assert (answer.status, answer.body) == (200, bob.sdp(2))
        desk.is_hung_up()
        end = bob.begin("BYE")
        kitchen.is_hung_up()
        assert bob.answer_to(end).status == 200
    eventually(lambda: len(records(node)) >= 3)
    assert {(row["billingMode"], row["endReason"], row["endDirection"]) for row in records(node)} == {
        (0, 200, int(CALLEE)),
        (-1, 200, int(CALLEE)),
        (-1, END_REASON_BY_NAME["NoCallToReplace"].code, int(SERVER)),
    }
    assert node.cli.json("cdr", "list", "--illegal") == []
    assert node.cli.json("call", "list") == []
    assert node.books().difference == 0


def talk(caller: Softphone, callee: Softphone, number: str) -> None:
    """A call that is up."""
    invite = caller.calls(number)
    callee.takes_call()
    assert caller.answer_to(invite).status == 200
