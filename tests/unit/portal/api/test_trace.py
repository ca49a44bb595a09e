# SPDX-License-Identifier: Apache-2.0
import io

import dpkt
import pytest

from kit.traces import B1, B2, A

from .conftest import Site


def test_a_call_comes_with_its_messages_and_decisions(site: Site) -> None:
    answer = site.client.get(f"trace?call_id={A}", headers=site.bearing("analyst"))
    assert answer.status_code == 200, answer.text
    assert site.switch.traces_asked[-1].call_ids == (A,)
    shown = answer.json()
    assert (shown["is_on"], shown["is_cut"]) == (True, False)
    [call] = shown["calls"]
    assert call["call_ids"] == [A, B1, B2]
    assert [party["role"] for party in call["parties"]] == ["caller", "switch", "gateway", "gateway"]
    first, second, third = call["steps"][:3]
    assert (first["from"], first["label"], first["is_repeat"]) == ("198.51.100.7:5060", "INVITE (SDP)", False)
    assert first["message"].startswith("INVITE sip:004930123@192.0.2.1 SIP/2.0\r\n")
    assert second["after_s"] == 0.001
    assert third["note"] == "Admitted: mapping gateway acme"


def test_conditions_and_the_limit_go_to_the_switch(site: Site) -> None:
    site.client.get("trace?number=0049*&source=192.0.2.0/24&limit=3", headers=site.bearing())
    asked = site.switch.traces_asked[-1]
    assert (asked.number, asked.source, asked.calls) == ("0049*", "192.0.2.0/24", 3)


def test_a_capture_is_a_file_and_is_in_the_audit(site: Site) -> None:
    answer = site.client.get("trace/pcap?number=1001", headers=site.bearing("analyst"))
    assert answer.headers["content-type"] == "application/vnd.tcpdump.pcap"
    assert len(list(dpkt.pcap.Reader(io.BytesIO(answer.content)))) == 15
    [row] = site.settings.audit(kind="trace")
    assert (row.actor, row.after) == ("token:a-analyst", '{"number":"1001"}')


@pytest.mark.parametrize("path", ["trace", "trace/pcap"])
def test_without_a_switch_or_the_right_there_is_nothing(site: Site, path: str) -> None:
    assert site.client.get(path, headers=site.bearing("viewer")).status_code == 403
    wrong = site.client.get(f"{path}?source=nonsense", headers=site.bearing())
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "source")
    site.switch.runs = False
    gone = site.client.get(path, headers=site.bearing())
    assert (gone.status_code, gone.json()["error"]["code"]) == (503, "no_switch")
    assert site.settings.audit(kind="trace") == ()
