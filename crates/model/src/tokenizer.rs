//! `tokenizer.json`: encoding of texts and decoding of tokens, also token by token.

use std::path::Path;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::read;

/// Largest `tokenizer.json`, in bytes; Gemma's has 33 MB.
const TOKENIZER_BYTES: u64 = 256 << 20;
/// Most tokens that an incomplete character waits for.
const LOOK_BACK: usize = 8;

/// A tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same, made at its first use, for which special tokens are ordinary text.
    plain: OnceLock<tokenizers::Tokenizer>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model directory.
    ///
    /// # Errors
    /// When the file is missing, too large or malformed.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let bytes = read::bytes(&path, TOKENIZER_BYTES)?;
        let mut inner = parse(&bytes)
            .map_err(|problem| Error::file(&path, format!("expected a tokenizer: {problem}")))?;
        // Files may set padding and truncation, which serve training only.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Error::file(&path, error.to_string()))?;
        Ok(Self {
            inner,
            plain: OnceLock::new(),
        })
    }

    /// Encodes a text; `special` adds the special tokens around a plain text.
    ///
    /// # Errors
    /// When the tokenizer cannot split the text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self
            .inner
            .encode_fast(text, special)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Encodes a text in which the texts of special tokens are ordinary text.
    ///
    /// # Errors
    /// When the tokenizer cannot split the text.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        let plain = self.plain.get_or_init(|| {
            let mut plain = self.inner.clone();
            plain.set_encode_special_tokens(true);
            plain
        });
        let encoding = plain
            .encode_fast(text, false)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Texts of the special tokens, such as `<|im_end|>`.
    pub fn special_tokens(&self) -> impl Iterator<Item = String> {
        let added = self.inner.get_added_tokens_decoder().into_values();
        added
            .filter(|token| token.special && !token.content.is_empty())
            .map(|token| token.content)
    }

    /// Decodes tokens, without special ones if `skip_special`.
    ///
    /// # Errors
    /// When the tokenizer cannot join the tokens.
    pub fn decode(&self, tokens: &[u32], skip_special: bool) -> Result<String> {
        self.inner
            .decode(tokens, skip_special)
            .map_err(|error| Error::Tokenizer(error.to_string()))
    }

    /// Returns the text of a token in the vocabulary.
    #[must_use]
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Returns the token with that text in the vocabulary.
    #[must_use]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// Number of tokens, including added ones.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

/// Parses a file. The library panics on some malformed ones, such as a truncated decoder.
fn parse(bytes: &[u8]) -> std::result::Result<tokenizers::Tokenizer, String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|error| error.to_string())?;
    match std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes)) {
        Ok(parsed) => parsed.map_err(|error| error.to_string()),
        Err(_) => Err("the library failed to parse it".to_owned()),
    }
}

/// Decodes tokens one by one and holds back bytes of incomplete characters.
#[derive(Clone, Debug, Default)]
pub struct DecodeStream {
    tokens: Vec<u32>,
    /// Tokens before this one are written; a few of them are context.
    written: usize,
    context: usize,
}

impl DecodeStream {
    /// Adds a token. Returns the text that is complete now, which may be empty.
    ///
    /// # Errors
    /// When the tokenizer cannot join the tokens.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Result<String> {
        self.tokens.push(token);
        let before = tokenizer.decode(&self.tokens[self.context..self.written], true)?;
        let now = tokenizer.decode(&self.tokens[self.context..], true)?;
        if now.ends_with('\u{fffd}') && self.tokens.len() - self.written < LOOK_BACK {
            return Ok(String::new());
        }
        self.context = self.written;
        self.written = self.tokens.len();
        Ok(now.strip_prefix(&before).unwrap_or_default().to_owned())
    }

    /// Returns the rest at the end.
    ///
    /// # Errors
    /// When the tokenizer cannot join the tokens.
    pub fn finish(&self, tokenizer: &Tokenizer) -> Result<String> {
        let before = tokenizer.decode(&self.tokens[self.context..self.written], true)?;
        let now = tokenizer.decode(&self.tokens[self.context..], true)?;
        Ok(now.strip_prefix(&before).unwrap_or_default().to_owned())
    }
}
