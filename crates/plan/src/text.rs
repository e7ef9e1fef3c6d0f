//! Text of conditions and events.

pub use kaito_api::text::cut;

/// Returns the cause followed by its remedy. The cause comes first, because readers cut long messages short.
///
/// A cause that already ends with the remedy comes from a program that knows it too, and stays as it is.
#[must_use]
pub fn with_remedy(cause: &str, remedy: &str) -> String {
    let cause = cause.trim();
    if remedy.is_empty() || cause.ends_with(remedy) {
        return cause.to_owned();
    }
    if cause.is_empty() {
        return remedy.to_owned();
    }
    let end = if cause.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{cause}{end} {remedy}")
}

/// Returns the text as a sentence: with a capital letter at its start and a period at its end.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut text = text.trim_end().to_owned();
    if let Some(first) = text.get(..1).map(str::to_ascii_uppercase) {
        text.replace_range(..1, &first);
    }
    if !text.is_empty() && !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_added_once() {
        let check = |cause, expected| assert_eq!(with_remedy(cause, "Wait."), expected);
        check("old", "old. Wait.");
        check("Is it old? ", "Is it old? Wait.");
        check("old. Wait.", "old. Wait.");
        check("", "Wait.");
        assert_eq!(with_remedy("0 of 1", ""), "0 of 1");
    }

    #[test]
    fn a_sentence_begins_with_a_capital_letter_and_ends() {
        assert_eq!(sentence("the Node is missing"), "The Node is missing.");
        assert_eq!(sentence("ärger!"), "ärger!");
        assert_eq!(sentence(""), "");
    }
}
