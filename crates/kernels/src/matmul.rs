//! Products of matrices that lie row by row in memory.
//!
//! [`gemm`] decides the order of panels; [`f32`] and [`amx`] hold the arithmetic of 32-bit floats and of bfloat16. Sums run
//! along the inner dimension in one order, however many threads share the columns.

mod amx;
mod f32;
mod gemm;
mod operand;
mod scratch;

pub use self::amx::has_bf16_matmul;
pub use operand::{Operand, RowSource};

use ::amx::Amx;
use pulp::Arch;

/// Products of fewer multiplications stay on one thread.
const PARALLEL_WORK: usize = 1 << 18;

/// A matrix in a slice; rows may lie further apart than they are long.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    transposed: bool,
}

impl<'a> Mat<'a> {
    /// A matrix whose rows follow each other.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A matrix whose rows begin `stride` elements apart.
    #[must_use]
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let needed = if rows == 0 {
            0
        } else {
            (rows - 1) * stride + columns
        };
        Self {
            data: &data[..needed],
            rows,
            columns,
            stride,
            transposed: false,
        }
    }

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    /// An operand whose lines are the rows.
    #[must_use]
    pub fn lines(&self) -> Operand<'_> {
        if self.transposed {
            Operand::of_columns(self, self.columns, self.rows)
        } else {
            Operand::of_rows(self, self.rows, self.columns)
        }
    }
}

impl RowSource for Mat<'_> {
    fn read(&self, row: usize, from: usize, out: &mut [f32]) {
        let at = row * self.stride + from;
        out.copy_from_slice(&self.data[at..at + out.len()]);
    }
}

/// Destination of a product.
#[derive(Debug)]
pub struct Out<'a> {
    data: &'a mut [f32],
    /// Elements between the beginnings of rows.
    stride: usize,
    /// Whether the product is added to the old content.
    add: bool,
}

impl<'a> Out<'a> {
    /// Replaces the old content; rows follow each other.
    #[must_use]
    pub fn set(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            add: false,
        }
    }

    /// Adds to the old content; rows follow each other.
    #[must_use]
    pub fn add(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            add: true,
        }
    }
}

/// Type that operands are rounded to before they are multiplied. Sums are 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComputeDtype {
    /// 32-bit floats: operands are not rounded.
    F32,
    /// bfloat16 where the processor multiplies it faster, see [`has_bf16_matmul`]; elsewhere 32-bit floats.
    Bf16,
}

/// Computes `scale · a · b` on this thread.
pub(crate) fn matmul_serial(out: Out<'_>, a: Mat<'_>, b: Mat<'_>, scale: f32) {
    let b = b.t();
    gemm::run(f32_tile(b.lines()), out, (a.lines(), b.lines()), scale, 1);
}

/// Multiplies all lines of two operands on all threads: rows of the result belong to the left one, columns to the right one.
pub fn matmul(out: Out<'_>, left: Operand<'_>, right: Operand<'_>, dtype: ComputeDtype) {
    let threads = if left.lines() * right.lines() * left.inner() < PARALLEL_WORK {
        1
    } else {
        rayon::current_num_threads()
    };
    match Amx::detect().filter(|_| dtype == ComputeDtype::Bf16) {
        Some(amx) => gemm::run(self::amx::AmxTile(amx), out, (left, right), 1.0, threads),
        None => gemm::run(f32_tile(right), out, (left, right), 1.0, threads),
    }
}

fn f32_tile(right: Operand<'_>) -> self::f32::F32Tile {
    Arch::new().dispatch(self::f32::ChooseTile {
        columns: right.lines(),
    })
}

#[cfg(test)]
mod tests;
