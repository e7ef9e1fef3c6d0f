//! ggml's blocks of 32 weights, expanded to 32-bit floats.
//!
//! Layouts follow ggml's `ggml-common.h`: a 16-bit scale (and minimum), then 4-bit, 5-bit or 8-bit numbers.

use half::f16;

/// Weights of a block.
const BLOCK: usize = 32;

pub(crate) fn q4_0(b: &[u8; 18]) -> [f32; BLOCK] {
    nibbles(&b[2..], |q, _| half(b, 0) * (q - 8.0))
}

pub(crate) fn q4_1(b: &[u8; 20]) -> [f32; BLOCK] {
    nibbles(&b[4..], |q, _| half(b, 0) * q + half(b, 2))
}

pub(crate) fn q5_0(b: &[u8; 22]) -> [f32; BLOCK] {
    nibbles(&b[6..], |q, i| half(b, 0) * (q + fifth(&b[2..], i) - 16.0))
}

pub(crate) fn q5_1(b: &[u8; 24]) -> [f32; BLOCK] {
    nibbles(&b[8..], |q, i| half(b, 0) * (q + fifth(&b[4..], i)) + half(b, 2))
}

pub(crate) fn q8_0(b: &[u8; 34]) -> [f32; BLOCK] {
    std::array::from_fn(|i| half(b, 0) * f32::from(b[2 + i].cast_signed()))
}

/// Reads a 16-bit float.
pub(crate) fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Unpacks 16 bytes: the low halves are the first 16 weights, the high halves the others.
fn nibbles(bytes: &[u8], weight: impl Fn(f32, usize) -> f32) -> [f32; BLOCK] {
    std::array::from_fn(|i| {
        let nibble = if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 };
        weight(f32::from(nibble), i)
    })
}

/// Returns the value of the fifth bit of weight `i`.
fn fifth(bits: &[u8], i: usize) -> f32 {
    f32::from((bits[i / 8] >> (i % 8) & 1) << 4)
}
