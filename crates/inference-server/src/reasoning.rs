//! Reasoning of a model before its answer: the text between `<think>` and `</think>` at the beginning of a completion.
//!
//! Pure. Chat templates of models that think contain the mark; some write the first one themselves.

/// Mark before the reasoning.
pub(crate) const BEGIN: &str = "<think>";
/// Mark after the reasoning.
pub(crate) const END: &str = "</think>";

/// Text of a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Reasoning(String),
    Answer(String),
}

/// Separates reasoning from the answer while the text arrives.
#[derive(Clone, Debug)]
pub(crate) struct ReasoningParser {
    state: ReasoningState,
    /// Text that may belong to a mark.
    held: String,
    /// Line ends at the beginning of a part are the mark's.
    at_start: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReasoningState {
    /// Nothing but white space, or the beginning of the first mark.
    Undecided,
    Reasoning,
    Answer,
}

impl ReasoningParser {
    /// Creates a parser. `begun` is true if the prompt ends with the first mark.
    pub(crate) fn new(begun: bool) -> Self {
        Self {
            state: if begun {
                ReasoningState::Reasoning
            } else {
                ReasoningState::Undecided
            },
            held: String::new(),
            at_start: begun,
        }
    }

    /// Adds text. Returns what is certain.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Text> {
        self.held.push_str(text);
        let mut out = Vec::new();
        if self.state == ReasoningState::Undecided {
            let start = self.held.trim_start();
            if let Some(rest) = start.strip_prefix(BEGIN) {
                self.held = rest.to_owned();
                self.state = ReasoningState::Reasoning;
                self.at_start = true;
            } else if !BEGIN.starts_with(start) {
                self.state = ReasoningState::Answer;
            }
        }
        if self.state == ReasoningState::Reasoning {
            if let Some((reasoning, answer)) = self.held.split_once(END) {
                let (reasoning, answer) = (reasoning.trim_end().to_owned(), answer.to_owned());
                self.emit(Text::Reasoning, &reasoning, &mut out);
                self.held = answer;
                self.state = ReasoningState::Answer;
                self.at_start = true;
            } else {
                // White space before the last mark is not reasoning either.
                let certain = self.held.len() - overlap(&self.held);
                let certain = self.held[..certain].trim_end().len();
                let rest = self.held.split_off(certain);
                let reasoning = std::mem::replace(&mut self.held, rest);
                self.emit(Text::Reasoning, &reasoning, &mut out);
            }
        }
        if self.state == ReasoningState::Answer {
            let answer = std::mem::take(&mut self.held);
            self.emit(Text::Answer, &answer, &mut out);
        }
        out
    }

    /// Returns the rest at the end.
    pub(crate) fn finish(&mut self) -> Vec<Text> {
        let mut out = Vec::new();
        let held = std::mem::take(&mut self.held);
        match self.state {
            ReasoningState::Reasoning => self.emit(Text::Reasoning, held.trim_end(), &mut out),
            ReasoningState::Undecided | ReasoningState::Answer => self.emit(Text::Answer, &held, &mut out),
        }
        out
    }

    fn emit(&mut self, kind: fn(String) -> Text, text: &str, out: &mut Vec<Text>) {
        let text = if self.at_start {
            text.trim_start_matches('\n')
        } else {
            text
        };
        if !text.is_empty() {
            self.at_start = false;
            out.push(kind(text.to_owned()));
        }
    }
}

/// Returns the number of bytes at the end of `text` that begin the last mark.
fn overlap(text: &str) -> usize {
    let lengths = (1..END.len()).rev();
    lengths
        .into_iter()
        .find(|length| text.ends_with(&END[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(begun: bool, pieces: &[&str]) -> (String, String) {
        let mut parser = ReasoningParser::new(begun);
        let mut parts: Vec<Text> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
        parts.extend(parser.finish());
        let (mut reasoning, mut answer) = (String::new(), String::new());
        for part in parts {
            match part {
                Text::Reasoning(text) => reasoning.push_str(&text),
                Text::Answer(text) => answer.push_str(&text),
            }
        }
        (reasoning, answer)
    }

    #[test]
    fn reasoning_is_separated_from_the_answer() {
        let cases = [
            (
                false,
                "<think>\nwhy\nnot\n</think>\n\nyes <think>",
                "why\nnot",
                "yes <think>",
            ),
            (false, " <think></think>yes", "", "yes"),
            (false, "plain </think> text", "", "plain </think> text"),
            (true, "why\n</think>\n\nyes", "why", "yes"),
            (true, "cut of", "cut of", ""),
            (false, "<thin", "", "<thin"),
            (false, "", "", ""),
        ];
        for (begun, text, reasoning, answer) in cases {
            assert_eq!(
                parse(begun, &[text]),
                (reasoning.to_owned(), answer.to_owned()),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn pieces_give_the_same_parts(begun: bool, text in "( |\n)?(<think>)?[a-c\n]{0,4}(</think>)?[\n<a]{0,4}(</think>)?", cut in 0_usize..40) {
            let cut = cut.min(text.len());
            prop_assert_eq!(parse(begun, &[&text]), parse(begun, &[&text[..cut], &text[cut..]]));
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            prop_assert_eq!(parse(begun, &[&text]), parse(begun, &letters));
        }
    }
}
