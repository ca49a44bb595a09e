// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::kit::{Clock, PEER, a_response, an_ack, ms, parsed, request, request_to};
use crate::machine::{Event, Reason};

const SOURCE: &str = "192.0.2.1:5060";

/// A request as some element sends it.
#[derive(Clone)]
struct Wire {
    method: &'static str,
    uri: &'static str,
    via: String,
    from_tag: &'static str,
    to_tag: &'static str,
    call_id: String,
    number: u32,
}

impl Wire {
    fn new(method: &'static str, branch: &str) -> Self {
        Self {
            method,
            uri: "sip:b@192.0.2.2",
            via: format!("SIP/2.0/UDP 192.0.2.1:5060;branch={branch}"),
            from_tag: "f",
            to_tag: "",
            call_id: "c1".to_owned(),
            number: 1,
        }
    }

    fn invite() -> Self {
        Self::new("INVITE", "z9hG4bKx")
    }

    /// The same with another method.
    fn with(&self, method: &'static str) -> Self {
        Self { method, ..self.clone() }
    }

    fn bytes(&self) -> Arc<[u8]> {
        let to_tag = if self.to_tag.is_empty() { String::new() } else { format!(";tag={}", self.to_tag) };
        let Self { method, uri, via, from_tag, call_id, number, .. } = self;
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@192.0.2.1>;tag={from_tag}\r\nTo: <{uri}>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
        );
        text.as_bytes().into()
    }
}

/// One table on a virtual clock. Transactions are named by number: 0 the first that the user hears of, 1 the second.
struct Case {
    clock: Clock,
    now_ms: u64,
    table: Transactions<u8>,
    out: Effects<u8>,
}

impl Case {
    fn new() -> Self {
        Self::with_limits(Limits { server_transactions: 100, client_transactions: 100 })
    }

    fn with_limits(limits: Limits) -> Self {
        let clock = Clock::new();
        let table = Transactions::new(clock.at(0), SipTimers::default(), limits);
        Self { clock, now_ms: 0, table, out: Effects::new() }
    }

    fn now(&self) -> Instant {
        self.clock.at(self.now_ms)
    }

    fn receive_on(&mut self, transport: Transport, wire: &Wire) -> (Taken, Effects<u8>) {
        let bytes = wire.bytes();
        let arrival = Arrival {
            bytes: &bytes,
            source: SOURCE.parse().unwrap(),
            reply_to: PEER,
            transport,
            tag: Token::new(b"ours").unwrap(),
            has_trying: true,
        };
        let taken = self.table.receive_request(self.clock.at(self.now_ms), &parsed(&bytes), &arrival, &mut self.out);
        (taken, std::mem::take(&mut self.out))
    }

    fn receive(&mut self, wire: &Wire) -> (Taken, Effects<u8>) {
        self.receive_on(Transport::Unreliable, wire)
    }

    /// Receives what has to make a new transaction.
    fn receive_new(&mut self, wire: &Wire) -> TransactionId {
        let (taken, effects) = self.receive(wire);
        let Taken::New(id) = taken else { panic!("{taken:?}") };
        let event = Event::Request { bytes: wire.bytes() };
        assert_eq!(effects, [Effect::ToUser { transaction: id, event }]);
        id
    }

    fn respond(&mut self, id: TransactionId, wire: &Wire, status: u16) -> Result<Effects<u8>, Error> {
        let bytes = wire.bytes();
        let mut answer = Answer::new(status, SOURCE.parse().unwrap());
        if status > 100 {
            answer = answer.with_tag(Token::new(b"ours").unwrap());
        }
        self.table.respond(self.clock.at(self.now_ms), id, &answer, &parsed(&bytes), &mut self.out)?;
        Ok(std::mem::take(&mut self.out))
    }

    fn start(&mut self, request: &OutgoingRequest) -> Result<TransactionId, Error> {
        self.start_on(Transport::Unreliable, request)
    }

    fn start_on(&mut self, transport: Transport, request: &OutgoingRequest) -> Result<TransactionId, Error> {
        let outgoing = Outgoing { request, destination: PEER, transport, timeout: None };
        let id = self.table.start(self.clock.at(self.now_ms), &outgoing, &mut self.out)?;
        let bytes = Arc::clone(request.bytes());
        let sent = Effect::Send { transaction: id, bytes, destination: PEER };
        assert_eq!(std::mem::take(&mut self.out), [sent]);
        Ok(id)
    }

    fn hear(&mut self, bytes: &Arc<[u8]>) -> Effects<u8> {
        self.table.receive_response(self.clock.at(self.now_ms), &parsed(bytes), bytes, &mut self.out);
        std::mem::take(&mut self.out)
    }

    /// Lets the clock run to a moment, firing at every deadline on the way.
    fn run_to(&mut self, ms: u64) -> Effects<u8> {
        while let Some(at) = self.clock.ms(self.table.next_deadline()).filter(|at| *at <= ms) {
            self.now_ms = at.max(self.now_ms);
            self.table.fire(self.now(), &mut self.out);
        }
        self.now_ms = ms;
        std::mem::take(&mut self.out)
    }

    /// Runs until nothing is left to fire.
    fn drain(&mut self) -> Effects<u8> {
        let mut all = Effects::new();
        while let Some(at) = self.clock.ms(self.table.next_deadline()) {
            all.extend(self.run_to(at.max(self.now_ms)));
        }
        all
    }
}

fn statuses(effects: &Effects<u8>) -> Vec<u16> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { bytes, .. } => parsed(bytes).status(),
        _ => None,
    });
    sent.collect()
}

fn methods(effects: &Effects<u8>) -> Vec<String> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { bytes, .. } => parsed(bytes).method().map(|method| format!("{method:?}")),
        _ => None,
    });
    sent.collect()
}

fn ended(transaction: TransactionId, reason: Reason) -> Effect<u8> {
    Effect::Terminated { transaction, reason }
}

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

/// Whoever chooses branch and sent-by of another's call cannot take part in it.
#[test]
fn a_branch_chosen_by_an_attacker_never_crosses_two_calls() {
    let mut case = Case::new();
    let victim = Wire::invite();
    let attacker = Wire { call_id: "evil".to_owned(), from_tag: "evil", ..Wire::invite() };
    let victims = case.receive_new(&victim);
    let attackers = case.receive_new(&attacker);
    assert_eq!(case.receive(&attacker.with("CANCEL")).0, Taken::Cancel);
    case.respond(attackers, &attacker, 487).unwrap();
    assert_eq!(case.receive(&Wire { to_tag: "ours", ..attacker.with("ACK") }).0, Taken::Ack);
    assert_eq!(case.table.state(victims), Some(State::Proceeding));
    assert_eq!(case.table.state(attackers), Some(State::Confirmed));
    case.respond(victims, &victim, 486).unwrap();
    assert_eq!(case.receive(&Wire { to_tag: "ours", ..attacker.with("ACK") }).0, Taken::Ack);
    assert_eq!(case.table.state(victims), Some(State::Completed));
    // The same towards a request of ours: a response needs more than the branch.
    let invite = request("INVITE", "mine", &[]);
    let id = case.start(&invite).unwrap();
    let forged = String::from_utf8(a_response(&invite, 200, "t").to_vec()).unwrap();
    for (part, other) in [("Call-ID: c1", "Call-ID: c2"), ("tag=f", "tag=g"), ("CSeq: 1", "CSeq: 2")] {
        let forged: Arc<[u8]> = forged.replace(part, other).as_bytes().into();
        assert_eq!(case.hear(&forged), []);
    }
    assert_eq!((case.table.state(id), case.table.counters().stray_responses), (Some(State::Calling), 3));
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

#[test]
fn an_id_never_names_a_later_transaction() {
    let mut case = Case::new();
    let bye = request("BYE", "x", &[]);
    let old = case.start_on(Transport::Reliable, &bye).unwrap();
    case.hear(&a_response(&bye, 200, "t"));
    let new = case.start(&bye).unwrap();
    assert_eq!(old.index, new.index);
    assert_eq!(case.table.cancel(case.now(), old, &[], &mut case.out), Err(Error::Gone));
    assert_eq!(case.respond(old, &Wire::invite(), 200), Err(Error::Gone));
    case.table.transport_error(case.now(), old, &mut case.out);
    assert!(case.out.is_empty());
    assert_eq!((case.table.state(old), case.table.state(new)), (None, Some(State::Trying)));
    assert_eq!(case.respond(new, &Wire::invite(), 200), Err(Error::Illegal(State::Trying)));
}

#[test]
fn limits_refuse_and_count_and_a_cancel_still_works() {
    let mut case = Case::with_limits(Limits { server_transactions: 2, client_transactions: 1 });
    let invite = Wire::invite();
    let id = case.receive_new(&invite);
    case.receive_new(&Wire { call_id: "c2".to_owned(), ..invite.clone() });
    let third = Wire { call_id: "c3".to_owned(), ..invite.clone() };
    assert_eq!(case.receive(&third), (Taken::Full, vec![]));
    assert_eq!(case.receive(&third.with("CANCEL")), (Taken::Full, vec![]));
    assert_eq!(case.table.counters().server_limit_hits, 2);
    assert_eq!(case.receive(&invite).0, Taken::Repeated);
    // Twice, since without a transaction it is answered anew each time; the user hears of it once.
    for expected in [2, 1] {
        let (taken, effects) = case.receive(&invite.with("CANCEL"));
        assert_eq!((taken, statuses(&effects), effects.len()), (Taken::Cancel, vec![200], expected));
    }
    assert_eq!(case.table.server_count(), 2);
    case.respond(id, &invite, 487).unwrap();

    let outgoing = request("INVITE", "x", &[]);
    let id = case.start(&outgoing).unwrap();
    assert_eq!(case.start(&request("BYE", "y", &[])), Err(Error::Full));
    assert_eq!(case.table.counters().client_limit_hits, 1);
    case.hear(&a_response(&outgoing, 180, "t"));
    case.table.cancel(case.now(), id, &[], &mut case.out).unwrap();
    assert_eq!(methods(&std::mem::take(&mut case.out)), ["CANCEL"]);
    case.drain();
    assert!(case.start(&request("BYE", "y", &[])).is_ok());
}

/// RFC 3261 §17.1.4, RFC 6026 §8.8.
#[test]
fn a_transport_error_reaches_the_transaction_that_sent() {
    let mut case = Case::new();
    let out = request("BYE", "x", &[]);
    let client = case.start(&out).unwrap();
    case.table.transport_error(case.now(), client, &mut case.out);
    assert_eq!(std::mem::take(&mut case.out), [ended(client, Reason::TransportError)]);
    assert!(case.table.is_empty());
    let invite = Wire::invite();
    let server = case.receive_new(&invite);
    case.respond(server, &invite, 486).unwrap();
    case.table.transport_error(case.now(), server, &mut case.out);
    let told = Effect::ToUser { transaction: server, event: Event::TransportError };
    assert_eq!(std::mem::take(&mut case.out), [told]);
    assert_eq!(case.receive(&invite).0, Taken::Repeated);
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

/// The deadline that the driver waits for is that of the machine.
#[test]
fn the_next_deadline_is_the_first_of_all_transactions() {
    let mut case = Case::new();
    assert_eq!(case.table.next_deadline(), None);
    let bye = request("BYE", "x", &[]);
    case.start(&bye).unwrap();
    assert_eq!(case.table.next_deadline(), Some(case.clock.at(500)));
    case.receive_new(&Wire::invite());
    assert_eq!(case.table.next_deadline(), Some(case.clock.at(200)));
    assert_eq!(statuses(&case.run_to(200)), [100]);
    assert_eq!(case.table.next_deadline(), Some(case.clock.at(500)));
    case.hear(&a_response(&bye, 200, "t"));
    assert_eq!(case.table.next_deadline(), Some(case.clock.at(200) + ms(5_000)));
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
