# SPDX-License-Identifier: Apache-2.0
"""Who may call what: every route of the API is walked with every role."""

from collections.abc import Iterator

import pytest
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from kit.clock import ManualClock
from ringfence.portal.api.access import WRONG_SOURCES, WRONG_TOKENS, WrongTokens
from ringfence.portal.rights import RIGHTS, Caller, Right
from ringfence.settings.model import Role

from .conftest import Site

VALUES = {
    "{cdr_id}": "1-1-0",
    "{entry_id}": "999",
    "{gateway_id}": "999",
    "{route_id}": "999",
    "{live_id}": "999",
    "{number}": "999",
    "{name}": "none",
    "{code}": "999",
    "{alarm_id}": "999",
    "{channel_id}": "999",
    "{webhook_id}": "999",
    "{export_id}": "0" * 32,
}


def routes(site: Site) -> Iterator[tuple[str, str, Right]]:
    """Method, path and right of every route that the API says it has."""
    for path, operations in site.client.get("openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            filled = path
            for name, value in VALUES.items():
                filled = filled.replace(name, value)
            yield method.upper(), filled.lstrip("/"), Right(operation["x-right"])


def test_every_route_lets_through_who_has_its_right_and_nobody_else(site: Site) -> None:
    walked = list(routes(site))
    assert len(walked) > 82
    for method, path, right in walked:
        body: dict[str, str] | None = {} if method in {"POST", "PUT", "PATCH"} else None
        if right is Right.OPEN:
            assert site.client.request(method, path).status_code == 200
            continue
        answer = site.client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated"), path
        assert answer.headers["www-authenticate"] == "Bearer"
        for role in Role:
            may = right in RIGHTS[role]
            if may and path == "live":
                continue
            status = site.client.request(
                method, path, json=body, headers=site.bearing(role.value)
            ).status_code
            assert (status not in {401, 403}) == may, (method, path, role, status)


def test_a_viewer_changes_nothing_and_an_analyst_only_lists_and_acknowledgements(site: Site) -> None:
    changing = {(path, right) for method, path, right in routes(site) if method not in {"GET", "HEAD"}}
    # They read records, and have them written to files of their own.
    reading = {"vos/GetCdr", "exports", f"exports/{'0' * 32}", f"exports/{'0' * 32}/cancel"}
    assert {path for path, right in changing if right in RIGHTS[Role.VIEWER]} == reading
    of_analyst = {path for path, right in changing if right in RIGHTS[Role.ANALYST]} - reading
    assert of_analyst == {"lists", "lists/import", "lists/999", "alarms/999/acknowledge"}


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Bearer", "Bearer ", "rf_x", "Bearer rf_\xff", "Bearer " + "x" * 5000]
)
def test_what_is_no_good_token_is_refused(site: Site, header: str) -> None:
    answer = site.client.get("cdrs", headers={b"authorization": header.encode("latin-1")})
    assert answer.status_code == 401


def test_a_removed_and_an_expired_token_end_at_once(site: Site) -> None:
    short = site.settings.tokens.add("short", Role.VIEWER, for_s=10, actor="t").secret
    assert site.client.get("cdrs", headers={"authorization": f"bearer {short}"}).status_code == 200
    site.clock.advance(10)
    assert site.client.get("cdrs", headers={"authorization": f"Bearer {short}"}).status_code == 401
    site.settings.tokens.remove("a-viewer", actor="t")
    assert site.client.get("cdrs", headers=site.bearing("viewer")).status_code == 401


def test_wrong_tokens_are_slowed_down_and_a_right_one_never_is(site: Site) -> None:
    statuses = [
        site.client.get("cdrs", headers={"authorization": f"Bearer rf_{n}"}).status_code
        for n in range(WRONG_TOKENS + 2)
    ]
    assert statuses == [401] * WRONG_TOKENS + [429] * 2
    refused = site.client.get("cdrs", headers={"authorization": "Bearer x"})
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert site.client.get("cdrs", headers=site.bearing()).status_code == 200
    site.clock.advance(60)
    assert site.client.get("cdrs", headers={"authorization": "Bearer x"}).status_code == 401


def test_the_table_of_wrong_tokens_is_bounded_and_an_ipv6_host_is_its_network() -> None:
    wrong = WrongTokens(ManualClock())
    for n in range(WRONG_SOURCES + 50):
        wrong.note(f"10.0.{n // 256}.{n % 256}")
    assert len(wrong) == WRONG_SOURCES
    for n in range(WRONG_TOKENS):
        assert wrong.note(f"2001:db8::{n}") is None
    assert wrong.note("2001:db8::ffff") is not None
    assert wrong.note("2001:db8:0:1::1") is None


def test_someone_logged_in_may_read_and_needs_a_token_to_change(site: Site) -> None:
    class LoggedIn:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["caller"] = Caller(name="ann", role=Role.ADMIN)
            await self._app(scope, receive, send)

    site.app.user_middleware.insert(0, Middleware(LoggedIn))
    site.app.middleware_stack = None
    client = TestClient(site.app, base_url="http://127.0.0.1/api/v1/")
    assert client.get("users").status_code == 200
    assert client.post("lists", json={"value": "203.0.113.5"}).status_code == 401
    assert client.delete("tokens/a-viewer").status_code == 401
    assert site.settings.lists.in_force() == ()


def test_no_page_of_the_api_loads_a_script(site: Site) -> None:
    for path in ("docs", "redoc", "docs/oauth2-redirect"):
        assert site.client.get(path).status_code == 404
