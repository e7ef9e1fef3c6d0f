//! The model on its own thread: requests in, tokens out.
//!
//! The thread repeats four steps: take requests, admit sequences, run one step of the model for all of them, and send tokens.
//! Canceled requests are dropped before the next step. `scheduler` decides which tokens go into a step.

mod mean_pooling;
mod prefix_cache;
mod request;
mod scheduler;
mod sequence;
mod stop_strings;
mod worker;

use std::sync::Arc;
use std::sync::mpsc;

use model::Tokenizer;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::progress::EngineProgress;
pub(crate) use request::{AdaptedModel, CacheScope, CompletionEvent, Finish, FinishReason, Request, Token};
pub(crate) use scheduler::{AdmissionError, SchedulerLimits};
use worker::{EngineCommand, Worker};

/// Reason for a request that the engine did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubmitError {
    /// The scheduler refused it.
    Admission(AdmissionError),
    /// The thread has ended.
    Stopped,
}

/// Handle of the thread, which ends when the last handle is dropped and all completions are sent.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    commands: mpsc::Sender<EngineCommand>,
    ended: CancellationToken,
    progress: EngineProgress,
}

impl Engine {
    /// Starts the thread.
    pub(crate) fn start(
        model: AdaptedModel,
        tokenizer: Arc<Tokenizer>,
        pool: rayon::ThreadPool,
        limits: SchedulerLimits,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let progress = EngineProgress::new();
        let worker = Worker::new(model, tokenizer, limits, (metrics, progress.clone()), inbox);
        let ended = CancellationToken::new();
        // Dropped when the thread returns or panics.
        let guard = ended.clone().drop_guard();
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let _guard = guard;
                pool.install(|| worker.run());
            })?;
        Ok(Self {
            commands,
            ended,
            progress,
        })
    }

    /// Returns a token that is canceled when the thread has ended. Without it no request is answered any more.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Progress of the thread.
    pub(crate) fn progress(&self) -> &EngineProgress {
        &self.progress
    }

    /// Submits a request. Dropping the receiver cancels it. The channel holds at most the tokens of one completion.
    pub(crate) async fn submit(
        &self,
        request: Request,
    ) -> Result<UnboundedReceiver<CompletionEvent>, SubmitError> {
        let (reply, accepted) = oneshot::channel();
        self.commands
            .send(EngineCommand {
                request,
                reply,
                in_flight: self.progress.begin(),
            })
            .map_err(|_| SubmitError::Stopped)?;
        accepted
            .await
            .map_err(|_| SubmitError::Stopped)?
            .map_err(SubmitError::Admission)
    }
}

#[cfg(test)]
mod tests;
