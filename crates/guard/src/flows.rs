// SPDX-License-Identifier: Apache-2.0
//! Registrations: which contacts a number has, over which flows (RFC 5626 §3.1) its phones speak, until when; and where phones spoke
//! from before.
//!
//! The registrar decides which contacts there are; this table does as it is told, so that the guard knows who speaks, and so that a
//! restart can take over what the journal says. Only an authenticated REGISTER adds here, so it is bounded by the operator's phones. It is
//! no part of the snapshot: the switch changes it when it accepts a REGISTER, and fills it from the journal at start.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use journal::Transport;

use crate::source::SourceKey;

/// Contacts that one number may have at a time, whatever the operator allows (`RF_CONTACTS_PER_NUMBER`): the one that ends first makes room.
pub const BINDINGS_PER_NUMBER: usize = 20;

/// Where a phone speaks from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowKey {
    /// Address and port that the REGISTER came from.
    pub source: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
}

/// What tells the contacts of one number apart: the device and which of its flows, or without a device the URI (RFC 5626 §6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactId {
    /// The Contact URI as the phone wrote it.
    pub contact: Vec<u8>,
    /// `+sip.instance`, empty for none.
    pub instance: Vec<u8>,
    /// `reg-id`, 0 for none.
    pub reg_id: u32,
}

impl ContactId {
    fn is_same(&self, other: &Self) -> bool {
        self.instance == other.instance
            && if self.instance.is_empty() { self.contact == other.contact } else { self.reg_id == other.reg_id }
    }
}

/// A contact in force, on the flow that its REGISTER came on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The phone's number.
    pub number: Vec<u8>,
    /// Our address that it registered at.
    pub local: SocketAddr,
    /// Which contact.
    pub id: ContactId,
    /// Preference in thousandths (RFC 3261 §20.10).
    pub q: u16,
    /// Values of Path (RFC 3327), in their order, with line feeds between them.
    pub path: Vec<u8>,
    /// Call-ID of the REGISTER: the same phone keeps it across refreshes (RFC 3261 §10.2.4).
    pub call_id: Vec<u8>,
    /// `CSeq` of the REGISTER.
    pub cseq: u32,
    /// The phone's product.
    pub user_agent: Vec<u8>,
    /// UTC microseconds of the last REGISTER.
    pub since_us: u64,
    /// UTC microseconds when it ends.
    pub expires_at_us: u64,
}

/// All registrations of this node.
#[derive(Default)]
pub struct Flows {
    by_number: HashMap<Vec<u8>, Vec<(FlowKey, Flow)>>,
    /// Several numbers may share a flow: a gateway has one port for all of its lines.
    numbers: HashMap<FlowKey, HashSet<Vec<u8>>>,
    /// UTC microseconds of the last valid registration from a source, port ignored.
    seen: HashMap<SourceKey, u64>,
}

impl Flows {
    /// Whether a packet arrives on the flow of a phone of ours.
    pub fn is_live(&self, key: &FlowKey, now_us: u64) -> bool {
        self.live_on(*key, now_us).next().is_some()
    }

    /// A number that is registered over a flow; of several the first by its bytes.
    pub fn number_on(&self, key: &FlowKey, now_us: u64) -> Option<&[u8]> {
        self.live_on(*key, now_us).min().map(Vec::as_slice)
    }

    fn live_on(&self, key: FlowKey, now_us: u64) -> impl Iterator<Item = &Vec<u8>> {
        let numbers = self.numbers.get(&key).into_iter().flatten();
        numbers.filter(move |number| self.is_of(&key, number, now_us))
    }

    /// Whether a number is registered over a flow.
    pub fn is_of(&self, key: &FlowKey, number: &[u8], now_us: u64) -> bool {
        self.by_number
            .get(number)
            .is_some_and(|held| held.iter().any(|(other, flow)| other == key && flow.expires_at_us > now_us))
    }

    /// Whether a phone registered from this address within `memory_us`: NAT rebinding must not make a customer a criminal.
    pub fn was_registered(&self, source: SourceKey, now_us: u64, memory_us: u64) -> bool {
        self.seen.get(&source).is_some_and(|seen_us| seen_us.saturating_add(memory_us) > now_us)
    }

    /// Put a contact in force, in the place of the same one, wherever that was. Beyond [`BINDINGS_PER_NUMBER`] the one that ends first
    /// makes room. Returns the flows over which nobody is registered any more.
    pub fn bind(&mut self, key: FlowKey, flow: Flow, now_us: u64) -> Vec<FlowKey> {
        self.seen.insert(SourceKey::of(key.source.ip()), now_us);
        let number = flow.number.clone();
        let mut gone = self.retain(&number, |held| !held.id.is_same(&flow.id) && held.expires_at_us > now_us);
        while let Some(held) = self.by_number.get(&number).filter(|held| held.len() >= BINDINGS_PER_NUMBER) {
            let Some(first) = held.iter().min_by_key(|(_, held)| held.expires_at_us).map(|(_, held)| held.id.clone())
            else {
                break;
            };
            gone.extend(self.retain(&number, |held| !held.id.is_same(&first)));
        }
        self.numbers.entry(key).or_default().insert(number.clone());
        self.by_number.entry(number).or_default().push((key, flow));
        gone.retain(|other| *other != key);
        gone
    }

    /// End one contact of a number. Returns the flows over which nobody is registered any more.
    pub fn unbind(&mut self, number: &[u8], id: &ContactId) -> Vec<FlowKey> {
        self.retain(number, |held| !held.id.is_same(id))
    }

    /// End every contact of a number with this URI, or all of them for `None` (`Contact: *`). Returns the flows over which nobody is
    /// registered any more.
    pub fn unbind_uri(&mut self, number: &[u8], contact: Option<&[u8]>) -> Vec<FlowKey> {
        self.retain(number, |held| contact.is_some_and(|contact| held.id.contact != contact))
    }

    /// Keep of a number's contacts what `is_kept` says.
    fn retain(&mut self, number: &[u8], is_kept: impl Fn(&Flow) -> bool) -> Vec<FlowKey> {
        let Some(held) = self.by_number.get_mut(number) else { return Vec::new() };
        let mut left: Vec<FlowKey> = held.extract_if(.., |(_, flow)| !is_kept(flow)).map(|(key, _)| key).collect();
        left.retain(|key| !held.iter().any(|(other, _)| other == key));
        if held.is_empty() {
            self.by_number.remove(number);
        }
        left.retain(|key| {
            let Some(numbers) = self.numbers.get_mut(key) else { return false };
            numbers.remove(number);
            numbers.is_empty()
        });
        for key in &left {
            self.numbers.remove(key);
        }
        left
    }

    /// Forget contacts that ended, and sources unseen for longer than `memory_us`. True if a contact ended.
    pub fn expire(&mut self, now_us: u64, memory_us: u64) -> bool {
        self.seen.retain(|_, seen_us| seen_us.saturating_add(memory_us) > now_us);
        let is_over = |held: &Vec<(FlowKey, Flow)>| held.iter().any(|(_, flow)| flow.expires_at_us <= now_us);
        let numbers: Vec<Vec<u8>> =
            self.by_number.iter().filter(|(_, held)| is_over(held)).map(|(number, _)| number.clone()).collect();
        for number in &numbers {
            self.retain(number, |held| held.expires_at_us > now_us);
        }
        !numbers.is_empty()
    }

    /// Remember that a valid registration came from here (read back from the journal).
    pub fn remember(&mut self, source: SourceKey, at_us: u64) {
        let seen = self.seen.entry(source).or_insert(at_us);
        *seen = at_us.max(*seen);
    }

    /// Every contact, and the flow that it is on.
    pub fn iter(&self) -> impl Iterator<Item = (&FlowKey, &Flow)> {
        self.by_number.values().flatten().map(|(key, flow)| (key, flow))
    }

    /// Contacts in force.
    pub fn len(&self) -> usize {
        self.by_number.values().map(Vec::len).sum()
    }

    /// Whether no phone is registered.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> FlowKey {
        FlowKey { source: SocketAddr::from(([192, 0, 2, 1], port)), transport: Transport::Udp }
    }

    fn flow(contact: &str, expires_at_us: u64) -> Flow {
        Flow {
            number: b"1001".to_vec(),
            local: SocketAddr::from(([192, 0, 2, 9], 5060)),
            id: ContactId { contact: contact.into(), ..ContactId::default() },
            q: 1000,
            path: Vec::new(),
            call_id: b"call".to_vec(),
            cseq: 1,
            user_agent: Vec::new(),
            since_us: 0,
            expires_at_us,
        }
    }

    fn device(instance: &str, reg_id: u32, contact: &str) -> Flow {
        let id = ContactId { contact: contact.into(), instance: instance.into(), reg_id };
        Flow { id, ..flow(contact, 100) }
    }

    #[test]
    fn a_contact_on_a_new_port_moves() {
        let mut flows = Flows::default();
        flows.bind(key(5060), flow("sip:1001@10.0.0.1", 100), 0);
        assert_eq!(flows.bind(key(6000), flow("sip:1001@10.0.0.1", 200), 50), [key(5060)]);
        assert!(!flows.is_live(&key(5060), 60));
        assert!(flows.is_live(&key(6000), 199) && flows.is_of(&key(6000), b"1001", 199));
        assert!(!flows.is_of(&key(6000), b"1002", 199));
    }

    #[test]
    fn a_flow_carries_several_contacts_and_numbers_and_lives_as_long_as_one_of_them() {
        let mut flows = Flows::default();
        flows.bind(key(5060), flow("sip:a@10.0.0.1", 100), 0);
        flows.bind(key(5060), flow("sip:b@10.0.0.1", 100), 0);
        flows.bind(key(5060), Flow { number: b"1002".to_vec(), ..flow("sip:c@10.0.0.1", 100) }, 0);
        assert_eq!(flows.len(), 3);
        assert!(flows.unbind_uri(b"1001", Some(b"sip:a@10.0.0.1")).is_empty());
        assert!(flows.unbind_uri(b"1001", None).is_empty());
        assert!(!flows.is_of(&key(5060), b"1001", 50) && flows.is_live(&key(5060), 50));
        assert_eq!(flows.unbind_uri(b"1002", None), [key(5060)]);
        assert!(flows.is_empty() && !flows.is_live(&key(5060), 50));
    }

    /// RFC 5626 §6
    #[test]
    fn the_same_instance_and_reg_id_replace_the_flow_and_another_reg_id_does_not() {
        let mut flows = Flows::default();
        flows.bind(key(1), device("urn:x", 1, "sip:a@10.0.0.1"), 0);
        assert!(flows.bind(key(2), device("urn:x", 2, "sip:a@10.0.0.1"), 0).is_empty());
        assert_eq!(flows.bind(key(3), device("urn:x", 1, "sip:a@10.0.0.2"), 0), [key(1)]);
        let second = ContactId { instance: b"urn:x".to_vec(), reg_id: 2, ..ContactId::default() };
        assert_eq!(flows.unbind(b"1001", &second), [key(2)]);
        assert_eq!(flows.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key(3)]);
    }

    #[test]
    fn an_ended_contact_admits_nothing_but_its_address_is_remembered() {
        let mut flows = Flows::default();
        flows.bind(key(5060), flow("sip:1001@10.0.0.1", 100), 0);
        assert!(!flows.is_live(&key(5060), 100));
        let source = SourceKey::of(key(1).source.ip());
        assert!(flows.was_registered(source, 999, 1000));
        assert!(!flows.was_registered(source, 1000, 1000));
        flows.expire(100, 1000);
        assert!(flows.is_empty());
        assert!(flows.was_registered(source, 999, 1000));
    }

    #[test]
    fn a_number_has_a_bounded_number_of_contacts() {
        let mut flows = Flows::default();
        for port in 0..40 {
            flows.bind(key(port), flow(&format!("sip:{port}@10.0.0.1"), 1000 + u64::from(port)), 0);
        }
        assert_eq!(flows.len(), BINDINGS_PER_NUMBER);
        assert!(flows.is_live(&key(39), 0) && !flows.is_live(&key(19), 0));
        assert_eq!(flows.unbind_uri(b"1001", None).len(), BINDINGS_PER_NUMBER);
        assert!(flows.is_empty());
    }
}
