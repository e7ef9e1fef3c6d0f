//! Calls in every form, whole and letter by letter, and what only looks like one.

use proptest::prelude::*;

use super::*;

/// Text and calls of an answer that comes in these pieces.
fn read(form: Form, pieces: &[&str]) -> (String, Vec<(String, String)>) {
    let mut reader = Reader::new(form, vec!["weather".to_owned(), "clock".to_owned()], true);
    let mut parts: Vec<Part> = pieces.iter().flat_map(|piece| reader.push(piece)).collect();
    parts.extend(reader.finish());
    let (mut text, mut calls) = (String::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(&piece),
            Part::Call(call) => calls.push((call.name, call.arguments)),
        }
    }
    assert_eq!(reader.calls(), calls.len());
    (text, calls)
}

#[track_caller]
fn check(form: Form, answer: &str, text: &str, calls: &[(&str, &str)]) {
    let calls: Vec<(String, String)> = calls
        .iter()
        .map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned()))
        .collect();
    let expected = (text.to_owned(), calls);
    assert_eq!(read(form, &[answer]), expected, "{answer}");
    let letters: Vec<String> = answer.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(read(form, &letters), expected, "{answer}, letter by letter");
}

const MARKED: Form = Form::Marked(MISTRAL);

#[test]
fn forms_are_known_by_their_template() {
    for (template, form) in [
        ("x <tool_call> y", Some(Form::Tagged)),
        ("{{ '[TOOL_CALLS]' }}", Some(MARKED)),
        ("<|tool_call|> <tool_call>", Some(Form::Marked(GRANITE))),
        ("{{ '<|python_tag|>' }}", Some(Form::Bare)),
        (
            r#"{"name": function name, "parameters": dictionary of argument name and its value}"#,
            Some(Form::Bare),
        ),
        ("{{ message.content }}", None),
    ] {
        assert_eq!(Form::of(template), form, "{template}");
    }
}

#[test]
fn tagged_calls() {
    let call = r#"<tool_call>
{"name": "weather", "arguments": {"b": 1, "a": "é"}}
</tool_call>"#;
    let found = ("weather", r#"{"b": 1, "a": "é"}"#);
    check(Form::Tagged, call, "", &[found]);
    check(
        Form::Tagged,
        &format!("Let me see.\n\n{call}\n"),
        "Let me see.",
        &[found],
    );
    check(Form::Tagged, &format!("\n{call}\n{call}"), "", &[found, found]);
    check(Form::Tagged, &format!("{call} and more"), " and more", &[found]);
    check(
        Form::Tagged,
        r#"<tool_call>{"name": "clock"}"#,
        "",
        &[("clock", "{}")],
    );
    check(
        Form::Tagged,
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
        check(Form::Tagged, text, text, &[]);
    }
    check(
        Form::Tagged,
        &format!("<tool_call>?</tool_call>{call}"),
        "<tool_call>?</tool_call>",
        &[found],
    );
}

#[test]
fn marked_calls() {
    let weather = ("weather", r#"{"city": "Oslo"}"#);
    check(
        MARKED,
        r#"[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "clock", "arguments": {}}]"#,
        "",
        &[weather, ("clock", "{}")],
    );
    check(
        MARKED,
        r#"Sure.[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]clock{}"#,
        "Sure.",
        &[weather, ("clock", "{}")],
    );
    check(
        Form::Marked(GRANITE),
        r#"<|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo"}}]"#,
        "",
        &[weather],
    );
    for text in ["[TOOL_CALLS]", "[TOOL_CALLS] none", "[TOOL_CALLS][{]", "[TOOL"] {
        check(MARKED, text, text, &[]);
    }
}

#[test]
fn bare_calls() {
    let weather = ("weather", r#"{"city": "Oslo"}"#);
    let call = r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#;
    check(Form::Bare, call, "", &[weather]);
    check(Form::Bare, &format!("\n <|python_tag|>{call}"), "", &[weather]);
    check(Form::Bare, &format!("{call}; {call}"), "", &[weather, weather]);
    for text in [
        r#"{"name": "unknown", "parameters": {}}"#,
        r#"{"answer": 42}"#,
        "{ not json",
        "A set is written {1, 2}.",
        &format!("The call is {call}"),
    ] {
        check(Form::Bare, text, text, &[]);
    }
}

proptest! {
    /// Whatever a model writes: nothing is lost, nothing panics, and pieces do not matter.
    #[test]
    fn text_stays_text(answer in r#"(<tool_call>|</tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|[{}a-z<\[ \n:"é]){0,30}"#, cut in 1_usize..6) {
        for form in [Form::Tagged, MARKED, Form::Bare] {
            let chars: Vec<char> = answer.chars().collect();
            let pieces: Vec<String> = chars.chunks(cut).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = read(form, &[&answer]);
            prop_assert_eq!(&read(form, &pieces), &whole);
            if whole.1.is_empty() {
                prop_assert_eq!(&whole.0, &answer);
            }
        }
    }
}

#[test]
fn only_the_first_call_counts_where_there_may_be_one() {
    let one = r#"{"name": "clock", "arguments": {}}"#;
    let tagged = format!("<tool_call>{one}</tool_call>");
    for (form, answer) in [
        (Form::Tagged, tagged.repeat(3)),
        (MARKED, format!("[TOOL_CALLS][{one}, {one}]")),
        (Form::Bare, format!("{one};{one}")),
    ] {
        let mut reader = Reader::new(form, vec!["clock".to_owned()], false);
        let mut parts = reader.push(&answer);
        parts.extend(reader.finish());
        assert_eq!((parts.len(), reader.calls()), (1, 1), "{form:?} {parts:?}");
    }
}
