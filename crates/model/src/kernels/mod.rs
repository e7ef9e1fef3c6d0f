//! Inner loops over slices, written once and run with the widest vectors of the processor.
//!
//! They know no model and do not allocate. Every output of a product is summed in one order, whatever else is computed
//! beside it: a sequence gets the same logits alone and in a batch.

mod attend;
mod elementwise;
mod encoded;
mod product;

pub(crate) use attend::{Attention, attend};
pub(crate) use elementwise::{gated, rms_norm, rotate, softcap};
pub(crate) use encoded::{CopyRow, Encoded, Rows};
pub(crate) use product::{Product, product};

use pulp::Arch;

/// The instruction set to use; found once, then a load.
pub(crate) fn arch() -> Arch {
    Arch::new()
}
