//! Near matches for a name that was not found: one measure, one order and one sentence for all programs.
//!
//! The admission policy of the catalog has the same measure in CEL, which knows no edit distance. It counts the pairs of neighboring
//! letters and the words of the asked name that another name has. A test of `lint` compares the two. This module compares
//! text only; it must not know the meaning of names.

use std::cmp::Reverse;

/// Most suggestions for an unknown name.
pub const MOST: usize = 3;
/// Characters of a name that are compared.
const COMPARED: usize = 64;
/// Characters between the words of a name.
const SEPARATORS: [char; 5] = ['-', '.', '_', '/', ' '];

/// Returns at most [`MOST`] names similar to `asked`, best first; letter case is ignored.
///
/// A name is similar if it has half of the words and letter pairs of `asked`. The more it has, the better; then a shorter name
/// is better, and then the first of the alphabet. The order of `names` does not matter.
#[must_use]
pub fn nearest<'a>(asked: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let features = Features::of(asked);
    let wanted = features.words.len() + features.pairs.len();
    let mut ranked: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let likeness = features.found_in(name);
            let is_near = likeness > 0 && likeness * 2 >= wanted;
            is_near.then_some((Reverse(likeness), name.chars().count(), name))
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(MOST).map(|(_, _, name)| name).collect()
}

/// Returns the end of a message about an unknown name: `; did you mean a, b?`, or nothing without suggestions.
#[must_use]
pub fn hint(near: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = near.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}

/// Words and pairs of letters of a name.
struct Features {
    words: Vec<String>,
    pairs: Vec<String>,
}

impl Features {
    fn of(name: &str) -> Self {
        let name: String = name
            .chars()
            .take(COMPARED)
            .collect::<String>()
            .to_ascii_lowercase();
        let letters: Vec<char> = name.chars().filter(|c| !SEPARATORS.contains(c)).collect();
        let words = name.split(SEPARATORS).filter(|word| !word.is_empty());
        Self {
            words: words.map(ToOwned::to_owned).collect(),
            pairs: letters.windows(2).map(|pair| pair.iter().collect()).collect(),
        }
    }

    /// Returns the number of words and pairs that the name has, too.
    fn found_in(&self, name: &str) -> usize {
        let name = name.to_ascii_lowercase();
        let letters = name.replace(SEPARATORS, "");
        let has_word = |word: &&String| name.split(SEPARATORS).any(|other| other == word.as_str());
        let words = self.words.iter().filter(has_word).count();
        words
            + self
                .pairs
                .iter()
                .filter(|pair| letters.contains(pair.as_str()))
                .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = [
        "phi-4",
        "phi-4-mini-instruct",
        "llama-3.1-8b-instruct",
        "falcon-7b",
        "falcon-40b",
        "Qwen3-8B-AWQ",
    ];

    #[track_caller]
    fn check(asked: &str, expected: &[&str]) {
        assert_eq!(nearest(asked, NAMES), expected, "asked for {asked}");
    }

    #[test]
    fn typing_errors() {
        check("phi4", &["phi-4", "phi-4-mini-instruct"]);
        check("Flacon-7b", &["falcon-7b"]);
        check("falcon7b", &["falcon-7b", "falcon-40b"]);
        check("qwen3-8b-awk", &["Qwen3-8B-AWQ"]);
    }

    #[test]
    fn missing_parts() {
        check("llama-3-8b", &["llama-3.1-8b-instruct"]);
        check("phi-mini", &["phi-4-mini-instruct"]);
        check("falcon", &["falcon-7b", "falcon-40b"]);
    }

    #[test]
    fn more_in_common_is_better() {
        let names = ["llama-2-7b", "llama-3.1-8b-instruct", "llama-3-9b"];
        assert_eq!(
            nearest("llama-3-8b", names),
            ["llama-3.1-8b-instruct", "llama-3-9b", "llama-2-7b"]
        );
    }

    #[test]
    fn nothing_is_better_than_anything() {
        check("", &[]);
        check("-", &[]);
        check("x", &[]);
        check("gpt-2", &[]);
    }

    #[test]
    fn few_are_named_and_none_twice() {
        let many = ["falcon-d", "falcon-c", "falcon-b", "falcon-a"];
        assert_eq!(
            nearest("falcon", many.iter().chain(&many).copied()),
            ["falcon-a", "falcon-b", "falcon-c"]
        );
    }

    #[test]
    fn one_sentence() {
        assert_eq!(hint(&[""; 0]), "");
        assert_eq!(hint(&["a"]), "; did you mean a?");
        assert_eq!(hint(&["a".to_owned(), "b".to_owned()]), "; did you mean a, b?");
    }
}
