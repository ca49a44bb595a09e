// SPDX-License-Identifier: Apache-2.0
//! One queue for the deadlines of all transactions: a hashed timer wheel of one slot per millisecond.
//!
//! Nearly all deadlines are moved or taken away before they come (a response stops timer A), and most of those that come lie 32 s ahead. In a wheel both
//! cost a few memory accesses, whatever the number of live transactions; in a heap a deadline that no longer counts stays until it
//! comes up, and each costs a walk down the heap. `cargo bench -p transaction` measures both.
//!
//! A slot is a doubly linked list through `links`, which is indexed like the table of transactions. A deadline is rounded up to the next
//! millisecond, so it is never early. The wheel goes round in 65.5 s; what lies further ahead waits in its slot for its round.

use std::time::{Duration, Instant};

/// Slots, a power of two.
const SLOTS: usize = 1 << 16;
const MASK: u64 = SLOTS as u64 - 1;
/// Words with a bit for each slot, a power of two.
const WORDS: usize = SLOTS >> 6;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    /// Milliseconds since `origin`; `u64::MAX` where nothing is set.
    tick: u64,
    previous: u32,
    next: u32,
}

impl Link {
    const UNSET: Self = Self { tick: u64::MAX, previous: NONE, next: NONE };
}

/// Deadlines of entries that are named by small numbers.
#[derive(Clone, Debug)]
pub struct Wheel {
    origin: Instant,
    /// All before this tick has been given out.
    cursor: u64,
    heads: Box<[u32]>,
    /// One bit for each slot that is not empty.
    occupied: Box<[u64]>,
    links: Vec<Link>,
}

impl Wheel {
    /// An empty wheel. Memory for `capacity` entries is asked for at once, so that nothing has to move later.
    pub fn new(now: Instant, capacity: usize) -> Self {
        Self {
            origin: now,
            cursor: 0,
            heads: vec![NONE; SLOTS].into_boxed_slice(),
            occupied: vec![0; WORDS].into_boxed_slice(),
            links: Vec::with_capacity(capacity),
        }
    }

    /// Sets the deadline of an entry, in place of the one it had; None: it has none.
    pub fn set(&mut self, entry: u32, deadline: Option<Instant>) {
        let tick = deadline.map_or(u64::MAX, |deadline| self.tick_after(deadline).max(self.cursor));
        let index = entry as usize;
        if index >= self.links.len() {
            self.links.resize(index.saturating_add(1), Link::UNSET);
        }
        let Some(link) = self.links.get(index).copied() else { return };
        if link.tick == tick {
            return;
        }
        self.unlink(entry, link);
        if tick != u64::MAX {
            self.link(entry, tick);
        }
    }

    /// Takes an entry whose deadline has come; each once, in order of their milliseconds.
    pub fn take_due(&mut self, now: Instant) -> Option<u32> {
        let until = self.tick_before(now);
        while self.cursor <= until {
            if let Some(entry) = self.due_in_slot() {
                let link = self.links.get(entry as usize).copied()?;
                self.unlink(entry, link);
                return Some(entry);
            }
            if self.cursor == until {
                // The slot of this millisecond stays open: a deadline that is over may still be set.
                return None;
            }
            self.cursor = self.next_occupied(self.cursor.saturating_add(1)).map_or(until, |tick| tick.min(until));
        }
        None
    }

    /// When to ask [`Self::take_due`] next. Never after the first deadline; before it only where that is more than 65 s away.
    pub fn next(&self) -> Option<Instant> {
        let tick = self.next_occupied(self.cursor)?;
        self.origin.checked_add(Duration::from_millis(tick))
    }

    /// First entry in the slot at the cursor that is of this round.
    fn due_in_slot(&self) -> Option<u32> {
        let mut entry = self.heads.get((self.cursor & MASK) as usize).copied().filter(|&head| head != NONE)?;
        loop {
            let link = self.links.get(entry as usize)?;
            if link.tick <= self.cursor {
                return Some(entry);
            }
            if link.next == NONE {
                return None;
            }
            entry = link.next;
        }
    }

    /// First tick from `from` on, within one round, whose slot is not empty.
    fn next_occupied(&self, from: u64) -> Option<u64> {
        let start = from & MASK;
        let first = (start >> 6) as usize;
        // The first word is looked at twice: its upper bits now, its lower ones at the end of the round.
        for step in 0..=WORDS {
            let at = first.wrapping_add(step) & (WORDS - 1);
            let mut word = self.occupied.get(at).copied().unwrap_or(0);
            if step == 0 {
                word &= u64::MAX << (start & 63);
            }
            if word != 0 {
                let slot = (at as u64) << 6 | u64::from(word.trailing_zeros());
                return Some(from.wrapping_add(slot.wrapping_sub(start) & MASK));
            }
        }
        None
    }

    fn link(&mut self, entry: u32, tick: u64) {
        let slot = (tick & MASK) as usize;
        let Some(head) = self.heads.get_mut(slot) else { return };
        let next = std::mem::replace(head, entry);
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = entry;
        } else if let Some(word) = self.occupied.get_mut(slot >> 6) {
            *word |= 1 << (slot & 63);
        }
        if let Some(link) = self.links.get_mut(entry as usize) {
            *link = Link { tick, previous: NONE, next };
        }
    }

    fn unlink(&mut self, entry: u32, link: Link) {
        if link.tick == u64::MAX {
            return;
        }
        let slot = (link.tick & MASK) as usize;
        if let Some(next) = self.links.get_mut(link.next as usize) {
            next.previous = link.previous;
        }
        if let Some(previous) = self.links.get_mut(link.previous as usize) {
            previous.next = link.next;
        } else if let Some(head) = self.heads.get_mut(slot) {
            *head = link.next;
            if link.next == NONE
                && let Some(word) = self.occupied.get_mut(slot >> 6)
            {
                *word &= !(1 << (slot & 63));
            }
        }
        if let Some(link) = self.links.get_mut(entry as usize) {
            *link = Link::UNSET;
        }
    }

    /// The tick at or after an instant.
    fn tick_after(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        let whole = since.as_millis() as u64;
        whole.saturating_add(u64::from(!since.subsec_nanos().is_multiple_of(1_000_000)))
    }

    /// The tick at or before an instant.
    fn tick_before(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.origin).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn deadlines_come_in_order_and_never_early() {
        let now = Instant::now();
        let mut wheel = Wheel::new(now, 4);
        assert_eq!((wheel.next(), wheel.take_due(now)), (None, None));
        wheel.set(2, Some(now + ms(500)));
        wheel.set(0, Some(now + ms(200)));
        wheel.set(1, Some(now + Duration::from_micros(200_001)));
        assert_eq!((wheel.next(), wheel.take_due(now + ms(199))), (Some(now + ms(200)), None));
        assert_eq!(wheel.take_due(now + ms(200)), Some(0));
        assert_eq!(wheel.take_due(now + ms(200)), None);
        assert_eq!(wheel.next(), Some(now + ms(201)));
        let late = now + ms(10_000);
        assert_eq!([wheel.take_due(late), wheel.take_due(late), wheel.take_due(late)], [Some(1), Some(2), None]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_deadline_can_be_moved_and_taken_away() {
        let now = Instant::now();
        let mut wheel = Wheel::new(now, 4);
        for entry in 0..3 {
            wheel.set(entry, Some(now + ms(100)));
        }
        wheel.set(1, None);
        wheel.set(0, Some(now + ms(300)));
        assert_eq!(wheel.take_due(now + ms(200)), Some(2));
        assert_eq!(wheel.take_due(now + ms(200)), None);
        assert_eq!(wheel.take_due(now + ms(300)), Some(0));
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_deadline_that_is_over_is_due_at_once() {
        let now = Instant::now();
        let mut wheel = Wheel::new(now, 4);
        assert_eq!(wheel.take_due(now + ms(1_000)), None);
        wheel.set(0, Some(now + ms(10)));
        assert_eq!(wheel.take_due(now + ms(1_000)), Some(0));
        assert_eq!(wheel.take_due(now + ms(1_000)), None);
    }

    #[test]
    fn what_lies_beyond_a_round_waits_for_its_own() {
        let now = Instant::now();
        let mut wheel = Wheel::new(now, 4);
        let far = SLOTS as u64 * 2 + 5;
        wheel.set(0, Some(now + ms(far)));
        wheel.set(1, Some(now + ms(5)));
        assert_eq!(wheel.take_due(now + ms(5)), Some(1));
        for step in 0..=far / 1_000 {
            assert_eq!(wheel.take_due(now + ms(step * 1_000)), None);
        }
        assert!(wheel.next().is_some_and(|next| next <= now + ms(far)));
        assert_eq!(wheel.take_due(now + ms(far - 1)), None);
        assert_eq!(wheel.take_due(now + ms(far)), Some(0));
    }

    proptest! {
        /// Against a map: the same entries come at the same times, whatever is set, moved and taken away.
        #[test]
        fn the_wheel_gives_what_a_sorted_map_would(
            steps in prop::collection::vec((0..12_u32, prop::option::of(0..150_000_u64), 0..40_000_u64), 1..120),
        ) {
            let origin = Instant::now();
            let (mut wheel, mut map, mut at) = (Wheel::new(origin, 0), BTreeMap::new(), 0);
            for (entry, after, pause) in steps {
                let deadline = after.map(|after| at + after);
                wheel.set(entry, deadline.map(|deadline| origin + ms(deadline)));
                map.remove(&entry);
                map.extend(deadline.map(|deadline| (entry, deadline)));
                let first = map.values().min().map(|first| origin + ms(*first));
                prop_assert_eq!(wheel.next().is_some(), first.is_some());
                prop_assert!(wheel.next() <= first);
                at += pause;
                let mut due = Vec::new();
                while let Some(entry) = wheel.take_due(origin + ms(at)) {
                    due.push((map.remove(&entry), entry));
                }
                prop_assert!(due.iter().all(|(deadline, _)| deadline.is_some_and(|deadline| deadline <= at)));
                prop_assert!(due.windows(2).all(|pair| pair[0].0 <= pair[1].0));
                prop_assert!(map.values().all(|deadline| *deadline > at));
            }
        }
    }
}
