// SPDX-License-Identifier: Apache-2.0
//! What tests over the whole table need: requests of both sides and random numbers that can be had again.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::Arc;

use sip::answer::{Answer, ExtraHeader, Token};
use sip::request::{Request, SentBy, Target};
use sip::{Message, Parsed, parse};
use transaction::OutgoingRequest;

pub(crate) fn source() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

pub(crate) fn parsed(bytes: &[u8]) -> Message<'_> {
    match parse(bytes) {
        Parsed::Message(message) => message,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

/// A request of a user. An ACK for a 2xx, a BYE and an INVITE of one call have branches of their own.
pub(crate) fn a_request(method: &str, call_id: &str, branch: &str, to_tag: &str) -> OutgoingRequest {
    let to = if to_tag.is_empty() { "<sip:b@192.0.2.2>".to_owned() } else { format!("<sip:b@192.0.2.2>;tag={to_tag}") };
    let cseq = format!("1 {method}");
    let headers = [
        ("Max-Forwards", "70"),
        ("From", "<sip:a@192.0.2.1>;tag=from"),
        ("To", &to),
        ("Call-ID", call_id),
        ("CSeq", &cseq),
    ]
    .map(|(name, value)| ExtraHeader::new(name, value.as_bytes()).unwrap());
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

/// A response of somebody to a request.
pub(crate) fn a_response(request: &[u8], status: u16, to_tag: &str) -> Arc<[u8]> {
    let mut out = Vec::new();
    let mut answer = Answer::new(status, source());
    if !to_tag.is_empty() {
        answer = answer.with_tag(Token::new(to_tag.as_bytes()).unwrap());
    }
    answer.write(&parsed(request), &mut out);
    out.as_slice().into()
}

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn is_below(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
