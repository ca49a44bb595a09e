// SPDX-License-Identifier: Apache-2.0
//! Two tables joined by a network that loses, doubles and overtakes. Every run can be had again by its seed.
#![allow(missing_docs, clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod kit;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{Random, a_request, parsed, source};
use sip::Method;
use sip::answer::{Answer, Token};
use transaction::{
    Arrival, Effect, Effects, Event, Limits, Outgoing, Reason, SipTimers, TransactionId, Transactions, Transport,
};

const CALLS: u64 = 12;

/// What is to happen, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    Arrive { is_at_callee: bool, bytes: Arc<[u8]> },
    Answer { transaction: TransactionId, request: Arc<[u8]>, status: u16 },
    Cancel { transaction: TransactionId },
}

struct Network {
    random: Random,
    loss_percent: u64,
    origin: Instant,
    now_ms: u64,
    plans: BinaryHeap<Reverse<(u64, u64, Plan)>>,
    planned: u64,
    caller: Transactions<()>,
    callee: Transactions<()>,
    /// What the callee's user heard, by Call-ID and method.
    heard: HashMap<(String, String), usize>,
    acks: HashMap<String, usize>,
    /// Final responses that the caller's user heard, by transaction.
    finals: HashMap<TransactionId, Vec<u16>>,
    reasons: HashMap<TransactionId, Reason>,
    call_ids: HashMap<TransactionId, String>,
    invites: HashSet<TransactionId>,
    /// Of the callee.
    requests: HashMap<TransactionId, Arc<[u8]>>,
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl Network {
    fn new(seed: u64, loss_percent: u64) -> Self {
        let origin = Instant::now();
        let table = || {
            Transactions::new(
                origin,
                SipTimers::default(),
                Limits { server_transactions: 100, client_transactions: 100 },
            )
        };
        Self {
            random: Random(seed),
            loss_percent,
            origin,
            now_ms: 0,
            plans: BinaryHeap::new(),
            planned: 0,
            caller: table(),
            callee: table(),
            heard: HashMap::new(),
            acks: HashMap::new(),
            finals: HashMap::new(),
            reasons: HashMap::new(),
            call_ids: HashMap::new(),
            invites: HashSet::new(),
            requests: HashMap::new(),
        }
    }

    fn now(&self) -> Instant {
        self.origin + Duration::from_millis(self.now_ms)
    }

    fn plan(&mut self, after_ms: u64, plan: Plan) {
        self.planned += 1;
        self.plans.push(Reverse((self.now_ms + after_ms, self.planned, plan)));
    }

    /// Lost, or delivered once or twice, each after a time of its own.
    fn carry(&mut self, is_at_callee: bool, bytes: &Arc<[u8]>) {
        let copies = 1 + u64::from(self.random.is_below(20));
        for _ in 0..copies {
            if !self.random.is_below(self.loss_percent) {
                let delay_ms = 1 + self.random.below(800);
                self.plan(delay_ms, Plan::Arrive { is_at_callee, bytes: Arc::clone(bytes) });
            }
        }
    }

    fn start(&mut self, method: &str, number: u64) -> TransactionId {
        let call_id = format!("call{number}");
        let request = a_request(method, &call_id, &format!("{method}{number}"), "");
        let outgoing = Outgoing { request: &request, destination: (), transport: Transport::Unreliable, timeout: None };
        let mut out = Effects::new();
        let id = self.caller.start(self.now(), &outgoing, &mut out).unwrap();
        self.call_ids.insert(id, call_id);
        self.caller_does(out);
        id
    }

    fn caller_does(&mut self, effects: Effects<()>) {
        for effect in effects {
            match effect {
                Effect::Send { bytes, .. } => self.carry(true, &bytes),
                Effect::ToUser { transaction, event: Event::Response { status, bytes } } if status >= 200 => {
                    self.finals.entry(transaction).or_default().push(status);
                    let response = parsed(&bytes);
                    if status < 300 && response.cseq().unwrap().method == Method::Invite {
                        let (call_id, tag) =
                            (self.call_ids[&transaction].clone(), text(response.to().unwrap().tag().unwrap()));
                        let ack = a_request("ACK", &call_id, &format!("ack{call_id}{tag}"), &tag);
                        let mut out = Effects::new();
                        self.caller.acknowledge(self.now(), transaction, &ack, (), &mut out).unwrap();
                        self.caller_does(out);
                    }
                }
                Effect::ToUser { .. } => {}
                Effect::Terminated { transaction, reason } => {
                    assert_eq!(self.reasons.insert(transaction, reason), None);
                }
            }
        }
    }

    fn callee_does(&mut self, effects: Effects<()>) {
        for effect in effects {
            match effect {
                Effect::Send { bytes, .. } => self.carry(false, &bytes),
                Effect::ToUser { transaction, event: Event::Request { bytes } } => {
                    self.requests.insert(transaction, Arc::clone(&bytes));
                    let request = parsed(&bytes);
                    let (call_id, method) = (text(request.call_id().unwrap()), request.method().unwrap());
                    *self.heard.entry((call_id, text(method.as_bytes()))).or_default() += 1;
                    let answers: &[u16] = match (method, self.random.below(3)) {
                        (Method::Invite, 0) => &[180, 200],
                        (Method::Invite, 1) => &[486],
                        (Method::Invite, _) => &[183, 180, 603],
                        (_, 0) => &[100, 404],
                        _ => &[200],
                    };
                    let mut after_ms = 0;
                    for &status in answers {
                        after_ms += 1 + self.random.below(3_000);
                        self.plan(after_ms, Plan::Answer { transaction, request: Arc::clone(&bytes), status });
                    }
                }
                Effect::ToUser { transaction, event: Event::Cancel { .. } } => {
                    let request = Arc::clone(&self.requests[&transaction]);
                    self.plan(1, Plan::Answer { transaction, request, status: 487 });
                }
                Effect::ToUser { event: Event::Ack { bytes }, .. } => {
                    *self.acks.entry(text(parsed(&bytes).call_id().unwrap())).or_default() += 1;
                }
                Effect::ToUser { .. } | Effect::Terminated { .. } => {}
            }
        }
    }

    fn carry_out(&mut self, plan: Plan) {
        let now = self.now();
        let mut out = Effects::new();
        match plan {
            Plan::Arrive { is_at_callee: true, bytes } => {
                let arrival = Arrival {
                    bytes: &bytes,
                    source: source(),
                    reply_to: (),
                    transport: Transport::Unreliable,
                    tag: Token::new(b"callee").unwrap(),
                    has_trying: true,
                };
                let _ = self.callee.receive_request(now, &parsed(&bytes), &arrival, &mut out);
                self.callee_does(out);
            }
            Plan::Arrive { is_at_callee: false, bytes } => {
                self.caller.receive_response(now, &parsed(&bytes), &bytes, &mut out);
                self.caller_does(out);
            }
            Plan::Answer { transaction, request, status } => {
                let answer = Answer::new(status, source()).with_tag(Token::new(b"callee").unwrap());
                // A 487 and the answer that was planned may cross: the second one is refused.
                self.callee.respond(now, transaction, &answer, &parsed(&request), &mut out).ok();
                self.callee_does(out);
            }
            Plan::Cancel { transaction } => {
                self.caller.cancel(now, transaction, &[], &mut out).ok();
                self.caller_does(out);
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..1_000_000 {
            let planned = self.plans.peek().map(|Reverse((at, _, _))| *at);
            let deadlines = [self.caller.next_deadline(), self.callee.next_deadline()];
            let due = deadlines.into_iter().flatten().min().map(|at| (at - self.origin).as_millis() as u64);
            let Some(next_ms) = [planned, due].into_iter().flatten().min() else { return };
            self.now_ms = self.now_ms.max(next_ms);
            while let Some(Reverse((_, _, plan))) = self.plans.pop_if_due(self.now_ms) {
                self.carry_out(plan);
            }
            let mut out = Effects::new();
            self.caller.fire(self.now(), &mut out);
            self.caller_does(std::mem::take(&mut out));
            self.callee.fire(self.now(), &mut out);
            self.callee_does(out);
        }
        panic!("the network never falls silent");
    }
}

/// Heap entries up to a moment.
trait PopIfDue {
    fn pop_if_due(&mut self, now_ms: u64) -> Option<Reverse<(u64, u64, Plan)>>;
}

impl PopIfDue for BinaryHeap<Reverse<(u64, u64, Plan)>> {
    fn pop_if_due(&mut self, now_ms: u64) -> Option<Reverse<(u64, u64, Plan)>> {
        if self.peek().is_some_and(|Reverse((at, _, _))| *at <= now_ms) { self.pop() } else { None }
    }
}

fn run(seed: u64, loss_percent: u64) -> Network {
    let mut network = Network::new(seed, loss_percent);
    for number in 0..CALLS {
        let id = network.start("INVITE", number);
        network.invites.insert(id);
        if number % 3 == 0 {
            let after_ms = network.random.below(4_000);
            network.plan(after_ms, Plan::Cancel { transaction: id });
        }
        network.start("OPTIONS", number + 1_000);
        network.start("MESSAGE", number + 2_000);
    }
    network.run();
    network
}

/// Every transaction on both sides ends, and each request reaches the user once.
#[test]
fn over_a_bad_network_every_transaction_ends_and_each_request_is_heard_once() {
    for seed in 0..60 {
        for loss_percent in [0, 10, 30] {
            let network = run(seed, loss_percent);
            assert!(network.caller.is_empty() && network.callee.is_empty(), "seed {seed}, loss {loss_percent} %");
            assert_eq!(network.reasons.len() as u64, CALLS * 3, "seed {seed}, loss {loss_percent} %");
            for (request, times) in &network.heard {
                assert_eq!(*times, 1, "{request:?}, seed {seed}, loss {loss_percent} %");
            }
            for (id, finals) in &network.finals {
                assert_eq!(finals.len(), 1, "{id:?}, seed {seed}, loss {loss_percent} %");
            }
            assert!(network.acks.values().all(|times| *times == 1), "seed {seed}, loss {loss_percent} %");
        }
    }
}

/// Without loss nothing runs into a time-out, whatever is doubled and overtaken.
#[test]
fn without_loss_every_request_gets_its_final_response() {
    for seed in 100..160 {
        let network = run(seed, 0);
        assert_eq!(network.heard.len() as u64, CALLS * 3, "seed {seed}");
        assert_eq!(network.finals.len() as u64, CALLS * 3, "seed {seed}");
        assert!(network.reasons.values().all(|reason| *reason == Reason::Done), "seed {seed}: {:?}", network.reasons);
        // The ACK of every 2xx arrives, and no other one.
        let is_accepted = |id: &TransactionId| network.invites.contains(id) && network.finals[id] == [200];
        let mut accepted: Vec<_> =
            network.call_ids.iter().filter(|(id, _)| is_accepted(id)).map(|(_, call_id)| call_id).collect();
        let mut acknowledged: Vec<_> = network.acks.keys().collect();
        accepted.sort();
        acknowledged.sort();
        assert_eq!(accepted, acknowledged, "seed {seed}");
    }
}

/// With everything lost, everything ends by time-out, and nobody hears anything.
#[test]
fn with_everything_lost_all_ends_by_time_out() {
    let network = run(1, 100);
    assert!(network.heard.is_empty() && network.finals.is_empty());
    assert!(network.reasons.values().all(|reason| *reason == Reason::NoResponse));
    assert_eq!(network.now_ms, 32_000);
}
