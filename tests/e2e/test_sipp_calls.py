# SPDX-License-Identifier: Apache-2.0
"""sipp as Debian ships it, as customer and as vendor: its own scenarios, over each transport and family."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest

from kit.calling import free_port, records
from kit.capture import needs
from kit.certificates import Authority
from kit.node import Half, Node
from kit.tls_tunnel import End, tunnel
from kit.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CALLS = 40
RATE = 20
DIALLED = "442071234567"
SAID_OF_TLS = (b"SIP/2.0/TLS", b"transport=TLS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Addresses of switch, customer and vendor, and how both speak."""

    switch: str
    customer: str
    vendor: str
    transport: str = "udp"

    @property
    def is_v6(self) -> bool:
        return ":" in self.switch

    @property
    def options(self) -> tuple[str, ...]:
        return ("-t", "u1" if self.transport == "udp" else "t1")

    def with_port(self, host: str, port: int) -> str:
        return f"[{host}]:{port}" if self.is_v6 else f"{host}:{port}"


WAYS = {
    "udp4": Way(switch="127.0.0.1", customer="127.0.0.2", vendor="127.0.0.3"),
    "tcp4": Way(switch="127.0.0.1", customer="127.0.0.2", vendor="127.0.0.3", transport="tcp"),
    "udp6": Way(switch="::1", customer="::1", vendor="::1"),
    "tcp6": Way(switch="::1", customer="::1", vendor="::1", transport="tcp"),
}


def sipp(root: Path, name: str, way: Way, arguments: Sequence[str]) -> "Popen[bytes]":
    """Start sipp; unexpected messages end up in NAME_errors.log and in its exit code."""
    directory = root / name
    directory.mkdir()
    # Its scenario with sound looks for pcap/g711a.pcap where it is started; Debian keeps it elsewhere.
    (directory / "pcap").symlink_to("/usr/share/sip-tester")
    return Popen(
        ["sipp", *arguments, *way.options, "-nostdin", "-trace_err", "-m", str(CALLS)],
        stdin=subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        cwd=directory,
        env={"TERM": "dumb", "PATH": "/usr/bin:/bin"},
    )


@contextmanager
def ended(*processes: "Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def errors(root: Path) -> str:
    """What sipp wrote down as wrong, of both sides."""
    return "\n".join(path.read_text() for path in sorted(root.glob("*/*_errors.log")))


def start(node: Node, way: Way, vendor_port: int, customer_port: int) -> Half:
    address = way.with_port(way.customer, customer_port) if way.is_v6 else way.customer
    node.cli.ok("gateway", "add", "customer", address, "--cps", "1000", "--burst", "1000")
    vendor = way.with_port(way.vendor, vendor_port)
    node.cli.ok("route", "add", "vendor", vendor, "--transport", way.transport, "--prefixes", "44")
    host = f"[{way.switch}]" if way.is_v6 else way.switch
    return node.switch(sip=(f"udp:{host}:0", f"tcp:{host}:0"))


def call(node: Node, tmp_path: Path, way: Way, customer: Sequence[str], vendor: Sequence[str]) -> None:
    """Run both sides to their end; neither may have seen anything that it did not expect."""
    needs("sipp")
    vendor_port, customer_port = free_port(way.vendor), free_port(way.customer)
    switch = start(node, way, vendor_port, customer_port)
    host, port = switch.address(way.transport)
    answering = sipp(tmp_path, "vendor", way, [*vendor, "-i", way.vendor, "-p", str(vendor_port)])
    calling = sipp(
        tmp_path,
        "customer",
        way,
        [
            *customer,
            *("-s", DIALLED, "-i", way.customer, "-p", str(customer_port), "-r", str(RATE)),
            way.with_port(host, port),
        ],
    )
    succeed(node, tmp_path, calling, answering)


def succeed(node: Node, tmp_path: Path, calling: "Popen[bytes]", answering: "Popen[bytes]") -> None:
    """Neither side saw anything unexpected, and each call has its record."""
    with ended(calling, answering):
        said, _ = calling.communicate(timeout=90)
        assert calling.returncode == 0, (errors(tmp_path), said.decode(errors="replace")[-3000:])
        answering.communicate(timeout=60)
        assert answering.returncode == 0, errors(tmp_path)
    eventually(lambda: len(records(node)) >= CALLS)
    rows = records(node)
    assert len(rows) == CALLS
    assert {row["calleeAccessE164"] for row in rows} == {DIALLED}
    assert all(row["answered"] if "answered" in row else row["sip_status"] == 200 for row in rows), rows[0]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_uac_calls_uas(node: Node, tmp_path: Path, way: Way) -> None:
    call(node, tmp_path, way, ["-sn", "uac"], ["-sn", "uas"])


def test_uac_that_takes_the_answer_apart_calls_uas(node: Node, tmp_path: Path) -> None:
    call(node, tmp_path, WAYS["udp4"], ["-sn", "regexp"], ["-sn", "uas"])


def test_uac_with_sound_calls_uas(node: Node, tmp_path: Path) -> None:
    call(node, tmp_path, WAYS["udp4"], ["-sn", "uac_pcap"], ["-sn", "uas"])


def test_uac_calls_uas_over_tls(node: Node, tmp_path: Path) -> None:
    """Debian builds sipp without TLS, so each side has a tunnel that speaks it."""
    needs("sipp")
    way = Way(switch="127.0.0.1", customer="127.0.0.2", vendor="127.0.0.3", transport="tls")
    vendor = "127.0.0.5"
    authority = Authority(tmp_path)
    ours, theirs = authority.issue("node.example"), authority.issue(vendor)
    config = tmp_path / "ringfence.toml"
    config.write_text(
        f'[tls]\ncertificate = "{ours.chain}"\nkey = "{ours.key}"\nca = "{authority.certificate}"\n'
    )
    vendor_port, customer_port, entry_port = (free_port(host) for host in (way.vendor, *[way.customer] * 2))
    node.cli.ok("gateway", "add", "customer", way.customer, "--cps", "1000", "--burst", "1000")
    node.cli.ok("route", "add", "vendor", f"{vendor}:{vendor_port}", "--transport", "tls", "--prefixes", "44")
    switch = node.switch(sip=("tls:127.0.0.1:0",), options=("--config", str(config)))
    to_switch = tunnel(
        End(address=(way.customer, entry_port)),
        End(
            address=switch.address("tls"),
            context=authority.connect(),
            name="node.example",
            source=way.customer,
        ),
        {tls.replace(b"TLS", b"TCP"): tls for tls in SAID_OF_TLS},
    )
    to_vendor = tunnel(
        End(address=(vendor, vendor_port), context=theirs.serve()),
        End(address=(way.vendor, vendor_port)),
        {tls: tls.replace(b"TLS", b"TCP") for tls in SAID_OF_TLS} | {vendor.encode(): way.vendor.encode()},
    )
    with to_switch, to_vendor:
        called = ["-sn", "uas", "-i", way.vendor, "-p", str(vendor_port)]
        calls = ["-sn", "uac", "-s", DIALLED, "-i", way.customer, "-p", str(customer_port), "-r", str(RATE)]
        answering = sipp(tmp_path, "vendor", way, called)
        calling = sipp(tmp_path, "customer", way, [*calls, f"{way.customer}:{entry_port}"])
        succeed(node, tmp_path, calling, answering)
    assert {row["transport"] for row in records(node)} == {"TLS"}
