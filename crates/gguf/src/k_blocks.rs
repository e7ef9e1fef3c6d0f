//! ggml's blocks of 256 weights ("k-quants"), expanded to 32-bit floats.
//!
//! Layouts and order of rounding follow ggml's `ggml-quants.c`. A block has 8 or 16 groups with small scales (and minimums),
//! which a 16-bit scale of the block multiplies. Bits of a weight are spread so that vectors can unpack them.

use crate::blocks::half;

/// Weights of a block.
const BLOCK: usize = 256;

/// Expands two bits, with scales and minimums of four bits for each 16 weights.
pub(crate) fn q2(b: &[u8; 84]) -> [f32; BLOCK] {
    let (scales, bits) = (&b[..16], &b[16..80]);
    let (scale, minimum) = (half(b, 80), half(b, 82));
    std::array::from_fn(|i| {
        let own = scales[i / 16];
        scale * f32::from(own & 15) * f32::from(two_bits(bits, i)) - minimum * f32::from(own >> 4)
    })
}

/// Expands three bits, with signed scales of six bits for each 16 weights.
pub(crate) fn q3(b: &[u8; 110]) -> [f32; BLOCK] {
    let (high, bits, scales) = (&b[..32], &b[32..96], &b[96..108]);
    let scale = half(b, 108);
    std::array::from_fn(|i| {
        let group = i / 16;
        let low = scales[group % 8] >> (group / 8 * 4) & 15;
        let own = low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4;
        let third = (high[i % 32] >> (i / 32) & 1) << 2;
        let weight = f32::from(two_bits(bits, i) | third) - 4.0;
        scale * (f32::from(own) - 32.0) * weight
    })
}

/// Expands four bits, with scales and minimums of six bits for each 32 weights.
pub(crate) fn q4(b: &[u8; 144]) -> [f32; BLOCK] {
    std::array::from_fn(|i| with_minimum(b, i, f32::from(nibble(&b[16..], i))))
}

/// Expands five bits, otherwise as [`q4`].
pub(crate) fn q5(b: &[u8; 176]) -> [f32; BLOCK] {
    std::array::from_fn(|i| {
        let fifth = (b[16 + i % 32] >> (i / 32) & 1) << 4;
        with_minimum(b, i, f32::from(nibble(&b[48..], i) | fifth))
    })
}

/// Expands six bits, with signed scales of eight bits for each 16 weights.
pub(crate) fn q6(b: &[u8; 210]) -> [f32; BLOCK] {
    let (low, high, scales) = (&b[..128], &b[128..192], &b[192..208]);
    let scale = half(b, 208);
    std::array::from_fn(|i| {
        let (run, half) = (i % 128 / 32, i / 128);
        let four = low[half * 64 + run % 2 * 32 + i % 32] >> (run / 2 * 4) & 15;
        let weight = f32::from(four | two_bits(high, i) << 4) - 32.0;
        scale * f32::from(scales[i / 16].cast_signed()) * weight
    })
}

/// Reads two bits: four runs of 32 weights share 32 bytes.
fn two_bits(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
}

/// Reads four bits: two runs of 32 weights share 32 bytes.
fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15
}

/// Applies scale and minimum of the group of weight `i`. They are packed in 12 bytes after those of the block.
fn with_minimum(b: &[u8], i: usize, number: f32) -> f32 {
    let (group, packed) = (i / 32, &b[4..16]);
    let (scale, minimum) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        (
            packed[group + 4] & 15 | packed[group - 4] >> 6 << 4,
            packed[group + 4] >> 4 | packed[group] >> 6 << 4,
        )
    };
    half(b, 0) * f32::from(scale) * number - half(b, 2) * f32::from(minimum)
}
