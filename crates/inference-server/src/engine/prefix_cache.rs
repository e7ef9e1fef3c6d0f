//! Finished sequences that are kept because the next request may begin like them: system prompts, earlier turns of a chat.
//!
//! Pure: what is kept beside the tokens is a type parameter, and so is the kind of a sequence.

use std::collections::VecDeque;

/// Beginnings shorter than this are computed again: copying them costs more than it saves.
const SHORTEST: usize = 16;

/// Kept sequences, least recently used first.
#[derive(Debug)]
pub(crate) struct Prefixes<K, T> {
    kept: VecDeque<Kept<K, T>>,
    /// Positions that all of them together may have.
    capacity: usize,
}

#[derive(Debug)]
struct Kept<K, T> {
    tokens: Vec<u32>,
    /// Only sequences of the same kind share.
    kind: K,
    what: T,
}

impl<K: PartialEq, T> Prefixes<K, T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            capacity,
        }
    }

    /// Keeps a sequence; forgets those it contains, and old ones for which there is no room.
    pub(crate) fn keep(&mut self, kind: K, tokens: Vec<u32>, what: T) {
        if tokens.len() < SHORTEST || tokens.len() > self.capacity {
            return;
        }
        self.kept
            .retain(|old| old.kind != kind || !tokens.starts_with(&old.tokens));
        self.kept.push_back(Kept { tokens, kind, what });
        while self.kept.iter().map(|kept| kept.tokens.len()).sum::<usize>() > self.capacity {
            self.kept.pop_front();
        }
    }

    /// The sequence that shares the longest beginning with `prompt`, and how long that is. All of `prompt` is never
    /// shared: its last token has to be computed to go on from.
    pub(crate) fn find(&mut self, kind: &K, prompt: &[u32]) -> Option<(usize, &T)> {
        let shared = |kept: &Kept<K, T>| {
            let same = kept.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
            same.min(prompt.len().saturating_sub(1))
        };
        let candidates = self
            .kept
            .iter()
            .enumerate()
            .filter(|(_, kept)| kept.kind == *kind);
        let (index, length) = candidates
            .map(|(index, kept)| (index, shared(kept)))
            .max_by_key(|(_, length)| *length)?;
        if length < SHORTEST {
            return None;
        }
        let used = self.kept.remove(index)?;
        self.kept.push_back(used);
        self.kept.back().map(|kept| (length, &kept.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    #[test]
    fn the_longest_common_beginning_is_found() {
        let mut prefixes = Prefixes::new(200);
        prefixes.keep(0, tokens(0..20), "short");
        prefixes.keep(0, [tokens(0..18), tokens(50..70)].concat(), "other");
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
    fn old_and_contained_ones_go() {
        let mut prefixes = Prefixes::new(60);
        prefixes.keep(0, tokens(0..20), 1);
        prefixes.keep(0, tokens(0..25), 2);
        prefixes.keep(0, tokens(100..120), 3);
        assert_eq!(prefixes.find(&0, &tokens(0..30)), Some((25, &2)));
        prefixes.keep(0, tokens(200..230), 4);
        assert_eq!(prefixes.find(&0, &tokens(100..130)), None);
        assert_eq!(prefixes.find(&0, &tokens(0..30)), Some((25, &2)));
        prefixes.keep(0, tokens(300..400), 5);
        assert_eq!(prefixes.find(&0, &tokens(200..240)), Some((30, &4)));
    }
}
