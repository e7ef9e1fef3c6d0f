//! `tokenizer.json`: texts to tokens and back, also token by token.

use std::path::Path;

use crate::error::{Error, Result};
use crate::read;

/// Largest `tokenizer.json`, in bytes; Gemma's has 33 MB.
const TOKENIZER_BYTES: u64 = 256 << 20;
/// Tokens before the new one that may still change how it is written.
const LOOK_BACK: usize = 8;

/// A tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model's directory.
    ///
    /// # Errors
    /// When the file is missing, too large or no tokenizer.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let bytes = read::bytes(&path, TOKENIZER_BYTES)?;
        let mut inner =
            parse(&bytes).map_err(|problem| Error::file(&path, format!("is no tokenizer: {problem}")))?;
        // A file may ask for texts to be cut or filled to a length, which only training wants.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Error::file(&path, error.to_string()))?;
        Ok(Self { inner })
    }

    /// Tokens of a text; `special` adds those the model wants around a plain text.
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

    /// The text of tokens, without special ones if `skip_special`.
    ///
    /// # Errors
    /// When the tokenizer cannot join the tokens.
    pub fn decode(&self, tokens: &[u32], skip_special: bool) -> Result<String> {
        self.inner
            .decode(tokens, skip_special)
            .map_err(|error| Error::Tokenizer(error.to_string()))
    }

    /// How a token is spelled in the vocabulary.
    #[must_use]
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The token of that spelling.
    #[must_use]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// Number of tokens, added ones included.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

/// The library panics on some malformed files, such as a decoder that is cut short.
fn parse(bytes: &[u8]) -> std::result::Result<tokenizers::Tokenizer, String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|error| error.to_string())?;
    match std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes)) {
        Ok(parsed) => parsed.map_err(|error| error.to_string()),
        Err(_) => Err("the library gave up on it".to_owned()),
    }
}

/// Writes tokens as they come, holding back bytes that are no whole character yet.
#[derive(Clone, Debug, Default)]
pub struct DecodeStream {
    tokens: Vec<u32>,
    /// The tokens before this one are written; a few of them are kept as context.
    written: usize,
    context: usize,
}

impl DecodeStream {
    /// Adds a token and returns what can be written now, which may be nothing.
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

    /// What is left at the end.
    ///
    /// # Errors
    /// When the tokenizer cannot join the tokens.
    pub fn finish(&self, tokenizer: &Tokenizer) -> Result<String> {
        let before = tokenizer.decode(&self.tokens[self.context..self.written], true)?;
        let now = tokenizer.decode(&self.tokens[self.context..], true)?;
        Ok(now.strip_prefix(&before).unwrap_or_default().to_owned())
    }
}
