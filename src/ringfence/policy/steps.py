# SPDX-License-Identifier: Apache-2.0
"""What was decided about a call and why: one value for each rule that was applied, in order."""

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """What a rule did."""

    PASSED = "passed"
    CHANGED = "changed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule, applied.

    Shape: `rule` is a stable name for programs, `text` one sentence in English for people.
    """

    rule: str
    outcome: Outcome
    text: str


def passed(rule: str, text: str) -> Step:
    """The rule let the call through as it is."""
    return Step(rule=rule, outcome=Outcome.PASSED, text=text)


def changed(rule: str, text: str) -> Step:
    """The rule changed a number."""
    return Step(rule=rule, outcome=Outcome.CHANGED, text=text)


def refused(rule: str, text: str) -> Step:
    """The rule ended the call, or took a gateway out."""
    return Step(rule=rule, outcome=Outcome.REFUSED, text=text)
