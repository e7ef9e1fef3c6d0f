//! The gRPC contract of the preset registry, and conversions between its messages and catalog types.
//!
//! Generated from `proto/kaito/preset/v1`. Server and clients use this crate, so a client has the same
//! [`preset_catalog::Preset`] as the server. It opens no connections.

mod from_wire;
mod hub_refusal;
mod not_found;
pub mod published;
mod resource_plan_from_wire;
mod resource_plan_to_wire;
mod to_wire;
mod vendor;

pub use from_wire::ConversionError;
pub use hub_refusal::{HubRefusal, hub_reason, hub_refusal};
pub use not_found::{near_matches, not_found, not_found_on_hub};
pub use resource_plan_from_wire::purpose;

/// The generated messages, client and server of `kaito.preset.v1`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::use_self,
    clippy::str_to_string,
    reason = "generated code; documented in the contract"
)]
pub mod v1 {
    tonic::include_proto!("kaito.preset.v1");

    /// The contract as an encoded `google.protobuf.FileDescriptorSet`, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preset_registry.bin"));
}
