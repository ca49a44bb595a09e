// SPDX-License-Identifier: Apache-2.0
//! Who wants to be woken when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Caller(u32),
    Vendor(u32),
}

/// Times in nanoseconds since the run began. An alarm that was set again is stale; whoever is woken compares.
#[derive(Default)]
pub(super) struct Alarms(BinaryHeap<Reverse<(u64, Who)>>);

impl Alarms {
    pub(super) fn set(&mut self, due_ns: u64, who: Who) {
        self.0.push(Reverse((due_ns, who)));
    }

    /// The next one that is due.
    pub(super) fn due(&mut self, now: u64) -> Option<(u64, Who)> {
        let Reverse((due_ns, who)) = *self.0.peek()?;
        (due_ns <= now).then(|| {
            self.0.pop();
            (due_ns, who)
        })
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((due_ns, _))| *due_ns)
    }
}
