// SPDX-License-Identifier: Apache-2.0
//! Tests of the whole judgement: header fields that are right and header fields that are not.

use super::*;
use crate::message::Parsed;

fn judge(uri: &str, lines: &str) -> Result<(), Fault> {
    let text = format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h.example.com;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\n\
         Call-ID: x\r\nCSeq: 1 OPTIONS\r\n{lines}\r\n\r\n"
    );
    match crate::parse(text.as_bytes()) {
        Parsed::Message(message) => check(&message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn header_fields_that_keep_their_grammar_pass() {
    for line in [
        "v: SIP/2.0/TCP [2001:db8::1]:5060;received=[2001:db8::2], SIP/2.0/UDP h;received=2001:db8::3;x=\"y\"",
        "Contact: *",
        "m: \"a \\\" b\" <sip:a@b;lr?x=y>;q=0.7;expires=x;+sip.instance=\"<urn:x>\", sip:c@d;q=1.000",
        "Contact: Ren\u{e9} <sip:#31#123@host>",
        "Route: <sip:a;lr>, <sip:b;lr>;x=y",
        "Record-Route: Name <sip:a;lr>",
        "Path: <sip:a;lr>",
        "P-Asserted-Identity: \"x\" <sip:a@b>, tel:+12015550123",
        "Refer-To: <sip:a@b?Replaces=x%3By>",
        "Expires: 4294967295",
        "Session-Expires: 1800;refresher=uac",
        "Date: Sat, 13 Nov 2010 23:29:00 GMT",
        "Require: 100rel, timer",
        "Supported:",
        "k: path ,gruu",
        "Allow: INVITE, ACK",
        "Content-Type: multipart/mixed ; boundary=\"a b\" ; x=y",
        "Accept: application/sdp;level=1, */*, text/html",
        "Accept:",
        "Accept-Encoding: gzip;q=1.0, *;q=0",
        "Content-Encoding: gzip",
        "Event: presence.winfo;id=3",
        "Reason: Q.850 ;cause=16 ;text=\"Terminated\", SIP;cause=600",
        "Warning: 307 isi.edu \"Session parameter 'foo' not understood\", 301 [2001:db8::1]:5060 \"x\"",
        "Retry-After: 18000 (I'm in a (long) meeting);duration=3600",
        "Authorization: Digest username=\"a\", nc=00000001",
        "Proxy-Authorization: Other whatever =\"",
        "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"",
        "Alert-Info: <http://www.example.com/sounds/moo.wav>;appearance=2",
        "In-Reply-To: 70710@saturn.bell-tel.com, 17320@saturn",
        "Replaces: 98732@sip.example.com ;from-tag=r33th4x0r;to-tag=ff87ff",
        "MIME-Version: 1.0",
        "RAck: 776656 1 INVITE",
        "RSeq: 988789",
        "Timestamp: 54.21 .5",
        "Timestamp: 54",
        "X-Unknown: ;;,,;;\"",
        "User-Agent: what ( ever \"",
        "Subject:",
    ] {
        assert_eq!(judge("sip:a@b", line), Ok(()), "{line}");
    }
}

#[test]
fn header_fields_that_break_their_grammar_are_named() {
    for (line, why) in [
        ("v: SIP/2.0/UDP -h", Why::Via),
        ("v: SIP/2.0/UDP h;received=-", Why::Via),
        ("v: SIP/2.0/UDP h;branch=a:b", Why::Via),
        ("v: SIP/2.0/UDP h;x=a@b", Why::Via),
        ("v: SIP/2.0/UDP h,", Why::Via),
        ("v: SIP/2.0/UDP 1.2.3", Why::Via),
        ("Contact:", Why::Contact),
        ("Contact: *, <sip:a@b>", Why::Contact),
        ("Contact: <sip:a@b>;;", Why::Contact),
        ("Contact: <sip:a@b>;q=1.5", Why::Contact),
        ("Contact: <sip:a@b>;q", Why::Contact),
        ("Contact: sip:a@b?Route=%3Csip:c%3E", Why::Contact),
        ("Contact: <sip:a@b>, ", Why::Contact),
        ("Contact: <sip:a%4@b>", Why::Contact),
        ("Contact: \"a <sip:a@b>", Why::Contact),
        ("Route: sip:a;lr", Why::Route),
        ("Record-Route: <sip:a", Why::RecordRoute),
        ("Reply-To: <sip:a@b>, <sip:c@d>", Why::Header),
        ("Expires: 4294967296", Why::Expires),
        ("Expires: -1", Why::Expires),
        ("Expires: 1 2", Why::Expires),
        ("Date: Fri, 01 Jan 2010 16:00:00 EST", Why::Date),
        ("Date: Fri, 1 Jan 2010 16:00:00 GMT", Why::Date),
        ("Date: Fri, 01 Jan 2010 24:00:00 GMT", Why::Date),
        ("Date: today", Why::Date),
        ("Require:", Why::TokenList),
        ("Require: a b", Why::TokenList),
        ("Supported: a,,b", Why::TokenList),
        ("Content-Type: sdp", Why::ContentType),
        ("Content-Type: a/b;c", Why::ContentType),
        ("Content-Type: a/b;c=\"d", Why::ContentType),
        ("Warning: 1812 overture \"In Progress\"", Why::Warning),
        ("Warning: 307 isi.edu In Progress", Why::Warning),
        ("Retry-After: 949302838503028349304023988", Why::RetryAfter),
        ("Retry-After: 5 (open", Why::RetryAfter),
        ("Authorization: Digest username=\"a", Why::Digest),
        ("Proxy-Authenticate: Digest", Why::Digest),
        ("Alert-Info: http://x", Why::Header),
        ("Event: ;id=3", Why::Header),
        ("RSeq: 4294967296", Why::Header),
        ("RAck: 1 INVITE", Why::Header),
        ("MIME-Version: 1", Why::Header),
        ("Timestamp: x", Why::Header),
        ("In-Reply-To: a b", Why::Header),
        ("Expires: 1\r\nExpires: 1", Why::Repeated),
        ("c: a/b\r\nContent-Type: a/b", Why::Repeated),
    ] {
        let fault = judge("sip:a@b", line).unwrap_err();
        assert_eq!((fault.status, fault.why), (400, why), "{line}");
        assert!(fault.header.is_some());
    }
}

#[test]
fn the_fault_says_where_it_is() {
    let fault = judge("sip:a@b", "Require: good, b@d").unwrap_err();
    assert_eq!((fault.header, fault.offset), (Some(HeaderName::Require), 7));
}

#[test]
fn the_request_uri_is_held_to_its_grammar_and_its_scheme() {
    for (uri, status, why) in [
        ("sip:user@example.com?Route=%3Csip:example.com%3E", 400, Why::UriHeaders),
        ("sip:user%4@example.com", 400, Why::RequestUri),
        ("sip:user@example.com;a=%", 400, Why::RequestUri),
        ("tel:x", 400, Why::RequestUri),
        ("nobodyKnowsThisScheme:totallyopaquecontent", 416, Why::UriScheme),
        ("soap.beep://192.0.2.103:3002", 416, Why::UriScheme),
    ] {
        let fault = judge(uri, "Max-Forwards: 1").unwrap_err();
        assert_eq!((fault.status, fault.why, fault.header), (status, why, None), "{uri}");
    }
    for uri in ["sips:a:b@c:1;d=e", "tel:+1-201-555-0123", "sip:*21*100#@host", "sip:null-%00-null@example.com"] {
        assert_eq!(judge(uri, "Max-Forwards: 1"), Ok(()), "{uri}");
    }
}
