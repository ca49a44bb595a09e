# SPDX-License-Identifier: Apache-2.0
"""Routing on pages: vendors, groups, what gateways may do with calls, and why a call goes where it does."""

import re
from decimal import Decimal

import pytest

from kit.site import PASSWORD, Site
from ringfence.portal.pages import call_forms
from ringfence.settings.call_fields import GATEWAY_FIELDS, ROUTE_FIELDS
from ringfence.settings.calls_model import (
    GatewayCalls,
    GatewayGroup,
    GroupRule,
    NumberRules,
    PrefixMode,
    RouteCalls,
    RoutingGatewayDraft,
)
from ringfence.settings.model import GatewayDraft, Role


@pytest.fixture
def admin(site: Site) -> Site:
    site.log_in()
    return site


def inputs_of(text: str, action: str) -> dict[str, str]:
    """What a form of the page would send, unticked boxes left out."""
    form = re.search(rf'<form method="post" action="{re.escape(action)}".*?</form>', text, re.S)
    assert form is not None, action
    sent = dict(re.findall(r'<textarea name="(\w+)"[^>]*>([^<]*)</textarea>', form[0]))
    sent |= dict(re.findall(r'<input name="(\w+)"[^>]* value="([^"]*)"', form[0]))
    sent |= dict.fromkeys(re.findall(r'<input type="checkbox" name="(\w+)" checked>', form[0]), "on")
    for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', form[0], re.S):
        chosen = re.search(r'<option value="([^"]*)" selected>', options)
        sent[name] = chosen[1] if chosen else ""
    return sent


@pytest.mark.parametrize(
    ("fields", "sections"),
    [(GATEWAY_FIELDS, call_forms.GATEWAY_SECTIONS), (ROUTE_FIELDS, call_forms.ROUTE_SECTIONS)],
)
def test_every_field_stands_in_one_section(fields: tuple[object, ...], sections: dict[str, object]) -> None:
    shown = [name for members in sections.values() for name in members]  # type: ignore[attr-defined]
    assert sorted(shown) == sorted(field.name for field in fields)  # type: ignore[attr-defined]


def test_a_vendor_is_added_changed_and_removed(admin: Site) -> None:
    assert "No routing gateway yet" in admin.get("/routes").text
    page = admin.post("/routes/add", name="vendor", prefixes="44 353")
    assert (page.status, 'value="vendor"' in page.text) == (400, True)
    page = admin.post("/routes/add", name="vendor", address="192.0.2.9:5080", prefixes="44 353", priority="2")
    assert (page.path, "Calls may go to vendor now." in page.text) == ("/routes/1", True)
    route = admin.settings.routing_gateways.get("vendor")
    assert (route.address, route.calls.prefixes, route.calls.priority) == ("192.0.2.9:5080", ("44", "353"), 2)
    changed = {
        "name": "lisbon",
        "address": "sip.example.com",
        "register_as": "us",
        "secret": "s3cret",
        "enabled": "on",
    }
    assert "lisbon is changed." in admin.post("/routes/1/edit", **changed).text
    route = admin.settings.routing_gateways.get("lisbon")
    assert route.registration is not None
    assert (route.address, route.registration.user, route.enabled) == ("sip.example.com", "us", True)
    assert admin.switch.taken[-1] == admin.settings.version()
    assert "s3cret" not in "".join(admin.get(path).text for path in ("/routes", "/routes/1", "/audit"))
    admin.post("/routes/1/edit", name="lisbon", address="sip.example.com")
    route = admin.settings.routing_gateways.get("lisbon")
    assert (route.registration, route.enabled) == (None, False)
    assert "lisbon gets no calls any longer." in admin.post("/routes/1/remove").text
    assert admin.get("/routes/1").status == 404


def test_what_a_vendor_may_be_sent_is_kept_as_the_form_says_it(admin: Site) -> None:
    admin.settings.groups.add(GatewayGroup(name="europe"), actor="t")
    calls = RouteCalls(
        prefixes=("44", "353"),
        prefix_mode=PrefixMode.CONTINUE,
        group="europe",
        windows=("mon-fri/08:00-18:00", "sat/10:00-12:00"),
        cost_per_minute=Decimal("0.0125"),
        callee=NumberRules(dial=("44:0044",)),
        session_timer=False,
    )
    draft = RoutingGatewayDraft(name="vendor", address="192.0.2.9", calls=calls)
    made = admin.settings.routing_gateways.add(draft, actor="t").after
    assert made is not None
    form = inputs_of(admin.get("/routes/1").text, "/routes/1/calls")
    before = admin.settings.version()
    admin.post("/routes/1/calls", **form)
    assert (admin.settings.routing_gateways.get("vendor"), admin.settings.version()) == (made, before)
    admin.post("/routes/1/calls", **form | {"lines": "30", "locked": "on", "group": "", "prefixes": "1"})
    after = admin.settings.routing_gateways.get("vendor").calls
    assert (after.lines, after.locked, after.group, after.prefixes) == (30, True, None, ("1",))
    assert (after.windows, after.session_timer) == (calls.windows, False)
    text = admin.get("/routes/1").text
    assert '<span class="hint">calls.lines</span> 0 → 30' in text
    page = admin.post("/routes/1/calls", **form | {"lines": "many", "caller_allow": "typed"})
    assert (page.status, "lines has to be a whole number" in page.text) == (400, True)
    assert 'value="many"' in page.text
    assert ">typed</textarea>" in page.text
    assert admin.post("/routes/1/calls", **form | {"prefix_mode": "stop"}).status == 400


def test_prefixes_come_from_a_file_and_a_long_list_is_not_typed(admin: Site) -> None:
    draft = RoutingGatewayDraft(name="vendor", address="192.0.2.9")
    admin.settings.routing_gateways.add(draft, actor="t")
    form = inputs_of(admin.get("/routes/1").text, "/routes/1/calls")
    many = "\n".join(str(number) for number in range(10_000, 13_000))
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', admin.get("/routes/1").text)
    assert token is not None
    answer = admin.client.post(
        "/routes/1/calls",
        data=form | {"csrf": token[1]},
        files={"prefixes_file": ("prefixes.txt", many.encode())},
    )
    assert answer.status_code == 200
    assert len(admin.settings.routing_gateways.get("vendor").calls.prefixes) == 3000
    text = admin.get("/routes/1").text
    assert "3,000 are set: too many to be typed here." in text
    admin.post("/routes/1/calls", **inputs_of(text, "/routes/1/calls") | {"lines": "7"})
    calls = admin.settings.routing_gateways.get("vendor").calls
    assert (len(calls.prefixes), calls.lines) == (3000, 7)
    assert "and 2,994 more" in admin.get("/routes").text


def test_a_group_is_made_named_and_removed_when_nobody_names_it(admin: Site) -> None:
    assert "The group europe is made." in admin.post("/groups/add", name="europe", remark="cheap").text
    assert admin.post("/groups/add", name="no blank").status == 400
    admin.post("/groups/set", name="europe", remark="dear")
    assert admin.settings.groups.get("europe").remark == "dear"
    calls = RouteCalls(group="europe")
    draft = RoutingGatewayDraft(name="vendor", address="192.0.2.9", calls=calls)
    admin.settings.routing_gateways.add(draft, actor="t")
    text = admin.get("/groups").text
    assert "It can be removed when nobody names it any more." in text
    page = admin.post("/groups/remove", name="europe")
    assert (page.status, "is named by route vendor" in page.text) == (400, True)
    admin.settings.routing_gateways.remove("vendor", actor="t")
    assert "The group europe is gone." in admin.post("/groups/remove", name="europe").text


def test_what_a_customer_may_do_is_kept_as_the_form_says_it(admin: Site) -> None:
    for group in ("europe", "asia"):
        admin.settings.groups.add(GatewayGroup(name=group), actor="t")
    calls = GatewayCalls(
        lines=5, group_rule=GroupRule.DENY, groups=("europe",), failure_codes=("503:486",), rel100=False
    )
    draft = GatewayDraft(name="customer", addresses=("192.0.2.1",), calls=calls)
    made = admin.settings.gateways.add(draft, actor="t").after
    text = admin.get("/gateways/customer").text
    assert 'name="groups" value="europe" checked' in text
    form = inputs_of(text, "/gateways/customer/calls")
    admin.post("/gateways/customer/calls", **form | {"groups": "europe"})
    assert admin.settings.gateways.get("customer") == made
    admin.post("/gateways/customer/calls", **form | {"groups": "asia", "window": "monday"})
    assert admin.settings.gateways.get("customer") == made
    admin.post("/gateways/customer/calls", **form | {"groups": "asia", "caller_from": "pai"})
    after = admin.settings.gateways.get("customer").calls
    assert (after.groups, after.caller_from.value, after.lines) == (("asia",), "pai", 5)


def test_a_customer_that_registers_is_added_and_changed(admin: Site) -> None:
    assert admin.post("/gateways/add", name="branch", username="branch").status == 400
    admin.post("/gateways/add", name="branch", username="branch", password=PASSWORD)
    assert admin.settings.gateways.get("branch").username == "branch"
    assert "registers as branch" in admin.get("/gateways").text
    admin.settings.routing_gateways.add(RoutingGatewayDraft(name="back", registered_as="branch"), actor="t")
    page = admin.post("/gateways/branch/remove")
    assert (page.status, 'role="alert"' in page.text) == (400, True)
    assert "where branch registers" in admin.get("/routes").text
    admin.settings.routing_gateways.remove("back", actor="t")
    page = admin.post("/gateways/branch/edit", name="branch", addresses="192.0.2.7", username="")
    assert "branch is changed." in page.text
    assert admin.settings.gateways.get("branch").username is None


def test_those_who_may_only_look_see_what_is_set_and_no_form(site: Site) -> None:
    draft = RoutingGatewayDraft(name="ven<dor", address="192.0.2.9", calls=RouteCalls(lines=30))
    site.settings.routing_gateways.add(draft, actor="t")
    site.settings.gateways.add(GatewayDraft(name="customer", addresses=("192.0.2.1",)), actor="t")
    site.settings.groups.add(GatewayGroup(name="europe"), actor="t")
    site.log_in(Role.ANALYST)
    for path in ("/routes", "/routes/1", "/groups", "/gateways/customer"):
        text = site.get(path).text
        assert 'method="post"' not in text.split("<main", 1)[1]
        assert "ven<dor" not in text
    assert "<dd>30</dd>" in site.get("/routes/1").text


def test_a_call_is_explained_in_the_language_of_the_person(admin: Site) -> None:
    customer = GatewayCalls(callee=NumberRules(dial=("00:",)))
    admin.settings.gateways.add(
        GatewayDraft(name="customer", addresses=("192.0.2.1",), calls=customer), actor="t"
    )
    for name, calls in (
        ("vendor", RouteCalls(prefixes=("44",), prefix_mode=PrefixMode.CONTINUE)),
        ("spare", RouteCalls(windows=("sat/10:00-12:00",))),
    ):
        admin.settings.routing_gateways.add(
            RoutingGatewayDraft(name=name, address="192.0.2.9", calls=calls), actor="t"
        )
    assert "Nothing is sent." in admin.get("/route-explain").text
    asked = "/route-explain?from=100&to=0044207&via=customer&at=2026-11-23T09:00"
    text = admin.get(asked).text
    assert "The call goes to vendor." in text
    assert "dial rule 00: makes callee 0044207 44207" in text
    assert "Routed and billed as 100 to 44207." in text
    assert "it is outside sat/10:00-12:00" in text
    assert "/api/v1/route-explain?from=100" in text
    admin.client.cookies.set("ringfence_language", "es")
    text = admin.get(asked).text
    assert "La llamada va a vendor." in text
    assert "la regla de marcación 00: convierte llamado 0044207 en 44207" in text
    admin.client.cookies.set("ringfence_language", "en")
    refused = admin.get("/route-explain?from=100&to=%3Cb%3E&via=customer").text
    assert "The call is refused: " in refused
    assert "(InvalidNumber, SIP 484, Q.850 28)" in refused
    page = admin.get("/route-explain?from=1&to=2&via=custmer")
    assert (page.status, "did you mean customer?" in page.text) == (400, True)
    assert admin.get("/route-explain?from=1&to=2&via=customer&at=soon").status == 400
