# SPDX-License-Identifier: Apache-2.0
"""Ringfence as it runs: real processes on one data directory, watched from outside."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow.compute as pc

from kit.cli import Cli
from kit.waiting import eventually
from ringfence.cli.ready import Ready
from ringfence.control.client import ControlClient
from ringfence.control.messages import Books, Flow
from ringfence.ledger.frames import CHALLENGE
from ringfence.ledger.schema import EDGE
from ringfence.ledger.source import JournalSource, stream_directory

PROGRAM = str(Path(sys.executable).parent / "ringfence")
ON_LOOPBACK = ("udp:127.0.0.1:0", "tcp:127.0.0.1:0")
START_S = 30.0
STOP_S = 20.0


class Half:
    """A process of Ringfence that said it serves."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready: Ready, log: Path) -> None:
        self.process = process
        self.ready = ready
        self.log = log

    def address(self, transport: str) -> tuple[str, int]:
        """Where it takes in SIP."""
        listener = next(text for text in self.ready.sip if text.startswith(f"{transport}:"))
        host, _, port = listener.removeprefix(f"{transport}:").rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def target(self) -> str:
        """Its UDP address as the load sender wants it."""
        host, port = self.address("udp")
        return f"{host}:{port}"

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> int:
        """SIGTERM, and wait for the end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def peak_memory_bytes(self) -> int:
        """The most that it ever had in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def logged(self, words: str) -> list[str]:
        """The lines on its stderr that hold these words."""
        return [line for line in self.log.read_text().splitlines() if words in line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the edge stream of a journal accounts for."""

    refusals: int
    challenges: int
    increments: int
    summaries: int

    @property
    def attempts(self) -> int:
        """The messages that all frames together stand for."""
        return self.refusals + self.challenges + self.increments + self.summaries


class Node:
    """A data directory and the processes on it; all of them end with the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data_dir = root / "data"
        self.cli = Cli(self.data_dir)
        self.processes: list[subprocess.Popen[bytes]] = []

    def switch(
        self, *, sip: Sequence[str] = ON_LOOPBACK, options: Sequence[str] = (), under: Sequence[str] = ()
    ) -> Half:
        """Start a switch and wait until it serves; `under` is a command that runs it in its place."""
        listening = [word for listen in sip for word in ("--sip", listen)]
        return self._half("switch", [*listening, *options], under)

    def office(self) -> Half:
        """Start an office and wait until it serves."""
        config = self.root / "office.toml"
        config.write_text('portal = "127.0.0.1:0"\n')
        return self._half("office", ["--config", str(config)], ())

    def start(
        self, *arguments: str, under: Sequence[str] = (), keep: Sequence[int] = ()
    ) -> tuple["subprocess.Popen[bytes]", Path]:
        """Start `ringfence ARGUMENTS`; the process, and the file with its stderr."""
        log = self.root / f"{arguments[0]}-{len(self.processes)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*under, PROGRAM, *arguments, "--data", str(self.data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=tuple(keep),
            )
        self.processes.append(process)
        return process, log

    def _half(self, name: str, options: Sequence[str], under: Sequence[str]) -> Half:
        reading, writing = os.pipe()
        try:
            try:
                process, log = self.start(
                    name, *options, "--ready-fd", str(writing), under=under, keep=(writing,)
                )
            finally:
                os.close(writing)
            line = _read_line(reading, START_S)
        finally:
            os.close(reading)
        assert line, f"{name} did not come up:\n{log.read_text()}"
        return Half(process, msgspec.json.decode(line, type=Ready), log)

    def end(self) -> None:
        """End every process that is still there."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(STOP_S)

    def books(self) -> Books:
        """The balance of the run."""
        with ControlClient(self.data_dir) as switch:
            return switch.books()

    def counters(self) -> dict[str, int]:
        """Every counter of the run."""
        with ControlClient(self.data_dir) as switch:
            return switch.counters().counters

    def flows(self) -> tuple[Flow, ...]:
        """Registrations in force."""
        with ControlClient(self.data_dir) as switch:
            return switch.flows().flows

    def balanced(self, *, read: int) -> Books:
        """The books once so many messages have been read; they must balance."""
        eventually(lambda: self.books().read >= read)
        books = self.books()
        assert (books.read, books.difference) == (read, 0), books
        return books

    def quiet(self) -> Books:
        """The books once what waits in the kernel has been read; they must balance."""
        last = self.books()
        deadline = time.monotonic() + 20
        while True:
            # Whatever was sent is in the socket's queue already: a queue that is empty stays empty.
            eventually(lambda: not _waits(self._port()))
            books = self.books()
            if books.read == last.read:
                assert books.difference == 0, books
                return books
            assert time.monotonic() < deadline, "the switch is never done reading"
            last = books

    def _port(self) -> int:
        with ControlClient(self.data_dir) as switch:
            listeners = switch.status().listeners
        return int(next(text for text in listeners if text.startswith("udp:")).rpartition(":")[2])

    def totals(self) -> Totals:
        """What the edge stream holds, counted from its frames."""
        source = JournalSource(stream_directory(self.data_dir, EDGE), EDGE, 0)
        attempts = challenges = increments = summaries = 0
        while (frames := source.read(65_536)) is not None:
            of_kind = pc.equal(frames.attempts["kind"], CHALLENGE)
            challenges += pc.sum(of_kind).as_py() or 0
            attempts += frames.attempts.num_rows
            increments += pc.sum(frames.increments["count"]).as_py() or 0
            summaries += pc.sum(frames.summaries["count"]).as_py() or 0
        return Totals(
            refusals=attempts - challenges,
            challenges=challenges,
            increments=increments,
            summaries=summaries,
        )


def _waits(port: int) -> bool:
    """Whether a UDP socket on this port has bytes to read (proc_net_udp(5))."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and int(fields[4].partition(":")[2], 16) > 0:
            return True
    return False


def _read_line(descriptor: int, within_s: float) -> bytes:
    """A line from a pipe; empty if its writer is gone first."""
    deadline = time.monotonic() + within_s
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, f"no sign of life within {within_s:g} s"
        part = os.read(descriptor, 4096)
        if not part:
            return b""
        line += part
    return line
