//! State that all handlers share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::admission::Admission;
use super::error::ApiError;
use crate::load::{LoadedModel, ModelChoice, ServerPhase, SharedPhase};
use crate::metrics::Metrics;

/// State that all handlers share.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) phase: SharedPhase,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Admission,
    /// Time without a token, with requests in flight, after which the server is not healthy.
    pub(crate) stall: Duration,
    /// Start of the program, Unix time in seconds.
    pub(crate) started: u64,
}

impl App {
    pub(crate) fn new(phase: SharedPhase, metrics: Metrics, stall: Duration) -> Self {
        Self {
            phase,
            metrics,
            admission: Admission::default(),
            stall,
            started: unix_time(),
        }
    }

    /// Returns the model, if it is ready.
    pub(crate) fn model(&self) -> Result<Arc<LoadedModel>, ApiError> {
        match self.phase.get() {
            ServerPhase::Ready(model) => Ok(model),
            ServerPhase::Downloading { .. } => {
                Err(ApiError::unavailable("the model is downloading: see /health"))
            }
            ServerPhase::Loading(_) => Err(ApiError::unavailable("the model is loading: see /health")),
            ServerPhase::Draining => Err(ApiError::unavailable("the server is stopping")),
        }
    }
}

/// Returns the model or adapter that a request names. A request may omit it; an unknown name is an error.
pub(crate) fn choose(model: &LoadedModel, requested: Option<&str>) -> Result<ModelChoice, ApiError> {
    model.choose(requested).ok_or_else(|| {
        let known = std::iter::once(&model.name).chain(&model.adapters);
        ApiError::unknown_model(requested.unwrap_or_default(), known.map(String::as_str))
    })
}

/// Returns the Unix time in seconds.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
