// SPDX-License-Identifier: Apache-2.0
//! Runs torture messages against the table that lies beside them: what the parser gives, what the whole judgement gives, what
//! a stream gives, and the fields. The bytes must also survive being written again, being split, and being answered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use sip::answer::{Answer, Token};
use sip::framer::{Frame, Framer, Limits};
use sip::{HeaderName, Message, Method, Parsed, Refuse, StartLine, Via, check, parse};

/// One message of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// File name without `.dat`, as the RFC names the message.
    pub(crate) tag: String,
    /// Section of the RFC.
    pub(crate) section: String,
    /// `valid`, `invalid`, `transaction`, `application`, `backward`.
    pub(crate) class: String,
    /// `message`, `refuse <status> <why>` or `drop <why>`.
    pub(crate) parse: String,
    /// `ok` or `<status> <why>`; absent where the parser does not let it pass.
    pub(crate) check: Option<String>,
    /// What comes out of a stream of these bytes: first words of start lines, `ping`, `pong`, and at the end `unfinished` or `fault <why>`.
    pub(crate) stream: Vec<String>,
    /// Fields that must be read; what is no visible ASCII is written `\xNN`.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

fn directory(rfc: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(rfc)
}

/// The table of an RFC; every file beside it is in it, and the other way round.
pub(crate) fn cases(rfc: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(directory(rfc).join("cases.toml")).expect("cases.toml");
    let table: Table = toml::from_str(&text).expect("a well-formed table");
    let mut listed: Vec<_> = table.case.iter().map(|case| format!("{}.dat", case.tag)).collect();
    let mut there: Vec<_> = std::fs::read_dir(directory(rfc))
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("an ASCII name"))
        .filter(|name| std::path::Path::new(name).extension().is_some_and(|extension| extension == "dat"))
        .collect();
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
    table.case
}

/// The bytes of a message.
pub(crate) fn bytes(rfc: &str, tag: &str) -> Vec<u8> {
    std::fs::read(directory(rfc).join(format!("{tag}.dat"))).expect("a message")
}

/// Visible ASCII and blanks as they are, other bytes as `\xNN`.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte == b' ' || byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            write!(text, "\\x{byte:02x}").expect("a string grows");
        }
    }
    text
}

/// Outcome of the parser in the words of the table.
fn outcome(bytes: &[u8]) -> String {
    match parse(bytes) {
        Parsed::Message(_) => "message".into(),
        Parsed::Refuse(refuse) => format!("refuse {} {}", refuse.status, refuse.why),
        Parsed::Drop(why) => format!("drop {why}"),
    }
}

fn judgement(bytes: &[u8]) -> Option<String> {
    let Parsed::Message(message) = parse(bytes) else {
        return None;
    };
    Some(match check(&message) {
        Ok(()) => "ok".into(),
        Err(fault) => format!("{} {}", fault.status, fault.why),
    })
}

/// One field by the name that the table gives it; a name of a header field gives its first value.
fn field(message: &Message<'_>, name: &str) -> Option<String> {
    let via = || message.via_top().ok();
    let found = match name {
        "start" => match *message.start() {
            StartLine::Request { method, uri } => {
                format!("{} {}", text(method.as_bytes()), text(uri))
            }
            StartLine::Response { status, reason } => format!("{status} {}", text(reason)),
        },
        "user" => text(message.uri()?.user()?),
        "host" => match message.uri()? {
            sip::uri::Uri::Sip(uri) => text(uri.host),
            _ => return None,
        },
        "port" => match message.uri()? {
            sip::uri::Uri::Sip(uri) => uri.port?.to_string(),
            _ => return None,
        },
        "transport" => text(via()?.transport),
        "sent_by" => {
            let via = via()?;
            via.port.map_or_else(|| text(via.host), |port| format!("{}:{port}", text(via.host)))
        }
        "branch" => text(via()?.branch?),
        "received" => text(via()?.received?),
        "has_magic_cookie" => via()?.has_magic_cookie().to_string(),
        "vias" => message.all(HeaderName::Via).map(count_vias).sum::<usize>().to_string(),
        "from_display" => text(message.from().ok()?.display?),
        "from_uri" => text(message.from().ok()?.uri),
        "from_tag" => text(message.from().ok()?.tag()?),
        "to_display" => text(message.to().ok()?.display?),
        "to_uri" => text(message.to().ok()?.uri),
        "to_tag" => text(message.to().ok()?.tag()?),
        "call_id" => text(message.call_id()?),
        "cseq" => {
            let cseq = message.cseq().ok()?;
            format!("{} {}", cseq.number, text(cseq.method.as_bytes()))
        }
        "max_forwards" => message.max_forwards().ok()??.to_string(),
        "contacts" => message.all(HeaderName::Contact).count().to_string(),
        "headers" => message.headers().len().to_string(),
        "body_bytes" => message.body().len().to_string(),
        name => text(message.first(HeaderName::from_bytes(name.as_bytes()))?),
    };
    Some(found)
}

fn count_vias(mut value: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(via) = Via::parse(value) {
        count += 1;
        match via.rest() {
            Some(rest) => value = rest,
            None => break,
        }
    }
    count
}

/// What a stream of these bytes gives, pushed in pieces of `step`: its parts in words, and the bytes of its messages.
fn stream(bytes: &[u8], step: usize) -> (Vec<String>, Vec<Vec<u8>>) {
    let mut framer = Framer::new(Limits::default());
    let (mut words, mut messages) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(step) {
        assert_eq!(framer.push(piece), piece.len());
        loop {
            match framer.pull() {
                Ok(Some(Frame::Message { bytes, .. })) => {
                    let mut line = bytes.split(|&byte| matches!(byte, b' ' | b'\r'));
                    words.push(text(line.next().unwrap_or_default()));
                    messages.push(bytes.to_vec());
                }
                Ok(Some(Frame::KeepAlivePing)) => words.push("ping".into()),
                Ok(Some(Frame::KeepAlivePong)) => words.push("pong".into()),
                Ok(None) => break,
                Err(why) => {
                    words.push(format!("fault {why}"));
                    return (words, messages);
                }
            }
        }
    }
    if !framer.unframed().is_empty() {
        words.push("unfinished".into());
    }
    (words, messages)
}

/// All that must hold for one message.
pub(crate) fn run(rfc: &str, case: &Case) {
    let bytes = bytes(rfc, &case.tag);
    let tag = &case.tag;
    assert_eq!(outcome(&bytes), case.parse, "{tag}: parse");
    assert_eq!(judgement(&bytes), case.check, "{tag}: check");

    if let Parsed::Message(message) | Parsed::Refuse(Refuse { message, .. }) = parse(&bytes) {
        for (name, expected) in &case.fields {
            assert_eq!(field(&message, name).as_ref(), Some(expected), "{tag}: {name}");
        }
        let mut written = Vec::new();
        message.write(&mut written);
        assert!(bytes.starts_with(&written), "{tag}: written again it differs");
        assert_eq!(outcome(&written), outcome(&bytes), "{tag}: read again it differs");
        if message.is_request() && message.method() != Some(Method::Ack) {
            answer(tag, &message, matches!(parse(&bytes), Parsed::Message(_)));
        }
    } else {
        assert!(case.fields.is_empty(), "{tag}: a dropped message has no fields");
    }

    let (whole, messages) = stream(&bytes, bytes.len());
    assert_eq!(whole, case.stream, "{tag}: stream");
    for step in 1..bytes.len().min(64) {
        assert_eq!(stream(&bytes, step), (whole.clone(), messages.clone()), "{tag}: in pieces of {step}");
    }
    // One parser for all transports: the first message of the stream is what the datagram is.
    if let (Some(first), Parsed::Message(message)) = (messages.first(), parse(&bytes)) {
        let Parsed::Message(framed) = parse(first) else { panic!("{tag}: refused when it came by a stream") };
        assert_eq!(framed.start(), message.start());
        assert_eq!(framed.headers(), message.headers());
        if message.content_length() != Ok(None) {
            assert_eq!(framed.body(), message.body());
        }
    }
}

/// An answer holds the copied lines byte for byte and is itself a message.
fn answer(tag: &str, message: &Message<'_>, is_right: bool) {
    let source: SocketAddr = "203.0.113.7:40123".parse().expect("an address");
    let token = Token::new(b"ours").expect("a token");
    let mut out = Vec::new();
    Answer::new(400, source).with_tag(token).write(message, &mut out);
    let printed = text(&out);
    let found = match parse(&out) {
        Parsed::Message(found) => found,
        // What was malformed in the request is malformed in the copy, but nothing more than that.
        Parsed::Drop(why) => {
            assert!(!is_right, "{tag}: {why}: {printed}");
            assert!(!["bare_line_end", "not_sip", "truncated", "header_line"].contains(&why.as_str()), "{tag}: {why}");
            return;
        }
        Parsed::Refuse(_) => panic!("{tag}: an answer is a response"),
    };
    assert_eq!(found.status(), Some(400), "{tag}");
    let lines = |message: &Message<'_>, name| message.headers().iter().filter(|header| header.name == name).count();
    assert_eq!(lines(&found, HeaderName::Via), lines(message, HeaderName::Via), "{tag}");
    for name in [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        assert_eq!(lines(&found, name), 1, "{tag}: {name}");
    }
    for name in ["from_uri", "from_tag", "to_uri", "call_id", "cseq", "branch", "sent_by", "vias"] {
        assert_eq!(field(&found, name), field(message, name), "{tag}: {name}");
    }
    assert_eq!(field(&found, "to_tag"), field(message, "to_tag").or(Some("ours".into())), "{tag}");
    assert_eq!(field(&found, "received"), Some("203.0.113.7".into()), "{tag}");
}
