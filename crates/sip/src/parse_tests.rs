// SPDX-License-Identifier: Apache-2.0
//! Tests of the parser; the torture messages are in `tests/`.

use super::*;

/// An INVITE whose parts can be replaced.
fn an_invite(replace: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::from(
        "INVITE sip:bob@biloxi.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776\r\n\
         Max-Forwards: 70\r\n\
         From: Alice <sip:alice@atlanta.example>;tag=19283\r\n\
         To: Bob <sip:bob@biloxi.example>\r\n\
         Call-ID: a84b4c76e66710@192.0.2.1\r\n\
         CSeq: 314159 INVITE\r\n\
         Content-Length: 4\r\n\
         \r\n\
         body",
    );
    for (old, new) in replace {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    text.into_bytes()
}

fn refused(replace: &[(&str, &str)]) -> (u16, Why) {
    match parse(&an_invite(replace)) {
        Parsed::Refuse(refuse) => (refuse.status, refuse.why),
        other => panic!("{other:?}"),
    }
}

fn dropped(bytes: &[u8]) -> Why {
    match parse(bytes) {
        Parsed::Drop(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plain_invite_gives_all_that_is_needed() {
    let bytes = an_invite(&[]);
    let Parsed::Message(message) = parse(&bytes) else { panic!() };
    assert!(message.is_request());
    assert_eq!(message.method(), Some(Method::Invite));
    assert_eq!(message.request_uri(), Some(&b"sip:bob@biloxi.example"[..]));
    assert_eq!(message.uri().unwrap().user(), Some(&b"bob"[..]));
    assert_eq!(message.via_top().unwrap().branch, Some(&b"z9hG4bK776"[..]));
    assert_eq!(message.from().unwrap().tag(), Some(&b"19283"[..]));
    assert_eq!(message.to().unwrap().tag(), None);
    assert_eq!(message.cseq().unwrap().number, 314_159);
    assert_eq!(message.call_id(), Some(&b"a84b4c76e66710@192.0.2.1"[..]));
    assert_eq!(message.content_length(), Ok(Some(4)));
    assert_eq!(message.max_forwards(), Ok(Some(70)));
    assert_eq!(message.body(), b"body");
    assert_eq!(message.headers().len(), 7);
    assert_eq!(message.raw(), &bytes[..]);
}

#[test]
fn methods_are_whole_tokens_in_upper_case() {
    for method in ["INVITEX", "invite", "INVIT"] {
        let bytes = an_invite(&[("INVITE sip", &format!("{method} sip")), ("314159 INVITE", &format!("1 {method}"))]);
        let Parsed::Message(message) = parse(&bytes) else { panic!() };
        assert_eq!(message.method(), Some(Method::Other(method.as_bytes())));
    }
}

#[test]
fn body_without_content_length_runs_to_the_end_of_the_datagram() {
    let bytes = an_invite(&[("Content-Length: 4\r\n", "")]);
    let Parsed::Message(message) = parse(&bytes) else { panic!() };
    assert_eq!(message.body(), b"body");
    assert_eq!(message.content_length(), Ok(None));
}

#[test]
fn bytes_after_the_body_are_ignored() {
    let bytes = an_invite(&[("Content-Length: 4", "Content-Length: 2")]);
    let Parsed::Message(message) = parse(&bytes) else { panic!() };
    assert_eq!(message.body(), b"bo");
}

#[test]
fn bad_content_length_is_refused_and_never_read_as_zero() {
    for (length, why) in [
        ("5", Why::BodyTooShort),
        ("18446744073709551616", Why::BodyTooShort),
        ("-4", Why::ContentLength),
        ("4x", Why::ContentLength),
        ("", Why::ContentLength),
        ("4\r\nl: 4", Why::ContentLengthRepeated),
    ] {
        assert_eq!(refused(&[("Content-Length: 4", &format!("Content-Length: {length}"))]), (400, why));
    }
}

#[test]
fn the_six_header_fields_stand_once_and_are_well_formed() {
    for (old, new, why) in [
        ("CSeq: 314159", "CSeq: 2147483648", Why::CSeq),
        ("314159 INVITE", "314159 BYE", Why::CSeqMethod),
        ("CSeq:", "CSeq: 1 INVITE\r\nCSeq:", Why::CSeqRepeated),
        ("From:", "f: <sip:x@y>\r\nFrom:", Why::FromRepeated),
        ("To:", "t: <sip:x@y>\r\nTo:", Why::ToRepeated),
        ("Call-ID:", "i: x\r\nCall-ID:", Why::CallIdRepeated),
        ("Max-Forwards:", "Max-Forwards: 1\r\nMax-Forwards:", Why::MaxForwardsRepeated),
        ("Max-Forwards: 70", "Max-Forwards: 256", Why::MaxForwards),
        ("Max-Forwards: 70", "Max-Forwards: -1", Why::MaxForwards),
        ("From: Alice", "From: Al,ice", Why::From),
        ("To: Bob", "To: \"Bob", Why::To),
        ("a84b4c76e66710@192.0.2.1", "a b", Why::CallId),
        ("a84b4c76e66710@192.0.2.1", "a@b@c", Why::CallId),
        (";branch", ";;branch", Why::Via),
        ("Max-Forwards: 70", "Max-Forwards 70", Why::HeaderLine),
        ("sip:bob@biloxi.example SIP", "sip:bob@ SIP", Why::RequestUri),
        ("sip:bob@biloxi.example SIP", "<sip:bob@biloxi.example> SIP", Why::RequestUri),
        ("sip:bob@biloxi.example SIP", "sip:bob@biloxi.example; lr SIP", Why::RequestUri),
        ("INVITE sip:", "INVITE  sip:", Why::RequestUri),
        ("SIP/2.0\r\nVia", "SIP/2.0 \r\nVia", Why::StartLine),
        (" SIP/2.0\r\nVia", "\r\nVia", Why::StartLine),
    ] {
        assert_eq!(refused(&[(old, new)]), (400, why), "{new}");
    }
}

#[test]
fn another_version_is_answered_505_whatever_else_is_wrong() {
    assert_eq!(refused(&[("SIP/2.0\r\nVia", "SIP/7.0\r\nVia")]), (505, Why::Version));
    assert_eq!(refused(&[("SIP/2.0\r\nVia", "SIP/2.10\r\nVia"), ("CSeq: 314159", "CSeq: x")]), (505, Why::Version));
    let lower = an_invite(&[("SIP/2.0\r\nVia", "sip/2.0\r\nVia")]);
    assert!(matches!(parse(&lower), Parsed::Message(_)), "RFC 3261 section 7.1: the version is case-insensitive");
}

#[test]
fn requests_that_cannot_be_answered_are_dropped() {
    for (old, new, why) in [
        ("Via: ", "X-Via: ", Why::ViaMissing),
        ("From: ", "X-From: ", Why::FromMissing),
        ("To: ", "X-To: ", Why::ToMissing),
        ("Call-ID: ", "X-Call-ID: ", Why::CallIdMissing),
        ("CSeq: ", "X-CSeq: ", Why::CSeqMissing),
        ("SIP/2.0/UDP 192", "SIP/2.0 192", Why::Via),
        ("a84b4c76e66710@192.0.2.1", "", Why::CallId),
    ] {
        assert_eq!(dropped(&an_invite(&[(old, new)])), why, "{new}");
    }
}

#[test]
fn a_malformed_ack_is_never_answered() {
    let bytes = an_invite(&[("INVITE sip", "ACK sip"), ("314159 INVITE", "1 BYE")]);
    assert_eq!(dropped(&bytes), Why::CSeqMethod);
    let bytes =
        an_invite(&[("INVITE sip", "ACK sip"), ("314159 INVITE", "1 ACK"), ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia")]);
    assert_eq!(dropped(&bytes), Why::Version);
}

#[test]
fn responses_are_taken_or_dropped_and_never_answered() {
    let response = |line: &str| an_invite(&[("INVITE sip:bob@biloxi.example SIP/2.0", line)]);
    for (line, status, reason) in [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 486", 486, ""),
        ("SIP/2.0 699 a b", 699, "a b"),
    ] {
        let bytes = response(line);
        let Parsed::Message(message) = parse(&bytes) else { panic!("{line}") };
        assert_eq!(*message.start(), StartLine::Response { status, reason: reason.as_bytes() });
        assert!(message.method().is_none() && message.request_uri().is_none() && !message.is_request());
    }
    for line in
        ["SIP/2.0 99 x", "SIP/2.0 099 x", "SIP/2.0 700 x", "SIP/2.0 4294967301 x", "SIP/2.0 2xx y", "SIP/2.0  200 OK"]
    {
        assert_eq!(dropped(&response(line)), Why::StatusCode, "{line}");
    }
    assert_eq!(dropped(&response("SIP/3.0 200 OK")), Why::Version);
    let bytes = an_invite(&[("INVITE sip:bob@biloxi.example SIP/2.0", "SIP/2.0 200 OK"), ("CSeq: 314159", "CSeq: x")]);
    assert_eq!(dropped(&bytes), Why::CSeq);
}

#[test]
fn what_is_no_sip_is_named() {
    assert_eq!(dropped(b""), Why::KeepAlive);
    assert_eq!(dropped(b"\r\n\r\n"), Why::KeepAlive);
    assert_eq!(dropped(b"\0\0\0\0"), Why::KeepAlive);
    assert_eq!(dropped(b"\x00\x01\x00\x00\x21\x12\xA4\x42abcdefghijkl"), Why::Stun);
    assert_eq!(dropped(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Why::NotSip);
    assert_eq!(dropped(b"\x16\x03\x01\x00\xff\x00\r\n\x00"), Why::NotSip);
    assert_eq!(dropped(b"hello"), Why::NotSip);
    assert_eq!(dropped(b"INVITE sip:a@b SIP/2.0\nVia: x\n\n"), Why::BareLineEnd);
}

#[test]
fn a_lone_cr_or_lf_in_the_head_is_never_copied_into_an_answer() {
    for (old, new) in [
        ("Alice <", "Al\nice <"),
        ("Alice <", "Al\rice <"),
        ("To: Bob", "To: \rBob"),
        ("70\r\n", "70\n"),
        ("70\r\n", "70\r\r\n"),
        ("\r\n\r\nbody", "\n\r\nbody"),
    ] {
        assert_eq!(dropped(&an_invite(&[(old, new)])), Why::BareLineEnd, "{}", new.escape_default());
    }
    // In the body both are just bytes.
    assert!(matches!(parse(&an_invite(&[("body", "b\r\ny")])), Parsed::Message(_)));
}

#[test]
fn a_head_without_an_empty_line_is_refused_if_the_header_fields_are_there() {
    let bytes = an_invite(&[("\r\n\r\nbody", "\r\n"), ("Content-Length: 4", "Content-Length: 0")]);
    assert!(matches!(parse(&bytes), Parsed::Refuse(Refuse { status: 400, why: Why::Truncated, .. })));
}

#[test]
fn line_breaks_before_the_start_line_are_ignored() {
    let mut bytes = b"\r\n\r\n".to_vec();
    bytes.extend(an_invite(&[]));
    let Parsed::Message(message) = parse(&bytes) else { panic!() };
    assert_eq!(message.body(), b"body");
    assert_eq!(message.raw(), &bytes[..]);
}

#[test]
fn a_result_that_is_used_again_is_as_a_new_one() {
    let messages = [
        an_invite(&[]),
        an_invite(&[("CSeq:", "X-CSeq:")]),
        an_invite(&[("To: Bob", "To: \"Bob")]),
        b"\r\n".to_vec(),
        an_invite(&[("Via: SIP", "v: SIP"), ("Content-Length: 4\r\n", "")]),
    ];
    let mut parsed = Parsed::Drop(Why::NotSip);
    for bytes in messages.iter().chain(messages.iter().rev()) {
        parse_into(bytes, &mut parsed);
        assert_eq!(format!("{parsed:?}"), format!("{:?}", parse(bytes)));
    }
}

#[test]
fn header_fields_are_limited() {
    let with = |count: usize| an_invite(&[("Content-Length", &format!("{}Content-Length", "X: y\r\n".repeat(count)))]);
    let at_limit = with(MAX_HEADERS - 7);
    let Parsed::Message(message) = parse(&at_limit) else { panic!() };
    assert_eq!(message.headers().len(), MAX_HEADERS);
    let above = with(MAX_HEADERS - 6);
    assert!(matches!(parse(&above), Parsed::Refuse(Refuse { why: Why::TooManyHeaders, .. })));
    let endless = [b"INVITE sip:a@b SIP/2.0\r\n".to_vec(), b"X: y\r\n".repeat(10_000)].concat();
    assert!(matches!(parse(&endless), Parsed::Drop(Why::TooManyHeaders)));
}
