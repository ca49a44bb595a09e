// SPDX-License-Identifier: Apache-2.0
//! Messages of a call, as both sides write them.

use std::io::Write as _;
use std::net::SocketAddr;

use super::fields::Fields;

/// A request, before its body.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Request-URI.
    pub(super) uri: &'a [u8],
    pub(super) from_address: SocketAddr,
    pub(super) branch: &'a str,
    /// Values of Route, top first.
    pub(super) routes: &'a [Box<[u8]>],
    pub(super) from: &'a [u8],
    pub(super) to: &'a [u8],
    pub(super) call_id: &'a [u8],
    pub(super) cseq: u32,
    pub(super) has_sdp: bool,
}

impl Request<'_> {
    /// Write it over what `out` held.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        put(out, &[self.method.as_bytes(), b" ", self.uri, b" SIP/2.0\r\n"]);
        let (address, branch) = (self.from_address, self.branch);
        let _ = write!(out, "Via: SIP/2.0/UDP {address};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n");
        for route in self.routes {
            put(out, &[b"Route: ", route, b"\r\n"]);
        }
        put(out, &[b"From: ", self.from, b"\r\nTo: ", self.to, b"\r\nCall-ID: ", self.call_id]);
        let _ = write!(out, "\r\nCSeq: {} {}\r\nContact: <sip:drill@{address}>\r\n", self.cseq, self.method);
        body(out, self.has_sdp.then_some(address));
    }
}

/// A response to `request` over what `out` held; `tag` goes into a To without one.
pub(super) fn respond(
    request: &Fields<'_>,
    status: u16,
    tag: &str,
    ours: SocketAddr,
    has_sdp: bool,
    out: &mut Vec<u8>,
) {
    out.clear();
    let _ = write!(out, "SIP/2.0 {status} {}\r\n", phrase(status));
    for via in &request.vias {
        put(out, &[via, b"\r\n"]);
    }
    if (101..300).contains(&status) {
        for route in &request.record_routes {
            put(out, &[b"Record-Route: ", route, b"\r\n"]);
        }
    }
    put(out, &[b"From: ", request.from, b"\r\nTo: ", request.to]);
    if status > 100 && Fields::tag(request.to).is_none() {
        put(out, &[b";tag=", tag.as_bytes()]);
    }
    put(out, &[b"\r\nCall-ID: ", request.call_id, b"\r\nCSeq: ", request.cseq, b"\r\n"]);
    if (101..300).contains(&status) {
        let _ = write!(out, "Contact: <sip:drill@{ours}>\r\n");
    }
    body(out, has_sdp.then_some(ours));
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Answer",
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn body(out: &mut Vec<u8>, sdp_from: Option<SocketAddr>) {
    let Some(address) = sdp_from else {
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        return;
    };
    let (ip, kind) = (address.ip(), if address.is_ipv4() { "IP4" } else { "IP6" });
    let sdp = format!(
        "v=0\r\no=drill 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 101\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    );
    let _ = write!(out, "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
}
