// SPDX-License-Identifier: Apache-2.0
//! Properties: what holds for all messages, all splits and all bytes. `PROPTEST_CASES` asks for more cases than 256.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use sip::answer::{Answer, ExtraHeader, Text, Token};
use sip::framer::{Frame, Framer, Limits};
use sip::{HeaderName, Message, Parsed, Refuse, Why, check, digest, parse, sdp, uri};

/// Bytes that are near SIP more often than chance would make them: pieces that matter, and noise between them.
fn near_sip() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "INVITE sip:a@b SIP/2.0\r\n", "ACK sip:a@b SIP/2.0\r\n", "SIP/2.0 200 OK\r\n", "OPTIONS tel:+1 SIP/3.0\r\n",
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\n", "v: SIP / 2.0 / TCP [::1]:5060 ;received=x , SIP/2.0/UDP i\r\n",
            "From: \"a\\\"b\" <sip:a@b>;tag=1\r\n", "f: sip:a@b\r\n", "To: <sip:b@c>\r\n", "t:\r\n sip:b@c ; tag = x\r\n",
            "Call-ID: a@b\r\n", "i: x\r\n", "CSeq: 1 INVITE\r\n", "CSeq: 0001\r\n INVITE\r\n", "Max-Forwards: 70\r\n",
            "Content-Length: 0\r\n", "l: 5\r\n", "l: 99999999999999999999\r\n", "Contact: *\r\n", "X: y\r\n", "\r\n", "\r\n\r\n", "\r\n ",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
        1 => prop::sample::select(vec![&b"\r"[..], b"\n", b"\0", b"\"", b"\\", b"<", b">", b";", b",", b"=", b":", b"@", b"%", b"[", b"]"])
            .prop_map(<[u8]>::to_vec),
    ];
    vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

prop_compose! {
    /// A right request with values from their grammars, sometimes folded, sometimes compact.
    fn a_request()(
        method in "[A-Z]{3,9}|[!-'*+.0-9A-Z_`a-z~-]{1,12}".prop_filter("a token", |method| Token::new(method.as_bytes()).is_ok()),
        user in "[A-Za-z0-9_.!~*'();?/&=+$,-]{1,20}",
        host in "[a-z]{1,10}(\\.[a-z]{1,5}){0,2}|192\\.0\\.2\\.[1-9]|\\[2001:db8::[1-9a-f]{1,3}\\]",
        port in proptest::option::of(1_u16..),
        branch in "z9hG4bK[A-Za-z0-9]{0,30}",
        rport in prop::sample::select(vec!["", ";rport", ";rport=7", " ;\r\n rport"]),
        display in prop::sample::select(vec!["", "Bob ", "\"a \\\" , < ; b\" ", "\r\n Bob Smith\r\n "]),
        tag in "[A-Za-z0-9]{1,20}",
        call_id in "[A-Za-z0-9.-]{1,40}(@[a-z.]{1,20})?",
        number in 0_u32..1 << 31,
        extra in vec(("[A-Z][A-Za-z-]{0,20}", "[ -~]{0,40}"), 0..40),
        body in vec(any::<u8>(), 0..200),
        has_length in any::<bool>(),
        is_compact in any::<bool>(),
    ) -> Vec<u8> {
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let name = |long: &'static str, compact: &'static str| if is_compact { compact } else { long };
        let mut text = format!(
            "{method} sip:{user}@{host}{port} SIP/2.0\r\n{}: SIP/2.0/UDP {host}{port};branch={branch}{rport}\r\n{}: {display}<sip:{user}@{host}>;tag={tag}\r\n\
             {}: sip:x@{host}\r\n{}: {call_id}\r\nCSeq: {number} {method}\r\n",
            name("Via", "v"), name("From", "f"), name("To", "t"), name("Call-ID", "i"),
        );
        for (name, value) in extra {
            if HeaderName::from_bytes(name.as_bytes()) == HeaderName::Other {
                write!(text, "{name}: {value}\r\n").expect("a string grows");
            }
        }
        if has_length {
            write!(text, "Content-Length: {}\r\n", body.len()).expect("a string grows");
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.extend(body);
        bytes
    }
}

fn the_message(bytes: &[u8]) -> Message<'_> {
    match parse(bytes) {
        Parsed::Message(message) => message,
        Parsed::Refuse(refuse) => panic!("{}: {}", refuse.why, bytes.escape_ascii()),
        Parsed::Drop(why) => panic!("{why}: {}", bytes.escape_ascii()),
    }
}

/// What a stream gives, in words, when it comes in pieces of these sizes.
fn frames(bytes: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Option<Why>) {
    let mut framer = Framer::new(Limits { max_head_bytes: 400, max_body_bytes: 300 });
    let mut seen = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
        let taken = framer.push(&rest[..size]);
        rest = &rest[taken..];
        loop {
            match framer.pull() {
                Ok(Some(Frame::Message { bytes, has_length })) => {
                    assert!(bytes.len() <= 700);
                    seen.push([&[u8::from(has_length)], bytes].concat());
                }
                Ok(Some(Frame::KeepAlivePing)) => seen.push(b"ping".to_vec()),
                Ok(Some(Frame::KeepAlivePong)) => seen.push(b"pong".to_vec()),
                Ok(None) => break,
                Err(why) => return (seen, Some(why)),
            }
        }
        assert!(framer.unframed().len() <= 700, "the buffer is bounded");
    }
    (seen, None)
}

/// No CR and no LF that is not part of a CRLF.
fn has_bare_line_end(bytes: &[u8]) -> bool {
    let crlf = memchr::memmem::find_iter(bytes, b"\r\n").count();
    memchr::memchr_iter(b'\r', bytes).count() != crlf || memchr::memchr_iter(b'\n', bytes).count() != crlf
}

/// Lines of a head: a fold belongs to the line before it.
fn names(head: &[u8]) -> Vec<Vec<u8>> {
    let text = head.to_vec();
    let mut names = Vec::new();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && *line != b"\r") {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let end = line.iter().position(|byte| matches!(byte, b':' | b' ' | b'\t' | b'/')).unwrap_or(line.len());
            names.push(line[..end].to_ascii_lowercase());
        }
    }
    names
}

fn sources() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same_message(bytes in a_request()) {
        let message = the_message(&bytes);
        let mut written = Vec::new();
        message.write(&mut written);
        prop_assert_eq!(&written, &bytes);
        let again = the_message(&written);
        prop_assert_eq!(again.start(), message.start());
        prop_assert_eq!(again.headers(), message.headers());
        prop_assert_eq!(again.body(), message.body());
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same_frames(bytes in near_sip(), sizes in vec(1_usize..40, 1..20)) {
        let whole = frames(&bytes, &[bytes.len()]);
        prop_assert_eq!(frames(&bytes, &sizes), whole.clone());
        prop_assert_eq!(frames(&bytes, &[1]), whole);
    }

    #[test]
    fn a_stream_of_messages_gives_each_of_them(requests in vec(a_request(), 1..4), sizes in vec(1_usize..200, 1..20)) {
        let small: Vec<_> = requests.into_iter().filter(|bytes| {
            let message = the_message(bytes);
            bytes.len() - message.body().len() <= 400 && message.content_length().is_ok_and(|length| length.is_some())
        }).collect();
        let (seen, fault) = frames(&small.concat(), &sizes);
        prop_assert_eq!(fault, None);
        prop_assert_eq!(seen, small.iter().map(|bytes| [&[1], &bytes[..]].concat()).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_give_one_of_three_results_and_every_view_returns(bytes in prop_oneof![near_sip(), vec(any::<u8>(), 0..400)]) {
        match parse(&bytes) {
            Parsed::Message(message) => {
                let _ = check(&message);
                prop_assert!(message.via_top().is_ok() && message.from().is_ok() && message.to().is_ok() && message.cseq().is_ok());
                prop_assert!(message.call_id().is_some());
                let mut written = Vec::new();
                message.write(&mut written);
                let again = the_message(&written);
                prop_assert_eq!(again.headers(), message.headers());
                prop_assert_eq!(again.body(), message.body());
                for header in message.headers() {
                    prop_assert_eq!(Some(header), message.headers().iter().find(|other| other.line == header.line));
                    prop_assert_eq!(message.first(header.name), message.all(header.name).next());
                }
            }
            Parsed::Refuse(Refuse { status, message, .. }) => {
                prop_assert!(status == 400 || status == 505);
                prop_assert!(message.is_request() && message.method() != Some(sip::Method::Ack));
                prop_assert!(message.call_id().is_some_and(|id| !id.is_empty()));
            }
            Parsed::Drop(why) => prop_assert!(why.code() > 0),
        }
    }

    #[test]
    fn readers_of_parts_return_for_any_bytes(bytes in prop_oneof![near_sip(), vec(any::<u8>(), 0..200), "[ -~\r\n]{0,100}".prop_map(String::into_bytes)]) {
        if let Ok(found) = uri::parse_uri(&bytes) {
            let _ = (found.is_strict(), found.scheme(), found.user());
        }
        let mut buffer = vec![0; bytes.len()];
        prop_assert!(uri::unescape(&bytes, &mut buffer).is_some_and(|text| text.len() <= bytes.len()));
        let _ = (digest::Credentials::parse(&bytes), digest::Challenge::parse(&bytes));
        if let Ok(session) = sdp::Session::parse(&bytes) {
            prop_assert!(session.media().count() <= bytes.len());
            let attributes: usize = session.media().map(|media| media.attributes().count() + media.formats().count()).sum();
            prop_assert!(attributes + session.attributes().count() <= bytes.len());
        }
    }

    #[test]
    fn a_name_is_known_only_if_it_is_spelled_so(name in prop_oneof!["[!-~]{0,24}", "[A-Za-z-]{1,20}", near_name()]) {
        let found = HeaderName::from_bytes(name.as_bytes());
        let spelled = HeaderName::ALL.iter().find(|known| {
            known.as_str().eq_ignore_ascii_case(&name) || known.compact().is_some_and(|compact| compact.eq_ignore_ascii_case(&name))
        });
        prop_assert_eq!(found, spelled.copied().unwrap_or(HeaderName::Other));
    }

    #[test]
    fn an_answer_has_the_copied_lines_and_nothing_that_was_smuggled_in(
        bytes in prop_oneof![a_request(), near_sip()], source in sources(), status in 100_u16..700, value in any::<Vec<u8>>(), tag in any::<Vec<u8>>(),
    ) {
        let (Parsed::Message(message) | Parsed::Refuse(Refuse { message, .. })) = parse(&bytes) else { return Ok(()) };
        let mut answer = Answer::new(status, source);
        let header = ExtraHeader::new("X-Reason", &value);
        let is_clean = value.iter().all(|byte| !matches!(byte, b'\r' | b'\n' | b'\0'));
        prop_assert_eq!(header.is_ok(), is_clean);
        prop_assert_eq!(Text::new(&value).is_ok(), is_clean);
        let extra: Vec<_> = header.into_iter().collect();
        answer.extra = &extra;
        answer.to_tag = Token::new(&tag).ok();
        let mut out = Vec::new();
        answer.write(&message, &mut out);
        prop_assert!(!has_bare_line_end(&out), "{}", out.escape_ascii());
        prop_assert!(out.ends_with(b"Content-Length: 0\r\n\r\n"));
        let copied = |name: &[u8]| matches!(
            name, b"via" | b"v" | b"from" | b"f" | b"to" | b"t" | b"call-id" | b"i" | b"cseq" | b"record-route" | b"timestamp"
        );
        for (index, name) in names(&out).into_iter().enumerate() {
            let is_ours = index == 0 && name == b"sip" || name == b"content-length" || name == b"x-reason";
            prop_assert!(is_ours || copied(&name), "{}", out.escape_ascii());
        }
    }

    #[test]
    fn an_answer_to_a_right_request_reads_back(bytes in a_request(), source in sources(), status in 100_u16..700) {
        let request = the_message(&bytes);
        let mut out = Vec::new();
        Answer::new(status, source).with_tag(Token::new(b"t").expect("a token")).write(&request, &mut out);
        let answer = the_message(&out);
        prop_assert_eq!(answer.status(), Some(status));
        prop_assert_eq!(answer.call_id(), request.call_id());
        prop_assert_eq!(answer.cseq().expect("a CSeq"), request.cseq().expect("a CSeq"));
        prop_assert_eq!(answer.from().expect("From").tag(), request.from().expect("From").tag());
        prop_assert_eq!(answer.to().expect("To").tag(), Some(&b"t"[..]));
        let (theirs, ours) = (request.via_top().expect("Via"), answer.via_top().expect("Via"));
        prop_assert_eq!((ours.branch, ours.host, ours.port), (theirs.branch, theirs.host, theirs.port));
        if theirs.rport.is_some() {
            prop_assert_eq!(ours.rport, Some(Some(source.port())));
            let received = std::str::from_utf8(ours.received.expect("received")).expect("text");
            prop_assert_eq!(received.parse::<IpAddr>().expect("an address"), source.ip().to_canonical());
        }
    }
}

/// A known name with one change.
fn near_name() -> impl Strategy<Value = String> {
    (prop::sample::select(HeaderName::ALL), any::<prop::sample::Index>(), "[!-~]").prop_map(|(name, index, other)| {
        let name = name.as_str();
        let at = index.index(name.len());
        format!("{}{other}{}", &name[..at], &name[at + 1..])
    })
}
