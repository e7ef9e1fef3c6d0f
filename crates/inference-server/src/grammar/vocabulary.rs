//! The bytes of all tokens, as a tree in which the library finds the tokens that may come next.

use std::sync::Arc;
use std::time::Instant;

use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use model::{TokenBytes, Tokenizer};

use super::error::GrammarError;

/// Maximum length of a token in the tree, in bytes.
const MAX_TOKEN_BYTES: usize = 1000;
/// Maximum of all tokens together, in bytes: the tree counts its nodes in 22 bits.
const MAX_BYTES: usize = 4_000_000;
/// Maximum of tokens: the tree counts them in 24 bits.
const MAX_TOKENS: usize = 10_000_000;

/// Returns the tree for a model with `vocab_size` tokens, of which `end_tokens` end a completion.
pub(super) fn token_tree(
    tokenizer: &Tokenizer,
    vocab_size: usize,
    end_tokens: &[u32],
) -> Result<TokEnv, GrammarError> {
    let began = Instant::now();
    let unavailable = |problem: String| GrammarError::Unavailable(problem);
    let token_bytes = tokenizer
        .token_bytes(vocab_size)
        .map_err(|error| unavailable(error.to_string()))?;
    let words: Vec<Vec<u8>> = token_bytes.into_iter().map(word).collect();
    let bytes: usize = words.iter().map(Vec::len).sum();
    let size = u32::try_from(words.len()).unwrap_or(u32::MAX);
    if bytes > MAX_BYTES || words.len() > MAX_TOKENS {
        return Err(unavailable(format!(
            "its {size} tokens must have at most {MAX_BYTES} bytes, not {bytes}"
        )));
    }
    let end_tokens: Vec<u32> = end_tokens.iter().copied().filter(|token| *token < size).collect();
    let info = TokRxInfo::new(size, end_tokens.first().copied().unwrap_or(INVALID_TOKEN));
    let tree = TokTrie::from(&info, &words);
    let tree = if end_tokens.is_empty() {
        tree
    } else {
        tree.with_eos_tokens(&end_tokens)
    };
    tracing::info!(
        tokens = size,
        bytes,
        milliseconds = began.elapsed().as_millis() as u64,
        tree = %tree.trie_stats(),
        "structured output is available"
    );
    Ok(Arc::new(ApproximateTokEnv::new(tree)))
}

/// Returns the bytes of a token. A token without bytes is never allowed.
fn word(token: TokenBytes) -> Vec<u8> {
    let word = match token {
        TokenBytes::Bytes(bytes) => bytes,
        TokenBytes::Special(name) => [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat(),
        TokenBytes::Missing => Vec::new(),
    };
    if word.len() > MAX_TOKEN_BYTES {
        Vec::new()
    } else {
        word
    }
}
