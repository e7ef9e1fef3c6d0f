//! Tool calls: the functions that a model may call, and the grammar for calls that are required.

use serde_json::Value;

use super::structured_output::ParameterConstraint;
use crate::api::error::ApiError;
use crate::api::requests::{FunctionDefinition, ToolChoice, ToolChoiceMode, parse_value};
use crate::grammar::{CallableFunction, Constraint, Marker, ToolCallGrammar};
use crate::load::LoadedModel;
use crate::tool_calls::{ToolCallFormat, ToolCallParser};

/// Maximum of functions where a call is required, as in OpenAI's API.
const MAX_FUNCTIONS: usize = 128;

/// The parameters of tool calls.
#[derive(Debug)]
pub(crate) struct ToolFields {
    tools: Vec<Value>,
    choice: ToolChoice,
    parallel: bool,
}

impl ToolFields {
    pub(crate) fn new(tools: Option<Vec<Value>>, choice: Option<ToolChoice>, parallel: Option<bool>) -> Self {
        Self {
            tools: tools.unwrap_or_default(),
            choice: choice.unwrap_or(ToolChoice::Mode(ToolChoiceMode::Auto)),
            parallel: parallel.unwrap_or(true),
        }
    }

    /// Returns the functions that the chat template describes to the model, as the client sent them.
    pub(crate) fn offered(&self) -> Option<Vec<Value>> {
        let may_call = self.choice != ToolChoice::Mode(ToolChoiceMode::None);
        (may_call && !self.tools.is_empty()).then(|| self.tools.clone())
    }

    /// Returns a parser of calls, if there are functions and the format of calls is known.
    pub(crate) fn parser(&self, model: &LoadedModel) -> Option<(ToolCallFormat, ToolCallParser)> {
        let format = match self.choice {
            ToolChoice::Mode(ToolChoiceMode::Required) | ToolChoice::Function(_) => required_format(model),
            ToolChoice::Mode(ToolChoiceMode::Auto | ToolChoiceMode::None) => model.tool_call_format?,
        };
        let tools = self.offered()?;
        let known = tools.iter().filter_map(name).map(str::to_owned).collect();
        Some((format, ToolCallParser::new(format, known, self.parallel)))
    }

    /// Returns the constraint for a completion that must consist of calls, if it must.
    pub(crate) fn required(
        &self,
        model: &LoadedModel,
        ignored: &mut dyn FnMut(&str),
    ) -> Result<Option<ParameterConstraint>, ApiError> {
        let only = match &self.choice {
            ToolChoice::Mode(ToolChoiceMode::Auto | ToolChoiceMode::None) => return Ok(None),
            ToolChoice::Mode(ToolChoiceMode::Required) => None,
            ToolChoice::Function(name) => Some(name.as_str()),
        };
        if self.tools.is_empty() {
            return Err(ApiError::parameter(
                "tool_choice",
                "requires a call, so `tools` must not be empty",
            ));
        }
        let mut functions = functions(&self.tools, ignored)?;
        if let Some(only) = only {
            functions.retain(|function| function.name == only);
            functions.truncate(1);
            if functions.is_empty() {
                return Err(ApiError::parameter(
                    "tool_choice",
                    format!("must be a function of `tools`, not `{only}`"),
                ));
            }
        }
        let format = required_format(model);
        let marker = |text: &'static str| {
            let special = model.tokenizer.token_to_id(text);
            match special.filter(|id| is_hidden(model, *id)) {
                Some(id) => Marker::Token(id),
                None => Marker::Text(text),
            }
        };
        let grammar = ToolCallGrammar {
            format,
            markers: format.markers().into_iter().map(marker).collect(),
            functions,
            parallel: only.is_none() && self.parallel,
        };
        Ok(Some(ParameterConstraint {
            parameter: "tools",
            constraint: Constraint::ToolCalls(grammar),
        }))
    }
}

/// Returns the special tokens that mark calls in a format, which the text would lack otherwise.
pub(crate) fn visible_markers(model: &LoadedModel, format: ToolCallFormat) -> Vec<u32> {
    hidden_ids(model, format.markers())
}

/// Returns the special tokens among these texts.
pub(crate) fn hidden_ids(model: &LoadedModel, texts: impl IntoIterator<Item = &'static str>) -> Vec<u32> {
    let texts = texts.into_iter();
    let ids = texts.filter_map(|text| model.tokenizer.token_to_id(text));
    ids.filter(|id| is_hidden(model, *id)).collect()
}

/// Returns the format of required calls: the model's own, or the plainest one.
fn required_format(model: &LoadedModel) -> ToolCallFormat {
    model.tool_call_format.unwrap_or(ToolCallFormat::Bare)
}

fn is_hidden(model: &LoadedModel, id: u32) -> bool {
    let text = model.tokenizer.decode(&[id], true);
    text.is_ok_and(|text| text.is_empty())
}

/// Returns the name of a function. Older clients write it beside the type.
fn name(tool: &Value) -> Option<&str> {
    let name = tool.pointer("/function/name").or_else(|| tool.get("name"));
    name.and_then(Value::as_str)
}

fn functions(tools: &[Value], ignored: &mut dyn FnMut(&str)) -> Result<Vec<CallableFunction>, ApiError> {
    if tools.len() > MAX_FUNCTIONS {
        return Err(ApiError::parameter(
            "tools",
            format!(
                "must have at most {MAX_FUNCTIONS} functions where a call is required, not {}",
                tools.len()
            ),
        ));
    }
    let function = |(index, tool): (usize, &Value)| {
        let path = format!("tools[{index}].function");
        let mut definition = tool
            .get("function")
            .cloned()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if let (Some(map), Some(name)) = (definition.as_object_mut(), name(tool)) {
            map.entry("name").or_insert_with(|| name.into());
        }
        let definition: FunctionDefinition = parse_value(definition, &path, ignored)?;
        Ok(CallableFunction {
            name: definition.name,
            parameters: definition.parameters.map(Value::Object),
            strict: definition.strict.unwrap_or(false),
        })
    };
    tools.iter().enumerate().map(function).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_need_names_and_schemas() {
        let tool = |function: Value| json!({"type": "function", "function": function});
        let good = [
            tool(json!({"name": "a"})),
            tool(json!({"name": "b", "parameters": {}, "strict": true, "x": 1})),
            json!({"type": "function", "name": "c"}),
        ];
        let mut ignored = Vec::new();
        let read = functions(&good, &mut |name| ignored.push(name.to_owned())).unwrap();
        assert_eq!((read[0].parameters.clone(), read[0].strict), (None, false));
        assert_eq!(
            (read[1].parameters.clone(), read[1].strict),
            (Some(json!({})), true)
        );
        assert_eq!(
            (read[2].name.as_str(), ignored),
            ("c", vec!["tools[1].function.x".to_owned()])
        );
        let cases = [
            (vec![tool(json!({}))], "tools[0].function.name"),
            (
                vec![tool(json!({"name": "a", "parameters": []}))],
                "tools[0].function.parameters",
            ),
            (vec![tool(json!({"name": "a"})); MAX_FUNCTIONS + 1], "tools"),
        ];
        for (tools, parameter) in cases {
            let error = functions(&tools, &mut |_| {}).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(parameter));
        }
    }
}
