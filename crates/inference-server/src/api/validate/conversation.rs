//! Conversations, as the text that the chat template makes of them.

use std::sync::Arc;

use model::chat::Conversation;
use serde_json::{Map, Value};

use super::prompts::check_length;
use crate::api::app::App;
use crate::api::error::ApiError;
use crate::api::requests::{Content, ContentPart, Message};
use crate::load::{LoadedModel, SpecialTokens, special_tokens};
use crate::reasoning;

/// Maximum of messages in a conversation.
const MAX_MESSAGES: usize = 4096;

/// The parameters of a conversation.
#[derive(Debug)]
pub(crate) struct ConversationFields {
    pub(crate) messages: Vec<Message>,
    /// Functions for the chat template; see [`ToolFields::offered`](super::ToolFields::offered).
    pub(crate) tools: Option<Vec<Value>>,
    pub(crate) add_generation_prompt: Option<bool>,
    pub(crate) chat_template_kwargs: Option<Map<String, Value>>,
}

/// A conversation as the model gets it.
#[derive(Debug)]
pub(crate) struct ConversationPrompt {
    pub(crate) tokens: Vec<u32>,
    /// True if the chat template has opened the model's reasoning already.
    pub(crate) begins_reasoning: bool,
}

/// Renders a conversation with the chat template, and encodes it.
pub(crate) async fn conversation(
    app: &App,
    model: &Arc<LoadedModel>,
    fields: ConversationFields,
) -> Result<ConversationPrompt, ApiError> {
    let model = Arc::clone(model);
    let work = move || {
        let text = render(&model, fields)?;
        check_length(&model, "messages", &text)?;
        Ok(ConversationPrompt {
            tokens: special_tokens::encode(&model.tokenizer, &text).map_err(ApiError::internal)?,
            begins_reasoning: text.trim_end().ends_with(reasoning::BEGIN),
        })
    };
    app.admission.encode(work).await
}

fn render(model: &LoadedModel, fields: ConversationFields) -> Result<String, ApiError> {
    let template = model
        .template
        .as_ref()
        .ok_or_else(|| ApiError::parameter("messages", "cannot be used: the model has no chat template"))?;
    let count = fields.messages.len();
    if !(1..=MAX_MESSAGES).contains(&count) {
        return Err(ApiError::parameter(
            "messages",
            format!("must have 1 to {MAX_MESSAGES} messages, not {count}"),
        ));
    }
    let is_developer = |message: &Message| message.role == "developer";
    // OpenAI's newer name of the system's role. Most templates refuse roles that they do not know.
    let developer_is_system =
        fields.messages.iter().any(is_developer) && !template.source().contains("developer");
    let template_message = |mut message: Message| {
        if developer_is_system && is_developer(&message) {
            "system".clone_into(&mut message.role);
        }
        template_message(&model.special_tokens, message)
    };
    let conversation = Conversation {
        messages: fields.messages.into_iter().map(template_message).collect(),
        tools: fields.tools,
        add_generation_prompt: fields.add_generation_prompt.unwrap_or(true),
        chat_template_kwargs: fields.chat_template_kwargs.unwrap_or_default(),
    };
    template
        .render(&conversation)
        .map_err(|error| ApiError::parameter("messages", format!("must fit the chat template: {error}")))
}

/// Roles whose texts come from outside the application. Special tokens in them are ordinary text.
const FOREIGN_ROLES: [&str; 5] = ["user", "tool", "function", "ipython", "observation"];

/// Returns a message as templates expect it: with its content as one string.
fn template_message(special_tokens: &SpecialTokens, message: Message) -> Value {
    let mut content = match message.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let texts = parts.into_iter().map(|ContentPart::Text { text }| text);
            texts.collect()
        }
    };
    if FOREIGN_ROLES.contains(&message.role.as_str())
        && let Some(marked) = special_tokens.mark(&content)
    {
        content = marked;
    }
    let mut map = Map::new();
    map.insert("role".to_owned(), message.role.into());
    map.insert("content".to_owned(), content.into());
    map.extend(message.other);
    if let Some(calls) = map.get_mut("tool_calls").and_then(Value::as_array_mut) {
        calls.iter_mut().for_each(parse_arguments);
    }
    Value::Object(map)
}

/// Parses the arguments of a call: clients send them as JSON in a string, and templates print objects.
fn parse_arguments(call: &mut Value) {
    let Some(arguments) = call.pointer_mut("/function/arguments") else {
        return;
    };
    let parsed = arguments
        .as_str()
        .and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    if let Some(parsed) = parsed {
        *arguments = parsed.into();
    }
}
