# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import ConfigError
from ringfence.settings.call_rules import (
    DAYS,
    CodeRange,
    DialRule,
    DialRules,
    FailureCodes,
    Lengths,
    TimeWindow,
)

NUMBERS = st.text("0123456789+ab*#", max_size=16)


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


# Dial rules


@pytest.mark.parametrize(
    ("rule", "number", "rewritten"),
    [
        ("*:a*", "0044207", "a0044207"),
        ("00:+", "0044207", "+44207"),
        ("00:", "0044207", "44207"),
        ("00*:*", "0044207", "44207"),
        ("*:1000", "0044207", "1000"),
        ("0134:$$$", "0134131", "013131"),
        ("0134:9$$", "0134131", "913131"),
        ("86?:*x", "861234", "234x"),
        ("???:9", "123", "9"),
        ("1*9:*", "1239", "23"),
        ("+*:00*", "+44207", "0044207"),
        ("00:+*#", "0044", "+44#"),
        ("00:$$$$$$", "001", "0011"),
    ],
)
def test_dial_rule_rewrites(rule: str, number: str, rewritten: str) -> None:
    assert DialRule.parse(rule).rewrite(number) == rewritten


@pytest.mark.parametrize(
    ("rule", "number"), [("00:+", "044"), ("???:9", "12"), ("?*:9*", "+44"), ("1*9:*", "1238"), ("a:b", "A1")]
)
def test_dial_rule_leaves_other_numbers_alone(rule: str, number: str) -> None:
    assert DialRule.parse(rule).rewrite(number) is None


def test_longest_pattern_counts_whatever_the_order() -> None:
    for texts in (["*:1*", "00:2", "0044:3", "00??:4"], ["00??:4", "0044:3", "00:2", "*:1*"]):
        rules = DialRules.parse(texts)
        assert rules.rewrite("00441") == ("31" if texts[0] == "*:1*" else "41")
        assert rules.rewrite("00331") == "41"
        assert rules.rewrite("00a") == "2a"
        assert rules.rewrite("7") == "17"


def test_a_pattern_is_as_long_with_its_last_star_left_out() -> None:
    for international in ("00:", "00*:*"):
        rules = DialRules.parse(["0*:49*", international])
        assert (rules.rewrite("0044207"), rules.rewrite("030123")) == ("44207", "4930123")


def test_number_that_no_rule_fits_stays_as_it_is() -> None:
    assert DialRules.parse(["00:+"]).rewrite("4420") == "4420"
    assert DialRules.parse([]).rewrite("4420") == "4420"
    assert DialRules.parse(["00:+"]).apply("4420") is None


def test_several_targets_take_turns() -> None:
    rule = DialRule.parse("*:1*|2*|3*")
    assert [rule.rewrite("0", turn) for turn in range(5)] == ["10", "20", "30", "10", "20"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("00", "is not a dial rule"),
        (":1", "is not a dial rule"),
        ("0 0:1", "is not a dial rule"),
        ("$:1", "is not a dial rule"),
        ("0" * 65 + ":1", "is not a dial rule"),
        ("0*1*:1", "more than one \\* in its pattern"),
        ("0*:**", "more than one \\* in a target"),
        ("0*:*$", "\\$ behind the \\*"),
        ("0*:?1", "a character that no number has"),
        ("0:1\r\nx", "a character that no number has"),
        ("*:", "leave nothing"),
    ],
)
def test_dial_rule_that_cannot_be_is_refused_with_an_example(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        DialRule.parse(text)
    assert caught.value.hint


@given(number=NUMBERS, prefix=st.text("0123456789", max_size=5))
def test_prefix_is_put_before_any_number(number: str, prefix: str) -> None:
    assert DialRule.parse(f"*:{prefix}*").rewrite(number) == prefix + number


@given(number=st.text(max_size=20))
def test_star_takes_whatever_a_stranger_wrote(number: str) -> None:
    assert DialRule.parse("*:1").rewrite(number) == "1"


@given(
    pattern=st.text("0123456789+ab?*", min_size=1, max_size=8), target=st.text("0123456789+$*", max_size=8)
)
def test_what_is_read_is_written_the_same(pattern: str, target: str) -> None:
    try:
        rule = DialRule.parse(f"{pattern}:{target}")
    except ConfigError:
        return
    assert DialRule.parse(str(rule)) == rule


# Lengths


def test_lengths_are_from_and_to() -> None:
    lengths = Lengths.parse("7-9")
    assert [n for n in range(12) if lengths.allows("1" * n)] == [7, 8, 9]
    assert Lengths.parse("7").allows("1234567")
    assert not Lengths.parse("7").allows("12345678")


@pytest.mark.parametrize("text", ["", "0", "9-7", "7-", "-7", "65", "7-65", "x"])
def test_length_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a length"):
        Lengths.parse(text)


# Times of the week


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("mon-fri/08:00-18:00", "mon-fri/08:00-18:00"),
        ("Mon-Fri 8:00-18:00", "mon-fri/08:00-18:00"),
        ("sat,sun/0:00-24:00", "sun,sat/00:00-24:00"),
        ("sun-sat/00:00-24:00", "daily/00:00-24:00"),
        ("daily/22:00-06:00/Europe/Madrid", "daily/22:00-06:00/Europe/Madrid"),
        ("fri-mon/09:00:30-10:00", "sun,mon,fri,sat/09:00:30-10:00"),
        ("wed/09:00-10:00/UTC", "wed/09:00-10:00"),
    ],
)
def test_window_has_one_normal_form(text: str, normal: str) -> None:
    assert str(TimeWindow.parse(text)) == normal
    assert TimeWindow.parse(normal) == TimeWindow.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon",
        "mon/",
        "mon/08:00",
        "mon/08:00-",
        "mon/08:60-09:00",
        "mon/24:00-09:00",
        "mon/09:00-24:01",
        "mon/09:00-00:00",
        "monday/08:00-09:00",
        "mon-/08:00-09:00",
        "mon/08:00-09:00/Mars/Base",
        "mon/08:00-09:00/../../etc/passwd",
    ],
)
def test_window_that_cannot_be_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TimeWindow.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("window", "moment", "is_inside"),
    [
        # 2026-11-23 is a Monday.
        ("mon/08:00-18:00", "2026-11-23T07:59:59", False),
        ("mon/08:00-18:00", "2026-11-23T08:00:00", True),
        ("mon/08:00-18:00", "2026-11-23T17:59:59", True),
        ("mon/08:00-18:00", "2026-11-23T18:00:00", False),
        ("mon/08:00-18:00", "2026-11-24T09:00:00", False),
        ("sun/00:00-24:00", "2026-11-22T23:59:59", True),
        # Over midnight the hours belong to the day on which they begin.
        ("mon/22:00-06:00", "2026-11-23T21:59:59", False),
        ("mon/22:00-06:00", "2026-11-23T22:00:00", True),
        ("mon/22:00-06:00", "2026-11-24T05:59:59", True),
        ("mon/22:00-06:00", "2026-11-24T06:00:00", False),
        ("mon/22:00-06:00", "2026-11-23T05:00:00", False),
        ("sat/22:00-06:00", "2026-11-22T05:00:00", True),
        # Madrid is an hour ahead in winter and two in summer.
        ("mon/08:00-18:00/Europe/Madrid", "2026-11-23T07:00:00", True),
        ("mon/08:00-18:00/Europe/Madrid", "2026-11-23T17:00:00", False),
        ("mon/08:00-18:00/Europe/Madrid", "2026-07-06T06:00:00", True),
        ("mon/00:00-01:00/Europe/Madrid", "2026-11-22T23:30:00", True),
    ],
)
def test_window_holds_at_its_hours(window: str, moment: str, is_inside: bool) -> None:
    assert TimeWindow.parse(window).holds(us(moment)) is is_inside


@given(
    start=st.integers(0, 86_399),
    length=st.integers(1, 86_400),
    day=st.sampled_from(DAYS),
    minute=st.integers(0, 7 * 1440),
)
def test_window_holds_for_its_length_from_its_start(start: int, length: int, day: str, minute: int) -> None:
    end = (start + length) % 86_400 or 86_400
    window = TimeWindow((DAYS.index(day),), start, end)
    week_us = us("2026-11-22T00:00:00")
    begin_s = DAYS.index(day) * 86_400 + start
    span = end - start if start < end else end + 86_400 - start
    second = minute * 60
    inside = (second - begin_s) % (7 * 86_400) < span
    assert window.holds(week_us + second * 1_000_000) is inside


# Codes


def test_failure_codes_fall_back_on_all_others() -> None:
    codes = FailureCodes.parse(["486:0", "503:480", "0:500"])
    assert [codes.told(status) for status in (486, 503, 404)] == [486, 480, 500]
    assert FailureCodes.parse(["0:0"]).told(404) == 404
    assert FailureCodes.parse([]).told(404) == 404
    assert codes.texts() == ("486:0", "503:480", "0:500")


@pytest.mark.parametrize(
    "texts", [["503"], ["200:503"], ["503:200"], ["503:700"], ["503:480", "503:500"], ["503:"]]
)
def test_failure_code_that_cannot_be_is_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigError):
        FailureCodes.parse(texts)


def test_code_range_holds_its_ends() -> None:
    found = CodeRange.parse("500-599")
    assert [status for status in (499, 500, 599, 600) if found.holds(status)] == [500, 599]
    assert str(CodeRange.parse("503")) == "503"


@pytest.mark.parametrize("text", ["", "200", "599-500", "700", "5xx", "300-", "299-400"])
def test_code_range_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a code"):
        CodeRange.parse(text)
