// SPDX-License-Identifier: Apache-2.0
//! Requests that we send: a request line, our Via, the header fields given, a body (RFC 3261 §8.1.1, §18.1.1, RFC 3581 §3).
//!
//! All parts go through types that refuse what would end a line or a field early, so no header field can be smuggled in. Whether the
//! six header fields of RFC 3261 §8.1.1 are all given is for [`crate::parse`] to say of what was written.

use crate::answer::{ExtraHeader, Token, write_body};
use crate::error::{Error, Why};
use crate::uri::parse_uri;
use crate::via::Via;

/// A URI as it stands in a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'t>(&'t [u8]);

impl<'t> Target<'t> {
    /// Refuses what is no URI; so no blank and no control character is in it.
    pub fn new(uri: &'t [u8]) -> Result<Self, Error> {
        parse_uri(uri).map(|_| Self(uri))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &'t [u8] {
        self.0
    }
}

/// Where answers to a request are to come: transport and address as the top Via names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentBy<'t> {
    transport: Token<'t>,
    host_port: &'t [u8],
}

impl<'t> SentBy<'t> {
    /// Refuses a transport that is no token, and a sent-by that is no host with or without a port.
    pub fn new(transport: &'t [u8], host_port: &'t [u8]) -> Result<Self, Error> {
        let transport = Token::new(transport)?;
        if let Some(at) = host_port.iter().position(|byte| !byte.is_ascii_graphic()) {
            return Err(Error::at(Why::Injection, at));
        }
        let value = [b"SIP/2.0/UDP ", host_port].concat();
        match Via::parse(&value) {
            Ok(via) if via.len == value.len() && via.params().count() == 0 => Ok(Self { transport, host_port }),
            _ => Err(Error::at(Why::Via, 0)),
        }
    }
}

/// A request to be written.
#[derive(Clone, Copy, Debug)]
pub struct Request<'t> {
    /// Method.
    pub method: Token<'t>,
    /// Request-URI.
    pub uri: Target<'t>,
    /// Transport and address of the Via.
    pub sent_by: SentBy<'t>,
    /// What makes the branch unique; the magic cookie is written in front of it (RFC 3261 §8.1.1.7).
    pub branch: Token<'t>,
    /// All other header fields but Content-Length, in this order.
    pub headers: &'t [ExtraHeader<'t>],
    /// Body; its Content-Type goes into `headers`.
    pub body: &'t [u8],
}

impl Request<'_> {
    /// Appends the request to `out` and gives the number of bytes. The Via asks for `rport`.
    pub fn write(&self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        for part in [self.method.as_bytes(), b" ", self.uri.0, b" SIP/2.0\r\nVia: SIP/2.0/"] {
            out.extend_from_slice(part);
        }
        for part in [self.sent_by.transport.as_bytes(), b" ", self.sent_by.host_port, b";rport;branch=", Via::COOKIE] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(self.branch.as_bytes());
        out.extend_from_slice(b"\r\n");
        for header in self.headers {
            header.write(out);
        }
        write_body(self.body, out);
        out.len().saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeaderName, Method, Parsed, parse};

    /// RFC 3261 §8.1.1, RFC 3581 §3.
    #[test]
    fn a_request_with_the_six_header_fields_reads_back() {
        let headers = [
            ("Max-Forwards", "70"),
            ("From", "<sip:a@192.0.2.1>;tag=f"),
            ("To", "<sip:b@192.0.2.2>"),
            ("Call-ID", "c@192.0.2.1"),
            ("CSeq", "7 MESSAGE"),
            ("Content-Type", "text/plain"),
        ]
        .map(|(name, value)| ExtraHeader::new(name, value.as_bytes()).unwrap());
        let request = Request {
            method: Token::new(b"MESSAGE").unwrap(),
            uri: Target::new(b"sip:b@192.0.2.2").unwrap(),
            sent_by: SentBy::new(b"UDP", b"192.0.2.1:5060").unwrap(),
            branch: Token::new(b"x1").unwrap(),
            headers: &headers,
            body: b"hello",
        };
        let mut out = Vec::new();
        assert_eq!(request.write(&mut out), out.len());
        let Parsed::Message(message) = parse(&out) else { panic!("{}", out.escape_ascii()) };
        assert_eq!((message.method(), message.request_uri()), (Some(Method::Message), Some(&b"sip:b@192.0.2.2"[..])));
        let via = message.via_top().unwrap();
        assert_eq!((via.host, via.port, via.branch), (&b"192.0.2.1"[..], Some(5060), Some(&b"z9hG4bKx1"[..])));
        assert_eq!(via.rport, Some(None));
        assert_eq!((message.first(HeaderName::CSeq), message.body()), (Some(&b"7 MESSAGE"[..]), &b"hello"[..]));
    }

    #[test]
    fn nothing_that_ends_a_line_or_a_field_early_can_be_written() {
        for bad in ["sip:a@b\r\nX: y", "sip:a@b SIP/2.0", "", "nothing", "sip:a b@c", "sip:a@b\0"] {
            assert!(Target::new(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for bad in
            ["", "a b", "a;branch=x", "a, SIP/2.0/UDP b", "a\r\n", "a\r\n ", " a", "a ", "a:0x", "a:70000", "[::1"]
        {
            assert!(SentBy::new(b"UDP", bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(SentBy::new(b"U D", b"a").is_err());
        assert!(SentBy::new(b"TLS", b"[2001:db8::1]:5061").is_ok());
    }
}
