// SPDX-License-Identifier: Apache-2.0
//! What belongs to a call that is up or being set up passes, from wherever it comes; what only looks like it does not.

mod kit;

use guard::{Counter, Standing, What};
use kit::{Ask, Bench, GATEWAY, Outcome, STRANGER, ask, snapshot};

fn inside(method: &'static str) -> Ask {
    ask(method).with(|ask| {
        ask.to_tag = Some("ours".into());
        ask.branch = format!("z9hG4bKinside{method}");
        ask.cseq = 2;
    })
}

fn kinds(outcome: &Outcome) -> Vec<&What> {
    outcome.passed.iter().map(|passed| &passed.what).collect()
}

#[test]
fn a_request_inside_a_live_dialog_passes_from_any_source_and_after_it_none_does() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let now_ms = bench.now.ms;
    bench.guard.dialogs.open(b"ours", b"a84b4c76e66710", now_ms);
    for (from, gateway) in [(STRANGER, None), (GATEWAY, Some(9))] {
        for method in ["BYE", "INVITE", "UPDATE", "INFO", "PRACK", "NOTIFY", "REFER", "MESSAGE"] {
            let outcome = bench.throw(from, &inside(method).bytes());
            assert_eq!(outcome.admitted, [Standing::Inside { gateway }], "{method} from {from}");
        }
    }
    assert_eq!(bench.throw(STRANGER, &inside("BYE").bytes()).repeats, 1);
    assert_eq!(kinds(&bench.throw(STRANGER, &inside("ACK").bytes())), [&What::Ack]);
    bench.guard.dialogs.close(b"ours");
    assert_eq!(bench.throw(STRANGER, &inside("BYE").bytes()).repeats, 1, "its answer was lost");
    let late = inside("BYE").with(|ask| ask.branch = "z9hG4bKlate".into());
    assert_eq!(bench.throw(STRANGER, &late.bytes()).status(), Some(481));
    assert_eq!(bench.journal().last().map(String::as_str), Some("1 refusal unknown_dialog 1001 481 settles 0"));
    assert_eq!(bench.total.imbalance(), 0);
}

#[test]
fn the_tag_without_the_call_id_or_the_call_id_without_the_tag_is_no_dialog() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let now_ms = bench.now.ms;
    bench.guard.dialogs.open(b"ours", b"a84b4c76e66710", now_ms);
    for wrong in [
        inside("BYE").with(|ask| ask.call_id = "another".into()),
        inside("BYE").with(|ask| ask.to_tag = Some("theirs".into())),
        inside("BYE").with(|ask| ask.to_tag = None),
    ] {
        let outcome = bench.throw(STRANGER, &wrong.bytes());
        assert_eq!((outcome.status(), outcome.passed.len()), (Some(481), 0));
    }
}

#[test]
fn an_address_on_the_black_list_may_still_end_its_call() {
    let mut bench = Bench::new(snapshot(|document| {
        document["lists"] =
            serde_json::json!([{"list": "source", "color": "black", "value": "203.0.113.0/24", "expires_at_us": 0}]);
    }));
    let now_ms = bench.now.ms;
    bench.guard.dialogs.open(b"ours", b"a84b4c76e66710", now_ms);
    assert_eq!(bench.throw(STRANGER, &inside("BYE").bytes()).admitted.len(), 1);
}

#[test]
fn a_party_that_floods_its_dialog_is_put_off_and_that_is_recorded() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let now_ms = bench.now.ms;
    bench.guard.dialogs.open(b"ours", b"a84b4c76e66710", now_ms);
    let mut statuses = (0..200).map(|number| {
        let info = inside("INFO").with(|ask| {
            ask.branch = format!("z9hG4bKinfo{number}");
            ask.cseq = number + 2;
        });
        bench.throw(STRANGER, &info.bytes()).status()
    });
    assert!(statuses.next() == Some(None) && statuses.last() == Some(Some(503)));
    assert!(bench.total.get(Counter::RateExceeded) > 0);
    assert_eq!(bench.total.imbalance(), 0);
}

#[test]
fn an_invite_may_be_cancelled_and_acknowledged_until_it_has_ended() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let call = bench.throw(GATEWAY, &ask("INVITE").bytes());
    let key = call.passed[0].key;
    bench.wait_ms(120_000);
    assert_eq!(bench.throw(GATEWAY, &ask("INVITE").bytes()).repeats, 1);
    assert_eq!(kinds(&bench.throw(GATEWAY, &ask("CANCEL").bytes())), [&What::Cancel]);
    assert_eq!(kinds(&bench.throw(GATEWAY, &ask("CANCEL").bytes())), [&What::Repeat]);
    let ack = ask("ACK").with(|ask| ask.to_tag = Some("any".into()));
    assert_eq!(kinds(&bench.throw(GATEWAY, &ack.bytes())), [&What::Ack]);
    assert_eq!(kinds(&bench.throw("192.0.2.10:7000", &ack.bytes())), [&What::Ack], "from another port");
    for (from, request) in [(STRANGER, ask("CANCEL")), (GATEWAY, ask("CANCEL").with(|ask| ask.branch += "x"))] {
        let outcome = bench.throw(from, &request.bytes());
        assert_eq!((outcome.status(), outcome.passed.len()), (Some(481), 0));
    }
    bench.guard.ended(key);
    bench.wait_ms(32_000);
    assert_eq!(bench.throw(GATEWAY, &ask("CANCEL").bytes()).status(), Some(481));
    assert!(bench.throw(GATEWAY, &ack.bytes()).passed.is_empty());
    assert_eq!(bench.total.imbalance(), 0);
}

fn response(branch: &str) -> Vec<u8> {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport=5060\r\nFrom: <sip:a@192.0.2.1>;tag=f\r\n\
         To: <sip:b@192.0.2.10>;tag=t\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn a_response_passes_if_its_branch_is_ours_and_is_absorbed_in_any_case() {
    let mut bench = Bench::new(snapshot(|_| {}));
    let ours = format!("z9hG4bK{}", String::from_utf8_lossy(&bench.branches.next().1));
    let outcome = bench.throw(STRANGER, &response(&ours));
    assert_eq!((kinds(&outcome), outcome.tally.get(Counter::Absorbed)), (vec![&What::Response], 1));
    let forged = ours.replace('0', "1");
    for branch in [&forged, "z9hG4bK", "z9hG4bK776asdhds", "x"] {
        let outcome = bench.throw(GATEWAY, &response(branch));
        assert_eq!((outcome.passed.len(), outcome.answers.len(), outcome.tally.get(Counter::Absorbed)), (0, 0, 1));
    }
    assert_eq!(bench.total.imbalance(), 0);
}

#[test]
fn a_call_that_was_taken_up_is_no_longer_in_flight() {
    let mut bench = Bench::new(snapshot(|document| document["gateways"][0]["in_flight"] = 1.into()));
    let call = |number: u32| ask("INVITE").with(|ask| ask.cseq = number).bytes();
    assert_eq!(bench.throw(GATEWAY, &call(1)).admitted.len(), 1);
    assert_eq!(bench.throw(GATEWAY, &call(2)).status(), Some(503));
    bench.guard.taken_up(9);
    let second = bench.throw(GATEWAY, &call(3));
    assert_eq!(second.admitted.len(), 1);
    // What could not be passed on takes no place either.
    bench.guard.undo(&second.passed[0]);
    assert_eq!(bench.throw(GATEWAY, &call(4)).admitted.len(), 1);
}
