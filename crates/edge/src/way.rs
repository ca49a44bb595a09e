// SPDX-License-Identifier: Apache-2.0
//! Where messages of the transactions go, and the sending of what a turn has gathered.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use guard::Peer;
use journal::Transport;
use transaction::TransactionId;

use crate::connections::FarEnd;
use crate::order::{Goal, Host};
use crate::shared::Shared;
use crate::sys::{self, BATCH};

/// What a destination is to the transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From a listener, by its number.
    Udp {
        listener: usize,
        to: SocketAddr,
        /// Of ours, where the listener has several.
        from: Option<IpAddr>,
    },
    /// On a connection.
    Stream { connection: u64 },
}

struct Unsent {
    way: Way,
    bytes: Arc<[u8]>,
    transaction: Option<TransactionId>,
}

/// Gathers messages and sends them in batches.
pub(crate) struct Outbox {
    shared: Arc<Shared>,
    send: sys::Send,
    unsent: Vec<Unsent>,
}

impl Outbox {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, send: sys::Send::new(), unsent: Vec::with_capacity(256) }
    }

    /// The way to a far end; None: there is none from here. A connection that does not exist yet is begun.
    pub(crate) fn way(&self, goal: &Goal) -> Option<Way> {
        let Host::Address(to) = goal.remote else { return None };
        match goal.transport {
            Transport::Udp => self.udp_from(goal.local, to),
            transport => {
                let far = FarEnd { transport, address: to, domain: goal.domain.clone() };
                let connection = self.shared.connection_to(far, goal.local, goal.is_flow)?;
                Some(Way::Stream { connection })
            }
        }
    }

    /// The listener that is bound to `local`; else one that takes what comes to it; else any of the family.
    fn udp_from(&self, local: SocketAddr, to: SocketAddr) -> Option<Way> {
        let listeners = || self.shared.udp.iter().enumerate().filter(|(_, udp)| udp.address.is_ipv4() == to.is_ipv4());
        let (listener, udp) = listeners()
            .find(|(_, udp)| udp.address == local)
            .or_else(|| listeners().find(|(_, udp)| udp.is_wildcard() && udp.address.port() == local.port()))
            .or_else(|| listeners().next())?;
        let is_ours = udp.is_wildcard() && local.is_ipv4() == to.is_ipv4() && !local.ip().is_unspecified();
        Some(Way::Udp { listener, to, from: is_ours.then(|| local.ip()) })
    }

    /// Send at the next [`Self::flush`]; a failure is told by the transaction.
    pub(crate) fn push(&mut self, way: Way, bytes: Arc<[u8]>, transaction: Option<TransactionId>) {
        if self.shared.trace.is_on()
            && let Some(peer) = self.peer(way)
        {
            self.shared.trace.sent(sys::now().utc_us, &peer, &bytes);
        }
        self.unsent.push(Unsent { way, bytes, transaction });
    }

    /// The two ends of a way, for the trace.
    fn peer(&self, way: Way) -> Option<Peer> {
        match way {
            Way::Udp { listener, to, from } => {
                let address = self.shared.udp.get(listener)?.address;
                let local = SocketAddr::new(from.unwrap_or(address.ip()), address.port());
                Some(Peer { source: to, local, transport: Transport::Udp, channel: listener as u64 })
            }
            Way::Stream { connection } => self.shared.connections.lock().peer(connection),
        }
    }

    /// Send everything; the transactions whose message cannot be sent at all.
    pub(crate) fn flush(&mut self) -> Vec<TransactionId> {
        let mut failed = Vec::new();
        let unsent = std::mem::take(&mut self.unsent);
        for run in unsent.chunk_by(|a, b| is_same_socket(a.way, b.way)) {
            match run.first().map(|first| first.way) {
                Some(Way::Udp { listener, .. }) => self.send_datagrams(listener, run, &mut failed),
                _ => self.hand_over(run, &mut failed),
            }
        }
        self.unsent = unsent;
        self.unsent.clear();
        failed
    }

    fn send_datagrams(&mut self, listener: usize, run: &[Unsent], failed: &mut Vec<TransactionId>) {
        let Some(udp) = self.shared.udp.get(listener) else { return };
        let is_wildcard = udp.is_wildcard();
        for chunk in run.chunks(BATCH) {
            let datagrams = chunk.iter().map(|unsent| {
                let (to, from) = match unsent.way {
                    Way::Udp { to, from, .. } => (to, from),
                    // A run has one socket.
                    Way::Stream { .. } => (udp.address, None),
                };
                sys::Outgoing { bytes: &unsent.bytes, to, from: from.filter(|_| is_wildcard) }
            });
            // The known sources' socket of the pair may fragment.
            self.send.send_each(&udp.known, datagrams, |index, error| {
                if let (false, Some(Unsent { transaction: Some(id), .. })) = (is_lost(error), chunk.get(index)) {
                    failed.push(*id);
                }
            });
        }
    }

    fn hand_over(&self, run: &[Unsent], failed: &mut Vec<TransactionId>) {
        for Unsent { way, bytes, transaction } in run {
            let Way::Stream { connection } = way else { continue };
            let outgoing = self.shared.connections.lock().outgoing_of_transaction(*connection);
            if outgoing.is_none_or(|outgoing| outgoing.try_send(Arc::clone(bytes)).is_err()) {
                failed.extend(transaction);
            }
        }
    }
}

/// A full buffer is as good as a datagram lost on the way: it is sent again. That of the interface is told too, since the sockets hear
/// errors (`IP_RECVERR`, ip(7)); without that the kernel drops the datagram and says nothing.
fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

fn is_same_socket(a: Way, b: Way) -> bool {
    match (a, b) {
        (Way::Udp { listener: a, .. }, Way::Udp { listener: b, .. }) => a == b,
        (Way::Stream { .. }, Way::Stream { .. }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(local: &str, to: &str) -> Goal {
        let remote = Host::Address(to.parse().unwrap());
        Goal { transport: Transport::Udp, remote, local: local.parse().unwrap(), is_flow: false, domain: String::new() }
    }

    #[test]
    fn datagrams_leave_from_the_listener_that_is_asked_for_or_one_of_the_family() {
        let shared = Arc::new(Shared::on_loopback(1 << 16));
        let bound = shared.udp[0].address.to_string();
        let outbox = Outbox::new(shared);
        let to = "127.0.0.1:9".parse().unwrap();
        let way = Some(Way::Udp { listener: 0, to, from: None });
        assert_eq!(outbox.way(&goal(&bound, "127.0.0.1:9")), way);
        assert_eq!(outbox.way(&goal("192.0.2.1:5060", "127.0.0.1:9")), way);
        assert_eq!(outbox.way(&goal(&bound, "[::1]:9")), None);
        let name = Goal { remote: Host::Name("carrier.example".into(), 5060), ..goal(&bound, "127.0.0.1:9") };
        assert_eq!(outbox.way(&name), None);
    }

    /// RFC 3261 §18.4: only what cannot be sent at all ends its transaction.
    #[test]
    fn a_datagram_that_found_no_room_is_lost_and_one_that_has_no_way_is_refused() {
        let is_lost = |code| is_lost(&io::Error::from_raw_os_error(code));
        assert!(is_lost(libc::EAGAIN) && is_lost(libc::ENOBUFS));
        for refused in [libc::ENETUNREACH, libc::EINVAL, libc::EMSGSIZE, libc::EPERM] {
            assert!(!is_lost(refused), "{refused}");
        }
    }

    #[test]
    fn what_a_turn_gathered_arrives_and_what_the_kernel_refuses_is_told() {
        let shared = Arc::new(Shared::on_loopback(1 << 16));
        let phone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        phone.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut outbox = Outbox::new(shared);
        let way = |to| Way::Udp { listener: 0, to, from: None };
        let id = TransactionId::from_bits(7);
        for text in ["one", "two"] {
            outbox.push(way(phone.local_addr().unwrap()), text.as_bytes().into(), Some(id));
        }
        // Port 0 is nobody's.
        outbox.push(way("127.0.0.1:0".parse().unwrap()), b"lost"[..].into(), Some(TransactionId::from_bits(8)));
        outbox.push(Way::Stream { connection: 99 }, b"lost"[..].into(), Some(TransactionId::from_bits(9)));
        assert_eq!(outbox.flush(), [8, 9].map(TransactionId::from_bits));
        let mut buffer = [0; 16];
        for text in ["one", "two"] {
            let length = phone.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
        }
        assert!(outbox.flush().is_empty());
    }
}
