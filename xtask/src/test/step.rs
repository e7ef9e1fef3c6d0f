//! One step of `cargo xtask test`.

use anyhow::Result;

/// One check, or one preparation for others.
pub(super) struct TestStep {
    /// A word for the table.
    pub(super) name: &'static str,
    /// The purpose, for a person who waits.
    pub(super) what: &'static str,
    /// The command that does this step alone.
    pub(super) again: String,
    pub(super) action: Box<dyn Fn() -> Result<()>>,
}
