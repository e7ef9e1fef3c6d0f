//! The bytes of a transfer, counted while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a transfer.
#[derive(Debug, Default)]
pub struct TransferCount {
    moved: AtomicU64,
    total: AtomicU64,
}

impl TransferCount {
    /// Adds bytes that were moved.
    pub fn add(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that are expected.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes moved so far.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// The bytes expected so far.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}
