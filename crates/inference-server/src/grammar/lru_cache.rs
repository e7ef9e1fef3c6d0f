//! A cache of a few values by text, least recently used first out. Pure.

use std::collections::VecDeque;

/// Holds at most `capacity` values and drops the least recently used one.
#[derive(Debug)]
pub(crate) struct LruCache<V> {
    capacity: usize,
    /// Most recently used first.
    entries: VecDeque<(String, V)>,
}

impl<V> LruCache<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: VecDeque::new(),
        }
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<&V> {
        let place = self.entries.iter().position(|(known, _)| known == key)?;
        let entry = self.entries.remove(place)?;
        self.entries.push_front(entry);
        self.entries.front().map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: String, value: V) {
        self.entries.retain(|(known, _)| *known != key);
        self.entries.push_front((key, value));
        self.entries.truncate(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_value_is_dropped() {
        let mut cache = LruCache::new(2);
        cache.insert("a".to_owned(), 1);
        cache.insert("b".to_owned(), 2);
        assert_eq!(cache.get("a"), Some(&1));
        cache.insert("c".to_owned(), 3);
        let found = ["a", "b", "c"].map(|key| cache.get(key).copied());
        assert_eq!(found, [Some(1), None, Some(3)]);
        cache.insert("a".to_owned(), 4);
        assert_eq!(cache.get("a").copied(), Some(4));
        assert_eq!(cache.entries.len(), 2);
    }
}
