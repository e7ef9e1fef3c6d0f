//! Starts logging and tracing for the process, and flushes traces at its end.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::args::{LogFormat, TelemetryArgs};

/// Time to send the last spans at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// Keeps tracing active. Sends the last spans on drop. Hold it until the end of `main`.
#[derive(Debug)]
#[must_use = "dropping the guard ends tracing"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

/// Starts logging, and tracing if an endpoint is given. Call it first in `main`, inside the runtime.
///
/// # Errors
/// The filter or the endpoint is malformed, or logging was started before.
pub fn init(args: &TelemetryArgs, service: &'static str) -> anyhow::Result<Guard> {
    let filter = EnvFilter::try_new(&args.log_filter).with_context(|| {
        format!(
            "--log-filter must be a filter of `target=level` pairs, not {:?}",
            args.log_filter
        )
    })?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = args
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| provider(endpoint, args.otlp_sample_ratio, service))
        .transpose()?;
    let traces = provider.as_ref().map(|p| {
        tracing_opentelemetry::layer()
            .with_tracer(p.tracer(service))
            .with_location(false)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(logs(args.log_format))
        .with(traces)
        .try_init()
        .context("logging must be started only once")?;
    Ok(Guard { provider })
}

fn logs<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Standard output is for the results of a program.
    let layer = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

fn provider(endpoint: &str, ratio: f64, service: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("--otlp-endpoint must be a URL, not {endpoint:?}"))?;
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_batch_exporter(exporter)
        .build())
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown_with_timeout(FLUSH)
        {
            tracing::warn!(%error, "failed to send the last spans");
        }
    }
}
