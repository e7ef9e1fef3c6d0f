//! Near matches for a name that was not found.
//!
//! Compares text only; it must not know the meaning of names.

use std::collections::BTreeSet;

/// Allowed edit distance: a quarter of the letters, and at least one.
const LETTERS_PER_ERROR: usize = 4;

/// Returns at most `limit` names similar to `asked`, best first; letter case is ignored.
///
/// A name is similar if few letters differ, or if it has every part of `asked` (`llama-3-8b` finds
/// `llama-3.1-8b-instruct`). Spelling errors rank before missing parts. Different numbers rank last, because a size or a
/// version is seldom a typo. Equal ranks are sorted by name, so the result does not depend on the order of `names`.
#[must_use]
pub fn nearest<'a>(asked: &str, names: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<&'a str> {
    let asked = asked.to_lowercase();
    let mut ranked: Vec<_> = names
        .into_iter()
        .filter_map(|name| Some((rank(&asked, name)?, name)))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(limit).map(|(_, name)| name).collect()
}

/// Rank of a match: (kind, distance), or `None` if the names are not similar.
fn rank(asked: &str, name: &str) -> Option<(u8, usize)> {
    let name = name.to_lowercase();
    let errors = strsim::osa_distance(asked, &name);
    if errors <= (asked.len() / LETTERS_PER_ERROR).max(1) && errors < asked.len() {
        let slip = numbers(asked).eq(numbers(&name));
        return match (slip, has_all_parts(asked, &name)) {
            (true, _) => Some((0, errors)),
            (false, true) => Some((1, errors)),
            (false, false) => Some((2, errors)),
        };
    }
    has_all_parts(asked, &name).then(|| (1, name.len().abs_diff(asked.len())))
}

fn has_all_parts(asked: &str, name: &str) -> bool {
    let wanted = parts(asked);
    !wanted.is_empty() && wanted.is_subset(&parts(name))
}

/// Numbers in a name, in order.
fn numbers(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
}

/// Words and numbers of a name, without separators.
fn parts(name: &str) -> BTreeSet<&str> {
    name.split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
        .collect()
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
        assert_eq!(nearest(asked, NAMES, 3), expected, "asked for {asked}");
    }

    #[test]
    fn typing_errors() {
        check("phi4", &["phi-4"]);
        check("Flacon-7b", &["falcon-7b"]);
        check("falcon7b", &["falcon-7b"]);
        check("qwen3-8b-awk", &["Qwen3-8B-AWQ"]);
    }

    #[test]
    fn missing_parts() {
        check("llama-3-8b", &["llama-3.1-8b-instruct"]);
        check("phi-mini", &["phi-4-mini-instruct"]);
        check("falcon", &["falcon-7b", "falcon-40b"]);
    }

    #[test]
    fn other_numbers_come_last() {
        let names = ["llama-2-7b", "llama-3.1-8b-instruct", "llama-3-9b"];
        assert_eq!(
            nearest("llama-3-8b", names, 3),
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
    fn the_limit_holds_and_duplicates_are_dropped() {
        assert_eq!(
            nearest("falcon", NAMES.iter().chain(&NAMES).copied(), 1),
            ["falcon-7b"]
        );
        assert_eq!(nearest("falcon", NAMES, 0), [""; 0]);
    }
}
