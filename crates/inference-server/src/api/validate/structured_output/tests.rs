//! Constraints in all spellings, and errors.

use serde_json::json;

use super::*;
use crate::api::requests::{CompletionRequest, parse_value};

/// Returns the constraint of a body and its parameter, or the message of the error.
fn read(body: &Value) -> Result<Option<(&'static str, Constraint)>, String> {
    let mut body = body.clone();
    body["prompt"] = "p".into();
    let constraint = parse_value::<CompletionRequest>(body, "", &mut |_| {})
        .and_then(|request| constraint_fields!(request).validate());
    constraint
        .map(|found| found.map(|found| (found.parameter, found.constraint)))
        .map_err(|error| error.message)
}

fn schema(strict: bool) -> Constraint {
    Constraint::Json(JsonConstraint {
        schema: json!({"type": "object"}),
        options: JsonOptions {
            strict,
            ..JsonOptions::default()
        },
    })
}

#[test]
fn constraints_are_read_in_all_spellings() {
    let object = json!({"type": "object"});
    let choice = Constraint::Choice(vec!["a".to_owned(), "b".to_owned()]);
    let cases = [
        (json!({}), None),
        (
            json!({"response_format": null, "structured_outputs": null, "guided_json": null}),
            None,
        ),
        (
            json!({"response_format": {"type": "text"}, "structured_outputs": {}}),
            None,
        ),
        (
            json!({"response_format": {"type": "json_object"}}),
            Some(("response_format", Constraint::JsonObject)),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": object}}}),
            Some(("response_format.json_schema.schema", schema(false))),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": object, "strict": true}}}),
            Some(("response_format.json_schema.schema", schema(true))),
        ),
        (
            json!({"structured_outputs": {"json": object}}),
            Some(("structured_outputs.json", schema(false))),
        ),
        (
            json!({"guided_json": object.to_string()}),
            Some(("guided_json", schema(false))),
        ),
        (
            json!({"structured_outputs": {"json_object": true}}),
            Some(("structured_outputs.json_object", Constraint::JsonObject)),
        ),
        (
            json!({"structured_outputs": {"regex": "a+"}}),
            Some(("structured_outputs.regex", Constraint::Regex("a+".to_owned()))),
        ),
        (
            json!({"guided_regex": "a+"}),
            Some(("guided_regex", Constraint::Regex("a+".to_owned()))),
        ),
        (
            json!({"structured_outputs": {"choice": ["a", "b"]}}),
            Some(("structured_outputs.choice", choice.clone())),
        ),
        (
            json!({"guided_choice": ["a", "b"]}),
            Some(("guided_choice", choice)),
        ),
        (
            json!({"structured_outputs": {"grammar": "start: \"a\""}}),
            Some((
                "structured_outputs.grammar",
                Constraint::Grammar("start: \"a\"".to_owned()),
            )),
        ),
        (
            json!({"guided_grammar": "start: \"a\"", "guided_decoding_backend": "xgrammar"}),
            Some(("guided_grammar", Constraint::Grammar("start: \"a\"".to_owned()))),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(read(&body), Ok(expected), "{body}");
    }
}

#[test]
fn errors_name_their_parameter() {
    let cases = [
        (
            json!({"response_format": "json"}),
            "`response_format` must be an object, not string",
        ),
        (
            json!({"response_format": {}}),
            "`response_format.type` must be given",
        ),
        (
            json!({"response_format": {"type": "yaml"}}),
            "`response_format.type` must be one of `text`, `json_object`, `json_schema`",
        ),
        (
            json!({"response_format": {"type": "json_schema"}}),
            "`response_format.json_schema.schema` must be given",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": 1}}}),
            "`response_format.json_schema.strict` must be a boolean",
        ),
        (json!({"guided_json": "{"}), "`guided_json` must be JSON"),
        (json!({"guided_choice": []}), "`guided_choice` must have 1 to"),
        (json!({"guided_choice": "a"}), "`guided_choice` must be a list"),
        (
            json!({"structured_outputs": {"choice": [1]}}),
            "`structured_outputs.choice` must be a list",
        ),
        (
            json!({"structured_outputs": {"regex": 1}}),
            "`structured_outputs.regex` must be a string",
        ),
        (
            json!({"structured_outputs": {"structural_tag": "{}"}}),
            "`structured_outputs.structural_tag` is not supported",
        ),
        (
            json!({"structured_outputs": {"regex": "a", "json": {}}}),
            "`structured_outputs.regex` cannot be combined with `structured_outputs.json`",
        ),
        (
            json!({"response_format": {"type": "json_object"}, "guided_regex": "a"}),
            "`guided_regex` cannot be combined with `response_format`",
        ),
    ];
    for (body, problem) in cases {
        let found = read(&body).unwrap_err();
        assert!(found.starts_with(problem), "{body}: {found}");
    }
}
