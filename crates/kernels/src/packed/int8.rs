//! Products with 8-bit weights: integers are multiplied and summed within a block, which is exact, and one multiplication a
//! block applies the scales.
//!
//! All kernels give the same bits, because only the sum over blocks rounds and all take the blocks in their order.

use super::activations::{self, Activations, TOKEN_WORDS};
use super::panels::{Int8Block, ROWS, WORDS};
use super::product::{Multiply, Product, TileKernel};

/// Tile sizes with 32 vector registers, and with 16.
const WIDE: &[usize] = &[8, 4, 2, 1];
const NARROW: &[usize] = &[4, 2, 1];

impl Multiply for Int8Block {
    type X = i32;

    fn arrange(x: &[f32], columns: usize) -> Activations<i32> {
        activations::int8(x, columns, tile_sizes())
    }

    fn multiply(product: Product<'_, Self>) {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(vnni) = super::vnni::Vnni::detect() {
                return product.drive(vnni);
            }
            if let Some(simd) = pulp::x86::V3::try_new() {
                return product.drive(super::avx2::Avx2(simd));
            }
        }
        product.drive(Portable);
    }
}

fn tile_sizes() -> &'static [usize] {
    #[cfg(target_arch = "x86_64")]
    if super::vnni::Vnni::detect().is_some() {
        return WIDE;
    }
    NARROW
}

/// Reference for the other kernels, and the fallback for other processors.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl TileKernel<Int8Block> for Portable {
    fn tile<const P: usize, const T: usize>(
        self,
        panels: [&[Int8Block]; P],
        x: &[i32],
    ) -> [[[f32; ROWS]; T]; P] {
        panels.map(|panel| Self::panel(panel, x))
    }
}

impl Portable {
    fn panel<const T: usize>(panel: &[Int8Block], x: &[i32]) -> [[f32; ROWS]; T] {
        let mut out = [[0.0_f32; ROWS]; T];
        for (block, x) in panel.iter().zip(x.chunks_exact(T * TOKEN_WORDS)) {
            for (t, out) in out.iter_mut().enumerate() {
                let mut sums = [x[(WORDS + 1) * T + t]; ROWS];
                for (word, weights) in block.words.iter().enumerate() {
                    let four = x[word * T + t]
                        .to_le_bytes()
                        .map(|byte| i32::from(byte.cast_signed()));
                    for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
                        for (weight, x) in weights.iter().zip(four) {
                            *sum += i32::from(*weight) * x;
                        }
                    }
                }
                let scale = f32::from_bits(x[WORDS * T + t].cast_unsigned());
                for ((out, sum), own) in out.iter_mut().zip(sums).zip(block.scales) {
                    let own = f32::from_bits(u32::from(own) << 16);
                    *out = (sum as f32).mul_add(own * scale, *out);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::floats::tests::numbers;
    use crate::packed::panels::{BLOCK, Panels, Step as _};

    fn run(panels: &Panels<Int8Block>, tokens: usize, kernel: impl TileKernel<Int8Block>) -> Vec<f32> {
        let x = Int8Block::arrange(&numbers(tokens * panels.columns(), 2), panels.columns());
        let mut out = vec![0.0; tokens * panels.rows()];
        let product = Product {
            panels,
            first: 0,
            count: panels.rows().div_ceil(ROWS),
            x: &x,
            out: &mut out,
            token_stride: panels.rows(),
            panel_stride: ROWS,
        };
        product.drive(kernel);
        out
    }

    #[test]
    fn all_processors_give_the_same_bits() {
        for (rows, columns) in [(7, 5), (200, 96), (64, 100)] {
            let mut panels = Panels::zeros(rows, columns);
            panels.write(0, &numbers(rows * columns, 1));
            for tokens in [1, 2, 7, 31] {
                let expected = run(&panels, tokens, Portable);
                assert!(expected.iter().any(|value| value.abs() > 0.01));
                #[cfg(target_arch = "x86_64")]
                {
                    if let Some(simd) = pulp::x86::V3::try_new() {
                        let found = run(&panels, tokens, crate::packed::avx2::Avx2(simd));
                        assert_eq!(found, expected, "AVX2, {rows}×{columns}, {tokens}");
                    }
                    if let Some(vnni) = crate::packed::vnni::Vnni::detect() {
                        let found = run(&panels, tokens, vnni);
                        assert_eq!(found, expected, "VNNI, {rows}×{columns}, {tokens}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let mut panels = Panels::<Int8Block>::zeros(1, BLOCK);
        panels.write(0, &[-1.0; BLOCK]);
        let mut own = [0.0; BLOCK];
        let mut block = Int8Block::EMPTY;
        block.put(0, &[-1.0; BLOCK]);
        block.get(0, &mut own);
        let x = Int8Block::arrange(&[1.0; BLOCK], BLOCK);
        let mut out = [0.0];
        Int8Block::multiply(Product {
            panels: &panels,
            first: 0,
            count: 1,
            x: &x,
            out: &mut out,
            token_stride: 1,
            panel_stride: 1,
        });
        let expected: f32 = own.iter().sum();
        assert!((out[0] - expected).abs() < 1e-3, "{} {expected}", out[0]);
    }
}
