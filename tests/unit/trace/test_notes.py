# SPDX-License-Identifier: Apache-2.0
"""What is noted on a live call is what its record says afterwards: each decision is told once."""

import pytest

from kit.traces import B1, A, entry, link, note
from ringfence.control.messages import TracedEntry
from ringfence.ledger.schema import Callee, CallEnded, Cdr, RouteAttempt, call_row
from ringfence.trace.decisions import answered
from ringfence.trace.ladder import Remark, ladders
from ringfence.trace.notes import Notes


class Kept:
    """The ring of the edge, as a list."""

    def __init__(self, began_us: int) -> None:
        self.began_us = began_us
        self.entries: list[TracedEntry] = []

    def trace_note(self, at_us: int, call_id: str, text: bytes) -> None:
        self.entries.append(note(text, after_ms=(at_us - self.began_us) / 1000, call_id=call_id))

    def trace_link(self, at_us: int, call_id: str, other: str) -> None:
        self.entries.append(link(call_id, other, after_ms=(at_us - self.began_us) / 1000))


def test_a_live_call_and_its_record_tell_the_same_once() -> None:
    invite = entry("received", "INVITE")
    began_us = invite.at_us
    attempt = RouteAttempt(
        gateway="carrier-a", callee="4930123", call_id=B1, after_ms=2, status=486, why="Busy"
    )
    ended = CallEnded(
        started_us=began_us,
        ended_us=began_us + 900_000,
        billing_mode=1,
        gateway="acme",
        source="198.51.100.7",
        caller="1001",
        caller_access="1001",
        callee="4930123",
        callee_access="004930123",
        call_id=A,
        end_direction=1,
        end_reason=17,
        route_attempts=(attempt,),
    )
    ring = Kept(began_us)
    notes = Notes(ring)
    notes.admitted(ended, began_us + 1000)
    callee = Callee(gateway="carrier-a", callee_number="4930123", call_id=B1)
    notes.attempted(ended, callee, 1, began_us + 2000)
    sent = entry("sent", "INVITE", call_id=B1, after_ms=2)
    notes.answered(ended, attempt, 1, began_us + 800_000)
    notes.ended(ended)
    row = call_row(ended, journal_id="j", seq=1, time_us=began_us, node="n")
    [ladder] = ladders([invite, *ring.entries, sent], [Cdr(**row)])
    assert ladder.call_ids == (A, B1)
    told = [str(step.said) for step in ladder.steps if isinstance(step, Remark)]
    assert told == [
        "Admitted: mapping gateway acme",
        "Numbers by the rules: 1001 calls 4930123",
        "Attempt 1: gateway carrier-a, number 4930123",
        "Attempt 1: answered with 486. Busy",
        told[-1],
    ]
    assert told[-1].startswith("Ended by the callee: ")


@pytest.mark.parametrize(
    ("status", "why", "told"),
    [
        (200, "", "Attempt 2: answered with 200"),
        (0, "", "Attempt 2: no answer"),
        (0, "No route", "Attempt 2: no answer. No route"),
        (503, "No circuit", "Attempt 2: answered with 503. No circuit"),
    ],
)
def test_what_became_of_an_attempt_is_said_with_and_without_an_answer(
    status: int, why: str, told: str
) -> None:
    assert str(answered(2, status, why)) == told
