# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from kit.routes import a_caller, a_gateway, a_state
from ringfence.ids import PhoneNumber
from ringfence.ledger.reasons import END_REASON_BY_NAME
from ringfence.policy.admission import Admission, CallNumbers, admit
from ringfence.policy.refusal import Refusal
from ringfence.policy.steps import Outcome
from ringfence.policy.table import MappingGateway, PhoneCaller, PolicyTable
from ringfence.settings.calls_model import NumberRules

MONDAY_NOON_US = 1_795_435_200 * 1_000_000  # 2026-11-23T12:00:00Z
MONDAY_EVENING_US = MONDAY_NOON_US + 8 * 3600 * 1_000_000


def admitted(
    caller: str = "4930123", callee: str = "00442079460000", lines_in_use: int | None = None, **calls: Any
) -> Admission:
    return admit(a_caller(**calls), caller, callee, now_us=MONDAY_NOON_US, lines_in_use=lines_in_use)


def last(admission: Admission) -> tuple[str, Outcome]:
    return admission.steps[-1].rule, admission.steps[-1].outcome


def test_gateway_without_rules_may_call_anywhere() -> None:
    admission = admitted()
    assert admission.refusal is None
    assert [step.rule for step in admission.steps] == ["gateway"]
    assert admission.numbers == CallNumbers(
        caller_access="4930123",
        caller="4930123",
        callee_access="00442079460000",
        callee="00442079460000",
    )


def test_locked_gateway_may_not_call() -> None:
    admission = admitted(locked=True)
    assert admission.refusal is Refusal.LOCKED
    assert last(admission) == ("locked", Outcome.REFUSED)


def test_gateway_calls_inside_its_hours_only() -> None:
    caller = a_caller(windows=("mon-fri/08:00-18:00",))
    assert admit(caller, "1", "2", now_us=MONDAY_NOON_US).refusal is None
    evening = admit(caller, "1", "2", now_us=MONDAY_EVENING_US)
    assert evening.refusal is Refusal.OUTSIDE_HOURS
    assert evening.steps[-1].text == "it is outside mon-fri/08:00-18:00"


@pytest.mark.parametrize(("in_use", "refused"), [(None, False), (0, False), (1, False), (2, True), (3, True)])
def test_lines_are_a_limit_where_they_are_known(in_use: int | None, refused: bool) -> None:
    admission = admitted(lines=2, lines_in_use=in_use)
    assert (admission.refusal is Refusal.LINES_IN_USE) is refused


def test_lines_of_a_gateway_without_a_limit_do_not_count() -> None:
    assert admitted(lines_in_use=10_000).refusal is None


@pytest.mark.parametrize("callee", ["", "4" * 65, "44 20", "44\r\nVia: x", "44;isub=1", "44@x", "４４"])
def test_number_called_that_no_number_is_goes_nowhere(callee: str) -> None:
    admission = admitted(callee=callee)
    assert admission.refusal is Refusal.INVALID_NUMBER
    assert callee == "" or callee not in admission.steps[-1].text


@pytest.mark.parametrize("caller", ["", "anonymous", "John Doe", "+49 (30) 123"])
def test_caller_may_call_itself_what_it_likes(caller: str) -> None:
    assert admitted(caller=caller).refusal is None


@pytest.mark.parametrize("caller", ["4" * 65, "49\r\nVia: x", "49\x00"])
def test_caller_that_cannot_be_printed_goes_nowhere(caller: str) -> None:
    assert admitted(caller=caller).refusal is Refusal.INVALID_NUMBER


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        (NumberRules(deny=("0044",)), True),
        (NumberRules(deny=("0049",)), False),
        (NumberRules(allow=("00",)), False),
        (NumberRules(allow=("0049",)), True),
        (NumberRules(allow=("00",), deny=("0044",)), True),
        (NumberRules(allow=("00442",), deny=("0044",)), False),
        (NumberRules(allow=("0044",), deny=("0044",)), True),
        (NumberRules(lengths=("14",)), False),
        (NumberRules(lengths=("9-13",)), True),
        (NumberRules(lengths=("9-13", "14-15")), False),
    ],
)
def test_number_called_is_judged_by_lengths_and_the_longest_prefix(rules: NumberRules, refused: bool) -> None:
    admission = admit(a_caller(callee=rules), "1", "00442079460000", now_us=MONDAY_NOON_US)
    assert (admission.refusal is Refusal.CALLEE_DENIED) is refused
    caller = admit(a_caller(caller=rules), "00442079460000", "1", now_us=MONDAY_NOON_US)
    assert (caller.refusal is Refusal.CALLER_DENIED) is refused


def test_numbers_before_and_after_the_rules_are_kept_apart() -> None:
    caller = a_caller(caller=NumberRules(dial=("*:+*",)), callee=NumberRules(dial=("00:",)))
    admission = admit(caller, "4930123", "00442079460000", now_us=MONDAY_NOON_US)
    assert admission.numbers == CallNumbers(
        caller_access="4930123",
        caller="+4930123",
        callee_access="00442079460000",
        callee="442079460000",
    )
    assert [(step.rule, step.outcome) for step in admission.steps] == [
        ("gateway", Outcome.PASSED),
        ("caller_dial_rule", Outcome.CHANGED),
        ("callee_dial_rule", Outcome.CHANGED),
    ]


def test_rules_judge_the_number_as_it_came_in() -> None:
    rules = NumberRules(allow=("00",), dial=("00:",))
    assert admit(a_caller(callee=rules), "1", "0044", now_us=MONDAY_NOON_US).refusal is None
    assert admit(a_caller(callee=rules), "1", "44", now_us=MONDAY_NOON_US).refusal is Refusal.CALLEE_DENIED


@pytest.mark.parametrize(("dial", "callee"), [("00:", "00"), ("*:" + "9" * 63 + "*", "44")])
def test_dial_rule_never_leaves_an_empty_or_endless_number(dial: str, callee: str) -> None:
    admission = admit(a_caller(callee=NumberRules(dial=(dial,))), "1", callee, now_us=MONDAY_NOON_US)
    assert admission.refusal is Refusal.CALLEE_DENIED
    assert last(admission) == ("callee_dial_rule", Outcome.REFUSED)
    assert admission.numbers.callee == callee


def test_number_that_no_dial_rule_fits_is_said_to_stay() -> None:
    admission = admit(a_caller(callee=NumberRules(dial=("00:",))), "1", "44", now_us=MONDAY_NOON_US)
    assert admission.steps[-1].text == "no dial rule fits callee 44"
    assert admission.numbers.callee == "44"


def test_targets_of_a_dial_rule_take_turns_from_call_to_call() -> None:
    caller = a_caller(callee=NumberRules(dial=("*:1*|2*",)))
    callees = [admit(caller, "1", "0", now_us=MONDAY_NOON_US, turn=turn).numbers.callee for turn in range(3)]
    assert callees == ["10", "20", "10"]


def test_phone_may_call() -> None:
    admission = admit(PhoneCaller(PhoneNumber("1001")), "1001", "1002", now_us=0)
    assert admission.refusal is None
    assert admission.steps[0].text == "phone 1001 may call"


def test_phone_calls_as_itself_whatever_it_says() -> None:
    admission = admit(PhoneCaller(PhoneNumber("1001")), "442079460000", "1002", now_us=0)
    assert (admission.numbers.caller_access, admission.numbers.caller) == ("442079460000", "1001")
    assert admission.steps[0].outcome is Outcome.CHANGED


def test_first_rule_that_refuses_is_the_last_step() -> None:
    caller = a_caller(lines=1, callee=NumberRules(deny=("0",)))
    admission = admit(caller, "1", "0", now_us=0, lines_in_use=1)
    assert [step.rule for step in admission.steps] == ["gateway", "lines"]


def test_every_refusal_is_an_end_reason_with_a_failure_status() -> None:
    reasons = [END_REASON_BY_NAME[each.value] for each in Refusal]
    assert len({each.code for each in reasons}) == len(Refusal)
    assert all(400 <= each.sip < 700 and 1 <= each.q850 <= 127 for each in reasons)


# Who calls


def test_caller_is_found_by_address_registration_or_number() -> None:
    state = a_state(a_gateway("static"), a_gateway("branch", number=2, username="b1"), phones=("1001",))
    table = PolicyTable.build(state)

    def name_of(gateway_id: int | None, number: str | None) -> str | None:
        caller = table.caller_of(gateway_id, number)
        if caller is None:
            return None
        return caller.name if isinstance(caller, MappingGateway) else caller.number

    assert name_of(1, None) == "static"
    assert name_of(None, "b1") == "branch"
    assert name_of(0, "b1") == "branch"
    assert name_of(None, "1001") == "1001"
    assert name_of(3, None) is None
    assert name_of(None, "1002") is None
    assert name_of(None, None) is None


def test_caller_is_found_by_what_an_operator_calls_it() -> None:
    table = PolicyTable.build(a_state(a_gateway("1001"), phones=("1001", "1002")))
    assert isinstance(table.caller_named("1001"), MappingGateway)
    assert table.caller_named("1002") == PhoneCaller(PhoneNumber("1002"))
    assert table.caller_named("1003") is None


def test_failure_codes_of_a_gateway_are_read() -> None:
    gateway = a_caller(failure_codes=("503:480", "0:500"))
    assert [gateway.failure_codes.told(status) for status in (503, 404)] == [480, 500]
