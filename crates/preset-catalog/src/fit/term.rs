//! Terms of the memory, as values.

use std::borrow::Cow;

/// One term of the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Kind of the term.
    pub kind: TermKind,
    /// Bytes on the fullest GPU, or of the node's memory on the CPU.
    pub bytes: u64,
    /// Formula with its numbers, as text.
    pub formula: String,
    /// Source of the formula.
    pub source: Cow<'static, str>,
}

/// Use of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TermKind {
    /// Memory that the engine may not use.
    Reserved,
    /// Weights of the model.
    Weights,
    /// Working memory of the computation.
    Activations,
    /// The engine itself.
    Engine,
    /// Keys, values and states of the context.
    KvCache,
    /// Unused memory.
    Headroom,
}

impl TermKind {
    /// Returns the name for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Weights => "weights",
            Self::Activations => "activations",
            Self::Engine => "engine",
            Self::KvCache => "KV cache",
            Self::Headroom => "headroom",
        }
    }
}
