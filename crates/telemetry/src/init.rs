//! Starts logging and tracing for the process, and flushes traces at its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, SpanProcessor as _};
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::args::{LogFormat, TelemetryArgs};
use crate::finished::{SharedProcessor, SpanSink};

/// Time to send the last spans at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// Keeps tracing active. Sends the last spans on drop. Hold it until the end of `main`.
#[derive(Debug)]
#[must_use = "dropping the guard ends tracing"]
pub struct Guard {
    traces: Option<Traces>,
}

#[derive(Debug)]
struct Traces {
    provider: SdkTracerProvider,
    sink: SpanSink,
}

impl Guard {
    /// Returns the way to send finished spans; `None` if no traces are collected.
    #[must_use]
    pub fn span_sink(&self) -> Option<SpanSink> {
        self.traces.as_ref().map(|traces| traces.sink.clone())
    }
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
    let traces = args
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| traces(endpoint, args.otlp_sample_ratio, service))
        .transpose()?;
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.provider.tracer(service))
            .with_location(false)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(logs(args.log_format))
        .with(spans)
        .try_init()
        .context("logging must be started only once")?;
    Ok(Guard { traces })
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

/// One queue and one connection for the spans of the program and for finished ones.
fn traces(endpoint: &str, ratio: f64, service: &'static str) -> anyhow::Result<Traces> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("--otlp-endpoint must be a URL, not {endpoint:?}"))?;
    // The builder adds the attributes of OTEL_RESOURCE_ATTRIBUTES, where the chart names the pod.
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    processor.set_resource(&resource);
    let processor = SharedProcessor(Arc::new(processor));
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_span_processor(processor.clone())
        .build();
    Ok(Traces {
        provider,
        sink: SpanSink::new(processor, ratio, service),
    })
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.provider.shutdown_with_timeout(FLUSH)
        {
            tracing::warn!(%error, "failed to send the last spans");
        }
    }
}
