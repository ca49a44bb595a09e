# SPDX-License-Identifier: Apache-2.0
"""The trace on the wire: what known sources exchange with a real switch, as ladder, capture and HEP3."""

import io
import socket
import struct
from pathlib import Path

import dpkt
import pytest

from kit.node import Node
from kit.sip import Peer, Phone, Request
from kit.waiting import eventually
from ringfence.control.client import ControlClient
from ringfence.control.messages import TraceRequest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

GATEWAY = "127.0.0.30"
UDP = ("udp:127.0.0.1:0",)


def with_gateway(node: Node) -> None:
    node.cli.ok("gateway", "add", "carrier", GATEWAY)


def test_a_call_of_a_gateway_is_a_ladder_and_a_strangers_is_not(node: Node) -> None:
    switch = node.switch(sip=UDP)
    with_gateway(node)
    call = Request(user="004930123", caller="1001")
    with Peer(switch.address("udp"), GATEWAY) as gateway, Peer(switch.address("udp"), "127.66.0.1") as other:
        assert gateway.ask(call).status == 404
        assert other.ask(Request(user="004930123")).status == 403
    [ladder] = node.cli.json("trace", "--number", "004930*")
    assert ladder["call_ids"] == [call.call_id]
    assert (ladder["caller"], ladder["callee"], ladder["outcome"]) == (
        "1001",
        "004930123",
        "404 Not Found",
    )
    messages = [step["label"] for step in ladder["steps"] if not step.get("is_repeat", True)]
    assert messages == ["INVITE", "404 Not Found"]
    # What the switch noted, and what the record says beside it.
    notes = [step["note"] for step in ladder["steps"] if "note" in step]
    assert notes[0] == "Admitted: mapping gateway carrier"
    assert notes[-1].startswith("Ended by the switch: ")
    shown = node.cli.ok("trace", "--call", call.call_id).stdout
    assert "-- INVITE --" in shown
    assert "* Admitted: mapping gateway carrier" in shown
    assert node.cli.json("trace", "--source", "127.66.0.0/16") == []


def test_a_retransmission_is_shown_with_the_answer_it_gets(node: Node) -> None:
    switch = node.switch(sip=UDP)
    with_gateway(node)
    call = Request(caller="1001")
    with Peer(switch.address("udp"), GATEWAY) as gateway:
        assert gateway.ask(call).status == 404
        assert gateway.ask(call).status == 404
    [ladder] = node.cli.json("trace", "--source", GATEWAY)
    steps = [step for step in ladder["steps"] if "label" in step]
    # Without an ACK the answer goes again by itself too, later.
    assert [step["is_repeat"] for step in steps[:4]] == [False, False, True, True]


def test_a_phones_credentials_are_not_in_its_trace(node: Node) -> None:
    switch = node.switch(sip=UDP)
    node.cli.ok("phone", "add", "1001", "--password-stdin", stdin="long secret words\n")
    with Peer(switch.address("udp"), "127.0.0.40") as peer:
        answer, sent = Phone(peer, "1001", "long secret words").register()
    assert answer.status == 200
    secret = sent.partition(b'response="')[2][:32].decode()
    shown = node.cli.ok("trace", "--number", "1001", "--format", "json").stdout
    assert "REGISTER" in shown
    assert 'username=\\"1001\\"' in shown
    assert secret not in shown
    assert f'response=\\"{"*" * 32}\\"' in shown


def test_a_message_over_tcp_is_traced_like_one_over_udp(node: Node) -> None:
    switch = node.switch()
    with_gateway(node)
    with socket.create_connection(switch.address("tcp"), 5, (GATEWAY, 0)) as connection:
        connection.sendall(Request(transport="TCP", caller="1001").write())
        assert b"404" in connection.recv(65_535)
    [ladder] = node.cli.json("trace")
    steps = [step for step in ladder["steps"] if "label" in step]
    assert {step["transport"] for step in steps} == {"TCP"}


def test_a_capture_holds_what_was_on_the_wire(node: Node, tmp_path: Path) -> None:
    switch = node.switch(sip=UDP)
    with_gateway(node)
    call = Request(user="004930123", caller="1001")
    path = tmp_path / "call.pcap"
    with Peer(switch.address("udp"), GATEWAY) as gateway:
        answer = gateway.ask(call)
        assert (
            "2 messages written" in node.cli.ok("trace", "--call", call.call_id, "--pcap", str(path)).stderr
        )
    with path.open("rb") as file:
        first, second = (dpkt.ip.IP(packet) for _, packet in dpkt.pcap.Reader(file))
    assert first.data.data == call.write()
    assert second.data.data == answer.raw
    assert (first.data.sport, second.data.dport) == (gateway.port, gateway.port)
    piped = node.cli.ok("trace", "--pcap", "-")
    assert len(list(dpkt.pcap.Reader(io.BytesIO(piped.stdout_bytes)))) == 2


def test_the_ring_is_hot_and_may_be_off(node: Node) -> None:
    switch = node.switch(sip=UDP)
    with_gateway(node)
    with Peer(switch.address("udp"), GATEWAY) as gateway:
        gateway.ask(Request(caller="1001"))
        assert len(node.cli.json("trace")) == 1
        node.cli.ok("param", "set", "RF_TRACE_BYTES", "0")
        kept = node.counters()["trace_entries"]
        gateway.ask(Request(caller="1002"))
        off = node.cli.ok("trace")
    assert off.stdout == ""
    assert "no messages are kept" in off.stderr
    counters = node.counters()
    assert (counters["trace_entries"], counters["trace_bytes"]) == (kept, 0)


def test_without_a_switch_it_is_told(node: Node) -> None:
    result = node.cli("trace")
    assert result.exit_code == 1
    assert "no switch is running" in result.stderr


def test_what_is_no_address_is_told(node: Node) -> None:
    node.switch(sip=UDP)
    result = node.cli("trace", "--source", "nonsense")
    assert result.exit_code == 2
    assert "no IP address" in result.stderr


def test_a_call_id_finds_its_call_alone(node: Node) -> None:
    switch = node.switch(sip=UDP)
    with_gateway(node)
    with Peer(switch.address("udp"), GATEWAY) as gateway:
        gateway.ask(Request(caller="1001", call_id="a@x"))
        gateway.ask(Request(caller="1001", call_id="b@x"))
    with ControlClient(node.data_dir) as client:
        found = client.trace(TraceRequest(call_ids=("b@x",)))
    assert {entry.call_id for entry in found.entries} == {"b@x"}
    assert [entry.kind for entry in found.entries] == ["received", "note", "sent"]


def hep(packet: bytes) -> dict[int, bytes]:
    """The chunks of a HEP3 packet by type: a reader of its own, after the specification."""
    assert packet[:4] == b"HEP3"
    assert struct.unpack_from(">H", packet, 4)[0] == len(packet)
    chunks, place = {}, 6
    while place < len(packet):
        vendor, kind, length = struct.unpack_from(">HHH", packet, place)
        assert vendor == 0
        assert length >= 6
        chunks[kind] = packet[place + 6 : place + length]
        place += length
    assert place == len(packet)
    return chunks


def test_a_homer_server_gets_a_copy_of_each_message(node: Node, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as homer:
        homer.bind(("127.0.0.1", 0))
        homer.settimeout(5)
        config = tmp_path / "homer.toml"
        address = f"127.0.0.1:{homer.getsockname()[1]}"
        config.write_text(f'[homer]\naddress = "{address}"\ncapture_id = 77\npassword = "let me in"\n')
        switch = node.switch(sip=UDP, options=["--config", str(config)])
        with_gateway(node)
        call = Request(caller="1001")
        with Peer(switch.address("udp"), GATEWAY) as gateway:
            answer = gateway.ask(call)
            port = gateway.port
        received, sent = hep(homer.recv(65_535)), hep(homer.recv(65_535))
        assert received[0x0F] == call.write()
        assert sent[0x0F] == answer.raw
        assert (received[0x01], received[0x02], received[0x0B]) == (b"\x02", b"\x11", b"\x01")
        assert received[0x03] == socket.inet_aton(GATEWAY)
        assert received[0x04] == socket.inet_aton("127.0.0.1")
        ports = struct.pack(">H", port), struct.pack(">H", switch.address("udp")[1])
        assert (received[0x07], received[0x08]) == ports
        assert (sent[0x08], sent[0x07]) == ports
        assert (received[0x0C], received[0x0E]) == (struct.pack(">I", 77), b"let me in")
        assert struct.unpack(">I", received[0x0A])[0] < 1_000_000
        eventually(lambda: node.counters()["hep_sent"] == 2)
    assert node.counters()["hep_lost"] == 0
