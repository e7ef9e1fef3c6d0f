//! The bodies of requests, one struct an endpoint. `None` is an absent parameter or `null`.
//!
//! These types are the contract with clients: every parameter that has an effect, or that is refused, is a field. `parse` reports
//! all others as ignored. The types check types only; `validate` checks values.

mod chat_completion;
mod completion;
mod embedding;
mod kaito_chat;
mod message;
mod parse;
mod prompt;
mod response;
mod structured_output;
mod tokenize;
mod tools;

pub(crate) use chat_completion::{ChatCompletionRequest, StreamOptions};
pub(crate) use completion::CompletionRequest;
pub(crate) use embedding::{EmbeddingRequest, EncodingFormat};
pub(crate) use kaito_chat::{GenerateKwargs, KaitoChatRequest};
pub(crate) use message::{Content, ContentPart, Message};
pub(crate) use parse::{parse, parse_value};
pub(crate) use prompt::{Prompt, PromptList, StringList, StringOrList, TokenIds};
pub(crate) use response::{InputContent, InputItem, ResponseInput, ResponseRequest, ResponseTool};
pub(crate) use structured_output::{ResponseFormat, ResponseFormatType, StructuredOutputs};
pub(crate) use tokenize::{DetokenizeRequest, TokenizeRequest};
pub(crate) use tools::{FunctionDefinition, ToolChoice, ToolChoiceMode};
