//! What tests of grammars share: tokenizers, and models that prefer tokens by chance.

use std::path::Path;

use model::sampling::{Sampler, SamplingParams};
use model::{DecodeStream, Tokenizer};

use super::{Compiler, Matcher, Stuck};

pub(super) const END: u32 = 2;
/// More than the tokenizers have, as models often do.
pub(super) const VOCABULARY: usize = 400;
/// A tokenizer of each kind; both can spell any text.
pub(super) const KINDS: [&str; 2] = ["byte-level", "sentencepiece"];
/// Tokens after which an answer counts as endless.
pub(super) const LONGEST: usize = 3000;

pub(super) fn parts(kind: &str) -> (Compiler, Tokenizer) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/data")
        .join(kind);
    let tokenizer = Tokenizer::open(&dir).unwrap();
    (Compiler::new(&tokenizer, VOCABULARY, &[END]).unwrap(), tokenizer)
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// An answer of a model that prefers tokens by chance; `None` if it has no end.
pub(super) fn answer(
    matcher: &mut Matcher,
    tokenizer: &Tokenizer,
    settings: &SamplingParams,
    seed: u64,
) -> Result<Option<String>, Stuck> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sampler = Sampler::new(settings.clone(), seed, &[]);
    let (mut text, mut stream) = (String::new(), DecodeStream::default());
    for _ in 0..LONGEST {
        let mut logits: Vec<f32> = (0..VOCABULARY).map(|_| random.f32() * 12.0 - 6.0).collect();
        matcher.restrict(&mut logits, &[])?;
        let token = sampler.sample(&mut logits, &[]);
        let complete = matcher.take(token)?;
        if token != END {
            text += &stream.push(tokenizer, token).unwrap();
        }
        if complete {
            return Ok(Some(text + &stream.finish(tokenizer).unwrap()));
        }
    }
    Ok(None)
}
