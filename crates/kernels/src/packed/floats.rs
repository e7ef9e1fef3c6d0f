//! Products with float weights: each is widened to 32 bits in a register and multiplied there, without loss.
//!
//! Every output is one running sum over the columns in their order, whatever is computed beside it.

use pulp::{Arch, Simd, WithSimd};

use super::activations::{self, Activations};
use super::panels::{Bf16Columns, F32Column, ROWS, Step};
use super::prefetch::prefetch;
use super::product::{Multiply, Product, TileKernel};

/// Vectors of rows that are summed at a time.
const VECTORS: usize = 2;
/// Tile sizes with 32 vector registers, and with 16.
const WIDE: &[usize] = &[12, 8, 6, 4, 2, 1];
const NARROW: &[usize] = &[6, 4, 2, 1];

/// Columns that can be read as vectors.
trait FloatStep: Multiply<X = f32> {
    /// Returns the weights of a column for some rows; part 0 is the first [`VECTORS`] vectors.
    fn column<S: Simd>(&self, simd: S, column: usize, part: usize) -> [S::f32s; VECTORS];
}

impl FloatStep for F32Column {
    #[inline(always)]
    fn column<S: Simd>(&self, _: S, _: usize, part: usize) -> [S::f32s; VECTORS] {
        let rows = &S::as_simd_f32s(&self.0).0[part * VECTORS..][..VECTORS];
        [rows[0], rows[1]]
    }
}

impl FloatStep for Bf16Columns {
    #[inline(always)]
    fn column<S: Simd>(&self, simd: S, column: usize, part: usize) -> [S::f32s; VECTORS] {
        let rows = &S::as_simd_u32s(&self.0).0[part * VECTORS..][..VECTORS];
        let mut out = [simd.splat_f32s(0.0); VECTORS];
        for (out, words) in out.iter_mut().zip(rows) {
            let widened = if column == 0 {
                simd.wrapping_dyn_shl_u32s(*words, simd.splat_u32s(16))
            } else {
                simd.and_u32s(*words, simd.splat_u32s(0xffff_0000))
            };
            *out = simd.transmute_f32s_u32s(widened);
        }
        out
    }
}

struct Sizes;

impl WithSimd for Sizes {
    type Output = &'static [usize];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> &'static [usize] {
        if S::REGISTER_COUNT >= 32 { WIDE } else { NARROW }
    }
}

macro_rules! multiply {
    ($step:ident) => {
        impl Multiply for $step {
            type X = f32;

            fn arrange(x: &[f32], columns: usize) -> Activations<f32> {
                let sizes = Arch::new().dispatch(Sizes);
                activations::floats(x, columns, <Self as Step>::COLUMNS, sizes)
            }

            fn multiply(product: Product<'_, Self>) {
                Arch::new().dispatch(Run(product));
            }
        }
    };
}

multiply!(F32Column);
multiply!(Bf16Columns);

struct Run<'a, W: Multiply>(Product<'a, W>);

impl<W: FloatStep> WithSimd for Run<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.drive(Floats(simd));
    }
}

#[derive(Clone, Copy)]
struct Floats<S>(S);

impl<W: FloatStep, S: Simd> TileKernel<W> for Floats<S> {
    #[inline(always)]
    fn tile<const P: usize, const T: usize>(self, panels: [&[W]; P], x: &[f32]) -> [[[f32; ROWS]; T]; P] {
        let mut out = [[[0.0; ROWS]; T]; P];
        let part_rows = VECTORS * S::F32_LANES;
        for part in 0..ROWS / part_rows {
            let sums = part_of_tile::<S, W, P, T>(self.0, panels, x, part);
            for p in 0..P {
                for t in 0..T {
                    let rows = &mut out[p][t][part * part_rows..][..part_rows];
                    S::as_mut_simd_f32s(rows).0.copy_from_slice(&sums[p][t]);
                }
            }
        }
        out
    }
}

#[inline(always)]
fn part_of_tile<S: Simd, W: FloatStep, const P: usize, const T: usize>(
    simd: S,
    panels: [&[W]; P],
    x: &[f32],
    part: usize,
) -> [[[S::f32s; VECTORS]; T]; P] {
    let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; T]; P];
    let steps = x.len() / (T * W::COLUMNS);
    let own = panels.map(|panel| &panel[..steps]);
    for (at, x) in (0..steps).zip(x.chunks_exact(T * W::COLUMNS)) {
        for p in 0..P {
            prefetch(panels[p], at);
            for column in 0..W::COLUMNS {
                let weights = own[p][at].column(simd, column, part);
                for t in 0..T {
                    let x = simd.splat_f32s(x[column * T + t]);
                    for v in 0..VECTORS {
                        sums[p][t][v] = simd.mul_add_e_f32s(weights[v], x, sums[p][t][v]);
                    }
                }
            }
        }
    }
    sums
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::packed::panels::Panels;

    /// Numbers evenly distributed around zero, the same for the same seed.
    pub(in crate::packed) fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| random.f32() - 0.5).collect()
    }

    fn run<S: Simd>(panels: &Panels<Bf16Columns>, tokens: usize, simd: S) -> Vec<f32> {
        let x = Bf16Columns::arrange(&numbers(tokens * panels.columns(), 2), panels.columns());
        let mut out = vec![0.0; tokens * panels.rows()];
        simd.vectorize(Run(Product {
            panels,
            first: 0,
            count: panels.rows().div_ceil(ROWS),
            x: &x,
            out: &mut out,
            token_stride: panels.rows(),
            panel_stride: ROWS,
        }));
        out
    }

    /// Without fused multiplication each product is rounded once more. With it vectors of all widths give the same bits.
    #[test]
    fn all_processors_give_the_same_results() {
        for (rows, columns) in [(7, 5), (200, 96), (64, 101)] {
            let mut panels = Panels::zeros(rows, columns);
            panels.write(0, &numbers(rows * columns, 1));
            for tokens in [1, 2, 7, 31] {
                let plain = run(&panels, tokens, pulp::Scalar);
                let near = |found: &[f32]| found.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5);
                assert!(plain.iter().any(|value| value.abs() > 0.01));
                #[cfg(target_arch = "x86_64")]
                if let Some(narrow) = pulp::x86::V3::try_new() {
                    let narrow = run(&panels, tokens, narrow);
                    assert!(near(&narrow), "{rows}×{columns}, {tokens}");
                    if let Some(wide) = pulp::x86::V4::try_new() {
                        assert_eq!(run(&panels, tokens, wide), narrow, "{rows}×{columns}, {tokens}");
                    }
                }
                let mut own = vec![0.0; plain.len()];
                let x = Bf16Columns::arrange(&numbers(tokens * columns, 2), columns);
                Bf16Columns::multiply(Product {
                    panels: &panels,
                    first: 0,
                    count: rows.div_ceil(ROWS),
                    x: &x,
                    out: &mut own,
                    token_stride: rows,
                    panel_stride: ROWS,
                });
                assert!(near(&own), "{rows}×{columns}, {tokens}");
            }
        }
    }
}
