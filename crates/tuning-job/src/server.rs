//! What the program shows of itself on port 5000: `/metrics` as JSON, or for Prometheus by `Accept`; `/health`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use telemetry::{Counter, Gauge, Metrics};

use crate::train::Progress;
use telemetry::host;

/// What OpenMetrics text is served as.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the run is; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    metrics: Metrics,
    step: Gauge<0>,
    steps: Gauge<0>,
    epoch: Gauge<0>,
    loss: Gauge<0>,
    evaluated: Gauge<0>,
    grad_norm: Gauge<0>,
    learning_rate: Gauge<0>,
    loading: Gauge<0>,
    tokens: Counter<0>,
    checkpoints: Counter<0>,
    now: Arc<Mutex<(&'static str, Progress)>>,
}

impl Shown {
    pub(crate) fn new() -> Self {
        let metrics = Metrics::new();
        let gauge = |name: &str, help: &str| metrics.gauge(&format!("kaito_tuning_{name}"), help, []);
        let shown = Self {
            step: gauge("step", "Steps that are done"),
            steps: gauge("steps_planned", "Steps in all"),
            epoch: gauge("epoch", "Passes over the data that are done"),
            loss: gauge("loss", "Mean loss of a token since the last progress line"),
            evaluated: gauge("eval_loss", "Mean loss of a token of the held-out part"),
            grad_norm: gauge("grad_norm", "Length of the last derivative"),
            learning_rate: gauge("learning_rate", "Learning rate of the last step"),
            loading: gauge(
                "model_load_progress",
                "Share of the weights that is loaded, 0 to 1",
            ),
            tokens: metrics.counter("kaito_tuning_tokens", "Tokens computed", []),
            checkpoints: metrics.counter("kaito_tuning_checkpoints", "Checkpoints written", []),
            now: Arc::new(Mutex::new(("starting", Progress::default()))),
            metrics,
        };
        shown.tokens.add([], 0);
        shown.checkpoints.add([], 0);
        shown.loaded(0.0);
        shown.set(&Progress::default());
        shown
    }

    /// Says what the program does.
    pub(crate) fn phase(&self, phase: &'static str) {
        self.lock().0 = phase;
    }

    pub(crate) fn loaded(&self, share: f32) {
        self.loading.set([], f64::from(share));
    }

    pub(crate) fn saved(&self) {
        self.checkpoints.inc([]);
    }

    pub(crate) fn stepped(&self, progress: &Progress) {
        self.tokens
            .add([], progress.tokens.saturating_sub(self.lock().1.tokens));
        self.set(progress);
    }

    fn set(&self, progress: &Progress) {
        self.lock().1 = *progress;
        self.step.set([], progress.step as f64);
        self.steps.set([], progress.steps as f64);
        self.epoch.set([], progress.epoch);
        self.loss.set([], progress.loss);
        self.grad_norm.set([], progress.grad_norm);
        self.learning_rate.set([], progress.learning_rate);
        if let Some(loss) = progress.evaluated {
            self.evaluated.set([], loss);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (&'static str, Progress)> {
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

async fn metrics(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accept.contains("openmetrics") || accept.contains("text/plain") {
        return prometheus(State(shown)).await;
    }
    Json(host::report().await).into_response()
}

async fn prometheus(State(shown): State<Shown>) -> Response {
    match shown.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(shown): State<Shown>) -> Response {
    let (phase, progress) = *shown.lock();
    Json(json!({"status": phase, "step": progress.step, "steps": progress.steps})).into_response()
}
