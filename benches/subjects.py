# SPDX-License-Identifier: Apache-2.0
"""What is measured: the bare answerer, Kamailio, the switch; each started afresh and pinned to one core."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import machine

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "target" / "release"
START_S = 20.0

# One child each for the socket's worker; the log line holds what a refused call's record must hold at least.
KAMAILIO_CFG = """\
debug=0
log_stderror=yes
children=1
auto_aliases=no
disable_tcp=yes
dns=no
rev_dns=no
maxbuffer=33554432
listen=udp:127.0.0.1:{port}
mpath="{modules}"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "textops.so"
modparam("xlog", "prefix", "")
request_route {{
    if ($rm == "ACK") exit;
    xlog("L_ALERT", "$Ts $si:$sp $rm $ru $fu $ci $ua\\n");
    sl_send_reply("403", "Forbidden");
    exit;
}}
"""


def free_port() -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Subject(ABC):
    """A server under test."""

    name: ClassVar[str]

    @abstractmethod
    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:
        """Start it on core 0, answering on this port of 127.0.0.1; return when it answers."""

    @abstractmethod
    def recorded(self) -> int | None:
        """Records of its own, one per attempt, since it was started; None if it keeps none."""

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End it."""
        end(process)


def launch(
    command: list[str], *, stdout: int | Path = subprocess.DEVNULL, pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a command on core 0, in a session of its own, ahead of others."""
    pinned = ["taskset", "-c", "0", *command]
    sink = stdout.open("wb") if isinstance(stdout, Path) else stdout
    process = subprocess.Popen(
        pinned, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, pass_fds=pass_fds
    )
    machine.favour(process.pid)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


OPTIONS = (
    "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKready{port};rport\r\n"
    "From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: ready{port}\r\nCSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def wait_for_answer(port: int, process: subprocess.Popen[bytes]) -> int:
    """Ask until the server answers; returns how often it was asked."""
    deadline = time.monotonic() + START_S
    asked = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        probe.settimeout(0.1)
        message = OPTIONS.format(port=probe.getsockname()[1]).encode()
        while time.monotonic() < deadline and process.poll() is None:
            probe.sendto(message, ("127.0.0.1", port))
            asked += 1
            try:
                probe.recv(2048)
            except (TimeoutError, ConnectionRefusedError):
                continue
            return asked
    raise RuntimeError(f"{process.args!r} did not answer within {START_S:g} s")


class Bare(Subject):
    """recvmmsg, a 403 of the five copied headers, sendmmsg; the reference of every ratio."""

    name = "bare403"

    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:  # noqa: ARG002 - the protocol's
        process = launch([str(BIN / "bare403"), "--listen", f"127.0.0.1:{port}"])
        wait_for_answer(port, process)
        return process

    def recorded(self) -> int | None:
        return None


class Kamailio(Subject):
    """Kamailio at its quickest here: tlsf allocator, one child, a line per attempt in a file."""

    name = "kamailio"
    program = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin")

    def __init__(self) -> None:
        self._log = Path()
        self._lines_before = 0

    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:
        assert self.program is not None
        modules = next(Path("/usr/lib").rglob("kamailio/modules"))
        config = scratch / "kamailio.cfg"
        config.write_text(KAMAILIO_CFG.format(port=port, modules=modules))
        self._log = scratch / "kamailio.log"
        memory = ["-X", "tlsf", "-x", "tlsf", "-m", "128", "-M", "16"]
        process = launch([self.program, "-DD", "-E", "-f", str(config), *memory], stdout=self._log)
        wait_for_answer(port, process)
        self._lines_before = self._lines()
        return process

    def _lines(self) -> int:
        with self._log.open("rb") as log:
            return sum(b"ALERT" in line for line in log)

    def recorded(self) -> int | None:
        return self._lines() - self._lines_before


class Switch(Subject):
    """The switch, whole: edge, journal with hash chain and fingerprints, Python; without the office."""

    name = "ringfence"
    command = ROOT / ".venv" / "bin" / "ringfence"

    def __init__(self) -> None:
        self.data = Path()
        self._before: dict[str, int] = {}

    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:
        self.data = scratch / "data"
        # Budget enough for every attempt to be a record of its own; `recorded` checks that it was.
        for name, value in (("RF_JOURNAL_BYTES_PER_S", 2_000_000_000), ("RF_JOURNAL_BURST_BYTES", 10 << 30)):
            self._ask("param", "set", name, str(value))
        reading, writing = os.pipe()
        process = launch(
            [
                str(self.command),
                "switch",
                "--data",
                str(self.data),
                "--sip",
                f"udp:127.0.0.1:{port}",
                "--ready-fd",
                str(writing),
            ],
            stdout=scratch / "switch.log",
            pass_fds=(writing,),
        )
        os.close(writing)
        try:
            if not select.select([reading], [], [], START_S)[0] or not os.read(reading, 1):
                raise RuntimeError(f"the switch did not start: {(scratch / 'switch.log').read_text()}")
        finally:
            os.close(reading)
        self._before = self.books()
        return process

    def _ask(self, *words: str) -> str:
        done = subprocess.run(
            [str(self.command), *words, "--data", str(self.data)], check=True, capture_output=True, text=True
        )
        return done.stdout

    def books(self) -> dict[str, int]:
        """The switch's balance by name."""
        found = json.loads(self._ask("books", "--format", "json"))
        return {name: value for name, value in found.items() if isinstance(value, int)}

    def moved(self) -> dict[str, int]:
        """How the books have moved since the start."""
        return {name: value - self._before[name] for name, value in self.books().items()}

    def recorded(self) -> int | None:
        moved = self.moved()
        if moved["folded"]:
            raise RuntimeError(f"{moved['folded']} attempts were folded: the journal budget was too small")
        return moved["recorded"]

    def journal_bytes(self) -> int:
        """What the edge stream takes on disk."""
        return sum(path.stat().st_size for path in (self.data / "journal" / "edge").iterdir())


class SwitchWithOffice(Switch):
    """The switch, and the office that follows its journal, where the system puts it."""

    name = "ringfence+office"

    def start(self, port: int, scratch: Path) -> subprocess.Popen[bytes]:
        process = super().start(port, scratch)
        portal = f"127.0.0.1:{free_tcp_port()}"
        log = (scratch / "office.log").open("wb")
        self.office = subprocess.Popen(
            [str(self.command), "office", "--data", str(self.data), "--portal", portal],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        end(self.office)
        super().stop(process)


def free_tcp_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def has_office() -> bool:
    """Whether `ringfence office` can be run here."""
    found = subprocess.run([str(Switch.command), "office", "--help"], capture_output=True, check=False)
    return found.returncode == 0


SUBJECTS: dict[str, type[Subject]] = {
    subject.name: subject for subject in (Bare, Kamailio, Switch, SwitchWithOffice)
}


def available() -> list[str]:
    """Subjects that can be measured here, the reference first."""
    found = [Bare.name]
    if Kamailio.program is not None:
        found.append(Kamailio.name)
    else:
        print("kamailio is not installed: its row is left out", file=sys.stderr)
    if Switch.command.exists():
        found.append(Switch.name)
    return found
