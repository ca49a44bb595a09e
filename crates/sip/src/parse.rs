// SPDX-License-Identifier: Apache-2.0
//! The parser: one walk over the lines, then the syntax of what is needed to judge, answer and record.

use crate::class::{DIGIT, TOKEN, WORD};
use crate::cseq::CSeq;
use crate::error::Why;
use crate::lines::{Line, Lines, header};
use crate::message::{MAX_HEADERS, Message, Parsed, Refuse, StartLine, max_forwards};
use crate::method::Method;
use crate::name::HeaderName;
use crate::name_addr::{NameAddr, has_scheme};
use crate::scan::{decimal, trim_end};
use crate::uri::parse_uri;
use crate::via::Via;

/// Faults found so far: the first one is reported, and a wrong version outranks all (505 tells the sender what would help).
#[derive(Default)]
struct Faults {
    first: Option<Why>,
}

impl Faults {
    #[inline]
    const fn note(&mut self, why: Why) {
        if self.first.is_none() {
            self.first = Some(why);
        }
    }

    #[inline]
    fn check<T>(&mut self, result: Result<T, Why>) -> Option<T> {
        result.map_err(|why| self.note(why)).ok()
    }
}

/// Header fields that may stand once, with the fault of standing twice.
const SINGLE: [(HeaderName, Why); 6] = [
    (HeaderName::From, Why::FromRepeated),
    (HeaderName::To, Why::ToRepeated),
    (HeaderName::CallId, Why::CallIdRepeated),
    (HeaderName::CSeq, Why::CSeqRepeated),
    (HeaderName::MaxForwards, Why::MaxForwardsRepeated),
    (HeaderName::ContentLength, Why::ContentLengthRepeated),
];

/// Whether a name is in [`SINGLE`]. They stand together, so this is one comparison.
#[inline]
const fn is_single(name: HeaderName) -> bool {
    (name as u8).wrapping_sub(HeaderName::From as u8) < SINGLE.len() as u8
}

/// Notes the first header field that stands twice and may not.
#[cold]
fn note_repeated(message: &Message<'_>, faults: &mut Faults) {
    for (index, header) in message.headers.iter().enumerate() {
        let is_second = message.headers.iter().take(index).any(|earlier| earlier.name == header.name);
        if let Some((_, why)) = SINGLE.iter().find(|(name, _)| is_second && *name == header.name) {
            faults.note(*why);
        }
    }
}

/// Judges one whole message: a datagram, or what the framer cut out of a stream.
///
/// Of a message without faults, of header fields only Via (the top value), From, To, Call-ID, `CSeq`, Max-Forwards and
/// Content-Length were looked into; [`crate::check`] does the rest. A missing branch, tag or Max-Forwards is no fault: RFC 2543 elements
/// send none. Bytes after the body are ignored (RFC 3261 §18.3).
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut parsed = Parsed::Message(Message::new(bytes));
    judge(bytes, &mut parsed);
    parsed
}

/// [`parse`] into a place that holds the result of another message. A result is two and a half kilobytes, and for the flood it counts that
/// it is neither made anew nor moved: keep one for each batch.
pub fn parse_into<'a>(bytes: &'a [u8], parsed: &mut Parsed<'a>) {
    if let Parsed::Message(message) = parsed {
        message.reset(bytes);
    } else {
        *parsed = Parsed::Message(Message::new(bytes));
    }
    judge(bytes, parsed);
}

/// Turns an empty message into the result.
#[inline(never)]
fn judge<'a>(bytes: &'a [u8], parsed: &mut Parsed<'a>) {
    let Parsed::Message(message) = parsed else {
        return;
    };
    match read(bytes, message) {
        Verdict::Right => {}
        Verdict::Refuse(status, why) => {
            let message = std::mem::replace(message, Message::new(bytes));
            *parsed = Parsed::Refuse(Refuse { status, why, message });
        }
        Verdict::Drop(why) => *parsed = Parsed::Drop(why),
    }
}

/// What [`parse`] is to give.
enum Verdict {
    Right,
    Refuse(u16, Why),
    Drop(Why),
}

/// Reads `bytes` into an empty message.
fn read<'a>(bytes: &'a [u8], message: &mut Message<'a>) -> Verdict {
    // RFC 3261 §7.5: CRLFs before the start line are ignored.
    let mut text = bytes;
    while let [b'\r', b'\n', rest @ ..] = text {
        text = rest;
    }
    let mut lines = Lines::new(text);
    let Line::Whole(start_line) = lines.next() else {
        return Verdict::Drop(not_sip(bytes));
    };
    let mut faults = Faults::default();
    let mut version_fault = false;
    let Some(start) = read_start(start_line, &mut faults, &mut version_fault) else {
        return Verdict::Drop(faults.first.unwrap_or_else(|| not_sip(bytes)));
    };
    message.start = start;
    message.start_line = start_line;

    let mut singles = 0_usize;
    let body_at = loop {
        match lines.next() {
            Line::Whole(line) => {
                let Some(header) = header(line) else {
                    faults.note(Why::HeaderLine);
                    continue;
                };
                if message.headers.len() == MAX_HEADERS {
                    faults.note(Why::TooManyHeaders);
                    break lines.consumed();
                }
                message.first.note(header.name, message.headers.len());
                singles = singles.wrapping_add(usize::from(is_single(header.name)));
                message.headers.push(header);
            }
            Line::Empty(at) => break at,
            // It would be copied into the answer, and whoever reads that might see a line end there.
            Line::Bare => return Verdict::Drop(Why::BareLineEnd),
            Line::End => {
                faults.note(Why::Truncated);
                break lines.consumed();
            }
        }
    };
    if singles != SINGLE.iter().filter(|(name, _)| message.first.has(*name)).count() {
        note_repeated(message, &mut faults);
    }
    let (_, after) = text.split_at(body_at);
    message.body = faults.check(body(message.first(HeaderName::ContentLength), after)).unwrap_or(after);

    if let StartLine::Request { uri, .. } = start {
        message.uri = faults.check(parse_uri(uri).map_err(|_| Why::RequestUri));
    }
    faults.check(required(message.first(HeaderName::Via), Why::ViaMissing, |value| {
        Via::fill(&mut message.via, value).map_err(|fault| fault.why)
    }));
    faults.check(required(message.first(HeaderName::From), Why::FromMissing, |value| {
        NameAddr::fill(&mut message.from, value, Why::From).map_err(|fault| fault.why)
    }));
    faults.check(required(message.first(HeaderName::To), Why::ToMissing, |value| {
        NameAddr::fill(&mut message.to, value, Why::To).map_err(|fault| fault.why)
    }));
    faults.check(required(message.call_id(), Why::CallIdMissing, call_id));
    message.cseq = faults.check(required(message.first(HeaderName::CSeq), Why::CSeqMissing, |value| {
        CSeq::parse(value).map_err(|fault| fault.why)
    }));
    if let (StartLine::Request { method, .. }, Some(cseq)) = (start, message.cseq)
        && cseq.method != method
    {
        faults.note(Why::CSeqMethod);
    }
    if let Some(value) = message.first(HeaderName::MaxForwards) {
        faults.check(max_forwards(value).map_err(|fault| fault.why));
    }
    match faults.first {
        None => Verdict::Right,
        Some(why) if !is_answerable(message) => Verdict::Drop(why),
        Some(_) if version_fault => Verdict::Refuse(505, Why::Version),
        Some(why) => Verdict::Refuse(400, why),
    }
}

/// Whether an answer can be built and may be sent: never to a response or an ACK (RFC 3261 §17.1.1.3).
fn is_answerable(message: &Message<'_>) -> bool {
    let has = |name| message.first(name).is_some_and(|value| !value.is_empty());
    message.method().is_some_and(|method| method != Method::Ack)
        && message.first(HeaderName::Via).is_some_and(|value| Via::parse_sent(value).is_some())
        && has(HeaderName::From)
        && has(HeaderName::To)
        && has(HeaderName::CallId)
        && has(HeaderName::CSeq)
}

#[inline]
fn required<'a, T>(
    value: Option<&'a [u8]>,
    missing: Why,
    read: impl FnOnce(&'a [u8]) -> Result<T, Why>,
) -> Result<T, Why> {
    value.ok_or(missing).and_then(read)
}

/// `word [ "@" word ]` (RFC 3261 §20.8).
#[inline]
fn call_id(value: &[u8]) -> Result<(), Why> {
    let (first, rest) = value.split_at(WORD.run(value));
    let is_right = match rest {
        [] => !first.is_empty(),
        [b'@', second @ ..] => !first.is_empty() && WORD.all(second),
        _ => false,
    };
    if is_right { Ok(()) } else { Err(Why::CallId) }
}

/// The body: as long as Content-Length says, else all there is (RFC 3261 §18.3).
#[inline]
fn body<'a>(content_length: Option<&'a [u8]>, after: &'a [u8]) -> Result<&'a [u8], Why> {
    let Some(value) = content_length else {
        return Ok(after);
    };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Why::ContentLength);
    }
    decimal(value)
        .and_then(|length| usize::try_from(length).ok())
        .and_then(|length| after.get(..length))
        .ok_or(Why::BodyTooShort)
}

/// Reads the first line. None: neither a request line nor a status line (or a status that is none; the fault is noted).
#[inline]
fn read_start<'a>(line: &'a [u8], faults: &mut Faults, version_fault: &mut bool) -> Option<StartLine<'a>> {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    let (method, rest) = line.split_at(TOKEN.run(line));
    // A method is a token and so has no slash: a line with one there can only be a status line.
    if rest.first() == Some(&b'/') {
        return read_status(line, faults);
    }
    let rest = rest.strip_prefix(b" ").filter(|_| !method.is_empty())?;
    let method = Method::from_bytes(method);
    let (uri, tail) = rest.split_at(memchr::memrchr(b' ', rest).unwrap_or(rest.len()));
    let Some(is_ours) = tail.strip_prefix(b" ").and_then(version) else {
        // `INVITE sip:x@y` and `INVITE sip:x@y SIP/2.0  ` are near enough to be answered; all else that starts with a word and
        // a blank is another protocol.
        let text = trim_end(rest);
        let is_near = memchr::memmem::find(text, b"SIP/").is_some() || has_scheme(text);
        if !is_near {
            return None;
        }
        faults.note(Why::StartLine);
        let (uri, _) = text.split_at(memchr::memchr(b' ', text).unwrap_or(text.len()));
        return Some(StartLine::Request { method, uri });
    };
    if !is_ours {
        *version_fault = true;
        faults.note(Why::Version);
    }
    Some(StartLine::Request { method, uri })
}

/// `"SIP" "/" 1*DIGIT "." 1*DIGIT`, the name in any case (RFC 3261 §7.1): whether it is 2.0. None: no SIP version.
#[inline]
fn version(bytes: &[u8]) -> Option<bool> {
    if bytes == b"SIP/2.0" {
        return Some(true);
    }
    let (name, number) = bytes.split_at_checked(4)?;
    let (major, minor) = number.split_at(memchr::memchr(b'.', number)?);
    let is_version = name.eq_ignore_ascii_case(b"SIP/") && DIGIT.all(major) && DIGIT.all(minor.get(1..)?);
    is_version.then(|| number == b"2.0")
}

/// `SIP/2.0 SP 3DIGIT SP reason`; some elements leave out the last blank when the reason is empty.
fn read_status<'a>(line: &'a [u8], faults: &mut Faults) -> Option<StartLine<'a>> {
    let (protocol, rest) = line.split_at(memchr::memchr(b' ', line)?);
    if !version(protocol)? {
        faults.note(Why::Version);
        return None;
    }
    let rest = rest.get(1..).unwrap_or_default();
    let (code, reason) = rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()));
    let status = decimal(code).filter(|_| code.len() == 3).and_then(|code| u16::try_from(code).ok());
    let Some(status @ 100..=699) = status else {
        faults.note(Why::StatusCode);
        return None;
    };
    Some(StartLine::Response { status, reason: reason.get(1..).unwrap_or_default() })
}

/// What bytes are that do not start with a line of SIP.
fn not_sip(bytes: &[u8]) -> Why {
    if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b'\0' | b' ' | b'\t')) {
        return Why::KeepAlive;
    }
    // RFC 8489 §5: two zero bits first, the magic cookie at offset 4.
    if bytes.first().is_some_and(|byte| byte & 0xC0 == 0) && bytes.get(4..8) == Some(&[0x21, 0x12, 0xA4, 0x42]) {
        return Why::Stun;
    }
    // SIP with line ends of another system.
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    if line.len() < bytes.len() && (line.ends_with(b" SIP/2.0") || line.starts_with(b"SIP/2.0 ")) {
        return Why::BareLineEnd;
    }
    Why::NotSip
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
