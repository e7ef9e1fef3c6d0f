//! Products of matrices that lie row by row in memory.
//!
//! [`gemm`] decides the order of panels; [`f32`] and [`amx`] hold the arithmetic of 32-bit floats and of bfloat16. Sums run
//! along the inner dimension in one order, however many threads share the columns.

mod amx;
mod f32;
mod gemm;
mod matrix;
mod operand;
mod scratch;

pub use self::amx::has_bf16_matmul;
pub use matrix::{Mat, Out};
pub use operand::{Operand, RowSource};

use ::amx::Amx;
use pulp::Arch;

/// Products of fewer multiplications stay on one thread.
const PARALLEL_WORK: usize = 1 << 18;

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
