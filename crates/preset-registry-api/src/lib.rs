//! The gRPC contract of the preset registry, and the way from its messages to catalog types and back.
//!
//! Generated from `proto/kaito/preset/v1`. Both sides of the connection use this crate, so
//! a client has the same [`preset_catalog::Preset`] that the server holds. It opens no connections.

mod from_wire;
mod hub_refusal;
mod not_found;
mod plan_from_wire;
mod plan_to_wire;
mod to_wire;
mod vendor;

pub use from_wire::ConversionError;
pub use hub_refusal::{HubRefusal, hub_reason, hub_refusal};
pub use not_found::{ERROR_DOMAIN, PRESET_NOT_FOUND, near_matches, not_found, not_found_on_hub};
pub use plan_from_wire::purpose;

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
