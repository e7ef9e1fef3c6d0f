//! Spans with ids and times of their own, such as steps that objects of a cluster recorded.
//!
//! Sending one again changes nothing: the ids are the caller's. Spans wait in the queue of all traces of the process. It is
//! bounded, and no caller waits for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanEvents, SpanLinks, SpanProcessor};

/// A span that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedSpan {
    /// Id of the trace; not 0.
    pub trace: u128,
    /// Id of the span, one of its own in the trace; not 0.
    pub id: u64,
    /// Id of the span that it is a part of; `None` for the whole.
    pub parent: Option<u64>,
    /// Name, the same for all spans of a kind.
    pub name: &'static str,
    /// Its begin.
    pub start: SystemTime,
    /// Its end.
    pub end: SystemTime,
    /// Facts about it.
    pub attributes: Vec<(&'static str, String)>,
}

/// Sends finished spans.
#[derive(Clone, Debug)]
pub struct SpanSink {
    processor: SharedProcessor,
    ratio: f64,
    scope: &'static str,
}

impl SpanSink {
    pub(crate) const fn new(processor: SharedProcessor, ratio: f64, scope: &'static str) -> Self {
        Self {
            processor,
            ratio,
            scope,
        }
    }

    /// Queues a span, unless its trace is not in the sample. A span that finds the queue full is lost.
    pub fn send(&self, span: FinishedSpan) {
        if !is_sampled(span.trace, self.ratio) {
            return;
        }
        let attributes = span.attributes.into_iter();
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(span.trace.to_be_bytes()),
                SpanId::from_bytes(span.id.to_be_bytes()),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: span
                .parent
                .map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.to_be_bytes())),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: span.name.into(),
            start_time: span.start,
            end_time: span.end.max(span.start),
            attributes: attributes.map(|(key, value)| KeyValue::new(key, value)).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(self.scope).build(),
        });
    }
}

/// Decides as the sampler of the SDK does: by the lower half of the id, so that all processes agree.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of all ids needs no more precision"
)]
fn is_sampled(trace: u128, ratio: f64) -> bool {
    let bound = (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
    ratio >= 1.0 || ((trace as u64) >> 1) < bound
}

/// The queue of the process, which its tracer and the sinks share.
#[derive(Clone, Debug)]
pub(crate) struct SharedProcessor(pub(crate) Arc<BatchSpanProcessor>);

impl SpanProcessor for SharedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_share_of_the_ids() {
        let mut ids = (0..1000_u64).map(|i| u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let sampled = ids.clone().filter(|id| is_sampled(*id, 0.25)).count();
        assert!((200..300).contains(&sampled), "{sampled}");
        assert!(ids.clone().all(|id| is_sampled(id, 1.0)) && !ids.any(|id| is_sampled(id, 0.0)));
    }
}
