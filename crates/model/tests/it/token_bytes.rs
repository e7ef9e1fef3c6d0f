//! The bytes of tokens, put together, are what decoders make of them, with every kind of tokenizer.

use std::path::Path;

use model::{TokenBytes, Tokenizer};
use proptest::prelude::*;
use serde_json::json;

fn open(name: &str) -> Tokenizer {
    Tokenizer::open(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(name),
    )
    .unwrap()
}

/// Returns the tokens of a text and the concatenation of their bytes.
fn concatenated(tokenizer: &Tokenizer, token_bytes: &[TokenBytes], text: &str) -> (Vec<u32>, String) {
    let tokens = tokenizer.encode(text, false).unwrap();
    let bytes = tokens
        .iter()
        .flat_map(|token| match &token_bytes[*token as usize] {
            TokenBytes::Bytes(bytes) => bytes.clone(),
            TokenBytes::Special(_) => Vec::new(),
            TokenBytes::Missing => panic!("token {token} is missing"),
        });
    let bytes: Vec<u8> = bytes.collect();
    (tokens, String::from_utf8_lossy(&bytes).into_owned())
}

const CORPUS: [&str; 8] = [
    "{\"name\": \"tr\u{fc}e\", \"list\": [true, null, -1.5e-3]}",
    "  two  and\n\tfour    blanks ",
    "caf\u{e9}a \u{65e5}\u{672c}\u{8a9e} \u{1f980}\u{1f980} \u{5d0}\u{5d1}",
    "a<s>b</s><|call|>c<tool_call>{\"a\":1}</tool_call>",
    "<0x41> \u{2581} \u{120}\u{10a}",
    "\u{0}\u{1}\u{7f}\u{85}",
    "\\u00e9 \\\" / & <",
    "",
];

#[test]
fn concatenated_bytes_match_the_decoder() {
    for (name, is_blank_taken) in [("byte-level", false), ("sentencepiece", true), ("llama", false)] {
        let tokenizer = open(name);
        let token_bytes = tokenizer.token_bytes(tokenizer.vocab_size()).unwrap();
        assert!(!token_bytes.contains(&TokenBytes::Missing), "{name}");
        for text in CORPUS {
            let (tokens, spelled) = concatenated(&tokenizer, &token_bytes, text);
            let decoded = tokenizer.decode(&tokens, true).unwrap();
            // Decoders of sentencepiece take one blank from the beginning of a text, which its encoder has put there.
            let spelled = if is_blank_taken {
                spelled.strip_prefix(' ').unwrap_or(&spelled)
            } else {
                &spelled
            };
            assert_eq!(spelled, decoded, "{name}: {tokens:?}");
        }
    }
}

#[test]
fn special_tokens_and_gaps_are_marked() {
    for name in ["byte-level", "sentencepiece"] {
        let tokenizer = open(name);
        let token_bytes = tokenizer.token_bytes(tokenizer.vocab_size() + 2).unwrap();
        let bytes_of = |token: &str| token_bytes[tokenizer.token_to_id(token).unwrap() as usize].clone();
        assert_eq!(bytes_of("<|call|>"), TokenBytes::Special("<|call|>".to_owned()));
        assert_eq!(
            bytes_of("<tool_call>"),
            TokenBytes::Bytes(b"<tool_call>".to_vec())
        );
        assert_eq!(
            token_bytes[tokenizer.vocab_size()..],
            [TokenBytes::Missing, TokenBytes::Missing]
        );
        assert_eq!(tokenizer.token_bytes(3).unwrap().len(), 3);
    }
}

#[test]
fn other_decoders_have_no_token_bytes() {
    for (decoder, problem) in [
        (json!(null), "blanks between tokens"),
        (
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            "`WordPiece`",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
            "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"},
        });
        std::fs::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
        let error = Tokenizer::open(dir.path()).unwrap().token_bytes(1).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_the_concatenation_of_its_tokens(text in "\\PC{0,40}", kind in 0..2_usize) {
        let tokenizer = open(["byte-level", "sentencepiece"][kind]);
        let token_bytes = tokenizer.token_bytes(tokenizer.vocab_size()).unwrap();
        let (_, found) = concatenated(&tokenizer, &token_bytes, &text);
        // Marks are no part of what is spelled, and blanks of sentencepiece look like one of its letters.
        prop_assume!(!text.contains('<') && !text.contains('\u{2581}'));
        let found = if kind == 1 { found.strip_prefix(' ').unwrap_or(&found) } else { &found };
        prop_assert_eq!(found, text);
    }
}
