//! Arithmetic over slices, each operation with its derivative. Knows no model, reads no files.
//!
//! Sums are taken in an order that depends on sizes alone, never on which thread is first: the same step twice gives the same
//! bits, which is what makes a resumed run equal to an uninterrupted one.

pub(crate) mod attention;
pub(crate) mod cross_entropy;
pub(crate) mod elementwise;
pub(crate) mod low_rank;
pub(crate) mod matmul;
pub(crate) mod random;
