# SPDX-License-Identifier: Apache-2.0
"""Live calls by HTTP: listed, counted, hung up by those who may."""

from kit.switch import CALL
from ringfence.control.messages import CallCounts, GatewayLoad

from .conftest import Site
from .test_alarms import call


def test_live_calls_are_listed_and_shown(site: Site) -> None:
    listed = call(site, "GET", "calls", role="viewer")
    assert (listed["total"], [each["id"] for each in listed["calls"]]) == (1, [CALL.id])
    shown = call(site, "GET", f"calls/{CALL.id}", role="viewer")
    assert shown == listed["calls"][0]
    assert (shown["state"], shown["gateway"], shown["phone"]) == ("up", "customer", None)
    assert shown["answered"] == "1970-01-01T00:00:04.000000Z"
    call(site, "GET", "calls/7", status=404)
    site.switch.runs = False
    assert call(site, "GET", "calls", status=503)["error"]["code"] == "no_switch"


def test_a_call_is_hung_up_by_those_who_may_and_the_audit_knows(site: Site) -> None:
    call(site, "POST", f"calls/{CALL.id}/hang-up", role="analyst", status=403)
    assert call(site, "POST", f"calls/{CALL.id}/hang-up") == {"id": CALL.id}
    assert site.switch.hung_up == [CALL.id]
    [row] = site.settings.audit(kind="call")
    assert (row.actor, row.action) == ("token:a-admin", "hang_up")
    assert call(site, "POST", "calls/7/hang-up", status=404)["error"]["code"] == "not_found"


def test_gateways_at_work_are_counted(site: Site) -> None:
    call(site, "GET", "calls/counts", status=503)
    names = (
        "lines",
        "most_lines",
        "calls_this_second",
        "calls_today",
        "answered_today",
        "asr_percent",
        "acd_s",
    )
    load = GatewayLoad(id=1, name="customer", **dict.fromkeys(names, 4))
    site.switch.counts = CallCounts(
        run=1,
        at_us=0,
        started=9,
        answered=5,
        live=2,
        talking=1,
        failed={"486": 3},
        gateways=(load,),
        routes=(),
    )
    told = call(site, "GET", "calls/counts")
    assert told["gateways"] == [{"id": 1, "name": "customer", **dict.fromkeys(names, 4)}]
    assert told["failed"] == {"486": 3}
