//! Activations, rearranged once before all rows read them.
//!
//! Tokens are put into tiles, as many as a product keeps in registers. Within a tile column follows column, and within a
//! column token follows token. Beside 8-bit and 4-bit weights activations have 8 bits, with a scale for each token and block.

use pulp::{Arch, Simd, WithSimd};

use super::panels::{BLOCK, WORDS, ZERO};

/// Words of a token in a block: its integers, four in a word, then the scale and the correction.
pub(crate) const TOKEN_WORDS: usize = WORDS + 2;

/// Tokens in tiles.
#[derive(Debug)]
pub(crate) struct Activations<X> {
    pub(crate) tokens: usize,
    /// Tile sizes in use, in falling order; the last is 1.
    pub(crate) sizes: &'static [usize],
    pub(crate) data: Vec<X>,
}

/// Returns the tile sizes of so many tokens.
pub(crate) fn tiles(mut tokens: usize, sizes: &'static [usize]) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let size = *sizes.iter().find(|size| **size <= tokens)?;
        tokens -= size;
        Some(size)
    })
}

/// Rearranges tokens for weights that are stored `step` columns together.
pub(crate) fn floats(x: &[f32], columns: usize, step: usize, sizes: &'static [usize]) -> Activations<f32> {
    let padded = columns.next_multiple_of(step);
    let tokens = x.len() / columns;
    let mut data = vec![0.0; tokens * padded];
    let (mut rest, mut x) = (data.as_mut_slice(), x);
    for size in tiles(tokens, sizes) {
        let (tile, others) = rest.split_at_mut(size * padded);
        let (own, later) = x.split_at(size * columns);
        for (token, values) in own.chunks_exact(columns).enumerate() {
            for (column, value) in tile.chunks_exact_mut(size).zip(values) {
                column[token] = *value;
            }
        }
        (rest, x) = (others, later);
    }
    Activations { tokens, sizes, data }
}

/// Rearranges tokens for 8-bit and 4-bit weights.
///
/// A token has for each tile and block [`WORDS`] words of four integers, the bits of the scale, and a correction. The correction
/// is added to the sum of products with 8-bit weights, because those are stored around [`ZERO`].
pub(crate) fn int8(x: &[f32], columns: usize, sizes: &'static [usize]) -> Activations<i32> {
    Activations {
        tokens: x.len() / columns,
        sizes,
        data: Arch::new().dispatch(Rounding { x, columns, sizes }),
    }
}

/// Returns the sum of the integers of a token's block, which is in its correction.
#[inline(always)]
pub(crate) fn total_of(correction: i32) -> f32 {
    (correction / -i32::from(ZERO)) as f32
}

struct Rounding<'a> {
    x: &'a [f32],
    columns: usize,
    sizes: &'static [usize],
}

impl WithSimd for Rounding<'_> {
    type Output = Vec<i32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<i32> {
        let tokens = self.x.len() / self.columns;
        let width = self.columns.div_ceil(BLOCK) * TOKEN_WORDS;
        let mut out = vec![0; tokens * width];
        let (mut rest, mut x) = (out.as_mut_slice(), self.x);
        for size in tiles(tokens, self.sizes) {
            let (tile, others) = rest.split_at_mut(size * width);
            let (own, later) = x.split_at(size * self.columns);
            for (token, values) in own.chunks_exact(self.columns).enumerate() {
                let blocks = tile.chunks_exact_mut(size * TOKEN_WORDS);
                for (out, values) in blocks.zip(values.chunks(BLOCK)) {
                    let words = match values.as_array::<BLOCK>() {
                        Some(values) => rounded(values),
                        None => {
                            let mut padded = [0.0; BLOCK];
                            padded[..values.len()].copy_from_slice(values);
                            rounded(&padded)
                        }
                    };
                    for (at, word) in words.iter().enumerate() {
                        out[at * size + token] = *word;
                    }
                }
            }
            (rest, x) = (others, later);
        }
        out
    }
}

/// Rounds one token's block: the largest value becomes ±127.
#[inline(always)]
fn rounded(values: &[f32; BLOCK]) -> [i32; TOKEN_WORDS] {
    /// Added to a value, leaves the nearest integer in the lower bits.
    const MAGIC: f32 = 12_582_912.0;
    let mut largest = [0.0_f32; 16];
    for half in values.as_chunks::<16>().0 {
        for (max, value) in largest.iter_mut().zip(half) {
            *max = if value.abs() > *max { value.abs() } else { *max };
        }
    }
    let largest = largest.iter().fold(0.0_f32, |a, b| if *b > a { *b } else { a });
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut integers = [0_i32; BLOCK];
    for (integer, value) in integers.iter_mut().zip(values) {
        let nearest = (value * inverse + MAGIC).to_bits().cast_signed() - MAGIC.to_bits().cast_signed();
        // Has an effect only where a value or the inverse is not finite.
        *integer = nearest.clamp(-127, 127);
    }
    let mut words = [0; TOKEN_WORDS];
    for (word, four) in words.iter_mut().zip(integers.as_chunks::<4>().0) {
        *word = four[0] & 255 | (four[1] & 255) << 8 | (four[2] & 255) << 16 | four[3] << 24;
    }
    words[WORDS] = (largest / 127.0).to_bits().cast_signed();
    words[WORDS + 1] = -i32::from(ZERO) * integers.iter().sum::<i32>();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_values_and_survives_extreme_ones() {
        let values: [f32; BLOCK] = std::array::from_fn(|i| i as f32 - 20.0);
        let words = rounded(&values);
        let scale = f32::from_bits(words[WORDS].cast_unsigned());
        let mut sum = 0;
        for (i, value) in values.iter().enumerate() {
            let integer = i32::from(words[i / 4].to_le_bytes()[i % 4].cast_signed());
            assert!(
                (integer as f32 * scale - value).abs() <= scale * 0.501,
                "{value}: {integer}"
            );
            sum += integer;
        }
        assert_eq!(words[WORDS + 1], -128 * sum);
        for odd in [f32::NAN, f32::INFINITY, f32::MIN, 1e-45, -0.0] {
            let words = rounded(&[odd; BLOCK]);
            assert!(words[WORDS + 1].abs() <= 128 * 127 * 32, "{odd}");
        }
    }
}
