# SPDX-License-Identifier: Apache-2.0
"""A viewer changes nothing, an analyst only lists and acknowledgements: every route is walked."""

import re

import pytest
from starlette.routing import Mount

from kit.site import Site
from ringfence.portal.rights import RIGHTS, Right
from ringfence.portal.site import GuardedRoute
from ringfence.settings.model import Role

CHANGES_FOR_ALL = {
    "/logout",
    "/account/password",
    "/account/factor",
    "/account/factor/remove",
    "/account/sessions/close",
    "/cdrs/views",
    "/cdrs/views/remove",
    "/illegal/views",
    "/illegal/views/remove",
    "/cdrs/export",
    "/exports/{job}/cancel",
    "/login",
    "/setup/{token}",
}
"""What everybody may send: the way in and out, and what is their own."""


def guarded(site: Site) -> list[GuardedRoute]:
    return [route for route in site.app.routes if isinstance(route, GuardedRoute)]


def test_every_route_is_guarded_or_a_known_mount(site: Site) -> None:
    others = [route for route in site.app.routes if not isinstance(route, GuardedRoute)]
    assert [route.path for route in others if isinstance(route, Mount)] == ["/static", "/api/v1"]
    assert len(others) == 2


def test_who_may_change_what_is_what_the_roles_say(site: Site) -> None:
    changing = {
        role: {
            route.path
            for route in guarded(site)
            if "POST" in (route.methods or ()) and route.right in RIGHTS[role]
        }
        for role in Role
    }
    assert changing[Role.VIEWER] == CHANGES_FOR_ALL
    assert changing[Role.ANALYST] - CHANGES_FOR_ALL == {
        "/trace/pcap",
        "/firewall/add",
        "/firewall/remove",
        "/firewall/again",
        "/firewall/import",
        "/alarms/{id:int}/acknowledge",
    }
    assert Right.PEOPLE not in RIGHTS[Role.ANALYST]


@pytest.mark.parametrize("role", list(Role))
def test_each_route_lets_in_who_has_the_right_and_nobody_else(site: Site, role: Role) -> None:
    site.log_in(role)
    before = site.settings.version()
    for route in guarded(site):
        if route.path == "/logout":
            continue
        path = re.sub(r"\{[^}]+\}", "1", route.path)
        for method in sorted(set(route.methods or ()) & {"GET", "POST"}):
            answer = site.post(path) if method == "POST" else site.get(path)
            refused = "Your role does not allow this" in answer.text
            assert refused == (route.right not in RIGHTS[role]), (method, route.path)
            assert answer.status < 500 or answer.status == 503, (method, route.path, answer.text[:300])
    if role is not Role.ADMIN:
        assert site.settings.version() == before


def test_nothing_but_the_way_in_and_health_is_open(site: Site) -> None:
    assert {route.path for route in guarded(site) if route.right is Right.OPEN} == {
        "/metrics",
        "/health/live",
        "/health/ready",
        "/setup/{token}",
        "/login",
    }
