//! The section `native`: flags of our inference server.

use super::error::{EngineConfigError, unknown_key};
use super::sized;

/// Flags with a number, with the smallest one.
const NUMBERS: [(&str, u32); 6] = [
    ("max-context-tokens", 1),
    ("threads", 1),
    ("max-sequences", 1),
    ("max-waiting", 0),
    ("step-tokens", 1),
    ("cache-mib", 1),
];
/// Flags with one of some words.
const WORDS: [(&str, &[&str]); 3] = [
    (
        "dtype",
        &["auto", "f32", "float32", "bf16", "bfloat16", "q8", "q4"],
    ),
    ("adapter-mode", &["merge", "request"]),
    ("pipeline", &["text-generation", "conversational"]),
];
const TEMPLATE: &str = "chat-template";

/// Checks one flag.
pub(super) fn check(name: &str, text: &str) -> Result<(), EngineConfigError> {
    let place = || format!("native.{name}");
    if let Some((_, least)) = NUMBERS.iter().find(|(number, _)| *number == name) {
        return sized::whole(&place(), text, *least).map(drop);
    }
    if let Some((_, words)) = WORDS.iter().find(|(word, _)| *word == name) {
        return if words.contains(&text) {
            Ok(())
        } else {
            let words = words.join(", ");
            Err(EngineConfigError::malformed(format!(
                "native.{name} is {text:?}, expected one of {words}"
            )))
        };
    }
    if name == TEMPLATE && !text.is_empty() {
        return Ok(());
    }
    let names = NUMBERS.iter().map(|(name, _)| *name);
    let names = names.chain(WORDS.iter().map(|(name, _)| *name)).chain([TEMPLATE]);
    Err(unknown_key("flag native.", name, names))
}
