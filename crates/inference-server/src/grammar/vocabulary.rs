//! The bytes of all tokens, as a tree in which the library looks for those that may come next.

use std::sync::Arc;
use std::time::Instant;

use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use model::{TokenBytes, Tokenizer};

use super::Refusal;

/// Longest token that takes part, in bytes; the tree cannot hold longer ones.
const TOKEN_BYTES: usize = 1000;
/// Most bytes of all tokens together: the tree counts its nodes in 22 bits.
const ALL_BYTES: usize = 4_000_000;
/// Most tokens: the tree counts them in 24 bits.
const TOKENS: usize = 10_000_000;

/// The tree for a model with `vocabulary` tokens, of which those of `end` end an answer.
pub(super) fn tree(tokenizer: &Tokenizer, vocabulary: usize, end: &[u32]) -> Result<TokEnv, Refusal> {
    let began = Instant::now();
    let unavailable = |problem: String| Refusal::Unavailable(problem);
    let spellings = tokenizer
        .token_bytes(vocabulary)
        .map_err(|error| unavailable(error.to_string()))?;
    let words: Vec<Vec<u8>> = spellings.into_iter().map(word).collect();
    let bytes: usize = words.iter().map(Vec::len).sum();
    let size = u32::try_from(words.len()).unwrap_or(u32::MAX);
    if bytes > ALL_BYTES || words.len() > TOKENS {
        return Err(unavailable(format!("its {size} tokens have {bytes} bytes")));
    }
    let end: Vec<u32> = end.iter().copied().filter(|token| *token < size).collect();
    let info = TokRxInfo::new(size, end.first().copied().unwrap_or(INVALID_TOKEN));
    let tree = TokTrie::from(&info, &words);
    let tree = if end.is_empty() {
        tree
    } else {
        tree.with_eos_tokens(&end)
    };
    tracing::info!(
        tokens = size,
        bytes,
        milliseconds = began.elapsed().as_millis() as u64,
        tree = %tree.trie_stats(),
        "vocabulary read for constrained answers"
    );
    Ok(Arc::new(ApproximateTokEnv::new(tree)))
}

/// A token without bytes never takes part.
fn word(spelling: TokenBytes) -> Vec<u8> {
    let word = match spelling {
        TokenBytes::Bytes(bytes) => bytes,
        TokenBytes::Special(name) => [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat(),
        TokenBytes::Missing => Vec::new(),
    };
    if word.len() > TOKEN_BYTES {
        Vec::new()
    } else {
        word
    }
}
