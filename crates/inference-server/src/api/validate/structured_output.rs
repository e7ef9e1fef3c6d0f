//! Structured output: the one constraint that a request sets, in any of its spellings.

use serde_json::Value;

use super::numbers::refuse_unless;
use crate::api::error::ApiError;
use crate::api::requests::{ResponseFormat, ResponseFormatType, StringList, StructuredOutputs};
use crate::grammar::{Constraint, GrammarError, JsonConstraint, JsonOptions, Matcher};
use crate::load::LoadedModel;
use crate::metrics::Metrics;

/// Maximum of texts to choose from.
const MAX_CHOICES: usize = 4096;

/// A constraint, and the parameter that sets it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParameterConstraint {
    pub(crate) parameter: &'static str,
    pub(crate) constraint: Constraint,
}

/// The parameters of structured output that the two OpenAI endpoints share.
#[derive(Debug, Default)]
pub(crate) struct ConstraintFields {
    pub(crate) response_format: Option<ResponseFormat>,
    pub(crate) structured_outputs: Option<StructuredOutputs>,
    pub(crate) guided_json: Option<Value>,
    pub(crate) guided_regex: Option<String>,
    pub(crate) guided_choice: Option<StringList>,
    pub(crate) guided_grammar: Option<String>,
    pub(crate) guided_whitespace_pattern: Option<String>,
}

/// Moves the parameters of structured output out of a request; see `generation_fields`.
macro_rules! constraint_fields {
    ($request:ident) => {
        $crate::api::validate::ConstraintFields {
            response_format: $request.response_format,
            structured_outputs: $request.structured_outputs,
            guided_json: $request.guided_json,
            guided_regex: $request.guided_regex,
            guided_choice: $request.guided_choice,
            guided_grammar: $request.guided_grammar,
            guided_whitespace_pattern: $request.guided_whitespace_pattern,
        }
    };
}
pub(crate) use constraint_fields;

impl ConstraintFields {
    /// Returns the constraint of the request, if it has one. Two constraints are an error.
    pub(crate) fn validate(self) -> Result<Option<ParameterConstraint>, ApiError> {
        let mut found = Vec::new();
        found.extend(self.response_format.map(response_format).transpose()?.flatten());
        if let Some(outputs) = self.structured_outputs {
            structured_outputs(outputs, &mut found)?;
        }
        let options = JsonOptions {
            whitespace: self.guided_whitespace_pattern,
            ..JsonOptions::default()
        };
        let guided = Constraints {
            json: ("guided_json", self.guided_json),
            regex: ("guided_regex", self.guided_regex),
            choice: ("guided_choice", self.guided_choice),
            grammar: ("guided_grammar", self.guided_grammar),
        };
        guided.validate(options, &mut found)?;
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => Err(ApiError::parameter(
                second.parameter,
                format!(
                    "cannot be combined with `{}`: a completion has one constraint",
                    first.parameter
                ),
            )),
            (constraint, _) => Ok(constraint),
        }
    }
}

/// Returns a matcher at the beginning of a completion.
pub(crate) async fn matcher(
    model: &LoadedModel,
    metrics: &Metrics,
    constraint: &ParameterConstraint,
) -> Result<Matcher, ApiError> {
    let refused = |error: GrammarError| ApiError::parameter(constraint.parameter, error);
    let compiler = model.grammars.as_ref().map_err(|error| refused(error.clone()))?;
    let matcher = compiler.matcher(&constraint.constraint).await.map_err(refused)?;
    metrics.constrained(constraint.constraint.kind());
    Ok(matcher)
}

fn response_format(format: ResponseFormat) -> Result<Option<ParameterConstraint>, ApiError> {
    match format.format {
        ResponseFormatType::Text => Ok(None),
        ResponseFormatType::JsonObject => Ok(Some(ParameterConstraint {
            parameter: "response_format",
            constraint: Constraint::JsonObject,
        })),
        ResponseFormatType::JsonSchema => {
            let parameter = "response_format.json_schema.schema";
            let (schema, strict) = match format.json_schema {
                Some(named) => (named.schema, named.strict.unwrap_or(false)),
                None => (None, false),
            };
            let schema = schema.ok_or_else(|| ApiError::parameter(parameter, "must be given"))?;
            let options = JsonOptions {
                strict,
                ..JsonOptions::default()
            };
            Ok(Some(ParameterConstraint {
                parameter,
                constraint: Constraint::Json(JsonConstraint { schema, options }),
            }))
        }
    }
}

fn structured_outputs(
    outputs: StructuredOutputs,
    found: &mut Vec<ParameterConstraint>,
) -> Result<(), ApiError> {
    refuse_unless(
        &Value::Null,
        "structured_outputs.structural_tag",
        outputs.structural_tag.as_ref(),
    )?;
    refuse_unless(
        &false.into(),
        "structured_outputs.disable_additional_properties",
        outputs.disable_additional_properties.as_ref(),
    )?;
    let options = JsonOptions {
        strict: false,
        compact: outputs.disable_any_whitespace.unwrap_or(false),
        whitespace: outputs.whitespace_pattern,
    };
    let constraints = Constraints {
        json: ("structured_outputs.json", outputs.json),
        regex: ("structured_outputs.regex", outputs.regex),
        choice: ("structured_outputs.choice", outputs.choice),
        grammar: ("structured_outputs.grammar", outputs.grammar),
    };
    constraints.validate(options, found)?;
    if outputs.json_object.unwrap_or(false) {
        found.push(ParameterConstraint {
            parameter: "structured_outputs.json_object",
            constraint: Constraint::JsonObject,
        });
    }
    Ok(())
}

/// The four constraints that vLLM's two spellings share, each with the name of its parameter.
struct Constraints {
    json: (&'static str, Option<Value>),
    regex: (&'static str, Option<String>),
    choice: (&'static str, Option<StringList>),
    grammar: (&'static str, Option<String>),
}

impl Constraints {
    fn validate(self, options: JsonOptions, found: &mut Vec<ParameterConstraint>) -> Result<(), ApiError> {
        let mut add = |parameter: &'static str, constraint: Constraint| {
            found.push(ParameterConstraint {
                parameter,
                constraint,
            });
        };
        if let (parameter, Some(schema)) = self.json {
            let schema = parse_schema(schema)
                .map_err(|error| ApiError::parameter(parameter, format!("must be JSON: {error}")))?;
            add(parameter, Constraint::Json(JsonConstraint { schema, options }));
        }
        if let (parameter, Some(pattern)) = self.regex {
            add(parameter, Constraint::Regex(pattern));
        }
        if let (parameter, Some(StringList(choices))) = self.choice {
            if !(1..=MAX_CHOICES).contains(&choices.len()) {
                let problem = format!("must have 1 to {MAX_CHOICES} strings, not {}", choices.len());
                return Err(ApiError::parameter(parameter, problem));
            }
            add(parameter, Constraint::Choice(choices));
        }
        if let (parameter, Some(grammar)) = self.grammar {
            add(parameter, Constraint::Grammar(grammar));
        }
        Ok(())
    }
}

/// Parses a schema that comes as JSON in a string.
fn parse_schema(schema: Value) -> serde_json::Result<Value> {
    match schema {
        Value::String(text) => serde_json::from_str(&text),
        schema => Ok(schema),
    }
}

#[cfg(test)]
mod tests;
