//! The result of a command.

/// Result of a command.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Text for standard output.
    pub(crate) text: String,
    /// True if the input is invalid or does not fit.
    pub(crate) findings: bool,
}

impl Answer {
    pub(crate) const fn fine(text: String) -> Self {
        Self {
            text,
            findings: false,
        }
    }
}
