// SPDX-License-Identifier: Apache-2.0
//! Whatever comes in whatever order: every transaction ends by its last timer, and the user hears of one final response.
#![allow(missing_docs, clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod kit;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{a_request, a_response, parsed, source};
use proptest::prelude::*;
use sip::answer::{Answer, Token};
use transaction::{
    Arrival, Effect, Effects, Event, Limits, Outgoing, OutgoingRequest, SipTimers, State, Taken, TransactionId,
    Transactions, Transport,
};

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Receive { method: u8, branch: u8, call: u8, has_to_tag: bool, is_reliable: bool },
    Respond { transaction: u8, status: u8 },
    Start { method: u8, branch: u8, call: u8, is_reliable: bool },
    Hear { request: u8, status: u8, tag: u8 },
    Cancel { transaction: u8 },
    Acknowledge { transaction: u8, tag: u8 },
    TransportError { transaction: u8 },
    Wait { ms: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let number = any::<u8>;
    prop_oneof![
        (number(), 0..4_u8, 0..3_u8, any::<bool>(), any::<bool>()).prop_map(
            |(method, branch, call, has_to_tag, is_reliable)| Step::Receive {
                method,
                branch,
                call,
                has_to_tag,
                is_reliable
            }
        ),
        (number(), number()).prop_map(|(transaction, status)| Step::Respond { transaction, status }),
        (number(), 0..4_u8, 0..3_u8, any::<bool>()).prop_map(|(method, branch, call, is_reliable)| Step::Start {
            method,
            branch,
            call,
            is_reliable
        }),
        (number(), number(), 0..3_u8).prop_map(|(request, status, tag)| Step::Hear { request, status, tag }),
        number().prop_map(|transaction| Step::Cancel { transaction }),
        (number(), 0..3_u8).prop_map(|(transaction, tag)| Step::Acknowledge { transaction, tag }),
        number().prop_map(|transaction| Step::TransportError { transaction }),
        (0..8_000_u16).prop_map(|ms| Step::Wait { ms }),
    ]
}

const METHODS: [&str; 5] = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"];
const STATUSES: [u16; 8] = [100, 180, 183, 200, 202, 302, 486, 603];

/// What the user knows of one transaction.
#[derive(Default)]
struct Known {
    /// Of a server: the request.
    request: Option<Arc<[u8]>>,
    is_over: bool,
    failures: usize,
    success_tags: HashSet<String>,
    acks: usize,
    cancels: usize,
    requests: usize,
}

struct World {
    origin: Instant,
    now_ms: u64,
    table: Transactions<u8>,
    out: Effects<u8>,
    known: HashMap<TransactionId, Known>,
    /// In the order of their making, so that numbers choose the same ones again.
    ids: Vec<TransactionId>,
    /// Requests that were sent, CANCELs of the table included.
    sent: Vec<Arc<[u8]>>,
    own: HashMap<TransactionId, String>,
}

fn transport(is_reliable: bool) -> Transport {
    if is_reliable { Transport::Reliable } else { Transport::Unreliable }
}

fn pick<T: Clone>(from: &[T], number: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(number) % from.len()].clone())
}

impl World {
    fn new() -> Self {
        let origin = Instant::now();
        let limits = Limits { server_transactions: 12, client_transactions: 12 };
        Self {
            origin,
            now_ms: 0,
            table: Transactions::new(origin, SipTimers::default(), limits),
            out: Effects::new(),
            known: HashMap::new(),
            ids: Vec::new(),
            sent: Vec::new(),
            own: HashMap::new(),
        }
    }

    fn now(&self) -> Instant {
        self.origin + Duration::from_millis(self.now_ms)
    }

    fn take(&mut self, step: &Step) {
        let now = self.now();
        match *step {
            Step::Receive { method, branch, call, has_to_tag, is_reliable } => {
                let method = METHODS[usize::from(method) % METHODS.len()];
                let tag = if has_to_tag || method == "ACK" { "ours" } else { "" };
                let request = a_request(method, &format!("in{call}"), &format!("b{branch}"), tag);
                let arrival = Arrival {
                    bytes: request.bytes(),
                    source: source(),
                    reply_to: 1,
                    transport: transport(is_reliable),
                    tag: Token::new(b"ours").unwrap(),
                    has_trying: call % 2 == 0,
                };
                let taken = self.table.receive_request(now, &parsed(request.bytes()), &arrival, &mut self.out);
                assert!(!matches!(taken, Taken::New(_)) || self.table.server_count() <= 12);
            }
            Step::Respond { transaction, status } => {
                let Some(id) = pick(&self.ids, transaction) else { return };
                let Some(request) = self.known.get(&id).and_then(|known| known.request.clone()) else { return };
                self.respond(id, &request, STATUSES[usize::from(status) % STATUSES.len()]);
            }
            Step::Start { method, branch, call, is_reliable } => {
                let method = METHODS[usize::from(method) % METHODS.len()];
                let call_id = format!("out{call}");
                let request = a_request(method, &call_id, &format!("o{branch}"), "");
                let transport = transport(is_reliable);
                let outgoing = Outgoing { request: &request, destination: 2, transport, timeout: None };
                if let Ok(id) = self.table.start(now, &outgoing, &mut self.out) {
                    self.ids.push(id);
                    self.known.insert(id, Known::default());
                    self.own.insert(id, call_id);
                }
            }
            Step::Hear { request, status, tag } => {
                let Some(request) = pick(&self.sent, request) else { return };
                let status = STATUSES[usize::from(status) % STATUSES.len()];
                let response = a_response(&request, status, &format!("t{tag}"));
                self.table.receive_response(now, &parsed(&response), &response, &mut self.out);
            }
            Step::Cancel { transaction } => {
                let Some(id) = pick(&self.ids, transaction) else { return };
                self.table.cancel(now, id, &[], &mut self.out).ok();
            }
            Step::Acknowledge { transaction, tag } => {
                let Some(id) = pick(&self.ids, transaction) else { return };
                let Some(call_id) = self.own.get(&id) else { return };
                let ack: OutgoingRequest = a_request("ACK", call_id, "ack", &format!("t{tag}"));
                self.table.acknowledge(now, id, &ack, 3, &mut self.out).ok();
            }
            Step::TransportError { transaction } => {
                let Some(id) = pick(&self.ids, transaction) else { return };
                self.table.transport_error(now, id, &mut self.out);
            }
            Step::Wait { ms } => self.run_to(self.now_ms + u64::from(ms)),
        }
        self.look();
    }

    fn respond(&mut self, id: TransactionId, request: &[u8], status: u16) {
        let answer = Answer::new(status, source()).with_tag(Token::new(b"ours").unwrap());
        self.table.respond(self.now(), id, &answer, &parsed(request), &mut self.out).ok();
    }

    fn run_to(&mut self, ms: u64) {
        while let Some(at) = self.table.next_deadline() {
            let at = (at - self.origin).as_millis() as u64;
            if at > ms {
                break;
            }
            self.now_ms = self.now_ms.max(at);
            self.table.fire(self.now(), &mut self.out);
            self.look();
        }
        self.now_ms = ms;
    }

    /// Checks what came out.
    fn look(&mut self) {
        for effect in std::mem::take(&mut self.out) {
            match effect {
                Effect::Send { bytes, transaction, .. } => {
                    // Hidden transactions send too; those that the user knows send only while they live.
                    assert!(self.known.get(&transaction).is_none_or(|known| !known.is_over));
                    let method = parsed(&bytes).method();
                    if method.is_some_and(|method| method != sip::Method::Ack) && self.sent.len() < 200 {
                        self.sent.push(bytes);
                    }
                }
                Effect::ToUser { transaction, event: Event::Request { bytes } } => {
                    self.ids.push(transaction);
                    let known = self.known.entry(transaction).or_default();
                    known.request = Some(bytes);
                    known.requests += 1;
                    assert_eq!(known.requests, 1);
                }
                Effect::ToUser { transaction, event } => {
                    let known = self.known.get_mut(&transaction).expect("the user knows it");
                    assert!(!known.is_over);
                    match event {
                        Event::Response { status: 200..300, bytes } => {
                            let tag = parsed(&bytes).to().unwrap().tag().unwrap_or_default().escape_ascii().to_string();
                            let is_invite = parsed(&bytes).cseq().unwrap().method == sip::Method::Invite;
                            assert!(known.success_tags.insert(tag), "a 2xx twice");
                            assert!(is_invite || known.success_tags.len() == 1);
                        }
                        Event::Response { status: 300.., .. } => known.failures += 1,
                        Event::Ack { .. } => known.acks += 1,
                        Event::Cancel { .. } => known.cancels += 1,
                        _ => {}
                    }
                    assert!(known.acks <= 1 && known.cancels <= 1);
                    assert!(known.failures <= 1 && (known.failures == 0 || known.success_tags.is_empty()));
                }
                Effect::Terminated { transaction, .. } => {
                    let known = self.known.get_mut(&transaction).expect("the user knows it");
                    assert!(!std::mem::replace(&mut known.is_over, true), "ended twice");
                }
            }
        }
    }

    /// What RFC 3261 leaves to the user: it answers each INVITE, and gives up those of its own that only ever proceed (timer C).
    fn finish(&mut self) {
        for id in self.ids.clone() {
            match (self.table.state(id), self.known.get(&id).and_then(|known| known.request.clone())) {
                (Some(State::Proceeding), Some(request)) => self.respond(id, &request, 480),
                (Some(State::Proceeding), None) => drop(self.table.cancel(self.now(), id, &[], &mut self.out)),
                _ => {}
            }
            self.look();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_transaction_ends_by_its_last_timer(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            prop_assert!(world.table.server_count() <= 12 && world.table.client_count() <= 24);
        }
        world.finish();
        // 64*T1 for the last transaction state, and the same before it where a CANCEL or a final answer has to come first.
        world.run_to(world.now_ms + 64_100);
        prop_assert!(world.table.is_empty(), "{:?}", world.table);
        prop_assert!(world.known.values().all(|known| known.is_over));
    }
}
