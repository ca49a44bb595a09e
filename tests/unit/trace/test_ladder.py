# SPDX-License-Identifier: Apache-2.0
import json

from kit.traces import B1, B2, FIRST, SECOND, A, a_call, entry, link, note
from ringfence.ledger.schema import EMPTY, Cdr
from ringfence.trace import decisions
from ringfence.trace.document import document
from ringfence.trace.ladder import PARTIES, Arrow, Remark, Role, ladders


def a_record(**fields: object) -> Cdr:
    row = EMPTY | {
        "kind": "call",
        "call_id": A,
        "billingMode": 1,
        "callerGateway": "acme",
        "callerAccessE164": "1001",
        "calleeAccessE164": "004930123",
        "callerE164": "1001",
        "calleeE164": "4930123",
        "calleeip": SECOND[0],
        "calleeGateway": "carrier-b",
        "endDirection": 0,
        "endReason": -9,
    }
    start_ms = a_call().entries[0].at_us // 1000
    return Cdr(**(row | {"start": start_ms, "stop": start_ms + 9001} | fields))


def test_a_call_is_one_ladder_over_all_its_legs() -> None:
    [ladder] = ladders(a_call().entries)
    assert ladder.call_ids == (A, B1, B2)
    assert [(party.role, party.address) for party in ladder.parties] == [
        (Role.CALLER, "198.51.100.7:5060"),
        (Role.SWITCH, "192.0.2.1:5060"),
        (Role.GATEWAY, "203.0.113.5:5060"),
        (Role.GATEWAY, "203.0.113.9:5080"),
    ]
    assert (ladder.caller, ladder.callee, ladder.outcome) == ("1001", "004930123", "200 OK (SDP)")
    assert [(a.came, a.went) for a in ladder.arrows[:4]] == [(0, 1), (1, 0), (1, 2), (1, 2)]


def test_a_retransmission_is_told_from_a_new_message() -> None:
    [ladder] = ladders(a_call().entries)
    assert [arrow.number for arrow in ladder.arrows if arrow.is_repeat] == [4]


def test_calls_that_no_link_joins_are_ladders_of_their_own() -> None:
    entries = [entry("received", "INVITE", call_id=name) for name in ("x", "y", "z")]
    assert [ladder.call_ids for ladder in ladders([*entries, link("x", "z")])] == [("x", "z"), ("y",)]


def test_what_was_decided_stands_where_it_was_decided() -> None:
    [ladder] = ladders(a_call().entries)
    place = next(n for n, step in enumerate(ladder.steps) if isinstance(step, Remark))
    before = ladder.steps[place - 1]
    assert isinstance(before, Arrow)
    assert before.label == "100 Trying"


def test_a_record_adds_its_decisions_and_repeats_none_that_was_noted() -> None:
    attempts = [
        {
            "gateway": "carrier-a",
            "callee": "4930123",
            "call_id": B1,
            "after_ms": 2,
            "status": 503,
            "why": "No circuit",
        },
        {"gateway": "carrier-b", "callee": "0114930123", "call_id": B2, "after_ms": 521, "status": 200},
    ]
    [ladder] = ladders(a_call().entries, [a_record(route_attempts=json.dumps(attempts))])
    assert [str(step.said) for step in ladder.steps if isinstance(step, Remark)] == [
        "Numbers by the rules: 1001 calls 4930123",
        "Admitted: mapping gateway acme",
        "Attempt 1: gateway carrier-a, number 4930123",
        "Attempt 1: answered with 503. No circuit",
        "Attempt 2: gateway carrier-b, number 0114930123",
        "Attempt 2: answered with 200",
        "Ended by the caller: " + str(decisions.ended(0, -9)).partition(": ")[2],
    ]
    assert ladder.parties[3].name == "carrier-b"
    refused = next(
        n for n, step in enumerate(ladder.steps) if isinstance(step, Arrow) and step.entry.status == 503
    )
    after = ladder.steps[refused + 1]
    assert isinstance(after, Remark)
    assert "503" in after.said


def test_an_attempt_without_an_answer_ends_where_the_next_begins() -> None:
    record = a_record(
        route_attempts=json.dumps(
            [
                {"gateway": "a", "callee": "1", "call_id": "gone", "after_ms": 2, "why": "Timed out"},
                {"gateway": "b", "callee": "1", "call_id": "gone too", "after_ms": 500, "status": 200},
            ]
        )
    )
    told = {str(said): at_us for at_us, said in decisions.of_record(record, {})}
    assert told["Attempt 1: no answer. Timed out"] - record.start * 1000 == 500_000


def test_phones_that_ring_at_once_end_where_those_after_them_begin_or_the_call_ends() -> None:
    record = a_record(
        route_attempts=json.dumps(
            [
                {"gateway": "", "callee": "1", "call_id": "a", "after_ms": 2, "why": "Busy"},
                {"gateway": "", "callee": "1", "call_id": "b", "after_ms": 2, "why": "Timed out"},
                {"gateway": "", "callee": "1", "call_id": "c", "after_ms": 500, "why": "Timed out"},
            ]
        )
    )
    told = {str(said): at_us for at_us, said in decisions.of_record(record, {"a": record.start * 1000 + 7})}
    assert told["Attempt 1: no answer. Busy"] - record.start * 1000 == 7
    assert told["Attempt 2: no answer. Timed out"] - record.start * 1000 == 500_000
    assert told["Attempt 3: no answer. Timed out"] == record.stop * 1000 + 999


def test_a_record_of_something_else_decides_nothing() -> None:
    assert list(decisions.of_record(a_record(kind="illegal"), {})) == []
    assert decisions.attempts_of(a_record(route_attempts="no JSON")) == []
    phone = [said for _, said in decisions.of_record(a_record(billingMode=0, auth_number="1001"), {})]
    assert "Admitted: phone 1001" in phone


def test_a_note_comes_back_as_the_sentence_that_it_was() -> None:
    said = decisions.attempted(1, "carrier-a", "4930123")
    again = decisions.decode(decisions.encode(said))
    assert (again, again.template, again.values) == (said, said.template, said.values)


def test_a_note_that_is_no_sentence_stands_for_itself_and_breaks_nothing() -> None:
    for content in (
        b"",
        b"{}",
        b"[1]",
        b'{"say": "{a}", "with": {}}',
        b'{"say": 5, "with": {}}',
        b"\xff\x1b[2J",
    ):
        said = decisions.decode(content)
        assert "\x1b" not in said
        [ladder] = ladders([entry("received", "INVITE"), note(content)])
        assert isinstance(ladder.steps[1], Remark)


def test_further_parties_share_the_last_column() -> None:
    entries = [entry("received", "INVITE")]
    for port in range(10):
        entries += [
            link(A, f"b{port}"),
            entry("sent", "INVITE", call_id=f"b{port}", remote=(FIRST[0], 6000 + port)),
        ]
    [ladder] = ladders(entries)
    assert len(ladder.parties) == PARTIES
    assert ladder.parties[-1].role is Role.OTHERS
    assert {arrow.went for arrow in ladder.arrows[-6:]} == {PARTIES - 1}


def test_a_call_whose_beginning_is_gone_says_so() -> None:
    [ladder] = ladders([entry("sent", "180 Ringing"), entry("sent", "200 OK")])
    assert ladder.is_begun_before
    assert [party.role for party in ladder.parties] == [Role.SWITCH, Role.GATEWAY]


def test_a_request_of_ours_has_no_caller() -> None:
    [ladder] = ladders([entry("sent", "OPTIONS"), entry("received", "200 OK", cseq="OPTIONS")])
    assert [party.role for party in ladder.parties] == [Role.SWITCH, Role.GATEWAY]
    assert (ladder.method, ladder.outcome) == ("OPTIONS", "200 OK (OPTIONS)")


def test_remarks_alone_are_no_call() -> None:
    assert ladders([note(b"{}"), link("a", "b")]) == ()


def test_what_senders_write_into_a_start_line_is_cut_and_harmless() -> None:
    first = entry("received", "INVITE")
    long = entry("received", "486 " + "\x1b[31mBusy\u202e" * 5000)
    [ladder] = ladders([first, long])
    assert all(len(arrow.label) < 60 and arrow.label.isprintable() for arrow in ladder.arrows)


def test_the_document_has_every_step() -> None:
    call = a_call()
    [ladder] = ladders(call.entries)
    shown = document(ladder)
    assert len(shown["steps"]) == len(ladder.steps)
    first, second = shown["steps"][:2]
    assert (first["from"], first["to"], first["label"]) == (
        "198.51.100.7:5060",
        "192.0.2.1:5060",
        "INVITE (SDP)",
    )
    assert (second["from"], second["after_s"]) == ("192.0.2.1:5060", 0.001)
    assert shown["steps"][2]["note"] == "Admitted: mapping gateway acme"
    json.dumps(shown)
