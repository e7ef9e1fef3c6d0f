//! Shared by the tests of grammars: tokenizers, and a model with random logits.

use std::path::Path;

use model::sampling::{Sampler, SamplingParams};
use model::{DecodeStream, Tokenizer};

use super::compiler::Compiler;
use super::matcher::{ConstraintError, Matcher};

pub(super) const END_TOKEN: u32 = 2;
/// Larger than the vocabulary of the tokenizers, as in many models.
pub(super) const VOCAB_SIZE: usize = 400;
/// A tokenizer of each kind; both can encode any text.
pub(super) const KINDS: [&str; 2] = ["byte-level", "sentencepiece"];
/// Number of tokens after which a completion counts as endless.
pub(super) const MAX_TOKENS: usize = 3000;

pub(super) fn parts(kind: &str) -> (Compiler, Tokenizer) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/data")
        .join(kind);
    let tokenizer = Tokenizer::open(&dir).unwrap();
    (
        Compiler::new(&tokenizer, VOCAB_SIZE, &[END_TOKEN]).unwrap(),
        tokenizer,
    )
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Generates a completion with random logits; `None` if it has no end.
pub(super) fn generate(
    matcher: &mut Matcher,
    tokenizer: &Tokenizer,
    settings: &SamplingParams,
    seed: u64,
) -> Result<Option<String>, ConstraintError> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sampler = Sampler::new(settings.clone(), seed, &[]);
    let (mut text, mut stream) = (String::new(), DecodeStream::default());
    for _ in 0..MAX_TOKENS {
        let mut logits: Vec<f32> = (0..VOCAB_SIZE).map(|_| random.f32() * 12.0 - 6.0).collect();
        matcher.mask(&mut logits, &[])?;
        let token = sampler.sample(&mut logits, &[]);
        let complete = matcher.accept(token)?;
        if token != END_TOKEN {
            text += &stream.push(tokenizer, token).unwrap();
        }
        if complete {
            return Ok(Some(text + &stream.finish(tokenizer).unwrap()));
        }
    }
    Ok(None)
}
