// SPDX-License-Identifier: Apache-2.0
//! What the call layer orders, checked while it still holds the pen: what is wrong is refused at once, and what is taken can be sent.

use std::net::{IpAddr, SocketAddr};

use guard::{Branches, ContactId};
use journal::{Kind, Transport};
use sip::answer::{ExtraHeader, Token};
use sip::request::{Request, SentBy};
use transaction::OutgoingRequest;

use crate::error::EdgeError;

/// A header field: name and value.
pub type HeaderLine = (String, Vec<u8>);

/// What an accepted REGISTER does to the contacts of its number: first some end, then others come into force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registration {
    /// These are in force no more.
    pub ended: Vec<ContactId>,
    /// These are in force, on the flow that the REGISTER came on.
    pub bound: Vec<BoundContact>,
}

/// A contact that comes into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundContact {
    /// Which contact.
    pub id: ContactId,
    /// Preference in thousandths.
    pub q: u16,
    /// Values of Path, with line feeds between them.
    pub path: Vec<u8>,
    /// Seconds.
    pub expires_s: u32,
}

/// A frame of the calls journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which.
    pub kind: Kind,
    /// What it says.
    pub payload: Vec<u8>,
    /// The message that it goes with waits for fdatasync(2), not only for write(2).
    pub is_durable: bool,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Respond {
    /// The number of the server transaction.
    pub transaction: u64,
    /// 100 to 699.
    pub status: u16,
    /// Beside those that every answer copies.
    pub headers: Vec<HeaderLine>,
    /// Empty = none.
    pub body: Vec<u8>,
    /// For To where it has none; empty = the edge's own.
    pub tag: Vec<u8>,
    /// Written first.
    pub frame: Option<Frame>,
    /// What an accepted REGISTER does, before its 200 leaves.
    pub registration: Option<Registration>,
}

/// The way to a far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `UDP`, `TCP` or `TLS`.
    pub transport: String,
    /// Host and port; None = the transport's usual one.
    pub remote: (String, Option<u16>),
    /// The address bound.
    pub local: (String, u16),
    /// The address that others see: it goes into Via.
    pub shown: (String, u16),
    /// Only over the connection that is there already.
    pub is_flow: bool,
    /// TLS: the name that the far end's certificate has to bear (RFC 5922 §4). Empty: only over a connection that is there already.
    pub domain: String,
}

/// A request to be sent. Via and Content-Length are the edge's.
#[derive(Debug, Clone, Copy)]
pub struct NewRequest<'a> {
    /// A token.
    pub method: &'a str,
    /// Request-URI.
    pub uri: &'a str,
    /// All others.
    pub headers: &'a [HeaderLine],
    /// Empty = none.
    pub body: &'a [u8],
    /// The value of Max-Forwards.
    pub max_forwards: u8,
}

/// A target as the edge uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) transport: Transport,
    pub(crate) remote: Host,
    pub(crate) local: SocketAddr,
    pub(crate) is_flow: bool,
    pub(crate) domain: String,
}

/// A far end by address, or by a name that is still to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Address(SocketAddr),
    Name(String, u16),
}

/// A request that can be sent.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) request: OutgoingRequest,
    pub(crate) goal: Goal,
    pub(crate) is_invite: bool,
    /// The number of its branch.
    pub(crate) branch: u64,
    /// Of the Call-ID.
    pub(crate) call_id: Vec<u8>,
}

/// An order that was taken.
pub(crate) enum Order {
    Respond(Respond),
    Send { transaction: u64, ready: Box<Ready>, frame: Option<Frame> },
    Acknowledge { transaction: u64, ready: Box<Ready> },
    Cancel { transaction: u64, headers: Vec<HeaderLine> },
    Open { tag: Vec<u8>, call_id: Vec<u8> },
    Close { tag: Vec<u8> },
    Append(Frame),
}

impl Goal {
    fn of(target: &Target) -> Result<Self, EdgeError> {
        let wrong = |what: &str| EdgeError::Order(format!("{what} is no target of this edge"));
        let transport = match target.transport.as_str() {
            "UDP" => Transport::Udp,
            "TCP" => Transport::Tcp,
            "TLS" => Transport::Tls,
            other => return Err(wrong(&format!("transport {other:?}"))),
        };
        let local: IpAddr =
            target.local.0.parse().map_err(|_| wrong(&format!("local address {:?}", target.local.0)))?;
        // RFC 3261 §19.1.2
        let usual_port = if transport == Transport::Tls { 5061 } else { 5060 };
        let (host, port) = (&target.remote.0, target.remote.1.unwrap_or(usual_port));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let remote = match bare.parse::<IpAddr>() {
            Ok(address) => Host::Address(SocketAddr::new(address, port)),
            Err(_) => Host::Name(host.clone(), port),
        };
        let local = SocketAddr::new(local, target.local.1);
        Ok(Self { transport, remote, local, is_flow: target.is_flow, domain: target.domain.clone() })
    }
}

impl Ready {
    /// Writes the request and reads it back.
    pub(crate) fn write(branches: &Branches, target: &Target, request: &NewRequest<'_>) -> Result<Self, EdgeError> {
        let goal = Goal::of(target)?;
        let hops = request.max_forwards.to_string();
        let mut headers = Vec::with_capacity(request.headers.len() + 1);
        headers.push(extra("Max-Forwards", hops.as_bytes())?);
        for (name, value) in request.headers {
            headers.push(extra(name, value)?);
        }
        let (number, branch) = branches.next();
        let wrong = |what: &str, error: &dyn std::fmt::Display| EdgeError::Order(format!("{what}: {error}"));
        let shown = match target.shown.0.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", target.shown.1),
            _ => format!("{}:{}", target.shown.0, target.shown.1),
        };
        let written = Request {
            method: Token::new(request.method.as_bytes()).map_err(|error| wrong("method", &error))?,
            uri: sip::request::Target::new(request.uri.as_bytes()).map_err(|error| wrong(request.uri, &error))?,
            sent_by: SentBy::new(target.transport.as_bytes(), shown.as_bytes())
                .map_err(|error| wrong(&shown, &error))?,
            branch: Token::new(&branch).map_err(|error| wrong("branch", &error))?,
            headers: &headers,
            body: request.body,
        };
        let outgoing = OutgoingRequest::new(&written).map_err(|error| wrong(request.method, &error))?;
        let is_call_id = |name: &str| name.eq_ignore_ascii_case("Call-ID") || name.eq_ignore_ascii_case("i");
        let call_id = request.headers.iter().find(|(name, _)| is_call_id(name)).map(|(_, value)| value.clone());
        Ok(Self {
            request: outgoing,
            goal,
            is_invite: request.method == "INVITE",
            branch: number,
            call_id: call_id.unwrap_or_default(),
        })
    }
}

fn extra<'a>(name: &'a str, value: &'a [u8]) -> Result<ExtraHeader<'a>, EdgeError> {
    let refused = |_| EdgeError::Header(format!("{name}: {}", value.escape_ascii()));
    ExtraHeader::new(name, value).map_err(refused)
}

/// Refuses header fields that would end a line early.
pub(crate) fn check_headers(headers: &[HeaderLine]) -> Result<(), EdgeError> {
    headers.iter().try_for_each(|(name, value)| extra(name, value).map(drop))
}

impl Respond {
    pub(crate) fn check(&self) -> Result<(), EdgeError> {
        check_headers(&self.headers)?;
        if !(100..700).contains(&self.status) {
            return Err(EdgeError::Order(format!("status {} is none of a response", self.status)));
        }
        let tag = Token::new(&self.tag);
        tag.map(drop).or_else(
            |error| {
                if self.tag.is_empty() { Ok(()) } else { Err(EdgeError::Order(format!("tag: {error}"))) }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            transport: "UDP".into(),
            remote: ("192.0.2.7".into(), None),
            local: ("192.0.2.1".into(), 5060),
            shown: ("198.51.100.1".into(), 5070),
            is_flow: false,
            domain: String::new(),
        }
    }

    fn headers(change: impl FnOnce(&mut Vec<HeaderLine>)) -> Vec<HeaderLine> {
        let mut headers: Vec<HeaderLine> =
            [("From", "<sip:a@h>;tag=f"), ("To", "<sip:b@h>"), ("Call-ID", "c"), ("CSeq", "1 INVITE")]
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .into();
        change(&mut headers);
        headers
    }

    fn written(target: &Target, uri: &str, headers: &[HeaderLine]) -> Result<Ready, EdgeError> {
        let request = NewRequest { method: "INVITE", uri, headers, body: b"v=0\r\n", max_forwards: 69 };
        Ready::write(&Branches::new([1; 16]), target, &request)
    }

    #[test]
    fn the_edge_writes_via_max_forwards_and_content_length() {
        let ready = written(&target(), "sip:b@192.0.2.7", &headers(|_| {})).unwrap();
        let text = String::from_utf8(ready.request.bytes().to_vec()).unwrap();
        assert!(
            text.starts_with(
                "INVITE sip:b@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5070;rport;branch=z9hG4bK"
            )
        );
        assert!(text.contains("\r\nMax-Forwards: 69\r\n") && text.ends_with("\r\nContent-Length: 5\r\n\r\nv=0\r\n"));
        assert_eq!((ready.is_invite, ready.call_id), (true, b"c".to_vec()));
        assert_eq!(ready.goal.remote, Host::Address("192.0.2.7:5060".parse().unwrap()));
    }

    #[test]
    fn tls_has_a_usual_port_of_its_own() {
        let tls = Target { transport: "TLS".into(), ..target() };
        let ready = written(&tls, "sip:b@192.0.2.7", &headers(|_| {})).unwrap();
        assert_eq!(ready.goal.remote, Host::Address("192.0.2.7:5061".parse().unwrap()));
        let text = String::from_utf8(ready.request.bytes().to_vec()).unwrap();
        assert!(text.contains("\r\nVia: SIP/2.0/TLS 198.51.100.1:5070;"), "{text}");
    }

    #[test]
    fn what_would_smuggle_a_line_in_or_go_nowhere_is_refused() {
        let uri = "sip:b@192.0.2.7";
        let code = |result: Result<Ready, EdgeError>| result.unwrap_err().code();
        for value in ["x\r\nY: z", "x\ny", "x\0"] {
            let headers = headers(|headers| headers.push(("Reason".into(), value.into())));
            assert_eq!(code(written(&target(), uri, &headers)), "header");
        }
        assert_eq!(code(written(&target(), "sip:b@h SIP/2.0\r\n", &headers(|_| {}))), "order");
        assert_eq!(code(written(&target(), uri, &headers(|headers| drop(headers.pop())))), "order");
        for change in [
            Target { transport: "SCTP".into(), ..target() },
            Target { local: ("here".into(), 1), ..target() },
            Target { shown: ("a b".into(), 1), ..target() },
        ] {
            assert_eq!(code(written(&change, uri, &headers(|_| {}))), "order");
        }
    }

    #[test]
    fn an_answer_is_checked_as_a_whole() {
        let good = Respond { status: 200, tag: b"t".to_vec(), ..Respond::default() };
        good.check().unwrap();
        for bad in [
            Respond { status: 99, ..good.clone() },
            Respond { status: 700, ..good.clone() },
            Respond { tag: b"a b".to_vec(), ..good.clone() },
            Respond { headers: vec![("X".into(), b"\r\n".to_vec())], ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
