//! Products with 8-bit and 4-bit weights: integers are multiplied and summed within a block, which is exact, and one multiplication a
//! block applies the scales.
//!
//! All kernels give the same bits, because only the sum over blocks rounds and all take the blocks in their order.

use super::activations::{self, Activations, TOKEN_WORDS, total_of};
use super::panels::{Int4Block, Int8Block, NIBBLE_WORDS, ROWS, WORDS};
use super::product::{Multiply, Product, TileKernel};

/// Tile sizes with 32 vector registers, and with 16.
#[cfg(target_arch = "x86_64")]
const WIDE: &[usize] = &[8, 4, 2, 1];
const NARROW: &[usize] = &[4, 2, 1];

macro_rules! multiply {
    ($block:ident) => {
        impl Multiply for $block {
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
    };
}

multiply!(Int8Block);
multiply!(Int4Block);

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
        panels.map(|panel| {
            each_block(panel, x, |block, x, out| {
                for (t, out) in out.iter_mut().enumerate() {
                    let mut sums = [x[(WORDS + 1) * T + t]; ROWS];
                    for (word, weights) in block.words.iter().enumerate() {
                        add(&mut sums, weights, x[word * T + t]);
                    }
                    let scale = f32::from_bits(x[WORDS * T + t].cast_unsigned());
                    for ((out, sum), own) in out.iter_mut().zip(sums).zip(block.scales) {
                        *out = (sum as f32).mul_add(wide(own) * scale, *out);
                    }
                }
            })
        })
    }
}

impl TileKernel<Int4Block> for Portable {
    fn tile<const P: usize, const T: usize>(
        self,
        panels: [&[Int4Block]; P],
        x: &[i32],
    ) -> [[[f32; ROWS]; T]; P] {
        panels.map(|panel| {
            each_block(panel, x, |block, x, out| {
                for (t, out) in out.iter_mut().enumerate() {
                    let mut sums = [0; ROWS];
                    for (word, weights) in block.words.iter().enumerate() {
                        add(&mut sums, &weights.map(|byte| byte & 15), x[word * T + t]);
                        let upper = x[(word + NIBBLE_WORDS) * T + t];
                        add(&mut sums, &weights.map(|byte| byte >> 4), upper);
                    }
                    let scale = f32::from_bits(x[WORDS * T + t].cast_unsigned());
                    let total = scale * total_of(x[(WORDS + 1) * T + t]);
                    let rows = block.scales.iter().zip(&block.minima).zip(sums);
                    for (out, ((own, minimum), sum)) in out.iter_mut().zip(rows) {
                        *out = (sum as f32).mul_add(wide(*own) * scale, *out);
                        *out = wide(*minimum).mul_add(total, *out);
                    }
                }
            })
        })
    }
}

fn each_block<W, const T: usize>(
    panel: &[W],
    x: &[i32],
    mut add: impl FnMut(&W, &[i32], &mut [[f32; ROWS]; T]),
) -> [[f32; ROWS]; T] {
    let mut out = [[0.0_f32; ROWS]; T];
    for (block, x) in panel.iter().zip(x.chunks_exact(T * TOKEN_WORDS)) {
        add(block, x, &mut out);
    }
    out
}

/// Adds the products of four columns of all rows with the integers of a token.
fn add(sums: &mut [i32; ROWS], weights: &[u8; 4 * ROWS], x: i32) {
    let four = x.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
    for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
        for (weight, x) in weights.iter().zip(four) {
            *sum += i32::from(*weight) * x;
        }
    }
}

fn wide(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::floats::tests::numbers;
    use crate::packed::panels::{BLOCK, Panels, Step as _};

    fn run<W: Multiply<X = i32>>(panels: &Panels<W>, tokens: usize, kernel: impl TileKernel<W>) -> Vec<f32> {
        let x = W::arrange(&numbers(tokens * panels.columns(), 2), panels.columns());
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

    macro_rules! all_kernels {
        ($block:ident) => {
            for (rows, columns) in [(7, 5), (200, 96), (64, 100)] {
                let mut panels = Panels::<$block>::zeros(rows, columns);
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
        };
    }

    #[test]
    fn all_processors_give_the_same_bits() {
        all_kernels!(Int8Block);
        all_kernels!(Int4Block);
    }

    /// The sums of 16 bits of one kernel are full then.
    #[test]
    fn the_largest_integers_of_four_bits_do_not_overflow() {
        let mut panels = Panels::<Int4Block>::zeros(1, BLOCK);
        let mut weights = [1.0; BLOCK];
        weights[0] = 0.0;
        panels.write(0, &weights);
        let x = Int4Block::arrange(&[1.0; BLOCK], BLOCK);
        let mut out = [0.0];
        Int4Block::multiply(Product {
            panels: &panels,
            first: 0,
            count: 1,
            x: &x,
            out: &mut out,
            token_stride: 1,
            panel_stride: 1,
        });
        let mut own = [0.0; BLOCK];
        panels.read(0, &mut own);
        let expected: f32 = own.iter().sum();
        assert!(
            expected > 30.0 && (out[0] - expected).abs() < 1e-3,
            "{} {expected}",
            out[0]
        );
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
