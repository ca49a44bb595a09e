# SPDX-License-Identifier: Apache-2.0
"""The portal as people see it: a node that was attacked, and Debian's Chromium before it.

`--pictures` keeps what the browser saw in `docs/images`, for the README.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from kit.node import Half, Node
from kit.sip import Peer
from kit.sip import Request as Invite
from kit.site import PASSWORD
from kit.waiting import eventually

PICTURES = Path("docs/images")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESK = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}
PAGES = {
    "overview": "/",
    "illegal": "/illegal?range=1h",
    "cdrs": "/cdrs",
    "calls": "/calls",
    "trace": "/trace",
    "firewall": "/firewall",
    "alarms": "/alarms",
    "alarm-rules": "/alarms/rules",
    "gateways": "/gateways",
    "gateway": "/gateways/customer",
    "routes": "/routes",
    "route": "/routes/1",
    "groups": "/groups",
    "route-explain": "/route-explain?from=100&to=0044161496&via=customer&at=2026-11-23T09:00",
    "phones": "/phones",
    "parameters": "/parameters",
    "parameter": "/parameters/SERVER_BILLING_RECORD_ILLEGAL_CALL",
    "users": "/users",
    "tokens": "/tokens",
    "audit": "/audit",
    "exports": "/exports",
    "account": "/account",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(180))
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium (Debian: chromium)"))


@dataclass(kw_only=True)
class Portal:
    """A node with its office, and its address."""

    node: Node
    switch: Half
    address: str
    setup: str
    first_attack_over: str = ""
    """UTC; tests that count look at what came before, whatever other tests have sent since."""

    def add_user(self) -> None:
        """Somebody who may do everything, for tests that are not about the first login."""
        self.node.cli.ok("user", "add", "ann", "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")

    def attack(self, count: int = 30, *, source: str = "127.66.0.1", agent: str = "friendly-scanner") -> None:
        """Calls of a stranger, one number after the other; returns when they are in the ledger."""
        with Peer(self.switch.address("udp"), source) as peer:
            for number in range(count):
                call = Invite(user=f"00{44161000 + number}", caller=f"{100 + number % 7}", user_agent=agent)
                assert peer.ask(call).status == 403

    def ask(self, source: str) -> str:
        """One more call of a source; the reason that is recorded for it."""
        call = Invite(user="0044161", user_agent="once more")
        with Peer(self.switch.address("udp"), source) as peer:
            peer.send(call.write())
        rows = self.node.cli.json("cdr", "list", "--limit", "1", "--source", source)
        assert rows[0]["call_id"] == call.call_id
        reason: str = rows[0]["reason"]
        return reason


@dataclass(kw_only=True)
class Viewer:
    """A browser window that remembers what went wrong in it."""

    portal: Portal
    page: Page
    context: BrowserContext
    faults: list[str] = field(default_factory=list)
    pictures: bool = False

    def watch(self) -> None:
        """Note what the console says, what fails, and requests to other hosts."""

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.faults.append(f"{message.type}: {message.text}")

        def asked(request: Request) -> None:
            if not request.url.startswith((self.portal.address, "data:", "blob:")):
                self.faults.append(f"asked {request.url}")

        self.page.on("console", said)
        self.page.on("request", asked)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))

    def go(self, path: str) -> None:
        """Open a page of the portal."""
        answer = self.page.goto(f"{self.portal.address}{path}")
        assert answer is not None
        assert answer.status < 400, f"{path}: {answer.status}"

    def log_in(self, name: str = "ann") -> None:
        self.go("/login")
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.click("main button.main")
        self.page.wait_for_selector("nav.side")

    def keep(self, name: str) -> None:
        """A picture for the documents, if such are wanted."""
        if self.pictures:
            PICTURES.mkdir(exist_ok=True)
            self.page.screenshot(path=PICTURES / f"{name}.png")


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A node that nobody has set up yet."""
    node = Node(tmp_path_factory.mktemp("portal"))
    try:
        _add_routing(node)
        switch = node.switch()
        office = node.office()
        found = eventually(
            lambda: re.findall(r"(http://127\.0\.0\.1:\d+)(/setup/\S+)", office.log.read_text())
        )
        [(address, setup)] = found
        yield Portal(node=node, switch=switch, address=address, setup=setup)
    finally:
        node.end()


def _add_routing(node: Node) -> None:
    """A customer, and the vendors that its calls go to."""
    for line in (
        "group add europe --remark wholesale",
        "gateway add customer 192.0.2.1 --lines 60 --groups europe --callee-rule 00: --first-policy cost",
        "gateway set customer --callee-length 7-15",
        "route add lisbon 192.0.2.10:5080 --group europe --cost-per-minute 0.0125 --lines 30",
        "route set lisbon --prefixes '44 351 353' --window mon-fri/08:00-18:00/Europe/Madrid",
        "route add madrid sip.example.com --group europe --cost-per-minute 0.02 --transport tcp",
        "route set madrid --prefixes '44161 34' --prefix-mode continue",
        "route add reserve 192.0.2.11 --priority 9",
    ):
        node.cli.ok(*shlex.split(line))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM)
        yield opened
        opened.close()


@pytest.fixture
def viewer(request: pytest.FixtureRequest, portal: Portal, browser: Browser) -> Iterator[Viewer]:
    """A window of a size and theme; fails the test for anything that went wrong in it."""
    look = getattr(request, "param", {})
    context = browser.new_context(
        viewport=look.get("viewport", DESK),
        color_scheme=look.get("theme", "light"),
        locale=look.get("locale", "en-GB"),
        timezone_id="Europe/Madrid",
        accept_downloads=True,
    )
    made = Viewer(
        portal=portal,
        page=context.new_page(),
        context=context,
        pictures=request.config.getoption("--pictures"),
    )
    made.watch()
    yield made
    context.close()
    assert made.faults == []
