//! The forward pass of every family: tokens of some sequences in, logits out.
//!
//! One step carries any mix of sequences, each with its own cache and any number of new tokens: whole prompts, pieces of
//! prompts and single tokens. All of them share every product with the weights.

mod load;

use crate::cache::Cache;
use crate::config::Spec;
use crate::error::{Error, Result};
use crate::kernels;
use crate::layer::{self, Layer, Part};
use crate::linear::Linear;

pub use load::Progress;

/// A model in memory.
#[derive(Debug)]
pub struct Decoder {
    spec: Spec,
    embeddings: Linear,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// Absent where it is the embeddings.
    head: Option<Linear>,
}

/// Of which tokens logits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Of none: more of the prompt follows.
    Nothing,
    /// Of the last one.
    Last,
    /// Of all.
    All,
}

/// New tokens of one sequence.
#[derive(Debug)]
pub struct Segment<'a> {
    /// The tokens, at least one.
    pub tokens: &'a [u32],
    /// What came before them; they are added to it.
    pub cache: &'a mut Cache,
    /// Which logits to compute.
    pub want: Want,
}

impl Decoder {
    /// What the model is.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Bytes of the weights in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        layers + self.embeddings.bytes() + self.head.as_ref().map_or(0, Linear::bytes)
    }

    /// Runs one step. Returns the wanted logits of each segment, a vocabulary for each token.
    ///
    /// Runs on the thread pool it is called in.
    ///
    /// # Errors
    /// When a token is outside the vocabulary or a sequence becomes longer than it was planned; nothing is changed then.
    pub fn step(&self, segments: &mut [Segment<'_>]) -> Result<Vec<Vec<f32>>> {
        self.check(segments)?;
        let mut x = self.embed(segments);
        let wants: Vec<(usize, Want)> = segments
            .iter()
            .map(|segment| (segment.tokens.len(), segment.want))
            .collect();
        let mut parts: Vec<Part<'_>> = segments
            .iter_mut()
            .map(|segment| Part {
                angles: angles(&self.spec, segment.cache, segment.tokens.len()),
                tokens: segment.tokens.len(),
                cache: segment.cache,
            })
            .collect();
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&self.spec, index, &mut x, &mut parts);
        }
        for part in parts {
            part.cache.advance(part.tokens);
        }
        Ok(self.logits(&x, &wants))
    }

    fn check(&self, segments: &[Segment<'_>]) -> Result<()> {
        for segment in segments {
            if let Some(token) = segment
                .tokens
                .iter()
                .find(|token| **token as usize >= self.spec.vocabulary)
            {
                return Err(Error::Token {
                    token: *token,
                    vocabulary: self.spec.vocabulary,
                });
            }
            let wanted = segment.cache.len() + segment.tokens.len();
            let limit = segment.cache.planned().min(self.spec.positions);
            if wanted > limit {
                return Err(Error::TooLong { wanted, limit });
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
        let mut x = vec![0.0; tokens.len() * self.spec.hidden];
        for (token, out) in tokens.iter().zip(x.chunks_exact_mut(self.spec.hidden)) {
            self.embeddings.copy_row(*token as usize, out);
            out.iter_mut()
                .for_each(|value| *value *= self.spec.embedding_scale);
        }
        x
    }

    fn logits(&self, x: &[f32], wants: &[(usize, Want)]) -> Vec<Vec<f32>> {
        let hidden = self.spec.hidden;
        let mut rows = Vec::new();
        let mut counts = Vec::new();
        let mut first = 0;
        for (tokens, want) in wants {
            let count = match want {
                Want::Nothing => 0,
                Want::Last => 1.min(*tokens),
                Want::All => *tokens,
            };
            rows.extend_from_slice(&x[(first + tokens - count) * hidden..(first + tokens) * hidden]);
            counts.push(count);
            first += tokens;
        }
        let head = self.head.as_ref().unwrap_or(&self.embeddings);
        let mut logits = head.apply(&layer::normed(&self.spec, &rows, &self.norm));
        if self.spec.logit_scale.to_bits() != 1.0_f32.to_bits() {
            logits
                .iter_mut()
                .for_each(|logit| *logit *= self.spec.logit_scale);
        }
        if let Some(cap) = self.spec.logit_softcap {
            kernels::softcap(&mut logits, cap);
        }
        let mut rest = logits.as_slice();
        let split = |count: &usize| {
            let (own, others) = rest.split_at(count * head.outputs());
            rest = others;
            own.to_vec()
        };
        counts.iter().map(split).collect()
    }
}

/// Cosines and sines of the next `tokens` positions of a sequence, for each kind of angles.
fn angles(spec: &Spec, cache: &Cache, tokens: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
    let first = cache.len();
    let of = |rope: &crate::config::Rope| {
        let frequencies = rope.frequencies_for(cache.planned());
        let angles =
            (first..first + tokens).flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        angles
            .map(|angle| (angle.cos() * rope.magnitude, angle.sin() * rope.magnitude))
            .unzip()
    };
    spec.ropes.iter().map(of).collect()
}
