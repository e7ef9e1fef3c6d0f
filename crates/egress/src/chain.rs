//! The text of an error with its causes.

use std::error::Error;
use std::fmt;

/// Prints an error and its causes, separated by colons. A cause whose text was printed already is left out.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut source = self.0.source();
        while let Some(cause) = source {
            let next = cause.to_string();
            if !text.contains(&next) {
                text = format!("{text}: {next}");
            }
            source = cause.source();
        }
        f.write_str(&text)
    }
}
