# SPDX-License-Identifier: Apache-2.0
"""When alarms open and clear: a function of readings, rules and what is open, with no clock of its own.

An alarm opens when its value reaches the upper bound and is cleared when the value is down at the lower one;
between the two nothing happens, so a value that swings around one bound is one incident. There is at most one
open incident for each code and subject.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.settings.alarms_model import Alarm, AlarmRule

Key = tuple[int, str]
"""Code and subject of an alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The value of something that is watched, now.

    Shape: `subject` as in `Alarm`. A reading that `is_partial` may be too low (it has not been taken for long
    enough): it opens an alarm, but clears none.
    """

    code: int
    value: int
    subject: str = ""
    is_partial: bool = False

    @property
    def key(self) -> Key:
        """Code and subject."""
        return self.code, self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An incident begins."""

    rule: AlarmRule
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Risen:
    """The value of an open incident is higher than ever since it opened."""

    alarm: Alarm
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """An incident is over; `reading` None = its rule was switched off."""

    alarm: Alarm
    reading: Reading | None


Effect = Opened | Risen | Cleared


def evaluate(
    readings: Iterable[Reading], rules: Iterable[AlarmRule], open_alarms: Iterable[Alarm]
) -> tuple[Effect, ...]:
    """What follows from readings.

    Shape: at most one effect for each code and subject. Of two readings of the same the higher counts. What
    was not read stays as it is; what has no rule is not watched.
    """
    highest: dict[Key, Reading] = {}
    for reading in readings:
        known = highest.get(reading.key)
        if known is None or known.value < reading.value:
            highest[reading.key] = reading
    rule_of: Mapping[int, AlarmRule] = {rule.code: rule for rule in rules if rule.enabled}
    effects: list[Effect] = []
    still_open: set[Key] = set()
    for alarm in open_alarms:
        still_open.add((alarm.code, alarm.subject))
        effect = _of_open(alarm, rule_of.get(alarm.code), highest.get((alarm.code, alarm.subject)))
        if effect is not None:
            effects.append(effect)
    for key, reading in highest.items():
        rule = rule_of.get(reading.code)
        if rule is not None and key not in still_open and reading.value >= rule.upper:
            effects.append(Opened(rule=rule, reading=reading))
    return tuple(effects)


def _of_open(alarm: Alarm, rule: AlarmRule | None, reading: Reading | None) -> Effect | None:
    if rule is None:
        return Cleared(alarm=alarm, reading=None)
    if reading is None:
        return None
    if reading.value <= rule.lower and not reading.is_partial:
        return Cleared(alarm=alarm, reading=reading)
    return Risen(alarm=alarm, value=reading.value) if reading.value > alarm.value else None
