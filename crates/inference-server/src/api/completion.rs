//! Requests to the engine and what comes back, for all generating endpoints.

use futures::stream::{SelectAll, Stream, StreamExt as _, select_all};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::App;
use super::error::ApiError;
use crate::engine::scheduler::Refusal;
use crate::engine::{End, Event, Reason, Rejected, Request, Token};
use crate::load::Served;

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) end: End,
}

/// Starts all requests, or none.
pub(crate) async fn start(
    app: &App,
    served: &Served,
    requests: Vec<Request>,
) -> Result<Vec<UnboundedReceiver<Event>>, ApiError> {
    let mut receivers = Vec::with_capacity(requests.len());
    for request in requests {
        // Those that were started are cancelled by dropping their receivers.
        let receiver = served
            .engine
            .submit(request)
            .await
            .map_err(|rejected| refusal(app, rejected))?;
        receivers.push(receiver);
    }
    Ok(receivers)
}

fn refusal(app: &App, rejected: Rejected) -> ApiError {
    match rejected {
        Rejected::Refused(Refusal::QueueFull) => {
            app.metrics.rejected();
            ApiError::too_many()
        }
        Rejected::Refused(Refusal::TooLarge) => ApiError::field(
            "max_tokens",
            "together with the prompt is more than the server's cache holds: ask for less, or raise --cache-mib",
        ),
        Rejected::Gone => ApiError::internal("the engine has ended; the log says why"),
    }
}

/// Waits for all answers, in order.
pub(crate) async fn collect(receivers: Vec<UnboundedReceiver<Event>>) -> Result<Vec<Answer>, ApiError> {
    futures::future::try_join_all(receivers.into_iter().map(whole)).await
}

async fn whole(mut receiver: UnboundedReceiver<Event>) -> Result<Answer, ApiError> {
    let (mut text, mut tokens) = (String::new(), Vec::new());
    while let Some(event) = receiver.recv().await {
        match event {
            Event::Token(token) => {
                text.push_str(&token.text);
                tokens.push(token);
            }
            Event::End(End {
                problem: Some(problem),
                ..
            }) => return Err(ApiError::stuck(problem)),
            Event::End(end) if end.reason == Reason::Failed => break,
            Event::End(end) => {
                text.push_str(&end.text);
                return Ok(Answer { text, tokens, end });
            }
        }
    }
    Err(ApiError::internal("the answer broke off; the log says why"))
}

/// What a stream tells instead of its last chunk, when the form that was asked for could not be followed.
pub(crate) fn failure(end: &End) -> Option<serde_json::Value> {
    end.problem
        .as_ref()
        .map(|problem| ApiError::stuck(problem).json())
}

type Indexed = futures::stream::BoxStream<'static, (usize, Event)>;

/// Events of all choices as they come, each with the number of its choice.
pub(crate) fn merged(receivers: Vec<UnboundedReceiver<Event>>) -> SelectAll<Indexed> {
    let numbered = receivers.into_iter().enumerate();
    select_all(numbered.map(|(index, receiver)| {
        UnboundedReceiverStream::new(receiver)
            .map(move |event| (index, event))
            .boxed()
    }))
}

/// Sums up how many tokens there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) prompt: usize,
    pub(crate) generated: usize,
    pub(crate) cached: usize,
}

impl Usage {
    pub(crate) fn add(&mut self, end: &End) {
        self.generated += end.generated;
        self.cached = self.cached.max(end.cached);
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

/// A stream of server-sent events that ends with `[DONE]`.
pub(crate) fn sse(
    chunks: impl Stream<Item = serde_json::Value> + Send + 'static,
) -> axum::response::sse::Sse<impl Stream<Item = Result<axum::response::sse::Event, std::convert::Infallible>>>
{
    use axum::response::sse::{Event as Sent, KeepAlive, Sse};
    let data = chunks.map(|chunk| Sent::default().data(chunk.to_string()));
    let done = futures::stream::once(async { Sent::default().data("[DONE]") });
    // A comment now and then, so that a proxy does not take a long prompt for a dead connection.
    Sse::new(data.chain(done).map(Ok)).keep_alive(KeepAlive::default())
}
