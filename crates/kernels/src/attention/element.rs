//! Elements of cached keys and values: 32-bit floats, or pairs of bfloat16.

use pulp::Simd;

use crate::bf16;

/// An element of the keys or the values of one position and head.
///
/// With one number an element, elements are in the order of the numbers. With two, the lower half of element `i` is number `i` of
/// the head. The upper half is number `i` of the second half of the head. So a vector of elements becomes two vectors
/// of neighbors.
pub trait CacheElement: Copy + Default + Send + Sync + 'static {
    /// Numbers in an element.
    const NUMBERS: usize;
    /// A vector of elements.
    type Vector<S: Simd>: Copy;

    /// Packs the numbers of a head, [`Self::NUMBERS`] times as many as there are elements.
    fn pack(numbers: &[f32], elements: &mut [Self]);
    /// Cuts elements into vectors, and the rest.
    fn vectors<S: Simd>(elements: &[Self]) -> (&[Self::Vector<S>], &[Self]);
    /// Widens the numbers of one half, 0 or 1.
    fn widen<S: Simd>(simd: S, vector: Self::Vector<S>, half: usize) -> S::f32s;
    /// Widens one number of an element, 0 or 1.
    fn number(self, half: usize) -> f32;
}

impl CacheElement for f32 {
    const NUMBERS: usize = 1;
    type Vector<S: Simd> = S::f32s;

    fn pack(numbers: &[f32], elements: &mut [Self]) {
        elements.copy_from_slice(numbers);
    }

    #[inline(always)]
    fn vectors<S: Simd>(elements: &[Self]) -> (&[S::f32s], &[Self]) {
        S::as_simd_f32s(elements)
    }

    #[inline(always)]
    fn widen<S: Simd>(_: S, vector: S::f32s, _: usize) -> S::f32s {
        vector
    }

    #[inline(always)]
    fn number(self, _: usize) -> f32 {
        self
    }
}

/// Two numbers as bfloat16, the first in the lower half.
pub type Bf16Pair = u32;

impl CacheElement for Bf16Pair {
    const NUMBERS: usize = 2;
    type Vector<S: Simd> = S::u32s;

    fn pack(numbers: &[f32], elements: &mut [Self]) {
        let (first, second) = numbers.split_at(elements.len());
        for ((element, first), second) in elements.iter_mut().zip(first).zip(second) {
            *element = bf16::pair(*first, *second);
        }
    }

    #[inline(always)]
    fn vectors<S: Simd>(elements: &[Self]) -> (&[S::u32s], &[Self]) {
        S::as_simd_u32s(elements)
    }

    #[inline(always)]
    fn widen<S: Simd>(simd: S, vector: S::u32s, half: usize) -> S::f32s {
        simd.transmute_f32s_u32s(if half == 0 {
            simd.wrapping_dyn_shl_u32s(vector, simd.splat_u32s(16))
        } else {
            simd.and_u32s(vector, simd.splat_u32s(0xffff_0000))
        })
    }

    #[inline(always)]
    fn number(self, half: usize) -> f32 {
        f32::from_bits(if half == 0 { self << 16 } else { self & 0xffff_0000 })
    }
}
