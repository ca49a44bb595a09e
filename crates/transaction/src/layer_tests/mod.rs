// SPDX-License-Identifier: Apache-2.0
//! Transactions of both sides in one table; those of one side are in `client` and `server`.

use super::*;
use crate::kit::{Clock, PEER, a_response, an_ack, ms, parsed, request, request_to};
use crate::machine::{Event, Reason};

mod client;
mod server;

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
