# SPDX-License-Identifier: Apache-2.0
"""Number rules ready to be applied: lengths, then prefixes, then dial rules."""

from dataclasses import dataclass
from typing import Final, Self

import msgspec

from ringfence.policy.steps import Outcome, Step, changed, passed, refused
from ringfence.settings.call_rules import DialRules, Lengths
from ringfence.settings.calls_model import NumberRules
from ringfence.text import sentence

LONGEST_NUMBER: Final = 64


class Filtered(msgspec.Struct, frozen=True):
    """A number after the rules. Shape: if `is_refused`, the last of `steps` says why, and it is as it was."""

    number: str
    steps: tuple[Step, ...]

    @property
    def is_refused(self) -> bool:
        """Whether a rule refused the number."""
        return bool(self.steps) and self.steps[-1].outcome is Outcome.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFilter:
    """`calls_model.NumberRules`, read. `whose` is "caller" or "callee" and begins the names of the steps."""

    whose: str
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    lengths: tuple[Lengths, ...]
    dial: DialRules

    @classmethod
    def read(cls, whose: str, rules: NumberRules) -> Self:
        """Read the rules.

        Raises: ConfigError if one is none; rules out of the settings were checked when they came in.
        """
        return cls(
            whose=whose,
            allow=rules.allow,
            deny=rules.deny,
            lengths=tuple(map(Lengths.parse, rules.lengths)),
            dial=DialRules.parse(rules.dial),
        )

    def apply(self, number: str, turn: int) -> Filtered:
        """Judge the number, then rewrite it; `turn` counts calls, for rules with several targets.

        Shape: a step for each kind of rule that there is, none for those that are not set.
        """
        if not (self.lengths or self.allow or self.deny or self.dial.rules):
            return Filtered(number, ())
        steps: list[Step] = []
        for judged in (self._length(number), self._prefix(number)):
            if judged is not None:
                steps.append(judged)
                if judged.outcome is Outcome.REFUSED:
                    return Filtered(number, tuple(steps))
        if not self.dial.rules:
            return Filtered(number, tuple(steps))
        rewritten, step = self._dial(number, turn)
        return Filtered(rewritten, (*steps, step))

    def _length(self, number: str) -> Step | None:
        if not self.lengths:
            return None
        name = f"{self.whose}_length"
        verdict = passed if any(lengths.allows(number) for lengths in self.lengths) else refused
        return verdict(
            name,
            "{whose} {number} has {count} characters; allowed: {lengths}",
            whose=sentence(self.whose),
            number=number,
            count=len(number),
            lengths=", ".join(map(str, self.lengths)),
        )

    def _prefix(self, number: str) -> Step | None:
        """The longest prefix that fits counts; of two equal ones the one that denies."""
        if not self.allow and not self.deny:
            return None
        name = f"{self.whose}_prefix"
        allowed = max((prefix for prefix in self.allow if number.startswith(prefix)), key=len, default=None)
        denied = max((prefix for prefix in self.deny if number.startswith(prefix)), key=len, default=None)
        said = {"whose": sentence(self.whose), "number": number}
        if denied is not None and (allowed is None or len(denied) >= len(allowed)):
            return refused(
                name, "{whose} {number} begins with {prefix}, which is denied", **said, prefix=denied
            )
        if allowed is not None:
            return passed(
                name, "{whose} {number} begins with {prefix}, which is allowed", **said, prefix=allowed
            )
        if self.allow:
            return refused(name, "{whose} {number} begins with no prefix that is allowed", **said)
        return passed(name, "{whose} {number} begins with no prefix that is denied", **said)

    def _dial(self, number: str, turn: int) -> tuple[str, Step]:
        name = f"{self.whose}_dial_rule"
        said = {"whose": sentence(self.whose), "number": number}
        applied = self.dial.apply(number, turn)
        if applied is None:
            return number, passed(name, "no dial rule fits {whose} {number}", **said)
        rule, rewritten = applied
        if not 1 <= len(rewritten) <= LONGEST_NUMBER:
            return number, refused(
                name,
                "dial rule {rule} makes {whose} {number} {count} characters; allowed: 1 to {longest}",
                **said,
                rule=rule,
                count=len(rewritten),
                longest=LONGEST_NUMBER,
            )
        return rewritten, changed(
            name, "dial rule {rule} makes {whose} {number} {made}", **said, rule=rule, made=rewritten
        )
