# SPDX-License-Identifier: Apache-2.0
"""What went over loopback to a switch, as tcpdump saw it."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dpkt
import pytest

from kit.waiting import eventually

_END = b"\r\n\r\n"
"""A keep-alive (RFC 5626): the switch absorbs it, and the capture is whole once it is in it."""


def needs(*programs: str) -> None:
    """Skip the test, by name, where one of these programs is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: scripts/test-tools installs it on Debian")


@dataclass(frozen=True, slots=True)
class Datagram:
    """A datagram to the switch."""

    source: str
    port: int
    payload: bytes

    @property
    def method(self) -> str:
        """The first word."""
        return self.payload.split(b" ", 1)[0].decode("latin-1")

    def has(self, header: str) -> bool:
        return f"\r\n{header.lower()}:".encode() in self.payload.lower()


class Capture:
    """A running capture of what goes to one UDP port on loopback; `file` stays for whoever looks into it."""

    def __init__(self, file: Path, target: tuple[str, int]) -> None:
        self.file = file
        self.target = target
        self.log = file.with_suffix(".log")
        command = ["tcpdump", "-i", "lo", "-n", "-U", "--immediate-mode", "-B", "65536", "-w", str(file)]
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*command, f"udp and dst port {target[1]}"], stderr=stderr, stdout=subprocess.DEVNULL
            )

    def datagrams(self) -> list[Datagram]:
        """Everything so far but the keep-alive at the end."""
        found = []
        with self.file.open("rb") as file:
            for _, frame in dpkt.pcap.Reader(file):
                ip = dpkt.ethernet.Ethernet(frame).data
                found.append(Datagram(socket.inet_ntoa(ip.src), ip.data.sport, bytes(ip.data.data)))
        return [datagram for datagram in found if datagram.payload != _END]

    def finish(self) -> list[Datagram]:
        """Everything that was sent before now."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(_END, self.target)
        eventually(lambda: self.file.read_bytes().endswith(_END), within_s=20)
        self.process.terminate()
        self.process.wait(10)
        assert "\n0 packets dropped by kernel" in self.log.read_text(), self.log.read_text()
        return self.datagrams()


@contextmanager
def capturing(file: Path, target: tuple[str, int]) -> Iterator[Capture]:
    """Capture from now on."""
    capture = Capture(file, target)
    try:
        eventually(lambda: "listening on" in capture.log.read_text())
        yield capture
    finally:
        capture.process.kill()
        capture.process.wait(10)
