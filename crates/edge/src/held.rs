// SPDX-License-Identifier: Apache-2.0
//! What waits for the disk: an action whose frame has to be durable, and whatever is ordered after it about the same call.

use std::collections::{HashMap, VecDeque};

struct Waiting<T> {
    seq: u64,
    call: u64,
    action: T,
}

/// Actions in the order they were given. Empty most of the time.
pub(crate) struct Held<T> {
    queue: VecDeque<Waiting<T>>,
    /// How many each call has in the queue.
    calls: HashMap<u64, usize>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), calls: HashMap::new() }
    }
}

impl<T> Held<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Keeps an action that waits for the sequence `seq`, or that comes behind one of its call; gives back any other.
    pub(crate) fn hold_or_give(&mut self, call: u64, seq: Option<u64>, action: T) -> Option<T> {
        if seq.is_none() && !self.calls.contains_key(&call) {
            return Some(action);
        }
        // The last in the queue may be another call's, and later than what this one waits for: it costs a moment, never the order.
        let seq = seq.or_else(|| self.queue.back().map(|last| last.seq)).unwrap_or(0);
        *self.calls.entry(call).or_default() += 1;
        self.queue.push_back(Waiting { seq, call, action });
        None
    }

    /// The next action that waits for nothing later than `through`, and its call.
    pub(crate) fn pop(&mut self, through: u64) -> Option<(u64, T)> {
        let Waiting { call, action, .. } = self.queue.pop_front_if(|waiting| waiting.seq <= through)?;
        if let Some(count) = self.calls.get_mut(&call) {
            *count -= 1;
            if *count == 0 {
                self.calls.remove(&call);
            }
        }
        Some((call, action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_behind_its_durable_frame_and_no_other_call_does() {
        let mut held = Held::default();
        assert_eq!(held.hold_or_give(1, None, "before"), Some("before"));
        assert_eq!(held.hold_or_give(1, Some(10), "200"), None);
        assert_eq!(held.hold_or_give(2, None, "another call"), Some("another call"));
        assert_eq!(held.hold_or_give(1, None, "bye"), None);
        assert_eq!(held.hold_or_give(2, Some(11), "200 too"), None);
        assert_eq!(
            (held.pop(9), held.pop(10), held.pop(10), held.pop(10)),
            (None, Some((1, "200")), Some((1, "bye")), None)
        );
        assert_eq!(held.hold_or_give(1, None, "after"), Some("after"));
        assert_eq!((held.pop(11), held.is_empty()), (Some((2, "200 too")), true));
    }
}
