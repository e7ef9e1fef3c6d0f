//! Products with 8-bit and 4-bit weights on processors with AVX2.
//!
//! Beside 8-bit weights both factors are widened to 16 bits for `pmaddwd`. Products with 4-bit weights fit 16 bits as they are.

use pulp::bytemuck::cast;
use pulp::x86::V3;
use std::arch::x86_64::{__m128i, __m256, __m256i};

use super::activations::{TOKEN_WORDS, total_of};
use super::panels::{Int4Block, Int8Block, NIBBLE_WORDS, ROWS, WORDS};
use super::product::TileKernel;

/// Rows of one vector of 32-bit sums.
const PART: usize = 8;

#[derive(Clone, Copy)]
pub(crate) struct Avx2(pub(crate) V3);

impl TileKernel<Int8Block> for Avx2 {
    fn tile<const P: usize, const T: usize>(
        self,
        panels: [&[Int8Block]; P],
        x: &[i32],
    ) -> [[[f32; ROWS]; T]; P] {
        let simd = self.0;
        panels.map(|panel| simd.vectorize(Tile::<Int8Block, T> { simd, panel, x }))
    }
}

impl TileKernel<Int4Block> for Avx2 {
    fn tile<const P: usize, const T: usize>(
        self,
        panels: [&[Int4Block]; P],
        x: &[i32],
    ) -> [[[f32; ROWS]; T]; P] {
        let simd = self.0;
        panels.map(|panel| simd.vectorize(Tile::<Int4Block, T> { simd, panel, x }))
    }
}

struct Tile<'a, W, const T: usize> {
    simd: V3,
    panel: &'a [W],
    x: &'a [i32],
}

/// A tile of which [`PART`] rows can be computed.
trait PartSums<const T: usize> {
    fn part(&self, part: usize) -> [__m256; T];
}

impl<W, const T: usize> pulp::NullaryFnOnce for Tile<'_, W, T>
where
    Self: PartSums<T>,
{
    type Output = [[f32; ROWS]; T];

    #[inline(always)]
    fn call(self) -> Self::Output {
        let mut out = [[0.0_f32; ROWS]; T];
        for part in 0..ROWS / PART {
            let sums = self.part(part);
            for t in 0..T {
                out[t][part * PART..][..PART].copy_from_slice(&cast::<__m256, [f32; PART]>(sums[t]));
            }
        }
        out
    }
}

impl<const T: usize> PartSums<T> for Tile<'_, Int8Block, T> {
    #[inline(always)]
    fn part(&self, part: usize) -> [__m256; T] {
        let V3 { avx, avx2, fma, .. } = self.simd;
        let mut out = [avx._mm256_setzero_ps(); T];
        for (block, x) in self.panel.iter().zip(self.x.chunks_exact(T * TOKEN_WORDS)) {
            // Sums of pairs: four rows in each of the two vectors.
            let mut sums = [[avx._mm256_setzero_si256(); 2]; T];
            for (word, weights) in block.words.iter().enumerate() {
                let bytes = weights.as_chunks::<16>().0;
                let halves = [bytes[2 * part], bytes[2 * part + 1]]
                    .map(|bytes| avx2._mm256_cvtepu8_epi16(cast::<[u8; 16], __m128i>(bytes)));
                for t in 0..T {
                    let four = avx2._mm256_cvtepi8_epi16(cast([x[word * T + t]; 4]));
                    for half in 0..2 {
                        let pairs = avx2._mm256_madd_epi16(halves[half], four);
                        sums[t][half] = avx2._mm256_add_epi32(sums[t][half], pairs);
                    }
                }
            }
            let scales = wide(self.simd, &block.scales, part);
            for t in 0..T {
                let rows = avx2._mm256_hadd_epi32(sums[t][0], sums[t][1]);
                let rows = avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(rows);
                let correction = avx._mm256_set1_epi32(x[(WORDS + 1) * T + t]);
                let rows = avx._mm256_cvtepi32_ps(avx2._mm256_add_epi32(rows, correction));
                let scale = avx._mm256_set1_ps(f32::from_bits(x[WORDS * T + t].cast_unsigned()));
                out[t] = fma._mm256_fmadd_ps(rows, avx._mm256_mul_ps(scales, scale), out[t]);
            }
        }
        out
    }
}

impl<const T: usize> PartSums<T> for Tile<'_, Int4Block, T> {
    #[inline(always)]
    fn part(&self, part: usize) -> [__m256; T] {
        let V3 { avx, avx2, fma, .. } = self.simd;
        let (mask, ones) = (avx._mm256_set1_epi8(15), avx._mm256_set1_epi16(1));
        let mut out = [avx._mm256_setzero_ps(); T];
        for (block, x) in self.panel.iter().zip(self.x.chunks_exact(T * TOKEN_WORDS)) {
            // Two sums of 16 bits a row. Each is at most 16 · 15 · 127, which fits.
            let mut sums = [avx._mm256_setzero_si256(); T];
            for (word, weights) in block.words.iter().enumerate() {
                let weights: __m256i = cast(weights.as_chunks::<32>().0[part]);
                let low = avx2._mm256_and_si256(weights, mask);
                let high = avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(weights), mask);
                for t in 0..T {
                    for (word, weights) in [(word, low), (word + NIBBLE_WORDS, high)] {
                        let pairs =
                            avx2._mm256_maddubs_epi16(weights, avx._mm256_set1_epi32(x[word * T + t]));
                        sums[t] = avx2._mm256_add_epi16(sums[t], pairs);
                    }
                }
            }
            let (scales, minima) = (
                wide(self.simd, &block.scales, part),
                wide(self.simd, &block.minima, part),
            );
            for t in 0..T {
                let rows = avx._mm256_cvtepi32_ps(avx2._mm256_madd_epi16(sums[t], ones));
                let scale = f32::from_bits(x[WORDS * T + t].cast_unsigned());
                let total = avx._mm256_set1_ps(scale * total_of(x[(WORDS + 1) * T + t]));
                let factor = avx._mm256_mul_ps(scales, avx._mm256_set1_ps(scale));
                out[t] = fma._mm256_fmadd_ps(rows, factor, out[t]);
                out[t] = fma._mm256_fmadd_ps(minima, total, out[t]);
            }
        }
        out
    }
}

/// Widens upper halves of 32-bit floats of some rows.
#[inline(always)]
fn wide(simd: V3, halves: &[u16; ROWS], part: usize) -> __m256 {
    let halves = halves.as_chunks::<PART>().0[part];
    let words = simd
        .avx2
        ._mm256_cvtepu16_epi32(cast::<[u16; PART], __m128i>(halves));
    cast(simd.avx2._mm256_slli_epi32::<16>(words))
}
