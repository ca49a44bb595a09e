// SPDX-License-Identifier: Apache-2.0
//! Connections and the ways out on them, by number and by far end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use guard::Peer;
use journal::Transport;
use tokio::sync::mpsc;

/// Messages that may wait for one connection. Room for them is taken as they come.
pub(crate) const OUTGOING: usize = 1024;

/// The far end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FarEnd {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
    /// TLS: the name that its certificate bears (RFC 5922 §4). Empty: it showed none; of a search: any.
    pub(crate) domain: String,
}

impl FarEnd {
    /// A connection that no name vouches for is not begun.
    pub(crate) fn may_be_opened(&self) -> bool {
        self.transport != Transport::Tls || !self.domain.is_empty()
    }

    fn of_any_name(&self) -> Self {
        Self { domain: String::new(), ..self.clone() }
    }
}

/// A connection's way out.
pub(crate) struct Connection {
    /// None once the far end has had its last answer; the connection counts until it is closed.
    outgoing: Option<mpsc::Sender<Arc<[u8]>>>,
    far: FarEnd,
    local: SocketAddr,
    /// A transaction has sent on it, and wants to hear of its end.
    is_used: bool,
    /// Live calls that came on it.
    calls: usize,
}

impl Connection {
    pub(crate) const fn new(far: FarEnd, local: SocketAddr, outgoing: mpsc::Sender<Arc<[u8]>>) -> Self {
        Self { outgoing: Some(outgoing), far, local, is_used: false, calls: 0 }
    }
}

/// A connection to be opened.
pub(crate) struct Connect {
    pub(crate) id: u64,
    pub(crate) far: FarEnd,
    /// The listener's address that stands for it.
    pub(crate) local: SocketAddr,
    pub(crate) outgoing: mpsc::Sender<Arc<[u8]>>,
    pub(crate) queue: mpsc::Receiver<Arc<[u8]>>,
}

/// All connections.
#[derive(Default)]
pub(crate) struct Connections {
    by_id: HashMap<u64, Connection>,
    /// By far end as it is, and by far end of any name.
    by_far_end: HashMap<FarEnd, u64>,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn insert(&mut self, id: u64, connection: Connection) {
        self.by_far_end.insert(connection.far.of_any_name(), id);
        self.by_far_end.insert(connection.far.clone(), id);
        self.by_id.insert(id, connection);
    }

    /// Forget a connection; true if a transaction wants to hear of it.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let Some(connection) = self.by_id.remove(&id) else { return false };
        for far in [connection.far.of_any_name(), connection.far] {
            if self.by_far_end.get(&far) == Some(&id) {
                self.by_far_end.remove(&far);
            }
        }
        connection.is_used
    }

    /// The one to that far end that still takes messages.
    pub(crate) fn to(&self, far: &FarEnd) -> Option<u64> {
        let id = self.by_far_end.get(far)?;
        self.by_id.get(id).and_then(|connection| connection.outgoing.as_ref()).map(|_| *id)
    }

    /// The way out; send on it after the lock is given back, since that may wake another thread.
    pub(crate) fn outgoing(&self, id: u64) -> Option<mpsc::Sender<Arc<[u8]>>> {
        self.by_id.get(&id)?.outgoing.clone()
    }

    /// The same for a transaction.
    pub(crate) fn outgoing_of_transaction(&mut self, id: u64) -> Option<mpsc::Sender<Arc<[u8]>>> {
        let connection = self.by_id.get_mut(&id)?;
        connection.is_used = true;
        connection.outgoing.clone()
    }

    /// The far end of a connection, and ours.
    pub(crate) fn peer(&self, id: u64) -> Option<Peer> {
        let Connection { far, local, .. } = self.by_id.get(&id)?;
        Some(Peer { source: far.address, local: *local, transport: far.transport, channel: id })
    }

    /// The far end has had its last answer.
    pub(crate) fn end(&mut self, id: u64) {
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.outgoing = None;
        }
    }

    /// A call that came on it lives.
    pub(crate) fn engage(&mut self, id: u64) {
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.calls += 1;
        }
    }

    /// Such a call is over.
    pub(crate) fn disengage(&mut self, id: u64) {
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.calls = connection.calls.saturating_sub(1);
        }
    }

    /// Whether a call that came on it lives.
    pub(crate) fn is_engaged(&self, id: u64) -> bool {
        self.by_id.get(&id).is_some_and(|connection| connection.calls > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;

    const LOCAL: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5061));

    fn far(domain: &str) -> FarEnd {
        FarEnd { transport: Transport::Tls, address: "192.0.2.1:5061".parse().unwrap(), domain: domain.into() }
    }

    #[test]
    fn a_far_end_is_found_by_its_address_until_its_connection_ends() {
        let mut connections = Connections::default();
        let (outgoing, _queue) = mpsc::channel(1);
        connections.insert(1, Connection::new(far(""), LOCAL, outgoing.clone()));
        assert_eq!(connections.to(&far("")), Some(1));
        connections.end(1);
        assert_eq!((connections.to(&far("")), connections.len()), (None, 1));
        connections.insert(2, Connection::new(far(""), LOCAL, outgoing));
        assert!(!connections.remove(1), "nobody used it");
        assert_eq!(connections.to(&far("")), Some(2), "the newer one stays");
        assert!(connections.outgoing_of_transaction(2).is_some() && connections.remove(2));
        assert_eq!((connections.to(&far("")), connections.len()), (None, 0));
    }

    #[test]
    fn a_far_end_that_has_to_bear_a_name_is_not_found_under_another_one_or_over_another_transport() {
        let mut connections = Connections::default();
        let (outgoing, _queue) = mpsc::channel(1);
        connections.insert(1, Connection::new(far("a.example"), LOCAL, outgoing.clone()));
        connections.insert(2, Connection::new(far(""), LOCAL, outgoing));
        let found = |connections: &Connections, name: &str| connections.to(&far(name));
        assert_eq!(found(&connections, "a.example"), Some(1));
        assert_eq!((found(&connections, "b.example"), found(&connections, "")), (None, Some(2)));
        assert_eq!(connections.to(&FarEnd { transport: Transport::Tcp, ..far("") }), None);
        connections.remove(1);
        assert_eq!((found(&connections, "a.example"), found(&connections, "")), (None, Some(2)));
    }

    #[test]
    fn a_connection_is_engaged_as_long_as_one_of_its_calls_lives() {
        let mut connections = Connections::default();
        let (outgoing, _queue) = mpsc::channel(1);
        connections.insert(1, Connection::new(far(""), LOCAL, outgoing));
        connections.engage(1);
        connections.engage(1);
        connections.disengage(1);
        assert!(connections.is_engaged(1));
        connections.disengage(1);
        connections.disengage(1);
        assert!(!connections.is_engaged(1) && !connections.is_engaged(2));
    }
}
