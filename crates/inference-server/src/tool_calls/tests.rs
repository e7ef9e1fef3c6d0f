//! Calls in every format, whole and character by character, and text that only looks like a call.

use proptest::prelude::*;

use super::*;

/// Returns the text and the calls of a completion that comes in these pieces.
fn parse(format: ToolCallFormat, pieces: &[&str]) -> (String, Vec<(String, String)>) {
    let mut parser = ToolCallParser::new(format, vec!["weather".to_owned(), "clock".to_owned()], true);
    let mut parts: Vec<ParsedPart> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    parts.extend(parser.finish());
    let (mut text, mut calls) = (String::new(), Vec::new());
    for part in parts {
        match part {
            ParsedPart::Text(piece) => text.push_str(&piece),
            ParsedPart::ToolCall(call) => calls.push((call.name, call.arguments)),
        }
    }
    assert_eq!(parser.calls(), calls.len());
    (text, calls)
}

#[track_caller]
fn check(format: ToolCallFormat, completion: &str, text: &str, calls: &[(&str, &str)]) {
    let calls: Vec<(String, String)> = calls
        .iter()
        .map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned()))
        .collect();
    let expected = (text.to_owned(), calls);
    assert_eq!(parse(format, &[completion]), expected, "{completion}");
    let letters: Vec<String> = completion.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(
        parse(format, &letters),
        expected,
        "{completion}, character by character"
    );
}

const MISTRAL_FORMAT: ToolCallFormat = ToolCallFormat::Marked(MISTRAL);

#[test]
fn formats_are_recognized_by_the_template() {
    for (template, format) in [
        ("x <tool_call> y", Some(ToolCallFormat::Tagged)),
        ("{{ '[TOOL_CALLS]' }}", Some(MISTRAL_FORMAT)),
        ("<|tool_call|> <tool_call>", Some(ToolCallFormat::Marked(GRANITE))),
        ("{{ '<|python_tag|>' }}", Some(ToolCallFormat::Bare)),
        (
            r#"{"name": function name, "parameters": dictionary of argument name and its value}"#,
            Some(ToolCallFormat::Bare),
        ),
        ("{{ message.content }}", None),
    ] {
        assert_eq!(ToolCallFormat::of_template(template), format, "{template}");
    }
}

#[test]
fn tagged_calls() {
    let call = r#"<tool_call>
{"name": "weather", "arguments": {"b": 1, "a": "é"}}
</tool_call>"#;
    let found = ("weather", r#"{"b": 1, "a": "é"}"#);
    check(ToolCallFormat::Tagged, call, "", &[found]);
    check(
        ToolCallFormat::Tagged,
        &format!("Let me see.\n\n{call}\n"),
        "Let me see.",
        &[found],
    );
    check(
        ToolCallFormat::Tagged,
        &format!("\n{call}\n{call}"),
        "",
        &[found, found],
    );
    check(
        ToolCallFormat::Tagged,
        &format!("{call} and more"),
        " and more",
        &[found],
    );
    check(
        ToolCallFormat::Tagged,
        r#"<tool_call>{"name": "clock"}"#,
        "",
        &[("clock", "{}")],
    );
    check(
        ToolCallFormat::Tagged,
        r#"<tool_call>{"name": "weather", "arguments": "{\"a\": 1}"}</tool_call>"#,
        "",
        &[("weather", r#"{"a": 1}"#)],
    );
    for text in [
        "a < b, <tool, <tool_call",
        "<tool_call>no json</tool_call>",
        r#"<tool_call>{"nome": "x"}</tool_call>"#,
        "<tool_call></tool_call>",
        r#"<tool_call>{"name": "weather", "arguments": {"#,
        " leading and trailing \n",
        "\n\n",
        "",
    ] {
        check(ToolCallFormat::Tagged, text, text, &[]);
    }
    check(
        ToolCallFormat::Tagged,
        &format!("<tool_call>?</tool_call>{call}"),
        "<tool_call>?</tool_call>",
        &[found],
    );
}

#[test]
fn marked_calls() {
    let weather = ("weather", r#"{"city": "Oslo"}"#);
    check(
        MISTRAL_FORMAT,
        r#"[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "clock", "arguments": {}}]"#,
        "",
        &[weather, ("clock", "{}")],
    );
    check(
        MISTRAL_FORMAT,
        r#"Sure.[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]clock{}"#,
        "Sure.",
        &[weather, ("clock", "{}")],
    );
    check(
        ToolCallFormat::Marked(GRANITE),
        r#"<|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo"}}]"#,
        "",
        &[weather],
    );
    for text in ["[TOOL_CALLS]", "[TOOL_CALLS] none", "[TOOL_CALLS][{]", "[TOOL"] {
        check(MISTRAL_FORMAT, text, text, &[]);
    }
}

#[test]
fn bare_calls() {
    let weather = ("weather", r#"{"city": "Oslo"}"#);
    let call = r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#;
    check(ToolCallFormat::Bare, call, "", &[weather]);
    check(
        ToolCallFormat::Bare,
        &format!("\n <|python_tag|>{call}"),
        "",
        &[weather],
    );
    check(
        ToolCallFormat::Bare,
        &format!("{call}; {call}"),
        "",
        &[weather, weather],
    );
    for text in [
        r#"{"name": "unknown", "parameters": {}}"#,
        r#"{"answer": 42}"#,
        "{ not json",
        "A set is written {1, 2}.",
        &format!("The call is {call}"),
    ] {
        check(ToolCallFormat::Bare, text, text, &[]);
    }
}

proptest! {
    /// For any text: nothing is lost, nothing panics, and the split into pieces does not matter.
    #[test]
    fn text_stays_text(completion in r#"(<tool_call>|</tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|[{}a-z<\[ \n:"é]){0,30}"#, cut in 1_usize..6) {
        for format in [ToolCallFormat::Tagged, MISTRAL_FORMAT, ToolCallFormat::Bare] {
            let chars: Vec<char> = completion.chars().collect();
            let pieces: Vec<String> = chars.chunks(cut).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = parse(format, &[&completion]);
            prop_assert_eq!(&parse(format, &pieces), &whole);
            if whole.1.is_empty() {
                prop_assert_eq!(&whole.0, &completion);
            }
        }
    }
}

#[test]
fn only_the_first_call_counts_without_parallel_calls() {
    let one = r#"{"name": "clock", "arguments": {}}"#;
    let tagged = format!("<tool_call>{one}</tool_call>");
    for (format, completion) in [
        (ToolCallFormat::Tagged, tagged.repeat(3)),
        (MISTRAL_FORMAT, format!("[TOOL_CALLS][{one}, {one}]")),
        (ToolCallFormat::Bare, format!("{one};{one}")),
    ] {
        let mut parser = ToolCallParser::new(format, vec!["clock".to_owned()], false);
        let mut parts = parser.push(&completion);
        parts.extend(parser.finish());
        assert_eq!((parts.len(), parser.calls()), (1, 1), "{format:?} {parts:?}");
    }
}
