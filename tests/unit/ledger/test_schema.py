# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import msgspec

from kit.journal import ended
from ringfence.ledger import schema
from ringfence.ledger.schema import CallEnded, decode_call_ended, encode_call_ended

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
