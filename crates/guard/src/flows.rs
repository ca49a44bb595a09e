// SPDX-License-Identifier: Apache-2.0
//! Registered flows: from which address and port a phone of ours speaks, until when; and where phones spoke from before.
//!
//! Only an authenticated REGISTER adds here, so the table is bounded by the operator's phones. It is no part of the snapshot:
//! the switch changes it when it accepts a REGISTER, and fills it from the journal at start.

use std::collections::HashMap;
use std::net::SocketAddr;

use journal::Transport;

use crate::source::SourceKey;

/// Contacts that one number may have at a time; the oldest makes room.
pub const FLOWS_PER_NUMBER: usize = 10;

/// Where a phone speaks from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowKey {
    /// Address and port that the REGISTER came from.
    pub source: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
}

/// A registration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The phone's number.
    pub number: Vec<u8>,
    /// Our address that it registered at.
    pub local: SocketAddr,
    /// The Contact URI as the phone wrote it.
    pub contact: Vec<u8>,
    /// Call-ID of the REGISTER: the same phone keeps it across refreshes (RFC 3261 §10.2.4).
    pub call_id: Vec<u8>,
    /// `CSeq` of the REGISTER.
    pub cseq: u32,
    /// The phone's product.
    pub user_agent: Vec<u8>,
    /// UTC microseconds of the first REGISTER on this flow.
    pub since_us: u64,
    /// UTC microseconds when it ends.
    pub expires_at_us: u64,
}

/// All flows of this node.
#[derive(Default)]
pub struct Flows {
    by_key: HashMap<FlowKey, Flow>,
    by_number: HashMap<Vec<u8>, Vec<FlowKey>>,
    /// UTC microseconds of the last valid registration from a source, port ignored.
    seen: HashMap<SourceKey, u64>,
}

impl Flows {
    /// The flow that a packet arrives on.
    pub fn get(&self, key: &FlowKey, now_us: u64) -> Option<&Flow> {
        self.by_key.get(key).filter(|flow| flow.expires_at_us > now_us)
    }

    /// Whether a phone registered from this address within `memory_us`: NAT rebinding must not make a customer a criminal.
    pub fn was_registered(&self, source: SourceKey, now_us: u64, memory_us: u64) -> bool {
        self.seen.get(&source).is_some_and(|seen_us| seen_us.saturating_add(memory_us) > now_us)
    }

    /// Put a flow in force. The same phone on a new port (same number, and the same Call-ID or Contact) moves; beyond
    /// [`FLOWS_PER_NUMBER`] the flow that ends first makes room. Returns the flows that this one replaced.
    pub fn bind(&mut self, key: FlowKey, flow: Flow, now_us: u64) -> Vec<(FlowKey, Flow)> {
        self.seen.insert(SourceKey::of(key.source.ip()), now_us);
        let mut replaced = Vec::new();
        let keys = self.by_number.get(&flow.number).cloned().unwrap_or_default();
        let mut others = Vec::new();
        for other in keys.into_iter().filter(|other| *other != key) {
            let Some(old) = self.by_key.get(&other) else {
                continue;
            };
            if old.call_id == flow.call_id || old.contact == flow.contact || old.expires_at_us <= now_us {
                replaced.push(other);
            } else {
                others.push((old.expires_at_us, other));
            }
        }
        others.sort_unstable_by_key(|(expires_at_us, _)| *expires_at_us);
        let room = FLOWS_PER_NUMBER.saturating_sub(1);
        replaced.extend(others.iter().take(others.len().saturating_sub(room)).map(|(_, key)| *key));
        let replaced = replaced.iter().filter_map(|key| Some((*key, self.remove(key)?))).collect();
        let since_us =
            self.by_key.get(&key).filter(|old| old.number == flow.number).map_or(flow.since_us, |old| old.since_us);
        self.remove(&key);
        self.by_number.entry(flow.number.clone()).or_default().push(key);
        self.by_key.insert(key, Flow { since_us, ..flow });
        replaced
    }

    /// End a flow.
    pub fn remove(&mut self, key: &FlowKey) -> Option<Flow> {
        let flow = self.by_key.remove(key)?;
        if let Some(keys) = self.by_number.get_mut(&flow.number) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_number.remove(&flow.number);
            }
        }
        Some(flow)
    }

    /// End every flow of a number whose Contact matches, or all of them for `None` (`Contact: *`).
    pub fn remove_number(&mut self, number: &[u8], contact: Option<&[u8]>) -> Vec<(FlowKey, Flow)> {
        let keys = self.by_number.get(number).cloned().unwrap_or_default();
        let matches = |key: &&FlowKey| {
            contact.is_none_or(|contact| self.by_key.get(key).is_some_and(|flow| flow.contact == contact))
        };
        let ended: Vec<FlowKey> = keys.iter().filter(matches).copied().collect();
        ended.iter().filter_map(|key| Some((*key, self.remove(key)?))).collect()
    }

    /// Flows of a number, in the order they were bound.
    pub fn of_number(&self, number: &[u8]) -> impl Iterator<Item = (&FlowKey, &Flow)> {
        let keys = self.by_number.get(number).map(Vec::as_slice).unwrap_or_default();
        keys.iter().filter_map(|key| self.by_key.get_key_value(key))
    }

    /// Forget flows that ended and sources unseen for longer than `memory_us`; returns the ended flows.
    pub fn expire(&mut self, now_us: u64, memory_us: u64) -> Vec<(FlowKey, Flow)> {
        self.seen.retain(|_, seen_us| seen_us.saturating_add(memory_us) > now_us);
        let ended: Vec<FlowKey> =
            self.by_key.iter().filter(|(_, flow)| flow.expires_at_us <= now_us).map(|(key, _)| *key).collect();
        ended.iter().filter_map(|key| Some((*key, self.remove(key)?))).collect()
    }

    /// Remember that a valid registration came from here (read back from the journal).
    pub fn remember(&mut self, source: SourceKey, at_us: u64) {
        let seen = self.seen.entry(source).or_insert(at_us);
        *seen = at_us.max(*seen);
    }

    /// Every flow.
    pub fn iter(&self) -> impl Iterator<Item = (&FlowKey, &Flow)> {
        self.by_key.iter()
    }

    /// Flows in force.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no phone is registered.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> FlowKey {
        FlowKey { source: SocketAddr::from(([192, 0, 2, 1], port)), transport: Transport::Udp }
    }

    fn flow(call_id: &str, contact: &str, expires_at_us: u64) -> Flow {
        Flow {
            number: b"1001".to_vec(),
            local: SocketAddr::from(([192, 0, 2, 9], 5060)),
            contact: contact.into(),
            call_id: call_id.into(),
            cseq: 1,
            user_agent: Vec::new(),
            since_us: 0,
            expires_at_us,
        }
    }

    #[test]
    fn a_phone_on_a_new_port_moves_its_flow() {
        let mut flows = Flows::default();
        flows.bind(key(5060), flow("a", "sip:1001@10.0.0.1", 100), 0);
        let replaced = flows.bind(key(6000), flow("a", "sip:1001@10.0.0.1", 200), 50);
        assert_eq!(replaced.len(), 1);
        assert!(flows.get(&key(5060), 60).is_none());
        assert_eq!(flows.get(&key(6000), 60).map(|flow| flow.expires_at_us), Some(200));
    }

    #[test]
    fn an_ended_flow_admits_nothing_but_its_address_is_remembered() {
        let mut flows = Flows::default();
        flows.bind(key(5060), flow("a", "sip:1001@10.0.0.1", 100), 0);
        assert!(flows.get(&key(5060), 100).is_none());
        let source = SourceKey::of(key(1).source.ip());
        assert!(flows.was_registered(source, 999, 1000));
        assert!(!flows.was_registered(source, 1000, 1000));
        assert_eq!(flows.expire(100, 1000).len(), 1);
        assert!(flows.is_empty());
        assert!(flows.was_registered(source, 999, 1000));
    }

    #[test]
    fn a_number_has_at_most_ten_flows() {
        let mut flows = Flows::default();
        for port in 0..20 {
            flows.bind(
                key(port),
                flow(&format!("call{port}"), &format!("sip:{port}@10.0.0.1"), 1000 + u64::from(port)),
                0,
            );
        }
        assert_eq!(flows.len(), FLOWS_PER_NUMBER);
        assert!(flows.get(&key(19), 0).is_some() && flows.get(&key(9), 0).is_none());
        assert_eq!(flows.remove_number(b"1001", None).len(), FLOWS_PER_NUMBER);
        assert!(flows.is_empty());
    }
}
