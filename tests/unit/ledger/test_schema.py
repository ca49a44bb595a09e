# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import msgspec

from kit.journal import ended
from ringfence.ledger import schema
from ringfence.ledger.schema import (
    Call,
    CallAnswered,
    Callee,
    CallEnded,
    CallsAlive,
    CallStarted,
    DialogState,
    decode_call_ended,
    encode_call_ended,
)

INFO_CDR = """
callerE164 callerAccessE164 callerProductId callerToGatewayE164 callerGateway callerip calleeE164
calleeAccessE164 calleeProductId calleeToGatewayE164 calleeGateway calleeip start stop holdTime feeTime fee
feePrefix suiteFee suiteFeeTime agentFee agentFeeTime agentFeePrefix agentSuiteFee agentSuiteFeeTime callLevel
account accountName agentAccount agentName endDirection endReason calleeBilling billingMode flowNo
"""


def test_the_record_begins_with_the_columns_of_vos3000_in_their_order() -> None:
    assert tuple(INFO_CDR.split()) == schema.VOS_COLUMNS


def test_column_names_differ_in_more_than_letter_case() -> None:
    assert len({name.lower() for name in schema.COLUMN_NAMES}) == len(schema.COLUMN_NAMES)


def test_the_page_about_the_record_is_up_to_date() -> None:
    assert Path("docs/cdr.md").read_text(encoding="utf-8") == schema.as_markdown()


def test_an_ended_call_survives_its_frame() -> None:
    assert decode_call_ended(encode_call_ended(ended(settles=7))) == ended(settles=7)


def test_a_field_from_a_newer_switch_is_skipped() -> None:
    fields = msgspec.to_builtins(ended()) | {"dialled_by_voice": True}
    assert decode_call_ended(msgspec.msgpack.encode(fields)) == ended()


def test_a_call_keeps_its_numbers_apart_before_and_after_rewriting() -> None:
    call = CallEnded(
        started_us=1, ended_us=2, end_reason=-15, billing_mode=1, source="", caller="1", caller_access="001"
    )
    row = schema.call_row(call, journal_id="ab", seq=3, time_us=4, node="n")
    assert (row["callerE164"], row["callerAccessE164"], row["flowNo"]) == ("1", "001", 7)


def test_the_frames_of_a_call_survive() -> None:
    call = Call(id=5, started_us=1, billing_mode=1, source="192.0.2.1")
    callee = Callee(gateway="vendor", ip="203.0.113.2")
    dialog = DialogState(
        call_id="c",
        local_party="<sip:a@h>;tag=1",
        remote_party="<sip:b@h>;tag=2",
        local_seq=3,
        remote_target="sip:b@h",
        route_set=("<sip:p;lr>",),
        transport="TLS",
        remote=("203.0.113.2", 5061),
        local=("192.0.2.1", 5061),
        shown=("198.51.100.1", 5061),
    )
    started = CallStarted(call=call, callee=callee)
    answered = CallAnswered(id=5, answered_us=2, callee=callee, dialogs=(dialog, dialog))
    alive = CallsAlive(since_us=1, ids=(5, 6))
    assert schema.decode_call_started(schema.encode(started)) == started
    assert schema.decode_call_answered(schema.encode(answered)) == answered
    assert schema.decode_calls_alive(schema.encode(alive)) == alive


def test_a_frame_holds_as_many_live_calls_as_it_may_name() -> None:
    largest = CallsAlive(since_us=2**63, ids=tuple(range(2**62, 2**62 + schema.MOST_ALIVE)))
    assert len(schema.encode(largest)) < 60_000
