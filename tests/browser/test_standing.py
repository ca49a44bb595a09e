# SPDX-License-Identifier: Apache-2.0
"""Vendors, gateways and phones as they stand, in the browser: while a switch runs, and when it is gone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from browser.conftest import PHONE, Portal, Viewer
from browser.test_accessibility import violations
from kit.answering import AnsweringVendor
from kit.sip import Peer, Phone
from kit.site import PASSWORD

PAGES = (
    "/routes",
    "/routes/4",
    "/routes/5",
    "/gateways",
    "/gateways/branch",
    "/phones",
    "/phones/1001",
    "/calls",
)
WANTED = ("--register-as", "4711", "--password-stdin", "--options", "--options-period-s", "5")
LOOKS = [
    pytest.param({}, id="light"),
    pytest.param({"theme": "dark"}, id="dark"),
    pytest.param({"viewport": PHONE}, id="phone"),
]


@pytest.fixture(scope="module")
def _standing(portal: Portal) -> Iterator[None]:
    """A vendor that takes our registration and answers, one that does neither, a branch and a phone."""
    portal.add_user()
    cli = portal.node.cli
    cli.ok("param", "set", "RF_OPTIONS_FAILURES", "1")
    with (
        AnsweringVendor("127.0.0.31", {"REGISTER": 200, "OPTIONS": 200}) as good,
        AnsweringVendor("127.0.0.32", {"REGISTER": 403}) as bad,
        Peer(portal.switch.address("udp"), "127.0.0.33") as home,
        Peer(portal.switch.address("udp"), "127.0.0.34") as office,
    ):
        for number in ("1001", "1002"):
            cli.ok("phone", "add", number, "--password-stdin", stdin=f"{PASSWORD}\n")
        given = ("--username", "branch", "--password-stdin")
        cli.ok("gateway", "add", "branch", *given, stdin=f"{PASSWORD}\n")
        cli.ok("route", "add", "porto", good.address, *WANTED, stdin="secret\n")
        cli.ok("route", "add", "faro", bad.address, *WANTED, stdin="secret\n")
        assert Phone(home, "1001", PASSWORD).register()[0].status == 200
        assert Phone(office, "branch", PASSWORD).register()[0].status == 200
        yield


@pytest.mark.usefixtures("_standing")
@pytest.mark.parametrize("viewer", LOOKS, indirect=True)
def test_states_change_in_place_and_no_page_breaks_a_rule(viewer: Viewer) -> None:
    viewer.log_in()
    viewer.go("/routes")
    row = viewer.page.locator("tr", has_text="porto")
    expect(row).to_contain_text("registered", timeout=20_000)
    expect(row).to_contain_text("healthy", timeout=20_000)
    other = viewer.page.locator("tr", has_text="faro")
    expect(other).to_contain_text("registration refused", timeout=20_000)
    expect(other).to_contain_text("down", timeout=40_000)
    viewer.go("/phones")
    expect(viewer.page.locator("tr", has_text="1001")).to_contain_text("127.0.0.33:")
    expect(viewer.page.locator("tr", has_text="1002")).to_contain_text("not registered")
    viewer.go("/gateways")
    expect(viewer.page.locator("tr", has_text="branch")).to_contain_text("from 127.0.0.34:")
    found = []
    for path in PAGES:
        viewer.go(path)
        found += violations(viewer, path)
    assert found == []


@pytest.mark.usefixtures("_standing")
def test_when_the_switch_is_gone_no_state_looks_well(viewer: Viewer, portal: Portal) -> None:
    viewer.log_in()
    viewer.go("/routes")
    portal.switch.kill()
    try:
        row = viewer.page.locator("tr", has_text="porto")
        expect(row).to_contain_text("switch is not running", timeout=20_000)
        expect(viewer.page.get_by_role("alert")).to_contain_text("No switch answers on this node")
        found = []
        for path in PAGES:
            viewer.go(path)
            expect(viewer.page.get_by_role("alert")).to_contain_text("No switch answers on this node")
            assert "healthy" not in viewer.page.locator("main").inner_text()
            found += violations(viewer, path)
        assert found == []
    finally:
        portal.switch = portal.node.switch()
