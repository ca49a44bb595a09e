# SPDX-License-Identifier: Apache-2.0
"""How vendors, gateways that register and phones stand, on pages: with a switch, and without one."""

import re

import pytest
from msgspec.structs import replace

from kit.journal import T0_US
from kit.site import PASSWORD, Site
from kit.switch import FLOW, LOAD, REFUSED, REGISTERED
from ringfence.control.messages import CallCounts, Flows, Vendor, Vendors
from ringfence.portal.pages import vendors
from ringfence.portal.words import translator
from ringfence.settings.calls_model import Registration, RouteCalls, RoutingGatewayDraft
from ringfence.settings.model import GatewayDraft, PhoneDraft

BANNER = "No switch answers on this node"
NOT_RUNNING = "switch is not running"


@pytest.fixture
def admin(site: Site) -> Site:
    """A vendor that wants a registration and OPTIONS, a gateway that registers, a phone."""
    site.log_in()
    settings = site.settings
    draft = RoutingGatewayDraft(
        name="vendor",
        address="sip.example.com",
        registration=Registration(user="4711"),
        secret="secret secret",
        calls=RouteCalls(options=True, lines=30),
    )
    settings.routing_gateways.add(draft, actor="t")
    settings.gateways.add(GatewayDraft(name="branch", username="branch", password=PASSWORD), actor="t")
    settings.phones.add(PhoneDraft(number="1001", password=PASSWORD), actor="t")
    return site


def runs(site: Site, vendor: Vendor | None = REGISTERED, *numbers: str) -> None:
    """Have the switch answer: so it stands with the vendor, and so these numbers are registered."""
    site.switch.counts = CallCounts(
        run=1,
        at_us=T0_US,
        started=1,
        answered=1,
        live=0,
        talking=0,
        failed={},
        gateways=(),
        routes=(replace(LOAD, id=1, name="vendor", most_lines=30),),
    )
    site.switch.known_vendors = Vendors(at_us=T0_US, vendors=() if vendor is None else (vendor,))
    flows = tuple(replace(FLOW, number=number, since_at_us=T0_US) for number in numbers)
    site.switch.registered = Flows(total=len(flows), flows=flows)


def words(text: str) -> str:
    """What a page says, without its markup."""
    main = text.partition("<main")[2] or text
    return " ".join(re.sub(r"<[^>]*>", " ", main).split())


def test_a_vendor_that_is_registered_with_and_healthy_is_shown_so(admin: Site) -> None:
    runs(admin)
    for path in ("/routes", "/live/routes", "/routes/1", "/live/routes/1"):
        said = words(admin.get(path).text)
        assert "registered until 1970-01-01 01:00:00" in said, path
        assert "healthy it answered 200" in said, path
        assert "2 / 30" in said, path
        assert "60 %" in said, path
        assert BANNER not in said, path
    assert "4711 at sip.example.com" in words(admin.get("/routes/1").text)


def test_a_vendor_that_refuses_us_and_is_silent_is_shown_with_what_comes_next(admin: Site) -> None:
    runs(admin, REFUSED)
    for path in ("/routes", "/routes/1"):
        said = words(admin.get(path).text)
        assert "registration refused it answered 403; tried again at 1970-01-01 00:01:10" in said, path
        assert "down since 1970-01-01 00:00:05" in said, path
        assert "healthy" not in said, path
    assert "Failed in a row 2" in words(admin.get("/routes/1").text)
    assert "Unanswered in a row 3" in words(admin.get("/routes/1").text)


def test_a_vendor_that_there_is_no_way_to_looks_not_well(admin: Site) -> None:
    runs(admin, None)
    said = words(admin.get("/routes").text)
    assert said.count("no way to it") == 2
    assert "healthy" not in said


def test_without_a_switch_every_page_says_so_and_no_state_looks_well(admin: Site) -> None:
    pages = ("/routes", "/routes/1", "/gateways", "/gateways/branch", "/phones", "/phones/1001")
    for path in pages:
        text = admin.get(path).text
        assert BANNER in text, path
        assert f">{NOT_RUNNING}</span>" in text, path
        assert ">not registered</span>" not in text, path
        assert ">healthy</span>" not in text, path


def test_gateways_and_phones_that_registered_say_from_where_and_since_when(admin: Site) -> None:
    runs(admin, REGISTERED, "branch", "1001")
    for path in ("/gateways", "/live/gateways", "/gateways/branch", "/live/gateways/branch"):
        said = words(admin.get(path).text)
        assert "registered from 192.0.2.7:5062" in said, path
        assert BANNER not in said, path
    text = admin.get("/live/phones").text
    assert "192.0.2.7:5062" in text
    assert text.count("data-ago") == 1
    assert "Since" in words(admin.get("/phones/1001").text)
    runs(admin)
    assert "not registered" in words(admin.get("/gateways").text)
    assert "not registered" in words(admin.get("/phones").text)


def test_a_phone_at_two_places_shows_the_newest_and_how_many_more(admin: Site) -> None:
    runs(admin)
    old, new = replace(FLOW, since_at_us=T0_US), replace(FLOW, source="192.0.2.8:5060", since_at_us=T0_US + 5)
    admin.switch.registered = Flows(total=2, flows=(old, new))
    said = words(admin.get("/phones").text)
    assert "192.0.2.8:5060 UDP, and 1 more" in said
    assert "192.0.2.7" not in said
    assert "192.0.2.7:5062" in words(admin.get("/phones/1001").text)


@pytest.mark.parametrize("why", [*vendors.WHY, "it answered 403"])
def test_why_a_registration_failed_is_said_in_the_persons_language(admin: Site, why: str) -> None:
    assert REFUSED.registration is not None
    runs(admin, replace(REFUSED, registration=replace(REFUSED.registration, why=why)))
    admin.client.cookies.set("language", "es")
    told = "respondió 403" if why == "it answered 403" else translator("es")(why)
    assert told != why
    text = admin.get("/routes", **{"accept-language": "es"}).text
    assert told in text
