//! One instance type, and the small types that describe it.
//!
//! Plain values; finding and validating them is the catalog's part.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A text that names no cloud, or is no compute capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not one of the clouds with a table of instance types.
    #[error("unknown cloud `{0}`; known are azure, aws and arc")]
    UnknownCloud(String),
    /// Not of the form `major.minor`.
    #[error("`{0}` is not a compute capability such as 8.6")]
    BadComputeCapability(String),
}

/// Where nodes come from; each cloud has its own table of instance types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Microsoft Azure.
    Azure,
    /// Amazon Web Services.
    Aws,
    /// Azure Local, managed through Azure Arc.
    Arc,
}

impl Cloud {
    /// Every cloud that has a table.
    pub const ALL: [Self; 3] = [Self::Azure, Self::Aws, Self::Arc];

    /// The lower-case name, as it is written in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Aws => "aws",
            Self::Arc => "arc",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Cloud {
    type Err = ParseError;

    /// Letter case and surrounding space are ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.trim();
        Self::ALL
            .into_iter()
            .find(|cloud| cloud.as_str().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| ParseError::UnknownCloud(text.to_owned()))
    }
}

/// Who makes the accelerators of an instance type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// NVIDIA: the only vendor whose device plugin advertises `nvidia.com/gpu`.
    Nvidia,
    /// AMD.
    Amd,
    /// AWS Trainium and Inferentia.
    Aws,
}

/// CUDA compute capability, ordered by what the hardware can do.
///
/// Source of the numbers: <https://developer.nvidia.com/cuda-gpus>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ComputeCapability {
    /// The generation: 7 Volta and Turing, 8 Ampere and Ada, 9 Hopper.
    pub major: u8,
    /// The revision within the generation.
    pub minor: u8,
}

impl ComputeCapability {
    /// The first one whose tensor cores compute in bfloat16 (Ampere).
    pub const BFLOAT16: Self = Self { major: 8, minor: 0 };
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ComputeCapability {
    type Err = ParseError;

    /// Reads `major.minor`, both decimal.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseError::BadComputeCapability(text.to_owned());
        let (major, minor) = text.split_once('.').ok_or_else(bad)?;
        let number = |part: &str| part.parse::<u8>().map_err(|_| bad());
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl TryFrom<String> for ComputeCapability {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// What one node of an instance type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceType {
    /// The cloud's name for it, in the cloud's spelling.
    pub name: String,
    /// The cloud that offers it.
    pub cloud: Cloud,
    /// Accelerators of one node, of any vendor; 0 on a general purpose type.
    pub gpus: u32,
    /// GiB of accelerator memory of one node, all accelerators together.
    pub gpu_memory_gib_total: u32,
    /// Product name of the accelerator; absent when there is none.
    pub gpu_model: Option<String>,
    /// Maker of the accelerator; absent when there is none.
    pub vendor: Option<Vendor>,
    /// The node has local NVMe disks.
    pub nvme: bool,
    /// CUDA compute capability; absent unless the vendor is NVIDIA.
    pub compute_capability: Option<ComputeCapability>,
    /// Virtual CPUs of one node, where known.
    pub vcpus: Option<u32>,
    /// GiB of host memory of one node, where known.
    pub memory_gib: Option<u32>,
    /// What one node costs, where known.
    pub list_price: Option<ListPrice>,
}

/// What a node costs on demand, with Linux and without discounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPrice {
    /// Millionths of a US dollar an hour.
    pub usd_micros_per_hour: u64,
    /// The region of the cloud for which that holds; others may cost more.
    pub region: String,
    /// The day on which it was read, as `YYYY-MM-DD`.
    pub as_of: String,
    /// Where it was read.
    pub source: String,
}

impl InstanceType {
    /// How many `nvidia.com/gpu` one node can offer: 0 for other vendors, whose devices have other resource
    /// names.
    #[must_use]
    pub fn nvidia_gpus(&self) -> u32 {
        if self.vendor == Some(Vendor::Nvidia) {
            self.gpus
        } else {
            0
        }
    }

    /// Bytes of memory of one GPU; 0 without a GPU. The total is divided evenly and rounded down.
    #[must_use]
    pub fn gpu_memory_bytes_each(&self) -> u64 {
        (u64::from(self.gpu_memory_gib_total) << 30)
            .checked_div(u64::from(self.gpus))
            .unwrap_or(0)
    }

    /// The GPUs compute in bfloat16. False where that is unknown; V100 and T4 must use float16.
    #[must_use]
    pub fn supports_bfloat16(&self) -> bool {
        self.compute_capability >= Some(ComputeCapability::BFLOAT16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_read_in_any_case() {
        for cloud in Cloud::ALL {
            assert_eq!(cloud.to_string().to_uppercase().parse(), Ok(cloud));
        }
        assert_eq!(" Azure ".parse(), Ok(Cloud::Azure));
        let error = "gcp".parse::<Cloud>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown cloud `gcp`; known are azure, aws and arc"
        );
    }

    #[test]
    fn compute_capabilities_are_ordered() {
        let parse = |text: &str| text.parse::<ComputeCapability>();
        assert!(parse("7.5").unwrap() < ComputeCapability::BFLOAT16);
        assert!(parse("10.0").unwrap() > parse("9.0").unwrap());
        assert_eq!(parse("8.6").unwrap().to_string(), "8.6");
        for bad in ["", "8", "8.", ".6", "8.x", "-8.0", "256.0"] {
            assert_eq!(parse(bad), Err(ParseError::BadComputeCapability(bad.to_owned())));
        }
    }
}
