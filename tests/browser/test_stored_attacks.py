# SPDX-License-Identifier: Apache-2.0
"""What strangers put into their fields, sent to a real edge: inert on every page and in every file."""

import csv
import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

import openpyxl
import pytest

from browser.conftest import PHONE, Portal, Viewer
from kit.sip import Peer
from kit.waiting import eventually
from ringfence.ledger.schema import COLUMN_NAMES

LONG_BYTES = 64_000
SAYINGS = {
    "script": b"<script>window.owned=1</script>",
    "handler": b"\"'><img src=x onerror=window.owned=1>",
    "address": b"javascript:window.owned=1//",
    "template": b"{{7*7}}${7*7}<%=7*7%>",
    "formula": b'=HYPERLINK("http://evil.example","owned")',
    "command": b"@SUM(1+1)*cmd|'/C calc'!A0",
    "terminal": b"\x1b]0;owned\x07\x1b[2J\x9b31m",
    "turned": "\u202eowned\u2066\u200f\u061c".encode(),
    "unseen": b"\x00\x08owned\x7f\x85\xff\xfe",
    "long": b"owned" + b"A" * LONG_BYTES,
    "long and turned": b"owned" + "\u202e\U0001f4a3".encode() * (LONG_BYTES // 7),
}
FIELDS = (
    "method",
    "request user",
    "from name",
    "from user",
    "to user",
    "via",
    "call-id",
    "user-agent",
    "digest user",
    "own header",
    "body",
)
LOOKS = [pytest.param({}, id="desk"), pytest.param({"viewport": PHONE, "theme": "dark"}, id="phone")]
PAGES = (
    "/",
    "/illegal?range=1h&show=all",
    "/illegal?range=1h",
    "/cdrs",
    "/cdrs?kind=event",
    f"/cdrs?columns={','.join(name for name in COLUMN_NAMES if name != 'raw')}",
    "/alarms",
    "/firewall",
)
# What no page may hold: elements and attributes that only a stranger can have put there.
FOREIGN = """() => [...document.querySelectorAll(
  "script:not([src^='/static/']), style, img, iframe, object, embed, base, link:not([href^='/static/']),"
  + "[onerror], [onload], [style], a[href^='javascript:' i], a[href^='data:' i], a[href*='//evil.example']"
)].map((element) => element.outerHTML.slice(0, 200))"""
# What a person sees or hears of a page; what a field of a form holds is what was asked for, exactly.
SEEN = """() => [document.title, document.body.innerText, ...["title", "aria-label", "placeholder"].flatMap(
  (name) => [...document.querySelectorAll(`[${name}]`)].map((element) => element.getAttribute(name))
)].join("\\n")"""
# Control characters except line ends and tabs, and whatever turns writing around.
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
WRITTEN_BY_STRANGERS = (
    *("callerE164", "callerAccessE164", "callerProductId", "calleeE164", "calleeAccessE164"),
    *("method", "user_agent", "auth_number", "call_id"),
)


def messages(saying: bytes, transport: bytes) -> Iterator[bytes]:
    """A call for each field, with the saying in that field alone; then one with it in all."""
    for place, everywhere in [(field, False) for field in FIELDS] + [("everything", True)]:

        def of(field: str, usual: bytes, *, place: str = place, everywhere: bool = everywhere) -> bytes:
            return saying if everywhere or field == place else usual

        ident = f"{place.replace(' ', '-')}-{crc32(saying)}".encode()
        body = of("body", b"v=0")
        lines = [
            of("method", b"INVITE") + b" sip:" + of("request user", b"0044161") + b"@127.0.0.1 SIP/2.0",
            b"Via: SIP/2.0/" + transport + b" " + of("via", b"127.0.0.1") + b";branch=z9hG4bK" + ident,
            b'From: "' + of("from name", b"x") + b'" <sip:' + of("from user", b"100") + b"@h>;tag=" + ident,
            b"To: <sip:" + of("to user", b"0044161") + b"@127.0.0.1>",
            b"Call-ID: " + of("call-id", b"call-" + ident),
            b"CSeq: 1 " + of("method", b"INVITE"),
            b"Max-Forwards: 70",
            b"User-Agent: " + of("user-agent", b"kit"),
            b'Authorization: Digest username="' + of("digest user", b"100") + b'", realm="r", nonce="n",'
            b' uri="sip:h", response="0123456789abcdef0123456789abcdef"',
            b"X-Own: " + of("own header", b"1"),
            b"Content-Length: " + str(len(body)).encode(),
        ]
        yield b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture(scope="module", autouse=True)
def _attacked(portal: Portal) -> None:
    """Every saying in every field, by datagram where one is large enough, else by connection."""
    portal.add_user()
    read = 0
    with Peer(portal.switch.address("udp"), "127.66.7.1") as peer:
        for saying in SAYINGS.values():
            for message in messages(saying, b"UDP"):
                if len(message) < LONG_BYTES:
                    peer.send(message)
                    read += 1
    portal.node.balanced(read=read)
    for number, name in enumerate(("long", "long and turned")):
        for message in messages(SAYINGS[name], b"TCP"):
            with socket.create_connection(
                portal.switch.address("tcp"), timeout=10, source_address=(f"127.66.8.{number + 1}", 0)
            ) as stream:
                stream.sendall(message)
                stream.shutdown(socket.SHUT_WR)
                while stream.recv(65_535):
                    pass
    books = portal.node.quiet()
    assert books.admitted == 0
    assert books.recorded > len(SAYINGS) * len(FIELDS) // 2, books


def shown_all(viewer: Viewer) -> int:
    """How many records the portal has, once it has all of them."""
    recorded = viewer.portal.node.books().recorded

    def counted() -> int:
        viewer.go("/cdrs?pending=1")
        text = viewer.page.locator("[data-live*='/cdrs/count']")
        text.filter(has_text="records").wait_for()
        found = re.search(r"([\d,]+) records", text.inner_text())
        assert found is not None
        return int(found[1].replace(",", ""))

    return eventually(lambda: (count := counted()) >= recorded and count, within_s=30)


def assert_inert(viewer: Viewer, where: str) -> None:
    page = viewer.page
    assert page.evaluate(FOREIGN) == [], where
    assert page.evaluate("window.owned") is None, where
    assert UNSEEN.findall(page.evaluate(SEEN)) == [], where
    width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0, f"{where} is {width} px too wide"


@pytest.mark.parametrize("viewer", LOOKS, indirect=True)
def test_every_page_shows_what_strangers_sent_and_does_nothing(viewer: Viewer) -> None:
    viewer.log_in()
    assert shown_all(viewer)
    viewer.go("/alarms")
    viewer.page.locator("tr", has_text="20020").first.wait_for(timeout=20_000)
    for path in PAGES:
        viewer.go(path)
        viewer.page.locator(".waiting").first.wait_for(state="detached")
        assert_inert(viewer, path)
    viewer.go("/illegal?range=1h&show=all")
    viewer.page.locator(".waiting").first.wait_for(state="detached")
    assert "<script>window.owned=1</script>" in viewer.page.locator("main").inner_text()
    links = viewer.page.locator("main table a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    filters = {link for link in links if "owned" in link or "7%2A7" in link}
    assert filters
    for path in filters:
        viewer.go(path)
        viewer.page.locator(".waiting").first.wait_for(state="detached")
        assert_inert(viewer, path)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("viewer", LOOKS, indirect=True)
def test_every_record_is_inert_in_the_list_as_a_page_and_in_the_drawer(viewer: Viewer) -> None:
    viewer.log_in()
    shown_all(viewer)
    places: list[str] = []
    viewer.go("/cdrs")
    older = viewer.page.locator("a[rel=next]")
    while True:
        assert_inert(viewer, viewer.page.url)
        rows = viewer.page.locator("tr[data-detail]")
        places += rows.evaluate_all("rows => rows.map(row => row.dataset.detail)")
        if not older.count():
            break
        viewer.go(older.get_attribute("href") or "")
    assert len(places) == len(set(places))
    # A phone shows the same in another order: some are enough there.
    for place in places[:: 1 if viewer.page.viewport_size != PHONE else 7]:
        viewer.go(place)
        assert_inert(viewer, place)
    viewer.go("/cdrs")
    for row in viewer.page.locator("tr[data-detail]").all()[:12]:
        row.focus()
        viewer.page.keyboard.press("Enter")
        viewer.page.locator(".drawer h1").wait_for()
        assert_inert(viewer, f"drawer of {row.get_attribute('data-detail')}")
        viewer.page.keyboard.press("Escape")


def test_a_search_for_what_a_stranger_sent_is_inert(viewer: Viewer) -> None:
    viewer.log_in()
    for saying in SAYINGS.values():
        text = saying.decode("latin-1")[:200]
        answer = viewer.page.goto(f"{viewer.portal.address}/search?q={quote(text)}")
        assert answer is not None
        assert answer.status in (200, 400), text
        assert_inert(viewer, text)
    # The console notes every answer that is no success; some of these can be nothing that is looked for.
    viewer.faults = [fault for fault in viewer.faults if "status of 400" not in fault]


def exported(viewer: Viewer, form: str) -> bytes:
    """Every record in a file."""
    viewer.go("/cdrs")
    viewer.page.click("[data-dialog=export]")
    viewer.page.select_option("dialog#export select[name=format]", form)
    viewer.page.click("dialog#export button.main")
    own = viewer.page.locator("tr", has=viewer.page.get_by_role("cell", name=form, exact=True))
    fetch = own.get_by_role("link", name="Download")
    fetch.wait_for(timeout=20_000)
    with viewer.page.expect_download() as waiting:
        fetch.click()
    return Path(waiting.value.path()).read_bytes()


def test_no_file_holds_a_formula_or_a_character_that_acts(viewer: Viewer) -> None:
    viewer.log_in()
    count = shown_all(viewer)
    text = exported(viewer, "csv").decode()
    assert UNSEEN.findall(text.removeprefix("\ufeff")) == []
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert len(rows) <= count
    cells = [row[name] for row in rows for name in WRITTEN_BY_STRANGERS]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if re.match(r"\s*[=@+\-\t\r](?!\d*$)", cell)]
    sheet = openpyxl.load_workbook(io.BytesIO(exported(viewer, "xlsx"))).active
    assert sheet is not None
    values: list[Any] = [cell for row in sheet.iter_rows() for cell in row]
    assert not [cell.value for cell in values if cell.data_type == "f"]
    assert not [cell.value for cell in values if isinstance(cell.value, str) and UNSEEN.search(cell.value)]
    told = exported(viewer, "json").decode("ascii")
    assert UNSEEN.findall(told) == []
    assert len(json.loads(told)) == len(rows)
    assert UNSEEN.findall(exported(viewer, "vos").decode()) == []
