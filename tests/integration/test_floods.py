# SPDX-License-Identifier: Apache-2.0
"""Floods from sources and with Call-IDs that never come again: counted exactly, inside the budget."""

import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kit.node import Node
from kit.waiting import eventually
from ringfence.core import flood
from ringfence.ledger.schema import EDGE
from ringfence.ledger.source import JournalSource, stream_directory

pytestmark = pytest.mark.integration

EVERY_SOURCE = 16_646_144
MEMORY_BYTES = 200_000_000
OWN, SOURCE, NETWORK, OTHER = range(4)
SLACK = 1.02
"""Segment headers, chain frames and the last batch stand beside the budget."""


def flooded(node: Node, seconds: float) -> float:
    """Let a flood of random sources come as fast as it can; how long the switch read it."""
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    began = time.monotonic()
    sent = flood(
        switch.target, seconds=seconds, sources=EVERY_SOURCE, mix={"invite": 8, "register": 1, "options": 1}
    )
    books = node.quiet()
    took = time.monotonic() - began
    # What the kernel dropped is looked up once a second.
    eventually(lambda: node.books().read + node.books().socket_drops == sent.sent)
    assert switch.peak_memory_bytes < MEMORY_BYTES
    totals = node.totals()
    assert books.recorded + books.challenged + books.folded == totals.attempts
    assert switch.logged("panicked") == []
    assert switch.stop() == 0
    return took


def records(node: Node) -> pa.Table:
    """Sequence and scope of every record."""
    source = JournalSource(stream_directory(node.data_dir, EDGE), EDGE, 0)
    parts = []
    while (frames := source.read(65_536)) is not None:
        parts.append(frames.attempts.select(["seq", "scope"]))
    return pa.concat_tables(parts)


def stays_in_budget(node: Node, *, burst: int, per_second: int, took: float) -> None:
    written = sum(path.stat().st_size for path in stream_directory(node.data_dir, EDGE).rglob("*.rfj"))
    assert 0 < written <= (burst + per_second * took) * SLACK


def widens_step_by_step(node: Node) -> None:
    found = records(node)
    first = [
        pc.min(found.filter(pc.equal(found["scope"], scope))["seq"]).as_py()
        for scope in (OWN, SOURCE, NETWORK, OTHER)
    ]
    assert None not in first
    assert first == sorted(first)


def beyond_its_budget(node: Node, *, seconds: float, burst: int, per_second: int) -> None:
    """Flood a switch whose journal may grow by less than that; look at what is left of it."""
    node.cli.ok("param", "set", "RF_JOURNAL_BYTES_PER_S", str(per_second))
    node.cli.ok("param", "set", "RF_JOURNAL_BURST_BYTES", str(burst))
    took = flooded(node, seconds)
    stays_in_budget(node, burst=burst, per_second=per_second, took=took)
    widens_step_by_step(node)
    recorded = node.cli.json("cdr", "count", "--attempts", "--pending")["attempts"]
    assert recorded == node.totals().attempts


@pytest.mark.timeout(120)
def test_a_flood_beyond_the_budget_is_counted_together_step_by_step_and_exactly(node: Node) -> None:
    beyond_its_budget(node, seconds=3, burst=8_000_000, per_second=1_000_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_so_is_one_of_a_minute(node: Node) -> None:
    beyond_its_budget(node, seconds=60, burst=64_000_000, per_second=4_000_000)
