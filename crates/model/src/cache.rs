//! Keys and values of one sequence.
//!
//! Each head of each layer has one contiguous range, so that attention reads memory in order and without copies. A sequence takes
//! two allocations: an allocation for each head would need thousands of mappings, of which a process may have 65,530.

use kernels::attention::{Bf16Pair, CacheElement};

use crate::config::Spec;

/// Format of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFormat {
    /// 32-bit floats.
    F32,
    /// bfloat16: half of the memory, and about 0.2 % error of each number.
    Bf16,
}

impl CacheFormat {
    /// Bytes that a position takes in a cache.
    #[must_use]
    pub fn bytes_per_position(self, spec: &Spec) -> usize {
        let numbers = 2 * spec.layers.len() * spec.num_kv_heads * spec.head_dim;
        numbers * self.bytes()
    }

    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Keys and values of the tokens of a sequence so far.
#[derive(Clone, Debug)]
pub struct KvCache {
    stored: CachedNumbers,
    /// Positions of each layer, of which the last ones may belong to the step at hand.
    filled: Vec<usize>,
    length: usize,
    capacity: usize,
    head_dim: usize,
    num_kv_heads: usize,
}

#[derive(Clone, Debug)]
enum CachedNumbers {
    F32(KeysAndValues<f32>),
    Bf16(KeysAndValues<Bf16Pair>),
}

/// By layer, by head, by position.
#[derive(Clone, Debug)]
struct KeysAndValues<E> {
    keys: Vec<E>,
    values: Vec<E>,
}

impl<E: CacheElement> KeysAndValues<E> {
    fn new(numbers: usize) -> Self {
        // Zeroed memory of this size comes from the system, which provides pages once they are written.
        let zeros = || vec![E::default(); numbers / E::NUMBERS];
        Self {
            keys: zeros(),
            values: zeros(),
        }
    }

    fn put(&mut self, at: usize, key: &[f32], value: &[f32]) {
        let range = at / E::NUMBERS..(at + key.len()) / E::NUMBERS;
        E::pack(key, &mut self.keys[range.clone()]);
        E::pack(value, &mut self.values[range]);
    }

    fn of(&self, range: std::ops::Range<usize>) -> (&[E], &[E]) {
        let range = range.start / E::NUMBERS..range.end / E::NUMBERS;
        (&self.keys[range.clone()], &self.values[range])
    }

    /// Copies the first `copied` numbers of each head. Heads have `own` and `theirs` numbers.
    fn copy(&mut self, other: &Self, copied: usize, (own, theirs): (usize, usize)) {
        let [copied, own, theirs] = [copied, own, theirs].map(|numbers| numbers / E::NUMBERS);
        for (target, source) in [(&mut self.keys, &other.keys), (&mut self.values, &other.values)] {
            let heads = target.chunks_exact_mut(own).zip(source.chunks_exact(theirs));
            heads.for_each(|(target, source)| target[..copied].copy_from_slice(&source[..copied]));
        }
    }
}

/// Keys and values of one head.
pub(crate) enum Head<'a> {
    F32(&'a [f32], &'a [f32]),
    Bf16(&'a [Bf16Pair], &'a [Bf16Pair]),
}

impl KvCache {
    /// An empty cache of a sequence of at most `capacity` positions.
    ///
    /// Memory is reserved, not touched. `capacity` also selects the frequencies of models that scale long sequences.
    #[must_use]
    pub fn new(spec: &Spec, capacity: usize, format: CacheFormat) -> Self {
        let size = spec.layers.len() * spec.num_kv_heads * capacity * spec.head_dim;
        Self {
            stored: match format {
                // A pair takes two numbers of a head.
                CacheFormat::Bf16 if spec.head_dim.is_multiple_of(2) => {
                    CachedNumbers::Bf16(KeysAndValues::new(size))
                }
                CacheFormat::F32 | CacheFormat::Bf16 => CachedNumbers::F32(KeysAndValues::new(size)),
            },
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
    /// Has no effect unless `self` is empty, both are long enough and of one format. The caller ensures that both use the same frequencies: see
    /// [`Spec::uses_long_rope`].
    pub fn copy_prefix(&mut self, other: &Self, length: usize) {
        if !self.is_empty() || length == 0 || length > other.length || length > self.capacity {
            return;
        }
        let copied = length * self.head_dim;
        let heads = (self.capacity * self.head_dim, other.capacity * other.head_dim);
        match (&mut self.stored, &other.stored) {
            (CachedNumbers::F32(own), CachedNumbers::F32(theirs)) => own.copy(theirs, copied, heads),
            (CachedNumbers::Bf16(own), CachedNumbers::Bf16(theirs)) => own.copy(theirs, copied, heads),
            (CachedNumbers::F32(_), CachedNumbers::Bf16(_))
            | (CachedNumbers::Bf16(_), CachedNumbers::F32(_)) => return,
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
            match &mut self.stored {
                CachedNumbers::F32(stored) => stored.put(at, key, value),
                CachedNumbers::Bf16(stored) => stored.put(at, key, value),
            }
        }
        self.filled[layer] += 1;
    }

    pub(crate) fn head(&self, layer: usize, head: usize) -> Head<'_> {
        let start = self.start(layer, head);
        let range = start..start + self.filled[layer] * self.head_dim;
        match &self.stored {
            CachedNumbers::F32(stored) => {
                let (keys, values) = stored.of(range);
                Head::F32(keys, values)
            }
            CachedNumbers::Bf16(stored) => {
                let (keys, values) = stored.of(range);
                Head::Bf16(keys, values)
            }
        }
    }

    /// Positions of a layer, those of the step at hand included.
    pub(crate) fn filled(&self, layer: usize) -> usize {
        self.filled[layer]
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
