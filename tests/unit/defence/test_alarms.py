# SPDX-License-Identifier: Apache-2.0
"""The engine: one incident from upper bound to lower bound, whatever the readings."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.defence.alarms import Cleared, Effect, Key, Opened, Reading, Risen, evaluate
from ringfence.ids import AlarmId
from ringfence.settings.alarms_model import (
    ALARM_KIND_BY_CODE,
    ALARM_KINDS,
    CPU,
    DISK,
    MEMORY,
    Alarm,
    AlarmRule,
    Level,
)


def a_rule(code: int = CPU, *, lower: int = 50, upper: int = 90, enabled: bool = True) -> AlarmRule:
    return AlarmRule(code=code, enabled=enabled, level=Level.MAJOR, lower=lower, upper=upper, is_set=True)


def an_alarm(code: int = CPU, value: int = 90, subject: str = "") -> Alarm:
    return Alarm(
        id=AlarmId(1),
        node="n1",
        code=code,
        level=Level.MAJOR,
        subject=subject,
        value=value,
        told=(),
        link="",
        opened_at_us=0,
        changed_at_us=0,
    )


def a_reading(value: int, code: int = CPU, subject: str = "", *, is_partial: bool = False) -> Reading:
    return Reading(code=code, value=value, subject=subject, is_partial=is_partial)


@pytest.mark.parametrize(
    ("value", "opens"), [(0, False), (50, False), (89, False), (90, True), (1000, True)], ids=str
)
def test_it_opens_when_the_value_reaches_the_upper_bound(value: int, *, opens: bool) -> None:
    effects = evaluate([a_reading(value)], [a_rule()], [])
    assert effects == ((Opened(rule=a_rule(), reading=a_reading(value)),) if opens else ())


@pytest.mark.parametrize(
    ("value", "effect"),
    [
        (0, "cleared"),
        (50, "cleared"),
        (51, None),
        (89, None),
        (90, None),
        (91, "risen"),
    ],
    ids=str,
)
def test_an_open_one_clears_at_the_lower_bound_and_is_told_of_only_when_it_rises(
    value: int, effect: str | None
) -> None:
    expected: dict[str | None, tuple[Effect, ...]] = {
        "cleared": (Cleared(alarm=an_alarm(), reading=a_reading(value)),),
        "risen": (Risen(alarm=an_alarm(), value=value),),
        None: (),
    }
    assert evaluate([a_reading(value)], [a_rule()], [an_alarm()]) == expected[effect]


def test_what_was_not_read_stays_as_it_is() -> None:
    assert evaluate([], [a_rule()], [an_alarm()]) == ()


def test_a_partial_reading_opens_but_clears_nothing() -> None:
    assert evaluate([a_reading(0, is_partial=True)], [a_rule()], [an_alarm()]) == ()
    assert len(evaluate([a_reading(90, is_partial=True)], [a_rule()], [])) == 1


def test_subjects_are_incidents_of_their_own() -> None:
    effects = evaluate(
        [a_reading(95, subject="a"), a_reading(95, subject="b")],
        [a_rule()],
        [an_alarm(subject="a", value=99)],
    )
    assert effects == (Opened(rule=a_rule(), reading=a_reading(95, subject="b")),)


def test_a_rule_that_is_switched_off_opens_nothing_and_ends_what_is_open() -> None:
    off = a_rule(enabled=False)
    assert evaluate([a_reading(99)], [off], []) == ()
    assert evaluate([a_reading(99)], [off], [an_alarm()]) == (Cleared(alarm=an_alarm(), reading=None),)


def test_of_two_readings_of_the_same_the_higher_counts() -> None:
    assert evaluate([a_reading(95), a_reading(10)], [a_rule()], []) == evaluate(
        [a_reading(10), a_reading(95)], [a_rule()], []
    )


def test_shipped_rules_open_at_their_upper_and_clear_at_their_lower_bound() -> None:
    for kind in ALARM_KINDS:
        rule = AlarmRule(
            code=kind.code, enabled=True, level=kind.level, lower=kind.lower, upper=kind.upper, is_set=False
        )
        alarm = an_alarm(kind.code, kind.upper)
        assert len(evaluate([a_reading(kind.upper, kind.code)], [rule], [])) == 1
        assert evaluate([a_reading(kind.upper - 1, kind.code)], [rule], []) == ()
        assert isinstance(evaluate([a_reading(kind.lower, kind.code)], [rule], [alarm])[0], Cleared)


CODES = (CPU, MEMORY, DISK)
BOUNDS = st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda pair: (pair[0], sum(pair)))
RULES = st.fixed_dictionaries({code: st.tuples(BOUNDS, st.booleans()) for code in CODES})
READINGS = st.lists(
    st.builds(
        Reading,
        code=st.sampled_from(CODES),
        value=st.integers(0, 45),
        subject=st.sampled_from(["", "a"]),
        is_partial=st.booleans(),
    ),
    max_size=8,
)


@given(st.lists(st.tuples(RULES, READINGS), max_size=25))
def test_there_is_never_more_than_one_incident_of_a_kind_and_each_opens_and_ends_once(
    story: list[tuple[dict[int, tuple[tuple[int, int], bool]], list[Reading]]],
) -> None:
    open_alarms: dict[Key, Alarm] = {}
    told: dict[AlarmId, list[str]] = {}
    for bounds, readings in story:
        rules = {
            code: a_rule(code, lower=lower, upper=upper, enabled=enabled)
            for code, ((lower, upper), enabled) in bounds.items()
        }
        highest: dict[Key, int] = {}
        for reading in readings:
            highest[reading.key] = max(highest.get(reading.key, 0), reading.value)
        for effect in evaluate(readings, rules.values(), open_alarms.values()):
            if isinstance(effect, Opened):
                key = effect.reading.key
                assert key not in open_alarms
                alarm_id = AlarmId(len(told) + 1)
                begun = an_alarm(key[0], effect.reading.value, key[1])
                open_alarms[key] = replace(begun, id=alarm_id)
                told[alarm_id] = ["opened"]
                assert highest[key] >= rules[key[0]].upper
                assert rules[key[0]].enabled
            else:
                key = (effect.alarm.code, effect.alarm.subject)
                assert open_alarms[key] == effect.alarm
                if isinstance(effect, Cleared):
                    del open_alarms[key]
                    told[effect.alarm.id].append("cleared")
                    assert not rules[key[0]].enabled or highest[key] <= rules[key[0]].lower
                else:
                    assert effect.value == highest[key] > effect.alarm.value
                    open_alarms[key] = replace(effect.alarm, value=effect.value)
        for key, alarm in open_alarms.items():
            assert rules[key[0]].enabled
            assert alarm.kind is ALARM_KIND_BY_CODE[key[0]]
    assert all(messages in (["opened"], ["opened", "cleared"]) for messages in told.values())
