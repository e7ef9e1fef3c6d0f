//! The engine behind the proxy: its address, and requests to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::metrics::ProxyMetrics;
use crate::api::ApiError;
use crate::load::SharedPhase;
use crate::progress::EngineProgress;
use crate::settings::{Pipeline, ProxySettings};

/// Time for the engine to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(super) client: reqwest::Client,
    pub(super) url: String,
    pub(super) pipeline: Pipeline,
    pub(super) phase: SharedPhase,
    /// Requests that are not answered yet.
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) max_in_flight: usize,
    pub(super) metrics: ProxyMetrics,
    /// Progress of requests that make the engine compute.
    pub(super) progress: EngineProgress,
    /// Time without progress after which the engine hangs.
    pub(super) stall: Duration,
}

impl Proxy {
    pub(crate) fn new(settings: &ProxySettings, phase: SharedPhase, stall: Duration) -> anyhow::Result<Self> {
        let url = settings.url.trim_end_matches('/').to_owned();
        anyhow::ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "--engine-url must begin with http:// or https://, not {url}"
        );
        // There is no timeout for responses, which take as long as the model needs. An engine has no reason to redirect.
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("failed to create an HTTP client")?;
        Ok(Self {
            client,
            url,
            pipeline: settings.pipeline,
            phase,
            in_flight: Arc::new(Semaphore::new(settings.max_in_flight)),
            max_in_flight: settings.max_in_flight,
            metrics: ProxyMetrics::new(),
            progress: EngineProgress::new(),
            stall,
        })
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> ApiError {
        tracing::warn!(url = %self.url, error = %error, "failed to reach the engine");
        self.metrics.unreachable();
        ApiError::unavailable("the engine behind this server does not answer")
    }

    /// Posts to the engine. An answer that is not a success becomes an error of the same status.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let _in_flight = self.progress.begin();
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let body: Value = response.json().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            self.progress.made();
            return Ok(body);
        }
        let message = body
            .pointer("/error/message")
            .or_else(|| body.get("message"))
            .and_then(Value::as_str);
        Err(ApiError {
            status,
            message: message.unwrap_or("the engine refused the request").to_owned(),
            ..ApiError::internal("")
        })
    }
}
