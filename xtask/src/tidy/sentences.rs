//! Counts the sentences of Rust sources that break `docs/style.md`, and lists them.
//!
//! Docs, comments and messages (string literals outside tests) are read as text. Code in backticks, fenced code and
//! tables are left out. The count may only fall: `BUDGET` is lowered whenever it has room.

mod finding;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use self::finding::Finding;
use super::problem::Problem;
use super::sources::is_test;
use super::text::{Kind, Piece, SourceText};
use crate::repository;

/// The broken sentences that are still allowed in the whole workspace. It may only be lowered.
const BUDGET: usize = 10;

/// All findings, by file, and the number of doc lines read.
#[derive(Debug, Default)]
struct Survey {
    findings: Vec<(String, Finding)>,
    doc_lines: usize,
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, lines) = (self.findings.len(), self.doc_lines);
        #[expect(clippy::cast_precision_loss, reason = "a percentage for people to read")]
        let share = 100.0 * count as f64 / lines.max(1) as f64;
        write!(
            f,
            "{count} sentences break docs/style.md in {lines} doc lines ({share:.1} %)"
        )
    }
}

/// Fails when there are more broken sentences than the budget allows.
pub(super) fn check() -> Result<Vec<Problem>> {
    let survey = survey(&repository::packages()?)?;
    println!("tidy: sentences: {survey}; the budget is {BUDGET}");
    let over = survey.findings.len() > BUDGET;
    Ok(over
        .then(|| {
            format!("{survey}, {BUDGET} are allowed; list them with `cargo xtask tidy --sentences [PATH]`")
        })
        .into_iter()
        .collect())
}

/// Prints `file:line: rule: text` for every broken sentence below the paths.
pub(super) fn list(paths: &[PathBuf]) -> Result<()> {
    let survey = survey(paths)?;
    for (file, Finding { line, rule, text }) in &survey.findings {
        println!("{file}:{line}: {rule}: {text}");
    }
    println!("{survey}");
    Ok(())
}

fn survey(paths: &[PathBuf]) -> Result<Survey> {
    let mut survey = Survey::default();
    for path in paths {
        ensure!(path.exists(), "{} does not exist", path.display());
        let files = if path.is_dir() {
            repository::rust_files(path)?
        } else {
            vec![path.clone()]
        };
        for file in files.iter().filter(|file| !is_data(file)) {
            let text =
                fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
            let (findings, doc_lines) = read(&text, is_test(file));
            let shown = repository::shown(file);
            let findings = findings.into_iter().map(|finding| (shown.clone(), finding));
            survey.findings.extend(findings);
            survey.doc_lines += doc_lines;
        }
    }
    Ok(survey)
}

/// Data of tests and what is built are no prose of ours.
fn is_data(path: &Path) -> bool {
    path.iter().any(|part| part == "data" || part == "target")
}

/// The findings of one source, and its number of doc lines.
fn read(text: &str, is_test: bool) -> (Vec<Finding>, usize) {
    let source = SourceText::of(text);
    let docs = source.pieces.iter().filter(|piece| piece.kind == Kind::Doc);
    let doc_lines = docs.count();
    let mut findings = Vec::new();
    for block in blocks(&source.pieces) {
        match block {
            [literal] if literal.kind == Kind::Literal => {
                if !is_test && !source.is_in_tests(literal.line) {
                    findings.extend(rules::message(literal));
                }
            }
            block => findings.extend(rules::prose(block)),
        }
    }
    (findings, doc_lines)
}

/// Neighboring lines of one comment together, each literal alone.
fn blocks(pieces: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    pieces
        .chunk_by(|one, next| one.kind == next.kind && one.kind != Kind::Literal && one.line + 1 == next.line)
}
