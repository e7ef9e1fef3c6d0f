//! Weights in memory, in three precisions.

use half::bf16;
use pulp::{Simd, WithSimd};

/// Weights that share one scale in the 8-bit precision.
pub(crate) const BLOCK: usize = 32;

/// Rows of a matrix, one after the other.
#[derive(Debug)]
pub(crate) enum Encoded {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Upper halves of 32-bit floats.
    Bf16(Vec<u16>),
    /// Whole numbers times the scale of their block; rows are padded to whole blocks with zeros.
    Q8 { values: Vec<i8>, scales: Vec<f32> },
}

/// Some rows of an [`Encoded`], each of `columns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a Encoded,
    pub(crate) columns: usize,
}

impl Encoded {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::F32(values) => values.len() * 4,
            Self::Bf16(values) => values.len() * 2,
            Self::Q8 { values, scales } => values.len() + scales.len() * 4,
        }
    }

    /// Appends rows in the precision that `self` has.
    pub(crate) fn push_rows(&mut self, rows: &[f32], columns: usize) {
        match self {
            Self::F32(values) => values.extend_from_slice(rows),
            Self::Bf16(values) => values.extend(rows.iter().map(|value| bf16::from_f32(*value).to_bits())),
            Self::Q8 { values, scales } => {
                let blocks = rows.chunks(columns).flat_map(|row| row.chunks(BLOCK));
                blocks.for_each(|block| push_block(block, values, scales));
            }
        }
    }
}

/// Symmetric: the largest value of a block becomes ±127.
fn push_block(block: &[f32], values: &mut Vec<i8>, scales: &mut Vec<f32>) {
    let largest = block.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
    scales.push(scale);
    #[expect(clippy::cast_possible_truncation, reason = "between -127 and 127")]
    values.extend(block.iter().map(|value| (value * inverse).round() as i8));
    values.extend(std::iter::repeat_n(0, BLOCK - block.len()));
}

/// Writes one row as 32-bit floats.
#[derive(Debug)]
pub(crate) struct CopyRow<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) row: usize,
    pub(crate) buffer: &'a mut [f32],
    pub(crate) out: &'a mut [f32],
}

impl WithSimd for CopyRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.out
            .copy_from_slice(self.rows.row(simd, self.row, self.buffer));
    }
}

impl<'a> Rows<'a> {
    /// One row as 32-bit floats: borrowed where it is stored so, else written to `buffer`.
    #[inline(always)]
    pub(crate) fn row<'b, S: Simd>(self, simd: S, row: usize, buffer: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let columns = self.columns;
        match self.data {
            Encoded::F32(values) => &values[row * columns..][..columns],
            Encoded::Bf16(values) => {
                let values = &values[row * columns..][..columns];
                let buffer = &mut buffer[..columns];
                for (out, bits) in buffer.iter_mut().zip(values) {
                    *out = f32::from_bits(u32::from(*bits) << 16);
                }
                buffer
            }
            Encoded::Q8 { values, scales } => {
                let blocks = columns.div_ceil(BLOCK);
                let values = &values[row * blocks * BLOCK..][..blocks * BLOCK];
                let buffer = &mut buffer[..blocks * BLOCK];
                for (out, value) in buffer.iter_mut().zip(values) {
                    *out = f32::from(*value);
                }
                // By hand: left to itself the compiler turns loops over blocks inside out, with gathers and scatters.
                let lanes = BLOCK / S::F32_LANES;
                let vectors = S::as_mut_simd_f32s(buffer).0.chunks_exact_mut(lanes);
                for (block, scale) in vectors.zip(&scales[row * blocks..][..blocks]) {
                    let scale = simd.splat_f32s(*scale);
                    for vector in block {
                        *vector = simd.mul_f32s(*vector, scale);
                    }
                }
                &buffer[..columns]
            }
        }
    }

    /// Elements that a buffer for one row needs.
    pub(crate) fn buffer(self) -> usize {
        match self.data {
            Encoded::F32(_) => 0,
            Encoded::Bf16(_) => self.columns,
            Encoded::Q8 { .. } => self.columns.next_multiple_of(BLOCK),
        }
    }
}
