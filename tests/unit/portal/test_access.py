# SPDX-License-Identifier: Apache-2.0
"""The way in: set-up once, passwords, second factors, sessions, forms."""

import pyotp
import pytest

from kit.site import PASSWORD, Site
from ringfence.portal.access import Tries
from ringfence.portal.site import COOKIE
from ringfence.settings.model import Role

HALF_MINUTE_S = 30.0


def give(site: Site, **fields: str) -> int:
    """Try to log in; the status."""
    return site.client.post("/login", data=fields, follow_redirects=False).status_code


def test_the_set_up_link_makes_one_admin_and_counts_no_more(new_site: Site) -> None:
    token = new_site.access.offer_setup()
    assert token is not None
    form = {"name": "root", "password": PASSWORD, "again": PASSWORD}
    assert new_site.client.get(f"/setup/{token}x").status_code == 403
    assert "Welcome" in new_site.client.get(f"/setup/{token}").text
    assert new_site.client.post(f"/setup/{token}", data=form | {"again": "other"}).status_code == 400
    made = new_site.client.post(f"/setup/{token}", data=form)
    assert (made.status_code, made.url.path) == (200, "/")
    assert [(user.name, user.role) for user in new_site.settings.users.all()] == [("root", Role.ADMIN)]
    assert new_site.client.post(f"/setup/{token}", data=form | {"name": "two"}).status_code == 403
    assert new_site.access.offer_setup() is None
    assert [row.actor for row in new_site.settings.audit(kind="user")] == ["setup"]


def test_without_a_session_every_page_leads_to_the_login_and_back(site: Site) -> None:
    answer = site.client.get("/cdrs?kind=illegal", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?following=%2Fcdrs%3Fkind%3Dillegal",
    )
    site.settings.users.add("ann", Role.VIEWER, PASSWORD, actor="test")
    form = {"name": "ann", "password": PASSWORD, "following": "/cdrs?kind=illegal"}
    page = site.client.post("/login", data=form)
    assert (page.status_code, str(page.url.path)) == (200, "/cdrs")


@pytest.mark.parametrize("following", ["//evil.example", "https://evil.example", "/\\evil.example", "x"])
def test_a_login_never_leads_to_another_host(site: Site, following: str) -> None:
    site.settings.users.add("ann", Role.VIEWER, PASSWORD, actor="test")
    answer = site.client.post(
        "/login",
        data={"name": "ann", "password": PASSWORD, "following": following},
        follow_redirects=False,
    )
    assert answer.headers["location"] == "/"


def test_a_wrong_name_and_a_wrong_password_are_answered_alike(site: Site) -> None:
    site.settings.users.add("ann", Role.VIEWER, PASSWORD, actor="test")
    wrong = site.client.post("/login", data={"name": "ann", "password": "x"})
    unknown = site.client.post("/login", data={"name": "bob", "password": "x"})
    assert wrong.status_code == unknown.status_code == 403
    assert wrong.text.replace("ann", "bob") == unknown.text


def test_guessing_is_slowed_per_name_and_address_and_the_right_password_waits_too(site: Site) -> None:
    site.settings.users.add("ann", Role.VIEWER, PASSWORD, actor="test")
    assert [give(site, name="ann", password="x") for _ in range(11)] == [403] * 10 + [429]
    assert give(site, name="ann", password=PASSWORD) == 429
    site.clock.advance(HALF_MINUTE_S + 1)
    assert give(site, name="ann", password=PASSWORD) == 303


def test_logins_that_succeed_fail_and_are_held_up_are_shown_on_the_audit_page(site: Site) -> None:
    site.settings.users.add("ann", Role.VIEWER, PASSWORD, actor="test")
    assert [give(site, name="ann", password="x") for _ in range(12)] == [403] * 10 + [429] * 2
    site.log_in()
    site.clock.advance(600)
    assert give(site, name="ann", password=PASSWORD) == 303
    site.client.cookies.clear()
    site.log_in()
    text = site.get("/audit?kind=login").text
    for said in ("address:testclient", "wrong password", "locked out", "user:ann", "logged in"):
        assert f"<td>{said}</td>" in text
    assert '<span class="hint">attempts</span> 10' in text
    assert '<span class="hint">attempts</span> 2' in text
    assert '<span class="hint">address</span> testclient' in text


def test_a_wrong_code_is_told_with_the_user_whose_password_is_known(site: Site) -> None:
    site.settings.users.add("ann", Role.VIEWER, PASSWORD, actor="test")
    site.settings.users.set_second_factor("ann", pyotp.random_base32(), actor="test")
    assert give(site, name="ann", password=PASSWORD, code="000000") == 403
    [row] = site.settings.audit(kind="login")
    assert (row.actor, row.action, row.name) == ("address:testclient", "wrong_code", "ann")


def test_tries_are_bounded_in_memory_and_come_back_with_time(site: Site) -> None:
    tries = Tries(site.clock)
    for number in range(20_000):
        assert tries.take(f"address:{number}") == 0.0
    assert len(tries._left) == 10_000
    for _ in range(10):
        assert tries.take("one") == 0.0
    assert 0 < tries.take("one") <= HALF_MINUTE_S
    site.clock.advance(HALF_MINUTE_S)
    assert tries.take("one") == 0.0


def test_a_second_factor_is_asked_for_and_each_code_counts_once(site: Site) -> None:
    site.log_in(Role.ADMIN, "ann")
    secret = pyotp.random_base32()
    totp = pyotp.TOTP(secret)

    def code() -> str:
        return totp.at(site.clock.utc_us() // 1_000_000)

    assert site.post("/account/factor", secret=secret, code="000000").status == 400
    assert "asked for at login" in site.post("/account/factor", secret=secret, code=code()).text
    site.client.cookies.clear()
    assert give(site, name="ann", password=PASSWORD) == 401
    assert give(site, name="ann", password=PASSWORD, code=code()) == 403, "used at set-up"
    site.clock.advance(60)
    assert give(site, name="ann", password=PASSWORD, code=code()) == 303
    assert secret not in str(site.settings.audit())


def test_a_session_ends_by_logout_by_an_admin_and_by_itself(site: Site) -> None:
    site.log_in(Role.ADMIN, "ann")
    first = site.cookie
    site.log_in(Role.ADMIN, "ann")
    assert len(site.settings.sessions.of("ann")) == 2
    assert site.post("/logout").path == "/login"
    assert site.settings.sessions.find(first) is not None
    [left] = site.settings.sessions.of("ann")
    site.client.cookies.set(COOKIE, first)
    site.cookie = first
    site.post("/users/sessions/close", session=left.id)
    assert site.settings.sessions.find(first) is None
    site.log_in(Role.ADMIN, "ann")
    site.clock.advance(13 * 3600)
    assert site.get("/").path == "/login"


def test_a_session_that_is_used_lives_on_but_not_for_ever(site: Site) -> None:
    site.log_in()
    for hours in range(7 * 24 + 12):
        is_in = site.settings.sessions.find(site.cookie) is not None
        assert is_in == (hours < 7 * 24)
        site.clock.advance(3600)


def test_a_new_password_ends_the_other_sessions(site: Site) -> None:
    site.log_in(Role.VIEWER, "ann")
    other = site.cookie
    site.log_in(Role.VIEWER, "ann")
    new = "another long password"
    assert site.post("/account/password", old="wrong", new=new, again=new).status == 400
    assert (
        "Other sessions were ended" in site.post("/account/password", old=PASSWORD, new=new, again=new).text
    )
    assert site.settings.sessions.find(other) is None
    assert site.settings.sessions.find(site.cookie) is not None


def test_what_the_cookie_holds_is_not_stored(site: Site) -> None:
    site.log_in()
    [session] = site.settings.sessions.of()
    assert site.cookie not in repr(session)


def test_a_form_without_its_token_changes_nothing(site: Site) -> None:
    site.log_in()
    for token in ("", "0" * 64):
        answer = site.client.post("/firewall/add", data={"csrf": token, "value": "203.0.113.9"})
        assert answer.status_code == 403
    assert site.settings.lists.in_force() == ()


def test_a_form_of_another_site_is_refused_even_at_the_login(site: Site) -> None:
    site.settings.users.add("ann", Role.VIEWER, PASSWORD, actor="test")
    answer = site.client.post(
        "/login", data={"name": "ann", "password": PASSWORD}, headers={"sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 403
    assert COOKIE not in site.client.cookies


def test_a_form_that_is_too_long_is_refused_unread(site: Site) -> None:
    site.log_in()
    answer = site.client.post("/firewall/import", content=b"x" * (5 * 1024 * 1024))
    assert answer.status_code == 413
