//! Storage formats of tensors, by ggml's numbers.

use half::{bf16, f16};

use crate::{blocks, k_blocks};

/// Storage format of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GgmlType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl GgmlType {
    /// Returns the format with ggml's number.
    pub(crate) fn of(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Returns weights and bytes of a block.
    pub(crate) fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// Expands whole blocks to 32-bit floats.
    pub(crate) fn expand(self, data: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => each(data, |b| [f32::from_le_bytes(*b)]),
            Self::F16 => each(data, |b| [f16::from_le_bytes(*b).to_f32()]),
            Self::Bf16 => each(data, |b| [bf16::from_le_bytes(*b).to_f32()]),
            Self::Q4_0 => each(data, blocks::q4_0),
            Self::Q4_1 => each(data, blocks::q4_1),
            Self::Q5_0 => each(data, blocks::q5_0),
            Self::Q5_1 => each(data, blocks::q5_1),
            Self::Q8_0 => each(data, blocks::q8_0),
            Self::Q2K => each(data, k_blocks::q2),
            Self::Q3K => each(data, k_blocks::q3),
            Self::Q4K => each(data, k_blocks::q4),
            Self::Q5K => each(data, k_blocks::q5),
            Self::Q6K => each(data, k_blocks::q6),
        }
    }
}

fn each<const BYTES: usize, const WEIGHTS: usize>(
    data: &[u8],
    block: impl Fn(&[u8; BYTES]) -> [f32; WEIGHTS],
) -> Vec<f32> {
    data.as_chunks::<BYTES>().0.iter().flat_map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0.5 and 2.0 as 16-bit floats.
    const HALF: [u8; 2] = [0x00, 0x38];
    const TWO: [u8; 2] = [0x00, 0x40];

    #[test]
    fn blocks_expand_by_their_formulas() {
        let packed: Vec<u8> = (0..16).map(|i| i | (15 - i) << 4).collect();
        let q4_0 = GgmlType::Q4_0.expand(&[&HALF[..], &packed].concat());
        assert_eq!((q4_0[0], q4_0[15], q4_0[16], q4_0[31]), (-4.0, 3.5, 3.5, -4.0));
        let q4_1 = GgmlType::Q4_1.expand(&[&HALF[..], &TWO, &packed].concat());
        assert_eq!((q4_1[0], q4_1[15], q4_1[16]), (2.0, 9.5, 9.5));
        let high = [1, 0, 0, 0x80];
        let q5_0 = GgmlType::Q5_0.expand(&[&HALF[..], &high, &packed].concat());
        assert_eq!((q5_0[0], q5_0[1], q5_0[31]), (0.0, -7.5, 0.0));
        let q5_1 = GgmlType::Q5_1.expand(&[&HALF[..], &TWO, &high, &packed].concat());
        assert_eq!((q5_1[0], q5_1[1], q5_1[31]), (10.0, 2.5, 10.0));
        let bytes: Vec<u8> = (0..32).map(|i: i8| (i - 16).cast_unsigned()).collect();
        let q8_0 = GgmlType::Q8_0.expand(&[&HALF[..], &bytes].concat());
        assert_eq!((q8_0[0], q8_0[31]), (-8.0, 7.5));
        assert_eq!(GgmlType::F16.expand(&TWO), [2.0]);
        assert_eq!(GgmlType::Bf16.expand(&[0x40, 0x40]), [3.0]);
    }

    /// The Python package `gguf` expanded random blocks (`tools/record_blocks.py`).
    #[test]
    fn blocks_expand_to_the_bits_of_the_reference() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/blocks.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for code in [2, 3, 6, 7, 8, 10, 11, 12, 13, 14] {
            let packed = tensors.tensor(&format!("{code}.packed")).unwrap();
            let expected = tensors.tensor(&format!("{code}.weights")).unwrap();
            let kind = GgmlType::of(code).unwrap();
            let (weights, size) = kind.block();
            let blocks = packed.data().len() as u64 / size;
            let found: Vec<u8> = kind
                .expand(packed.data())
                .iter()
                .flat_map(|weight| weight.to_le_bytes())
                .collect();
            assert_eq!(found.len() as u64, blocks * weights * 4, "{kind:?}");
            assert!(blocks > 1 && found == expected.data(), "{kind:?}");
        }
    }
}
