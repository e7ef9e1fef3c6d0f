//! The forward pass of every family: tokens of some sequences in, logits out.
//!
//! One step has any mix of sequences, each with its own cache and any number of new tokens. These may be whole prompts, chunks of
//! prompts and single tokens. All of them share every product with the weights.

mod fit;
mod load;
mod names;

use crate::cache::{CacheFormat, KvCache};
use crate::config::Spec;
use crate::error::{Error, Result};
use crate::layer::{Layer, Part};
use crate::linear::Linear;
use crate::lora::{Lora, Routes};

pub use load::ProgressFn;

/// A model in memory.
///
/// ```
/// use model::sampling::argmax;
/// use model::{Decoder, OutputMode, Precision, Segment, Spec, TensorStore};
///
/// let dir = std::path::Path::new("tests/data/llama");
/// let store = TensorStore::open(dir)?;
/// let decoder = Decoder::load(Spec::open(dir)?, &store, Precision::Auto, &[], &|_| {})?;
///
/// let prompt = [5, 77, 31];
/// let mut cache = decoder.cache(16);
/// let segment = Segment {
///     tokens: &prompt,
///     cache: &mut cache,
///     output: OutputMode::LastLogits,
/// };
/// let logits = decoder.forward(&mut [segment])?.remove(0);
/// assert_eq!(logits.len(), decoder.spec().vocab_size);
/// assert!((argmax(&logits) as usize) < logits.len());
/// assert_eq!(cache.len(), prompt.len());
/// # Ok::<(), model::Error>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    spec: Spec,
    embed_tokens: Linear,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// Absent if tied to the embeddings.
    lm_head: Option<Linear>,
    /// Prefix of the names of weights.
    prefix: String,
    cache_format: CacheFormat,
}

/// Rows that a forward pass returns for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// No rows: more of the prompt follows.
    None,
    /// Logits of the last token.
    LastLogits,
    /// Logits of all tokens.
    AllLogits,
    /// Hidden states of all tokens, after the last norm.
    HiddenStates,
}

/// New tokens of one sequence.
#[derive(Debug)]
pub struct Segment<'a> {
    /// The tokens, at least one.
    pub tokens: &'a [u32],
    /// Keys and values of earlier tokens; the new ones are appended.
    pub cache: &'a mut KvCache,
    /// Rows to compute.
    pub output: OutputMode,
}

impl Decoder {
    /// Description of the model.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// An empty cache of a sequence of at most `capacity` positions, in the format that fits the precision of the weights.
    #[must_use]
    pub fn cache(&self, capacity: usize) -> KvCache {
        KvCache::new(&self.spec, capacity, self.cache_format)
    }

    /// Bytes of the cache for one position.
    #[must_use]
    pub fn cache_bytes_per_position(&self) -> usize {
        self.cache_format.bytes_per_position(&self.spec)
    }

    /// Bytes of the weights in memory.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        layers + self.embed_tokens.bytes() + self.lm_head.as_ref().map_or(0, Linear::bytes)
    }

    /// Runs one step on the current thread pool. Returns the rows of each segment: logits, or hidden states.
    ///
    /// # Errors
    /// When a token is outside the vocabulary or a sequence exceeds the capacity of its cache. Nothing is changed then.
    pub fn forward(&self, segments: &mut [Segment<'_>]) -> Result<Vec<Vec<f32>>> {
        self.forward_with_adapters(segments, &[])
    }

    /// Runs one step as [`Decoder::forward`], each segment with the adapter at its place in `adapters`, or without one.
    ///
    /// A sequence gets the same bits whichever adapters others have.
    ///
    /// # Errors
    /// As [`Decoder::forward`], and when an adapter was prepared for another decoder.
    pub fn forward_with_adapters(
        &self,
        segments: &mut [Segment<'_>],
        adapters: &[Option<&Lora>],
    ) -> Result<Vec<Vec<f32>>> {
        self.check(segments)?;
        self.check_adapters(adapters)?;
        let adapters = adapters.iter().copied().chain(std::iter::repeat(None));
        let adapters: Vec<Option<&Lora>> = adapters.take(segments.len()).collect();
        let mut x = self.embed(segments);
        let modes: Vec<(usize, OutputMode)> = segments
            .iter()
            .map(|segment| (segment.tokens.len(), segment.output))
            .collect();
        let mut parts: Vec<Part<'_>> = segments
            .iter_mut()
            .map(|segment| Part {
                rope_tables: rope_tables(&self.spec, segment.cache, segment.tokens.len()),
                tokens: segment.tokens.len(),
                cache: segment.cache,
            })
            .collect();
        let routes = Routes::new(
            modes
                .iter()
                .map(|(tokens, _)| *tokens)
                .zip(adapters.iter().copied()),
        );
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&self.spec, index, &mut x, &mut parts, &routes);
        }
        for part in parts {
            part.cache.advance(part.tokens);
        }
        Ok(self.outputs(&x, &modes, &adapters))
    }

    fn check_adapters(&self, adapters: &[Option<&Lora>]) -> Result<()> {
        let differs = |lora: &&&Lora| lora.layers.len() != self.layers.len();
        match adapters.iter().flatten().find(differs) {
            Some(lora) => Err(Error::Adapter {
                name: lora.name().to_owned(),
                problem: "must be prepared for this model".to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn check(&self, segments: &[Segment<'_>]) -> Result<()> {
        for segment in segments {
            if let Some(token) = segment
                .tokens
                .iter()
                .find(|token| **token as usize >= self.spec.vocab_size)
            {
                return Err(Error::Token {
                    token: *token,
                    vocab_size: self.spec.vocab_size,
                });
            }
            let length = segment.cache.len() + segment.tokens.len();
            let limit = segment.cache.capacity().min(self.spec.max_position_embeddings);
            if length > limit {
                return Err(Error::TooLong { length, limit });
            }
        }
        Ok(())
    }

    fn embed(&self, segments: &[Segment<'_>]) -> Vec<f32> {
        let tokens: Vec<u32> = segments
            .iter()
            .flat_map(|segment| segment.tokens)
            .copied()
            .collect();
        let mut x = vec![0.0; tokens.len() * self.spec.hidden_size];
        for (token, out) in tokens.iter().zip(x.chunks_exact_mut(self.spec.hidden_size)) {
            self.embed_tokens.copy_row(*token as usize, out);
            out.iter_mut()
                .for_each(|value| *value *= self.spec.embedding_multiplier);
        }
        x
    }

    /// Returns the rows of each segment, in order.
    fn outputs(&self, x: &[f32], modes: &[(usize, OutputMode)], adapters: &[Option<&Lora>]) -> Vec<Vec<f32>> {
        let hidden = self.spec.hidden_size;
        let (mut rows, mut counts, mut states) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = 0;
        for (tokens, mode) in modes {
            let count = match mode {
                OutputMode::None | OutputMode::HiddenStates => 0,
                OutputMode::LastLogits => 1.min(*tokens),
                OutputMode::AllLogits => *tokens,
            };
            let end = first + tokens;
            rows.extend_from_slice(&x[(end - count) * hidden..end * hidden]);
            counts.push(count);
            states.push(matches!(mode, OutputMode::HiddenStates).then(|| &x[first * hidden..end * hidden]));
            first = end;
        }
        let logits = self.logits(&rows, &counts, adapters);
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let mut rest = logits.as_slice();
        let own = counts.iter().zip(states).map(|(count, states)| {
            let (own, others) = rest.split_at(count * head.outputs());
            rest = others;
            match states {
                Some(states) => kernels::rms_norm(states, &self.norm, self.spec.rms_norm_eps),
                None => own.to_vec(),
            }
        });
        own.collect()
    }

    fn logits(&self, rows: &[f32], counts: &[usize], adapters: &[Option<&Lora>]) -> Vec<f32> {
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let last = kernels::rms_norm(rows, &self.norm, self.spec.rms_norm_eps);
        let mut logits = head.apply(&last);
        let routes = Routes::new(counts.iter().copied().zip(adapters.iter().copied()));
        routes.add(
            |lora| &lora.lm_head,
            rows.len() / self.spec.hidden_size,
            &last,
            &mut logits,
        );
        if self.spec.logit_scale.to_bits() != 1.0_f32.to_bits() {
            logits
                .iter_mut()
                .for_each(|logit| *logit *= self.spec.logit_scale);
        }
        if let Some(cap) = self.spec.final_logit_softcapping {
            kernels::softcap(&mut logits, cap);
        }
        logits
    }
}

/// Returns cosines and sines of the next `tokens` positions of a sequence, for each rope.
fn rope_tables(spec: &Spec, cache: &KvCache, tokens: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
    let first = cache.len();
    let of = |rope: &crate::config::Rope| {
        let inv_freq = rope.inv_freq_for(cache.capacity());
        let angles =
            (first..first + tokens).flat_map(|position| inv_freq.iter().map(move |f| position as f32 * f));
        angles
            .map(|angle| {
                (
                    angle.cos() * rope.attention_factor,
                    angle.sin() * rope.attention_factor,
                )
            })
            .unzip()
    };
    spec.ropes.iter().map(of).collect()
}
