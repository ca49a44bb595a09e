// SPDX-License-Identifier: Apache-2.0
//! Time of what the refusal of one INVITE needs from this crate. `cargo bench -p sip` prints nanoseconds: the best of many short rounds,
//! each short enough to run without being interrupted.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use sip::answer::{Answer, Token};
use sip::{HeaderName, Parsed, parse, parse_into};

/// 16 header fields and SDP, 800 bytes in all, as a scanner or a phone sends it.
fn invite() -> Vec<u8> {
    let head = "INVITE sip:900442071234567@203.0.113.10 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 198.51.100.23:5062;branch=z9hG4bK-524287-1---8a5c1f0e2d;rport\r\n\
        Max-Forwards: 70\r\n\
        Contact: <sip:1001@198.51.100.23:5062;transport=UDP>\r\n\
        To: <sip:900442071234567@203.0.113.10>\r\n\
        From: \"1001\" <sip:1001@203.0.113.10;transport=UDP>;tag=3c9f7a21\r\n\
        Call-ID: 7fJqQ2mB8xW0aYvK1dZtPg..\r\n\
        CSeq: 1 INVITE\r\n\
        Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n\
        Content-Type: application/sdp\r\n\
        Supported: replaces\r\n\
        User-Agent: softphone 5.5.14\r\n\
        Allow-Events: presence\r\n\
        Accept: application/sdp\r\n\
        Session-Expires: 1800\r\n\
        Subject: call\r\n";
    let sdp = "v=0\r\no=- 0 2 IN IP4 198.51.100.23\r\ns=-\r\nc=IN IP4 198.51.100.23\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8\r\n";
    let mut body = sdp.to_owned();
    while head.len() + 24 + body.len() < 800 {
        body.push('x');
    }
    format!("{head}Content-Length: {:>3}\r\n\r\n{body}", body.len()).into_bytes()
}

fn time(name: &str, mut work: impl FnMut()) {
    const CALLS: u32 = 200;
    let mut best = f64::MAX;
    for _ in 0..5_000 {
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    println!("{name:<28} {best:>7.1} ns");
}

fn main() {
    let bytes = invite();
    let Parsed::Message(message) = parse(&bytes) else { panic!("the bench message is right") };
    println!("{} bytes, {} header fields", bytes.len(), message.headers().len());
    time("parse", || {
        black_box(&parse(black_box(&bytes)));
    });
    let mut parsed = Parsed::Drop(sip::Why::NotSip);
    time("parse_into", || {
        parse_into(black_box(&bytes), &mut parsed);
        black_box(&parsed);
    });
    time("parse and read for a record", || {
        if let Parsed::Message(message) = parse(black_box(&bytes)) {
            black_box((
                message.via_top().is_ok(),
                message.from().is_ok(),
                message.to().is_ok(),
                message.cseq().is_ok(),
            ));
            black_box((
                message.call_id(),
                message.first(HeaderName::UserAgent),
                message.uri().and_then(sip::uri::Uri::user),
            ));
        }
    });
    let source = "198.51.100.23:5062".parse().expect("an address");
    let tag = Token::new(b"9fxced76sl9fxced").expect("a token");
    let answer = Answer::new(403, source).with_tag(tag);
    let mut out = Vec::with_capacity(2048);
    time("answer", || {
        out.clear();
        black_box(answer.write(black_box(&message), &mut out));
    });
}
