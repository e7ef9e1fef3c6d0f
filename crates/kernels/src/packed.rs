//! Products with weights that are packed once, in four precisions.
//!
//! Every output of a product is summed in one order, whatever else is computed beside it.

mod activations;
mod amx;
mod apply;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod floats;
mod integers;
mod line;
mod panels;
mod prefetch;
mod product;
#[cfg(target_arch = "x86_64")]
mod vnni;

use ::amx::{Amx, Pairs};

use panels::{Bf16Columns, F32Column, Int4Block, Int8Block, Panels};

/// Precision of packed weights. Activations and sums are 32-bit floats, with two exceptions. Activations are rounded to eight bits
/// beside [`Self::Int8`] and [`Self::Int4`], and to bfloat16 beside [`Self::Bf16`] on processors with Intel AMX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// Upper halves of 32-bit floats.
    Bf16,
    /// 8-bit integers with a scale for each 32.
    Int8,
    /// 4-bit integers with a scale and a minimum for each 32: five bits a weight.
    Int4,
}

/// A matrix `[outputs, inputs]`, laid out as products read it.
#[derive(Debug)]
pub struct PackedWeights(Stored);

#[derive(Debug)]
enum Stored {
    F32(Panels<F32Column>),
    Bf16(Panels<Bf16Columns>),
    /// bfloat16, for processors with AMX.
    Amx(Panels<Pairs>),
    Int8(Panels<Int8Block>),
    Int4(Panels<Int4Block>),
}

macro_rules! each {
    ($weights:expr, $panels:ident => $value:expr) => {
        match $weights {
            Stored::F32($panels) => $value,
            Stored::Bf16($panels) => $value,
            Stored::Amx($panels) => $value,
            Stored::Int8($panels) => $value,
            Stored::Int4($panels) => $value,
        }
    };
}

impl PackedWeights {
    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(format: Format, outputs: usize, inputs: usize) -> Self {
        Self(match format {
            Format::F32 => Stored::F32(Panels::zeros(outputs, inputs)),
            Format::Bf16 if Amx::detect().is_some() => Stored::Amx(Panels::zeros(outputs, inputs)),
            Format::Bf16 => Stored::Bf16(Panels::zeros(outputs, inputs)),
            Format::Int8 => Stored::Int8(Panels::zeros(outputs, inputs)),
            Format::Int4 => Stored::Int4(Panels::zeros(outputs, inputs)),
        })
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        each!(&self.0, panels => panels.bytes())
    }

    /// Number of rows.
    #[must_use]
    pub fn outputs(&self) -> usize {
        each!(&self.0, panels => panels.rows())
    }

    /// Stores whole rows from row `first` on.
    pub fn write(&mut self, first: usize, rows: &[f32]) {
        each!(&mut self.0, panels => panels.write(first, rows));
    }

    /// Writes one row as 32-bit floats to `out`.
    pub fn read(&self, row: usize, out: &mut [f32]) {
        each!(&self.0, panels => panels.read(row, out));
    }

    /// Returns `x · Wᵀ` for tokens that follow each other, on all threads of the pool.
    #[must_use]
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        each!(&self.0, panels => apply::apply(panels, x))
    }
}
