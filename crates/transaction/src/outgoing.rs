// SPDX-License-Identifier: Apache-2.0
//! Messages that go out. They can only be built through types of `sip` that refuse CR, LF and NUL, or from such messages.

use std::io::Write as _;
use std::sync::Arc;

use sip::answer::{Answer, ExtraHeader};
use sip::request::Request;
use sip::{HeaderName, Message, Method, Parsed, Why, parse};

use crate::error::Error;
use crate::key::{Key, KeyBuffer};

/// What a request means to the transaction layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invite,
    Ack,
    Other,
}

/// A request to be sent: written, read back and found well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRequest {
    bytes: Arc<[u8]>,
    kind: Kind,
    key: Key,
    /// Of an ACK; empty for all else.
    to_tag: Box<[u8]>,
}

impl OutgoingRequest {
    /// Refuses a request that lacks one of the header fields of RFC 3261 §8.1.1 or has one twice, or whose `CSeq` has another method.
    pub fn new(request: &Request<'_>) -> Result<Self, Error> {
        let mut written = Vec::with_capacity(1024);
        request.write(&mut written);
        Self::read(&written)
    }

    fn read(written: &[u8]) -> Result<Self, Error> {
        let message = match parse(written) {
            Parsed::Message(message) => message,
            Parsed::Refuse(refuse) => return Err(Error::Malformed(refuse.why)),
            Parsed::Drop(why) => return Err(Error::Malformed(why)),
        };
        let method = message.method().ok_or(Error::Malformed(Why::StartLine))?;
        let mut buffer = KeyBuffer::default();
        let (kind, to_tag, key_method) = match method {
            Method::Invite => (Kind::Invite, None, method),
            Method::Ack => (Kind::Ack, message.to().ok().and_then(|to| to.tag()), Method::Invite),
            _ => (Kind::Other, None, method),
        };
        buffer.read(&message, key_method).ok_or(Error::Malformed(Why::Via))?;
        let key = buffer.to_key();
        Ok(Self { bytes: written.into(), kind, key, to_tag: to_tag.unwrap_or_default().into() })
    }

    /// The whole message.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) const fn key(&self) -> &Key {
        &self.key
    }

    /// To tag of an ACK.
    pub(crate) fn to_tag(&self) -> &[u8] {
        &self.to_tag
    }
}

/// A response to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingResponse {
    status: u16,
    bytes: Arc<[u8]>,
}

impl OutgoingResponse {
    /// The answer to that request.
    pub fn new(answer: &Answer<'_>, request: &Message<'_>) -> Self {
        Self::write(answer, request, &mut Vec::with_capacity(1024))
    }

    /// [`Self::new`] by way of a buffer that is kept.
    pub(crate) fn write(answer: &Answer<'_>, request: &Message<'_>, buffer: &mut Vec<u8>) -> Self {
        buffer.clear();
        answer.write(request, buffer);
        Self { status: answer.status, bytes: buffer.as_slice().into() }
    }

    /// 100 to 699.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The whole message.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Arc<[u8]> {
        self.bytes
    }
}

/// The ACK for a final response other than 2xx (RFC 3261 §17.1.1.3): top Via, Request-URI, From, Call-ID, `CSeq` number and Route of the INVITE,
/// To of the response, and the credentials of the INVITE (§22.1). None: the INVITE is none, which [`OutgoingRequest`] does not let
/// happen.
pub(crate) fn ack_for_failure(invite: &[u8], to_line: &[u8]) -> Option<Arc<[u8]>> {
    let Parsed::Message(invite) = parse(invite) else { return None };
    let copied = [HeaderName::Route, HeaderName::Authorization, HeaderName::ProxyAuthorization];
    Some(follow_up("ACK", &invite, to_line, &copied, b"")?.as_slice().into())
}

/// Header fields as they stand in a message.
pub(crate) fn lines_of(headers: &[ExtraHeader<'_>]) -> Box<[u8]> {
    let mut lines = Vec::new();
    for header in headers {
        header.write(&mut lines);
    }
    lines.into()
}

/// The CANCEL of an INVITE (RFC 3261 §9.1): all as in the INVITE, To too, whatever tags responses brought; and `lines` of the user's.
pub(crate) fn cancel_for(invite: &[u8], lines: &[u8]) -> Option<OutgoingRequest> {
    let Parsed::Message(invite) = parse(invite) else { return None };
    let to = invite.header(HeaderName::To)?.line;
    OutgoingRequest::read(&follow_up("CANCEL", &invite, to, &[HeaderName::Route], lines)?).ok()
}

/// A request that shares its branch with the INVITE. Lines are copied as they stand.
fn follow_up(
    method: &str,
    invite: &Message<'_>,
    to_line: &[u8],
    copied: &[HeaderName],
    lines: &[u8],
) -> Option<Vec<u8>> {
    let via = invite.first(HeaderName::Via)?.get(..invite.via_top().ok()?.len)?;
    let mut out = Vec::with_capacity(512);
    for part in [method.as_bytes(), b" ", invite.request_uri()?, b" SIP/2.0\r\nVia: ", via, b"\r\nMax-Forwards: 70\r\n"]
    {
        out.extend_from_slice(part);
    }
    for line in [invite.header(HeaderName::From)?.line, to_line, invite.header(HeaderName::CallId)?.line] {
        out.extend_from_slice(line);
    }
    write!(out, "CSeq: {} {method}\r\n", invite.cseq().ok()?.number).ok()?;
    for header in invite.headers().iter().filter(|header| copied.contains(&header.name)) {
        out.extend_from_slice(header.line);
    }
    out.extend_from_slice(lines);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{a_response, an_invite, parsed, request, to_line};

    /// RFC 3261 §17.1.1.3, with its example's parts; §22.1 for the credentials.
    #[test]
    fn the_ack_for_a_failure_is_the_invites_but_for_to_and_method() {
        let invite = request(
            "INVITE",
            "x",
            &[
                ("Route", "<sip:p1.example;lr>"),
                ("Route", "<sip:p2.example;lr>"),
                ("Proxy-Authorization", "Digest username=\"a\""),
                ("Require", "100rel"),
            ],
        );
        let response = a_response(&invite, 486, "t1");
        let ack = ack_for_failure(invite.bytes(), to_line(&response)).unwrap();
        let (ack, invite) = (parsed(&ack), parsed(invite.bytes()));
        assert_eq!((ack.method(), ack.request_uri()), (Some(Method::Ack), invite.request_uri()));
        assert_eq!(ack.all(HeaderName::Via).collect::<Vec<_>>(), invite.all(HeaderName::Via).collect::<Vec<_>>());
        assert_eq!(ack.from().unwrap(), invite.from().unwrap());
        assert_eq!(ack.to().unwrap().tag(), Some(&b"t1"[..]));
        assert_eq!((ack.call_id(), ack.cseq().unwrap().number), (invite.call_id(), invite.cseq().unwrap().number));
        assert_eq!(ack.all(HeaderName::Route).collect::<Vec<_>>(), invite.all(HeaderName::Route).collect::<Vec<_>>());
        assert_eq!(ack.first(HeaderName::ProxyAuthorization), invite.first(HeaderName::ProxyAuthorization));
        assert_eq!((ack.first(HeaderName::Require), ack.body()), (None, &b""[..]));
    }

    /// RFC 3261 §9.1.
    #[test]
    fn the_cancel_is_the_invites_without_require_and_body() {
        let invite = request("INVITE", "x", &[("Route", "<sip:p1.example;lr>"), ("Require", "100rel")]);
        let reason = ExtraHeader::new("Reason", b"SIP;cause=200").unwrap();
        let cancel = cancel_for(invite.bytes(), &lines_of(&[reason])).unwrap();
        let (cancel, invite) = (parsed(cancel.bytes()), parsed(invite.bytes()));
        assert_eq!((cancel.method(), cancel.request_uri()), (Some(Method::Cancel), invite.request_uri()));
        assert_eq!(cancel.all(HeaderName::Via).collect::<Vec<_>>(), invite.all(HeaderName::Via).collect::<Vec<_>>());
        assert_eq!((cancel.from().unwrap(), cancel.to().unwrap()), (invite.from().unwrap(), invite.to().unwrap()));
        assert_eq!(
            (cancel.call_id(), cancel.cseq().unwrap().number),
            (invite.call_id(), invite.cseq().unwrap().number)
        );
        assert_eq!(cancel.first(HeaderName::Route), invite.first(HeaderName::Route));
        assert_eq!((cancel.first(HeaderName::Require), cancel.body()), (None, &b""[..]));
        assert_eq!(cancel.first(HeaderName::Reason), Some(&b"SIP;cause=200"[..]));
    }

    /// RFC 3261 §8.1.1: the core does not send what others would refuse.
    #[test]
    fn a_request_without_its_header_fields_or_with_two_of_them_is_refused() {
        use sip::answer::Token;
        use sip::request::{SentBy, Target};
        let refused = |headers: &[(&str, &str)]| {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| ExtraHeader::new(name, value.as_bytes()).unwrap()).collect();
            OutgoingRequest::new(&Request {
                method: Token::new(b"BYE").unwrap(),
                uri: Target::new(b"sip:b@h").unwrap(),
                sent_by: SentBy::new(b"UDP", b"h").unwrap(),
                branch: Token::new(b"x").unwrap(),
                headers: &headers,
                body: b"",
            })
            .unwrap_err()
        };
        let (from, to, id) = (("From", "<sip:a@h>;tag=f"), ("To", "<sip:b@h>;tag=t"), ("Call-ID", "c"));
        assert_eq!(refused(&[to, id, ("CSeq", "1 BYE")]), Error::Malformed(Why::FromMissing));
        assert_eq!(refused(&[from, to, id, ("CSeq", "1 INVITE")]), Error::Malformed(Why::CSeqMethod));
        assert_eq!(
            refused(&[from, to, id, ("CSeq", "1 BYE"), ("Content-Length", "0")]),
            Error::Malformed(Why::ContentLengthRepeated)
        );
    }

    #[test]
    fn a_message_is_shared_and_not_copied() {
        let invite = an_invite();
        assert!(Arc::ptr_eq(invite.bytes(), invite.clone().bytes()));
    }
}
