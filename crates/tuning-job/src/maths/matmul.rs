//! Products of matrices that lie row by row in memory.
//!
//! What is computed with what is decided here and in [`drive`]; [`singles`] and [`tiles`] hold the arithmetic of 32-bit floats and
//! of bfloat16. Sums run along the inner dimension in one order, however many threads share the columns.

mod drive;
mod factor;
mod scratch;
mod singles;
mod tiles;

pub(crate) use factor::{Factor, Rows};
pub(crate) use tiles::bfloat16_is_fast;

use amx::Amx;
use pulp::Arch;

/// Below so many multiplications a product stays on one thread.
const PARALLEL_WORK: usize = 1 << 18;

/// A matrix in a slice; rows may lie further apart than they are long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    transposed: bool,
}

impl<'a> Mat<'a> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows that begin `stride` elements apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
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

    /// The same elements, rows as columns.
    pub(crate) fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    /// Its rows as lines of a factor.
    pub(crate) fn lines(&self) -> Factor<'_> {
        if self.transposed {
            Factor::of_columns(self, self.columns, self.rows)
        } else {
            Factor::of_rows(self, self.rows, self.columns)
        }
    }
}

impl Rows for Mat<'_> {
    fn read(&self, row: usize, from: usize, out: &mut [f32]) {
        let at = row * self.stride + from;
        out.copy_from_slice(&self.data[at..at + out.len()]);
    }
}

/// Where a product goes.
#[derive(Debug)]
pub(crate) struct Out<'a> {
    pub(crate) data: &'a mut [f32],
    /// Elements between the beginnings of rows.
    pub(crate) stride: usize,
    /// Whether the product is added to what is there.
    pub(crate) add: bool,
}

impl<'a> Out<'a> {
    /// Replaces what is there; rows one after the other.
    pub(crate) fn set(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            add: false,
        }
    }

    /// Adds to what is there; rows one after the other.
    pub(crate) fn add(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            add: true,
        }
    }
}

/// How factors are rounded before they are multiplied. Sums are in 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Not at all.
    Singles,
    /// To bfloat16, where the processor multiplies that faster; elsewhere not at all.
    Bfloat16,
}

/// `factor · a · b` on this thread.
pub(crate) fn product_here(out: Out<'_>, a: Mat<'_>, b: Mat<'_>, factor: f32) {
    let b = b.t();
    drive::run(singles(b.lines()), out, (a.lines(), b.lines()), factor, 1);
}

/// The product of all lines of two factors on all threads: rows of the result belong to the left one, columns to the right.
pub(crate) fn product_of_lines(out: Out<'_>, left: Factor<'_>, right: Factor<'_>, arithmetic: Arithmetic) {
    let threads = if left.lines() * right.lines() * left.inner() < PARALLEL_WORK {
        1
    } else {
        rayon::current_num_threads()
    };
    match Amx::detect().filter(|_| arithmetic == Arithmetic::Bfloat16) {
        Some(amx) => drive::run(tiles::Tiles(amx), out, (left, right), 1.0, threads),
        None => drive::run(singles(right), out, (left, right), 1.0, threads),
    }
}

fn singles(right: Factor<'_>) -> singles::Singles {
    Arch::new().dispatch(singles::Find {
        columns: right.lines(),
    })
}

#[cfg(test)]
mod tests;
