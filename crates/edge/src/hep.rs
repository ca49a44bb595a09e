// SPDX-License-Identifier: Apache-2.0
//! Copies of traced messages for a Homer server, in HEP3 over UDP.
//!
//! The thread reads behind the ring, so the ring is its queue: it never holds up a call, and what was written over before it was sent is
//! counted as lost. Credentials are masked in the ring, so they are here.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use journal::Transport;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::trace::{Kind, Trace, Traced};
use guard::Snapshot;

/// How long a message may wait.
const EVERY: Duration = Duration::from_millis(100);

/// Where copies go (`[homer]` of the node's configuration).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Homer {
    /// Address and port of the server's HEP listener, UDP.
    pub address: SocketAddr,
    /// The number that this node has there.
    pub capture_id: u32,
    /// What the server asks of agents; empty for nothing.
    pub password: String,
}

/// What the sender counts.
#[derive(Debug, Default)]
pub(crate) struct HepCounters {
    pub(crate) sent: AtomicU64,
    /// Written over before they were sent, or refused by the kernel.
    pub(crate) lost: AtomicU64,
}

pub(crate) struct Sending {
    pub(crate) trace: Arc<Trace>,
    pub(crate) counters: Arc<HepCounters>,
    pub(crate) snapshot: Arc<Mutex<Arc<Snapshot>>>,
    pub(crate) homer: Homer,
    pub(crate) stop: Receiver<()>,
}

/// How far the ring was read, and the number of the entry that comes next.
#[derive(Default)]
struct Place {
    position: u64,
    next_seq: u64,
}

impl Sending {
    /// Send what comes into the ring until told to stop.
    pub(crate) fn serve(self, socket: &UdpSocket) {
        let mut place = Place::default();
        let mut bytes = Vec::new();
        loop {
            let is_over = self.stop.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
            self.turn(socket, &mut place, &mut bytes);
            if is_over {
                return;
            }
        }
    }

    /// Send what is new, or pass it over while that is switched off.
    fn turn(&self, socket: &UdpSocket, place: &mut Place, bytes: &mut Vec<u8>) {
        let (end, next_seq) = self.trace.end();
        if self.snapshot.lock().parameters.rf_hep_export == 0 {
            *place = Place { position: end, next_seq };
            return;
        }
        while place.position < end {
            let (entries, next) = self.trace.stretch(place.position);
            place.position = next;
            for entry in entries {
                self.count_lost(entry.seq.saturating_sub(place.next_seq));
                place.next_seq = entry.seq + 1;
                self.send(socket, &entry, bytes);
            }
        }
    }

    fn send(&self, socket: &UdpSocket, entry: &Traced, bytes: &mut Vec<u8>) {
        if !matches!(entry.kind, Kind::Received | Kind::Sent) {
            return;
        }
        encode(entry, &self.homer, bytes);
        if socket.send(bytes).is_ok() {
            self.counters.sent.fetch_add(1, Ordering::Relaxed);
        } else {
            self.count_lost(1);
        }
    }

    fn count_lost(&self, count: u64) {
        self.counters.lost.fetch_add(count, Ordering::Relaxed);
    }
}

/// Chunks of the generic vendor (HEP3, "The Hep Packet Protocol", revision 12).
mod chunk {
    pub(super) const FAMILY: u16 = 0x01;
    pub(super) const PROTOCOL: u16 = 0x02;
    pub(super) const SOURCE_V4: u16 = 0x03;
    pub(super) const DESTINATION_V4: u16 = 0x04;
    pub(super) const SOURCE_V6: u16 = 0x05;
    pub(super) const DESTINATION_V6: u16 = 0x06;
    pub(super) const SOURCE_PORT: u16 = 0x07;
    pub(super) const DESTINATION_PORT: u16 = 0x08;
    pub(super) const SECONDS: u16 = 0x09;
    pub(super) const MICROSECONDS: u16 = 0x0a;
    pub(super) const PAYLOAD_TYPE: u16 = 0x0b;
    pub(super) const CAPTURE_ID: u16 = 0x0c;
    pub(super) const PASSWORD: u16 = 0x0e;
    pub(super) const PAYLOAD: u16 = 0x0f;
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SIP: u8 = 1;

/// One HEP3 packet in place of what `out` held.
fn encode(entry: &Traced, homer: &Homer, out: &mut Vec<u8>) {
    let (source, destination) =
        if entry.kind == Kind::Received { (entry.remote, entry.local) } else { (entry.local, entry.remote) };
    out.clear();
    out.extend_from_slice(b"HEP3\0\0");
    let mut put = |kind: u16, value: &[u8]| {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&(value.len() as u16 + 6).to_be_bytes());
        out.extend_from_slice(value);
    };
    let is_v4 = source.is_ipv4() && destination.is_ipv4();
    put(chunk::FAMILY, &[if is_v4 { AF_INET } else { AF_INET6 }]);
    put(chunk::PROTOCOL, &[if entry.transport == Transport::Udp { UDP } else { TCP }]);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            put(chunk::SOURCE_V4, &from.octets());
            put(chunk::DESTINATION_V4, &to.octets());
        }
        (from, to) => {
            put(chunk::SOURCE_V6, &v6(from));
            put(chunk::DESTINATION_V6, &v6(to));
        }
    }
    put(chunk::SOURCE_PORT, &source.port().to_be_bytes());
    put(chunk::DESTINATION_PORT, &destination.port().to_be_bytes());
    put(chunk::SECONDS, &((entry.at_us / 1_000_000) as u32).to_be_bytes());
    put(chunk::MICROSECONDS, &((entry.at_us % 1_000_000) as u32).to_be_bytes());
    put(chunk::PAYLOAD_TYPE, &[SIP]);
    put(chunk::CAPTURE_ID, &homer.capture_id.to_be_bytes());
    if !homer.password.is_empty() {
        put(chunk::PASSWORD, homer.password.as_bytes());
    }
    put(chunk::PAYLOAD, &entry.content);
    let length = (out.len() as u16).to_be_bytes();
    if let Some(place) = out.get_mut(4..6) {
        place.copy_from_slice(&length);
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guard::Peer;

    const EMPTY: &[u8] = br#"{"version":1,"node":"n","realm":"r","tag_key":"00000000000000000000000000000000",
        "nonce_keys":[{"id":1,"key":"0000000000000000000000000000000000000000000000000000000000000000"}],
        "gateways":[],"phones":[],"lists":[],"parameters":PARAMETERS}"#;

    fn snapshot(hep_export: u64) -> Arc<Snapshot> {
        let whole: serde_json::Value =
            serde_json::from_slice(include_bytes!("../../guard/benches/snapshot.json")).unwrap();
        let mut parameters = whole["parameters"].clone();
        parameters["RF_HEP_EXPORT"] = hep_export.into();
        let json = std::str::from_utf8(EMPTY).unwrap().replace("PARAMETERS", &parameters.to_string());
        Arc::new(Snapshot::from_json(json.as_bytes()).unwrap())
    }

    fn sending(budget: usize) -> (Sending, UdpSocket, UdpSocket) {
        let homer = UdpSocket::bind("127.0.0.1:0").unwrap();
        homer.set_nonblocking(true).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(homer.local_addr().unwrap()).unwrap();
        let sending = Sending {
            trace: Arc::new(Trace::new(budget)),
            counters: Arc::default(),
            snapshot: Arc::new(Mutex::new(snapshot(1))),
            homer: Homer { address: homer.local_addr().unwrap(), capture_id: 7, password: String::new() },
            stop: crossbeam_channel::bounded(0).1,
        };
        (sending, socket, homer)
    }

    fn take(sending: &Sending, text: &str) {
        let peer = Peer {
            source: "[2001:db8::7]:5062".parse().unwrap(),
            local: "[2001:db8::1]:5060".parse().unwrap(),
            transport: Transport::Tcp,
            channel: 0,
        };
        sending.trace.take(Kind::Sent, 1_000_002, &peer, b"a@x", text.as_bytes());
    }

    fn arrived(homer: &UdpSocket) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; 65_535];
        std::iter::from_fn(|| homer.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())).collect()
    }

    #[test]
    fn a_packet_has_every_chunk_and_its_own_length() {
        let (sending, socket, homer) = sending(1 << 20);
        take(&sending, "hello");
        sending.turn(&socket, &mut Place::default(), &mut Vec::new());
        let [packet] = arrived(&homer).try_into().unwrap();
        let mut expected = b"HEP3\0\x80".to_vec();
        for (kind, value) in [
            (1, &[10][..]),
            (2, &[6]),
            (5, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            (6, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
            (7, &[0x13, 0xc4]),
            (8, &[0x13, 0xc6]),
            (9, &[0, 0, 0, 1]),
            (10, &[0, 0, 0, 2]),
            (11, &[1]),
            (12, &[0, 0, 0, 7]),
            (15, b"hello"),
        ] {
            expected.extend([0, 0, 0, kind, 0, value.len() as u8 + 6]);
            expected.extend(value);
        }
        assert_eq!(packet, expected);
    }

    #[test]
    fn what_comes_while_it_is_off_is_passed_over() {
        let (sending, socket, homer) = sending(1 << 20);
        let (mut place, mut bytes) = (Place::default(), Vec::new());
        *sending.snapshot.lock() = snapshot(0);
        take(&sending, "one");
        sending.turn(&socket, &mut place, &mut bytes);
        *sending.snapshot.lock() = snapshot(1);
        take(&sending, "two");
        sending.turn(&socket, &mut place, &mut bytes);
        let [packet] = arrived(&homer).try_into().unwrap();
        assert!(packet.ends_with(b"two"));
        assert_eq!(sending.counters.lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_was_written_over_before_it_was_sent_is_counted_as_lost() {
        let (sending, socket, homer) = sending(4096);
        for _ in 0..100 {
            take(&sending, &"x".repeat(900));
        }
        sending.turn(&socket, &mut Place::default(), &mut Vec::new());
        let sent = arrived(&homer).len() as u64;
        assert!(sent > 0);
        assert_eq!(sending.counters.lost.load(Ordering::Relaxed), 100 - sent);
        assert_eq!(sending.counters.sent.load(Ordering::Relaxed), sent);
    }

    #[test]
    fn remarks_are_not_sent() {
        let (sending, socket, homer) = sending(1 << 20);
        sending.trace.note(1, b"a@x", b"{}");
        sending.turn(&socket, &mut Place::default(), &mut Vec::new());
        assert!(arrived(&homer).is_empty());
    }
}
