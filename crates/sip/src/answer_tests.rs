// SPDX-License-Identifier: Apache-2.0
//! Tests of the answer builder.

use super::*;
use crate::message::Parsed;

const SOURCE: &str = "192.0.2.9:40000";

fn request(via: &str, more: &str) -> Vec<u8> {
    format!(
        "INVITE sip:b@c SIP/2.0\r\n{via}\r\nVia: SIP/2.0/TCP second\r\nf: <sip:a@b>\r\n ;tag=1\r\nTO : b <sip:b@c>\t\r\ni: x\r\nCSeq: 1\r\n INVITE\r\n{more}\r\n"
    )
    .into_bytes()
}

fn answered(bytes: &[u8], answer: &Answer<'_>) -> String {
    let (Parsed::Message(message) | Parsed::Refuse(crate::Refuse { message, .. })) = crate::parse(bytes) else {
        panic!()
    };
    let mut out = b"before".to_vec();
    let written = answer.write(&message, &mut out);
    assert_eq!(written, out.len() - 6);
    String::from_utf8(out[6..].to_vec()).unwrap()
}

fn top_via(via: &str, source: &str) -> String {
    let answer = Answer::new(403, source.parse().unwrap());
    let text = answered(&request(via, ""), &answer);
    text.split("\r\n").nth(1).unwrap().to_owned()
}

#[test]
fn the_answer_copies_what_the_rfc_names_and_nothing_else() {
    let extra = [ExtraHeader::new("Retry-After", b"5").unwrap()];
    let answer =
        Answer::new(503, "192.0.2.1:5060".parse().unwrap()).with_tag(Token::new(b"abc").unwrap()).with_extra(&extra);
    let bytes =
        request("Via: SIP/2.0/UDP 192.0.2.1", "Contact: <sip:x@y>\r\nRecord-Route: <sip:p;lr>\r\nTimestamp: 54\r\n");
    assert_eq!(
        answered(&bytes, &answer),
        "SIP/2.0 503 Service Unavailable\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nVia: SIP/2.0/TCP second\r\n\
         f: <sip:a@b>\r\n ;tag=1\r\nTO : b <sip:b@c>;tag=abc\r\ni: x\r\nCSeq: 1\r\n INVITE\r\n\
         Retry-After: 5\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_provisional_answer_carries_the_route_and_100_the_timestamp() {
    let bytes = request("Via: SIP/2.0/UDP 192.0.2.9", "Record-Route: <sip:p;lr>\r\nTimestamp: 54\r\n");
    let trying = answered(&bytes, &Answer::new(100, SOURCE.parse().unwrap()));
    assert!(trying.contains("Timestamp: 54\r\n") && !trying.contains("Record-Route"));
    let ringing = answered(&bytes, &Answer::new(180, SOURCE.parse().unwrap()));
    assert!(ringing.contains("Record-Route: <sip:p;lr>\r\n") && !ringing.contains("Timestamp"));
}

#[test]
fn of_what_stands_twice_in_a_malformed_request_the_first_is_copied() {
    let bytes =
        request("Via: SIP/2.0/UDP 192.0.2.9", "From: <sip:x@y>\r\nt: <sip:x@y>\r\nCall-ID: y\r\nCSeq: 2 INVITE\r\n");
    assert_eq!(
        answered(&bytes, &Answer::new(400, SOURCE.parse().unwrap())),
        answered(&request("Via: SIP/2.0/UDP 192.0.2.9", ""), &Answer::new(400, SOURCE.parse().unwrap()))
    );
}

#[test]
fn a_body_has_its_length() {
    let mut answer = Answer::new(200, SOURCE.parse().unwrap());
    answer.body = b"v=0\r\n";
    assert!(answered(&request("Via: SIP/2.0/UDP h", ""), &answer).ends_with("Content-Length: 5\r\n\r\nv=0\r\n"));
}

#[test]
fn received_and_rport_say_where_the_request_came_from() {
    for (via, expected) in [
        // RFC 3261 18.2.1: added when sent-by is a name or another address.
        ("Via: SIP/2.0/UDP 192.0.2.9:40000;branch=z9hG4bKa", "Via: SIP/2.0/UDP 192.0.2.9:40000;branch=z9hG4bKa"),
        ("Via: SIP/2.0/UDP h;branch=z", "Via: SIP/2.0/UDP h;branch=z;received=192.0.2.9"),
        ("Via: SIP/2.0/UDP 192.0.2.1", "Via: SIP/2.0/UDP 192.0.2.1;received=192.0.2.9"),
        // RFC 3581 4: rport is filled in, and received then always goes with it.
        (
            "Via: SIP/2.0/UDP 192.0.2.9;rport;branch=z",
            "Via: SIP/2.0/UDP 192.0.2.9;branch=z;received=192.0.2.9;rport=40000",
        ),
        ("v: SIP/2.0/UDP h; rport ;x=y", "v: SIP/2.0/UDP h ;x=y;received=192.0.2.9;rport=40000"),
        // What the sender made up is replaced.
        (
            "Via: SIP/2.0/UDP h;rport=1;received=203.0.113.1;branch=z",
            "Via: SIP/2.0/UDP h;branch=z;received=192.0.2.9;rport=40000",
        ),
        ("Via: SIP/2.0/UDP 192.0.2.9;received=203.0.113.1", "Via: SIP/2.0/UDP 192.0.2.9;received=192.0.2.9"),
        // Only the first of several values is ours to change.
        (
            "Via:SIP/2.0/UDP h;rport , SIP/2.0/UDP i;rport",
            "Via:SIP/2.0/UDP h;received=192.0.2.9;rport=40000 , SIP/2.0/UDP i;rport",
        ),
        // Malformed parameters stay behind what we add.
        ("Via: SIP/2.0/UDP h;;,;,,", "Via: SIP/2.0/UDP h;received=192.0.2.9;;,;,,"),
    ] {
        assert_eq!(top_via(via, SOURCE), expected, "{via}");
    }
}

#[test]
fn ipv6_sources_are_written_without_brackets_and_mapped_ones_as_ipv4() {
    assert_eq!(top_via("Via: SIP/2.0/UDP [2001:db8::1]", "[2001:db8::1]:5060"), "Via: SIP/2.0/UDP [2001:db8::1]");
    assert_eq!(
        top_via("Via: SIP/2.0/UDP h;rport", "[2001:db8::1]:5060"),
        "Via: SIP/2.0/UDP h;received=2001:db8::1;rport=5060"
    );
    assert_eq!(top_via("Via: SIP/2.0/UDP 192.0.2.9", "[::ffff:192.0.2.9]:5060"), "Via: SIP/2.0/UDP 192.0.2.9");
    assert_eq!(top_via("Via: SIP/2.0/UDP h", "[::ffff:192.0.2.9]:5060"), "Via: SIP/2.0/UDP h;received=192.0.2.9");
}

#[test]
fn a_tag_is_added_only_where_there_is_none() {
    let answer = Answer::new(403, SOURCE.parse().unwrap()).with_tag(Token::new(b"ours").unwrap());
    let with = |to: &str| {
        let bytes = format!(
            "BYE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\nTo: {to}\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n"
        );
        let text = answered(bytes.as_bytes(), &answer);
        text.split("\r\n").find(|line| line.starts_with("To")).unwrap().to_owned()
    };
    assert_eq!(with("<sip:b@c>;tag=theirs"), "To: <sip:b@c>;tag=theirs");
    assert_eq!(with("<sip:b@c;tag=uri>"), "To: <sip:b@c;tag=uri>;tag=ours");
    assert_eq!(with("sip:b@c"), "To: sip:b@c;tag=ours");
    assert_eq!(with("\"Mr. J. User <sip:b@c>"), "To: \"Mr. J. User <sip:b@c>;tag=ours");
    assert_eq!(with("\"Mr. J. User <sip:b@c>;tag=1"), "To: \"Mr. J. User <sip:b@c>;tag=1");
}

#[test]
fn line_breaks_cannot_be_added() {
    for bad in [&b"a\r\nX: y"[..], b"a\rb", b"a\nb", b"a\0b"] {
        assert_eq!(Text::new(bad).unwrap_err(), Error::at(Why::Injection, 1));
        assert_eq!(ExtraHeader::new("X", bad).unwrap_err().why, Why::Injection);
        assert_eq!(Token::new(bad).unwrap_err().why, Why::Injection);
    }
    for bad in ["", "a b", "a:", "a\r\n"] {
        assert_eq!(ExtraHeader::new(bad, b"x").unwrap_err().why, Why::Injection);
    }
    assert!(Token::new(b"").is_err());
}

#[test]
fn numbers_are_written_in_decimal() {
    for number in [0, 7, 10, 255, 65_535, u64::MAX] {
        let mut out = Vec::new();
        write_number(number, &mut out);
        assert_eq!(out, number.to_string().into_bytes());
    }
}

#[test]
fn every_status_has_a_phrase_that_cannot_break_the_line() {
    for status in 100..700 {
        assert!(!reason_phrase(status).is_empty() && Text::new(reason_phrase(status).as_bytes()).is_ok());
    }
    assert_eq!(reason_phrase(299), "OK");
    assert_eq!(reason_phrase(499), "Client Failure");
}
