//! Products with 8-bit weights on processors with AVX-512 VNNI: one instruction multiplies and sums 64 pairs of bytes.
//!
//! One of two places of the crate with `unsafe`, beside [`super::prefetch`]. It calls a function with target features, after the
//! processor was checked for them. Loads and stores are copies of arrays.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm512_castsi512_ps, _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_slli_epi32,
};

use pulp::bytemuck::cast;

use super::activations::TOKEN_WORDS;
use super::panels::{Int8Block, ROWS, WORDS};
use super::prefetch::prefetch;
use super::product::TileKernel;

/// Proof that this processor has the features of [`tile`].
#[derive(Clone, Copy)]
pub(crate) struct Vnni(());

impl Vnni {
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
        all.then_some(Self(()))
    }
}

impl TileKernel<Int8Block> for Vnni {
    #[inline(always)]
    fn tile<const P: usize, const T: usize>(
        self,
        panels: [&[Int8Block]; P],
        x: &[i32],
    ) -> [[[f32; ROWS]; T]; P] {
        #[expect(
            unsafe_code,
            reason = "a function with target features cannot be called otherwise; `self` proves that the processor has them"
        )]
        // SAFETY: `Self` is made by `detect` alone, which has found the features that `tile` names.
        unsafe {
            tile(panels, x)
        }
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn tile<const P: usize, const T: usize>(panels: [&[Int8Block]; P], x: &[i32]) -> [[[f32; ROWS]; T]; P] {
    let mut out = [[[_mm512_setzero_ps(); 2]; T]; P];
    let steps = x.len() / (T * TOKEN_WORDS);
    let own = panels.map(|panel| &panel[..steps]);
    for (at, x) in (0..steps).zip(x.chunks_exact(T * TOKEN_WORDS)) {
        for p in 0..P {
            prefetch(panels[p], at);
            multiply(&own[p][at], x, &mut out[p]);
        }
    }
    let mut rows = [[[0.0; ROWS]; T]; P];
    for p in 0..P {
        for t in 0..T {
            rows[p][t] = cast::<[__m512; 2], [f32; ROWS]>(out[p][t]);
        }
    }
    rows
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply<const T: usize>(block: &Int8Block, x: &[i32], out: &mut [[__m512; 2]; T]) {
    let (words, rest) = x.split_at(WORDS * T);
    let (scales, corrections) = rest.split_at(T);
    let mut sums = [[_mm512_set1_epi32(0); 2]; T];
    for t in 0..T {
        sums[t] = [_mm512_set1_epi32(corrections[t]); 2];
    }
    for (weights, words) in block.words.iter().zip(words.chunks_exact(T)) {
        let weights = weights.as_chunks::<64>().0;
        let weights: [__m512i; 2] = [cast(weights[0]), cast(weights[1])];
        for t in 0..T {
            let x = _mm512_set1_epi32(words[t]);
            for half in 0..2 {
                sums[t][half] = _mm512_dpbusd_epi32(sums[t][half], weights[half], x);
            }
        }
    }
    let own = block.scales.as_chunks::<16>().0;
    let own: [__m256i; 2] = [cast(own[0]), cast(own[1])];
    for half in 0..2 {
        let own = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(own[half])));
        for t in 0..T {
            let scale = _mm512_set1_ps(f32::from_bits(scales[t].cast_unsigned()));
            let sum = _mm512_cvtepi32_ps(sums[t][half]);
            out[t][half] = _mm512_fmadd_ps(sum, _mm512_mul_ps(own, scale), out[t][half]);
        }
    }
}
