//! Number formats of weights.

use clap::ValueEnum;
use model::Precision;

/// Number format of the weights in memory. Sums are 32-bit floats in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dtype {
    /// As stored.
    Auto,
    /// 32-bit floats.
    #[value(alias = "float32")]
    #[serde(alias = "float32")]
    F32,
    /// bfloat16.
    #[value(alias = "bfloat16")]
    #[serde(alias = "bfloat16")]
    Bf16,
    /// 8-bit integers with a scale for each 32.
    Q8,
    /// 4-bit integers with a scale and a minimum for each 32.
    Q4,
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Auto => Self::Auto,
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::Bf16,
            Dtype::Q8 => Self::Q8,
            Dtype::Q4 => Self::Q4,
        }
    }
}
