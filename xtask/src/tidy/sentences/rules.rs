//! The rules for one comment or one message.

use super::finding::Finding;
use crate::tidy::text::{Kind, Piece};

/// Words that an item's doc does not begin with.
const OPENINGS: &[&str] = &["what", "whether", "how", "where", "who", "why", "which", "when"];

/// The most words of a sentence in a doc.
const LONGEST: usize = 25;

/// Literary turns, in lower case; an underscore stands for a space, so that the list does not find itself.
const LITERARY: &[&str] = &[
    "ails",
    "anew",
    "by_hand",
    "dear",
    "goes_on",
    "going_on",
    "greeted",
    "lest",
    "nobody",
    "somebody",
    "speaks",
    "spoken",
    "tells",
    "told",
    "to_its_fate",
    "to_their_fate",
    "whoever",
    "whom",
];

/// Spellings that are not ours: American, and `cannot`.
const SPELLINGS: &[&str] = &[
    "can't",
    "behaviour",
    "cancelled",
    "cancelling",
    "catalogue",
    "catalogues",
    "colour",
    "favour",
    "honour",
    "initialise",
    "initialised",
    "labelled",
    "licence",
    "neighbour",
    "neighbouring",
    "normalise",
    "normalised",
    "optimisation",
    "optimise",
    "quantised",
    "recognise",
    "recognised",
    "serialise",
    "serialised",
    "tokenise",
    "tokenised",
    "unrecognised",
];

/// The findings of the lines of one comment.
pub(super) fn prose(lines: &[Piece]) -> Vec<Finding> {
    let mut found = Vec::new();
    let is_doc = lines.first().is_some_and(|line| line.kind == Kind::Doc);
    let sentences = sentences(lines);
    for (index, (line, sentence)) in sentences.iter().enumerate() {
        let mut add = |rule| found.push(finding(*line, rule, sentence));
        let words: Vec<String> = words(sentence).collect();
        if is_doc
            && index == 0
            && words
                .first()
                .is_some_and(|word| OPENINGS.contains(&word.as_str()))
        {
            add("begins with a question word");
        }
        if is_doc && words.len() > LONGEST {
            add("more than 25 words");
        }
        if has(&words, LITERARY) {
            add("literary");
        }
        if has(&words, SPELLINGS) {
            add("spelling");
        }
    }
    found
}

/// The findings of one string literal. What has no space is a name, not a message.
pub(super) fn message(literal: &Piece) -> Vec<Finding> {
    let mut found = Vec::new();
    if !literal.text.trim().contains(' ') {
        return found;
    }
    for (line, text) in literal.text.lines().enumerate() {
        let mut add = |rule| found.push(finding(literal.line + line, rule, text));
        let words: Vec<String> = words(&without_code(text)).collect();
        if is_no(&words) {
            add("`is no …`");
        }
        if has(&words, LITERARY) {
            add("literary");
        }
        if has(&words, SPELLINGS) {
            add("spelling");
        }
    }
    found
}

fn finding(line: usize, rule: &'static str, text: &str) -> Finding {
    let text = text.trim().to_owned();
    Finding { line, rule, text }
}

/// `is no number`, but not `there is no pool` and `is no longer`.
fn is_no(words: &[String]) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| words.get(at)).map_or("", String::as_str);
    (0..words.len()).any(|at| {
        word(Some(at)) == "is"
            && word(Some(at + 1)) == "no"
            && !matches!(word(Some(at + 2)), "longer" | "more" | "such")
            && word(at.checked_sub(1)) != "there"
    })
}

fn has(words: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| {
        let phrase: Vec<&str> = phrase.split('_').collect();
        words.windows(phrase.len()).any(|window| window == phrase)
    })
}

/// The sentences of a comment with the lines where they begin. Fenced code, tables and headings are left out;
/// a list item and an empty line begin a new sentence.
fn sentences(lines: &[Piece]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut is_fenced, mut is_open) = (false, false);
    for piece in lines {
        let text = piece.text.trim();
        if text.starts_with("```") {
            is_fenced = !is_fenced;
        }
        if is_fenced || text.is_empty() || text.starts_with(['|', '#']) {
            is_open = false;
            continue;
        }
        if is_item(text) {
            is_open = false;
        }
        for part in parts(&without_code(text)) {
            match found.last_mut().filter(|_| is_open) {
                Some((_, sentence)) => {
                    sentence.push(' ');
                    sentence.push_str(part);
                }
                None => found.push((piece.line, part.to_owned())),
            }
            is_open = !part.ends_with(['.', '?', '!']) && !part.ends_with(".)");
        }
    }
    found
}

fn is_item(text: &str) -> bool {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.starts_with("- ")
        || text.starts_with("* ")
        || (number.len() < text.len() && number.starts_with(". "))
}

/// A line, split after each period that ends a sentence.
fn parts(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(['.', '?', '!']) {
        let (before, after) = text.split_at(at + 1);
        let ends = after.starts_with(' ') || after.starts_with(") ");
        if ends
            && !["e.g.", "i.e.", "etc.", "vs.", "cf."]
                .iter()
                .any(|short| before.ends_with(short))
        {
            found.push(text.get(from..=at).unwrap_or_default().trim());
            from = at + 1;
        }
    }
    found.push(text.get(from..).unwrap_or_default().trim());
    found.retain(|part| !part.is_empty());
    found
}

/// Replaces code in backticks by one word.
fn without_code(text: &str) -> String {
    let mut parts = text.split('`');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    while let Some(_code) = parts.next() {
        plain.push_str("code");
        plain.push_str(parts.next().unwrap_or_default());
    }
    plain
}

/// The words in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '\'' || c == '-' || c == '_';
    let words = text.split(char::is_whitespace).flat_map(move |word| {
        let word = word.replace('’', "'");
        let parts: Vec<String> = word.split(|c: char| !is_part(c)).map(str::to_lowercase).collect();
        // A path, an address or a number with units is one word.
        if parts.iter().filter(|part| !part.is_empty()).count() > 2 {
            vec!["code".to_owned()]
        } else {
            parts
        }
    });
    words
        .map(|word| word.trim_matches('\'').to_owned())
        .filter(|word| word.chars().any(char::is_alphanumeric))
}
