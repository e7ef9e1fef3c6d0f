//! The instance of a claim in the cloud.

pub(crate) mod removal;
