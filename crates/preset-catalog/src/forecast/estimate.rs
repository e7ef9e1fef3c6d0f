//! An estimate and where it comes from.

use std::borrow::Cow;

/// One estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The number; the unit is that of the field that holds the estimate.
    pub value: u64,
    /// Formula with its numbers, as text.
    pub formula: String,
    /// Source of the formula and its assumptions.
    pub source: Cow<'static, str>,
}
