# SPDX-License-Identifier: Apache-2.0
"""What people change on pages: it is stored, audited, taken by the switch, told in a sentence, and undone."""

import re
from datetime import UTC, datetime

import pytest

from kit.journal import T0_US
from kit.site import PASSWORD, Site
from ringfence.clock import iso_utc
from ringfence.control.messages import Flow, Flows
from ringfence.defence.delivery import Outcome
from ringfence.defence.webhooks import Posted, Retry
from ringfence.errors import ControlError
from ringfence.settings.alarms_model import ILLEGAL_CALL, AlarmDraft, HookEvent, Level
from ringfence.settings.model import Color, GatewayDraft, ListName, Role
from ringfence.text import sentence


@pytest.fixture
def admin(site: Site) -> Site:
    site.log_in()
    return site


def test_a_source_is_blocked_unblocked_and_blocked_again(admin: Site) -> None:
    page = admin.post("/firewall/add", value="203.0.113.9", reason="rude", **{"for": "1h"})
    assert "203.0.113.9 is blocked." in page.text
    [block] = admin.settings.lists.in_force()
    assert (block.value, block.color, block.reason, block.actor) == (
        "203.0.113.9",
        Color.BLACK,
        "rude",
        "user:admin",
    )
    assert block.expires_at_us == admin.clock.utc_us() + 3_600_000_000
    assert admin.switch.taken == [admin.settings.version()]
    assert "is off the list" in admin.post("/firewall/remove", id=str(block.id)).text
    assert admin.settings.lists.in_force() == ()
    assert "203.0.113.9" in admin.get("/firewall?show=past").text
    assert "is back on the list" in admin.post("/firewall/again", id=str(block.id)).text
    assert [each.value for each in admin.settings.lists.in_force()] == ["203.0.113.9"]


def test_what_a_list_cannot_hold_is_said_and_what_was_typed_stays(admin: Site) -> None:
    page = admin.post("/firewall/add", value="300.1.2.3", reason="typed")
    assert page.status == 400
    assert 'value="300.1.2.3"' in page.text
    assert 'role="alert"' in page.text
    assert admin.post("/firewall/add", value="1.2.3.4", **{"for": "soon"}).status == 400
    assert admin.post("/firewall/add", value="1.2.3.4", list="moon").status == 400
    assert admin.settings.lists.in_force() == ()


def test_an_authorised_gateway_is_never_blocked_and_a_new_one_takes_blocks_away(admin: Site) -> None:
    admin.post("/firewall/add", value="203.0.113.0/24")
    page = admin.post("/gateways/add", name="carrier", addresses="203.0.113.9, 198.51.100.0/28")
    assert "carrier may call now." in page.text
    assert "Taken off the black list because it covered it: 203.0.113.0/24." in page.text
    assert admin.settings.lists.in_force() == ()
    assert admin.post("/firewall/add", value="203.0.113.9").status == 400


def test_each_address_of_a_gateway_leads_to_its_records(admin: Site) -> None:
    admin.post(
        "/gateways/add", name="carrier", addresses="203.0.113.9:5070 [2001:db8::9]:5070 198.51.100.0/28"
    )
    links = re.findall(r'<p><a href="(/cdrs\?source=[^"]+)"', admin.get("/gateways/carrier").text)
    assert len(links) == 3
    for link in links:
        assert admin.get(link).status == 200, link


def test_hits_of_an_entry_count_what_was_refused_since(admin: Site) -> None:
    admin.post("/firewall/add", value="198.51.100.1")
    [block] = admin.settings.lists.in_force()
    assert admin.get(f"/firewall/hits?id={block.id}").text == "0"
    assert admin.get("/firewall/hits?id=99").status == 404
    assert admin.get("/firewall/hits?id=x").status == 400


def test_lists_go_out_and_come_back_as_a_file(admin: Site) -> None:
    admin.post("/firewall/add", value="203.0.113.9", reason="=cmd()")
    admin.post("/firewall/add", value="+44161", list="callee", color="white")
    text = admin.get("/firewall/export").text
    assert "'=cmd()" in text
    for block in admin.settings.lists.in_force():
        admin.post("/firewall/remove", id=str(block.id))
    form = {"csrf": form_token_of(admin), "list": "source", "color": "black"}
    answer = admin.client.post("/firewall/import", data=form, files={"file": ("lists.csv", text.encode())})
    assert "2 values added, 0 were on the list already." in answer.text
    assert {
        (block.list, block.color, block.value, block.reason) for block in admin.settings.lists.in_force()
    } == {
        (ListName.SOURCE, Color.BLACK, "203.0.113.9", "=cmd()"),
        (ListName.CALLEE, Color.WHITE, "+44161", ""),
    }


def test_an_import_with_a_wrong_line_adds_nothing_and_names_the_line(admin: Site) -> None:
    form = {"csrf": form_token_of(admin), "list": "source", "color": "black"}
    lines = b"203.0.113.9 # rude\n\nnonsense\n"
    answer = admin.client.post("/firewall/import", data=form, files={"file": ("list.txt", lines)})
    assert answer.status_code == 400
    assert "line 3: " in answer.text
    assert admin.settings.lists.in_force() == ()


def form_token_of(site: Site) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', site.get("/firewall").text)
    assert found is not None
    return found[1]


def test_a_gateway_is_changed_renamed_switched_off_and_removed(admin: Site) -> None:
    admin.settings.gateways.add(GatewayDraft(name="a b/c", addresses=("192.0.2.1",)), actor="test")
    page = admin.get("/gateways")
    assert "/gateways/a%20b/c" in page.text
    assert "a b/c" in admin.get("/gateways/a%20b/c").text
    assert admin.get("/live/gateways/a%20b/c").status == 200
    assert admin.post("/gateways/a%20b/c/edit", name="a/c", addresses="192.0.2.1").path == "/gateways/a/c"
    admin.settings.gateways.add(GatewayDraft(name="carrier", addresses=("192.0.2.2",)), actor="test")
    assert admin.post("/gateways/carrier/edit", name="carrier", addresses="x").status == 400
    assert (
        admin.post("/gateways/carrier/edit", name="carrier", addresses="192.0.2.2", burst="many").status
        == 400
    )
    page = admin.post(
        "/gateways/carrier/edit", name="vendor", addresses="192.0.2.3\n192.0.2.4:5070", burst="9"
    )
    assert page.path == "/gateways/vendor"
    vendor = admin.settings.gateways.get("vendor")
    assert (vendor.addresses, vendor.burst, vendor.enabled) == (("192.0.2.3", "192.0.2.4:5070"), 9, False)
    assert "vendor may not call any longer." in admin.post("/gateways/vendor/remove").text
    assert admin.get("/gateways/vendor").status == 404


def test_this_is_my_customer_gives_an_address_to_a_gateway(admin: Site) -> None:
    admin.settings.gateways.add(GatewayDraft(name="carrier", addresses=("192.0.2.2",)), actor="test")
    page = admin.post("/gateways/address", name="carrier", address="198.51.100.1")
    assert "198.51.100.1 belongs to carrier now." in page.text
    assert admin.settings.gateways.get("carrier").addresses == ("192.0.2.2", "198.51.100.1")


def test_a_phone_is_added_switched_off_and_removed_and_its_registration_shown(admin: Site) -> None:
    assert admin.post("/phones/add", number="1001", password="short").status == 400
    assert "1001 may register now." in admin.post("/phones/add", number="1001", password=PASSWORD).text
    flow = Flow(
        number="1001",
        transport="UDP",
        source="203.0.113.5:5060",
        local="192.0.2.1:5060",
        contact="<sip:1001@<script>>",
        user_agent="\x1b[2Jphone",
        since_at_us=admin.clock.utc_us() - 60_000_000,
        expires_at_us=admin.clock.utc_us() + 60_000_000,
    )
    admin.switch.registered = Flows(total=1, flows=(flow,))
    for path in ("/phones", "/phones/1001"):
        text = admin.get(path).text
        assert "registered" in text
        assert "203.0.113.5:5060" in text
        assert "<script>" not in text
        assert "\\x1b[2Jphone" in text
    admin.post("/phones/1001/edit")
    assert not admin.settings.phones.get("1001").enabled
    admin.post("/phones/1001/remove")
    assert admin.get("/phones/1001").status == 404


def test_a_parameter_out_of_range_is_refused_and_one_in_range_has_a_history(admin: Site) -> None:
    name = "SS_AUTHENTICATION_MAX_RETRY"
    page = admin.post(f"/parameters/{name}/set", value="1000")
    assert page.status == 400
    assert "0 to 999" in page.text
    page = admin.post(f"/parameters/{name}/set", value="9")
    assert f"{name} is 9 now." in page.text
    assert "6 → 9" in page.text
    assert "changed</span>" in page.text
    assert f"{name} is back at its default." in admin.post(f"/parameters/{name}/reset").text
    assert admin.get("/parameters/NO_SUCH").status in (400, 404)


def test_parameters_are_found_by_name_meaning_and_change(admin: Site) -> None:
    assert "SS_AUTHENTICATION_MAX_RETRY" in admin.get("/parameters?q=max_retry").text
    assert "SS_AUTHENTICATION_MAX_RETRY" not in admin.get("/parameters?q=illegal").text
    assert "No parameter fits" in admin.get("/parameters?changed=1").text


def test_users_come_and_go_but_one_admin_stays(admin: Site) -> None:
    for user in ("viewer", "analyst"):
        admin.post("/users/remove", name=user)
    assert admin.post("/users/add", name="bob", role="analyst", password="short").status == 400
    assert (
        "bob may log in now." in admin.post("/users/add", name="bob", role="analyst", password=PASSWORD).text
    )
    assert admin.post("/users/set", name="admin", role="viewer").status == 400
    assert admin.post("/users/remove", name="admin").status == 400
    assert "bob is changed." in admin.post("/users/set", name="bob", role="admin").text
    assert admin.settings.users.get("bob").role is Role.ADMIN
    assert admin.post("/users/set", name="bob", role="king").status == 400


def test_a_new_password_by_an_admin_ends_the_users_sessions(admin: Site) -> None:
    cookie = admin.settings.sessions.open(
        admin.settings.users.get("viewer"), address="127.0.0.1", user_agent="x"
    )
    admin.post("/users/set", name="viewer", role="viewer", password="another long password")
    assert admin.settings.sessions.find(cookie) is None


def test_a_removed_user_is_out_at_once(admin: Site) -> None:
    cookie = admin.settings.sessions.open(
        admin.settings.users.get("viewer"), address="127.0.0.1", user_agent="x"
    )
    admin.post("/users/remove", name="viewer")
    assert admin.settings.sessions.find(cookie) is None


def test_a_token_is_shown_once_and_opens_the_api_until_it_is_removed(admin: Site) -> None:
    page = admin.post("/tokens/add", name="probe", role="viewer", **{"for": "24h"})
    found = re.search(r'id="secret">([^<]+)<', page.text)
    assert found is not None
    assert found[1] not in admin.get("/tokens").text
    headers = {"Authorization": f"Bearer {found[1]}", "Cookie": ""}
    admin.client.cookies.clear()
    assert admin.client.get("/api/v1/cdrs", headers=headers).status_code == 200
    admin.settings.tokens.remove("probe", actor="test")
    assert admin.client.get("/api/v1/cdrs", headers=headers).status_code == 401


def test_somebody_who_is_logged_in_may_open_addresses_of_the_api(admin: Site) -> None:
    assert admin.client.get("/api/v1/cdrs?kind=illegal").status_code == 200
    assert admin.client.post("/api/v1/lists", json={}).status_code == 401
    admin.client.cookies.clear()
    assert admin.client.get("/api/v1/cdrs").status_code == 401


def test_an_alarm_is_acknowledged_with_a_note_by_an_analyst(site: Site) -> None:
    site.log_in(Role.ANALYST)
    alarm = site.settings.alarms.begin(
        AlarmDraft(
            node="n<1>",
            code=ILLEGAL_CALL,
            level=Level.MINOR,
            subject="",
            value=7,
            told=(sentence("7 calls, the latest of {who}", who="<b>\u202e</b>"),),
            link="/cdrs?kind=illegal",
        )
    )
    assert alarm is not None
    assert "Alarms: 1" in site.get("/firewall").text
    text = site.get("/alarms").text
    assert "&lt;b&gt;\\u202e&lt;/b&gt;" in text
    site.post(f"/alarms/{alarm.id}/acknowledge", note="it is a drill <i>")
    assert "it is a drill &lt;i&gt;" in site.get("/alarms/open").text
    assert site.settings.alarms.get(alarm.id).acknowledged_by == "user:analyst"
    assert site.post("/alarms/99/acknowledge").status == 404


def test_what_alarms_and_mistakes_say_is_said_in_the_language_of_the_page(admin: Site) -> None:
    draft = AlarmDraft(
        node="n<1>",
        code=ILLEGAL_CALL,
        level=Level.MINOR,
        subject="",
        value=1,
        told=(
            sentence("1 call from unauthorised sources was refused within a minute."),
            sentence(
                "The latest came from {address}, called {number} and named itself {tool}.",
                address="203.0.113.9",
                number=sentence("no number"),
                tool="nothing",
            ),
        ),
        link="",
    )
    assert admin.settings.alarms.begin(draft) is not None
    admin.client.cookies.set("ringfence_language", "es")
    for path in ("/", "/alarms", "/alarms/open"):
        text = admin.get(path).text
        assert "Se rechazó 1 llamada de orígenes no autorizados en un minuto." in text, path
        assert "vino de 203.0.113.9, llamó a ningún número y se identificó como nothing." in text, path
    page = admin.post("/firewall/add", value="300.1.2.3")
    assert "&#39;300.1.2.3&#39; no es una dirección IP ni una red" in page.text
    page = admin.post("/parameters/RF_BLOCKED_CODE/set", value="7")
    assert "RF_BLOCKED_CODE no puede " in page.text
    assert "permitido: de 400 a 699, o 0 (" in page.text
    assert "no hay ningún país &#39;XX&#39;" in admin.get("/cdrs?country=XX").text
    assert admin.get("/gateways/none").text.count("no hay ninguna pasarela &#39;none&#39;") == 1
    form = {"csrf": form_token_of(admin), "list": "source", "color": "black"}
    answer = admin.client.post("/firewall/import", data=form, files={"file": ("list.txt", b"1.2.3.4\nx y\n")})
    assert "línea 2: " in answer.text
    admin.ledger.found = None
    assert "está arrancando" in admin.get("/cdrs").text


def test_the_node_of_an_incident_is_shown_where_it_is_another(admin: Site) -> None:
    for node in ("n<1>", "n<2>"):
        draft = AlarmDraft(
            node=node,
            code=ILLEGAL_CALL,
            level=Level.MINOR,
            subject="",
            value=1,
            told=(sentence("x"),),
            link="/cdrs?kind=illegal",
        )
        assert admin.settings.alarms.begin(draft) is not None
    for path in ("/", "/alarms", "/alarms/open"):
        text = admin.get(path).text
        assert text.count("node n&lt;2&gt;") == 1, path
        assert "node n&lt;1&gt;" not in text
        assert text.count('href="/cdrs?kind=illegal"') == 1, "records of another node are not here"


def test_rules_channels_and_webhooks_are_kept_and_no_secret_is_shown_again(admin: Site) -> None:
    code = str(ILLEGAL_CALL)
    assert (
        admin.post("/alarms/rules/set", code=code, level="major", upper="50", lower="60", enabled="1").status
        == 400
    )
    page = admin.post("/alarms/rules/set", code=code, level="major", upper="50", lower="5", enabled="1")
    assert "The rule is changed." in page.text
    assert admin.settings.alarms.rule(ILLEGAL_CALL).upper == 50
    admin.post("/alarms/rules/reset", code=code)
    assert not admin.settings.alarms.rule(ILLEGAL_CALL).is_set
    secret = "hidden-word"
    page = admin.post(
        "/alarms/channels/add", name="noc", url=f"json://user:{secret}@127.0.0.1/x", level="minor"
    )
    assert "noc is told of alarms." in page.text
    [channel] = admin.settings.channels.all()
    assert "was taken" in admin.post("/alarms/channels/test", id=str(channel.id)).text
    admin.alarms.problem = "connection refused"
    assert "connection refused" in admin.post("/alarms/channels/test", id=str(channel.id)).text
    page = admin.post("/alarms/webhooks/add", name="siem", url=f"http://127.0.0.1/{secret}", events="alarm")
    shown = re.search(r'id="secret">([0-9a-f]{64})<', page.text)
    assert shown is not None
    everything = "".join(admin.get(path).text for path in ("/alarms/rules", "/audit", "/audit?kind=webhook"))
    assert secret not in everything
    assert shown[1] not in everything
    [hook] = admin.settings.webhooks.all()
    rules = admin.get("/alarms/rules").text
    assert "Remove siem?" in rules
    assert rules.index("It is told of nothing from then on") < rules.index("/alarms/webhooks/remove")
    admin.post("/alarms/webhooks/set", id=str(hook.id), events="alarm")
    assert not admin.settings.webhooks.get(hook.id).enabled
    admin.post("/alarms/webhooks/remove", id=str(hook.id))
    admin.post("/alarms/channels/remove", id=str(channel.id))
    assert (admin.settings.webhooks.all(), admin.settings.channels.all()) == ((), ())


def test_a_webhook_is_tested_and_tells_its_deliveries_and_the_next_try(admin: Site) -> None:
    admin.post("/alarms/webhooks/add", name="siem", url="http://127.0.0.1/", events="alarm")
    [hook] = admin.settings.webhooks.all()
    assert "none since the office started" in admin.get("/alarms/rules").text
    assert "The test message was taken." in admin.post("/alarms/webhooks/test", id=str(hook.id)).text
    admin.alarms.problem = "it answered 500"
    page = admin.post("/alarms/webhooks/test", id=str(hook.id))
    assert (page.status, "was not taken: it answered 500" in page.text) == (400, True)
    assert admin.post("/alarms/webhooks/test", id="99").status == 404
    now_us = admin.clock.utc_us()
    admin.alarms.deliveries[hook.id] = tuple(
        Posted(at_us=now_us - 60_000_000, outcome=Outcome(problem=problem), event=HookEvent.ALARM, id="1")
        for problem in ("it answered <b>500</b>", None)
    )
    admin.alarms.waiting[hook.id] = (
        Retry(event=HookEvent.ALARM, due_us=now_us + 5_000_000, failing_since_us=now_us - 120_000_000),
    )
    text = admin.get("/alarms/rules").text
    assert "it answered &lt;b&gt;500&lt;/b&gt;" in text
    assert (
        text.index(">failed</span>") < text.index("<summary>earlier</summary>") < text.index(">taken</span>")
    )
    due = admin.clock.utc_us() // 1_000_000 + 5
    assert f"next try at {datetime.fromtimestamp(due, UTC):%Y-%m-%d %H:%M:%S}" in text
    assert ">2 min ago</time>" in text


def test_the_audit_tells_before_and_after(admin: Site) -> None:
    admin.post("/parameters/SS_AUTHENTICATION_MAX_RETRY/set", value="9")
    text = admin.get("/audit?kind=parameter").text
    assert "<del>6</del>" in text
    assert "user:admin" in text


def test_the_audit_shows_moments_as_moments_and_leaves_out_what_is_not_there(admin: Site) -> None:
    admin.post("/firewall/add", value="203.0.113.9")
    text = admin.get("/audit?kind=block").text
    assert iso_utc(admin.clock.utc_us()) in text
    assert "removed_by" not in text
    assert "null" not in text


def test_while_no_alarm_is_over_the_page_says_so(admin: Site) -> None:
    draft = AlarmDraft(
        node="n1",
        code=ILLEGAL_CALL,
        level=Level.MINOR,
        subject="",
        value=3,
        told=(sentence("three"),),
        link="",
    )
    assert admin.settings.alarms.begin(draft) is not None
    assert "No alarm is over yet." in admin.get("/alarms").text


def test_what_the_switch_does_not_take_is_said_though_it_is_stored(admin: Site) -> None:
    def refuse(version: int) -> bool:
        raise ControlError("the switch did not answer within 5 s", hint="try again")

    admin.switch.take = refuse  # type: ignore[method-assign]
    page = admin.post("/firewall/add", value="203.0.113.9")
    assert page.status == 503
    assert "the change is stored, but the switch did not take it" in page.text
    assert len(admin.settings.lists.in_force()) == 1


def test_a_ranking_filters_the_others_and_offers_what_can_be_done(admin: Site) -> None:
    asked = f"since={iso_utc(T0_US - 1)}&source=198.51.100.0"
    assert "/illegal/sources?since=" in admin.get(f"/illegal?{asked}").text
    text = admin.get(f"/illegal/sources?{asked}").text
    assert ">Who attacks<" in admin.get(f"/illegal?{asked}&whole=1").text
    assert "198.51.100.0" in text
    assert ">198.51.100.2<" not in text
    for offer in ("Block", "White-list", "My customer"):
        assert f">{offer}</button>" in text
