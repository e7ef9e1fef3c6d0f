//! Bounds on sizes: several times those of any published model, and so small that no product of two overflows.

pub(super) const HIDDEN: usize = 1 << 16;
pub(super) const INTERMEDIATE: usize = 1 << 20;
pub(super) const LAYERS: usize = 1 << 10;
pub(super) const HEADS: usize = 1 << 10;
pub(super) const HEAD_DIM: usize = 1 << 10;
pub(super) const VOCAB_SIZE: usize = 1 << 22;
pub(super) const POSITIONS: usize = 1 << 24;
