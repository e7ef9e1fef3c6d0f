//! The bytes that each token of a vocabulary adds to a text.
//!
//! Two kinds of decoders in `tokenizer.json` have such bytes. In byte-level ones letters stand for bytes. Those of sentencepiece
//! mark blanks with a letter and may have a token for each byte. The output of other decoders depends on neighboring tokens.

use std::collections::HashMap;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Contribution of a token to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenBytes {
    /// Bytes, which may be a part of a character.
    Bytes(Vec<u8>),
    /// Nothing: a special token, which texts leave out.
    Special(String),
    /// No token has this number.
    Missing,
}

/// Rules of a decoder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    byte_level: bool,
    /// Tokens such as `<0x0A>` stand for bytes.
    fallback: bool,
    /// The letter that stands for a blank.
    blank: Option<char>,
    /// Tokens follow each other without separators.
    joined: bool,
}

impl Tokenizer {
    /// Returns the bytes of the tokens from 0 to `size - 1`. They include a blank that a decoder strips from the start of a text.
    ///
    /// # Errors
    /// When the decoder is of another kind than those above.
    pub fn token_bytes(&self, size: usize) -> Result<Vec<TokenBytes>> {
        let inner = self.inner();
        if inner.get_decoder().is_none() {
            return Err(Error::Tokenizer("it puts blanks between tokens".to_owned()));
        }
        let decoder = serde_json::to_value(inner.get_decoder())
            .map_err(|error| Error::Tokenizer(format!("failed to read its decoder: {error}")))?;
        let mut rules = Rules::default();
        rules.read(&decoder)?;
        if !rules.joined {
            return Err(Error::Tokenizer("it puts blanks between tokens".to_owned()));
        }
        let added = inner.get_added_tokens_decoder();
        let letters = letters();
        let token_bytes = |id: u32| match inner.id_to_token(id) {
            None => TokenBytes::Missing,
            Some(token) if added.get(&id).is_some_and(|added| added.special) => TokenBytes::Special(token),
            Some(token) => TokenBytes::Bytes(rules.bytes(&letters, token)),
        };
        Ok((0..u32::try_from(size).unwrap_or(u32::MAX))
            .map(token_bytes)
            .collect())
    }
}

impl Rules {
    fn read(&mut self, decoder: &Value) -> Result<()> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let single = |text: &str| {
            let mut letters = text.chars();
            letters.next().filter(|_| letters.next().is_none())
        };
        match text(decoder.get("type")).as_str() {
            "Sequence" => {
                let parts = decoder.get("decoders").and_then(Value::as_array);
                parts.into_iter().flatten().try_for_each(|part| self.read(part))?;
            }
            "ByteLevel" => (self.byte_level, self.joined) = (true, true),
            "ByteFallback" => (self.fallback, self.joined) = (true, true),
            "Fuse" => self.joined = true,
            "Metaspace" => {
                self.blank = single(&text(decoder.get("replacement")));
                self.joined = true;
            }
            "Replace" if text(decoder.get("content")) == " " => {
                self.blank = single(&text(decoder.pointer("/pattern/String")));
            }
            // Affects only the ends of a text.
            "Strip" => {}
            other => {
                let problem = format!("its decoder `{other}` depends on neighboring tokens");
                return Err(Error::Tokenizer(problem));
            }
        }
        Ok(())
    }

    fn bytes(&self, letters: &HashMap<char, u8>, token: String) -> Vec<u8> {
        if self.byte_level {
            let bytes: Option<Vec<u8>> = token
                .chars()
                .map(|letter| letters.get(&letter).copied())
                .collect();
            // Added tokens may hold other letters, which stand for themselves.
            return bytes.unwrap_or_else(|| token.into_bytes());
        }
        let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
        let byte = digits
            .filter(|digits| self.fallback && digits.len() == 2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, self.blank) {
            (Some(byte), _) => vec![byte],
            (None, Some(blank)) => token.replace(blank, " ").into_bytes(),
            (None, None) => token.into_bytes(),
        }
    }
}

/// Returns the letters of byte-level vocabularies: printable bytes stand for themselves, the others are numbered from U+0100
/// (`bytes_to_unicode` of GPT-2).
fn letters() -> HashMap<char, u8> {
    let mut next = 0x100_u32;
    let letter = |byte: u8| {
        let letter = char::from(byte);
        if matches!(letter, '!'..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}') {
            return (letter, byte);
        }
        next += 1;
        (char::from_u32(next - 1).unwrap_or_default(), byte)
    };
    (0..=u8::MAX).map(letter).collect()
}
