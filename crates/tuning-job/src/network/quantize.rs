//! Four-bit weights in the bytes of bitsandbytes.
//!
//! Blocks of 64 values share their largest magnitude. A value is the index of the nearest entry in a table of sixteen: NF4
//! (Dettmers et al., QLoRA, 2023) or FP4. Double quantization subtracts the mean of the magnitudes and stores them in eight
//! bits. Their blocks have 256 values and use the dynamic table of "8-bit Optimizers via Block-wise Quantization". Rounding follows
//! bitsandbytes 0.50 on CPUs.

use std::sync::LazyLock;

use rayon::prelude::*;

/// Values that share a magnitude.
const BLOCK: usize = 64;
/// Magnitudes that share a scale.
const OUTER: usize = 256;
/// Steps of bitsandbytes' table from numbers to eight-bit codes.
const STEPS: usize = 65_536;

const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Table of the sixteen values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantType {
    /// Quantiles of the normal distribution.
    Nf4,
    /// A sign, two bits of exponent, one of fraction.
    Fp4,
}

impl QuantType {
    /// Returns values by code.
    fn values(self) -> [f32; 16] {
        match self {
            Self::Nf4 => NF4,
            Self::Fp4 => {
                let positive = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0].map(|value: f32| value / 12.0);
                std::array::from_fn(|code| {
                    if code < 8 {
                        positive[code]
                    } else {
                        -positive[code - 8]
                    }
                })
            }
        }
    }

    /// Returns codes in the order of their values, and the midpoints of neighbors.
    fn ordered(self) -> ([u8; 16], [f32; 15]) {
        let values = self.values();
        let mut order: [u8; 16] = std::array::from_fn(|code| code as u8);
        order.sort_by(|a, b| {
            values[usize::from(*a)]
                .partial_cmp(&values[usize::from(*b)])
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let at = |i: usize| values[usize::from(order[i])];
        let bounds = std::array::from_fn(|i| f32::midpoint(at(i), at(i + 1)));
        (order, bounds)
    }
}

/// Weights of four bits each.
#[derive(Clone, Debug)]
pub struct QuantizedWeights {
    quant_type: QuantType,
    /// Two values a byte, the first in the high half.
    codes: Vec<u8>,
    scales: Scales,
    values: usize,
}

/// Magnitudes of blocks.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One float a block.
    Plain(Vec<f32>),
    /// One byte a block.
    Double {
        /// Index into the dynamic table.
        codes: Vec<u8>,
        /// One float for 256 blocks.
        outer: Vec<f32>,
        /// Mean that was subtracted.
        offset: f32,
    },
}

impl QuantizedWeights {
    /// Quantizes values; with `double_quant` also their magnitudes.
    #[must_use]
    pub fn new(values: &[f32], quant_type: QuantType, double_quant: bool) -> Self {
        let (order, bounds) = quant_type.ordered();
        let magnitudes: Vec<f32> = values.par_chunks(BLOCK).map(magnitude).collect();
        let mut codes = vec![0; values.len().div_ceil(2)];
        let blocks = codes
            .par_chunks_mut(BLOCK / 2)
            .zip(values.par_chunks(BLOCK))
            .zip(&magnitudes);
        blocks.for_each(|((codes, values), magnitude)| {
            let magnitude = magnitude.max(1e-38);
            // bitsandbytes divides in a last block that is not whole, and multiplies in others: it may round differently.
            let scaled = |value: f32| match values.len() {
                BLOCK => (value * magnitude.recip()).clamp(-1.0, 1.0),
                _ => (value / magnitude).clamp(-1.0, 1.0),
            };
            let code = |value: f32| order[bounds.iter().filter(|bound| **bound < value).count()];
            for (byte, pair) in codes.iter_mut().zip(values.chunks(2)) {
                let low = pair.get(1).map_or(0.0, |value| scaled(*value));
                *byte = (code(scaled(pair[0])) << 4) | code(low);
            }
        });
        let scales = if double_quant {
            double_quantize(&magnitudes)
        } else {
            Scales::Plain(magnitudes)
        };
        Self {
            quant_type,
            codes,
            scales,
            values: values.len(),
        }
    }

    /// Codes of the values, two in a byte.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// Magnitudes of the blocks.
    #[must_use]
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.codes.len()
            + match &self.scales {
                Scales::Plain(scales) => scales.len() * 4,
                Scales::Double { codes, outer, .. } => codes.len() + outer.len() * 4,
            }
    }

    /// Returns all values.
    #[must_use]
    pub fn dequantized(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.values];
        self.dequantize(0, &mut out);
        out
    }

    /// Writes values from `first` on to `out`.
    pub(crate) fn dequantize(&self, first: usize, out: &mut [f32]) {
        let table = self.quant_type.values();
        let mut at = first;
        let mut rest = out;
        while !rest.is_empty() {
            let (block, rest_of_block) = (at / BLOCK, BLOCK - at % BLOCK);
            let (own, others) = rest.split_at_mut(rest_of_block.min(rest.len()));
            let scale = self.scales.get(block);
            let scaled = table.map(|value| value * scale);
            // A byte holds two values, the first in its upper half.
            let odd = (at % 2).min(own.len());
            for value in &mut own[..odd] {
                *value = scaled[usize::from(self.codes[at / 2] & 15)];
            }
            for (pair, byte) in own[odd..].chunks_mut(2).zip(&self.codes[at.div_ceil(2)..]) {
                pair[0] = scaled[usize::from(byte >> 4)];
                if let Some(second) = pair.get_mut(1) {
                    *second = scaled[usize::from(byte & 15)];
                }
            }
            at += own.len();
            rest = others;
        }
    }
}

impl Scales {
    fn get(&self, block: usize) -> f32 {
        static TABLE: LazyLock<[f32; 256]> = LazyLock::new(dynamic_table);
        match self {
            Self::Plain(scales) => scales[block],
            Self::Double { codes, outer, offset } => {
                TABLE[usize::from(codes[block])] * outer[block / OUTER] + offset
            }
        }
    }
}

fn magnitude(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |max: f32, value| max.max(value.abs()))
}

fn double_quantize(magnitudes: &[f32]) -> Scales {
    let mean = magnitudes.iter().map(|m| f64::from(*m)).sum::<f64>() / magnitudes.len().max(1) as f64;
    let offset = mean as f32;
    let centered: Vec<f32> = magnitudes.iter().map(|magnitude| magnitude - offset).collect();
    let outer: Vec<f32> = centered.chunks(OUTER).map(magnitude).collect();
    let nearest = nearest_codes(&dynamic_table());
    let blocks = centered.chunks(OUTER).zip(&outer);
    let codes = blocks.flat_map(|(block, scale)| {
        let inverse = scale.recip();
        let nearest = &nearest;
        block.iter().map(move |value| {
            if *scale > 0.0 {
                nearest[step(value * inverse)]
            } else {
                0
            }
        })
    });
    Scales::Double {
        codes: codes.collect(),
        offset,
        outer,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 65 535"
)]
fn step(value: f32) -> usize {
    ((value.clamp(-1.0, 1.0) + 1.0) * 0.5 * (STEPS - 1) as f32 + 0.5) as usize
}

fn nearest_codes(table: &[f32; 256]) -> Vec<u8> {
    let mut code = 0_u8;
    (0..STEPS)
        .map(|step| {
            let value = -1.0 + (2.0 * step as f32) / (STEPS - 1) as f32;
            while code < 255 && 0.5 * (table[usize::from(code)] + table[usize::from(code) + 1]) < value {
                code += 1;
            }
            code
        })
        .collect()
}

/// Returns the signed dynamic table: seven decades, each with twice the entries of the one below.
fn dynamic_table() -> [f32; 256] {
    let mut table = vec![0.0, 1.0];
    for decade in 0..7_i32 {
        let items = 1_usize << decade;
        // torch computes an evenly spaced row from below in the first half, and from above in the second.
        let bound = |i: usize| {
            let step = (1.0_f32 - 0.1) / items as f32;
            if i < items.div_ceil(2) {
                0.1 + step * i as f32
            } else {
                1.0 - step * (items - i) as f32
            }
        };
        let factor = 10.0_f64.powi(decade - 6) as f32;
        for i in 0..items {
            let mean = factor * ((bound(i) + bound(i + 1)) / 2.0);
            table.extend([mean, -mean]);
        }
    }
    table.sort_by(f32::total_cmp);
    std::array::from_fn(|i| table[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_known_entries() {
        let table = dynamic_table();
        assert!(table.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((table[127], table[255]), (0.0, 1.0));
        assert!((table[0] + 0.992_968_74).abs() < 1e-6, "{}", table[0]);
        assert!(QuantType::Fp4.values().iter().all(|value| value.abs() <= 1.0));
    }

    #[test]
    fn any_length_is_restored_nearly() {
        for count in [1, 2, 63, 64, 65, 1000, 64 * 300 + 7] {
            let mut random = kernels::Random::new(&[count as u64]);
            let values: Vec<f32> = (0..count).map(|_| random.normal() as f32).collect();
            for double in [false, true] {
                let small = QuantizedWeights::new(&values, QuantType::Nf4, double);
                let back = small.dequantized();
                let error: f32 = values.iter().zip(&back).map(|(a, b)| (a - b) * (a - b)).sum();
                let size: f32 = values.iter().map(|a| a * a).sum();
                assert!(error < 0.03 * size, "{count} {error} {size}");
                let mut part = vec![0.0; count / 2];
                let from = count / 4 * 2;
                let part = &mut part[..(count - from).min(count / 2)];
                small.dequantize(from, part);
                assert_eq!(part, &back[from..from + part.len()]);
            }
        }
        assert!(
            QuantizedWeights::new(&[0.0; 128], QuantType::Nf4, true)
                .dequantized()
                .iter()
                .all(|value| *value == 0.0)
        );
    }
}
