//! Memory of a node without a GPU.

use instance_types::InstanceType;

use crate::preset::ModelShape;

/// Share of a node's memory that pods may use, in percent: AKS reserves at most a quarter.
/// Source: <https://learn.microsoft.com/azure/aks/node-resource-reservations>.
pub(super) const HOST_AVAILABLE_PERCENT: u64 = 75;
/// Factor of sizes on the CPU: the native engine computes in 32-bit numbers, twice the published width.
pub(super) const HOST_WIDENING: u64 = 2;
/// Allowance for tokenizer, server and buffers of the native engine: half a GiB.
pub(super) const HOST_ENGINE_BYTES: u64 = 1 << 29;

/// Bytes of a node's memory that pods may use; `None` if unknown.
#[must_use]
pub fn host_bytes(instance_type: &InstanceType) -> Option<u64> {
    let total = u64::from(instance_type.memory_gib?) << 30;
    Some(total / 100 * HOST_AVAILABLE_PERCENT)
}

/// Bytes of memory that the model needs on the CPU.
pub(super) fn host_need(shape: &ModelShape, context_tokens: u32) -> u64 {
    let [weights, cache] = host_parts(shape, context_tokens);
    weights.saturating_add(cache).saturating_add(HOST_ENGINE_BYTES)
}

/// Bytes of the weights and of the cache on the CPU.
pub(super) fn host_parts(shape: &ModelShape, context_tokens: u32) -> [u64; 2] {
    let cache = shape.kv_bytes_per_token.saturating_mul(u64::from(context_tokens));
    [shape.weights_bytes, cache].map(|bytes| bytes.saturating_mul(HOST_WIDENING))
}
