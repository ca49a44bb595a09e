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

/// The hashes fill one cache line, so a key that is not here costs one look at memory.
#[repr(align(64))]
struct Hashes([u64; WAYS]);

/// Fixed-capacity map with least-recently-used replacement inside each set of eight.
pub struct BoundedMap<K, V> {
    /// Zero where the slot of the same place is empty.
    hashes: Vec<Hashes>,
    slots: Vec<[Option<Slot<K, V>>; WAYS]>,
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
            hashes: (0..sets).map(|_| Hashes([0; WAYS])).collect(),
            slots: (0..sets).map(|_| std::array::from_fn(|_| None)).collect(),
            seed: foldhash::fast::RandomState::default(),
            tick: 0,
            len: 0,
            evicted: 0,
        }
    }

    fn hash(&self, key: &K) -> u64 {
        self.seed.hash_one(key).max(1)
    }

    fn set_index(&self, hash: u64) -> usize {
        (hash as usize) & self.hashes.len().wrapping_sub(1)
    }

    /// (set, way) of a key that is here.
    fn find(&self, hash: u64, key: &K) -> Option<(usize, usize)> {
        let set = self.set_index(hash);
        let (hashes, slots) = (self.hashes.get(set)?, self.slots.get(set)?);
        let same = |way: &usize| slots.get(*way).and_then(Option::as_ref).is_some_and(|slot| slot.key == *key);
        let way = (0..WAYS).filter(|way| hashes.0.get(*way) == Some(&hash)).find(same)?;
        Some((set, way))
    }

    /// The value of `key`, now the most recently used of its set.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (set, way) = self.find(self.hash(key), key)?;
        self.tick = self.tick.wrapping_add(1);
        let slot = self.slots.get_mut(set)?.get_mut(way)?.as_mut()?;
        slot.used = self.tick;
        Some(&mut slot.value)
    }

    /// The value of `key`, made by `make` if it was not known; the oldest of a full set makes room.
    #[expect(
        clippy::indexing_slicing,
        reason = "set is masked to the number of sets, way comes from a search in 0..WAYS"
    )]
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let hash = self.hash(&key);
        let found = self.find(hash, &key);
        let (set, way) = found.unwrap_or_else(|| {
            let set = self.set_index(hash);
            let used = |way: &usize| self.slots[set][*way].as_ref().map_or(0, |slot| slot.used);
            (set, (0..WAYS).min_by_key(used).unwrap_or(0))
        });
        self.tick = self.tick.wrapping_add(1);
        let slot = &mut self.slots[set][way];
        if found.is_none() {
            if slot.take().is_some() {
                self.evicted = self.evicted.wrapping_add(1);
            } else {
                self.len = self.len.wrapping_add(1);
            }
            self.hashes[set].0[way] = hash;
        }
        let slot = slot.get_or_insert_with(|| Slot { key, value: make(), used: 0 });
        slot.used = self.tick;
        &mut slot.value
    }

    /// Forget `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (set, way) = self.find(self.hash(key), key)?;
        *self.hashes.get_mut(set)?.0.get_mut(way)? = 0;
        self.len = self.len.saturating_sub(1);
        self.slots.get_mut(set)?.get_mut(way)?.take().map(|slot| slot.value)
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        if self.len == 0 {
            return;
        }
        for (hashes, slots) in self.hashes.iter_mut().zip(&mut self.slots) {
            hashes.0 = [0; WAYS];
            *slots = std::array::from_fn(|_| None);
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
