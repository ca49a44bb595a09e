# SPDX-License-Identifier: Apache-2.0
"""`ringfence run` with real processes in place of the two halves."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kit.cli import Cli
from ringfence.cli.ready import Ready, announce_ready
from ringfence.cli.run import drills, ready_line
from ringfence.cli.supervise import READY_FD, Half, Patience, Supervisor

pytestmark = pytest.mark.integration

SERVES = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.write(int(sys.argv[1]), b'{"sip":["udp:127.0.0.1:5060"]}\\n')
while True: signal.pause()
"""
FAILS = "import sys; sys.exit(3)"
IS_DEAF = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(int(sys.argv[1]), b'{"portal":"http://127.0.0.1:8080"}\\n')
while True: signal.pause()
"""
DIES_ONCE = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.write(int(sys.argv[1]), b'{"portal":"http://127.0.0.1:8080"}\\n')
try:
    os.open(sys.argv[2], os.O_CREAT | os.O_EXCL)
    os.kill(os.getpid(), signal.SIGKILL)
except FileExistsError:
    pass
while True: signal.pause()
"""
QUICK = Patience(first_wait_s=0.01, longest_wait_s=0.02, steady_s=60, stop_s=10)


def half(name: str, program: str, *arguments: str) -> Half:
    return Half(name=name, command=(sys.executable, "-c", program, READY_FD, *arguments))


class Watched:
    """A supervisor whose words are kept, and which can be acted on when it says something."""

    def __init__(self, *halves: Half, patience: Patience = QUICK) -> None:
        self.said: list[str] = []
        self.ready: list[Mapping[str, Ready]] = []
        self.stop_when = "ready"
        self.supervisor = Supervisor(halves, on_ready=self._on_ready, note=self._note, patience=patience)

    def _on_ready(self, said: Mapping[str, Ready]) -> None:
        self.ready.append(dict(said))
        self._note("ready")

    def _note(self, text: str) -> None:
        self.said.append(text)
        if text == self.stop_when:
            # As a person does it, and as systemd does: the signal goes to the supervisor.
            os.kill(os.getpid(), signal.SIGTERM)

    def run(self) -> bool:
        return asyncio.run(self.supervisor.run())


def test_readiness_of_both_is_said_once_and_a_signal_ends_both_well() -> None:
    watched = Watched(half("switch", SERVES), half("office", SERVES))
    assert watched.run()
    assert watched.said == ["ready"]
    assert set(watched.ready[0]) == {"switch", "office"}
    assert watched.ready[0]["switch"].sip == ("udp:127.0.0.1:5060",)


def test_half_that_cannot_start_ends_the_other_too() -> None:
    watched = Watched(half("switch", FAILS), half("office", SERVES))
    assert not watched.run()
    assert watched.said == ["switch could not start (exit code 3)"]
    assert watched.ready == []


def test_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    watched = Watched(Half(name="switch", command=(absent, READY_FD)))
    assert not watched.run()
    assert watched.said[0] == f"switch: {absent} cannot be run: No such file or directory"


def test_half_that_dies_is_started_again(tmp_path: Path) -> None:
    watched = Watched(half("switch", SERVES), half("office", DIES_ONCE, str(tmp_path / "died")))
    watched.stop_when = "office serves again"
    assert watched.run()
    assert "office ended by itself (SIGKILL): starting it again in 0.01 s" in watched.said
    assert watched.said[-1] == "office serves again"
    assert len(watched.ready) == 1


def test_half_that_does_not_end_is_killed_after_the_time_allowed() -> None:
    patience = Patience(stop_s=0.2)
    watched = Watched(half("switch", SERVES), half("office", IS_DEAF), patience=patience)
    assert not watched.run()
    assert watched.said == ["ready", "office did not end within 0.2 s: killing it"]


def test_wait_before_a_restart_doubles_up_to_its_limit(tmp_path: Path) -> None:
    always_dies = "import os, sys; os.write(int(sys.argv[1]), b'{}\\n'); sys.exit(1)"
    watched = Watched(half("office", always_dies))
    watched.stop_when = "office ended by itself (exit code 1): starting it again in 0.02 s"
    assert watched.run()
    waits = [text.rpartition(" in ")[2] for text in watched.said if "again in" in text]
    assert waits == ["0.01 s", "0.02 s"]


def test_readiness_goes_through_the_descriptor() -> None:
    reading, writing = os.pipe()
    announce_ready(writing, Ready(portal="http://127.0.0.1:8080"))
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b'{"portal":"http://127.0.0.1:8080"}\n'
    announce_ready(None, Ready())


def test_ready_line_says_where_sockets_answer() -> None:
    said = {
        "switch": Ready(sip=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")),
        "office": Ready(portal="http://127.0.0.1:8080"),
    }
    assert ready_line(said, Path("d")) == (
        "ringfence ready sip=udp:127.0.0.1:5060,tcp:127.0.0.1:5060 portal=http://127.0.0.1:8080 data=d"
    )


def test_drills_are_offered_where_one_can_reach_the_switch() -> None:
    def offered(listener: str, data: str = "ringfence-data") -> str:
        return drills({"switch": Ready(sip=(listener,)), "office": Ready()}, Path(data))

    said = offered("udp:127.0.0.1:5060")
    assert "`ringfence drill mixed` attacks it, `ringfence drill calls` calls through it" in said
    assert "ringfence ready" not in said
    assert "`ringfence drill calls --data d`" in offered("udp:0.0.0.0:5060", "d")
    assert offered("udp:192.0.2.1:5060") == offered("tcp:127.0.0.1:5060") == ""


def test_bad_address_is_refused_before_anything_starts(cli: Cli) -> None:
    result = cli("run", "--sip", "udp:localhost")
    assert result.exit_code == 2
    assert "'udp:localhost' has no address and port" in result.stderr


def test_each_half_is_told_what_the_command_line_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Half] = []

    async def note_only(_: object, halves: tuple[Half, ...]) -> bool:
        started.extend(halves)
        return True

    monkeypatch.setattr("ringfence.cli.run._supervise", note_only)
    cli.ok("run", "--sip", "udp:127.0.0.1:0", "--sip", "tcp:127.0.0.1:0", "--portal", "127.0.0.1:0")
    common = ("--data", str(cli.data_dir))
    ready = ("--ready-fd", READY_FD)
    assert [(half.name, half.command[3:]) for half in started] == [
        ("switch", ("switch", *common, "--sip", "udp:127.0.0.1:0", "--sip", "tcp:127.0.0.1:0", *ready)),
        ("office", ("office", *common, "--portal", "127.0.0.1:0", *ready)),
    ]
