//! Finds the cycles in a graph of files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// The files that each file uses, and the line of the first use.
pub(super) type Arrows = BTreeMap<String, BTreeMap<String, usize>>;

/// Files that all reach each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cycle {
    pub(super) files: BTreeSet<String>,
    /// A shortest way around: file, line of the use, and the next file.
    way: Vec<(String, usize)>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files import each other", self.files.len())?;
        for (index, (file, line)) in self.way.iter().enumerate() {
            let mark = if index == 0 { ": " } else { " → " };
            write!(f, "{mark}{file}:{line}")?;
        }
        let first = self.way.first().map_or("", |(file, _)| file);
        write!(f, " → {first}")
    }
}

/// All cycles, each with a shortest way around.
pub(super) fn of(arrows: &Arrows) -> Vec<Cycle> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows
        .keys()
        .map(|file| (file.as_str(), reach(arrows, file)))
        .collect();
    let mutual = |one: &str, other: &str| {
        let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
        reaches(one, other) && reaches(other, one)
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for file in arrows
        .keys()
        .map(String::as_str)
        .filter(|file| mutual(file, file))
    {
        if seen.contains(file) {
            continue;
        }
        let files: BTreeSet<String> = arrows
            .keys()
            .filter(|other| mutual(file, other))
            .cloned()
            .collect();
        seen.extend(
            arrows
                .keys()
                .map(String::as_str)
                .filter(|other| files.contains(*other)),
        );
        let ways = files.iter().filter_map(|file| around(arrows, file));
        let way = ways.min_by_key(Vec::len).unwrap_or_default();
        found.push(Cycle { files, way });
    }
    found
}

/// Every file that can be reached by at least one arrow.
fn reach<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for next in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    reached
}

/// A shortest way from a file back to itself.
fn around(arrows: &Arrows, start: &str) -> Option<Vec<(String, usize)>> {
    let mut open = VecDeque::from([vec![]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop_front() {
        let way: Vec<(&str, usize)> = way;
        let at = way.last().map_or(start, |(file, _)| file);
        for (next, line) in arrows.get(at).into_iter().flatten() {
            let from = if way.is_empty() { start } else { at };
            if next == start {
                let mut lines: Vec<usize> = way.iter().map(|(_, line)| *line).collect();
                lines.push(*line);
                let files = std::iter::once(start).chain(way.iter().map(|(file, _)| *file));
                return Some(files.map(str::to_owned).zip(lines).collect());
            }
            if seen.insert(next.as_str()) && from != next {
                let mut longer = way.clone();
                longer.push((next, *line));
                open.push_back(longer);
            }
        }
    }
    None
}
