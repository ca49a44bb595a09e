# SPDX-License-Identifier: Apache-2.0
"""What becomes of each kind of frame, column by column where it matters."""

from pathlib import Path
from typing import Any

import pytest

from kit.clock import ManualClock
from kit.journal import (
    JOURNAL_ID,
    NO_MESSAGE,
    OPTIONS,
    RATE_EXCEEDED,
    REGISTER,
    SOURCE_IS_AUTHORISED,
    SOURCE_IS_PROVEN,
    T0_US,
    Journal,
)
from kit.ledgers import all_rows, ledger_of, seal_all
from ringfence.ledger.query import CdrQuery
from ringfence.ledger.schema import LISTED, Cdr

MALFORMED = 10
INJECTION = 13
BAD_CREDENTIALS = 4
S = 1_000_000


def rows_of(journal: Journal, directory: Path) -> list[Cdr]:
    """Rows, oldest first."""
    with ledger_of(journal, directory) as ledger:
        return all_rows(ledger.store)[::-1]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        pytest.param({}, ("illegal", -9, -9, "unknown_source"), id="INVITE of a stranger"),
        pytest.param({"method": OPTIONS}, ("event", -1, -10, "unknown_source"), id="OPTIONS of a stranger"),
        pytest.param(
            {"method": REGISTER, "reason": BAD_CREDENTIALS}, ("event", -1, -10, "bad_credentials"), id="guess"
        ),
        pytest.param({"reason": MALFORMED}, ("illegal", -9, -9, "malformed"), id="malformed INVITE"),
        pytest.param(
            {"method": 0, "reason": MALFORMED}, ("event", -1, -10, "malformed"), id="no message of SIP"
        ),
        pytest.param(
            {"method": 1, "flags": NO_MESSAGE}, ("event", -1, -10, "unknown_source"), id="silent connection"
        ),
        pytest.param(
            {"flags": SOURCE_IS_AUTHORISED, "reason": RATE_EXCEEDED, "gateway_id": 7},
            ("call", 1, -11, "rate_exceeded"),
            id="gateway over its rate",
        ),
        pytest.param(
            {"flags": SOURCE_IS_AUTHORISED, "reason": INJECTION},
            ("call", 0, -13, "injection"),
            id="phone, bad number",
        ),
        pytest.param(
            {"flags": SOURCE_IS_AUTHORISED, "method": OPTIONS, "reason": RATE_EXCEEDED, "gateway_id": 7},
            ("event", -1, -10, "rate_exceeded"),
            id="gateway's OPTIONS over its rate",
        ),
    ],
)
def test_a_refusal_is_told_by_method_and_source(
    tmp_path: Path, fields: dict[str, Any], wanted: tuple[str, int, int, str]
) -> None:
    journal = Journal()
    journal.refuse(T0_US, **fields)
    [row] = rows_of(journal, tmp_path)
    assert (row.kind, row.billingMode, row.endReason, row.reason) == wanted
    assert (row.endDirection, row.holdTime, row.attempts) == (2, 0, 1)


def test_an_illegal_call_carries_all_that_the_frame_says(tmp_path: Path) -> None:
    journal = Journal()
    journal.refuse(
        T0_US + 1500,
        flags=SOURCE_IS_PROVEN,
        transport=1,
        source="2001:db8::7",
        source_port=40_000,
        auth_user="1001",
        detail=9,
        raw=b"INVITE sip:1 SIP/2.0\r\n\xff",
        scope=2,
    )
    [row] = rows_of(journal, tmp_path)
    assert (row.callerip, row.source_port, row.transport, row.proven) == ("2001:db8::7", 40_000, "TCP", True)
    assert (row.local_address, row.local_port, row.sip_status, row.q850_cause) == ("192.0.2.1", 5060, 403, 21)
    assert (row.callerE164, row.callerAccessE164) == ("100", "100")
    assert (row.calleeE164, row.calleeAccessE164) == ("00972595725668", "00972595725668")
    assert (row.user_agent, row.callerProductId) == ("friendly-scanner", "friendly-scanner")
    assert (row.auth_number, row.detail, row.scope, row.call_id) == ("1001", 9, "network", "845637284")
    assert (row.fingerprint, row.traits, row.node) == (0xFEED_FACE_CAFE_BEEF, 3, "n1")
    assert (row.journal_id, row.seq, row.flowNo) == (JOURNAL_ID, 1, 2)
    assert row.start == row.stop == T0_US // 1000 + 1
    assert row.raw == b"INVITE sip:1 SIP/2.0\r\n\xff"
    assert row.recorded_at.isoformat() == "2024-11-22T00:00:00.001500+00:00"


def test_a_method_without_a_code_keeps_its_name(tmp_path: Path) -> None:
    journal = Journal()
    journal.refuse(T0_US, method=0, method_text="INVITEX")
    [row] = rows_of(journal, tmp_path)
    assert (row.method, row.kind) == ("INVITEX", "event")


def test_codes_of_a_newer_switch_keep_their_number(tmp_path: Path) -> None:
    journal = Journal()
    journal.refuse(T0_US, method=99, reason=98, transport=97, scope=96)
    [row] = rows_of(journal, tmp_path)
    assert (row.method, row.reason, row.transport, row.scope) == (
        "method_99",
        "reason_98",
        "transport_97",
        "scope_96",
    )


def test_a_challenge_that_a_registration_answers_leaves_no_row(tmp_path: Path) -> None:
    journal = Journal()
    asked = journal.challenge(T0_US, method=REGISTER)
    journal.flow(T0_US + S, settles=asked)
    assert rows_of(journal, tmp_path) == []


def test_a_challenge_that_a_call_answers_leaves_the_row_of_the_call(tmp_path: Path) -> None:
    journal = Journal()
    asked = journal.challenge(T0_US)
    journal.end_call(T0_US + S, settles=asked)
    [row] = rows_of(journal, tmp_path)
    assert (row.kind, row.endReason, row.billingMode, row.callerGateway) == ("call", -15, 1, "carrier-a")


def test_a_call_that_is_not_to_be_recorded_leaves_no_row_and_still_answers_its_challenge(
    tmp_path: Path,
) -> None:
    journal = Journal()
    asked = journal.challenge(T0_US)
    journal.end_call(T0_US + S, settles=asked, is_recorded=False)
    journal.end_call(T0_US + 2 * S)
    assert len(rows_of(journal, tmp_path)) == 1


def test_a_challenge_that_may_still_be_answered_is_no_row_unless_pending_ones_are_asked_for(
    tmp_path: Path,
) -> None:
    journal = Journal()
    journal.challenge(T0_US, method=REGISTER)
    clock = ManualClock(T0_US + 33 * S)
    with ledger_of(journal, tmp_path, clock) as ledger:
        assert all_rows(ledger.store, CdrQuery()) == []
        assert ledger.store.count(CdrQuery()).rows == 0
        assert [row.reason for row in all_rows(ledger.store)] == ["unanswered_challenge"]
        clock.advance(1)
        ledger.step()
        assert [row.reason for row in all_rows(ledger.store, CdrQuery())] == ["unanswered_challenge"]


@pytest.mark.parametrize(("method", "kind"), [(1, "illegal"), (REGISTER, "event")])
def test_an_unanswered_challenge_is_a_row(tmp_path: Path, method: int, kind: str) -> None:
    journal = Journal()
    journal.challenge(T0_US, method=method)
    [row] = rows_of(journal, tmp_path)
    assert (row.kind, row.reason) == (kind, "unanswered_challenge")


def test_a_wrong_answer_is_one_row_and_not_two(tmp_path: Path) -> None:
    journal = Journal()
    asked = journal.challenge(T0_US, method=REGISTER)
    journal.refuse(T0_US + S, method=REGISTER, reason=BAD_CREDENTIALS, settles=asked)
    [row] = rows_of(journal, tmp_path)
    assert row.reason == "bad_credentials"


def test_an_answer_that_comes_too_late_settles_nothing(tmp_path: Path) -> None:
    journal = Journal()
    asked = journal.challenge(T0_US, method=REGISTER)
    journal.flow(T0_US + 40 * S, settles=asked)
    [row] = rows_of(journal, tmp_path)
    assert row.reason == "unanswered_challenge"


def test_a_challenge_repeated_by_its_own_retransmission_is_still_settled_by_one_answer(
    tmp_path: Path,
) -> None:
    journal = Journal()
    asked = journal.challenge(T0_US)
    journal.increment(T0_US + S // 2, asked)
    journal.flow(T0_US + S, settles=asked)
    assert rows_of(journal, tmp_path) == []


def test_a_challenge_that_stands_for_many_loses_one_for_each_answer(tmp_path: Path) -> None:
    journal = Journal()
    asked = journal.challenge(T0_US, method=REGISTER, scope=1)
    journal.increment(T0_US + S, asked, 4, widened=True)
    for later in (2, 3):
        journal.flow(T0_US + later * S, settles=asked)
    [row] = rows_of(journal, tmp_path)
    assert (row.attempts, row.scope) == (3, "source")


def test_increments_add_to_their_record(tmp_path: Path) -> None:
    journal = Journal()
    first = journal.refuse(T0_US)
    journal.refuse(T0_US)
    journal.increment(T0_US + S, first, 2)
    journal.increment(T0_US + 33 * S, first, 5, widened=True)
    assert [row.attempts for row in rows_of(journal, tmp_path)] == [8, 1]


def test_increments_of_a_record_that_is_gone_are_a_row_of_their_own(tmp_path: Path) -> None:
    journal = Journal()
    first = journal.refuse(T0_US)
    journal.increment(T0_US, 4711, 3)
    journal.increment(T0_US + 60 * S, first, 2)
    rows = rows_of(journal, tmp_path)
    assert [(row.kind, row.reason, row.attempts) for row in rows] == [
        ("illegal", "unknown_source", 1),
        ("event", "lost_record", 3),
        ("event", "lost_record", 2),
    ]


def test_a_frame_of_a_call_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    journal = Journal()
    journal.end_call(T0_US)
    object.__setattr__(journal.streams[1][0], "fields", {"ended": "no call"})
    journal.end_call(T0_US)
    with ledger_of(journal, tmp_path) as ledger:
        assert ledger.progress.undecodable == 1
        assert len(all_rows(ledger.store)) == 1


@pytest.mark.parametrize(
    "user_agents", [("friendly-scanner",), ("", "x"), ("a" * 300,), ("a" * 299, "a" * 299 + "b")]
)
def test_columns_that_are_alike_are_known_without_a_look_and_right(
    tmp_path: Path, user_agents: tuple[str, ...]
) -> None:
    journal = Journal()
    for number in range(6):
        journal.refuse(T0_US + number, user_agent=user_agents[number % len(user_agents)], caller=str(number))
    clock = ManualClock(T0_US)
    with ledger_of(journal, tmp_path, clock) as ledger:
        live = ledger.store.page(CdrQuery(), columns=LISTED).rows
        seal_all(ledger, clock)
        sealed = ledger.store.page(CdrQuery(), columns=LISTED).rows
        [segment] = ledger.manifest.segments
    assert sealed == live
    alike = dict(segment.alike)
    assert alike.items() >= {"kind": "illegal", "proven": False, "attempts": 1, "sip_status": 403}.items()
    assert "callerAccessE164" not in alike
    assert alike.get("user_agent") == (user_agents[0] if user_agents == ("friendly-scanner",) else None)
