# SPDX-License-Identifier: Apache-2.0
"""The pages: what strangers sent is inert, links lead on, health tells the truth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from kit.clock import ManualClock
from kit.journal import OPTIONS, SOURCE_IS_AUTHORISED, T0_US, Journal
from kit.ledgers import ledger_of
from ringfence.errors import StoreError
from ringfence.ledger.service import Stats
from ringfence.ledger.store import CdrStore
from ringfence.portal.app import create_app
from ringfence.portal.text import visible


@dataclass(kw_only=True)
class FakeOffice:
    found: CdrStore | None
    stats: Stats

    @property
    def store(self) -> CdrStore:
        if self.found is None:
            raise StoreError("the ledger is starting", hint="try again in a moment", code="starting")
        return self.found


@dataclass(kw_only=True)
class Site:
    client: TestClient
    office: FakeOffice
    switch: dict[str, int] | None


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def site(journal: Journal, tmp_path: Path) -> Iterator[Site]:
    for n in range(120):
        journal.refuse(
            T0_US + n, source=f"198.51.100.{n % 3}", callee=f"00{n:03d}", method=OPTIONS if n % 2 else 1
        )
    journal.refuse(
        T0_US + 200,
        caller="<script>alert(1)</script>",
        callee="\u202e001\r\nX: y\x00",
        user_agent='"><img src=x onerror=alert(1)>',
        call_id="{{ 7 * 7 }}",
        flags=SOURCE_IS_AUTHORISED,
    )
    clock = ManualClock(T0_US + 20_000_000)
    with ledger_of(journal, tmp_path, clock) as ledger:
        office = FakeOffice(found=ledger.store, stats=Stats(progress=ledger.progress))
        made = Site(client=TestClient(None), office=office, switch={"read": 7, "tcp_connections_open": 2})  # type: ignore[arg-type]

        def counters() -> Mapping[str, int] | None:
            return made.switch

        app = create_app(office, counters, clock, node="n<1>")
        with TestClient(app, base_url="http://127.0.0.1:8080") as client:
            made.client = client
            yield made


def test_what_a_stranger_sent_is_shown_and_does_nothing(site: Site) -> None:
    page = site.client.get("/")
    assert page.status_code == 200
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert "\u202e" not in page.text
    assert "\\u202e001\\r\\nX: y\\x00" in page.text
    assert "n&lt;1&gt;" in page.text


@pytest.mark.parametrize("path", ["/", "/style.css", "/metrics", "/health/live", "/none"])
def test_every_answer_forbids_what_it_does_not_need(site: Site, path: str) -> None:
    headers = site.client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert headers["x-content-type-options"] == "nosniff"


def test_older_rows_are_a_link_away_and_none_is_shown_twice(site: Site) -> None:
    seen = []
    address = "/?kind=illegal"
    while address:
        text = site.client.get(address).text
        seen += [part.split('"')[0] for part in text.split('title="2024')[1:]]
        older = [part for part in text.split('<a href="') if 'rel="next"' in part.split(">")[0]]
        address = older[0].split('"')[0].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 60


def test_kinds_and_filters_are_links(site: Site) -> None:
    text = site.client.get("/?kind=event&source=198.51.100.1").text
    assert 'href="/?kind=illegal&amp;source=198.51.100.1"' in text
    assert 'href="/?kind=event" ' not in text
    assert 'class="chip" href="/?kind=event"' in text
    assert "198.51.100.0" not in text


@pytest.mark.parametrize("asked", ["kind=x", "source=1.2.3", "below=7", "source=%00"])
def test_an_address_that_asks_nonsense_is_told_so(site: Site, asked: str) -> None:
    page = site.client.get(f"/?{asked}")
    assert page.status_code == 400
    assert 'role="alert"' in page.text


def test_a_filter_without_rows_says_so(site: Site) -> None:
    assert "No records match" in site.client.get("/?callee=nobody").text


def test_without_a_ledger_the_page_says_what_happens(site: Site) -> None:
    site.office.found = None
    page = site.client.get("/")
    assert page.status_code == 503
    assert "the ledger is starting" in page.text


def test_a_late_ledger_is_said_on_the_page_and_makes_the_office_unready(site: Site) -> None:
    site.office.stats = Stats(lag_s=90.0)
    assert "90 s behind" in site.client.get("/").text
    answer = site.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the ledger is 90 s behind the journal"]


def test_health_tells_ready_from_live(site: Site) -> None:
    assert site.client.get("/health/ready").json() == {"ready": True, "reasons": [], "notes": []}
    site.office.found = None
    site.switch = None
    ready = site.client.get("/health/ready")
    assert (ready.status_code, ready.json()["notes"]) == (503, ["the switch does not answer"])
    assert site.client.get("/health/live").json() == {"status": "live"}


def test_metrics_name_no_stranger(site: Site) -> None:
    text = site.client.get("/metrics").text
    assert 'ringfence_edge_total{counter="read"} 7.0' in text
    assert "ringfence_edge_tcp_connections_open 2.0" in text
    assert "ringfence_ledger_held_frames 121.0" in text
    assert "ringfence_switch_up 1.0" in text
    assert "198.51" not in text


def test_metrics_go_on_without_a_switch(site: Site) -> None:
    site.switch = None
    text = site.client.get("/metrics").text
    assert "ringfence_switch_up 0.0" in text
    assert "ringfence_ledger_lag_seconds 0.0" in text


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8080", 200), ("[::1]:8080", 200), ("localhost", 200), ("evil.example", 421), ("", 421)],
)
def test_a_name_that_anyone_may_point_here_is_refused(site: Site, host: str, status: int) -> None:
    assert site.client.get("/health/live", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("text", "seen"), [("a b", "a b"), ("\x1b[2J", "\\x1b[2J"), ("\u2066x", "\\u2066x"), ("é", "é")]
)
def test_only_what_can_be_seen_is_shown_as_it_is(text: str, seen: str) -> None:
    assert visible(text) == seen
