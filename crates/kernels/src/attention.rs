//! Attention: over a cache for serving, and over whole sequences with its gradient for training.

mod cached;
mod causal;
mod element;

pub use cached::CachedAttention;
pub use causal::CausalAttention;
pub use element::{Bf16Pair, CacheElement};
