# SPDX-License-Identifier: Apache-2.0
"""What can go wrong around the switch: one clear message each, and nothing lost that was promised."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kit.node import Node
from kit.sip import Answer, Peer, Request
from kit.waiting import eventually
from ringfence.ledger.schema import EDGE
from ringfence.ledger.source import stream_directory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


def refused_to_start(node: Node, *arguments: str, under: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Exit code and the lines for people of a half that does not come up."""
    process, log = node.start(*arguments, under=under)
    code = process.wait(30)
    # Log records are JSON; what is left is said to a person.
    return code, [line for line in log.read_text().splitlines() if not line.startswith("{")]


def test_a_udp_port_in_use_is_named(node: Node) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        code, said = refused_to_start(node, "switch", "--sip", address)
    assert code == 1
    assert [line.partition(":")[0] for line in said] == ["error", "hint"]
    assert address in said[0]
    assert "--sip" in said[1]


def test_a_tcp_port_in_use_is_named_also_by_run(node: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        config = node.root / "node.toml"
        config.write_text(f'sip = ["{address}"]\nportal = "127.0.0.1:0"\n')
        code, said = refused_to_start(node, "run", "--config", str(config))
    assert code == 1
    assert [address in line for line in said].count(True) == 1


def test_two_switches_do_not_share_a_data_directory(node: Node) -> None:
    node.switch()
    code, said = refused_to_start(node, "switch", "--sip", "udp:127.0.0.1:0")
    assert code == 1
    assert [line.partition(":")[0] for line in said] == ["error", "hint"]
    assert "runs on" in said[0]


def test_too_few_descriptors_are_counted_before_anything_is_served(node: Node) -> None:
    few = ("sh", "-c", 'ulimit -n 64; exec "$0" "$@"')
    code, said = refused_to_start(node, "switch", "--sip", "udp:127.0.0.1:0", under=few)
    assert code == 1
    assert [line.partition(":")[0] for line in said] == ["error", "hint"]
    assert "64" in said[0]
    assert "4224" in said[0]


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_spelling(node: Node) -> None:
    config = node.root / "node.toml"
    config.write_text('name = "n1"\nportall = "127.0.0.1:0"\n')
    code, said = refused_to_start(node, "switch", "--config", str(config))
    assert code == 1
    assert [line.partition(":")[0] for line in said] == ["error", "hint"]
    assert "portall" in said[0]
    assert "2" in said[0]
    assert "portal" in said[1]


def test_a_locked_settings_file_leaves_in_force_what_is_in_force(node: Node) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    locker = sqlite3.connect(node.data_dir / "settings.db", isolation_level=None)
    try:
        locker.execute("PRAGMA locking_mode=EXCLUSIVE")
        locker.execute("BEGIN EXCLUSIVE")
        with Peer(switch.address("udp"), "127.0.0.66") as stranger:
            for _ in range(20):
                assert stranger.ask(Request()).status == 403
        denied = node.cli("param", "set", "RF_UNAUTHORIZED_CODE", "404")
        assert denied.exit_code == 1
        assert denied.stderr.count("error:") == 1
    finally:
        locker.close()
    node.cli.ok("param", "set", "RF_UNAUTHORIZED_CODE", "404")
    with Peer(switch.address("udp"), "127.0.0.66") as stranger:
        eventually(lambda: stranger.ask(Request()).status == 404)
    assert node.books().difference == 0
    assert switch.is_alive


def mounts() -> bool:
    """Whether this process may mount a file system for itself alone."""
    if os.geteuid() != 0:
        return False
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True
    )
    return tried.returncode == 0


@pytest.fixture
def small_disk(node: Node) -> Sequence[str]:
    """A command that runs another with the node's journal on a disk of 24 MiB of its own."""
    if not mounts():
        pytest.skip("a full disk needs root and mount(2)")
    journal = node.data_dir / "journal"
    journal.mkdir(parents=True)
    script = f'mount -t tmpfs -o size=24m none "{journal}" && exec "$0" "$@"'
    return ("unshare", "-m", "sh", "-c", script)


def test_a_full_disk_leaves_strangers_without_an_answer_until_there_is_room(
    node: Node, small_disk: Sequence[str]
) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",), under=small_disk)
    # The mount is the switch's own; from outside it is reached through its root.
    journal = Path(f"/proc/{switch.process.pid}/root{node.data_dir}/journal")
    node.cli.ok("gateway", "add", "carrier", "127.0.0.30")
    with (
        Peer(switch.address("udp"), "127.0.0.66") as stranger,
        Peer(switch.address("udp"), "127.0.0.30") as gateway,
    ):
        first = stranger.ask(Request())
        assert first.status == 403
        ballast = journal / "ballast"
        fill(ballast)
        asked = iter(range(100_000))
        answers = [first.raw]

        def is_unanswered() -> bool:
            read = node.books().read
            stranger.send(Request(call_id=f"full{next(asked)}").write())
            eventually(lambda: node.books().read > read)
            heard = stranger.waiting()
            answers.extend(heard)
            return not heard

        eventually(is_unanswered)
        full = node.books()
        assert full.unrecordable > 0
        assert full.difference == 0
        # The calls stream has room of its own: a gateway's call is answered and has its record.
        assert gateway.ask(Request(caller="42", call_id="paid")).status == 404
        ballast.unlink()
        eventually(lambda: not is_unanswered())
        after = node.books()
        assert after.difference == 0
        assert len(switch.logged("neither recorded nor answered")) == 1
        assert len(switch.logged("can be written again")) == 1
        answered = after.recorded + after.folded + after.challenged
    copied = node.root / "after"
    subprocess.run(["cp", "-r", str(journal), str(copied)], check=True)
    assert switch.stop() == 0
    other = Node(node.root / "copy")
    other.data_dir.mkdir(parents=True)
    copied.rename(other.data_dir / "journal")
    assert other.totals().attempts == answered
    # Nobody was answered whose record did not fit.
    assert len(answers) <= answered
    (paid,) = other.cli.json("cdr", "list", "--billing-mode", "1")
    assert (paid["call_id"], paid["sip_status"]) == ("paid", 404)
    assert other.cli.json("cdr", "count", "--illegal")["attempts"] == answered


def fill(ballast: Path) -> None:
    """Take every byte that the disk has left."""
    block = bytes(65_536)
    with ballast.open("wb", buffering=0) as file:
        while len(block) > 0:
            try:
                file.write(block)
            except OSError:
                block = block[: len(block) // 2]


NARROW = 'ip link set lo mtu 1300 up && exec "$0" "$@"'
ASK = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("127.0.0.1", 0))
sender.settimeout(5)
sender.sendto(sys.stdin.buffer.read(), ("127.0.0.1", int(sys.argv[1])))
sys.stdout.buffer.write(sender.recv(65535))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
def test_an_answer_too_long_for_the_path_is_sent_in_fragments(node: Node) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",), under=("unshare", "-n", "sh", "-c", NARROW))
    path = "".join(f", SIP/2.0/UDP 10.0.0.{n};branch=z9hG4bK{'x' * 80}{n}" for n in range(12))
    request = Request()
    message = request.write().replace(b";rport", b";rport" + path.encode(), 1)
    asked = subprocess.run(
        [
            "nsenter",
            "-t",
            str(switch.process.pid),
            "-n",
            sys.executable,
            "-c",
            ASK,
            str(switch.address("udp")[1]),
        ],
        input=message,
        capture_output=True,
        check=True,
        timeout=20,
    )
    answer = Answer.read(asked.stdout)
    assert answer.status == 403
    assert 1300 < len(answer.raw) <= len(message)


def test_a_damaged_journal_segment_is_named_and_the_other_segments_are_served(node: Node) -> None:
    for burst in range(2):
        switch = node.switch(sip=("udp:127.0.0.1:0",))
        with Peer(switch.address("udp")) as stranger:
            for n in range(20):
                assert stranger.ask(Request(call_id=f"run{burst}-{n}")).status == 403
        assert switch.stop() == 0
    damaged, whole = sorted(stream_directory(node.data_dir, EDGE).glob("*.rfj"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)

    listed = node.cli("cdr", "list", "--limit", "100", "--format", "json")
    assert "cannot be read" in listed.stderr
    assert "ledger verify" in listed.stderr
    found = {row["call_id"] for row in json.loads(listed.stdout)}
    assert {f"run1-{n}" for n in range(20)} < found
    assert "run0-0" in found
    checked = node.cli("ledger", "verify")
    assert checked.exit_code == 1
    assert str(damaged) in checked.stderr
    assert str(whole) not in checked.stderr
    office = node.office()
    eventually(lambda: office.logged("ledger.unreadable"))
    assert len(office.logged("ledger.unreadable")) == 1
