//! Keys and values of one sequence.
//!
//! Each head of each layer is one growing slice, so that attention reads memory in order and nothing is copied to it.

use crate::config::Spec;

/// What was computed for the tokens of a sequence so far.
#[derive(Clone, Debug)]
pub struct Cache {
    /// By layer and then by head.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    length: usize,
    planned: usize,
    head: usize,
    kv_heads: usize,
}

impl Cache {
    /// An empty cache of a sequence that will not be longer than `planned` positions.
    ///
    /// Room for them is reserved, not touched. `planned` also picks the angles of models that stretch long sequences.
    #[must_use]
    pub fn new(spec: &Spec, planned: usize) -> Self {
        let slices = || {
            (0..spec.layers.len() * spec.kv_heads)
                .map(|_| Vec::with_capacity(planned * spec.head))
                .collect()
        };
        Self {
            keys: slices(),
            values: slices(),
            length: 0,
            planned,
            head: spec.head,
            kv_heads: spec.kv_heads,
        }
    }

    /// Positions that are filled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is filled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Positions this sequence was planned for.
    #[must_use]
    pub fn planned(&self) -> usize {
        self.planned
    }

    /// Takes over the first `length` positions of a sequence that began with the same tokens.
    ///
    /// Does nothing unless `self` is empty and the other is as long; the caller makes sure that both were planned for lengths
    /// with the same angles.
    pub fn take_prefix(&mut self, other: &Self, length: usize) {
        if !self.is_empty() || length > other.length || length > self.planned {
            return;
        }
        let copied = length * self.head;
        let pairs = self
            .keys
            .iter_mut()
            .chain(&mut self.values)
            .zip(other.keys.iter().chain(&other.values));
        pairs.for_each(|(own, other)| own.extend_from_slice(&other[..copied]));
        self.length = length;
    }

    /// Appends one position's keys and values of one layer: all heads one after the other.
    pub(crate) fn push(&mut self, layer: usize, keys: &[f32], values: &[f32]) {
        let own = layer * self.kv_heads..(layer + 1) * self.kv_heads;
        for (slice, key) in self.keys[own.clone()]
            .iter_mut()
            .zip(keys.chunks_exact(self.head))
        {
            slice.extend_from_slice(key);
        }
        for (slice, value) in self.values[own].iter_mut().zip(values.chunks_exact(self.head)) {
            slice.extend_from_slice(value);
        }
    }

    pub(crate) fn head(&self, layer: usize, head: usize) -> (&[f32], &[f32]) {
        let index = layer * self.kv_heads + head;
        (&self.keys[index], &self.values[index])
    }

    /// To be called once all layers were pushed.
    pub(crate) fn advance(&mut self, positions: usize) {
        self.length += positions;
    }
}
