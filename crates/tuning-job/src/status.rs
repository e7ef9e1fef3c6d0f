//! HTTP status of the program: `/metrics` as JSON, or for Prometheus by `Accept`; `/health`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use telemetry::{Counter, Gauge, Metrics, host};

use crate::train::TrainingProgress;

/// Content type of OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Status of the run; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct JobStatus {
    metrics: Metrics,
    step: Gauge<0>,
    max_steps: Gauge<0>,
    epoch: Gauge<0>,
    loss: Gauge<0>,
    eval_loss: Gauge<0>,
    grad_norm: Gauge<0>,
    learning_rate: Gauge<0>,
    load_ratio: Gauge<0>,
    tokens: Counter<0>,
    checkpoints: Counter<0>,
    now: Arc<Mutex<(&'static str, TrainingProgress)>>,
}

impl JobStatus {
    pub(crate) fn new() -> Self {
        let metrics = Metrics::new();
        metrics.build_info("tuning-job", env!("CARGO_PKG_VERSION"));
        let gauge = |name: &str, help: &str| metrics.gauge(&format!("kaito_tuning_{name}"), help, []);
        let status = Self {
            step: gauge("step", "Completed steps."),
            max_steps: gauge("max_steps", "Steps of the whole run."),
            epoch: gauge("epoch", "Completed epochs."),
            loss: gauge("loss", "Mean loss of a token since the last progress line."),
            eval_loss: gauge("eval_loss", "Mean loss of a token of the evaluation set."),
            grad_norm: gauge("grad_norm", "Norm of the last gradient."),
            learning_rate: gauge("learning_rate", "Learning rate of the last step."),
            load_ratio: gauge("model_load_ratio", "Loaded share of the weights, from 0 to 1."),
            tokens: metrics.counter("kaito_tuning_tokens", "Computed tokens.", []),
            checkpoints: metrics.counter("kaito_tuning_checkpoints", "Written checkpoints.", []),
            now: Arc::new(Mutex::new(("starting", TrainingProgress::default()))),
            metrics,
        };
        status.tokens.add([], 0);
        status.checkpoints.add([], 0);
        status.set_load_ratio(0.0);
        status.set_progress(&TrainingProgress::default());
        status
    }

    /// Sets the phase that `/health` reports.
    pub(crate) fn set_phase(&self, phase: &'static str) {
        self.lock().0 = phase;
    }

    pub(crate) fn set_load_ratio(&self, ratio: f32) {
        self.load_ratio.set([], f64::from(ratio));
    }

    pub(crate) fn count_checkpoint(&self) {
        self.checkpoints.inc([]);
    }

    pub(crate) fn on_step_end(&self, progress: &TrainingProgress) {
        self.tokens
            .add([], progress.tokens.saturating_sub(self.lock().1.tokens));
        self.set_progress(progress);
    }

    fn set_progress(&self, progress: &TrainingProgress) {
        self.lock().1 = *progress;
        self.step.set([], progress.step as f64);
        self.max_steps.set([], progress.max_steps as f64);
        self.epoch.set([], progress.epoch);
        self.loss.set([], progress.loss);
        self.grad_norm.set([], progress.grad_norm);
        self.learning_rate.set([], progress.learning_rate);
        if let Some(loss) = progress.eval_loss {
            self.eval_loss.set([], loss);
        }
    }

    fn lock(&self) -> MutexGuard<'_, (&'static str, TrainingProgress)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/metrics/prometheus", get(prometheus))
            .route("/health", get(health))
            .route("/healthz", get(health))
            .with_state(self)
    }
}

async fn metrics(State(status): State<JobStatus>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accept.contains("openmetrics") || accept.contains("text/plain") {
        return prometheus(State(status)).await;
    }
    Json(host::report().await).into_response()
}

async fn prometheus(State(status): State<JobStatus>) -> Response {
    match status.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(status): State<JobStatus>) -> Response {
    let (phase, progress) = *status.lock();
    Json(json!({"status": phase, "step": progress.step, "steps": progress.max_steps})).into_response()
}
