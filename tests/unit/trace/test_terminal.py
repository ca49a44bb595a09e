# SPDX-License-Identifier: Apache-2.0
import pytest

from kit.traces import FIRST, A, a_call, entry, link, note
from ringfence.text import sentence
from ringfence.trace import decisions, terminal
from ringfence.trace.ladder import ladders

SAYINGS = ("\x1b]0;owned\x07\x1b[2J", "\u202e001\u2066", "\x00\x08\x7f\x85", "=cmd()", "A" * 64_000)


def test_a_ladder_reads_from_left_to_right() -> None:
    [ladder] = ladders(a_call().entries)
    assert list(terminal.lines(ladder, 100))[:8] == [
        "                  caller              ringfence              gateway               gateway",
        "            198.51.100.7:5060       192.0.2.1:5060       203.0.113.5:5060      203.0.113.9:5080",
        "    0.000            |--- INVITE (SDP) --->|                     |                     |",
        "    0.001            |<--- 100 Trying -----|                     |                     |",
        "    0.001 * Admitted: mapping gateway acme",
        "    0.002            |                     |--- INVITE (SDP) --->|                     |",
        "    0.002 * Attempt 1: gateway carrier-a, number 4930123",
        "    0.502            |                     |- again INVITE (SD… >|                     |",
    ]


@pytest.mark.parametrize("width", [1, 60, 61, 80, 100, 133, 160, 500])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    entries = list(a_call().entries)
    entries.append(note(decisions.encode(sentence("{text}", text="word " * 200)), after_ms=10_000))
    for port in range(9):
        entries += [
            link(A, f"b{port}"),
            entry("sent", "INVITE", call_id=f"b{port}", remote=("2001:db8::1", port)),
        ]
    [ladder] = ladders(entries)
    bound = min(max(width, terminal.NARROWEST), terminal.WIDEST)
    assert all(len(line) <= bound for line in terminal.lines(ladder, width))


def test_parties_without_room_are_named_on_their_arrows() -> None:
    [ladder] = ladders(a_call().entries)
    shown = "\n".join(terminal.lines(ladder, 60))
    assert "others" in shown
    entries = [entry("received", "BYE"), link(A, "b"), entry("sent", "BYE", call_id="b", remote=FIRST)]
    entries += [link(A, "c"), entry("sent", "BYE", call_id="c", remote=("192.0.2.9", 1))]
    [ladder] = ladders(entries)
    assert "BYE 192.0.2.9" in "\n".join(terminal.lines(ladder, 80))


@pytest.mark.parametrize("saying", SAYINGS)
def test_what_strangers_say_steers_no_terminal(saying: str) -> None:
    entries = [
        entry("received", "INVITE", caller=saying, callee=saying),
        entry("received", f"486 {saying}"),
        entry("received", saying, callee="1"),
        note(decisions.encode(decisions.attempted(1, saying, saying))),
        note(saying.encode()),
    ]
    [ladder] = ladders(entries)
    for line in terminal.lines(ladder, 100):
        assert line.isprintable()
        assert len(line) <= 100
