//! A few values that were needed lately, by their text. Pure.

use std::collections::VecDeque;

/// Keeps at most a number of values, and forgets what was not asked for longest.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    most: usize,
    /// The latest is first.
    entries: VecDeque<(String, V)>,
}

impl<V> Recent<V> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            entries: VecDeque::new(),
        }
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<&V> {
        let place = self.entries.iter().position(|(known, _)| known == key)?;
        let entry = self.entries.remove(place)?;
        self.entries.push_front(entry);
        self.entries.front().map(|(_, value)| value)
    }

    pub(crate) fn put(&mut self, key: String, value: V) {
        self.entries.retain(|(known, _)| *known != key);
        self.entries.push_front((key, value));
        self.entries.truncate(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let mut recent = Recent::new(2);
        recent.put("a".to_owned(), 1);
        recent.put("b".to_owned(), 2);
        assert_eq!(recent.get("a"), Some(&1));
        recent.put("c".to_owned(), 3);
        let found = ["a", "b", "c"].map(|key| recent.get(key).copied());
        assert_eq!(found, [Some(1), None, Some(3)]);
        recent.put("a".to_owned(), 4);
        assert_eq!(recent.get("a").copied(), Some(4));
        assert_eq!(recent.entries.len(), 2);
    }
}
