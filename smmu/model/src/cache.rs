//! A fixed-size set-associative cache keyed by a number: the configuration caches.

const WAYS: usize = 4;

/// `SETS` × 4 entries; `SETS` is a power of two.
pub(crate) struct Cache<V: Copy, const SETS: usize> {
    entries: [[Option<(u64, V)>; WAYS]; SETS],
    victim: usize,
}

impl<V: Copy, const SETS: usize> Cache<V, SETS> {
    pub const fn new() -> Self {
        Self { entries: [const { [None; WAYS] }; SETS], victim: 0 }
    }

    fn set(key: u64) -> usize {
        let mixed = (key ^ (key >> 20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as usize & (SETS - 1)
    }

    pub fn get(&self, key: u64) -> Option<V> {
        self.find(key).copied()
    }

    pub fn find(&self, key: u64) -> Option<&V> {
        self.entries[Self::set(key)].iter().flatten().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Inserts or replaces, and gives what stands there now; evicts in turn when the set is full.
    pub fn insert(&mut self, key: u64, value: V) -> &V {
        let set = &mut self.entries[Self::set(key)];
        let way = set.iter().position(|e| matches!(e, Some((k, _)) if *k == key)).or_else(|| set.iter().position(Option::is_none));
        let way = way.unwrap_or_else(|| {
            self.victim = (self.victim + 1) % WAYS;
            self.victim
        });
        &set[way].insert((key, value)).1
    }

    pub fn remove(&mut self, key: u64) {
        for entry in &mut self.entries[Self::set(key)] {
            if matches!(entry, Some((k, _)) if *k == key) {
                *entry = None;
            }
        }
    }

    pub fn remove_where(&mut self, mut gone: impl FnMut(u64, &V) -> bool) {
        for entry in self.entries.iter_mut().flatten() {
            if matches!(entry, Some((k, v)) if gone(*k, v)) {
                *entry = None;
            }
        }
    }

    pub fn for_each(&mut self, mut change: impl FnMut(&mut V)) {
        self.entries.iter_mut().flatten().flatten().for_each(|(_, value)| change(value));
    }

    pub fn clear(&mut self) {
        self.remove_where(|_, _| true);
    }

    pub fn values(&self) -> impl Iterator<Item = &(u64, V)> {
        self.entries.iter().flatten().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_four_of_a_set_and_drops_what_it_is_told() {
        let mut cache: Cache<u32, 1> = Cache::new();
        for key in 0..4 {
            cache.insert(key, key as u32 * 10);
        }
        assert_eq!((0..4).map(|k| cache.get(k)).collect::<std::vec::Vec<_>>(), [Some(0), Some(10), Some(20), Some(30)]);
        cache.insert(2, 99);
        assert_eq!(cache.get(2), Some(99));
        cache.insert(9, 1);
        assert_eq!((0..10).filter(|k| cache.get(*k).is_some()).count(), 4);
        cache.remove(9);
        assert_eq!(cache.get(9), None);
        cache.clear();
        assert_eq!(cache.values().count(), 0);
    }
}
