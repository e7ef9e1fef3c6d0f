//! A sentence to rewrite.

/// One sentence that breaks a rule.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) line: usize,
    pub(super) rule: &'static str,
    pub(super) text: String,
}
