//! Products of 32-bit floats: a tile is some rows of one or two vectors.

use pulp::{Arch, Simd, WithSimd};

use super::gemm::{Columns, Kernel};
use super::operand::Operand;

/// Rows and columns that are in registers at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct F32Tile {
    rows: usize,
    columns: usize,
}

/// Chooses the tile that fits the registers; few columns get a narrow one.
pub(super) struct ChooseTile {
    pub(super) columns: usize,
}

impl WithSimd for ChooseTile {
    type Output = F32Tile;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> F32Tile {
        let vectors = if self.columns <= S::F32_LANES { 1 } else { 2 };
        F32Tile {
            rows: if S::F32_LANES >= 16 { 12 } else { 4 },
            columns: vectors * S::F32_LANES,
        }
    }
}

impl Kernel for F32Tile {
    type Left = f32;
    type Right = f32;
    /// With 32 columns a panel has 32 KiB.
    const DEPTH: usize = 256;
    const INNER: usize = 1;

    fn tile(self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    fn words(self, depth: usize) -> (usize, usize) {
        (depth * self.rows, depth * self.columns)
    }

    fn pack_left(self, operand: Operand<'_>, first: usize, inner: usize, panel: &mut [f32]) {
        operand.pack(first, inner, self.rows, panel.len(), panel);
    }

    fn pack_right(self, operand: Operand<'_>, first: usize, inner: usize, words: usize, panels: &mut [f32]) {
        operand.pack(first, inner, self.columns, words, panels);
    }

    fn multiply(self, left: &[f32], stride: usize, right: &[f32], columns: Columns<'_, '_>) {
        Arch::new().dispatch(Multiply {
            tile: self,
            left,
            stride,
            right,
            columns,
        });
    }
}

struct Multiply<'a, 'b> {
    tile: F32Tile,
    left: &'a [f32],
    stride: usize,
    right: &'a [f32],
    columns: Columns<'a, 'b>,
}

impl WithSimd for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.tile.rows, self.tile.columns == S::F32_LANES) {
            (12, true) => self.all::<S, 12, 1>(simd),
            (12, false) => self.all::<S, 12, 2>(simd),
            (_, true) => self.all::<S, 4, 1>(simd),
            (_, false) => self.all::<S, 4, 2>(simd),
        }
    }
}

impl Multiply<'_, '_> {
    #[inline(always)]
    fn all<S: Simd, const R: usize, const V: usize>(mut self, simd: S) {
        let depth = self.right.len() / (V * S::F32_LANES);
        for (index, left) in self.left.chunks(self.stride).enumerate() {
            let sums = tile::<S, R, V>(simd, &left[..R * depth], self.right);
            let mut values = [0.0_f32; 32];
            for (row, sums) in sums.iter().enumerate() {
                for (out, sum) in S::as_mut_simd_f32s(&mut values).0.iter_mut().zip(sums) {
                    *out = *sum;
                }
                self.columns.store(index * R + row, &values);
            }
        }
    }
}

/// Computes a tile of the result: for each inner element `left` holds `R` values and `right` `V` vectors.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(simd: S, left: &[f32], right: &[f32]) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    let (left, _) = left.as_chunks::<R>();
    let (vectors, _) = S::as_simd_f32s(right);
    let (vectors, _) = vectors.as_chunks::<V>();
    for (left, right) in left.iter().zip(vectors) {
        for r in 0..R {
            let value = simd.splat_f32s(left[r]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_e_f32s(value, right[v], sums[r][v]);
            }
        }
    }
    sums
}
