# SPDX-License-Identifier: Apache-2.0
"""Alarms by HTTP: incidents, acknowledgements, rules, channels, webhooks; what is secret stays so."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kit.journal import T0_US
from ringfence.clock import iso_utc
from ringfence.defence.delivery import Outcome
from ringfence.defence.webhooks import Posted, Retry
from ringfence.ids import WebhookId
from ringfence.settings.alarms_model import CPU, ILLEGAL_CALL, Alarm, AlarmDraft, HookEvent, Level
from ringfence.text import sentence

from .conftest import Site

SECRET_URL = "json://user:hunter2hunter2@hooks.example/tokentoken"
HOOK_URL = "https://hooks.example/tokentoken?key=hunter2hunter2"


def call(site: Site, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str) -> Any:
    sent = site.bearing(headers.pop("role", "admin"))
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = site.client.request(method, path, json=body, headers=sent)
    assert answer.status_code == status, answer.text
    return answer.json()


def begin(site: Site, subject: str = "", *, code: int = ILLEGAL_CALL, level: Level = Level.MINOR) -> Alarm:
    draft = AlarmDraft(
        node="n1",
        code=code,
        level=level,
        subject=subject,
        value=3,
        told=(sentence("<b>3</b>"),),
        link="/cdrs?kind=illegal",
    )
    alarm = site.settings.alarms.begin(draft)
    assert alarm is not None
    return alarm


def settings_text(directory: Path) -> str:
    with sqlite3.connect(directory / "settings" / "settings.db") as connection:
        kept = "".join(connection.iterdump())
    connection.close()
    return kept


# Incidents


def test_open_incidents_are_listed_and_past_ones_if_asked_for(site: Site) -> None:
    over, still = begin(site, "a"), begin(site, "b", code=CPU, level=Level.MAJOR)
    site.settings.alarms.clear(over.id)
    (shown,) = call(site, "GET", "alarms", role="viewer")["alarms"]
    assert shown == {
        "id": still.id,
        "node": "n1",
        "code": CPU,
        "name": "CPU",
        "level": "major",
        "subject": "b",
        "value": 3,
        "unit": "%",
        "message": "<b>3</b>",
        "link": "/cdrs?kind=illegal",
        "opened_at": "2024-11-22T00:00:20.000000Z",
        "changed_at": "2024-11-22T00:00:20.000000Z",
        "cleared_at": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "note": None,
    }
    everything = call(site, "GET", "alarms?state=all")["alarms"]
    assert [(alarm["id"], alarm["cleared_at"] is None) for alarm in everything] == [
        (still.id, True),
        (over.id, False),
    ]
    assert call(site, "GET", f"alarms/{over.id}") == everything[1]


@pytest.mark.parametrize("state", ["open", "all"])
def test_incidents_have_pages_and_conditions(site: Site, state: str) -> None:
    ids = [begin(site, f"s{n}", code=CPU if n % 2 else ILLEGAL_CALL).id for n in range(7)]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = call(site, "GET", f"alarms?state={state}&limit=3{cursor and f'&cursor={cursor}'}")
        seen += [alarm["id"] for alarm in page["alarms"]]
        cursor = page["next"]
    assert seen == list(reversed(ids))
    of_cpu = call(site, "GET", f"alarms?state={state}&code={CPU}")["alarms"]
    assert [alarm["id"] for alarm in of_cpu] == [ids[5], ids[3], ids[1]]
    assert call(site, "GET", f"alarms?state={state}&level=critical")["alarms"] == []
    assert call(site, "GET", f"alarms?state={state}&cursor=x", status=422)["error"]["field"] == "cursor"


def test_an_analyst_acknowledges_with_a_note(site: Site) -> None:
    alarm = begin(site)
    address = f"alarms/{alarm.id}/acknowledge"
    done = call(site, "POST", address, {"note": "customer called"}, role="analyst")
    assert (done["in_force"], done["changed"], done["before"]["acknowledged_by"]) == (True, True, None)
    assert (done["after"]["acknowledged_by"], done["after"]["note"]) == (
        "token:a-analyst",
        "customer called",
    )
    assert call(site, "POST", address, {"note": "customer called"}, role="analyst")["changed"] is False
    call(site, "POST", address, {"note": "a\nb"}, role="analyst", status=422)
    call(site, "POST", address, {"note": "x"}, role="viewer", status=403)
    call(site, "POST", "alarms/999/acknowledge", {}, role="analyst", status=404)


# Rules


def test_a_rule_is_changed_and_reset(site: Site) -> None:
    rules = call(site, "GET", "alarms/rules", role="viewer")["rules"]
    assert [rule["code"] for rule in rules] == [20020, 20003, 20004, 20005, 20006, 20018]
    changed = call(site, "PATCH", "alarms/rules/20020", {"upper": 20, "level": "major"})
    assert (changed["before"]["upper"], changed["after"]["upper"], changed["after"]["level"]) == (
        1,
        20,
        "major",
    )
    assert call(site, "GET", "alarms/rules/20020") == changed["after"]
    assert (changed["after"]["is_set"], changed["after"]["shipped_upper"]) == (True, 1)
    assert call(site, "DELETE", "alarms/rules/20020")["after"] == rules[0]
    assert call(site, "GET", "alarms/rules/7", status=404)["error"]["code"] == "not_found"


@pytest.mark.parametrize("bounds", [{"upper": 101}, {"lower": 90}, {"upper": 10}])
def test_bounds_that_do_not_fit_are_refused(site: Site, bounds: dict[str, int]) -> None:
    refused = call(site, "PATCH", f"alarms/rules/{CPU}", bounds, status=422)["error"]
    assert refused["code"] == "out_of_range"
    assert not site.settings.alarms.rule(CPU).is_set


# Channels


def test_a_channel_lives_and_its_address_is_told_to_nobody(site: Site, tmp_path: Path) -> None:
    made = call(
        site,
        "POST",
        "alarms/channels",
        {"name": "desk", "url": SECRET_URL},
        status=201,
        idempotency_key="k",
    )
    again = call(
        site,
        "POST",
        "alarms/channels",
        {"name": "desk", "url": SECRET_URL},
        status=201,
        idempotency_key="k",
    )
    assert again == made
    channel = made["after"]
    assert (channel["address"], channel["enabled"], channel["least_level"]) == ("json://***", True, "general")
    address = f"alarms/channels/{channel['id']}"
    assert call(site, "GET", address, role="viewer") == channel
    changed = call(site, "PATCH", address, {"enabled": False, "least_level": "major"})
    assert (changed["after"]["enabled"], changed["after"]["least_level"]) == (False, "major")
    assert site.settings.channels.addresses()[0].url == SECRET_URL
    shown = site.client.get("alarms/channels", headers=site.bearing()).text
    assert "hunter2" not in f"{made} {shown} {call(site, 'GET', 'audit')}"
    # Once where it is sent from, and nowhere else: not in the audit, not among the answers that are kept.
    assert settings_text(tmp_path).count("hunter2hunter2") == 1
    call(site, "DELETE", address)
    assert call(site, "GET", "alarms/channels")["channels"] == []


@pytest.mark.parametrize(
    "url", ["hunter2hunter2", "no-such-thing://hunter2hunter2", "mailto://a b", "x" * 3000]
)
def test_an_address_that_cannot_be_read_is_refused_without_being_repeated(site: Site, url: str) -> None:
    answer = site.client.post("alarms/channels", json={"name": "desk", "url": url}, headers=site.bearing())
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_value")
    assert url not in answer.text


def test_a_test_message_tells_how_it_went(site: Site) -> None:
    made = call(site, "POST", "alarms/channels", {"name": "desk", "url": SECRET_URL}, status=201)
    address = f"alarms/channels/{made['after']['id']}/test"
    assert call(site, "POST", address) == {"is_delivered": True, "problem": None}
    site.alarms.problem = "connection refused"
    assert call(site, "POST", address) == {"is_delivered": False, "problem": "connection refused"}
    call(site, "POST", "alarms/channels/999/test", status=404)
    call(site, "POST", address, role="analyst", status=403)


def test_there_are_fifty_channels_at_most(site: Site) -> None:
    for n in range(50):
        call(site, "POST", "alarms/channels", {"name": f"c{n}", "url": "json://127.0.0.1"}, status=201)
    refused = call(site, "POST", "alarms/channels", {"name": "more", "url": "json://127.0.0.1"}, status=409)
    assert refused["error"]["code"] == "too_many"


# Webhooks


def test_a_webhook_lives_and_its_secret_is_shown_once(site: Site, tmp_path: Path) -> None:
    body = {"name": "billing", "url": HOOK_URL, "events": ["alarm", "cdr.illegal"]}
    made = call(site, "POST", "webhooks", body, status=201, idempotency_key="k")
    assert made["secret"] == site.settings.webhooks.targets()[0].secret
    assert call(site, "POST", "webhooks", body, status=201, idempotency_key="k") == made | {"secret": None}
    webhook = made["after"]
    assert (webhook["address"], webhook["events"]) == ("https://hooks.example/***", ["cdr.illegal", "alarm"])
    address = f"webhooks/{webhook['id']}"
    assert call(site, "GET", address) == webhook
    assert call(site, "GET", "webhooks")["webhooks"] == [webhook]
    changed = call(site, "PATCH", address, {"events": ["alarm"], "enabled": False})["after"]
    assert (changed["events"], changed["enabled"]) == (["alarm"], False)
    kept = settings_text(tmp_path)
    assert (kept.count(made["secret"]), kept.count("hunter2hunter2")) == (1, 1)
    call(site, "DELETE", address)
    assert call(site, "GET", address, status=404)["error"]["code"] == "not_found"


def test_a_webhook_is_tested_and_tells_its_deliveries_and_the_next_try(site: Site) -> None:
    body = {"name": "billing", "url": HOOK_URL, "events": ["alarm"]}
    hook = WebhookId(call(site, "POST", "webhooks", body, status=201)["after"]["id"])
    test, deliveries = f"webhooks/{hook}/test", f"webhooks/{hook}/deliveries"
    assert call(site, "POST", test) == {"is_delivered": True, "problem": None}
    site.alarms.problem = "connection refused"
    assert call(site, "POST", test) == {"is_delivered": False, "problem": "connection refused"}
    assert call(site, "GET", deliveries) == {"deliveries": [], "retries": []}
    failed = Posted(at_us=T0_US, outcome=Outcome(problem="503"), event=HookEvent.ALARM, id="a-1")
    site.alarms.deliveries[hook] = (failed,)
    site.alarms.waiting[hook] = (
        Retry(event=HookEvent.ALARM, due_us=T0_US + 5_000_000, failing_since_us=T0_US),
    )
    began = iso_utc(T0_US)
    told = {"id": "a-1", "event": "alarm", "at": began, "is_delivered": False, "problem": "503"}
    again = {"event": "alarm", "failing_since": began, "due_at": iso_utc(T0_US + 5_000_000)}
    assert call(site, "GET", deliveries) == {"deliveries": [told], "retries": [again]}
    for method, address in (("POST", "webhooks/999/test"), ("GET", "webhooks/999/deliveries")):
        call(site, method, address, status=404)
        call(site, method, address, role="analyst", status=403)


def test_a_renewed_secret_is_another_and_shown_once(site: Site, tmp_path: Path) -> None:
    body = {"name": "billing", "url": HOOK_URL, "events": ["alarm"]}
    made = call(site, "POST", "webhooks", body, status=201)
    address = f"webhooks/{made['after']['id']}/secret"
    renewed = call(site, "POST", address, idempotency_key="k")
    assert renewed["secret"] == site.settings.webhooks.targets()[0].secret != made["secret"]
    assert call(site, "POST", address, idempotency_key="k") == renewed | {"secret": None}
    assert settings_text(tmp_path).count(renewed["secret"]) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"events": []},
        {"events": ["cdr.other"]},
        {"url": "ftp://hooks.example"},
        {"url": "https://user:hunter2hunter2@hooks.example"},
        {"secret": "mine"},
    ],
    ids=str,
)
def test_a_webhook_that_cannot_be_is_refused(site: Site, changed: dict[str, Any]) -> None:
    body = {"name": "billing", "url": HOOK_URL, "events": ["alarm"]} | changed
    answer = site.client.post("webhooks", json=body, headers=site.bearing())
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_value")
    assert "hunter2" not in answer.text
    assert site.settings.webhooks.all() == ()
