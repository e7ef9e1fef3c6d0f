//! Problems of claims for which no instance can be launched.

use kaito_api::labels::{ARCH, CAPACITY_TYPE, INSTANCE_TYPE, OS, ZONE};

/// Problem of a claim for which no instance can be launched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidClaim {
    /// An instance cannot have this name.
    #[error("name {name:?} must have 1 to {max} lower-case letters and digits, a letter first")]
    Name {
        /// Name of the claim.
        name: String,
        /// Most characters of a name.
        max: usize,
    },
    /// No instance type is asked for.
    #[error("no requirement names an instance type: add {INSTANCE_TYPE} In [<one type>]")]
    NoInstanceType,
    /// The requirements allow no instance type.
    #[error("the requirements on the instance type contradict each other")]
    NoInstanceTypeLeft,
    /// The requirements allow several instance types.
    #[error("the requirements leave several instance types ({0}): name exactly one")]
    SeveralInstanceTypes(String),
    /// The requirements exclude Linux.
    #[error("expected the requirement {OS} In [linux]")]
    NotLinux,
    /// The requirements exclude the architecture of the Nodes.
    #[error("expected the requirement {ARCH} In [amd64]")]
    NotAmd64,
    /// A requirement cannot be met, or its operator is not known.
    #[error("the requirement {0} cannot be met: the instance will not satisfy it")]
    Unmet(String),
    /// A requirement wants a choice of values.
    #[error("minValues {least} of the requirement on {key} must be at most 1: a claim has one instance")]
    MinValues {
        /// Label key.
        key: String,
        /// Least number of values.
        least: i64,
    },
    /// The cloud has no image of this family.
    #[error("unknown image family {family:?}: expected one of {known}")]
    ImageFamily {
        /// The family.
        family: String,
        /// Families that exist.
        known: String,
    },
    /// The requirements allow no capacity type.
    #[error("the requirements on {CAPACITY_TYPE} leave none of on-demand, spot and reserved")]
    NoCapacityTypeLeft,
    /// No capacity was reserved.
    #[error("capacity type reserved requires capacityReservationGroupId in the claim's KaitoNodeClass")]
    NoReservation,
    /// The requirements allow no zone.
    #[error("the requirements on {ZONE} leave no zone: expected some of [{known}]")]
    NoZoneLeft {
        /// Zones that the cloud has.
        known: String,
    },
    /// The disk size cannot be read.
    #[error("storage request {0:?} must be a quantity")]
    Storage(String),
    /// The cloud has no disk of this size.
    #[error("storage request {text} is {gib} GiB: a system disk must have {min} to {max} GiB")]
    DiskSize {
        /// The request.
        text: String,
        /// The request in GiB.
        gib: u64,
        /// Smallest disk.
        min: u32,
        /// Largest disk.
        max: u32,
    },
}
