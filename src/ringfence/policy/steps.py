# SPDX-License-Identifier: Apache-2.0
"""What was decided about a call and why: one value for each rule that was applied, in order."""

from collections.abc import Mapping
from enum import Enum

import msgspec

from ringfence.text import Sentence, sentence


class Outcome(Enum):
    """What a rule did."""

    PASSED = "passed"
    CHANGED = "changed"
    REFUSED = "refused"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, applied.

    Shape: `rule` is a stable name for programs; `template` with `values` filled in is one sentence for
    people. It is made only when somebody asks: calls are decided far more often than explained.
    """

    rule: str
    outcome: Outcome
    template: str
    values: Mapping[str, object]

    @property
    def text(self) -> Sentence:
        """The sentence, in English until a page says it otherwise."""
        return sentence(self.template, **self.values)


def passed(rule: str, template: str, /, **values: object) -> Step:
    """The rule let the call through as it is."""
    return Step(rule=rule, outcome=Outcome.PASSED, template=template, values=values)


def changed(rule: str, template: str, /, **values: object) -> Step:
    """The rule changed a number."""
    return Step(rule=rule, outcome=Outcome.CHANGED, template=template, values=values)


def refused(rule: str, template: str, /, **values: object) -> Step:
    """The rule ended the call, or took a gateway out."""
    return Step(rule=rule, outcome=Outcome.REFUSED, template=template, values=values)
