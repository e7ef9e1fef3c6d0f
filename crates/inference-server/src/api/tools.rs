//! Fields about functions: which there are, whether one has to be called, and how calls are read.

use serde_json::Value;

use super::body::Body;
use super::error::ApiError;
use super::structured_output;
use crate::grammar::{Calls, Constraint, Function, Mark};
use crate::load::Served;
use crate::tool_calls::{Form, Reader};

/// Most functions, where one has to be called: as OpenAI has it.
const FUNCTIONS: usize = 128;

/// Whether the model calls a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// As it likes.
    Auto,
    Never,
    /// Any of them.
    Required,
    /// This one.
    Named(String),
}

impl Choice {
    pub(crate) fn parse(body: &Body) -> Result<Self, ApiError> {
        let wrong = || {
            body.error(
                "tool_choice",
                "is none of `auto`, `none`, `required` and a function's name",
            )
        };
        match body.get("tool_choice") {
            None => Ok(Self::Auto),
            Some(Value::String(word)) => match word.as_str() {
                "auto" => Ok(Self::Auto),
                "none" => Ok(Self::Never),
                "required" => Ok(Self::Required),
                _ => Err(wrong()),
            },
            Some(choice) => {
                let is_function = choice.get("type").and_then(Value::as_str) == Some("function");
                let name = name(choice).filter(|_| is_function);
                Ok(Self::Named(name.ok_or_else(wrong)?.to_owned()))
            }
        }
    }
}

/// The name of a function, which older clients put beside its type.
fn name(tool: &Value) -> Option<&str> {
    let name = tool.pointer("/function/name").or_else(|| tool.get("name"));
    name.and_then(Value::as_str)
}

/// The functions the model is told of.
pub(crate) fn tools(body: &Body) -> Result<Option<Vec<Value>>, ApiError> {
    let may = Choice::parse(body)? != Choice::Never;
    match body.get("tools") {
        None => Ok(None),
        Some(Value::Array(tools)) if tools.is_empty() || !may => Ok(None),
        Some(Value::Array(tools)) => Ok(Some(tools.clone())),
        Some(_) => Err(body.error("tools", "is no list")),
    }
}

/// How to read calls, if there are functions and the model writes calls in a form that is known or prescribed.
pub(crate) fn reader(served: &Served, body: &Body) -> Result<Option<(Form, Reader)>, ApiError> {
    let form = match Choice::parse(body)? {
        Choice::Required | Choice::Named(_) => Some(prescribed(served)),
        Choice::Auto | Choice::Never => served.calls,
    };
    let several = body.flag("parallel_tool_calls", true)?;
    let (Some(form), Some(tools)) = (form, tools(body)?) else {
        return Ok(None);
    };
    let known = tools.iter().filter_map(name).map(str::to_owned).collect();
    Ok(Some((form, Reader::new(form, known, several))))
}

/// The form of calls where they are prescribed: the model's own, or the plainest.
fn prescribed(served: &Served) -> Form {
    served.calls.unwrap_or(Form::Bare)
}

/// Tokens that mark calls and that a text would lack, as they are special.
pub(crate) fn marks(served: &Served, form: Form) -> Vec<u32> {
    let ids = form
        .marks()
        .into_iter()
        .filter_map(|mark| served.tokenizer.token_to_id(mark));
    ids.filter(|id| is_hidden(served, *id)).collect()
}

fn is_hidden(served: &Served, id: u32) -> bool {
    let text = served.tokenizer.decode(&[id], true);
    text.is_ok_and(|text| text.is_empty())
}

/// The calls that an answer has to consist of, if it has to.
pub(crate) fn required(served: &Served, body: &Body) -> Result<Option<structured_output::Form>, ApiError> {
    let choice = Choice::parse(body)?;
    let only = match &choice {
        Choice::Auto | Choice::Never => return Ok(None),
        Choice::Required => None,
        Choice::Named(name) => Some(name.as_str()),
    };
    let tools = tools(body)?
        .ok_or_else(|| body.error("tool_choice", "asks for a call, and `tools` holds no function"))?;
    let mut functions = functions(&tools)?;
    if let Some(only) = only {
        functions.retain(|function| function.name == only);
        functions.truncate(1);
        if functions.is_empty() {
            return Err(body.error(
                "tool_choice",
                format!("asks for `{only}`, which is not among `tools`"),
            ));
        }
    }
    let form = prescribed(served);
    let mark = |text: &'static str| match served
        .tokenizer
        .token_to_id(text)
        .filter(|id| is_hidden(served, *id))
    {
        Some(id) => Mark::Token(id),
        None => Mark::Text(text),
    };
    let calls = Calls {
        form,
        marks: form.marks().into_iter().map(mark).collect(),
        functions,
        several: only.is_none() && body.flag("parallel_tool_calls", true)?,
    };
    Ok(Some(structured_output::Form {
        field: "tools",
        constraint: Constraint::Calls(calls),
    }))
}

fn functions(tools: &[Value]) -> Result<Vec<Function>, ApiError> {
    if tools.len() > FUNCTIONS {
        let problem = format!(
            "holds {} functions: at most {FUNCTIONS} where one has to be called",
            tools.len()
        );
        return Err(ApiError::field("tools", problem));
    }
    let function = |(index, tool): (usize, &Value)| {
        let wrong =
            |field: &str, problem: &str| ApiError::field(format!("tools[{index}].function.{field}"), problem);
        let field = |field: &str| {
            tool.pointer(&format!("/function/{field}"))
                .filter(|value| !value.is_null())
        };
        let parameters = field("parameters");
        if parameters.is_some_and(|schema| !schema.is_object()) {
            return Err(wrong("parameters", "is no schema of an object"));
        }
        Ok(Function {
            name: name(tool)
                .ok_or_else(|| wrong("name", "is missing or no string"))?
                .to_owned(),
            parameters: parameters.cloned(),
            strict: field("strict").and_then(Value::as_bool).unwrap_or(false),
        })
    };
    tools.iter().enumerate().map(function).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn choices_are_words_or_names() {
        let named = |name: &str| Some(Choice::Named(name.to_owned()));
        let cases = [
            (json!(null), Some(Choice::Auto)),
            (json!("auto"), Some(Choice::Auto)),
            (json!("none"), Some(Choice::Never)),
            (json!("required"), Some(Choice::Required)),
            (json!({"type": "function", "function": {"name": "f"}}), named("f")),
            (json!({"type": "function", "name": "f"}), named("f")),
            (json!("any"), None),
            (json!(1), None),
            (json!({"type": "function"}), None),
            (json!({"type": "allowed_tools", "function": {"name": "f"}}), None),
        ];
        for (value, expected) in cases {
            let body = Body::parse(json!({"tool_choice": value}).to_string().as_bytes()).unwrap();
            assert_eq!(Choice::parse(&body).ok(), expected, "{value}");
        }
    }

    #[test]
    fn functions_need_names_and_schemas() {
        let tool = |function: Value| json!({"type": "function", "function": function});
        let good = [
            tool(json!({"name": "a"})),
            tool(json!({"name": "b", "parameters": {}, "strict": true})),
        ];
        let read = functions(&good).unwrap();
        assert_eq!((read[0].parameters.clone(), read[0].strict), (None, false));
        assert_eq!(
            (read[1].parameters.clone(), read[1].strict),
            (Some(json!({})), true)
        );
        let cases = [
            (vec![tool(json!({}))], "tools[0].function.name"),
            (
                vec![tool(json!({"name": "a", "parameters": []}))],
                "tools[0].function.parameters",
            ),
            (vec![tool(json!({"name": "a"})); FUNCTIONS + 1], "tools"),
        ];
        for (tools, field) in cases {
            assert_eq!(functions(&tools).unwrap_err().param.as_deref(), Some(field));
        }
    }
}
