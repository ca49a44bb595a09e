// SPDX-License-Identifier: Apache-2.0
//! An entry of the ring as it is read back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use guard::Peer;
use journal::Transport;
use sip::{Message, Parsed};

use super::ring::{Head, Kind};

/// The ends of what went over no wire.
pub(super) const NOWHERE: Peer = Peer {
    source: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    local: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    transport: Transport::Udp,
    channel: 0,
};

/// A message as it went over the wire, but for its credentials; or what the switch remarked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Rises by one with each entry.
    pub seq: u64,
    /// UTC microseconds.
    pub at_us: u64,
    /// What it is.
    pub kind: Kind,
    /// How it went.
    pub transport: Transport,
    /// The address of ours.
    pub local: SocketAddr,
    /// The far end's.
    pub remote: SocketAddr,
    /// Bytes on the wire; `content` may be cut.
    pub length: u32,
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// First line without its end; empty for a remark.
    pub start_line: Vec<u8>,
    /// Status of a response, 0 for anything else.
    pub status: u16,
    /// Method of a request; of a response the one in `CSeq`.
    pub method: Vec<u8>,
    /// Number in `CSeq`.
    pub cseq: u32,
    /// The user of From, of To, and of the Request-URI where there is one.
    pub users: Vec<Vec<u8>>,
    /// Whether the body is SDP.
    pub has_sdp: bool,
    /// The message; of a note its text, of a link the other Call-ID.
    pub content: Vec<u8>,
}

impl Traced {
    pub(super) fn read(head: &Head, text: &[u8]) -> Self {
        let mut entry = Self {
            seq: head.seq,
            at_us: head.at_us,
            kind: head.kind,
            transport: head.transport,
            local: head.local,
            remote: head.remote,
            length: head.length,
            call_id: Vec::new(),
            start_line: Vec::new(),
            status: 0,
            method: Vec::new(),
            cseq: 0,
            users: Vec::new(),
            has_sdp: false,
            content: Vec::new(),
        };
        match head.kind {
            Kind::Received | Kind::Sent => {
                entry.content = text.to_vec();
                with_message(text, |message| entry.fill(message));
                if entry.start_line.is_empty() {
                    entry.start_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
                }
                entry.start_line.truncate(entry.start_line.trim_ascii_end().len());
            }
            Kind::Note | Kind::Link => {
                let mut parts = text.splitn(2, |byte| *byte == b'\n');
                entry.call_id = parts.next().unwrap_or_default().to_vec();
                entry.content = parts.next().unwrap_or_default().to_vec();
            }
        }
        entry
    }

    fn fill(&mut self, message: &Message<'_>) {
        self.call_id = message.call_id().unwrap_or_default().to_vec();
        self.start_line = message.start_line().to_vec();
        self.status = message.status().unwrap_or(0);
        if let Ok(cseq) = message.cseq() {
            self.cseq = cseq.number;
            self.method = cseq.method.as_bytes().to_vec();
        }
        if let Some(method) = message.method() {
            self.method = method.as_bytes().to_vec();
        }
        let uris =
            [message.from().ok().map(|from| from.uri), message.to().ok().map(|to| to.uri), message.request_uri()];
        self.users = uris.into_iter().flatten().map(|uri| guard::user_of(uri).to_vec()).collect();
        let kind = message.first(sip::HeaderName::ContentType).unwrap_or_default();
        self.has_sdp = kind.get(..15).is_some_and(|start| start.eq_ignore_ascii_case(b"application/sdp"));
    }
}

/// The Call-ID of a message; empty where there is none.
pub fn call_id_of(bytes: &[u8]) -> &[u8] {
    match sip::parse(bytes) {
        Parsed::Message(message) => message.call_id().unwrap_or_default(),
        Parsed::Refuse(refuse) => refuse.message.call_id().unwrap_or_default(),
        Parsed::Drop(_) => b"",
    }
}

/// A message that was cut is malformed by its length alone.
fn with_message(bytes: &[u8], read: impl FnOnce(&Message<'_>)) {
    match sip::parse(bytes) {
        Parsed::Message(message) => read(&message),
        Parsed::Refuse(refuse) => read(&refuse.message),
        Parsed::Drop(_) => {}
    }
}

/// What the ring keeps of a remark: a Call-ID has no line end in it.
pub(super) fn remark(call_id: &[u8], text: &[u8]) -> Vec<u8> {
    [call_id, b"\n", text].concat()
}
