//! Problems of users' YAML files, with their positions.

use std::fmt;

use serde_saphyr::Location;

/// A position in a file; both numbers begin at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl Position {
    /// Position of a parsed value, if it is known.
    #[must_use]
    pub fn of(location: Location) -> Option<Self> {
        (location != Location::UNKNOWN).then(|| Self {
            line: location.line(),
            column: location.column(),
        })
    }
}

/// A problem in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileProblem {
    /// Position; absent if the problem concerns the whole file.
    pub position: Option<Position>,
    /// Description, in one line.
    pub message: String,
}

impl FileProblem {
    /// Problem that the parser found.
    #[must_use]
    pub fn of_parser(error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let position = error.location().and_then(Position::of);
        let text = error.to_string();
        // The position has its own field, and users cannot act on advice for programmers.
        let message = [" at line ", ", set ", "\n"]
            .into_iter()
            .fold(text.as_str(), |text, end| {
                text.split_once(end).map_or(text, |(before, _)| before)
            });
        Self {
            position,
            message: message.trim().to_owned(),
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Position { line, column }) = self.position {
            write!(f, "line {line} column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}
