//! Finished sequences whose prefix the next request may share: system prompts, earlier turns of a chat.
//!
//! Pure: the cached value and the key that restricts sharing are type parameters.

use std::collections::VecDeque;

/// Shorter prefixes are computed again: a copy costs more than it saves.
const MIN_TOKENS: usize = 16;

/// Cached sequences, least recently used first.
#[derive(Debug)]
pub(crate) struct PrefixCache<K, T> {
    entries: VecDeque<CachedPrefix<K, T>>,
    /// Positions of all entries together.
    capacity: usize,
}

#[derive(Debug)]
struct CachedPrefix<K, T> {
    tokens: Vec<u32>,
    /// Only sequences with the same key share.
    key: K,
    value: T,
}

impl<K: PartialEq, T> PrefixCache<K, T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity,
        }
    }

    /// Adds a sequence. Drops those that are a prefix of it, and the least recently used ones beyond the capacity.
    pub(crate) fn insert(&mut self, key: K, tokens: Vec<u32>, value: T) {
        if tokens.len() < MIN_TOKENS || tokens.len() > self.capacity {
            return;
        }
        self.entries
            .retain(|old| old.key != key || !tokens.starts_with(&old.tokens));
        self.entries.push_back(CachedPrefix { tokens, key, value });
        while self.entries.iter().map(|entry| entry.tokens.len()).sum::<usize>() > self.capacity {
            self.entries.pop_front();
        }
    }

    /// Returns the sequence that shares the longest prefix with `prompt`, and the length of the prefix. The prefix is shorter
    /// than `prompt`: its last token must be computed to get logits.
    pub(crate) fn find(&mut self, key: &K, prompt: &[u32]) -> Option<(usize, &T)> {
        let shared = |entry: &CachedPrefix<K, T>| {
            let same = entry
                .tokens
                .iter()
                .zip(prompt)
                .take_while(|(a, b)| a == b)
                .count();
            same.min(prompt.len().saturating_sub(1))
        };
        let candidates = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.key == *key);
        let (index, length) = candidates
            .map(|(index, entry)| (index, shared(entry)))
            .max_by_key(|(_, length)| *length)?;
        if length < MIN_TOKENS {
            return None;
        }
        let used = self.entries.remove(index)?;
        self.entries.push_back(used);
        self.entries.back().map(|entry| (length, &entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    #[test]
    fn the_longest_common_prefix_is_found() {
        let mut prefixes = PrefixCache::new(200);
        prefixes.insert(0, tokens(0..20), "short");
        prefixes.insert(0, [tokens(0..18), tokens(50..70)].concat(), "other");
        assert_eq!(prefixes.find(&0, &tokens(0..30)), Some((20, &"short")));
        assert_eq!(
            prefixes.find(&0, &[tokens(0..18), tokens(50..60)].concat()),
            Some((27, &"other"))
        );
        assert_eq!(prefixes.find(&0, &tokens(0..10)), None);
        assert_eq!(prefixes.find(&0, &tokens(0..20)), Some((19, &"short")));
        assert_eq!(prefixes.find(&1, &tokens(0..20)), None);
    }

    #[test]
    fn old_and_contained_entries_are_dropped() {
        let mut prefixes = PrefixCache::new(60);
        prefixes.insert(0, tokens(0..20), 1);
        prefixes.insert(0, tokens(0..25), 2);
        prefixes.insert(0, tokens(100..120), 3);
        assert_eq!(prefixes.find(&0, &tokens(0..30)), Some((25, &2)));
        prefixes.insert(0, tokens(200..230), 4);
        assert_eq!(prefixes.find(&0, &tokens(100..130)), None);
        assert_eq!(prefixes.find(&0, &tokens(0..30)), Some((25, &2)));
        prefixes.insert(0, tokens(300..400), 5);
        assert_eq!(prefixes.find(&0, &tokens(200..240)), Some((30, &4)));
    }
}
