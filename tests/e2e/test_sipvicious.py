# SPDX-License-Identifier: Apache-2.0
"""SIPVicious as Debian ships it: all that it sends is recorded, for what it is, and it learns nothing."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from kit.capture import Datagram, capturing, needs
from kit.node import Half, Node

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ATTACKER = "127.0.0.1"


@pytest.fixture
def switch(node: Node) -> Half:
    """A switch that knows some numbers of the swept range."""
    started = node.switch(sip=("udp:127.0.0.1:0",))
    for number in ("101", "200", "555"):
        node.cli.ok("phone", "add", number, "--password-stdin", stdin="a password of length\n")
    return started


def attack(switch: Half, node: Node, *command: str) -> tuple[list[Datagram], str]:
    """Run a tool to its end; what it sent, and what it says it found."""
    needs(command[0], "tcpdump")
    with capturing(node.root / f"{command[0]}.pcap", switch.address("udp")) as capture:
        home = node.root / "home"
        home.mkdir(exist_ok=True)
        ran = subprocess.run(
            [*command, "-b", ATTACKER],
            capture_output=True,
            text=True,
            timeout=90,
            cwd=home,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            check=False,
        )
        sent = capture.finish()
    Path(node.root / "tool.log").write_text(ran.stdout + ran.stderr)
    return sent, ran.stdout + ran.stderr


def accounted(node: Node, sent: list[Datagram]) -> int:
    """How many attempts are in the ledger; all of them must be in the journal, and the books must balance."""
    attempts = [datagram for datagram in sent if datagram.method != "ACK"]
    # The keep-alive that ended the capture was read too.
    books = node.balanced(read=len(sent) + 1)
    assert books.absorbed == len(sent) - len(attempts) + 1
    assert node.totals().attempts == len(attempts)
    counted = node.cli.json("cdr", "count", "--attempts", "--pending")["attempts"]
    assert isinstance(counted, int)
    return counted


def reasons(node: Node) -> Counter[str]:
    """Attempts by reason."""
    found: Counter[str] = Counter()
    for row in node.cli.json("cdr", "list", "--pending", "--limit", "100000"):
        found[row["reason"]] += row["attempts"]
    return found


def test_svmap_finds_a_device_and_is_recorded(node: Node, switch: Half) -> None:
    sent, _ = attack(switch, node, "svmap", "-p", str(switch.address("udp")[1]), "127.0.0.1")
    assert {datagram.method for datagram in sent} == {"OPTIONS"}
    assert accounted(node, sent) == len(sent)
    assert reasons(node) == {"unknown_source": len(sent)}
    (row, *_) = node.cli.json("cdr", "list", "--events", "--pending")
    assert (row["user_agent"], row["method"]) == ("friendly-scanner", "OPTIONS")


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
def test_svwar_finds_nothing_by_default_and_is_recorded(node: Node, switch: Half, method: str) -> None:
    # It asks for a number that cannot exist first; where that is refused like any other it gives up.
    sent, said = svwar(switch, node, method)
    assert accounted(node, sent) == len([datagram for datagram in sent if datagram.method != "ACK"])
    reason = "unanswered_challenge" if method == "REGISTER" else "unknown_source"
    assert set(reasons(node)) <= {reason, "unregistered"}
    assert not any(is_row(line) for line in said.splitlines())


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_svwar_sweeps_the_whole_range_where_404_is_the_answer_and_learns_no_number(
    node: Node, switch: Half, method: str
) -> None:
    node.cli.ok("param", "set", "RF_UNAUTHORIZED_CODE", "404")
    sent, said = svwar(switch, node, method)
    swept = [datagram for datagram in sent if datagram.method == method]
    assert len(swept) >= 900
    assert accounted(node, sent) == len([datagram for datagram in sent if datagram.method != "ACK"])
    # It calls each number as that number: the operator sees which of them are phones, it does not.
    unregistered = 3 if method == "INVITE" else 0
    found = reasons(node)
    assert found["unregistered"] == unregistered
    assert found["unknown_source"] == len(swept) - unregistered
    rows = node.cli.json("cdr", "list", "--pending", "--limit", "100000")
    assert {row["calleeAccessE164"] for row in rows} >= {str(number) for number in range(100, 1000)}
    assert not any(is_row(line) for line in said.splitlines())


def svwar(switch: Half, node: Node, method: str) -> tuple[list[Datagram], str]:
    port = str(switch.address("udp")[1])
    return attack(switch, node, "svwar", "--force", "-m", method, "-e", "100-999", "-p", port, "127.0.0.1")


def is_row(line: str) -> bool:
    cells = line.split("|")
    return len(cells) >= 4 and cells[1].strip().isdigit()


def test_svcrack_guesses_no_password_and_is_recorded(node: Node, switch: Half) -> None:
    # The one that Debian ships knows no SHA-256 and ends at our challenge; the drill guesses in its grammar.
    port = str(switch.address("udp")[1])
    sent, said = attack(switch, node, "svcrack", "-u", "101", "-r", "1000-1099", "-p", port, "127.0.0.1")
    assert {datagram.method for datagram in sent} == {"REGISTER"}
    guesses = [datagram for datagram in sent if datagram.has("Authorization")]
    rows = accounted(node, sent)
    found = reasons(node)
    assert found["bad_credentials"] + found["locked_out"] == len(guesses)
    # A wrong answer takes the place of the challenge that it answers.
    assert rows == len(guesses) + found["unanswered_challenge"]
    assert "a password of length" not in said
    assert node.flows() == ()
