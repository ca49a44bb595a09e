// SPDX-License-Identifier: Apache-2.0
//! The trace: the last messages of calls as they went over the wire, in memory, credentials masked.
//!
//! The threads that take and send messages put them in; whoever asks copies pieces out, each under a lock that is held for some
//! microseconds, and reads them outside of it. Only what authorised sources exchange with us is put in: no stranger can push a call
//! out of the ring.

mod message;
mod ring;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use guard::Peer;
use ipnet::IpNet;
use parking_lot::Mutex;

pub use message::{Traced, call_id_of};
pub use ring::Kind;
use ring::{Entry, Ring, Stretch};

/// Bytes kept of a message; what is behind them is cut.
pub const MAX_KEPT: usize = 8192;
/// Bytes copied under one lock.
const STRETCH_BYTES: u64 = 64 << 10;
/// Entries of a chain looked at under one lock.
const STEPS: usize = 64;
/// Entries of one chain that are looked at: a call of that many messages is no call.
const MAX_CHAIN: usize = 65_536;
/// Call-IDs that belong to one call at most: a leg for each gateway that was tried.
const MAX_LEGS: usize = 64;

/// What is asked for. Without a condition it is the newest calls; where neither a number nor an address is asked for, OPTIONS and
/// REGISTER that belong to no call are left out: vendors and phones send so many that nothing else would be seen.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Calls with these Call-IDs; where there are any, nothing else is asked.
    pub call_ids: Vec<Vec<u8>>,
    /// Calls with a message that has this user in From, To or Request-URI; with `*` at the end, its beginning.
    pub number: Option<Vec<u8>>,
    /// Calls with a message from or to an address in this network.
    pub source: Option<IpNet>,
    /// Calls with a message at this time or later, UTC microseconds.
    pub since_us: Option<u64>,
    /// Calls with a message before this time.
    pub until_us: Option<u64>,
    /// Calls at most; the newest are kept.
    pub calls: usize,
    /// Entries at most; those of the newest calls are kept.
    pub entries: usize,
}

/// What was found, in the order in which it was put in.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages, notes and links of whole calls.
    pub entries: Vec<Traced>,
    /// Since when the ring reaches; None if it is empty.
    pub oldest_us: Option<u64>,
    /// There is more than was asked for at most.
    pub is_cut: bool,
}

/// What the trace counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCounters {
    /// Entries put in since the start.
    pub taken: u64,
    /// Entries that were written over.
    pub overwritten: u64,
    /// Bytes that entries take now.
    pub bytes: u64,
}

struct Inside {
    ring: Ring,
    /// Reused for each message.
    masked: Vec<u8>,
}

/// The ring, shared by the threads.
pub struct Trace {
    inside: Mutex<Inside>,
    is_on: AtomicBool,
    budget: AtomicU64,
    hashes: RandomState,
}

impl Trace {
    /// A trace that takes so many bytes at most; 0 = none is kept.
    pub fn new(budget: usize) -> Self {
        let trace = Self {
            inside: Mutex::new(Inside { ring: Ring::new(0), masked: Vec::new() }),
            is_on: AtomicBool::new(false),
            budget: AtomicU64::new(0),
            hashes: RandomState::new(),
        };
        trace.resize(budget);
        trace
    }

    /// Take another number of bytes from now on; what was kept is let go.
    pub fn resize(&self, budget: usize) {
        if self.budget.swap(budget as u64, Ordering::AcqRel) == budget as u64 {
            return;
        }
        // The memory is given out and taken back outside the lock: that may take a while.
        let mut ring = Ring::new(budget);
        let mut inside = self.inside.lock();
        ring.follow(&inside.ring);
        let old = std::mem::replace(&mut inside.ring, ring);
        self.is_on.store(budget > 0, Ordering::Release);
        drop(inside);
        drop(old);
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Keep a message that came from a peer.
    pub fn received(&self, at_us: u64, peer: &Peer, bytes: &[u8]) {
        if self.is_on() {
            self.take(Kind::Received, at_us, peer, call_id_of(bytes), bytes);
        }
    }

    /// Keep a message that goes to a peer.
    pub fn sent(&self, at_us: u64, peer: &Peer, bytes: &[u8]) {
        if self.is_on() {
            self.take(Kind::Sent, at_us, peer, call_id_of(bytes), bytes);
        }
    }

    /// Keep a message whose Call-ID is known.
    pub fn take(&self, kind: Kind, at_us: u64, peer: &Peer, call_id: &[u8], bytes: &[u8]) {
        if !self.is_on() {
            return;
        }
        let key = self.hashes.hash_one(call_id);
        let mut inside = self.inside.lock();
        let Inside { ring, masked } = &mut *inside;
        guard::masked(bytes, MAX_KEPT, masked);
        ring.put(&Entry {
            at_us,
            kind,
            transport: peer.transport,
            local: peer.local,
            remote: peer.source,
            key,
            length: bytes.len() as u32,
            text: masked,
        });
    }

    /// Keep what the switch decided about a call; the text is its own matter.
    pub fn note(&self, at_us: u64, call_id: &[u8], text: &[u8]) {
        self.remark(Kind::Note, at_us, call_id, text);
    }

    /// Keep that two Call-IDs belong to one call.
    pub fn link(&self, at_us: u64, call_id: &[u8], other: &[u8]) {
        self.remark(Kind::Link, at_us, call_id, other);
        self.remark(Kind::Link, at_us, other, call_id);
    }

    fn remark(&self, kind: Kind, at_us: u64, call_id: &[u8], text: &[u8]) {
        if !self.is_on() {
            return;
        }
        let content = message::remark(call_id, text.get(..MAX_KEPT).unwrap_or(text));
        let entry = Entry {
            at_us,
            kind,
            transport: message::NOWHERE.transport,
            local: message::NOWHERE.local,
            remote: message::NOWHERE.source,
            key: self.hashes.hash_one(call_id),
            length: 0,
            text: &content,
        };
        self.inside.lock().ring.put(&entry);
    }

    /// What the trace counts.
    pub fn counters(&self) -> TraceCounters {
        let inside = self.inside.lock();
        TraceCounters { taken: inside.ring.taken(), overwritten: inside.ring.overwritten(), bytes: inside.ring.used() }
    }

    /// Where the next entry will be put, for [`Trace::stretch`], and its number.
    pub(crate) fn end(&self) -> (u64, u64) {
        let inside = self.inside.lock();
        (inside.ring.end(), inside.ring.taken())
    }

    /// Entries from a position on, in one piece, and where the next one begins; about 64 KiB.
    pub(crate) fn stretch(&self, from: u64) -> (Vec<Traced>, u64) {
        let stretch = self.copy(from);
        (stretch.entries().map(|(head, text)| Traced::read(&head, text)).collect(), stretch.next)
    }

    fn copy(&self, from: u64) -> Stretch {
        self.inside.lock().ring.stretch(from, STRETCH_BYTES)
    }

    /// The calls that fit, whole as far as they are still there.
    pub fn find(&self, query: &Query) -> Found {
        let wanted = if query.call_ids.is_empty() { self.scan(query) } else { query.call_ids.clone() };
        let mut found: BTreeMap<u64, Traced> = BTreeMap::new();
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut calls = 0;
        let mut is_cut = false;
        // The newest calls first: what there is no room for is older.
        for call_id in wanted.into_iter().rev() {
            if seen.contains(&call_id) {
                continue;
            }
            if calls == query.calls || found.len() >= query.entries {
                is_cut = true;
                break;
            }
            let room = query.entries - found.len();
            let (entries, is_whole) = self.call(call_id, room, &mut seen);
            is_cut |= !is_whole;
            calls += usize::from(!entries.is_empty());
            found.extend(entries.into_iter().map(|entry| (entry.seq, entry)));
        }
        Found { entries: found.into_values().collect(), oldest_us: self.inside.lock().ring.oldest_us(), is_cut }
    }

    /// The Call-IDs of messages that fit, those with the newest such message last.
    fn scan(&self, query: &Query) -> Vec<Vec<u8>> {
        let mut last: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut seq_of: HashMap<Vec<u8>, u64> = HashMap::new();
        let (mut from, end) = (0, self.end().0);
        while from < end {
            let stretch = self.copy(from);
            if stretch.is_empty() {
                break;
            }
            from = stretch.next;
            for (head, text) in stretch.entries() {
                if !matches!(head.kind, Kind::Received | Kind::Sent) || !query.fits_head(head.at_us, head.remote.ip()) {
                    continue;
                }
                let entry = Traced::read(&head, text);
                if !query.fits_number(&entry) || query.passes_over(&entry) {
                    continue;
                }
                if let Some(before) = seq_of.insert(entry.call_id.clone(), head.seq) {
                    last.remove(&before);
                }
                last.insert(head.seq, entry.call_id);
                // One more than asked for: then it is known that there are more.
                if last.len() > query.calls.saturating_mul(MAX_LEGS).max(1)
                    && let Some((_, call_id)) = last.pop_first()
                {
                    seq_of.remove(&call_id);
                }
            }
        }
        last.into_values().collect()
    }

    /// All entries of a call by one of its Call-IDs: its other legs are linked to it. False if not all of them.
    fn call(&self, call_id: Vec<u8>, room: usize, seen: &mut HashSet<Vec<u8>>) -> (Vec<Traced>, bool) {
        let mut entries = Vec::new();
        let mut is_whole = true;
        let mut legs = vec![call_id];
        let mut count = 0;
        while let Some(leg) = legs.pop() {
            if !seen.insert(leg.clone()) {
                continue;
            }
            count += 1;
            if count > MAX_LEGS {
                is_whole = false;
                break;
            }
            let (found, is_all) = self.leg(&leg, room.saturating_sub(entries.len()));
            is_whole &= is_all;
            legs.extend(found.iter().filter(|entry| entry.kind == Kind::Link).map(|entry| entry.content.clone()));
            entries.extend(found);
        }
        (entries, is_whole)
    }

    /// The newest entries with a Call-ID, at most `room`; false if there are more.
    fn leg(&self, call_id: &[u8], room: usize) -> (Vec<Traced>, bool) {
        let key = self.hashes.hash_one(call_id);
        let mut found = Vec::new();
        let mut place = self.inside.lock().ring.newest(key);
        let mut looked_at = 0;
        while place.is_some() && looked_at < MAX_CHAIN {
            let mut entries = Vec::new();
            {
                let inside = self.inside.lock();
                for _ in 0..STEPS {
                    let Some(position) = place else { break };
                    let (entry, before) = inside.ring.step(position, key);
                    entries.extend(entry);
                    place = before;
                    looked_at += 1;
                }
            }
            for (head, text) in entries {
                let entry = Traced::read(&head, &text);
                if entry.call_id != call_id {
                    continue;
                }
                if found.len() == room {
                    return (found, false);
                }
                found.push(entry);
            }
        }
        (found, place.is_none())
    }
}

impl Query {
    fn fits_head(&self, at_us: u64, remote: std::net::IpAddr) -> bool {
        self.since_us.is_none_or(|since| at_us >= since)
            && self.until_us.is_none_or(|until| at_us < until)
            && self.source.is_none_or(|source| source.contains(&remote))
    }

    fn passes_over(&self, entry: &Traced) -> bool {
        self.number.is_none() && self.source.is_none() && matches!(entry.method.as_slice(), b"OPTIONS" | b"REGISTER")
    }

    fn fits_number(&self, entry: &Traced) -> bool {
        let Some(number) = &self.number else { return true };
        let fits = |user: &[u8]| match number.strip_suffix(b"*") {
            Some(start) => user.starts_with(start),
            None => user == number.as_slice(),
        };
        entry.users.iter().any(|user| fits(user))
    }
}

#[cfg(test)]
mod tests;
