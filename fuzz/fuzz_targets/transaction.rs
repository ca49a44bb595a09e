// SPDX-License-Identifier: Apache-2.0
//! Any script of messages, calls of the user and pauses over one table: no panic, limits hold, ids end once, and all tables are empty
//! when the user has answered everything and time has passed.
#![no_main]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use sip::answer::{Answer, ExtraHeader, Token};
use sip::request::{Request, SentBy, Target};
use sip::{Message, Parsed, parse};
use transaction::{
    Arrival, Effect, Effects, Event, Limits, Outgoing, OutgoingRequest, SipTimers, State, TransactionId, Transactions,
    Transport,
};

const LIMIT: usize = 8;

struct World {
    now: Instant,
    table: Transactions<u8>,
    out: Effects<u8>,
    /// Live transactions that the user knows, servers with their request.
    known: HashMap<TransactionId, Option<Arc<[u8]>>>,
    order: Vec<TransactionId>,
    last_sent: Option<Arc<[u8]>>,
}

fn message(bytes: &[u8]) -> Option<Message<'_>> {
    match parse(bytes) {
        Parsed::Message(message) => Some(message),
        _ => None,
    }
}

fn request(method: &str, call: u8, branch: u8, tag: &str) -> OutgoingRequest {
    let (to, call_id, cseq) = (format!("<sip:b@h>{tag}"), format!("c{call}"), format!("1 {method}"));
    let headers = [("From", "<sip:a@h>;tag=f"), ("To", &to), ("Call-ID", &call_id), ("CSeq", &cseq)]
        .map(|(name, value)| ExtraHeader::new(name, value.as_bytes()).expect("a header field"));
    OutgoingRequest::new(&Request {
        method: Token::new(method.as_bytes()).expect("a token"),
        uri: Target::new(b"sip:b@h").expect("a URI"),
        sent_by: SentBy::new(b"UDP", b"h").expect("a sent-by"),
        branch: Token::new(format!("{branch}").as_bytes()).expect("a token"),
        headers: &headers,
        body: b"",
    })
    .expect("a request")
}

impl World {
    fn receive(&mut self, bytes: &[u8], is_reliable: bool) {
        let Some(message) = message(bytes) else { return };
        let shared: Arc<[u8]> = bytes.into();
        let transport = if is_reliable { Transport::Reliable } else { Transport::Unreliable };
        if message.is_request() {
            let arrival = Arrival {
                bytes: &shared,
                source: "192.0.2.1:5060".parse().expect("an address"),
                reply_to: 1,
                transport,
                tag: Token::new(b"ours").expect("a token"),
                has_trying: true,
            };
            let _ = self.table.receive_request(self.now, &message, &arrival, &mut self.out);
        } else {
            self.table.receive_response(self.now, &message, &shared, &mut self.out);
        }
    }

    fn respond(&mut self, id: TransactionId, status: u16) {
        let Some(Some(bytes)) = self.known.get(&id).cloned() else { return };
        let Some(request) = message(&bytes) else { return };
        let answer = Answer::new(status, "192.0.2.1:5060".parse().expect("an address"))
            .with_tag(Token::new(b"ours").expect("a token"));
        self.table.respond(self.now, id, &answer, &request, &mut self.out).ok();
    }

    fn start(&mut self, request: &OutgoingRequest, is_reliable: bool) {
        let transport = if is_reliable { Transport::Reliable } else { Transport::Unreliable };
        let outgoing = Outgoing { request, destination: 2, transport, timeout: None };
        if let Ok(id) = self.table.start(self.now, &outgoing, &mut self.out) {
            self.known.insert(id, None);
            self.order.push(id);
        }
    }

    /// A response of the far end to what was sent last.
    fn hear(&mut self, status: u16, tag: u8) {
        let Some(sent) = self.last_sent.clone() else { return };
        let Some(request) = message(&sent) else { return };
        let tag = [b't', b'0' + tag % 10];
        let answer = Answer::new(status, "192.0.2.1:5060".parse().expect("an address"))
            .with_tag(Token::new(&tag).expect("a token"));
        let mut bytes = Vec::new();
        answer.write(&request, &mut bytes);
        self.receive(&bytes, false);
    }

    fn look(&mut self) {
        for effect in self.out.drain(..) {
            match effect {
                Effect::Send { bytes, .. } => {
                    let Some(message) = message(&bytes) else { panic!("{}", bytes.escape_ascii()) };
                    if message.is_request() {
                        self.last_sent = Some(Arc::clone(&bytes));
                    }
                }
                Effect::ToUser { transaction, event: Event::Request { bytes } } => {
                    assert!(self.known.insert(transaction, Some(bytes)).is_none());
                    self.order.push(transaction);
                }
                Effect::ToUser { transaction, .. } => assert!(self.known.contains_key(&transaction)),
                Effect::Terminated { transaction, .. } => assert!(self.known.remove(&transaction).is_some()),
            }
        }
        assert!(self.table.server_count() <= LIMIT && self.table.client_count() <= 2 * LIMIT);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.table.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.table.fire(self.now, &mut self.out);
            self.look();
        }
        self.now = until;
    }
}

fuzz_target!(|script: &[u8]| {
    let now = Instant::now();
    let limits = Limits { server_transactions: LIMIT, client_transactions: LIMIT };
    let mut world = World {
        now,
        table: Transactions::new(now, SipTimers::default(), limits),
        out: Effects::new(),
        known: HashMap::new(),
        order: Vec::new(),
        last_sent: None,
    };
    // Steps of four bytes. After one of the first kind comes a message, up to two LFs.
    let mut rest = script;
    while let Some((&[kind, a, b, c], after)) = rest.split_first_chunk::<4>() {
        rest = after;
        let id = world.order.get(usize::from(a) % world.order.len().max(1)).copied();
        let status = [100, 180, 199, 200, 202, 302, 487, 603][usize::from(b) % 8];
        let method = ["INVITE", "BYE", "ACK", "CANCEL", "OPTIONS"][usize::from(a) % 5];
        match (kind % 10, id) {
            (0, _) => {
                let length = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
                let (bytes, after) = rest.split_at(length);
                world.receive(bytes, c & 1 == 1);
                rest = after.get(2..).unwrap_or_default();
            }
            (1 | 2, _) => {
                let tag = if c & 2 == 2 { ";tag=ours" } else { "" };
                world.receive(&request(method, b % 4, b / 4 % 4, tag).bytes().clone(), c & 1 == 1);
            }
            (3, _) => world.start(&request(method, b % 4, b / 4 % 4, ""), c & 1 == 1),
            (4, Some(id)) => world.respond(id, status),
            (5, _) => world.hear(status, c),
            (6, Some(id)) => drop(world.table.cancel(world.now, id, &[], &mut world.out)),
            (7, Some(id)) => {
                let ack = request("ACK", b % 4, 9, &format!(";tag=t{}", c % 10));
                world.table.acknowledge(world.now, id, &ack, 3, &mut world.out).ok();
            }
            (8, Some(id)) => world.table.transport_error(world.now, id, &mut world.out),
            (9, _) => world.pass(Duration::from_millis(u64::from(u16::from_le_bytes([b, c])))),
            _ => {}
        }
        world.look();
    }
    let ids: Vec<_> = world.known.keys().copied().collect();
    for id in ids {
        if world.table.state(id) == Some(State::Proceeding) {
            world.respond(id, 480);
            world.table.cancel(world.now, id, &[], &mut world.out).ok();
            world.look();
        }
    }
    world.pass(Duration::from_secs(65));
    assert!(world.known.is_empty() && world.table.is_empty());
});
