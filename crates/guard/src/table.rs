// SPDX-License-Identifier: Apache-2.0
//! A hash table of fixed size for everything that strangers choose the keys of.
//!
//! Memory is taken once. A full set forgets its least recently used entry, so a flood of new keys costs the
//! oldest knowledge, never memory. Keys are hashed with a seed of this process, so nobody outside can aim at a set.

use std::hash::{BuildHasher, Hash};

const WAYS: usize = 8;

struct Slot<K, V> {
    key: K,
    value: V,
    used: u64,
}

/// Fixed-capacity map with least-recently-used replacement inside each set of eight.
pub struct BoundedMap<K, V> {
    sets: Vec<[Option<Slot<K, V>>; WAYS]>,
    seed: foldhash::fast::RandomState,
    tick: u64,
    len: usize,
    evicted: u64,
}

impl<K: Hash + Eq, V> BoundedMap<K, V> {
    /// A map that holds at most `capacity` entries (rounded up to a power of two, at least eight).
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| std::array::from_fn(|_| None)).collect(),
            seed: foldhash::fast::RandomState::default(),
            tick: 0,
            len: 0,
            evicted: 0,
        }
    }

    fn set_of(&mut self, key: &K) -> Option<&mut [Option<Slot<K, V>>; WAYS]> {
        let mask = self.sets.len().wrapping_sub(1);
        let index = (self.seed.hash_one(key) as usize) & mask;
        self.sets.get_mut(index)
    }

    /// The value of `key`, now the most recently used of its set.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.tick = self.tick.wrapping_add(1);
        let tick = self.tick;
        let set = self.set_of(key)?;
        let slot = set.iter_mut().flatten().find(|slot| slot.key == *key)?;
        slot.used = tick;
        Some(&mut slot.value)
    }

    /// The value of `key`, made by `make` if it was not known; the oldest of a full set makes room.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.tick = self.tick.wrapping_add(1);
        let tick = self.tick;
        let mask = self.sets.len().wrapping_sub(1);
        let index = (self.seed.hash_one(&key) as usize) & mask;
        #[expect(clippy::indexing_slicing, reason = "index is masked to the number of sets")]
        let set = &mut self.sets[index];
        let mut free = 0;
        let mut oldest = u64::MAX;
        let mut found = None;
        for (way, slot) in set.iter().enumerate() {
            match slot {
                Some(slot) if slot.key == key => {
                    found = Some(way);
                    break;
                }
                Some(slot) if slot.used >= oldest => {}
                Some(slot) => {
                    oldest = slot.used;
                    free = way;
                }
                None => {
                    oldest = 0;
                    free = way;
                }
            }
        }
        let way = found.unwrap_or(free);
        #[expect(clippy::indexing_slicing, reason = "way comes from enumerating this set")]
        let slot = &mut set[way];
        if found.is_none() {
            if slot.is_some() {
                self.evicted = self.evicted.wrapping_add(1);
            } else {
                self.len = self.len.wrapping_add(1);
            }
            *slot = None;
        }
        let slot = slot.get_or_insert_with(|| Slot { key, value: make(), used: tick });
        slot.used = tick;
        &mut slot.value
    }

    /// Forget `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let set = self.set_of(key)?;
        let slot = set.iter_mut().find(|slot| slot.as_ref().is_some_and(|slot| slot.key == *key))?;
        let value = slot.take().map(|slot| slot.value);
        self.len = self.len.saturating_sub(1);
        value
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        for slot in self.sets.iter_mut().flatten() {
            *slot = None;
        }
        self.len = 0;
    }

    /// Entries held now.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries that had to make room, since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_set_forgets_its_least_recently_used_entry() {
        let mut map = BoundedMap::new(8);
        for key in 0..8_u32 {
            map.get_or_insert_with(key, || key);
        }
        assert!(map.get_mut(&0).is_some());
        map.get_or_insert_with(8, || 8);
        assert_eq!(map.get_mut(&0), Some(&mut 0));
        assert_eq!(map.get_mut(&1), None);
        assert_eq!((map.len(), map.evicted()), (8, 1));
    }

    proptest! {
        #[test]
        fn never_holds_more_than_its_capacity_and_never_mixes_keys(keys in prop::collection::vec(any::<u16>(), 0..2000)) {
            let mut map = BoundedMap::new(64);
            for key in keys {
                prop_assert_eq!(*map.get_or_insert_with(key, || u32::from(key)), u32::from(key));
                prop_assert!(map.len() <= 64);
            }
        }
    }
}
