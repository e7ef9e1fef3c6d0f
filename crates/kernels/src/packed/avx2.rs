//! Products with 8-bit weights on processors with AVX2: weights and activations are widened to 16 bits for `pmaddwd`.

use pulp::bytemuck::cast;
use pulp::x86::V3;
use std::arch::x86_64::{__m128i, __m256};

use super::activations::TOKEN_WORDS;
use super::panels::{Int8Block, ROWS, WORDS};
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
        panels.map(|panel| simd.vectorize(Tile::<T> { simd, panel, x }))
    }
}

struct Tile<'a, const T: usize> {
    simd: V3,
    panel: &'a [Int8Block],
    x: &'a [i32],
}

impl<const T: usize> pulp::NullaryFnOnce for Tile<'_, T> {
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

impl<const T: usize> Tile<'_, T> {
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
            let scales = block.scales.as_chunks::<PART>().0[part];
            let scales = avx2._mm256_cvtepu16_epi32(cast::<[u16; PART], __m128i>(scales));
            let scales: __m256 = cast(avx2._mm256_slli_epi32::<16>(scales));
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
