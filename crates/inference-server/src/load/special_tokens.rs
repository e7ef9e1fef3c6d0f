//! Special tokens in texts of users: they must not end a message or begin one in another role.
//!
//! Texts of users are marked before the chat template sees them, and the rendered text is encoded in parts: what was marked is
//! ordinary text. A conversation without such texts is encoded in one piece, as if this module did not exist.

use model::Tokenizer;

/// Characters around a marked text. Unicode reserves them for internal use, so no text has them.
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// The texts of a tokenizer's special tokens.
#[derive(Clone, Debug)]
pub(crate) struct SpecialTokens {
    /// Longest first, so that a token is not taken for the beginning of a longer one.
    texts: Vec<String>,
}

impl SpecialTokens {
    pub(crate) fn new(tokenizer: &Tokenizer) -> Self {
        let mut texts: Vec<String> = tokenizer.special_tokens().collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self { texts }
    }

    /// Marks the special tokens in a text. Returns `None` if there is nothing to mark.
    pub(crate) fn mark(&self, text: &str) -> Option<String> {
        let has_marks = text.contains([BEGIN, END]);
        let cleaned = if has_marks {
            text.replace([BEGIN, END], "")
        } else {
            String::new()
        };
        let text = if has_marks { cleaned.as_str() } else { text };
        let present: Vec<&String> = self
            .texts
            .iter()
            .filter(|special| text.contains(*special))
            .collect();
        if present.is_empty() {
            return has_marks.then_some(cleaned);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let special = present.iter().find(|special| rest.starts_with(special.as_str()));
            let taken = match special {
                Some(special) => {
                    out.push(BEGIN);
                    out.push_str(special);
                    out.push(END);
                    special.len()
                }
                None => {
                    out.push(first);
                    first.len_utf8()
                }
            };
            rest = &rest[taken..];
        }
        Some(out)
    }
}

/// Encodes a rendered text: what is marked as ordinary text, the rest with its special tokens.
pub(crate) fn encode(tokenizer: &Tokenizer, text: &str) -> model::Result<Vec<u32>> {
    if !text.contains(BEGIN) {
        return tokenizer.encode(text, false);
    }
    let mut tokens = Vec::new();
    for (index, part) in text.split([BEGIN, END]).enumerate() {
        // Marks come in pairs, so every second part is marked.
        tokens.extend(match index % 2 {
            0 => tokenizer.encode(part, false)?,
            _ => tokenizer.encode_plain(part)?,
        });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data/llama");
        Tokenizer::open(&dir).unwrap()
    }

    #[test]
    fn marked_special_tokens_are_ordinary_text() {
        let tokenizer = tokenizer();
        let special = tokenizer.special_tokens().next().unwrap();
        let id = tokenizer.token_to_id(&special).unwrap();
        let tokens = SpecialTokens::new(&tokenizer);
        assert_eq!(tokens.mark("plain < text"), None);
        let text = format!("the {special}quick");
        assert!(tokenizer.encode(&text, false).unwrap().contains(&id));
        let marked = tokens.mark(&text).unwrap();
        let encoded = encode(&tokenizer, &format!("{special}{marked}")).unwrap();
        assert_eq!(
            encoded.iter().filter(|token| **token == id).count(),
            1,
            "{encoded:?}"
        );
    }

    #[test]
    fn a_text_cannot_unmark_itself() {
        let tokens = SpecialTokens::new(&tokenizer());
        let special = tokens.texts[0].clone();
        let marked = tokens.mark(&format!("{END}{special}{BEGIN}")).unwrap();
        assert_eq!(marked, format!("{BEGIN}{special}{END}"));
    }
}
