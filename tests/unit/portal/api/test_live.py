# SPDX-License-Identifier: Apache-2.0
"""The live stream: once a second, bounded, over when the client goes."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from kit.journal import OPTIONS
from kit.ledgers import take_in
from ringfence.portal.api import create_api
from ringfence.portal.api.live import LOOKED_AT, SHOWN, STREAM_TICKS, STREAMS

from .conftest import ATTACKS, GrowingSite, Site

Event = tuple[str, Any]


@dataclass
class Stream:
    """One client of the stream, by ASGI; `between` is called while a second passes."""

    site: Site
    between: Callable[[int], None] = lambda _: None
    ticks: int = 3
    chunks: list[bytes] = field(default_factory=list)
    status: int = 0
    waited: int = 0

    def events(self, query: str = "", role: str = "viewer") -> list[Event]:
        """What came until the client went."""
        asyncio.run(asyncio.wait_for(self._run(query, role), 20))
        found = []
        for block in b"".join(self.chunks).decode().split("\n\n"):
            if block.startswith("event: "):
                name, _, data = block.partition("\n")
                found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        return found

    async def _run(self, query: str, role: str) -> None:
        gone = asyncio.Event()

        async def wait(seconds: float) -> None:
            assert seconds == 1
            self.waited += 1
            self.between(self.waited)
            self.site.clock.advance(seconds)
            if self.waited == self.ticks:
                gone.set()
            await asyncio.sleep(0)

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                self.chunks.append(message["body"])

        app = create_api(self.site.office, jobs=self.site.jobs, wait=wait)
        self.app = app
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/live",
            "raw_path": b"/live",
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"authorization", self.site.bearing(role)["authorization"].encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await app(scope, receive, send)


def news(events: list[Event]) -> list[Any]:
    return [content for name, content in events if name == "cdrs"]


def test_each_second_tells_what_was_added(growing: GrowingSite) -> None:
    def more(tick: int) -> None:
        growing.switch.counted["read"] += tick
        growing.journal.refuse(growing.clock.utc_us(), callee=f"9{tick}")
        take_in(growing.records)

    stream = Stream(growing, more)
    events = stream.events()
    ticks = [content for name, content in events if name == "tick"]
    assert [tick["counters"]["read"] for tick in ticks[:3]] == [21, 22, 24]
    assert [tick["deltas"].get("read") for tick in ticks[:3]] == [None, 1, 2]
    assert [tick["books"]["deltas"].get("read") for tick in ticks[:3]] == [None, 1, 2]
    assert [[row["calleeAccessE164"] for row in each["cdrs"]] for each in news(events)[:2]] == [
        ["91"],
        ["92"],
    ]
    assert (stream.status, stream.app.state.live.open) == (200, 0)


def test_a_switch_started_anew_begins_at_zero(site: Site) -> None:
    def restart(_: int) -> None:
        site.switch.run += 1
        site.switch.counted = {"read": 4}

    ticks = [content for name, content in Stream(site, restart).events("cdrs=false") if name == "tick"]
    assert ticks[1]["deltas"] == {"read": 4}
    assert ticks[1]["books"]["deltas"]["read"] == 4


def test_without_switch_or_ledger_the_stream_goes_on(site: Site) -> None:
    site.switch.runs = False
    site.ledger.found = None
    events = Stream(site).events()
    assert events[0] == (
        "tick",
        {"at": "2024-11-22T00:00:20.000000Z", "switch": False, "counters": {}, "deltas": {}, "books": None},
    )
    assert events[1] == ("problem", {"code": "starting", "message": "the ledger is starting"})


def test_kinds_are_chosen(growing: GrowingSite) -> None:
    def more(tick: int) -> None:
        growing.journal.refuse(growing.clock.utc_us(), method=OPTIONS)
        growing.journal.refuse(growing.clock.utc_us())
        take_in(growing.records)

    found = news(Stream(growing, more, ticks=2).events("kind=event"))
    assert {row["kind"] for each in found for row in each["cdrs"]} == {"event"}


def test_a_flood_is_counted_and_not_sent(growing: GrowingSite) -> None:
    def flood(tick: int) -> None:
        for _ in range({1: 150, 2: LOOKED_AT + 50}.get(tick, 0)):
            growing.journal.refuse(growing.clock.utc_us())
        take_in(growing.records)

    first, second = news(Stream(growing, flood).events())[:2]
    assert [len(each["cdrs"]) for each in (first, second)] == [SHOWN, SHOWN]
    assert (first["skipped"], first["is_skipped_exact"]) == (50, True)
    assert (second["skipped"], second["is_skipped_exact"]) == (LOOKED_AT - SHOWN, False)


def test_a_record_that_comes_late_is_news_once(growing: GrowingSite) -> None:
    growing.journal.refuse(growing.clock.utc_us(), callee="early")
    growing.journal.refuse(growing.clock.utc_us() - 30_000_000, callee="late")
    growing.journal.visible[0] = 129
    take_in(growing.records)

    def more(tick: int) -> None:
        growing.journal.visible[0] = 1 << 60
        take_in(growing.records)

    found = news(Stream(growing, more, ticks=4).events())
    assert [[row["calleeAccessE164"] for row in each["cdrs"]] for each in found] == [["late"]]


def test_what_strangers_sent_ends_no_event(growing: GrowingSite) -> None:
    def more(tick: int) -> None:
        for attack in ATTACKS:
            growing.journal.refuse(growing.clock.utc_us(), callee=attack, user_agent=attack)
        take_in(growing.records)

    stream = Stream(growing, more, ticks=2)
    found = news(stream.events())
    assert {row["calleeAccessE164"] for row in found[0]["cdrs"]} == set(ATTACKS)
    assert b"\r" not in b"".join(stream.chunks)
    assert b"\x1b" not in b"".join(stream.chunks)


def test_a_stream_ends_by_itself(site: Site) -> None:
    stream = Stream(site, ticks=10**9)
    events = stream.events("cdrs=false")
    assert len(events) == stream.waited == STREAM_TICKS


def test_streams_are_so_many_at_most(site: Site) -> None:
    api = site.app.routes[0].app  # type: ignore[attr-defined]
    api.state.live.open = STREAMS
    answer = site.client.get("live", headers=site.bearing("viewer"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_streams")
    assert api.state.live.open == STREAMS


def test_all_streams_share_one_look_at_the_switch(site: Site) -> None:
    live = create_api(site.office, jobs=site.jobs).state.live

    async def look() -> None:
        await asyncio.gather(*(live.sample() for _ in range(20)))

    asyncio.run(look())
    assert site.switch.asked == 1


def test_a_wrong_question_opens_no_stream(site: Site) -> None:
    answer = site.client.get(f"live?kind={quote('x')}", headers=site.bearing())
    assert answer.status_code == 422
