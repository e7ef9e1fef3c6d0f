//! Products with 8-bit and 4-bit weights on processors with AVX-512 VNNI: one instruction multiplies and sums 64 pairs of bytes.
//!
//! One of two places of the crate with `unsafe`, beside [`super::prefetch`]. It calls a function with target features, after the
//! processor was checked for them. Loads and stores are copies of arrays.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm512_and_si512, _mm512_castsi512_ps, _mm512_cvtepi32_ps,
    _mm512_cvtepu16_epi32, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32,
};

use pulp::bytemuck::cast;

use super::activations::{TOKEN_WORDS, total_of};
use super::panels::{Int4Block, Int8Block, NIBBLE_WORDS, ROWS, WORDS};
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

/// Multiplies tiles with one layout of weights, of which `$multiply` takes one step.
macro_rules! tiles {
    ($block:ident, $tile:ident, $multiply:ident) => {
impl TileKernel<$block> for Vnni {
    #[inline(always)]
    fn tile<const P: usize, const T: usize>(
        self,
        panels: [&[$block]; P],
        x: &[i32],
    ) -> [[[f32; ROWS]; T]; P] {
        #[expect(
            unsafe_code,
            reason = "a function with target features cannot be called otherwise; `self` proves that the processor has them"
        )]
        // SAFETY: `Self` is made by `detect` alone, which has found the features that `tile` names.
        unsafe {
            $tile(panels, x)
        }
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn $tile<const P: usize, const T: usize>(panels: [&[$block]; P], x: &[i32]) -> [[[f32; ROWS]; T]; P] {
    let mut out = [[[_mm512_setzero_ps(); 2]; T]; P];
    let steps = x.len() / (T * TOKEN_WORDS);
    let own = panels.map(|panel| &panel[..steps]);
    for (at, x) in (0..steps).zip(x.chunks_exact(T * TOKEN_WORDS)) {
        for p in 0..P {
            prefetch(panels[p], at);
            $multiply(&own[p][at], x, &mut out[p]);
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
    };
}

tiles!(Int8Block, tile8, multiply8);
tiles!(Int4Block, tile4, multiply4);

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply8<const T: usize>(block: &Int8Block, x: &[i32], out: &mut [[__m512; 2]; T]) {
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
    for (half, own) in wide(&block.scales).into_iter().enumerate() {
        for t in 0..T {
            let scale = _mm512_set1_ps(f32::from_bits(scales[t].cast_unsigned()));
            let sum = _mm512_cvtepi32_ps(sums[t][half]);
            out[t][half] = _mm512_fmadd_ps(sum, _mm512_mul_ps(own, scale), out[t][half]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply4<const T: usize>(block: &Int4Block, x: &[i32], out: &mut [[__m512; 2]; T]) {
    let (words, rest) = x.split_at(WORDS * T);
    let (scales, corrections) = rest.split_at(T);
    let (lower, upper) = words.split_at(NIBBLE_WORDS * T);
    let mask = _mm512_set1_epi32(0x0f0f_0f0f);
    let mut sums = [[_mm512_setzero_si512(); 2]; T];
    let words = lower.chunks_exact(T).zip(upper.chunks_exact(T));
    for (weights, (lower, upper)) in block.words.iter().zip(words) {
        let weights = weights.as_chunks::<64>().0;
        let weights: [__m512i; 2] = [cast(weights[0]), cast(weights[1])];
        for half in 0..2 {
            let low = _mm512_and_si512(weights[half], mask);
            let high = _mm512_and_si512(_mm512_srli_epi32::<4>(weights[half]), mask);
            for t in 0..T {
                let sum = _mm512_dpbusd_epi32(sums[t][half], low, _mm512_set1_epi32(lower[t]));
                sums[t][half] = _mm512_dpbusd_epi32(sum, high, _mm512_set1_epi32(upper[t]));
            }
        }
    }
    let (own, minima) = (wide(&block.scales), wide(&block.minima));
    for half in 0..2 {
        for t in 0..T {
            let scale = f32::from_bits(scales[t].cast_unsigned());
            let total = _mm512_set1_ps(scale * total_of(corrections[t]));
            let sum = _mm512_cvtepi32_ps(sums[t][half]);
            let factor = _mm512_mul_ps(own[half], _mm512_set1_ps(scale));
            out[t][half] = _mm512_fmadd_ps(sum, factor, out[t][half]);
            out[t][half] = _mm512_fmadd_ps(minima[half], total, out[t][half]);
        }
    }
}

/// Widens upper halves of 32-bit floats.
#[inline]
#[target_feature(enable = "avx512f")]
fn wide(halves: &[u16; ROWS]) -> [__m512; 2] {
    let halves = halves.as_chunks::<16>().0;
    let halves: [__m256i; 2] = [cast(halves[0]), cast(halves[1])];
    let widened = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    [widened(halves[0]), widened(halves[1])]
}
