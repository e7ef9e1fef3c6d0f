//! Fields that prescribe the form of an answer: OpenAI's `response_format`, vLLM's `structured_outputs` and its older spellings.

use serde_json::Value;

use super::App;
use super::body::Body;
use super::error::ApiError;
use crate::grammar::{Constraint, Json, Matcher, Reading, Refusal};
use crate::load::Served;

/// Most texts to choose from.
const CHOICES: usize = 4096;

/// A form, and the field that asks for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form {
    pub(crate) field: &'static str,
    pub(crate) constraint: Constraint,
}

/// The form that a request asks for.
pub(crate) fn of(body: &Body) -> Result<Option<Form>, ApiError> {
    let mut forms = response_format(body)?;
    forms.extend(structured_outputs(body)?);
    forms.extend(guided(body)?);
    let mut forms = forms.into_iter();
    match (forms.next(), forms.next()) {
        (Some(first), Some(second)) => Err(ApiError::field(
            second.field,
            format!(
                "cannot be combined with `{}`: an answer has one form",
                first.field
            ),
        )),
        (form, _) => Ok(form),
    }
}

/// Follows the form from the beginning of an answer.
pub(crate) async fn matcher(app: &App, served: &Served, form: &Form) -> Result<Matcher, ApiError> {
    let refused = |refusal: Refusal| ApiError::field(form.field, refusal);
    let compiler = served
        .guides
        .as_ref()
        .map_err(|refusal| refused(refusal.clone()))?;
    let matcher = compiler.matcher(&form.constraint).await.map_err(refused)?;
    app.metrics.constrained(form.constraint.kind());
    Ok(matcher)
}

fn response_format(body: &Body) -> Result<Vec<Form>, ApiError> {
    let format = body.inner("response_format")?;
    let constraint = match format.text("type")? {
        Some("text") => return Ok(Vec::new()),
        None if body.get("response_format").is_none() => return Ok(Vec::new()),
        Some("json_object") => Form {
            field: "response_format",
            constraint: Constraint::Object,
        },
        Some("json_schema") => {
            let named = format.nested("json_schema", "response_format.json_schema")?;
            let schema = named.get("schema").cloned();
            Form {
                field: "response_format.json_schema.schema",
                constraint: Constraint::Json(Json {
                    schema: schema.ok_or_else(|| named.error("schema", "is missing"))?,
                    reading: Reading {
                        strict: named.flag("strict", false)?,
                        ..Reading::default()
                    },
                }),
            }
        }
        _ => return Err(format.error("type", "is none of `text`, `json_object` and `json_schema`")),
    };
    Ok(vec![constraint])
}

fn structured_outputs(body: &Body) -> Result<Vec<Form>, ApiError> {
    let outputs = body.inner("structured_outputs")?;
    outputs.refuse(&[
        ("structural_tag", Value::Null),
        ("disable_additional_properties", false.into()),
    ])?;
    let reading = Reading {
        strict: false,
        compact: outputs.flag("disable_any_whitespace", false)?,
        blanks: outputs.text("whitespace_pattern")?.map(str::to_owned),
    };
    let names = Names {
        json: ("json", "structured_outputs.json"),
        regex: ("regex", "structured_outputs.regex"),
        choice: ("choice", "structured_outputs.choice"),
        grammar: ("grammar", "structured_outputs.grammar"),
    };
    let mut forms = names.read(&outputs, reading)?;
    if outputs.flag("json_object", false)? {
        forms.push(Form {
            field: "structured_outputs.json_object",
            constraint: Constraint::Object,
        });
    }
    Ok(forms)
}

fn guided(body: &Body) -> Result<Vec<Form>, ApiError> {
    let reading = Reading {
        blanks: body.text("guided_whitespace_pattern")?.map(str::to_owned),
        ..Reading::default()
    };
    let names = Names {
        json: ("guided_json", "guided_json"),
        regex: ("guided_regex", "guided_regex"),
        choice: ("guided_choice", "guided_choice"),
        grammar: ("guided_grammar", "guided_grammar"),
    };
    names.read(body, reading)
}

/// What the four kinds are called: within their object, and in errors.
struct Names {
    json: (&'static str, &'static str),
    regex: (&'static str, &'static str),
    choice: (&'static str, &'static str),
    grammar: (&'static str, &'static str),
}

impl Names {
    fn read(&self, body: &Body, reading: Reading) -> Result<Vec<Form>, ApiError> {
        let mut forms = Vec::new();
        let mut found = |field: &'static str, constraint: Constraint| forms.push(Form { field, constraint });
        if let Some(schema) = body.get(self.json.0) {
            let schema = schema_or_text(schema).map_err(|problem| body.error(self.json.0, problem))?;
            found(self.json.1, Constraint::Json(Json { schema, reading }));
        }
        if let Some(pattern) = body.text(self.regex.0)? {
            found(self.regex.1, Constraint::Regex(pattern.to_owned()));
        }
        match body.get(self.choice.0) {
            None => {}
            Some(Value::Array(list)) if !list.is_empty() => {
                found(
                    self.choice.1,
                    Constraint::Choice(body.texts(self.choice.0, CHOICES)?),
                );
            }
            Some(_) => return Err(body.error(self.choice.0, "is no list of texts")),
        }
        if let Some(grammar) = body.text(self.grammar.0)? {
            found(self.grammar.1, Constraint::Grammar(grammar.to_owned()));
        }
        Ok(forms)
    }
}

/// A schema may come as JSON in a string.
fn schema_or_text(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}")),
        value => Ok(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Option<(&'static str, Constraint)>, String> {
        let body = Body::parse(body.to_string().as_bytes()).unwrap();
        of(&body)
            .map(|form| form.map(|form| (form.field, form.constraint)))
            .map_err(|error| error.message)
    }

    fn schema(strict: bool) -> Constraint {
        Constraint::Json(Json {
            schema: json!({"type": "object"}),
            reading: Reading {
                strict,
                ..Reading::default()
            },
        })
    }

    #[test]
    fn forms_are_read_in_all_their_spellings() {
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
                Some(("response_format", Constraint::Object)),
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
                Some(("structured_outputs.json_object", Constraint::Object)),
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
    fn mistakes_name_their_field() {
        let cases = [
            (
                json!({"response_format": "json"}),
                "`response_format` is no object",
            ),
            (
                json!({"response_format": {}}),
                "`response_format.type` is none of",
            ),
            (
                json!({"response_format": {"type": "yaml"}}),
                "`response_format.type` is none of",
            ),
            (
                json!({"response_format": {"type": "json_schema"}}),
                "`response_format.json_schema.schema` is missing",
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": 1}}}),
                "`response_format.json_schema.strict` is neither",
            ),
            (json!({"guided_json": "{"}), "`guided_json` is no JSON"),
            (json!({"guided_choice": []}), "`guided_choice` is no list"),
            (json!({"guided_choice": "a"}), "`guided_choice` is no list"),
            (
                json!({"structured_outputs": {"choice": [1]}}),
                "`structured_outputs.choice` is neither",
            ),
            (
                json!({"structured_outputs": {"regex": 1}}),
                "`structured_outputs.regex` is no string",
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
}
