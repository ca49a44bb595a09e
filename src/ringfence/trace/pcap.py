# SPDX-License-Identifier: Apache-2.0
"""Traced messages as a packet capture that Wireshark, tcpdump and sngrep read.

The edge keeps messages, not packets: the IP, UDP and TCP headers are made here. The link type is raw IP
(101), so that nothing below IP is made up. What the trace cut is told as a packet cut at capture.
"""

import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from ringfence.control.messages import TracedEntry

MEDIA_TYPE: Final = "application/vnd.tcpdump.pcap"

_MAGIC: Final = 0xA1B2C3D4
_RAW_IP: Final = 101
_LONGEST: Final = 65_535
_UDP: Final = 17
_TCP: Final = 6
_UDP_HEADER: Final = 8
_TCP_HEADER: Final = 20
_PUSH_ACK: Final = 0x18
_HOPS: Final = 64

Address = IPv4Address | IPv6Address


def packets(entries: Iterable[TracedEntry]) -> Iterator[bytes]:
    """A capture file in pieces: its header, then a packet for each message; remarks are left out."""
    yield struct.pack(">IHHiIII", _MAGIC, 2, 4, 0, 0, _LONGEST, _RAW_IP)
    streams = _Streams()
    for entry in sorted(entries, key=lambda entry: entry.at_us):
        if entry.kind in {"received", "sent"}:
            yield _packet(entry, streams)


class _Streams:
    """How far each direction of each connection is, so that segments follow one another."""

    def __init__(self) -> None:
        self._sent: dict[tuple[object, ...], int] = {}

    def segment(self, way: tuple[object, ...], back: tuple[object, ...], length: int) -> tuple[int, int]:
        """Sequence and acknowledgement number of the next segment."""
        number = self._sent.get(way, 1)
        self._sent[way] = (number + length) & 0xFFFFFFFF
        return number, self._sent.get(back, 1)


def _packet(entry: TracedEntry, streams: _Streams) -> bytes:
    ends = (entry.remote, entry.local) if entry.kind == "received" else (entry.local, entry.remote)
    (source_host, source_port), (target_host, target_port) = ends
    source, target = _same_family(ip_address(source_host), ip_address(target_host))
    content = entry.content
    is_udp = entry.transport == "UDP"
    head = _UDP_HEADER if is_udp else _TCP_HEADER
    # What IP can say is bounded; a message from a stream may be longer.
    length = min(max(entry.length, len(content)), _LONGEST - 40 - head)
    if is_udp:
        transport = struct.pack(">HHHH", source_port, target_port, head + length, 0)
    else:
        way, back = (*ends[0], *ends[1]), (*ends[1], *ends[0])
        number, acknowledged = streams.segment(way, back, length)
        transport = struct.pack(
            ">HHIIBBHHH", source_port, target_port, number, acknowledged, 5 << 4, _PUSH_ACK, _LONGEST, 0, 0
        )
    protocol = _UDP if is_udp else _TCP
    if len(content) >= length:
        transport = _with_checksum(source, target, protocol, transport, content)
    network = _network(source, target, protocol, head + length)
    captured = network + transport + content
    whole = len(network) + head + length
    at_s, at_us = divmod(entry.at_us, 1_000_000)
    return struct.pack(">IIII", at_s & 0xFFFFFFFF, at_us, len(captured), whole) + captured


def _same_family(source: Address, target: Address) -> tuple[Address, Address]:
    if source.version == target.version:
        return source, target
    return _as_v6(source), _as_v6(target)


def _as_v6(address: Address) -> IPv6Address:
    return IPv6Address(f"::ffff:{address}") if isinstance(address, IPv4Address) else address


def _network(source: Address, target: Address, protocol: int, length: int) -> bytes:
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, length, protocol, _HOPS) + source.packed + target.packed
    parts = (0x45, 0, 20 + length, 0, 0x4000, _HOPS, protocol)
    ends = source.packed + target.packed
    bare = struct.pack(">BBHHHBBH", *parts, 0) + ends
    return struct.pack(">BBHHHBBH", *parts, _checksum(bare)) + ends


def _with_checksum(
    source: Address, target: Address, protocol: int, transport: bytes, content: bytes
) -> bytes:
    """The header with its checksum (RFC 768, RFC 9293 §3.1, RFC 8200 §8.1)."""
    length = len(transport) + len(content)
    if source.version == 6:
        pseudo = source.packed + target.packed + struct.pack(">IHBB", length, 0, 0, protocol)
    else:
        pseudo = source.packed + target.packed + struct.pack(">BBH", 0, protocol, length)
    checksum = _checksum(pseudo + transport + content)
    place = 6 if protocol == _UDP else 16
    # A computed 0 is sent as all ones in UDP: 0 says that there is none.
    stored = struct.pack(">H", checksum or (_LONGEST if protocol == _UDP else 0))
    return transport[:place] + stored + transport[place + 2 :]


def _checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = packet + b"\0" * (len(packet) % 2)
    words: tuple[int, ...] = struct.unpack(f">{len(padded) // 2}H", padded)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
