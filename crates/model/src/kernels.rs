//! Inner loops over slices, written once and run with the widest vectors of the processor.
//!
//! They know no model. Every output of a product is summed in one order, whatever else is computed beside it: a sequence
//! gets the same logits alone and in a batch.

mod activations;
mod attend;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod elementwise;
mod floats;
mod panels;
mod prefetch;
mod product;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod vnni;
mod whole;

pub(crate) use activations::Activations;
pub(crate) use attend::{Attention, attend};
pub use elementwise::{exp, gated};
pub(crate) use elementwise::{rms_norm, rotate, softcap};
pub(crate) use panels::{Panels, ROWS, Weights};
pub(crate) use product::{Operand, Product, STREAMS};

use pulp::Arch;

/// The instruction set to use; found once, then a load.
pub(crate) fn arch() -> Arch {
    Arch::new()
}
