# SPDX-License-Identifier: Apache-2.0
"""Changes by HTTP: the checks of the command line, in force when answered, made once."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
from starlette.testclient import TestClient

from kit.journal import T0_US
from ringfence.control.messages import ListEntry
from ringfence.errors import ConfigError, ControlError, CoreError, NotFoundError, RingfenceError, StoreError
from ringfence.settings.model import GatewayDraft
from ringfence.settings.parameters import PARAMETERS

from .conftest import Site


def call(site: Site, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str) -> Any:
    sent = site.bearing() | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = site.client.request(method, path, json=body, headers=sent)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_change_is_in_force_when_its_answer_comes(site: Site) -> None:
    made = call(site, "POST", "lists", {"value": "203.0.113.5", "for_s": 60, "reason": "scan"}, status=201)
    assert (made["in_force"], made["note"], made["changed"]) == (True, None, True)
    assert site.switch.taken == [made["version"]] == [site.settings.version()]
    assert made["after"]["expires_at"] == "2024-11-22T00:01:20.000000Z"
    assert site.settings.audit()[0].actor == "token:a-admin"


def test_a_change_without_a_switch_is_stored_and_says_so(site: Site) -> None:
    site.switch.runs = False
    made = call(site, "POST", "lists", {"value": "203.0.113.5"}, status=201)
    assert made["in_force"] is False
    assert "no switch runs" in made["note"]


def test_a_change_that_the_switch_does_not_take_is_stored_and_says_so(site: Site) -> None:
    site.switch.failure = ControlError("the snapshot was refused")
    made = call(site, "PUT", "parameters/RF_MUTE_S", {"value": 5})
    assert (made["in_force"], made["note"]) == (
        False,
        "stored; the switch did not take it: the snapshot was refused",
    )
    assert site.settings.parameters.get("RF_MUTE_S").value == 5


def test_a_list_entry_lives_and_is_undone(site: Site) -> None:
    entry = call(site, "POST", "lists", {"list": "callee", "value": "+972"}, status=201)["after"]
    assert call(site, "GET", f"lists/{entry['id']}") == entry
    assert call(site, "GET", "lists?list=source")["entries"] == []
    assert call(site, "GET", "lists?list=callee&color=black")["entries"] == [entry]
    gone = call(site, "DELETE", f"lists/{entry['id']}")
    assert (gone["before"], gone["after"]) == (entry, None)
    assert call(site, "GET", "lists")["entries"] == []
    (past,) = call(site, "GET", "lists?state=past")["entries"]
    assert past["removed_by"] == "token:a-admin"
    assert call(site, "DELETE", f"lists/{entry['id']}", status=404)["error"]["code"] == "not_found"


def test_what_the_edge_judges_by_is_told_as_the_edge_tells_it(site: Site) -> None:
    site.switch.entries = tuple(
        ListEntry(list="source", color="black", value=f"203.0.113.{n}", expires_at_us=n and T0_US)
        for n in range(5)
    )
    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = call(site, "GET", f"lists/in-force?limit=2{cursor and f'&cursor={quote(cursor)}'}")
        assert page["total"] == 5
        seen += page["entries"]
        cursor = page["next"]
    assert [entry["value"] for entry in seen] == [f"203.0.113.{n}" for n in range(5)]
    assert (seen[0]["expires_at"], seen[1]["expires_at"]) == (None, "2024-11-22T00:00:00.000000Z")
    assert call(site, "GET", "lists")["entries"] == []
    site.switch.runs = False
    assert call(site, "GET", "lists/in-force", status=503)["error"]["code"] == "no_switch"


def test_an_import_is_whole_or_not_at_all(site: Site) -> None:
    call(site, "POST", "lists", {"value": "203.0.113.5"}, status=201)
    entries = [{"value": f"203.0.113.{n}"} for n in range(5, 9)]
    assert (
        call(site, "POST", "lists/import", {"entries": entries}, status=409)["error"]["code"] == "duplicate"
    )
    assert len(site.settings.lists.in_force()) == 1
    done = call(site, "POST", "lists/import", {"entries": entries, "skip_existing": True}, status=201)
    assert (len(done["added"]), done["skipped"]) == (3, 1)
    again = call(site, "POST", "lists/import", {"entries": entries, "skip_existing": True}, status=201)
    assert (again["added"], again["skipped"], again["version"]) == ([], 4, done["version"])


def test_an_authorised_source_is_not_blocked_and_a_new_gateway_lifts_the_block(site: Site) -> None:
    call(site, "POST", "lists", {"value": "192.0.2.0/24"}, status=201)
    made = call(site, "POST", "gateways", {"name": "a/b", "addresses": ["192.0.2.1"]}, status=201)
    assert [block["value"] for block in made["lifted"]] == ["192.0.2.0/24"]
    refused = call(site, "POST", "lists", {"value": "192.0.2.1"}, status=409)["error"]
    assert refused["code"] == "authorised_source"


def test_a_gateway_lives_by_its_id(site: Site) -> None:
    made = call(site, "POST", "gateways", {"name": "a/b ../?", "addresses": ["192.0.2.1"]}, status=201)[
        "after"
    ]
    address = f"gateways/{made['id']}"
    changed = call(site, "PATCH", address, {"name": "carrier", "burst": 7})
    assert (changed["after"]["name"], changed["after"]["burst"]) == ("carrier", 7)
    assert changed["before"] == made
    assert call(site, "GET", address) == changed["after"]
    assert call(site, "PATCH", address, {})["changed"] is False
    call(site, "DELETE", address)
    call(site, "GET", address, status=404)


def test_a_phone_lives_and_its_password_is_told_to_nobody(site: Site) -> None:
    call(site, "POST", "phones", {"number": "1001", "password": "correct horse"}, status=201)
    assert call(site, "GET", "phones/1001") == {"number": "1001", "enabled": True}
    off = call(site, "PATCH", "phones/1001", {"enabled": False, "password": "battery staple"})
    assert (off["changed"], off["after"]) == (True, {"number": "1001", "enabled": False})
    assert call(site, "PATCH", "phones/1001", {"enabled": False})["changed"] is False
    assert site.switch.taken[-1] == site.settings.version()
    call(site, "DELETE", "phones/1001")
    assert call(site, "GET", "phones")["phones"] == []
    assert "horse" not in f"{site.settings.audit()}"


def test_a_user_lives(site: Site) -> None:
    call(site, "POST", "users", {"name": "ann", "role": "viewer", "password": "correct horse"}, status=201)
    changed = call(site, "PATCH", "users/ann", {"role": "admin", "password": "battery staple"})
    assert changed["after"] == {"name": "ann", "role": "admin"}
    assert site.settings.users.verify("ann", "battery staple") is not None
    assert call(site, "POST", "users", {"name": "ann", "password": "correct horse"}, status=409)["error"][
        "code"
    ] == ("duplicate")
    assert call(site, "DELETE", "users/ann", status=409)["error"]["code"] == "last_admin"
    assert call(site, "PATCH", "users/ann", {"role": "viewer"}, status=409)["error"]["code"] == "last_admin"
    call(site, "POST", "users", {"name": "bob", "role": "admin", "password": "correct horse"}, status=201)
    call(site, "DELETE", "users/ann")
    assert [user["name"] for user in call(site, "GET", "users")["users"]] == ["bob"]


def test_a_token_is_made_used_and_taken_away(site: Site) -> None:
    made = call(site, "POST", "tokens", {"name": "billing", "for_s": 3600}, status=201)
    bearing = {"authorization": f"Bearer {made['secret']}"}
    assert site.client.get("cdrs?limit=1", headers=bearing).status_code == 200
    assert call(site, "GET", "tokens/billing")["used_at"] is not None
    assert made["secret"] not in site.client.get("tokens", headers=site.bearing()).text
    call(site, "DELETE", "tokens/billing")
    assert site.client.get("cdrs?limit=1", headers=bearing).status_code == 401


def test_a_parameter_is_set_reset_and_has_a_history(site: Site) -> None:
    listed = call(site, "GET", "parameters")["parameters"]
    assert [row["name"] for row in listed] == [parameter.name for parameter in PARAMETERS]
    call(site, "PUT", "parameters/rf_mute_s", {"value": 5})
    assert call(site, "GET", "parameters/RF_MUTE_S")["value"] == 5
    assert call(site, "DELETE", "parameters/RF_MUTE_S")["after"]["is_set"] is False
    history = call(site, "GET", "parameters/RF_MUTE_S/history")["acts"]
    assert [(row["action"], row["before"]["value"], row["after"]["value"]) for row in history] == [
        ("reset", 5, 60),
        ("set", 60, 5),
    ]
    refused = call(site, "PUT", "parameters/RF_MUTE_S", {"value": 0}, status=422)["error"]
    assert (refused["code"], refused["hint"]) == ("out_of_range", "allowed: 1 to 86400 s")
    unknown = call(site, "GET", "parameters/RF_MUTE", status=404)["error"]
    assert (unknown["code"], unknown["hint"]) == ("unknown_parameter", "did you mean RF_MUTE_S?")


def test_lists_have_pages(site: Site) -> None:
    drafts = [GatewayDraft(name=f"g{n:02d}", addresses=(f"192.0.2.{n + 1}",)) for n in range(25)]
    site.settings.gateways.add_all(drafts, actor="t")
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = call(site, "GET", f"gateways?limit=10{cursor and f'&cursor={cursor}'}")
        names += [gateway["name"] for gateway in page["gateways"]]
        cursor = page["next"]
    assert names == [draft.name for draft in drafts]
    acts: list[str] = []
    cursor = ""
    while cursor is not None:
        page = call(site, "GET", f"audit?kind=gateway&limit=7{cursor and f'&cursor={cursor}'}")
        acts += [act["name"] for act in page["acts"]]
        cursor = page["next"]
    assert acts == [draft.name for draft in reversed(drafts)]
    for path in ("gateways", "audit"):
        assert call(site, "GET", f"{path}?cursor=x", status=422)["error"]["field"] == "cursor"


# Idempotency


def test_a_repeated_change_is_made_once(site: Site) -> None:
    body = {"name": "carrier", "addresses": ["192.0.2.1"]}
    first = call(site, "POST", "gateways", body, status=201, idempotency_key="k1")
    assert call(site, "POST", "gateways", body, status=201, idempotency_key="k1") == first
    assert len(site.settings.audit(kind="gateway")) == 1
    assert (
        call(site, "POST", "gateways", body, status=409, idempotency_key="k2")["error"]["code"] == "duplicate"
    )


def test_a_key_is_for_one_request_and_one_caller(site: Site) -> None:
    call(site, "POST", "lists", {"value": "203.0.113.5"}, status=201, idempotency_key="k")
    for method, path, body in (
        ("POST", "lists", {"value": "203.0.113.6"}),
        ("DELETE", "lists/1", None),
        ("POST", "lists/import", {"value": "203.0.113.5"}),
    ):
        assert (
            call(site, method, path, body, status=409, idempotency_key="k")["error"]["code"] == "key_reused"
        )
    headers = site.bearing("analyst") | {"idempotency-key": "k"}
    assert site.client.post("lists", json={"value": "203.0.113.7"}, headers=headers).status_code == 201


def test_a_key_is_forgotten_after_a_day(site: Site) -> None:
    call(site, "POST", "lists", {"value": "203.0.113.5"}, status=201, idempotency_key="k")
    site.clock.advance(86_400)
    call(site, "POST", "lists", {"value": "203.0.113.6"}, status=201, idempotency_key="k")


def test_a_refusal_for_lack_of_rights_is_not_kept(site: Site) -> None:
    headers = site.bearing("viewer") | {"idempotency-key": "k"}
    assert site.client.post("lists", json={"value": "203.0.113.5"}, headers=headers).status_code == 403
    assert site.settings.answers.get("token:a-viewer", "k") is None


def test_a_secret_is_kept_in_no_answer(site: Site, tmp_path: Path) -> None:
    made = call(site, "POST", "tokens", {"name": "billing"}, status=201, idempotency_key="k")
    repeated = call(site, "POST", "tokens", {"name": "billing"}, status=201, idempotency_key="k")
    assert repeated == made | {"secret": None}
    with sqlite3.connect(tmp_path / "settings" / "settings.db") as connection:
        kept = "".join(connection.iterdump())
    connection.close()
    assert "billing" in kept
    assert made["secret"] not in kept


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "\xe9"])
def test_a_key_that_can_be_none_is_refused(site: Site, key: str) -> None:
    headers = [*site.bearing().items(), ("idempotency-key", key)]
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    answer = site.client.post("lists", json={"value": "203.0.113.5"}, headers=sent)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "Idempotency-Key")


# What clients may send


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"[" * 500_000, "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"value": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"value": "\\ud800", "\\ud801": 1}', "application/json", 422),
        (b'{"value": "\\u0000"}', "application/json", 422),
        (b'{"value": "203.0.113.5", "for_s": 1e400}', "application/json", 422),
        (b'{"value": "203.0.113.5", "for_s": 99999999999999999999}', "application/json", 422),
        (b'{"value": "203.0.113.5", "for_s": true}', "application/json", 422),
        (b'{"value": "203.0.113.5", "more": 1}', "application/json", 422),
        (b'{"value": "203.0.113.5"}', "text/plain", 422),
        (b"value=203.0.113.5", "application/x-www-form-urlencoded", 422),
        (b"", "application/json", 422),
        (b" " * (1024 * 1024 + 1), "application/json", 413),
    ],
    ids=str,
)
def test_a_body_that_cannot_be_is_refused_in_the_one_shape(
    site: Site, content: bytes, media_type: str, status: int
) -> None:
    headers = site.bearing() | {"content-type": media_type}
    answer = site.client.post("lists", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert {"code", "message", "hint"} <= set(answer.json()["error"])
    assert site.settings.lists.in_force() == ()


def test_a_request_that_is_under_way_is_not_begun_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = site.bearing() | {"idempotency-key": "k"}
    inner = []

    def ask_again(version: int) -> bool:
        answer = site.client.post("lists", json={"value": "203.0.113.5"}, headers=headers)
        inner.append((answer.status_code, answer.json()["error"]["code"]))
        return True

    monkeypatch.setattr(site.switch, "take", ask_again)
    assert site.client.post("lists", json={"value": "203.0.113.5"}, headers=headers).status_code == 201
    assert inner == [(409, "key_in_use")]
    assert len(site.settings.lists.in_force()) == 1


# Faults of ours


def test_a_fault_of_ours_tells_nothing_of_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("/var/lib/secret")

    monkeypatch.setattr(site.switch, "books", fail)
    client = TestClient(site.app, base_url="http://127.0.0.1/api/v1/", raise_server_exceptions=False)
    answer = client.get("books", headers=site.bearing())
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in answer.text


def test_records_that_cannot_be_read_are_said_to_be_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise duckdb.OutOfMemoryException("/var/lib/secret")

    monkeypatch.setattr(site.ledger.found, "count", fail)
    answer = site.client.get("cdrs/count", headers=site.bearing())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigError("x"), 422, "bad_value"),
        (ConfigError("x", code="duplicate"), 409, "duplicate"),
        (StoreError("x", code="conflict"), 409, "conflict"),
        (StoreError("x", code="settings_revision"), 503, "store"),
        (NotFoundError("x"), 404, "not_found"),
        (ControlError("x", code="timeout"), 503, "control"),
        (CoreError("x", code="portal_address"), 503, "store"),
    ],
    ids=str,
)
def test_each_error_of_the_family_has_its_status_and_a_stable_code(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: RingfenceError, status: int, code: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(site.switch, "books", fail)
    answer = site.client.get("books", headers=site.bearing())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
