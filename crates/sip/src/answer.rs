// SPDX-License-Identifier: Apache-2.0
//! Answers: a status line and copies of what the request brought (RFC 3261 §8.2.6, RFC 3581 §4).
//!
//! Via, From, To, Call-ID and `CSeq` are copied byte for byte, folds included; the parser has seen that no CR or LF stands alone in
//! them. All that is added goes through types that refuse CR, LF and NUL, so no header field can be smuggled in.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::class::TOKEN;
use crate::error::{Error, Why};
use crate::message::{Header, Message};
use crate::name::HeaderName;
use crate::scan::trim_end;
use crate::via::{Span, Via};

/// A token: what a tag may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t>(&'t [u8]);

impl<'t> Token<'t> {
    /// Refuses what is no token.
    pub fn new(token: &'t [u8]) -> Result<Self, Error> {
        if TOKEN.all(token) { Ok(Self(token)) } else { Err(Error::at(Why::Injection, TOKEN.run(token))) }
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &'t [u8] {
        self.0
    }
}

/// Text without CR, LF and NUL: a reason phrase, a header field value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'t>(&'t [u8]);

impl<'t> Text<'t> {
    /// Refuses text with a CR, an LF or a NUL.
    pub fn new(text: &'t [u8]) -> Result<Self, Error> {
        match memchr::memchr3(b'\r', b'\n', 0, text) {
            None => Ok(Self(text)),
            Some(at) => Err(Error::at(Why::Injection, at)),
        }
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &'t [u8] {
        self.0
    }
}

/// A header field that is added to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraHeader<'t> {
    name: Token<'t>,
    value: Text<'t>,
}

impl<'t> ExtraHeader<'t> {
    /// Refuses a name that is no token and a value with a CR, an LF or a NUL.
    pub fn new(name: &'t str, value: &'t [u8]) -> Result<Self, Error> {
        Ok(Self { name: Token::new(name.as_bytes())?, value: Text::new(value)? })
    }

    /// Appends the field as a line of a message.
    pub fn write(&self, out: &mut Vec<u8>) {
        for part in [self.name.0, b": ", self.value.0, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// An answer to be written.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'t> {
    /// 100 to 699.
    pub status: u16,
    /// Reason phrase; None = the one of the RFC.
    pub reason: Option<Text<'t>>,
    /// Where the request came from: fills `received` and `rport` of the top Via.
    pub source: SocketAddr,
    /// Tag to add where To has none; None leaves To as it is (100).
    pub to_tag: Option<Token<'t>>,
    /// Header fields to add, in this order.
    pub extra: &'t [ExtraHeader<'t>],
    /// Body; its Content-Type goes into `extra`.
    pub body: &'t [u8],
}

impl<'t> Answer<'t> {
    /// An answer without tag, further header fields or body.
    pub const fn new(status: u16, source: SocketAddr) -> Self {
        Self { status, reason: None, source, to_tag: None, extra: &[], body: &[] }
    }

    /// The same with a tag for To.
    #[must_use]
    pub const fn with_tag(mut self, tag: Token<'t>) -> Self {
        self.to_tag = Some(tag);
        self
    }

    /// The same with further header fields.
    #[must_use]
    pub const fn with_extra(mut self, extra: &'t [ExtraHeader<'t>]) -> Self {
        self.extra = extra;
        self
    }

    /// Appends the answer to `out` and gives the number of bytes. Of a request without Via, From, To, Call-ID or `CSeq` what is there is
    /// copied; the parser drops such requests, so they do not come here.
    pub fn write(&self, request: &Message<'_>, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        write_status(self.status, self.reason, out);
        for header in request.headers() {
            // Where a malformed request has two of them, an answer with both would be malformed too.
            let is_first = request.header(header.name).is_some_and(|first| std::ptr::eq(first, header));
            match header.name {
                HeaderName::Via if is_first => self.write_top_via(request, header, out),
                HeaderName::Via => out.extend_from_slice(header.line),
                HeaderName::To if is_first => self.write_to(request, header, out),
                HeaderName::From | HeaderName::CallId | HeaderName::CSeq if is_first => {
                    out.extend_from_slice(header.line);
                }
                // RFC 3261 §12.1.1: answers that make a dialog carry the route set back.
                HeaderName::RecordRoute if matches!(self.status, 101..=299) => {
                    out.extend_from_slice(header.line);
                }
                // RFC 3261 §8.2.6.1.
                HeaderName::Timestamp if self.status == 100 && is_first => {
                    out.extend_from_slice(header.line);
                }
                _ => {}
            }
        }
        for header in self.extra {
            header.write(out);
        }
        write_body(self.body, out);
        out.len().saturating_sub(before)
    }

    /// Copies the line of the top Via with `received` and `rport` as RFC 3261 §18.2.1 and RFC 3581 §4 want them. What the sender itself wrote
    /// there is replaced: it says where answers go, and only the socket knows that.
    #[inline]
    fn write_top_via(&self, request: &Message<'_>, header: &Header<'_>, out: &mut Vec<u8>) {
        let via = match request.via {
            Some(via) => via,
            // Parameters that cannot be read stay; ours go in front of them.
            None => match Via::parse_sent(header.value) {
                Some(via) => via,
                None => return out.extend_from_slice(header.line),
            },
        };
        let address = self.source.ip().to_canonical();
        let wants_received = via.rport.is_some() || via.received_at.is_some() || !is_address(via.host, address);
        if !wants_received {
            return out.extend_from_slice(header.line);
        }
        let value_at = trim_end(header.line).len().saturating_sub(header.value.len());
        let (before, rest) = header.line.split_at(value_at);
        let Some((top, after)) = rest.split_at_checked(via.len) else {
            return out.extend_from_slice(header.line);
        };
        out.extend_from_slice(before);
        write_without(top, via.received_at, via.rport_at, out);
        out.extend_from_slice(b";received=");
        write_address(address, out);
        if via.rport.is_some() {
            out.extend_from_slice(b";rport=");
            write_number(u64::from(self.source.port()), out);
        }
        out.extend_from_slice(after);
    }

    #[inline]
    fn write_to(&self, request: &Message<'_>, header: &Header<'_>, out: &mut Vec<u8>) {
        let has_tag = || match request.to {
            Some(to) => to.tag().is_some(),
            None => memchr::memmem::find(&header.value.to_ascii_lowercase(), b"tag").is_some(),
        };
        match self.to_tag {
            Some(tag) if !has_tag() => {
                out.extend_from_slice(trim_end(header.line));
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(tag.0);
                out.extend_from_slice(b"\r\n");
            }
            _ => out.extend_from_slice(header.line),
        }
    }
}

/// Writes Content-Length, the empty line and the body.
pub(crate) fn write_body(body: &[u8], out: &mut Vec<u8>) {
    if body.is_empty() {
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    } else {
        out.extend_from_slice(b"Content-Length: ");
        write_number(body.len() as u64, out);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }
}

/// Writes `bytes` without two parts.
fn write_without(bytes: &[u8], one: Option<Span>, other: Option<Span>, out: &mut Vec<u8>) {
    let (first, second) = match (one, other) {
        (Some(one), Some(other)) if one.start > other.start => (Some(other), Some(one)),
        pair => pair,
    };
    let mut from = 0;
    for span in [first, second].into_iter().flatten() {
        out.extend_from_slice(bytes.get(from..span.start).unwrap_or_default());
        from = span.end;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
}

/// Whether the host of a sent-by is this address.
#[inline]
fn is_address(host: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => std::str::from_utf8(host).is_ok_and(|host| host.parse() == Ok(address)),
        IpAddr::V6(address) => crate::uri::ipv6(host) == Some(address),
    }
}

fn write_status(status: u16, reason: Option<Text<'_>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 ");
    write_number(u64::from(status), out);
    out.push(b' ');
    out.extend_from_slice(reason.map_or_else(|| reason_phrase(status).as_bytes(), |reason| reason.0));
    out.extend_from_slice(b"\r\n");
}

fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                write_number(u64::from(octet), out);
            }
        }
        // RFC 3261 §25.1: `received` holds an IPv6 address without brackets. Writing to a Vec cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// Decimal without the formatting machinery, for the way of every refusal.
#[inline]
#[allow(clippy::arithmetic_side_effects)] // division by a constant, and 20 digits hold any u64
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut used = 0_usize;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// The reason phrase that the RFCs give a status; the name of its class where they give none.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        199 => "Early Dialog Terminated",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 | 606 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        428 => "Use Identity Header",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity-Info",
        437 => "Unsupported Certificate",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        555 => "Push Notification Service Not Supported",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        607 => "Unwanted",
        608 => "Rejected",
        _ => class_phrase(status),
    }
}

/// The name of the class of a status (RFC 3261 §7.2).
const fn class_phrase(status: u16) -> &'static str {
    match status / 100 {
        1 => "Session Progress",
        2 => "OK",
        3 => "Redirection",
        4 => "Client Failure",
        5 => "Server Failure",
        _ => "Global Failure",
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
