// SPDX-License-Identifier: Apache-2.0
//! Requests that we receive.

use super::*;

/// RFC 3261 §17.2.1, whole: request, its repetition, answer, ACK, end; nothing is left in any table.
#[test]
fn an_invite_is_refused_and_acknowledged() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    assert_eq!(statuses(&case.run_to(200)), [100]);
    assert_eq!(case.receive(&invite).0, Taken::Repeated);
    assert_eq!(statuses(&case.respond(id, &invite, 486).unwrap()), [486]);
    assert_eq!(statuses(&case.receive(&invite).1), [486]);
    let ack = Wire { to_tag: "ours", ..invite.with("ACK") };
    assert_eq!(case.receive(&ack), (Taken::Ack, vec![]));
    assert_eq!(case.receive(&ack), (Taken::Ack, vec![]));
    assert_eq!(case.table.state(id), Some(State::Confirmed));
    assert_eq!(case.drain(), [ended(id, Reason::Done)]);
    assert!(case.table.is_empty());
    assert_eq!(case.table.counters(), Counters { repeated_requests: 2, ..Counters::default() });
}

/// RFC 3261 §13.3.1.4, RFC 6026 §7.1: the ACK of a 2xx has a branch of its own, and is found by call and tags.
#[test]
fn the_ack_of_a_2xx_is_found_by_its_dialog() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    case.respond(id, &invite, 200).unwrap();
    assert_eq!(statuses(&case.run_to(2_000)), [200, 200]);
    let ack = Wire { to_tag: "OURS", ..Wire::new("ACK", "z9hG4bKother") };
    for stranger in [
        Wire { to_tag: "other", ..ack.clone() },
        Wire { from_tag: "g", ..ack.clone() },
        Wire { number: 2, ..ack.clone() },
        Wire { call_id: "c2".to_owned(), ..ack.clone() },
        Wire { to_tag: "", ..ack.clone() },
    ] {
        assert_eq!(case.receive(&stranger), (Taken::Stray, vec![]));
    }
    let event = Event::Ack { bytes: ack.bytes() };
    assert_eq!(case.receive(&ack), (Taken::Ack, vec![Effect::ToUser { transaction: id, event }]));
    // The ACK comes again because a 2xx was on its way twice.
    assert_eq!(case.receive(&ack), (Taken::Ack, vec![]));
    assert_eq!(case.receive(&invite), (Taken::Repeated, vec![]));
    assert_eq!(case.drain(), [ended(id, Reason::Done)]);
    assert!(case.table.is_empty());
    assert_eq!(case.receive(&ack), (Taken::Stray, vec![]));
    assert_eq!(case.table.counters().stray_acks, 6);
}

/// An ACK with the branch of the INVITE, as some elements send it for a 2xx too, counts.
#[test]
fn the_ack_of_a_2xx_may_have_the_branch_of_the_invite() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    case.respond(id, &invite, 200).unwrap();
    let ack = Wire { to_tag: "ours", ..invite.with("ACK") };
    let event = Event::Ack { bytes: ack.bytes() };
    assert_eq!(case.receive(&ack), (Taken::Ack, vec![Effect::ToUser { transaction: id, event }]));
    assert_eq!(case.drain(), [ended(id, Reason::Done)]);
}

/// RFC 3261 §13.3.1.4: a re-INVITE has its To tag already.
#[test]
fn the_ack_of_a_2xx_inside_a_dialog_is_found_too() {
    let mut case = Case::new();
    let invite = Wire { to_tag: "dialog", ..Wire::invite() };
    let id = case.receive_new(&invite);
    case.respond(id, &invite, 200).unwrap();
    let ack = Wire { to_tag: "dialog", ..Wire::new("ACK", "z9hG4bKother") };
    assert_eq!(case.receive(&ack).0, Taken::Ack);
    assert_eq!(case.drain(), [ended(id, Reason::Done)]);
}

/// RFC 3261 §17.2.3: the form of RFC 2543, where the ACK has the To tag of our response.
#[test]
fn without_the_magic_cookie_an_ack_has_to_have_our_tag() {
    let mut case = Case::new();
    let invite = Wire::new("INVITE", "1");
    let id = case.receive_new(&invite);
    assert_eq!(case.receive(&invite).0, Taken::Repeated);
    case.respond(id, &invite, 486).unwrap();
    let ack = invite.with("ACK");
    assert_eq!(case.receive(&Wire { to_tag: "other", ..ack.clone() }).0, Taken::Stray);
    assert_eq!(case.receive(&Wire { uri: "sip:z@192.0.2.2", to_tag: "ours", ..ack.clone() }).0, Taken::Stray);
    assert_eq!(case.table.state(id), Some(State::Completed));
    assert_eq!(case.receive(&Wire { to_tag: "ours", ..ack }).0, Taken::Ack);
    assert_eq!(case.table.state(id), Some(State::Confirmed));
    case.drain();
    assert!(case.table.is_empty());
}

/// RFC 3261 §17.2.3: inside a dialog the ACK has the tag that the INVITE had.
#[test]
fn without_the_magic_cookie_an_ack_inside_a_dialog_is_found() {
    let mut case = Case::new();
    let invite = Wire { to_tag: "dialog", ..Wire::new("INVITE", "1") };
    let id = case.receive_new(&invite);
    case.respond(id, &invite, 486).unwrap();
    assert_eq!(case.receive(&Wire { to_tag: "ours", ..invite.with("ACK") }).0, Taken::Stray);
    assert_eq!(case.receive(&invite.with("ACK")).0, Taken::Ack);
    assert_eq!(case.table.state(id), Some(State::Confirmed));
}

/// RFC 3261 §12.2.2 forbids it, so the user would refuse the second one; if it does not, the ACK counts for the first.
#[test]
fn of_two_2xx_that_expect_the_same_ack_the_first_gets_it() {
    let mut case = Case::new();
    let one = Wire { to_tag: "dialog", ..Wire::invite() };
    let other = Wire { to_tag: "dialog", ..Wire::new("INVITE", "z9hG4bKother") };
    let (first, second) = (case.receive_new(&one), case.receive_new(&other));
    case.respond(second, &other, 200).unwrap();
    case.respond(first, &one, 200).unwrap();
    assert_eq!(case.receive(&Wire { to_tag: "dialog", ..Wire::new("ACK", "z9hG4bKack") }).0, Taken::Ack);
    let effects = case.drain();
    assert!(effects.contains(&ended(second, Reason::Done)));
    assert!(effects.contains(&ended(first, Reason::SuccessNotAcknowledged)));
    assert!(case.table.is_empty());
}

/// RFC 3261 §17.2.3: with the same branch another method is another transaction.
#[test]
fn a_method_of_its_own_is_a_transaction_of_its_own() {
    let mut case = Case::new();
    let one = case.receive_new(&Wire { to_tag: "t", ..Wire::new("INFO", "z9hG4bKx") });
    let other = case.receive_new(&Wire { to_tag: "t", ..Wire::new("info", "z9hG4bKx") });
    assert_ne!(one, other);
}

/// RFC 3261 §9.2.
#[test]
fn a_cancel_is_answered_200_and_the_user_hears_of_it_once() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    let cancel = invite.with("CANCEL");
    let (taken, effects) = case.receive(&cancel);
    assert_eq!((taken, statuses(&effects)), (Taken::Cancel, vec![200]));
    let event = Event::Cancel { bytes: cancel.bytes() };
    assert_eq!(effects[1..], [Effect::ToUser { transaction: id, event }]);
    let Effect::Send { bytes, .. } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(parsed(bytes).to().unwrap().tag(), Some(&b"ours"[..]));
    let (taken, effects) = case.receive(&cancel);
    assert_eq!((taken, statuses(&effects), effects.len()), (Taken::Repeated, vec![200], 1));
    assert_eq!(statuses(&case.respond(id, &invite, 487).unwrap()), [487]);
    assert_eq!(case.receive(&Wire { to_tag: "ours", ..invite.with("ACK") }).0, Taken::Ack);
    // The CANCEL's own transaction ends without a word to the user.
    assert_eq!(case.drain(), [ended(id, Reason::Done)]);
    assert!(case.table.is_empty());
}

/// RFC 3261 §9.2.
#[test]
fn a_cancel_after_the_final_response_is_answered_200_and_does_nothing() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    case.respond(id, &invite, 200).unwrap();
    let (_, effects) = case.receive(&invite.with("CANCEL"));
    assert_eq!((statuses(&effects), effects.len()), (vec![200], 1));
    assert_eq!(case.table.state(id), Some(State::Accepted));
}

/// RFC 3261 §9.2.
#[test]
fn a_cancel_without_its_invite_is_answered_481() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    for stranger in [
        Wire { via: "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKy".to_owned(), ..invite.with("CANCEL") },
        Wire { via: "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx".to_owned(), ..invite.with("CANCEL") },
        Wire { call_id: "c2".to_owned(), ..invite.with("CANCEL") },
        Wire { from_tag: "g", ..invite.with("CANCEL") },
        Wire { number: 2, ..invite.with("CANCEL") },
    ] {
        let (taken, effects) = case.receive(&stranger);
        assert_eq!((taken, statuses(&effects), effects.len()), (Taken::Cancel, vec![481], 1));
    }
    assert_eq!((case.table.state(id), case.table.counters().stray_cancels), (Some(State::Proceeding), 5));
}

/// RFC 3261 §8.2.2.2.
#[test]
fn a_merged_request_is_answered_482() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    let merged = Wire { uri: "sip:c@192.0.2.2", ..Wire::new("INVITE", "z9hG4bKother") };
    let (taken, effects) = case.receive(&merged);
    assert_eq!((taken, statuses(&effects), effects.len()), (Taken::Merged, vec![482], 1));
    // It has a transaction of its own, so its repetition and its ACK are understood.
    assert_eq!(statuses(&case.receive(&merged).1), [482]);
    assert_eq!(case.receive(&Wire { to_tag: "ours", ..merged.with("ACK") }), (Taken::Ack, vec![]));
    case.respond(id, &invite, 486).unwrap();
    assert_eq!(case.receive(&Wire { to_tag: "ours", ..invite.with("ACK") }).0, Taken::Ack);
    assert_eq!(case.drain(), [ended(id, Reason::Done)]);
    assert!(case.table.is_empty());
    // After the first is gone it is a new request.
    case.receive_new(&merged);
    assert_eq!(case.table.counters().merged_requests, 1);
}

/// Routers that rewrite SIP may send a request as it was and rewritten. The branch is the same, so it is no merged request (§8.2.2.2), and a 482 would
/// end the call.
#[test]
fn the_rewritten_twin_of_a_request_is_a_repetition() {
    let mut case = Case::new();
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    let ringing = case.respond(id, &invite, 180).unwrap();
    let twin = Wire { via: "SIP/2.0/UDP 198.51.100.27:62000;branch=z9hG4bKx;rport".to_owned(), ..invite };
    assert_eq!(case.receive(&twin), (Taken::Repeated, ringing));
    assert_eq!(case.table.server_count(), 1);
}

/// RFC 3261 §8.2.2.2: what has a To tag, another `CSeq`, Call-ID or From tag is not merged.
#[test]
fn requests_of_a_dialog_and_other_calls_are_not_merged() {
    let mut case = Case::new();
    case.receive_new(&Wire::invite());
    let other = Wire::new("INVITE", "z9hG4bKother");
    case.receive_new(&Wire { to_tag: "t", ..other.clone() });
    case.receive_new(&Wire { number: 2, ..other.clone() });
    case.receive_new(&Wire { call_id: "c2".to_owned(), ..other.clone() });
    case.receive_new(&Wire { from_tag: "g", ..other });
}

#[test]
fn a_response_built_for_another_request_is_not_sent() {
    let mut case = Case::new();
    let (one, other) = (Wire::invite(), Wire { call_id: "c2".to_owned(), ..Wire::invite() });
    let id = case.receive_new(&one);
    case.receive_new(&other);
    assert_eq!(case.respond(id, &other, 200), Err(Error::OtherRequest));
    assert_eq!(case.respond(id, &one.with("BYE"), 200), Err(Error::OtherRequest));
    assert!(case.respond(id, &one, 200).is_ok());
    assert_eq!(case.respond(id, &one, 486), Err(Error::Illegal(State::Accepted)));
}

/// RFC 3261 §17.2.1: nothing is repeated by timers and nothing lingers on reliable transports.
#[test]
fn on_a_reliable_transport_a_request_is_over_with_its_answer() {
    let mut case = Case::new();
    let bye = Wire { to_tag: "t", ..Wire::new("BYE", "z9hG4bKx") };
    let (taken, _) = case.receive_on(Transport::Reliable, &bye);
    let Taken::New(id) = taken else { panic!("{taken:?}") };
    let effects = case.respond(id, &bye, 200).unwrap();
    assert_eq!((statuses(&effects), effects.last()), (vec![200], Some(&ended(id, Reason::Done))));
    assert!(case.table.is_empty());
}

/// What the parser would have answered 400 may be given all the same; nothing comes of it.
#[test]
fn a_malformed_request_makes_no_transaction() {
    let mut case = Case::new();
    let text = String::from_utf8(Wire::invite().bytes().to_vec()).unwrap().replace("CSeq: 1 INVITE", "CSeq: x");
    let bytes: Arc<[u8]> = text.as_bytes().into();
    let sip::Parsed::Refuse(refuse) = sip::parse(&bytes) else { panic!("{text}") };
    let arrival = Arrival {
        bytes: &bytes,
        source: SOURCE.parse().unwrap(),
        reply_to: PEER,
        transport: Transport::Unreliable,
        tag: Token::new(b"ours").unwrap(),
        has_trying: true,
    };
    let taken = case.table.receive_request(case.clock.at(0), &refuse.message, &arrival, &mut case.out);
    assert_eq!((taken, case.out.len(), case.table.is_empty()), (Taken::Stray, 0, true));
}
