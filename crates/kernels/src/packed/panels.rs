//! Layout of weights in memory.
//!
//! A matrix is cut into panels of [`ROWS`] rows. A panel holds its weights column by column, so that one vector holds the
//! same column of neighboring rows. A product then reads memory in one stream and never sums across a vector. Missing rows of
//! the last panel and missing columns of the last step are zeros.

use half::bf16;
use rayon::prelude::*;

use super::line::Line;

/// Rows of a panel.
pub(crate) const ROWS: usize = 32;
/// Columns that share one scale in the 8-bit precision.
pub(crate) const BLOCK: usize = 32;
/// Weights in one word of the 8-bit precision, and words of a block.
const WORD: usize = 4;
pub(crate) const WORDS: usize = BLOCK / WORD;
/// Words of a block in the 4-bit precision.
pub(crate) const NIBBLE_WORDS: usize = WORDS / 2;
/// The byte that stands for zero.
pub(crate) const ZERO: u8 = 128;

/// The columns of a panel that are stored together.
pub(crate) trait Step: Clone + Send + Sync {
    /// Number of these columns.
    const COLUMNS: usize;
    const EMPTY: Self;

    /// Stores up to [`Self::COLUMNS`] weights of the row `lane`.
    fn put(&mut self, lane: usize, weights: &[f32]);
    /// Reads the weights of the row `lane`.
    fn get(&self, lane: usize, weights: &mut [f32]);
}

/// A column of 32-bit floats.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct F32Column(pub(crate) [f32; ROWS]);

/// Two columns of bfloat16, the upper halves of 32-bit floats: the first in the lower half of each word.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Bf16Columns(pub(crate) [u32; ROWS]);

/// Columns of 8-bit integers around [`ZERO`], four neighboring columns of a row in a word, and a scale for each row.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Int8Block {
    /// Upper halves of 32-bit floats.
    pub(crate) scales: [u16; ROWS],
    pub(crate) words: [[u8; WORD * ROWS]; WORDS],
}

/// Columns of 4-bit integers, with a scale and the smallest weight for each row.
///
/// The lower halves of the bytes of word `i` are the columns of word `i` of 8-bit weights. The upper halves are those of word
/// `i + NIBBLE_WORDS`.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Int4Block {
    /// Upper halves of 32-bit floats.
    pub(crate) scales: [u16; ROWS],
    /// Upper halves of 32-bit floats.
    pub(crate) minima: [u16; ROWS],
    pub(crate) words: [[u8; WORD * ROWS]; NIBBLE_WORDS],
}

impl Step for F32Column {
    const COLUMNS: usize = 1;
    const EMPTY: Self = Self([0.0; ROWS]);

    fn put(&mut self, lane: usize, weights: &[f32]) {
        self.0[lane] = weights[0];
    }

    fn get(&self, lane: usize, weights: &mut [f32]) {
        weights[0] = self.0[lane];
    }
}

impl Step for Bf16Columns {
    const COLUMNS: usize = 2;
    const EMPTY: Self = Self([0; ROWS]);

    fn put(&mut self, lane: usize, weights: &[f32]) {
        let half = |at: usize| {
            weights
                .get(at)
                .map_or(0, |weight| u32::from(bf16::from_f32(*weight).to_bits()))
        };
        self.0[lane] = half(0) | half(1) << 16;
    }

    fn get(&self, lane: usize, weights: &mut [f32]) {
        let halves = [self.0[lane] << 16, self.0[lane] & 0xffff_0000];
        for (weight, half) in weights.iter_mut().zip(halves) {
            *weight = f32::from_bits(half);
        }
    }
}

impl Step for Int8Block {
    const COLUMNS: usize = BLOCK;
    const EMPTY: Self = Self {
        scales: [0; ROWS],
        words: [[ZERO; WORD * ROWS]; WORDS],
    };

    /// Symmetric: the largest weight becomes at most ±127. The scale is rounded up to 16 bits first. That makes steps coarser by
    /// at most 1/128 and adds no error of its own.
    fn put(&mut self, lane: usize, weights: &[f32]) {
        let largest = weights.iter().fold(0.0_f32, |max, weight| max.max(weight.abs()));
        let bits = (largest / 127.0).to_bits().saturating_add(0xffff) >> 16;
        let scale = f32::from_bits(bits << 16);
        let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
        self.scales[lane] = (bits & 0xffff) as u16;
        for (at, weight) in weights.iter().enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 255"
            )]
            let byte = ((weight * inverse).round_ties_even() + f32::from(ZERO)) as u8;
            self.words[at / WORD][lane * WORD + at % WORD] = byte;
        }
    }

    fn get(&self, lane: usize, weights: &mut [f32]) {
        let scale = f32::from_bits(u32::from(self.scales[lane]) << 16);
        for (at, weight) in weights.iter_mut().enumerate() {
            let byte = self.words[at / WORD][lane * WORD + at % WORD];
            *weight = (f32::from(byte) - f32::from(ZERO)) * scale;
        }
    }
}

impl Step for Int4Block {
    const COLUMNS: usize = BLOCK;
    const EMPTY: Self = Self {
        scales: [0; ROWS],
        minima: [0; ROWS],
        words: [[0; WORD * ROWS]; NIBBLE_WORDS],
    };

    fn put(&mut self, lane: usize, weights: &[f32]) {
        let line = Line::of(weights);
        (self.scales[lane], self.minima[lane]) = (line.scale.to_bits(), line.minimum.to_bits());
        let mut integers = [0; BLOCK];
        line.integers(weights, &mut integers);
        for (at, integer) in integers.iter().enumerate() {
            let (word, shift) = (at / WORD % NIBBLE_WORDS, at / (WORD * NIBBLE_WORDS) * 4);
            let byte = &mut self.words[word][lane * WORD + at % WORD];
            *byte = *byte & !(15 << shift) | integer << shift;
        }
    }

    fn get(&self, lane: usize, weights: &mut [f32]) {
        let line = Line {
            scale: bf16::from_bits(self.scales[lane]),
            minimum: bf16::from_bits(self.minima[lane]),
        };
        for (at, weight) in weights.iter_mut().enumerate() {
            let (word, shift) = (at / WORD % NIBBLE_WORDS, at / (WORD * NIBBLE_WORDS) * 4);
            *weight = line.weight(self.words[word][lane * WORD + at % WORD] >> shift & 15);
        }
    }
}

/// A matrix in panels.
#[derive(Debug)]
pub(crate) struct Panels<T> {
    steps: Vec<T>,
    rows: usize,
    columns: usize,
}

impl<T: Step> Panels<T> {
    pub(crate) fn zeros(rows: usize, columns: usize) -> Self {
        let count = rows.div_ceil(ROWS) * columns.div_ceil(T::COLUMNS);
        Self {
            steps: vec![T::EMPTY; count],
            rows,
            columns,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.steps.as_slice())
    }

    /// Steps of one panel.
    fn width(&self) -> usize {
        self.columns.div_ceil(T::COLUMNS)
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the steps of one panel and of all later ones.
    pub(crate) fn panel(&self, index: usize) -> &[T] {
        &self.steps[index * self.width()..]
    }

    /// Stores whole rows from row `first` on.
    pub(crate) fn write(&mut self, first: usize, rows: &[f32]) {
        let (width, columns) = (self.width(), self.columns);
        let from = first / ROWS;
        let to = (first + rows.len() / columns).div_ceil(ROWS);
        let panels = self.steps[from * width..to * width].par_chunks_exact_mut(width);
        panels.enumerate().for_each(|(index, panel)| {
            for lane in 0..ROWS {
                let Some(row) = ((from + index) * ROWS + lane).checked_sub(first) else {
                    continue;
                };
                let Some(row) = rows.get(row * columns..(row + 1) * columns) else {
                    continue;
                };
                for (step, weights) in panel.iter_mut().zip(row.chunks(T::COLUMNS)) {
                    step.put(lane, weights);
                }
            }
        });
    }

    /// Writes one row as 32-bit floats to `out`.
    pub(crate) fn read(&self, row: usize, out: &mut [f32]) {
        for (step, out) in self.panel(row / ROWS).iter().zip(out.chunks_mut(T::COLUMNS)) {
            step.get(row % ROWS, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Step>(tolerance: f32) {
        let mut random = fastrand::Rng::with_seed(1);
        for (rows, columns, cut) in [(1, 1, 1), (70, 33, 40), (64, 64, 32), (33, 7, 5)] {
            let values: Vec<f32> = (0..rows * columns).map(|_| random.f32() - 0.5).collect();
            let mut panels = Panels::<T>::zeros(rows, columns);
            let (upper, lower) = values.split_at(cut * columns);
            panels.write(0, upper);
            panels.write(cut, lower);
            let mut found = vec![0.0; columns];
            for (row, expected) in values.chunks(columns).enumerate() {
                panels.read(row, &mut found);
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance;
                assert!(found.iter().zip(expected).all(near), "{rows}×{columns}: {row}");
            }
        }
    }

    #[test]
    fn written_weights_can_be_read() {
        round_trip::<F32Column>(0.0);
        round_trip::<Bf16Columns>(0.001);
        round_trip::<::amx::Pairs>(0.001);
        // Half a step of 0.5 / 127, made coarser by rounding the scale up.
        round_trip::<Int8Block>(0.5 / 127.0 / 2.0 * 1.01);
    }

    #[test]
    fn written_weights_can_be_read_in_four_bits() {
        // The outermost weights may be cut off: a tenth of a range of 1, and half a step.
        round_trip::<Int4Block>(0.14);
    }

    #[test]
    fn a_line_of_few_weights_is_exact_and_extreme_values_survive_four_bits() {
        let stairs: [f32; BLOCK] = std::array::from_fn(|at| (at % 16) as f32 * 0.5 - 4.0);
        for weights in [stairs, [0.0; BLOCK], [-7.0; BLOCK], [2.0_f32.powi(-100); BLOCK]] {
            let mut block = Int4Block::EMPTY;
            block.put(31, &weights);
            let mut found = [1.0; BLOCK];
            block.get(31, &mut found);
            assert_eq!(found, weights);
        }
        for extreme in [f32::MAX, f32::MIN, 1e-42] {
            let mut block = Int4Block::EMPTY;
            let mut weights = [extreme; BLOCK];
            weights[0] = 0.0;
            block.put(0, &weights);
            block.get(0, &mut weights);
            assert!(weights.iter().all(|weight| weight.is_finite()), "{weights:?}");
        }
    }

    #[test]
    fn extreme_values_survive_eight_bits() {
        for weights in [[0.0; BLOCK], [1e-30; BLOCK], [3e38; BLOCK], [-7.0; BLOCK]] {
            let mut block = Int8Block::EMPTY;
            block.put(3, &weights);
            let mut found = [1.0; BLOCK];
            block.get(3, &mut found);
            for (found, weight) in found.iter().zip(weights) {
                assert!((found - weight).abs() <= weight.abs() / 127.0, "{found} {weight}");
            }
        }
    }
}
