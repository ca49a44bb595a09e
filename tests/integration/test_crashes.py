# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the middle of a flood: what was answered is in the journal, and no row is lost or doubled."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from kit.node import Node
from kit.waiting import eventually
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.reader import open_reader

pytestmark = pytest.mark.integration

PER_SECOND = 10_000
FLOOD = """
import json, sys
from ringfence import _core
options = json.loads(sys.argv[1])
print(json.dumps(_core.flood(**options)))
"""


class Flood:
    """A load in a process of its own, with attackers who repeat what is not answered at once.

    It goes on through restarts of its target, and `counts_file` holds its counts at every moment.
    """

    def __init__(self, target: str, root: Path, *, seconds: float) -> None:
        self.counts_file = root / "counts"
        options = {
            "target": target,
            "seconds": seconds,
            "rate": PER_SECOND,
            "sources": 500,
            "retransmit": 2,
            "retransmit_after_s": 0.2,
            "invite": 8,
            "register": 1,
            "options": 1,
            "counts_file": str(self.counts_file),
        }
        self.process = Popen([sys.executable, "-c", FLOOD, json.dumps(options)], stdout=PIPE)

    @property
    def answers(self) -> int:
        """Responses received so far, to whichever request."""
        words = self.counts_file.read_text().split() if self.counts_file.exists() else []
        return int(words[2]) if len(words) >= 3 else 0

    def more(self, answers: int) -> bool:
        return self.answers >= answers


@contextmanager
def flooding(target: str, root: Path, *, seconds: float) -> Iterator[Flood]:
    flood = Flood(target, root, seconds=seconds)
    try:
        yield flood
    finally:
        flood.process.kill()
        flood.process.communicate()


def kill_the_switch(node: Node, times: int) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    address = f"udp:{switch.target}"
    with flooding(switch.target, node.root, seconds=600) as flood:
        for _ in range(times):
            seen = flood.answers
            eventually(lambda seen=seen: flood.more(seen + PER_SECOND // 2), within_s=30)  # type: ignore[misc]
            switch.kill()
            # Nobody answers now: what was sent is in, once the sender has emptied its own sockets.
            answered = settled(flood)
            switch = node.switch(sip=(address,))
            attempts = node.totals().attempts
            assert 0 < answered <= attempts
    switch.stop()
    node.cli.ok("ledger", "verify")
    rebuilt_is_the_same(node)


def settled(flood: Flood) -> int:
    """The answers seen, once they stay the same for a few looks."""
    looks: list[int] = []

    def same() -> bool:
        looks.append(flood.answers)
        return len(looks) > 5 and len(set(looks[-5:])) == 1

    eventually(same, within_s=10)
    return looks[-1]


def rebuilt_is_the_same(node: Node) -> None:
    """The rows of the office, of a reader without one, and of a rebuild are those that the journal gives."""
    totals = node.totals()
    before = rows(node)
    # Nobody here answers a challenge, so each attempt is in a row, or will be.
    assert sum(attempts for _, attempts in before.values()) == totals.attempts
    node.cli.ok("ledger", "rebuild")
    assert rows(node) == before


def rows(node: Node) -> dict[int, tuple[str, int]]:
    """Reason and attempts of every record, by its number; a number that comes twice fails."""
    found: dict[int, tuple[str, int]] = {}
    with open_reader(node.data_dir, node="n1", report=lambda *_: None) as reader:
        for batch in reader.store.export(CdrQuery(pending=True)):
            columns = (batch[name].to_pylist() for name in ("flowNo", "reason", "attempts"))
            for number, reason, attempts in zip(*columns, strict=True):
                assert number not in found
                found[number] = (reason, attempts)
    return found


@pytest.mark.timeout(120)
def test_three_kills_of_the_switch_lose_no_answered_attempt(node: Node) -> None:
    kill_the_switch(node, 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_of_the_switch_lose_no_answered_attempt(node: Node) -> None:
    kill_the_switch(node, 20)


def kill_the_office(node: Node, times: int) -> None:
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    with flooding(switch.target, node.root, seconds=600) as flood:
        for _ in range(times):
            office = node.office()
            seen = flood.answers
            eventually(lambda seen=seen: flood.more(seen + PER_SECOND // 2), within_s=30)  # type: ignore[misc]
            office.kill()
    books = node.quiet()
    switch.stop()
    assert books.recorded + books.challenged + books.folded == node.totals().attempts
    node.cli.ok("ledger", "verify")
    rebuilt_is_the_same(node)


@pytest.mark.timeout(120)
def test_three_kills_of_the_office_lose_and_double_no_row(node: Node) -> None:
    kill_the_office(node, 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_of_the_office_lose_and_double_no_row(node: Node) -> None:
    kill_the_office(node, 20)
