# SPDX-License-Identifier: Apache-2.0
"""Routing by HTTP: vendors, groups, what customers may do with calls, and why a call goes where it does."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kit.switch import LOAD, REFUSED
from ringfence.control.messages import CallCounts
from ringfence.settings.calls_model import PrefixMode
from ringfence.settings.model import PhoneDraft

from .conftest import Site
from .test_alarms import call, settings_text

LOAD_OF_VENDOR = replace(LOAD, id=1, name="vendor")
VENDOR = {"name": "vendor", "address": "192.0.2.9:5080"}


def add(site: Site, path: str, body: Any) -> Any:
    made = call(site, "POST", path, body, status=201)
    assert made["changed"]
    return made["after"]


def test_a_vendor_lives_and_its_secret_is_told_to_nobody(site: Site, tmp_path: Path) -> None:
    add(site, "groups", {"name": "europe"})
    calls = {
        "prefixes": ["44", "353"],
        "prefix_mode": "continue",
        "cost_per_minute": "0.0125",
        "100rel": False,
    }
    sent = VENDOR | {
        "calls": calls | {"group": "europe", "window": ["mon-fri/08:00-18:00"]},
        "registration": {"user": "us", "expires_s": 600},
        "secret": "hunter2hunter2",
    }
    route = add(site, "routes", sent)
    assert {name: route["calls"][name] for name in calls} == calls
    assert route["registration"] == {"user": "us", "expires_s": 600}
    assert site.settings.routing_gateways.get("vendor").calls.prefix_mode is PrefixMode.CONTINUE
    address = f"routes/{route['id']}"
    assert call(site, "GET", address, role="viewer") == route
    assert call(site, "GET", "routes", role="viewer") == {"routes": [route], "next": None}
    changed = call(site, "PATCH", address, {"calls": {"lines": 30, "group": ""}, "unregister": True})
    assert (changed["before"], changed["in_force"]) == (route, True)
    after = changed["after"]
    assert (after["calls"]["lines"], after["calls"]["group"], after["registration"]) == (30, None, None)
    assert after["calls"]["prefixes"] == route["calls"]["prefixes"]
    assert call(site, "PATCH", address, {"calls": {}})["changed"] is False
    assert "hunter2" not in f"{route} {changed} {call(site, 'GET', 'audit')} {settings_text(tmp_path)}"
    call(site, "DELETE", address)
    assert call(site, "GET", address, status=404)["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    "changed",
    [
        {"address": None},
        {"registered_as": "nobody", "address": None},
        {"calls": {"prefixes": ["no prefix"]}},
        {"calls": {"lines": -1}},
        {"calls": {"lines": 2_000_000_000}},
        {"calls": {"cost_per_minute": "1e5"}},
        {"calls": {"group": "nowhere"}},
        {"calls": {"prefix_mode": "stop"}},
        {"calls": {"line": 1}},
        {"registration": {"user": "us"}},
    ],
    ids=str,
)
def test_a_vendor_that_cannot_be_is_refused(site: Site, changed: dict[str, Any]) -> None:
    answer = site.client.post("routes", json=VENDOR | changed, headers=site.bearing())
    assert answer.status_code in {404, 422}, answer.text
    assert answer.json()["error"]["message"]
    assert site.settings.routing_gateways.all() == ()


def test_a_group_that_somebody_names_stays(site: Site) -> None:
    add(site, "groups", {"name": "europe", "remark": "cheap"})
    add(site, "routes", VENDOR | {"calls": {"group": "europe"}})
    assert call(site, "POST", "groups", {"name": "europe"}, status=409)["error"]["code"] == "duplicate"
    assert call(site, "GET", "groups/europe")["used_by"] == ["route vendor"]
    assert call(site, "PATCH", "groups/europe", {"remark": "dear"})["after"]["remark"] == "dear"
    assert call(site, "DELETE", "groups/europe", status=409)["error"]["code"] == "in_use"
    call(site, "PATCH", "routes/1", {"calls": {"group": ""}})
    call(site, "DELETE", "groups/europe")
    assert call(site, "GET", "groups") == {"groups": [], "next": None}
    call(site, "GET", "groups/europe", status=404)


def test_a_customer_is_told_what_it_may_do_with_calls_and_may_register(site: Site, tmp_path: Path) -> None:
    add(site, "groups", {"name": "europe"})
    sent = {"name": "branch", "username": "branch", "password": "hunter2hunter2"}
    made = add(site, "gateways", sent | {"calls": {"lines": 5, "groups": ["europe"], "caller_from": "pai"}})
    assert (made["username"], made["addresses"]) == ("branch", [])
    calls = made["calls"]
    assert (calls["lines"], calls["groups"], calls["caller_from"]) == (5, ["europe"], "pai")
    address = f"gateways/{made['id']}"
    changed = call(site, "PATCH", address, {"calls": {"locked": True}})["after"]
    assert changed["calls"] == made["calls"] | {"locked": True}
    assert "hunter2" not in f"{made} {call(site, 'GET', 'audit')} {settings_text(tmp_path)}"
    for wrong in ({"name": "x"}, {"name": "x", "username": "x"}):
        call(site, "POST", "gateways", wrong, status=422)
    call(site, "PATCH", address, {"calls": {"window": ["monday"]}}, status=422)


def test_a_call_is_explained_rule_by_rule(site: Site) -> None:
    add(site, "gateways", {"name": "customer", "addresses": ["192.0.2.1"], "calls": {"callee_rule": ["00:"]}})
    add(site, "routes", VENDOR | {"calls": {"prefixes": ["44"]}})
    add(site, "routes", {"name": "locked", "address": "192.0.2.10", "calls": {"locked": True}})
    asked = "route-explain?from=100&to=0044207&via=customer"
    told = call(site, "GET", f"{asked}&at=2026-11-22T08:00:00Z", role="viewer")
    assert (told["callee_access"], told["callee"], told["live"]) == ("0044207", "44207", False)
    assert told["at"] == "2026-11-22T08:00:00.000000Z"
    assert told["steps"][-1] == {
        "rule": "callee_dial_rule",
        "outcome": "changed",
        "text": "dial rule 00: makes callee 0044207 44207",
    }
    assert [(each["name"], each["taken"]) for each in told["routes"]] == [("vendor", True), ("locked", False)]
    assert told["destination"] == {"kind": "routes", "routes": ["vendor"]}
    gone = call(site, "GET", "route-explain?from=100&to=39&via=customer")["destination"]
    assert gone == {"kind": "refused", "reason": "NoAvailableRouter", "sip": 503, "q850": 34}
    site.settings.phones.add(PhoneDraft(number="1001", password="x" * 12), actor="t")
    at_home = call(site, "GET", "route-explain?from=1&to=1001&via=1001")["destination"]
    assert at_home == {"kind": "phone", "phone": "1001"}
    unknown = call(site, "GET", "route-explain?from=1&to=2&via=custmer", status=404)["error"]
    assert unknown["hint"] == "did you mean customer?"
    assert call(site, "GET", f"{asked}&at=soon", status=422)["error"]["field"] == "at"


def test_how_we_stand_with_vendors_is_what_the_switch_says(site: Site) -> None:
    registration = {"user": "4711", "expires_s": 3600}
    wanted = VENDOR | {"registration": registration, "secret": "hunter2hunter2", "calls": {"options": True}}
    add(site, "routes", wanted)
    add(site, "routes", {"name": "plain", "address": "192.0.2.10"})
    counts = CallCounts(
        run=1,
        at_us=0,
        started=1,
        answered=1,
        live=0,
        talking=0,
        failed={},
        gateways=(),
        routes=(LOAD_OF_VENDOR,),
    )
    site.switch.counts = counts
    told = call(site, "GET", "routes/states", role="viewer")
    first, second = told["states"]
    assert first == call(site, "GET", "routes/1/state", role="viewer")
    assert (first["registration"], first["health"], told["next"]) == ("registered", "healthy", None)
    assert first["our_registration"]["until"] == "1970-01-01T01:00:00.000000Z"
    assert (first["options"]["last_status"], first["load"]["lines"]) == (200, 2)
    assert (second["registration"], second["health"], second["load"]["lines"]) == ("none", "none", 0)
    assert (second["our_registration"], second["options"]) == (None, None)
    site.switch.known_vendors = (REFUSED,)
    told = call(site, "GET", "routes/1/state")
    assert (told["registration"], told["our_registration"]["status"], told["our_registration"]["until"]) == (
        "refused",
        403,
        None,
    )
    assert (told["health"], told["options"]["last_answer"]) == ("down", None)
    call(site, "GET", "routes/7/state", status=404)
    site.switch.runs = False
    for path in ("routes/states", "routes/1/state"):
        assert call(site, "GET", path, status=503)["error"]["code"] == "no_switch"
