# SPDX-License-Identifier: Apache-2.0
"""Live calls on pages: who talks to whom, what gateways carry, and hanging up."""

import pytest

from kit.site import Site
from kit.switch import CALL
from ringfence.control.messages import CallCounts, GatewayLoad, LiveCalls, Vendors
from ringfence.settings.calls_model import GatewayCalls, RouteCalls, RoutingGatewayDraft
from ringfence.settings.model import GatewayDraft, Role


@pytest.fixture
def admin(site: Site) -> Site:
    site.log_in()
    site.switch.live = LiveCalls(at_us=CALL.answered_us + 65_000_000, total=3, calls=(CALL,))
    return site


def test_live_calls_are_listed_with_what_strangers_sent_made_harmless(admin: Site) -> None:
    for path in ("/calls", "/live/calls"):
        text = admin.get(path).text
        assert f'<a href="/calls/{CALL.id}">' in text
        assert ">talking<" in text
        assert ">1:05<" in text
        assert "and 2 more" in text
    text = admin.get(f"/calls/{CALL.id}").text
    assert "a-call\\x1b[31m" in text
    assert "\x1b" not in text


def test_a_call_is_hung_up_after_it_is_said_what_follows_and_the_audit_knows(admin: Site) -> None:
    text = admin.get(f"/calls/{CALL.id}").text
    assert text.index("Both sides get a BYE") < text.index(f'action="/calls/{CALL.id}/hang-up"')
    assert f"Call {CALL.id} is hung up." in admin.post(f"/calls/{CALL.id}/hang-up").text
    assert admin.switch.hung_up == [CALL.id]
    [row] = admin.settings.audit(kind="call")
    assert (row.actor, row.action, row.name) == ("user:admin", "hang_up", str(CALL.id))
    assert "hung up" in admin.get("/audit").text
    assert "Call 7 was over already." in admin.post("/calls/7/hang-up").text
    assert admin.get("/calls/7").status == 404
    assert len(admin.settings.audit(kind="call")) == 1


def test_those_who_look_see_calls_and_no_way_to_end_them(admin: Site) -> None:
    admin.log_in(Role.ANALYST)
    assert "hang-up" not in admin.get(f"/calls/{CALL.id}").text
    assert admin.post(f"/calls/{CALL.id}/hang-up").status == 403
    assert admin.switch.hung_up == []


def test_without_a_switch_the_page_says_so(admin: Site) -> None:
    admin.switch.live = None
    assert "No switch answers on this node" in admin.get("/calls").text


def test_gateways_show_what_they_carry(admin: Site) -> None:
    calls = GatewayCalls(lines=60)
    admin.settings.gateways.add(
        GatewayDraft(name="customer", addresses=("192.0.2.1",), calls=calls), actor="t"
    )
    admin.settings.routing_gateways.add(
        RoutingGatewayDraft(name="vendor", address="192.0.2.9", calls=RouteCalls(lines=30)), actor="t"
    )
    assert "–" in admin.get("/gateways").text
    load = GatewayLoad(
        id=1,
        name="customer",
        lines=7,
        most_lines=60,
        calls_this_second=3,
        calls_today=12345,
        answered_today=8000,
        asr_percent=64,
        acd_s=93,
    )
    admin.switch.counts = CallCounts(
        run=1, at_us=1, started=9, answered=5, live=2, talking=1, failed={}, gateways=(load,), routes=(load,)
    )
    admin.switch.known_vendors = Vendors(at_us=1, vendors=())
    for path, most in (("/live/gateways", 60), ("/live/routes", 30)):
        text = admin.get(path).text
        for cell in (f'7 <span class="hint">/ {most}</span>', "12,345", "64 %", "93 s"):
            assert cell in text
