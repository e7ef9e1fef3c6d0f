//! The instance type and the types of its fields.
//!
//! These are plain values; the catalog finds and validates them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Error for an unknown cloud or an invalid compute capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The cloud has no table of instance types.
    #[error("unknown cloud `{0}`; expected azure, aws, gcp, arc or other")]
    UnknownCloud(String),
    /// The text does not have the form `major.minor`.
    #[error("`{0}` must be a compute capability, such as 8.6")]
    BadComputeCapability(String),
}

/// A cloud with its own table of instance types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Microsoft Azure.
    Azure,
    /// Amazon Web Services.
    Aws,
    /// Google Cloud.
    Gcp,
    /// Azure Local, managed through Azure Arc.
    Arc,
    /// Any other; all of its instance types are an administrator's.
    Other,
}

impl Cloud {
    /// All clouds.
    pub const ALL: [Self; 5] = [Self::Azure, Self::Aws, Self::Gcp, Self::Arc, Self::Other];

    /// Returns the lower-case name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Arc => "arc",
            Self::Other => "other",
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

    /// Parses a name; letter case and surrounding space are ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.trim();
        Self::ALL
            .into_iter()
            .find(|cloud| cloud.as_str().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| ParseError::UnknownCloud(text.to_owned()))
    }
}

/// Vendor of the accelerators of an instance type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// NVIDIA, the only vendor whose device plugin advertises `nvidia.com/gpu`.
    Nvidia,
    /// AMD.
    Amd,
    /// AWS Trainium and Inferentia.
    Aws,
}

impl Vendor {
    /// Reason for which the engines do not use accelerators of the vendor; `None` if they do.
    pub(crate) fn unsupported(self) -> Option<&'static str> {
        match self {
            Self::Nvidia => None,
            Self::Amd => Some("its GPUs are from AMD, and the image of the engine is built for CUDA"),
            Self::Aws => Some("its accelerators are from AWS, and the image of the engine is built for CUDA"),
        }
    }
}

/// CUDA compute capability, ordered by generation and revision.
///
/// Source of the numbers: <https://developer.nvidia.com/cuda-gpus>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ComputeCapability {
    /// Generation: 7 is Volta and Turing, 8 is Ampere and Ada, 9 is Hopper.
    pub major: u8,
    /// Revision within the generation.
    pub minor: u8,
}

impl ComputeCapability {
    /// Lowest capability with bfloat16 tensor cores (Ampere).
    pub const BFLOAT16: Self = Self { major: 8, minor: 0 };
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ComputeCapability {
    type Err = ParseError;

    /// Parses `major.minor`, both decimal.
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

/// Properties of one node of an instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceType {
    /// Name, in the cloud's spelling.
    pub name: String,
    /// Cloud that offers the instance type.
    pub cloud: Cloud,
    /// Number of accelerators per node, of any vendor; 0 without accelerators.
    pub gpus: u32,
    /// Accelerator memory per node in GiB, for all accelerators together.
    pub gpu_memory_gib_total: u32,
    /// Product name of the accelerator; absent without accelerators.
    pub gpu_model: Option<String>,
    /// Vendor of the accelerator; absent without accelerators.
    pub vendor: Option<Vendor>,
    /// True if the node has local NVMe disks.
    pub nvme: bool,
    /// CUDA compute capability; absent unless the vendor is NVIDIA.
    pub compute_capability: Option<ComputeCapability>,
    /// Virtual CPUs per node, if known.
    pub vcpus: Option<u32>,
    /// Host memory per node in GiB, if known.
    pub memory_gib: Option<u32>,
    /// On-demand price of a node, if known.
    pub list_price: Option<ListPrice>,
    /// Retirement; absent while the cloud creates such nodes.
    pub retired: Option<Retirement>,
    /// Reason for which no engine runs on such nodes, as a clause; absent if one does.
    pub unsupported: Option<String>,
    /// Administrator's file that lists the instance type, or its price; absent if both are built in.
    pub file: Option<String>,
}

/// End of the creation of nodes of an instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement {
    /// Day since which the cloud creates none, `YYYY-MM-DD`.
    pub since: String,
    /// Source of the day.
    pub source: String,
}

/// On-demand price of a Linux node, without discounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPrice {
    /// Millionths of a US dollar per hour.
    pub usd_micros_per_hour: u64,
    /// Region of the price; other regions may cost more.
    pub region: String,
    /// Day on which the price was read, `YYYY-MM-DD`.
    pub as_of: String,
    /// Source of the price.
    pub source: String,
}

impl InstanceType {
    /// Returns the number of `nvidia.com/gpu` that an engine can use. It is 0 for other vendors, whose devices have other
    /// resource names, and on nodes where no engine runs.
    #[must_use]
    pub fn nvidia_gpus(&self) -> u32 {
        if self.vendor == Some(Vendor::Nvidia) && self.unsupported.is_none() {
            self.gpus
        } else {
            0
        }
    }

    /// Returns the memory of one GPU in bytes, or 0 without a GPU. The total is divided evenly and rounded down.
    #[must_use]
    pub fn gpu_memory_bytes_each(&self) -> u64 {
        (u64::from(self.gpu_memory_gib_total) << 30)
            .checked_div(u64::from(self.gpus))
            .unwrap_or(0)
    }

    /// Reports whether the GPUs support bfloat16; false if unknown. V100 and T4 must use float16.
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
        let error = "ibm".parse::<Cloud>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown cloud `ibm`; expected azure, aws, gcp, arc or other"
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
