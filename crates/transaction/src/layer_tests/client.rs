// SPDX-License-Identifier: Apache-2.0
//! Requests that we send.

use super::*;

/// RFC 3261 §9.1: a CANCEL has nothing to do once its INVITE is over, so it goes with it; that bounds their number.
#[test]
fn a_cancel_goes_with_its_invite() {
    let mut case = Case::new();
    let invite = request("INVITE", "x", &[]);
    let id = case.start_on(Transport::Reliable, &invite).unwrap();
    case.hear(&a_response(&invite, 180, "t"));
    case.table.cancel(case.now(), id, &[], &mut case.out).unwrap();
    assert_eq!((methods(&std::mem::take(&mut case.out)), case.table.client_count()), (vec!["CANCEL".to_owned()], 2));
    let effects = case.hear(&a_response(&invite, 487, "t"));
    assert_eq!(effects.last(), Some(&ended(id, Reason::Done)));
    assert!(case.table.is_empty());
}

/// RFC 3261 §17.1.3, RFC 6026 §8.9.
#[test]
fn a_response_finds_its_request_by_branch_and_method_or_is_dropped() {
    let mut case = Case::new();
    let (bye, info) = (request("BYE", "x", &[]), request("INFO", "x", &[]));
    let first = case.start(&bye).unwrap();
    let second = case.start(&info).unwrap();
    let ok = a_response(&info, 200, "t");
    let event = Event::Response { status: 200, bytes: Arc::clone(&ok) };
    assert_eq!(case.hear(&ok), [Effect::ToUser { transaction: second, event }]);
    assert_eq!(case.table.state(first), Some(State::Trying));
    let stray = a_response(&request("BYE", "y", &[]), 200, "t");
    assert_eq!((case.hear(&stray), case.table.counters().stray_responses), (vec![], 1));
}

/// RFC 3261 §8.1.3.3.
#[test]
fn a_response_with_a_second_via_is_dropped() {
    let mut case = Case::new();
    let bye = request("BYE", "x", &[]);
    let id = case.start(&bye).unwrap();
    let ok = String::from_utf8(a_response(&bye, 200, "t").to_vec()).unwrap();
    for two in [
        ok.replace("From:", "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKz\r\nFrom:"),
        ok.replace("\r\nFrom:", ", SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKz\r\nFrom:"),
    ] {
        assert_ne!(two, ok);
        assert_eq!(case.hear(&two.as_bytes().into()), []);
    }
    assert_eq!((case.table.state(id), case.table.counters().stray_responses), (Some(State::Trying), 2));
}

/// RFC 3261 §9.1, whole: the CANCEL waits for the provisional response, is a transaction of its own and hidden, and ends with its INVITE.
#[test]
fn cancelling_sends_a_cancel_after_the_provisional_response() {
    for transport in [Transport::Unreliable, Transport::Reliable] {
        let mut case = Case::new();
        let invite = request("INVITE", "x", &[]);
        let id = case.start_on(transport, &invite).unwrap();
        case.table.cancel(case.now(), id, &[], &mut case.out).unwrap();
        assert!(case.out.is_empty());
        let effects = case.hear(&a_response(&invite, 180, "t"));
        assert_eq!(methods(&effects), ["CANCEL"]);
        assert_eq!(case.table.client_count(), 2);
        let Effect::Send { bytes: cancel, .. } = &effects[1] else { panic!("{effects:?}") };
        let repeated = case.run_to(600);
        assert_eq!(methods(&repeated), if transport == Transport::Reliable { vec![] } else { vec!["CANCEL"] });
        // Its answer is nobody's business.
        let ok: Arc<[u8]> = {
            let mut out = Vec::new();
            Answer::new(200, SOURCE.parse().unwrap()).write(&parsed(cancel), &mut out);
            out.as_slice().into()
        };
        assert_eq!(case.hear(&ok), []);
        let effects = case.hear(&a_response(&invite, 487, "t"));
        assert_eq!(methods(&effects), ["ACK"]);
        let rest = [effects, case.drain()].concat();
        assert_eq!(rest.last(), Some(&ended(id, Reason::Done)));
        assert!(case.table.is_empty());
    }
}

/// RFC 3261 §9.1: the INVITE is given up 64*T1 after a CANCEL that nobody takes notice of, and takes the CANCEL along.
#[test]
fn a_cancel_that_nobody_answers_gives_up_after_64_t1() {
    let mut case = Case::new();
    let invite = request("INVITE", "x", &[]);
    let id = case.start(&invite).unwrap();
    case.hear(&a_response(&invite, 180, "t"));
    case.now_ms = 1_000;
    case.table.cancel(case.now(), id, &[], &mut case.out).unwrap();
    assert_eq!(methods(&case.run_to(32_999)).len(), 11);
    assert_eq!(case.run_to(33_000), [ended(id, Reason::CancelUnanswered)]);
    assert!(case.table.is_empty());
}

/// RFC 6026 §7.2, RFC 3261 §13.2.2.4: forks, and the user's ACK again without the user.
#[test]
fn forked_2xx_are_acknowledged_each_for_itself() {
    let mut case = Case::new();
    let invite = request("INVITE", "x", &[]);
    let id = case.start(&invite).unwrap();
    for tag in ["t1", "t2"] {
        let ok = a_response(&invite, 200, tag);
        assert_eq!(case.hear(&ok).len(), 1);
        let ack = an_ack(tag);
        case.table.acknowledge(case.now(), id, &ack, 9, &mut case.out).unwrap();
        let sent = vec![Effect::Send { transaction: id, bytes: Arc::clone(ack.bytes()), destination: 9 }];
        assert_eq!(std::mem::take(&mut case.out), sent);
        assert_eq!(case.hear(&ok), sent);
    }
    let other = request_to("BYE", "y", "<sip:b@192.0.2.2>;tag=t1", &[]);
    assert_eq!(case.table.acknowledge(case.now(), id, &other, 9, &mut case.out), Err(Error::NoSuchSuccess));
    assert_eq!(case.drain(), [ended(id, Reason::Done)]);
    assert!(case.table.is_empty());
}

#[test]
fn dialogs_beyond_the_limit_are_counted() {
    let mut case = Case::new();
    let invite = request("INVITE", "x", &[]);
    case.start(&invite).unwrap();
    let told = (0..20).filter(|fork| !case.hear(&a_response(&invite, 200, &format!("t{fork}"))).is_empty()).count();
    assert_eq!((told, case.table.counters().fork_limit_hits), (crate::MAX_FORKS, 4));
}

#[test]
fn an_ack_is_no_transaction_and_a_branch_is_used_once() {
    let mut case = Case::new();
    let invite = request("INVITE", "x", &[]);
    case.start(&invite).unwrap();
    assert_eq!(case.start(&invite), Err(Error::BranchInUse));
    assert_eq!(case.start(&request("INVITE", "X", &[])), Err(Error::BranchInUse));
    assert_eq!(case.start(&an_ack("t")), Err(Error::AckIsNoTransaction));
    assert!(case.start(&request("INVITE", "y", &[])).is_ok());
}
