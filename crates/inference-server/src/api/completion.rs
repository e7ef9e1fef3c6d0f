//! Completions from the engine, for all endpoints that generate.

use futures::stream::{SelectAll, Stream, StreamExt as _, select_all};
use model::sampling::LogProbs;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::app::App;
use super::error::ApiError;
use crate::engine::{AdmissionError, CompletionEvent, Finish, FinishReason, Request, SubmitError, Token};
use crate::load::LoadedModel;

/// A finished completion.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    /// See [`CompletionEvent::Prompt`].
    pub(crate) prompt: Vec<LogProbs>,
    pub(crate) finish: Finish,
}

/// Starts all requests, or none.
pub(crate) async fn start(
    app: &App,
    model: &LoadedModel,
    requests: Vec<Request>,
) -> Result<Vec<UnboundedReceiver<CompletionEvent>>, ApiError> {
    let mut receivers = Vec::with_capacity(requests.len());
    for request in requests {
        // After an error the receivers of the requests before it are dropped, which cancels them.
        let receiver = model
            .engine
            .submit(request)
            .await
            .map_err(|error| refused(app, error))?;
        receivers.push(receiver);
    }
    Ok(receivers)
}

fn refused(app: &App, error: SubmitError) -> ApiError {
    match error {
        SubmitError::Admission(AdmissionError::QueueFull) => {
            app.metrics.rejected();
            ApiError::too_many()
        }
        SubmitError::Admission(AdmissionError::TooLarge) => ApiError::parameter(
            "max_tokens",
            "must fit the server's cache together with the prompt: request less, or raise --cache-mib",
        ),
        SubmitError::Stopped => ApiError::internal("the engine has ended; see the log"),
    }
}

/// Waits for all completions, in order.
pub(crate) async fn collect(
    receivers: Vec<UnboundedReceiver<CompletionEvent>>,
) -> Result<Vec<Completion>, ApiError> {
    futures::future::try_join_all(receivers.into_iter().map(finished)).await
}

async fn finished(mut receiver: UnboundedReceiver<CompletionEvent>) -> Result<Completion, ApiError> {
    let (mut text, mut tokens, mut prompt) = (String::new(), Vec::new(), Vec::new());
    while let Some(event) = receiver.recv().await {
        match event {
            CompletionEvent::Prompt(log_probs) => prompt = log_probs,
            CompletionEvent::Token(token) => {
                text.push_str(&token.text);
                tokens.push(token);
            }
            CompletionEvent::Finish(Finish {
                constraint_error: Some(error),
                ..
            }) => return Err(ApiError::constraint_failed(error)),
            CompletionEvent::Finish(finish) if finish.reason == FinishReason::Failed => break,
            CompletionEvent::Finish(finish) => {
                text.push_str(&finish.text);
                return Ok(Completion {
                    text,
                    tokens,
                    prompt,
                    finish,
                });
            }
        }
    }
    Err(failed())
}

fn failed() -> ApiError {
    ApiError::internal("the completion failed; see the log")
}

/// Returns the last chunk of a stream that failed.
pub(crate) fn failure(finish: &Finish) -> Option<serde_json::Value> {
    match &finish.constraint_error {
        Some(error) => Some(ApiError::constraint_failed(error).json()),
        None => (finish.reason == FinishReason::Failed).then(|| failed().json()),
    }
}

type Indexed = futures::stream::BoxStream<'static, (usize, CompletionEvent)>;

/// Returns the events of all choices as they come, each with the index of its choice.
pub(crate) fn merged(receivers: Vec<UnboundedReceiver<CompletionEvent>>) -> SelectAll<Indexed> {
    let numbered = receivers.into_iter().enumerate();
    select_all(numbered.map(|(index, receiver)| {
        UnboundedReceiverStream::new(receiver)
            .map(move |event| (index, event))
            .boxed()
    }))
}

/// Numbers of tokens of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    prompt: usize,
    generated: usize,
    cached: usize,
}

impl Usage {
    pub(crate) fn of_prompt(prompt: usize) -> Self {
        Self {
            prompt,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, finish: &Finish) {
        self.generated += finish.generated;
        self.cached = self.cached.max(finish.cached);
    }

    /// Returns the numbers in the shape of `/v1/responses`.
    pub(crate) fn response_json(self) -> serde_json::Value {
        serde_json::json!({
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.generated,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.prompt + self.generated,
        })
    }

    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.generated,
            "total_tokens": self.prompt + self.generated,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        })
    }
}

/// Returns a stream of server-sent events that ends with `[DONE]`.
pub(crate) fn sse(
    chunks: impl Stream<Item = serde_json::Value> + Send + 'static,
) -> axum::response::sse::Sse<impl Stream<Item = Result<axum::response::sse::Event, std::convert::Infallible>>>
{
    use axum::response::sse::{Event as Sent, KeepAlive, Sse};
    let data = chunks.map(|chunk| Sent::default().data(chunk.to_string()));
    let done = futures::stream::once(async { Sent::default().data("[DONE]") });
    // Comments keep the connection alive, so that a proxy does not close it during a long prompt.
    Sse::new(data.chain(done).map(Ok)).keep_alive(KeepAlive::default())
}
