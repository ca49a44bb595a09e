# SPDX-License-Identifier: Apache-2.0
"""Ladders in the portal: found, drawn, taken out as a capture; what senders wrote is inert in them."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from kit.journal import T0_US, Journal
from kit.site import Site, site_over
from kit.traces import A, a_call, entry, note, traced
from ringfence.control.messages import Traced
from ringfence.errors import ControlError
from ringfence.portal.ladders import drawing
from ringfence.portal.words import translator
from ringfence.settings.model import Role
from ringfence.text import sentence
from ringfence.trace import decisions
from ringfence.trace.ladder import ladders

SAYINGS = {
    "script": "<script>alert(1)</script>",
    "handler": '"><img src=x onerror=alert(1)>',
    "template": "{{ 7 * 7 }}",
    "turned": "\u202e001\u2066",
    "terminal": "\x1b]0;owned\x07\x1b[2J\x00\x85",
    "long": "A" * 64_000,
    "format": "{0.__class__}",
}


def attacked(saying: str) -> Traced:
    """Every field of a message, and a note, with what somebody wrote into it."""
    return traced(
        [
            entry(
                "received", "INVITE", call_id=saying, caller=saying, callee=saying, cseq=saying, body=saying
            ),
            entry("sent", f"486 {saying}", call_id=saying, after_ms=1),
            note(decisions.encode(decisions.attempted(1, saying, saying)), call_id=saying),
            note(saying.encode(), call_id=saying),
        ]
    )


def drawn(call: Traced) -> str:
    [ladder] = ladders(call.entries)
    return str(drawing(ladder, translator("en")))


def test_the_newest_calls_are_listed_with_links_to_each(site: Site) -> None:
    site.log_in(Role.ANALYST)
    site.switch.traced = a_call()
    page = site.get("/trace?number=1001")
    assert site.switch.traces_asked[0].number == "1001"
    assert 'href="/trace?call=a84b4c76e66710%40198.51.100.7"' in page.text
    assert "200 OK (SDP)" in page.text
    assert "Capture file" in page.text


def test_a_call_is_a_ladder_with_its_messages(site: Site) -> None:
    site.log_in(Role.ANALYST)
    site.switch.traced = a_call()
    page = site.get(f"/trace?call={A}")
    assert site.switch.traces_asked[0].call_ids == (A,)
    svg = re.search(r"<svg class=\"ladder\".*?</svg>", page.text, re.DOTALL)
    assert svg is not None
    texts = [each.text for each in ET.fromstring(svg[0]).iter() if each.tag.endswith("text")]  # noqa: S314 - ours
    assert {"Caller", "Us", "Gateway", "203.0.113.9:5080", "1  INVITE (SDP)", "0.502"} <= set(texts)
    assert "Attempt 1: gateway carrier-a, number 4930123" in texts
    assert any(text and text.startswith("4  INVITE (SDP) (repeated") for text in texts)
    assert page.text.count('class="more message"') == 15
    assert "m=audio 4000" in page.text


def test_a_page_says_why_there_is_nothing(site: Site) -> None:
    site.log_in(Role.ANALYST)
    assert "No switch answers" in site.get("/trace").text
    site.switch.traced = traced([])
    assert "Nothing yet." in site.get("/trace").text
    site.switch.traced = Traced(entries=(), oldest_us=T0_US, is_on=True, is_cut=False)
    assert "it reaches back to" in site.get("/trace?number=7").text
    site.switch.traced = Traced(entries=(), oldest_us=None, is_on=False, is_cut=False)
    assert "set RF_TRACE_BYTES" in site.get("/trace").text


@pytest.mark.parametrize("query", ["source=nonsense", f"number={'1' * 129}", f"call={'x' * 1001}"])
def test_what_cannot_be_asked_is_told(site: Site, query: str) -> None:
    site.log_in(Role.ANALYST)
    page = site.get(f"/trace?{query}")
    assert page.status == 400
    assert 'role="alert"' in page.text
    assert site.switch.traces_asked == []


def test_a_viewer_sees_no_messages(site: Site) -> None:
    site.log_in(Role.VIEWER)
    site.switch.traced = a_call()
    assert site.get("/trace").status == 403
    assert "/trace" not in site.get("/").text
    assert site.switch.traces_asked == []


def test_whoever_takes_a_capture_is_in_the_audit(site: Site) -> None:
    site.log_in(Role.ANALYST)
    site.switch.traced = a_call()
    version = site.settings.version()
    answer = site.client.post(
        "/trace/pcap", data={"csrf": site_token(site), "number": "1001", "source": "192.0.2.0/24"}
    )
    assert answer.headers["content-type"] == "application/vnd.tcpdump.pcap"
    assert 'filename="ringfence-trace.pcap"' in answer.headers["content-disposition"]
    assert answer.content[:4] == b"\xa1\xb2\xc3\xd4"
    [row] = site.settings.audit(kind="trace")
    assert (row.actor, row.action, row.after) == (
        "user:analyst",
        "download",
        '{"number":"1001","source":"192.0.2.0/24"}',
    )
    assert site.settings.version() == version


def site_token(site: Site) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', site.get("/account").text)
    assert found is not None
    return found[1]


def test_without_a_switch_there_is_no_capture_and_no_audit(site: Site) -> None:
    site.log_in(Role.ANALYST)
    assert site.post("/trace/pcap", number="1001").status == 503
    assert site.settings.audit(kind="trace") == ()


def a_call_record() -> Journal:
    journal = Journal()
    journal.end_call(
        T0_US,
        gateway="acme",
        caller="1001",
        caller_access="1001",
        callee="4930123",
        callee_access="004930123",
        call_id=A,
    )
    return journal


@pytest.mark.parametrize("role", [Role.ANALYST, Role.VIEWER])
def test_a_record_shows_the_ladder_while_the_call_is_in_memory(tmp_path: Path, role: Role) -> None:
    with site_over(a_call_record(), tmp_path) as site:
        site.log_in(role)
        place = re.search(r'data-detail="(/cdrs/[^"]+)"', site.get("/cdrs").text)
        assert place is not None
        assert 'svg class="ladder"' not in site.get(place[1]).text
        site.switch.traced = a_call()
        page = site.get(place[1], **{"x-part": "1"})
        assert ('svg class="ladder"' in page.text) == (role is Role.ANALYST)
        assert ("Numbers by the rules: 1001 calls 4930123" in page.text) == (role is Role.ANALYST)


def test_a_switch_that_fails_hides_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ControlError("too slow")

    with site_over(a_call_record(), tmp_path) as site:
        site.log_in()
        monkeypatch.setattr(site.switch, "trace", fail)
        place = re.search(r'data-detail="(/cdrs/[^"]+)"', site.get("/cdrs").text)
        assert place is not None
        assert site.get(place[1]).status == 200
        assert site.get("/trace").status == 503


@pytest.mark.parametrize("saying", SAYINGS.values(), ids=SAYINGS)
def test_what_senders_say_is_inert(site: Site, saying: str) -> None:
    site.log_in(Role.ANALYST)
    site.switch.traced = attacked(saying)
    for address in ("/trace", "/trace?call=x"):
        page = site.get(address)
        assert page.status == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert "7 * 7 }}" in page.text or saying != "{{ 7 * 7 }}"
        assert "49" not in re.findall(r"<text[^>]*>([^<]*)</text>", page.text)
        assert not set("\u202e\u2066\x1b\x07\x00\x85") & set(page.text)
    for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawn(site.switch.traced)):
        assert len(text) < 400


def test_a_drawing_is_one_element_without_script_or_style() -> None:
    svg = drawn(a_call())
    assert "style=" not in svg
    assert "<script" not in svg
    ET.fromstring(svg)  # noqa: S314 - ours


@pytest.mark.parametrize("language", ["es", "zh"])
def test_a_drawing_speaks_the_readers_language(language: str) -> None:
    [ladder] = ladders(a_call().entries)
    svg = str(drawing(ladder, translator(language)))
    assert "Caller" not in svg
    assert "Attempt" not in svg
    assert "Admitted" not in svg


def test_a_long_note_is_wrapped_into_the_drawing() -> None:
    said = decisions.encode(sentence("{text}", text="word " * 60))
    call = traced(
        [entry("received", "INVITE"), note(said, after_ms=1), entry("sent", "100 Trying", after_ms=2)]
    )
    svg = drawn(call)
    assert svg.count(">word word") > 2
