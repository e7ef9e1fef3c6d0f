//! Keys and values of one sequence.
//!
//! Each head of each layer has one contiguous range, so that attention reads memory in order and without copies. A sequence takes
//! two allocations: an allocation for each head would need thousands of mappings, of which a process may have 65,530.

use crate::config::Spec;

/// Keys and values of the tokens of a sequence so far.
#[derive(Clone, Debug)]
pub struct KvCache {
    /// By layer, by head, by position.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Positions of each layer, of which the last ones may belong to the step at hand.
    filled: Vec<usize>,
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
        let size = spec.layers.len() * spec.num_kv_heads * capacity * spec.head_dim;
        Self {
            // Zeroed memory of this size comes from the system, which provides pages once they are written.
            keys: vec![0.0; size],
            values: vec![0.0; size],
            filled: vec![0; spec.layers.len()],
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
        if !self.is_empty() || length == 0 || length > other.length || length > self.capacity {
            return;
        }
        let copied = length * self.head_dim;
        let (own, theirs) = (self.capacity * self.head_dim, other.capacity * other.head_dim);
        for (target, source) in [(&mut self.keys, &other.keys), (&mut self.values, &other.values)] {
            let heads = target.chunks_exact_mut(own).zip(source.chunks_exact(theirs));
            heads.for_each(|(target, source)| target[..copied].copy_from_slice(&source[..copied]));
        }
        self.filled.fill(length);
        self.length = length;
    }

    /// Appends keys and values of one position and layer, all heads one after the other.
    pub(crate) fn push(&mut self, layer: usize, keys: &[f32], values: &[f32]) {
        let position = self.filled[layer];
        let pairs = keys
            .chunks_exact(self.head_dim)
            .zip(values.chunks_exact(self.head_dim));
        for (head, (key, value)) in pairs.enumerate() {
            let at = self.start(layer, head) + position * self.head_dim;
            self.keys[at..at + self.head_dim].copy_from_slice(key);
            self.values[at..at + self.head_dim].copy_from_slice(value);
        }
        self.filled[layer] += 1;
    }

    pub(crate) fn head(&self, layer: usize, head: usize) -> (&[f32], &[f32]) {
        let start = self.start(layer, head);
        let range = start..start + self.filled[layer] * self.head_dim;
        (&self.keys[range.clone()], &self.values[range])
    }

    /// Returns the index of the first number of a head.
    fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.num_kv_heads + head) * self.capacity * self.head_dim
    }

    /// Counts positions as filled, after all layers were pushed.
    pub(crate) fn advance(&mut self, positions: usize) {
        self.length += positions;
    }
}
