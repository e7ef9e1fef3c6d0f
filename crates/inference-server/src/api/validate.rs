//! Validation: from the parsed body of a request to requests for the engine. Every error names the path of its parameter.

mod conversation;
mod numbers;
mod prompts;
mod sampling;
mod structured_output;
mod tools;
mod unsupported;

pub(crate) use conversation::{ConversationFields, conversation};
pub(crate) use numbers::{count, number, refuse_unless};
pub(crate) use prompts::{check_tokens, embedding, encode};
pub(crate) use sampling::{GenerationFields, GenerationOptions, generation_fields, strings};
pub(crate) use structured_output::{ConstraintFields, ParameterConstraint, constraint_fields, matcher};
pub(crate) use tools::{ToolFields, hidden_ids, visible_markers};
pub(crate) use unsupported::{UnsupportedFields, refuse_unsupported, unsupported_fields};
