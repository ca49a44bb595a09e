# SPDX-License-Identifier: Apache-2.0
"""The 49 messages of RFC 4475, each sent by a stranger: what comes back, and what is kept."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from kit.node import Node
from kit.sip import Answer, Peer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FIXTURES = Path(__file__).parents[1] / "fixtures" / "rfc4475"


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((FIXTURES / "cases.toml").read_text())["case"]
    return found


def test_each_torture_message_is_answered_as_a_stranger_may_be_and_accounted_for(node: Node) -> None:
    """RFC 4475; the answers of RFC 3261 §8.2 to a stranger, P8 for their size."""
    switch = node.switch(sip=("udp:127.0.0.1:0",))
    assert len(cases()) == 49
    wrong, withheld = [], []
    accounted = held_back = 0
    for number, case in enumerate(cases()):
        message = (FIXTURES / f"{case['tag']}.dat").read_bytes()
        with Peer(switch.address("udp"), f"127.0.4.{number + 1}") as stranger:
            stranger.send(message)
            # What is counted was answered before it was counted.
            books = node.balanced(read=number + 1)
            got = stranger.waiting()
            kept = books.recorded + books.challenged
            was_kept, accounted = kept - accounted, kept
            if node.counters()["withheld"] > held_back:
                held_back += 1
                withheld.append(case["tag"])
                assert (got, was_kept) == ([], 1)
                continue
            problem = judge(case, message, got, was_kept)
            if problem:
                wrong.append(f"{case['tag']}: {problem}")
    assert "; ".join(wrong) == ""
    # No answer to these is as short as they are, so P8 leaves them without one; they are recorded.
    assert " ".join(withheld) == "lwsdisp badvers mismatch01 novelsc unksm2 zeromf"
    rows = node.cli.json("cdr", "count", "--attempts", "--pending")["attempts"]
    assert rows == accounted == node.totals().attempts
    assert switch.logged("panicked") == []


def judge(case: dict[str, Any], message: bytes, got: list[bytes], was_kept: int) -> str:
    """What is wrong with how a message was treated; empty if nothing is."""
    outcome: str = case["parse"]
    start: str = case.get("fields", {}).get("start", "")
    is_response = message.startswith(b"SIP/2.0 ") and not outcome.startswith("drop")
    if len(got) > 1:
        return f"{len(got)} datagrams for one"
    if is_response or outcome in {"keep-alive", "stun"} or start.startswith("ACK "):
        return "answered or recorded" if got or was_kept else ""
    if was_kept != 1:
        return f"{was_kept} records"
    if bool(got) == outcome.startswith("drop"):
        return f"{len(got)} answers to what is to be {outcome}"
    if got and len(got[0]) > len(message) + (256 if Answer.read(got[0]).status in {401, 407} else 0):
        return f"{len(got[0])} bytes answer {len(message)}"
    return ""
