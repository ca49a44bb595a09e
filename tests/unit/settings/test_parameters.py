# SPDX-License-Identifier: Apache-2.0
import pytest

from ringfence.errors import ConfigError
from ringfence.settings.parameters import BY_NAME, PARAMETERS, Kind, Parameter, defaults, lookup


def by_name(parameter: Parameter) -> str:
    return parameter.name


@pytest.mark.parametrize("parameter", PARAMETERS, ids=by_name)
def test_default_is_allowed_and_meaning_is_a_sentence(parameter: Parameter) -> None:
    assert parameter.allows(parameter.default)
    assert parameter.meaning.endswith(".")
    assert len(parameter.meaning) < 300


@pytest.mark.parametrize("parameter", PARAMETERS, ids=by_name)
def test_one_beyond_each_bound_is_refused_with_the_range(parameter: Parameter) -> None:
    for value in (parameter.minimum - 1, parameter.maximum + 1):
        if value == 0 and parameter.zero is not None:
            continue
        with pytest.raises(ConfigError) as caught:
            parameter.check(value)
        assert caught.value.code == "out_of_range"
        assert parameter.name in caught.value.message
        assert f"{parameter.minimum}" in (caught.value.hint or "")
        assert f"{parameter.maximum}" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "default", "minimum", "maximum"),
    [
        ("SERVER_BILLING_RECORD_ILLEGAL_CALL", 1, 0, 1),
        ("SERVER_BILLING_RECORD_ZERO_HOLD_TIME", 1, 0, 1),
        ("SERVER_BILLING_RECORD_SERVER_HANG_UP", 1, 0, 1),
        ("SS_REPLY_UNAUTHORIZED", 1, 0, 1),
        ("SS_AUTHENTICATION_MAX_RETRY", 6, 0, 999),
        ("SS_AUTHENTICATION_FAILED_SUSPEND", 180, 60, 3600),
        ("SS_SIP_AUTHENTICATION_RETRY", 6, 0, 999),
        ("SS_SIP_AUTHENTICATION_TIMEOUT", 10, 1, 32),
        ("SS_SIP_AUTHENTICATION_CODE", 407, 401, 407),
        ("SS_ENDPOINT_EXPIRE", 3600, 60, 86_400),
    ],
)
def test_parameters_known_from_vos3000_have_its_defaults_and_ranges(
    name: str, default: int, minimum: int, maximum: int
) -> None:
    parameter = BY_NAME[name]
    assert (parameter.default, parameter.minimum, parameter.maximum) == (default, minimum, maximum)
    assert parameter.source == "VOS3000"


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(PARAMETERS) == len(defaults())


def test_unknown_name_is_refused_with_the_nearest_spelling() -> None:
    with pytest.raises(ConfigError) as caught:
        lookup("SERVER_BILLING_RECORD_ILEGAL_CALL")
    assert caught.value.code == "unknown_parameter"
    assert caught.value.hint == "did you mean SERVER_BILLING_RECORD_ILLEGAL_CALL?"


def test_name_is_found_in_any_letter_case() -> None:
    assert lookup("rf_roaming").name == "RF_ROAMING"


@pytest.mark.parametrize(
    ("text", "value"), [("on", 1), ("Off", 0), ("TRUE", 1), ("no", 0), ("1", 1), (" 0 ", 0)]
)
def test_switch_reads_words_and_digits(text: str, value: int) -> None:
    assert lookup("SS_REPLY_UNAUTHORIZED").parse(text) == value


@pytest.mark.parametrize("text", ["", "six", "1_0", "6.0", "٦", "on", "0x10"])
def test_number_refuses_what_is_no_plain_number(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lookup("SS_AUTHENTICATION_MAX_RETRY").parse(text)
    assert caught.value.code == "not_a_number"
    assert "0 to 999" in (caught.value.hint or "")


def test_zero_may_stand_outside_the_range_where_it_has_a_meaning() -> None:
    blocked = lookup("RF_BLOCKED_CODE")
    assert blocked.check(0) == 0
    assert blocked.range_text() == "400 to 699, or 0 (silence)"
    with pytest.raises(ConfigError):
        blocked.check(1)


def test_a_parameter_of_two_values_takes_nothing_between_them() -> None:
    code = lookup("SS_SIP_AUTHENTICATION_CODE")
    assert (code.check(401), code.check(407)) == (401, 407)
    assert code.range_text() == "401 or 407"
    with pytest.raises(ConfigError) as caught:
        code.check(403)
    assert caught.value.hint == "allowed: 401 or 407"


def test_stored_value_that_is_no_longer_allowed_gives_way_to_the_default() -> None:
    parameter = lookup("SS_AUTHENTICATION_FAILED_SUSPEND")
    assert parameter.in_force(5) == 180
    assert parameter.in_force(None) == 180
    assert parameter.in_force(90) == 90


def test_range_text_of_a_switch_says_what_the_numbers_mean() -> None:
    assert {p.range_text() for p in PARAMETERS if p.kind is Kind.BOOL} == {"0 (off) or 1 (on)"}
