//! Products of bfloat16 with AMX: operands are rounded while they are copied into panels.

use ::amx::{Amx, DEPTH, Pairs, Rows, SIDE, Sums};
use pulp::{Arch, Simd, WithSimd};

use super::gemm::{Columns, Kernel};
use super::operand::Operand;
use crate::bf16;

/// Reports whether this processor multiplies bfloat16 faster, so that [`super::ComputeDtype::Bf16`] rounds operands.
#[must_use]
pub fn has_bf16_matmul() -> bool {
    Amx::detect().is_some()
}

/// Tiles of 32 rows and columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct AmxTile(pub(super) Amx);

/// A square of an operand.
type Square = [[f32; SIDE]; SIDE];

impl Kernel for AmxTile {
    type Left = Rows;
    type Right = Pairs;
    /// With 32 columns a panel has 64 KiB.
    const DEPTH: usize = 1024;
    const INNER: usize = DEPTH;

    fn tile(self) -> (usize, usize) {
        (SIDE, SIDE)
    }

    fn words(self, depth: usize) -> (usize, usize) {
        (depth / DEPTH, depth / DEPTH)
    }

    fn pack_left(self, operand: Operand<'_>, first: usize, inner: usize, panel: &mut [Rows]) {
        let mut square = [[0.0; SIDE]; SIDE];
        for (step, out) in panel.iter_mut().enumerate() {
            operand.square(first, inner + step * DEPTH, &mut square);
            if operand.is_transposed() {
                square = transposed(&square);
            }
            Arch::new().dispatch(ToRows { square: &square, out });
        }
    }

    fn pack_right(
        self,
        operand: Operand<'_>,
        first: usize,
        inner: usize,
        words: usize,
        panels: &mut [Pairs],
    ) {
        let mut square = [[0.0; SIDE]; SIDE];
        let count = panels.len() / words;
        for at in 0..panels.len() {
            let (index, step) = if operand.is_transposed() {
                (at % count, at / count)
            } else {
                (at / words, at % words)
            };
            operand.square(first + index * SIDE, inner + step * DEPTH, &mut square);
            if !operand.is_transposed() {
                square = transposed(&square);
            }
            Arch::new().dispatch(ToPairs {
                square: &square,
                out: &mut panels[index * words + step],
            });
        }
    }

    fn multiply(self, left: &[Rows], stride: usize, right: &[Pairs], mut columns: Columns<'_, '_>) {
        let mut sums = Sums::ZERO;
        for (index, left) in left.chunks(stride).enumerate() {
            let rows = columns.rows.len().saturating_sub(index * SIDE);
            self.0.product(&left[..right.len()], right, rows, &mut sums);
            Arch::new().dispatch(TensorStore {
                sums: &sums,
                row: index * SIDE,
                columns: &mut columns,
            });
        }
    }
}

/// Returns the transpose.
fn transposed(square: &Square) -> Square {
    let mut out = [[0.0; SIDE]; SIDE];
    for (column, row) in square.iter().enumerate() {
        for (out, value) in out.iter_mut().zip(row) {
            out[column] = *value;
        }
    }
    out
}

struct ToRows<'a> {
    square: &'a Square,
    out: &'a mut Rows,
}

impl WithSimd for ToRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (out, row) in self.out.0.iter_mut().zip(self.square) {
            for (out, value) in out.iter_mut().zip(row) {
                *out = bf16::half(*value);
            }
        }
    }
}

struct ToPairs<'a> {
    square: &'a Square,
    out: &'a mut Pairs,
}

impl WithSimd for ToPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (two, _) = self.square.as_chunks::<2>();
        for (out, [first, second]) in self.out.0.iter_mut().zip(two) {
            for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
                *out = bf16::pair(*first, *second);
            }
        }
    }
}

struct TensorStore<'a, 'b, 'c> {
    sums: &'a Sums,
    row: usize,
    columns: &'a mut Columns<'b, 'c>,
}

impl WithSimd for TensorStore<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, sums) in self.sums.0.iter().enumerate() {
            self.columns.store(self.row + row, sums);
        }
    }
}
