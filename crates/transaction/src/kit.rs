// SPDX-License-Identifier: Apache-2.0
//! Builders and a virtual clock for this crate's tests. Addresses are those of RFC 5737.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::answer::{Answer, ExtraHeader, Token};
use sip::request::{Request, SentBy, Target};
use sip::{HeaderName, Message, Parsed, parse};

use crate::machine::{Effect, Event, Hop, Reason, TransactionId, Transport};
use crate::outgoing::{OutgoingRequest, OutgoingResponse};

/// Where tests send.
pub(crate) const PEER: u8 = 7;

pub(crate) const ID: TransactionId = TransactionId { index: 3, serial: 9 };

pub(crate) fn hop(transport: Transport) -> Hop<u8> {
    Hop { transaction: ID, destination: PEER, transport }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Milliseconds of a virtual clock.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn at(&self, ms: u64) -> Instant {
        self.0 + Duration::from_millis(ms)
    }

    /// A deadline as milliseconds of this clock.
    pub(crate) fn ms(&self, at: Option<Instant>) -> Option<u64> {
        at.map(|at| (at - self.0).as_millis() as u64)
    }
}

pub(crate) fn request(method: &str, branch: &str, extra: &[(&str, &str)]) -> OutgoingRequest {
    request_to(method, branch, "<sip:b@192.0.2.2>", extra)
}

pub(crate) fn request_to(method: &str, branch: &str, to: &str, extra: &[(&str, &str)]) -> OutgoingRequest {
    let cseq = format!("1 {method}");
    let own =
        [("Max-Forwards", "70"), ("From", "<sip:a@192.0.2.1>;tag=f"), ("To", to), ("Call-ID", "c1"), ("CSeq", &cseq)];
    let headers: Vec<_> =
        own.iter().chain(extra).map(|(name, value)| ExtraHeader::new(name, value.as_bytes()).unwrap()).collect();
    OutgoingRequest::new(&Request {
        method: Token::new(method.as_bytes()).unwrap(),
        uri: Target::new(b"sip:b@192.0.2.2").unwrap(),
        sent_by: SentBy::new(b"UDP", b"192.0.2.1:5060").unwrap(),
        branch: Token::new(branch.as_bytes()).unwrap(),
        headers: &headers,
        body: b"",
    })
    .unwrap()
}

pub(crate) fn an_invite() -> OutgoingRequest {
    request("INVITE", "x", &[])
}

pub(crate) fn an_ack(to_tag: &str) -> OutgoingRequest {
    request_to("ACK", "ack", &format!("<sip:b@192.0.2.2>;tag={to_tag}"), &[])
}

pub(crate) fn parsed(bytes: &[u8]) -> Message<'_> {
    match parse(bytes) {
        Parsed::Message(message) => message,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

pub(crate) fn to_line(bytes: &[u8]) -> &[u8] {
    parsed(bytes).header(HeaderName::To).unwrap().line
}

/// A response as the network brings it.
pub(crate) fn a_response(request: &OutgoingRequest, status: u16, to_tag: &str) -> Arc<[u8]> {
    an_answer(request, status, to_tag).into_bytes()
}

/// A response as the user sends it.
pub(crate) fn an_answer(request: &OutgoingRequest, status: u16, to_tag: &str) -> OutgoingResponse {
    let mut answer = Answer::new(status, "192.0.2.1:5060".parse().unwrap());
    if !to_tag.is_empty() {
        answer = answer.with_tag(Token::new(to_tag.as_bytes()).unwrap());
    }
    OutgoingResponse::new(&answer, &parsed(request.bytes()))
}

pub(crate) fn send(bytes: &Arc<[u8]>) -> Effect<u8> {
    send_to(PEER, bytes)
}

pub(crate) fn send_to(destination: u8, bytes: &Arc<[u8]>) -> Effect<u8> {
    Effect::Send { transaction: ID, bytes: Arc::clone(bytes), destination }
}

pub(crate) fn tell(event: Event) -> Effect<u8> {
    Effect::ToUser { transaction: ID, event }
}

pub(crate) fn tell_response(status: u16, bytes: &Arc<[u8]>) -> Effect<u8> {
    tell(Event::Response { status, bytes: Arc::clone(bytes) })
}

pub(crate) fn ended(reason: Reason) -> Effect<u8> {
    Effect::Terminated { transaction: ID, reason }
}
