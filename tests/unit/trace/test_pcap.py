# SPDX-License-Identifier: Apache-2.0
"""Captures, read back by programs of others."""

import io
import shutil
import socket
import subprocess
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dpkt
import pytest

from kit.traces import CALLER, US, a_call, entry, note
from ringfence.control.messages import TracedEntry
from ringfence.trace import pcap

IPV6 = ("2001:db8::7", 5062)


def read(entries: Iterable[TracedEntry]) -> list[Any]:
    """The IP packets of a capture."""
    reader = dpkt.pcap.Reader(io.BytesIO(b"".join(pcap.packets(entries))))
    assert reader.datalink() == 101  # LINKTYPE_RAW
    return [(dpkt.ip6.IP6 if packet[0] >> 4 == 6 else dpkt.ip.IP)(packet) for _, packet in reader]


def test_each_message_is_a_datagram_from_whom_it_came_to_whom_it_went() -> None:
    call = a_call()
    messages = [each for each in call.entries if each.kind in {"received", "sent"}]
    packets = read(call.entries)
    assert [bytes(packet.data.data) for packet in packets] == [message.content for message in messages]
    first, second = packets[:2]
    assert (socket.inet_ntoa(first.src), first.data.sport) == CALLER
    assert (socket.inet_ntoa(first.dst), first.data.dport) == US
    assert (socket.inet_ntoa(second.src), second.data.sport) == US


def test_times_are_those_of_the_messages() -> None:
    times = [at for at, _ in dpkt.pcap.Reader(io.BytesIO(b"".join(pcap.packets(a_call().entries))))]
    assert times[1] - times[0] == pytest.approx(0.001, abs=1e-6)


@pytest.mark.parametrize("remote", [CALLER, IPV6])
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_checksums_are_right(remote: tuple[str, int], transport: str) -> None:
    [packet] = read([entry("received", "INVITE", remote=remote, transport=transport)])
    kept = packet.data.sum
    packet.data.sum = 0
    if packet.v == 4:
        head = packet.sum
        packet.sum = 0
        rebuilt = dpkt.ip.IP(bytes(packet))
        assert (rebuilt.sum, rebuilt.data.sum) == (head, kept)
    else:
        assert dpkt.ip6.IP6(bytes(packet)).data.sum == kept


def test_an_address_of_another_family_is_mapped() -> None:
    [packet] = read([entry("received", "INVITE", remote=IPV6)])
    assert ip_address(packet.src) == ip_address(IPV6[0])
    assert ip_address(packet.dst) == ip_address(f"::ffff:{US[0]}")


def test_segments_of_a_connection_follow_one_another() -> None:
    entries = [
        entry("received", "INVITE", transport="TCP"),
        entry("sent", "100 Trying", transport="TCP", after_ms=1),
        entry("received", "ACK", transport="TCP", after_ms=2),
    ]
    first, answer, second = (packet.data for packet in read(entries))
    assert second.seq == first.seq + len(first.data)
    assert answer.ack == second.seq
    assert second.ack == answer.seq + len(answer.data)


def test_what_the_trace_cut_is_a_packet_cut_at_capture() -> None:
    message = entry("received", "INVITE", content=b"x" * 8192, length=20_000)
    capture = b"".join(pcap.packets([message]))
    captured, whole = (int.from_bytes(capture[at : at + 4], "big") for at in (32, 36))
    assert (captured, whole) == (20 + 8 + 8192, 20 + 8 + 20_000)


def test_a_message_longer_than_any_packet_fits_all_the_same() -> None:
    message = entry("received", "INVITE", transport="TCP", content=b"x" * 8192, length=10_000_000)
    [packet] = read([message])
    assert packet.len <= 65_535


def test_remarks_are_no_packets_and_nothing_is_a_capture_too() -> None:
    assert read([note(b"{}")]) == []
    assert len(b"".join(pcap.packets([]))) == 24


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="no tcpdump (Debian: tcpdump)")
@pytest.mark.parametrize(("remote", "transport"), [(CALLER, "UDP"), (IPV6, "UDP"), (CALLER, "TCP")])
def test_tcpdump_reads_it_without_complaint(tmp_path: Path, remote: tuple[str, int], transport: str) -> None:
    entries = [
        entry("received", "INVITE", remote=remote, transport=transport),
        entry("sent", "503 Service Unavailable", remote=remote, transport=transport, after_ms=2),
    ]
    path = tmp_path / "trace.pcap"
    path.write_bytes(b"".join(pcap.packets(entries)))
    ran = subprocess.run(["tcpdump", "-nvr", str(path)], capture_output=True, text=True, check=True)
    assert "bad" not in ran.stdout
    assert "incorrect" not in ran.stdout
    assert ran.stdout.count(".5060 >") + ran.stdout.count(".5062 >") == 2
    if transport == "UDP":
        assert "SIP" in ran.stdout
        assert "INVITE sip:004930123@192.0.2.1 SIP/2.0" in ran.stdout
