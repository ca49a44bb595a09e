// SPDX-License-Identifier: Apache-2.0
//! One ring of bytes that holds whole entries, oldest first out, and finds those of a key.
//!
//! Positions count bytes from the start of the process and never repeat: what lies below `tail` is gone, so a place in a chain that was
//! written over ends the chain by itself, and nothing has to be taken out of the index.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use journal::Transport;

/// Bytes of an entry before its text.
pub(super) const HEADER: usize = 80;
/// Ends a chain.
const NONE: u64 = u64::MAX;
/// One chain for this many bytes: an entry of a call is about as long.
const BYTES_PER_CHAIN: usize = 1024;
const CHAIN_BYTES: usize = size_of::<u64>();

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message that came in.
    Received,
    /// A message that went out.
    Sent,
    /// What the switch decided, in words of its own.
    Note,
    /// Another Call-ID of the same call.
    Link,
}

impl Kind {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
            Self::Note => "note",
            Self::Link => "link",
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Received,
            1 => Self::Sent,
            2 => Self::Note,
            _ => Self::Link,
        }
    }
}

/// What stands before the text of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Counts entries from 0.
    pub(super) seq: u64,
    pub(super) at_us: u64,
    pub(super) kind: Kind,
    pub(super) transport: Transport,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Hash of the Call-ID.
    pub(super) key: u64,
    /// Bytes of the message as it was on the wire.
    pub(super) length: u32,
    previous: u64,
    total: u32,
}

/// An entry to put in.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) at_us: u64,
    pub(super) kind: Kind,
    pub(super) transport: Transport,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) key: u64,
    pub(super) length: u32,
    pub(super) text: &'a [u8],
}

/// Whole entries, one behind the other, copied out of the ring.
pub(super) struct Stretch {
    bytes: Vec<u8>,
    /// Where the next one begins.
    pub(super) next: u64,
}

impl Stretch {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Head, &[u8])> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let head = Head::read(rest.first_chunk()?)?;
            let (entry, after) = rest.split_at_checked(head.total as usize)?;
            rest = after;
            Some((head, entry.get(HEADER..)?))
        })
    }
}

pub(super) struct Ring {
    bytes: Vec<u8>,
    /// Position of the newest entry of each chain.
    chains: Vec<u64>,
    head: u64,
    tail: u64,
    next_seq: u64,
    /// Entries that were written over.
    overwritten: u64,
}

impl Ring {
    /// A ring that takes no more than `budget` bytes, its index included.
    pub(super) fn new(budget: usize) -> Self {
        let chains = if budget < BYTES_PER_CHAIN { 0 } else { (budget / BYTES_PER_CHAIN + 1).next_power_of_two() / 2 };
        Self {
            bytes: vec![0; if chains == 0 { 0 } else { budget - chains * CHAIN_BYTES }],
            chains: vec![NONE; chains],
            head: 0,
            tail: 0,
            next_seq: 0,
            overwritten: 0,
        }
    }

    /// Go on at the position and number of another ring, while empty.
    pub(super) fn follow(&mut self, other: &Self) {
        (self.head, self.tail) = (other.head, other.head);
        (self.next_seq, self.overwritten) = (other.next_seq, other.next_seq);
    }

    /// Bytes that entries take now.
    pub(super) fn used(&self) -> u64 {
        self.head - self.tail
    }

    pub(super) fn taken(&self) -> u64 {
        self.next_seq
    }

    pub(super) fn overwritten(&self) -> u64 {
        self.overwritten
    }

    pub(super) fn end(&self) -> u64 {
        self.head
    }

    /// Put an entry behind all others; the oldest make room. One that is longer than the ring is left out.
    pub(super) fn put(&mut self, entry: &Entry<'_>) {
        let total = HEADER + entry.text.len();
        if total > self.bytes.len() {
            return;
        }
        while self.used() + total as u64 > self.bytes.len() as u64 {
            let Some(oldest) = self.head_at(self.tail) else { return };
            self.tail += u64::from(oldest.total);
            self.overwritten += 1;
        }
        let position = self.head;
        let chain = self.chain_of(entry.key);
        let previous = chain.map_or(NONE, |chain| std::mem::replace(chain, position));
        let head = Head {
            seq: self.next_seq,
            at_us: entry.at_us,
            kind: entry.kind,
            transport: entry.transport,
            local: entry.local,
            remote: entry.remote,
            key: entry.key,
            length: entry.length,
            previous,
            total: total as u32,
        };
        self.write(position, &head.bytes());
        self.write(position + HEADER as u64, entry.text);
        self.head += total as u64;
        self.next_seq += 1;
    }

    /// The newest entry of a chain, for [`Ring::step`].
    pub(super) fn newest(&self, key: u64) -> Option<u64> {
        let index = self.chain_index(key)?;
        self.chains.get(index).copied().filter(|position| self.holds(*position))
    }

    /// The entry at a position of a chain, if it is of this key, and the position of the one before it.
    pub(super) fn step(&self, position: u64, key: u64) -> (Option<(Head, Vec<u8>)>, Option<u64>) {
        if !self.holds(position) {
            return (None, None);
        }
        let Some(head) = self.head_at(position) else { return (None, None) };
        let before = Some(head.previous).filter(|before| *before < position && self.holds(*before));
        if head.key != key {
            return (None, before);
        }
        let mut text = vec![0; head.total as usize - HEADER];
        self.read(position + HEADER as u64, &mut text);
        (Some((head, text)), before)
    }

    /// Whole entries from a position on, or from the oldest if that is gone; about `most` bytes, at least one entry.
    pub(super) fn stretch(&self, from: u64, most: u64) -> Stretch {
        let start = from.clamp(self.tail, self.head);
        let mut end = start;
        while end < self.head && end - start < most {
            match self.head_at(end) {
                Some(head) => end += u64::from(head.total),
                None => break,
            }
        }
        let mut bytes = vec![0; (end - start) as usize];
        self.read(start, &mut bytes);
        Stretch { bytes, next: end }
    }

    /// When the oldest entry was put in.
    pub(super) fn oldest_us(&self) -> Option<u64> {
        if self.tail < self.head { self.head_at(self.tail).map(|head| head.at_us) } else { None }
    }

    fn holds(&self, position: u64) -> bool {
        (self.tail..self.head).contains(&position)
    }

    fn chain_index(&self, key: u64) -> Option<usize> {
        // The number of chains is a power of two.
        self.chains.len().checked_sub(1).map(|mask| key as usize & mask)
    }

    fn chain_of(&mut self, key: u64) -> Option<&mut u64> {
        let index = self.chain_index(key)?;
        self.chains.get_mut(index)
    }

    fn head_at(&self, position: u64) -> Option<Head> {
        let mut bytes = [0; HEADER];
        self.read(position, &mut bytes);
        Head::read(&bytes).filter(|head| head.total as usize >= HEADER)
    }

    fn offset(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }

    /// Bytes from a position on; they may go over the end of the memory.
    fn read(&self, position: u64, out: &mut [u8]) {
        if out.is_empty() {
            return;
        }
        let offset = self.offset(position);
        let before_end = out.len().min(self.bytes.len() - offset);
        let (first, second) = out.split_at_mut(before_end);
        let parts = (self.bytes.get(offset..offset + before_end), self.bytes.get(..second.len()));
        if let (Some(from_offset), Some(from_start)) = parts {
            first.copy_from_slice(from_offset);
            second.copy_from_slice(from_start);
        }
    }

    fn write(&mut self, position: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let offset = self.offset(position);
        let (first, second) = bytes.split_at(bytes.len().min(self.bytes.len() - offset));
        if let Some(to) = self.bytes.get_mut(offset..offset + first.len()) {
            to.copy_from_slice(first);
        }
        if let Some(to) = self.bytes.get_mut(..second.len()) {
            to.copy_from_slice(second);
        }
    }
}

/// Numbers of one entry, written one behind the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let [is_v4] = self.take()?;
        let port = u16::from_le_bytes(self.take()?);
        let ip = self.take::<16>()?;
        let ip = if is_v4 == 1 {
            let [a, b, c, d, ..] = ip;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            IpAddr::V6(Ipv6Addr::from(ip))
        };
        Some(SocketAddr::new(ip, port))
    }
}

impl Head {
    fn bytes(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            if let Some(place) = out.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
            at += field.len();
        };
        put(&self.total.to_le_bytes());
        put(&self.length.to_le_bytes());
        for number in [self.seq, self.at_us, self.key, self.previous] {
            put(&number.to_le_bytes());
        }
        put(&[self.kind as u8, self.transport.code()]);
        for address in [self.local, self.remote] {
            let mut ip = [0; 16];
            let is_v4 = match address.ip().to_canonical() {
                IpAddr::V4(v4) => {
                    if let Some(place) = ip.first_chunk_mut() {
                        *place = v4.octets();
                    }
                    1
                }
                IpAddr::V6(v6) => {
                    ip = v6.octets();
                    0
                }
            };
            put(&[is_v4]);
            put(&address.port().to_le_bytes());
            put(&ip);
        }
        out
    }

    fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let total = u32::from_le_bytes(fields.take()?);
        let length = u32::from_le_bytes(fields.take()?);
        let seq = u64::from_le_bytes(fields.take()?);
        let at_us = u64::from_le_bytes(fields.take()?);
        let key = u64::from_le_bytes(fields.take()?);
        let previous = u64::from_le_bytes(fields.take()?);
        let [kind, transport] = fields.take()?;
        let local = fields.address()?;
        let remote = fields.address()?;
        let (kind, transport) = (Kind::of(kind), Transport::from_code(transport)?);
        Some(Self { seq, at_us, kind, transport, local, remote, key, length, previous, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn entry(key: u64, at_us: u64, text: &[u8]) -> Entry<'_> {
        Entry {
            at_us,
            kind: Kind::Sent,
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: "[2001:db8::7]:5062".parse().unwrap(),
            key,
            length: text.len() as u32,
            text,
        }
    }

    fn chain(ring: &Ring, key: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut place = ring.newest(key);
        while let Some(position) = place {
            let (entry, before) = ring.step(position, key);
            found.extend(entry.map(|(head, _)| head.seq));
            place = before;
        }
        found
    }

    #[test]
    fn an_entry_comes_out_as_it_went_in() {
        let mut ring = Ring::new(4096);
        ring.put(&entry(7, 42, b"hello"));
        let stretch = ring.stretch(0, 1);
        let (head, text) = stretch.entries().next().unwrap();
        assert_eq!((head.seq, head.at_us, head.key, head.kind), (0, 42, 7, Kind::Sent));
        assert_eq!(
            (head.transport, head.local, head.remote),
            (Transport::Tcp, entry(7, 42, b"").local, entry(7, 42, b"").remote)
        );
        assert_eq!(text, b"hello");
    }

    #[test]
    fn a_ring_without_room_takes_nothing() {
        for budget in [0, 100, 1023] {
            let mut ring = Ring::new(budget);
            ring.put(&entry(1, 1, b"x"));
            assert_eq!((ring.taken(), ring.newest(1), ring.stretch(0, 9).is_empty()), (0, None, true));
            assert_eq!(ring.oldest_us(), None);
        }
    }

    #[test]
    fn another_ring_goes_on_where_the_first_one_was() {
        let mut ring = Ring::new(4096);
        ring.put(&entry(1, 1, b"x"));
        let mut next = Ring::new(8192);
        next.follow(&ring);
        assert_eq!((next.end(), next.taken(), next.overwritten()), (ring.end(), 1, 1));
        next.put(&entry(1, 2, b"y"));
        assert_eq!(chain(&next, 1), [1]);
    }

    proptest! {
        /// The budget is never exceeded, order is kept, and what is found is what was put in unless it was written over.
        #[test]
        fn what_is_found_is_what_was_put_in(
            budget in 1024_usize..5000,
            puts in prop::collection::vec((0_u64..6, 0_usize..900), 0..120),
        ) {
            let mut ring = Ring::new(budget);
            let mut model: VecDeque<(u64, u64, Vec<u8>)> = VecDeque::new();
            for (seq, (key, length)) in puts.into_iter().enumerate() {
                let text: Vec<u8> = (0..length).map(|byte| (byte + seq) as u8).collect();
                let before = ring.taken();
                ring.put(&entry(key, seq as u64, &text));
                if ring.taken() > before {
                    model.push_back((before, key, text));
                } else {
                    prop_assert!(HEADER + length > ring.bytes.len());
                }
                prop_assert!(ring.bytes.len() + ring.chains.len() * CHAIN_BYTES <= budget);
                prop_assert!(ring.used() <= ring.bytes.len() as u64);
                while model.len() as u64 + ring.overwritten() > ring.taken() {
                    model.pop_front();
                }
                let mut held = Vec::new();
                let mut from = 0;
                loop {
                    let stretch = ring.stretch(from, 500);
                    if stretch.is_empty() {
                        break;
                    }
                    held.extend(stretch.entries().map(|(head, text)| (head.seq, head.key, text.to_vec())));
                    from = stretch.next;
                }
                prop_assert_eq!(&held, &Vec::from(model.clone()));
                for key in 0..6 {
                    let expected: Vec<u64> =
                        model.iter().rev().filter(|(_, of, _)| *of == key).map(|(seq, ..)| *seq).collect();
                    prop_assert_eq!(chain(&ring, key), expected);
                }
            }
        }
    }
}
