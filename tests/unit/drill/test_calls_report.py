# SPDX-License-Identifier: Apache-2.0
"""What callers saw against what records say."""

import pytest
from msgspec.structs import replace

from ringfence.drill.calls_report import CallsReport, Record, Seen, as_text, compare
from ringfence.drill.report import BooksChange

BOOKS = BooksChange(
    read=9, admitted=5, recorded=0, challenged=1, folded=0, absorbed=3, unrecordable=0, socket_drops=0
)
TALK = Seen(
    call_id="a",
    caller="customer",
    fate="caller_hangs_up",
    outcome="completed",
    is_as_fated=True,
    held_ms=2100,
)
BUSY = Seen(call_id="b", caller="phones", fate="busy", outcome="refused 486", is_as_fated=True, held_ms=0)
TALK_RECORD = Record(call_id="a", sip_status=200, end_direction=0, hold_s=3, routes=1)
BUSY_RECORD = Record(call_id="b", sip_status=486, end_direction=1, hold_s=0, routes=1)


def compared(
    *records: Record, calls: tuple[Seen, ...] = (TALK, BUSY), books: BooksChange = BOOKS
) -> CallsReport:
    return compare(
        calls,
        records,
        target="127.0.0.1:5060",
        seed=7,
        times_us=(0, 2_500_000),
        books=books,
        precision_ms=50,
    )


def test_one_true_record_for_each_call_is_right_and_stands_in_the_table() -> None:
    report = compared(TALK_RECORD, BUSY_RECORD)
    assert report.is_right
    assert report.differences == ()
    assert [" ".join(line.split()) for line in as_text(report).splitlines()[1:4]] == [
        "customer answered, caller hangs up 1 caller hung up: 1 1 caller hung up: 1 2.1 3",
        "phones busy 1 busy: 1 1 busy: 1 0.0 0",
        "total 2 2 2.1 3",
    ]
    assert "calls through udp:127.0.0.1:5060, seed 7, 2.5 s" in as_text(report)
    assert "exactly one record" in as_text(report)
    assert "The books balance" in as_text(report)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ((BUSY_RECORD,), "a: 0 records"),
        ((TALK_RECORD, TALK_RECORD, BUSY_RECORD), "a: 2 records"),
        (
            (replace(TALK_RECORD, end_direction=1), BUSY_RECORD),
            "a: the caller saw 'caller hung up', the record says 'callee hung up'",
        ),
        (
            (replace(TALK_RECORD, hold_s=5), BUSY_RECORD),
            "a: the caller talked 2.1 s, the record says 5 s",
        ),
        (
            (TALK_RECORD, replace(BUSY_RECORD, sip_status=503)),
            "b: the caller saw 'busy', the record says 'refused 503'",
        ),
        ((TALK_RECORD, replace(BUSY_RECORD, hold_s=1)), "b: nobody talked, the record says 1 s"),
    ],
)
def test_a_record_that_is_missing_doubled_or_untrue_is_told(records: tuple[Record, ...], said: str) -> None:
    report = compared(*records)
    assert not report.is_right
    assert report.differences == (said,)
    assert "THE RECORDS DIFFER: 1 of 2 calls lack a true record." in as_text(report)


def test_a_call_that_failed_over_has_to_tell_of_both_vendors() -> None:
    call = replace(TALK, fate="fails_over")
    assert compared(replace(TALK_RECORD, routes=2), calls=(call,)).is_right
    assert compared(TALK_RECORD, calls=(call,)).differences == ("a: the record tells of one vendor only",)


def test_a_call_that_did_not_end_as_it_should_is_not_right_even_with_a_true_record() -> None:
    call = replace(TALK, outcome="refused 503", is_as_fated=False, held_ms=0)
    report = compared(replace(TALK_RECORD, sip_status=503, hold_s=0), calls=(call,))
    assert (report.agreed, report.is_right) == (1, False)
    assert "1 calls did not end as they should." in as_text(report)


def test_books_that_do_not_balance_are_not_right() -> None:
    report = compared(TALK_RECORD, BUSY_RECORD, books=replace(BOOKS, read=10))
    assert not report.is_right
    assert "THE BOOKS DO NOT BALANCE" in as_text(report)
