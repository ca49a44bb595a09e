# SPDX-License-Identifier: Apache-2.0
"""The trace in a real browser: found, looked at light, dark and on a phone, taken out as a capture."""

import io
from pathlib import Path

import dpkt
import pytest
from playwright.sync_api import expect

from browser.conftest import PHONE, Viewer
from kit.sip import Peer, Request
from ringfence.control.client import ControlClient
from ringfence.control.messages import TraceRequest

GATEWAY = "127.0.0.30"
SAYING = "<script>window.owned=1</script>"
LOOKS = [
    pytest.param({}, id="light"),
    pytest.param({"theme": "dark"}, id="dark"),
    pytest.param({"viewport": PHONE, "locale": "es-ES"}, id="phone-in-Spanish"),
]


@pytest.fixture(scope="module")
def call(portal) -> Request:  # type: ignore[no-untyped-def]
    """A call of a gateway, once repeated, with a script in a field of it."""
    portal.add_user()
    # No vendor that it may use takes the call, so nothing leaves this machine.
    portal.node.cli.ok("gateway", "add", "acme", GATEWAY, "--groups", "europe")
    made = Request(user="004930123456", caller="1001", extra=(f"Subject: {SAYING}",), user_agent="PBX/2")
    with Peer(portal.switch.address("udp"), GATEWAY) as gateway:
        for _ in range(2):
            assert gateway.ask(made).status == 503
    return made


@pytest.mark.parametrize("viewer", LOOKS, indirect=True)
def test_a_call_is_found_and_drawn(viewer: Viewer, call: Request, request: pytest.FixtureRequest) -> None:
    viewer.log_in()
    viewer.go("/trace")
    viewer.page.fill("input[name=number]", "0049*")
    viewer.page.click("main form.fields button.main")
    viewer.page.click(f"main td a:text-is('{call.call_id}')")
    ladder = viewer.page.locator("svg.ladder")
    expect(ladder).to_be_visible()
    expect(ladder).to_contain_text("503 Service Unavailable")
    # The answer comes again until it is acknowledged, which it never is here.
    expect(viewer.page.locator("details.message").nth(3)).to_be_visible()
    viewer.page.locator("details.message summary").first.click()
    expect(viewer.page.locator("details.message pre").first).to_contain_text(SAYING)
    assert viewer.page.evaluate("window.owned") is None
    width = viewer.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0
    if request.node.callspec.id == "light":
        viewer.keep("trace")


def test_a_record_shows_its_ladder_in_the_drawer(viewer: Viewer, call: Request) -> None:
    viewer.log_in()
    with ControlClient(viewer.portal.node.data_dir) as client:
        assert client.trace(TraceRequest(call_ids=(call.call_id,))).entries
    viewer.go(f"/cdrs?call_id={call.call_id}")
    viewer.page.locator("tr[data-detail]").first.click()
    drawer = viewer.page.locator("aside.drawer")
    expect(drawer.locator("svg.ladder")).to_contain_text("Admitted: mapping gateway acme")
    expect(drawer.locator("svg.ladder")).to_contain_text("Ended by the switch")


def test_a_capture_is_a_download(viewer: Viewer, call: Request) -> None:
    viewer.log_in()
    viewer.go(f"/trace?call={call.call_id}")
    with viewer.page.expect_download() as waiting:
        viewer.page.click("button:text-is('Capture file')")
    assert waiting.value.suggested_filename == "ringfence-trace.pcap"
    capture = Path(waiting.value.path()).read_bytes()
    packets = [dpkt.ip.IP(packet) for _, packet in dpkt.pcap.Reader(io.BytesIO(capture))]
    assert packets[0].data.data == call.write()
    viewer.go("/audit?kind=trace")
    expect(viewer.page.locator("table")).to_contain_text("download")
