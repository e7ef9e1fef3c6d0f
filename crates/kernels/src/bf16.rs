//! Rounding to bfloat16, as processors with AMX take it.

use amx::rounded;

/// The bfloat16 nearest to a value.
#[inline(always)]
pub(crate) fn half(value: f32) -> u16 {
    (rounded(value) >> 16) as u16
}

/// Two values as bfloat16 in one word, the first in the lower half.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> u32 {
    rounded(first) >> 16 | rounded(second) & 0xffff_0000
}
