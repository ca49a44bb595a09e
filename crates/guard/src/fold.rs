// SPDX-License-Identifier: Apache-2.0
//! Which attempts are their own record and which add to one, with an exact count (`docs/architecture.md`, "Folding").
//!
//! A retransmission always adds to the record that it repeats. Beyond that the edge stream's byte budget decides: as its savings
//! shrink, attempts are counted by source, then by network, then in one bucket per reason and method.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use journal::{IncrementWhy, Reason, Scope};

use crate::bucket::TokenBucket;
use crate::source::SourceKey;
use crate::table::BoundedMap;

/// Seconds after its frame in which a record may still be added to (64 x T1).
pub(crate) const REPEAT_S: u64 = 32;
/// Milliseconds for which a widened record stays open.
pub(crate) const OPEN_MS: u64 = 16_000;

const REPEAT_SETS: usize = 1 << 17;
const OPEN_RECORDS: usize = 1 << 15;
const WAYS: usize = 4;

/// How an attempt is accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// A frame of its own; its scope says what will be counted into it.
    Own(Scope),
    /// One more in the record with this sequence.
    Increment {
        /// Sequence of that record.
        base_seq: u64,
        /// Because it repeats it, or because the budget is short.
        why: IncrementWhy,
    },
}

/// One cache line: the last four records whose identity falls here.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct RepeatSet([(u64, u64); WAYS]);

/// The byte budget of the edge stream, from the parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Bytes per second on average.
    pub(crate) bytes_per_s: u64,
    /// Bytes that may be saved up.
    pub(crate) burst_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct OpenKey {
    /// Source key, network key or 0, told apart by the scope.
    around: u64,
    scope: u8,
    reason: u8,
    method: u8,
}

#[derive(Clone, Copy)]
struct OpenRecord {
    seq: u64,
    opened_at_ms: u64,
}

/// Folding state. Fixed memory: 8 MiB of identities and 32,768 open records.
pub(crate) struct Folding {
    repeats: Vec<RepeatSet>,
    seed: foldhash::fast::RandomState,
    open: BoundedMap<OpenKey, OpenRecord>,
    savings: TokenBucket,
    /// (second, next sequence then): records below the front's sequence are older than `REPEAT_S`.
    marks: VecDeque<(u64, u64)>,
    /// Mixed into what is remembered of requests; another one forgets all of it at once.
    generation: u64,
}

impl Folding {
    /// Folding with full savings.
    pub(crate) fn new(budget: Budget, now_ms: u64) -> Self {
        Self {
            repeats: vec![RepeatSet::default(); REPEAT_SETS],
            seed: foldhash::fast::RandomState::default(),
            open: BoundedMap::new(OPEN_RECORDS),
            savings: TokenBucket::full(budget.burst_bytes, now_ms),
            marks: VecDeque::new(),
            generation: 0,
        }
    }

    /// Forget every record: after frames were lost to a full disk their sequence numbers are used again.
    pub(crate) fn forget(&mut self) {
        self.generation = self.generation.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.open.clear();
        self.marks.clear();
    }

    /// The identity of a request, as retransmissions share it. Zero is never returned: it marks an empty slot.
    pub(crate) fn identity(&self, source: SourceKey, parts: &[&[u8]], cseq: u32) -> u64 {
        self.seed.hash_one((source, parts, cseq)).max(1)
    }

    /// Bytes that were written to the edge stream.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.savings.spend(bytes);
    }

    /// How wide folding is now.
    pub(crate) fn scope(&mut self, budget: Budget, now_ms: u64) -> Scope {
        let left = self.savings.left(budget.bytes_per_s, budget.burst_bytes, now_ms);
        let part = |shift: u32| budget.burst_bytes >> shift;
        if left > part(1) {
            Scope::Own
        } else if left > part(2) {
            Scope::Source
        } else if left > part(3) {
            Scope::Network
        } else {
            Scope::Other
        }
    }

    /// Account for one attempt; `next_seq` is the sequence that a frame of its own will get.
    pub(crate) fn account(
        &mut self,
        identity: u64,
        source: SourceKey,
        (reason, method): (Reason, u8),
        scope: Scope,
        (now_ms, next_seq): (u64, u64),
    ) -> Account {
        let identity = (identity ^ self.generation).max(1);
        let horizon = self.horizon(now_ms, next_seq);
        if let Some(base_seq) = self.repeated(identity, horizon) {
            return Account::Increment { base_seq, why: IncrementWhy::Retransmission };
        }
        let around = match scope {
            Scope::Own => {
                self.remember(identity, next_seq);
                return Account::Own(Scope::Own);
            }
            Scope::Source => source.get(),
            Scope::Network => source.network().get(),
            Scope::Other => 0,
        };
        let key = OpenKey { around, scope: scope as u8, reason: reason as u8, method };
        let fresh = OpenRecord { seq: next_seq, opened_at_ms: now_ms };
        let record = self.open.get_or_insert_with(key, || fresh);
        if now_ms.saturating_sub(record.opened_at_ms) >= OPEN_MS {
            *record = fresh;
        }
        if record.seq == next_seq {
            Account::Own(scope)
        } else {
            Account::Increment { base_seq: record.seq, why: IncrementWhy::Widened }
        }
    }

    /// The lowest sequence that may still be added to.
    fn horizon(&mut self, now_ms: u64, next_seq: u64) -> u64 {
        let now_s = now_ms / 1000;
        if self.marks.back().is_none_or(|(second, _)| *second < now_s) {
            self.marks.push_back((now_s, next_seq));
            // One mark stays that is at least a second inside the limit, so that rounding never stretches it.
            while self.marks.front().is_some_and(|(second, _)| second.saturating_add(REPEAT_S) <= now_s) {
                self.marks.pop_front();
            }
        }
        self.marks.front().map_or(next_seq, |(_, seq)| *seq)
    }

    fn set_index(&self, identity: u64) -> usize {
        (identity as usize) & self.repeats.len().wrapping_sub(1)
    }

    fn repeated(&self, identity: u64, horizon: u64) -> Option<u64> {
        let set = self.repeats.get(self.set_index(identity))?;
        set.0.iter().find(|(id, seq)| *id == identity && *seq >= horizon).map(|(_, seq)| *seq)
    }

    fn remember(&mut self, identity: u64, seq: u64) {
        let index = self.set_index(identity);
        let Some(set) = self.repeats.get_mut(index) else {
            return;
        };
        if let Some(oldest) = set.0.iter_mut().min_by_key(|(_, seq)| *seq) {
            *oldest = (identity, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { bytes_per_s: 1000, burst_bytes: 80_000 };
    const WHAT: (Reason, u8) = (Reason::UnknownSource, 1);

    fn source(text: &str) -> SourceKey {
        SourceKey::of(text.parse().expect("an address"))
    }

    fn folding() -> Folding {
        Folding::new(BUDGET, 0)
    }

    #[test]
    fn a_repeat_adds_to_its_record_for_32_seconds() {
        let mut folding = folding();
        let id = folding.identity(source("192.0.2.1"), &[b"call", b"tag", b"branch"], 1);
        assert_eq!(folding.account(id, source("192.0.2.1"), WHAT, Scope::Own, (0, 5)), Account::Own(Scope::Own));
        let repeat = Account::Increment { base_seq: 5, why: IncrementWhy::Retransmission };
        assert_eq!(folding.account(id, source("192.0.2.1"), WHAT, Scope::Own, (31_000, 6)), repeat);
        assert_eq!(folding.account(id, source("192.0.2.1"), WHAT, Scope::Other, (31_000, 6)), repeat);
        assert_eq!(folding.account(id, source("192.0.2.1"), WHAT, Scope::Own, (33_000, 7)), Account::Own(Scope::Own));
    }

    #[test]
    fn widened_records_are_told_apart_by_source_network_reason_and_method() {
        let mut folding = folding();
        let mut seq = 10;
        let mut account = |from: &str, what, scope, now_ms| {
            seq += 1;
            folding.account(seq, source(from), what, scope, (now_ms, seq))
        };
        assert_eq!(account("192.0.2.1", WHAT, Scope::Source, 0), Account::Own(Scope::Source));
        let first = Account::Increment { base_seq: 11, why: IncrementWhy::Widened };
        assert_eq!(account("192.0.2.1", WHAT, Scope::Source, 0), first);
        assert_eq!(account("192.0.2.2", WHAT, Scope::Source, 0), Account::Own(Scope::Source));
        assert_eq!(account("192.0.2.2", WHAT, Scope::Network, 0), Account::Own(Scope::Network));
        let network = Account::Increment { base_seq: 14, why: IncrementWhy::Widened };
        assert_eq!(account("192.0.2.77", WHAT, Scope::Network, 0), network);
        assert_eq!(account("198.51.100.1", WHAT, Scope::Other, 0), Account::Own(Scope::Other));
        let other = Account::Increment { base_seq: 16, why: IncrementWhy::Widened };
        assert_eq!(account("203.0.113.1", WHAT, Scope::Other, 0), other);
        assert_eq!(account("203.0.113.1", (Reason::Malformed, 1), Scope::Other, 0), Account::Own(Scope::Other));
        assert_eq!(account("203.0.113.1", WHAT, Scope::Other, OPEN_MS), Account::Own(Scope::Other));
    }

    #[test]
    fn folding_widens_as_the_savings_shrink_and_narrows_as_they_return() {
        let mut folding = folding();
        let mut scopes = Vec::new();
        for spent in [0, 40_000, 20_000, 10_000, 10_000] {
            folding.spend(spent);
            scopes.push(folding.scope(BUDGET, 0));
        }
        assert_eq!(scopes, [Scope::Own, Scope::Source, Scope::Network, Scope::Other, Scope::Other]);
        assert_eq!(folding.scope(BUDGET, 41_000), Scope::Own);
    }
}
