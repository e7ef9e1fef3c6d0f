//! Keys and values of one sequence.
//!
//! Each head of each layer is one growing slice, so that attention reads memory in order and without copies.

use crate::config::Spec;

/// Keys and values of the tokens of a sequence so far.
#[derive(Clone, Debug)]
pub struct KvCache {
    /// By layer and then by head.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    length: usize,
    capacity: usize,
    head_dim: usize,
    num_kv_heads: usize,
}

impl KvCache {
    /// An empty cache of a sequence of at most `capacity` positions.
    ///
    /// Memory is reserved, not touched. `capacity` also selects the frequencies of models that scale long sequences.
    #[must_use]
    pub fn new(spec: &Spec, capacity: usize) -> Self {
        let slices = || {
            (0..spec.layers.len() * spec.num_kv_heads)
                .map(|_| Vec::with_capacity(capacity * spec.head_dim))
                .collect()
        };
        Self {
            keys: slices(),
            values: slices(),
            length: 0,
            capacity,
            head_dim: spec.head_dim,
            num_kv_heads: spec.num_kv_heads,
        }
    }

    /// Number of filled positions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns true if no position is filled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Most positions.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Copies the first `length` positions of a sequence that begins with the same tokens.
    ///
    /// Has no effect unless `self` is empty and both are long enough. The caller ensures that both use the same frequencies: see
    /// [`Spec::uses_long_rope`].
    pub fn copy_prefix(&mut self, other: &Self, length: usize) {
        if !self.is_empty() || length > other.length || length > self.capacity {
            return;
        }
        let copied = length * self.head_dim;
        let pairs = self
            .keys
            .iter_mut()
            .chain(&mut self.values)
            .zip(other.keys.iter().chain(&other.values));
        pairs.for_each(|(own, other)| own.extend_from_slice(&other[..copied]));
        self.length = length;
    }

    /// Appends keys and values of one position and layer, all heads one after the other.
    pub(crate) fn push(&mut self, layer: usize, keys: &[f32], values: &[f32]) {
        let own = layer * self.num_kv_heads..(layer + 1) * self.num_kv_heads;
        for (slice, key) in self.keys[own.clone()]
            .iter_mut()
            .zip(keys.chunks_exact(self.head_dim))
        {
            slice.extend_from_slice(key);
        }
        for (slice, value) in self.values[own]
            .iter_mut()
            .zip(values.chunks_exact(self.head_dim))
        {
            slice.extend_from_slice(value);
        }
    }

    pub(crate) fn head(&self, layer: usize, head: usize) -> (&[f32], &[f32]) {
        let index = layer * self.num_kv_heads + head;
        (&self.keys[index], &self.values[index])
    }

    /// Counts positions as filled, after all layers were pushed.
    pub(crate) fn advance(&mut self, positions: usize) {
        self.length += positions;
    }
}
