//! Matrices in memory: inputs and destination of a product.

use super::operand::{Operand, RowSource};

/// A matrix in a slice; rows may lie further apart than they are long.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    pub(super) data: &'a [f32],
    rows: usize,
    columns: usize,
    pub(super) stride: usize,
    pub(super) transposed: bool,
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
    pub(super) data: &'a mut [f32],
    /// Elements between the beginnings of rows.
    pub(super) stride: usize,
    /// Adds the product to the old content instead of replacing it.
    pub(super) add: bool,
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
