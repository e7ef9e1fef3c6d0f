//! Functions that a model may call.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Choice between text and tool calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "ToolChoiceSpelling")]
pub(crate) enum ToolChoice {
    Mode(ToolChoiceMode),
    /// The named function must be called.
    Function(String),
}

/// Choice that names no function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToolChoiceMode {
    /// The model decides.
    Auto,
    /// No function may be called.
    None,
    /// At least one function must be called.
    Required,
}

impl ToolChoice {
    /// Returns the choice as clients write it.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Mode(ToolChoiceMode::Auto) => "auto".into(),
            Self::Mode(ToolChoiceMode::None) => "none".into(),
            Self::Mode(ToolChoiceMode::Required) => "required".into(),
            Self::Function(name) => json!({"type": "function", "name": name}),
        }
    }
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "must be `auto`, `none`, `required` or an object with the name of a function"
)]
enum ToolChoiceSpelling {
    Mode(ToolChoiceMode),
    Function {
        #[serde(rename = "type")]
        _type: FunctionType,
        function: NamedFunction,
    },
    /// Older clients write the name beside the type.
    Flat {
        #[serde(rename = "type")]
        _type: FunctionType,
        name: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FunctionType {
    Function,
}

#[derive(Deserialize)]
struct NamedFunction {
    name: String,
}

impl From<ToolChoiceSpelling> for ToolChoice {
    fn from(spelling: ToolChoiceSpelling) -> Self {
        match spelling {
            ToolChoiceSpelling::Mode(mode) => Self::Mode(mode),
            ToolChoiceSpelling::Function { function, .. } => Self::Function(function.name),
            ToolChoiceSpelling::Flat { name, .. } => Self::Function(name),
        }
    }
}

/// The part of an entry of `tools` that this server reads, where a call is required. The chat template gets the entry as sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct FunctionDefinition {
    pub(crate) name: String,
    #[serde(rename = "description")]
    _description: Option<Value>,
    /// JSON schema of the arguments.
    pub(crate) parameters: Option<Map<String, Value>>,
    pub(crate) strict: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_mode_or_a_function() {
        let function = Some(ToolChoice::Function("f".to_owned()));
        let cases = [
            (json!("auto"), Some(ToolChoice::Mode(ToolChoiceMode::Auto))),
            (json!("none"), Some(ToolChoice::Mode(ToolChoiceMode::None))),
            (
                json!("required"),
                Some(ToolChoice::Mode(ToolChoiceMode::Required)),
            ),
            (
                json!({"type": "function", "function": {"name": "f"}}),
                function.clone(),
            ),
            (json!({"type": "function", "name": "f"}), function),
            (json!("any"), None),
            (json!(1), None),
            (json!({"type": "function"}), None),
            (json!({"type": "allowed_tools", "function": {"name": "f"}}), None),
        ];
        for (value, expected) in cases {
            assert_eq!(serde_json::from_value(value.clone()).ok(), expected, "{value}");
        }
        let absent: Option<ToolChoice> = serde_json::from_value(json!(null)).unwrap();
        assert_eq!(absent, None);
    }
}
