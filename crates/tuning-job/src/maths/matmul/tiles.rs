//! Products of bfloat16 with the processor's own tiles: factors are rounded while they are copied into panels.

use amx::{Amx, Pairs, Rows, SIDE, Sums, rounded};
use pulp::{Arch, Simd, WithSimd};

use super::Factor;
use super::drive::{Columns, Kernel};

/// Whether [`super::Arithmetic::Bfloat16`] rounds anything on this processor.
pub(crate) fn bfloat16_is_fast() -> bool {
    Amx::detect().is_some()
}

/// Tiles of 32 rows and columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles(pub(super) Amx);

/// A square of a factor.
type Square = [[f32; SIDE]; SIDE];

impl Kernel for Tiles {
    type Left = Rows;
    type Right = Pairs;
    /// Of 32 columns that is 64 KiB.
    const DEPTH: usize = 1024;
    const INNER: usize = amx::DEPTH;

    fn tile(self) -> (usize, usize) {
        (SIDE, SIDE)
    }

    fn words(self, depth: usize) -> (usize, usize) {
        (depth / amx::DEPTH, depth / amx::DEPTH)
    }

    fn pack_left(self, factor: Factor<'_>, first: usize, inner: usize, panel: &mut [Rows]) {
        let mut square = [[0.0; SIDE]; SIDE];
        for (step, out) in panel.iter_mut().enumerate() {
            factor.square(first, inner + step * amx::DEPTH, &mut square);
            if factor.is_across() {
                square = turned(&square);
            }
            Arch::new().dispatch(ToRows { square: &square, out });
        }
    }

    fn pack_right(self, factor: Factor<'_>, first: usize, inner: usize, words: usize, panels: &mut [Pairs]) {
        let mut square = [[0.0; SIDE]; SIDE];
        let count = panels.len() / words;
        for at in 0..panels.len() {
            let (index, step) = if factor.is_across() {
                (at % count, at / count)
            } else {
                (at / words, at % words)
            };
            factor.square(first + index * SIDE, inner + step * amx::DEPTH, &mut square);
            if !factor.is_across() {
                square = turned(&square);
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

/// Rows as columns.
fn turned(square: &Square) -> Square {
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
                *out = (rounded(*value) >> 16) as u16;
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
                *out = rounded(*first) >> 16 | rounded(*second) & 0xffff_0000;
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
