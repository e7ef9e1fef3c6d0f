//! W3C trace context across gRPC, so that a call is part of its caller's trace. Changes no other metadata.

use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use tonic::metadata::{Ascii, KeyRef, MetadataKey, MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Adds the `traceparent` of the current span to the metadata of an outgoing request.
pub fn inject(metadata: &mut MetadataMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Outgoing(metadata))
    });
}

/// Makes `span` a child of the caller's span in the metadata of a received request, if there is one.
fn accept(metadata: &MetadataMap, span: &Span) {
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&Incoming(metadata)));
    // Fails if no traces are collected, and then there is no parent.
    let _ = span.set_parent(context);
}

/// The span of a received call, as a child of its caller's span. For `Server::builder().trace_fn(grpc::server_span)`.
#[must_use]
pub fn server_span(request: &http::Request<()>) -> Span {
    let span = tracing::info_span!("grpc", path = request.uri().path());
    accept(&MetadataMap::from_headers(request.headers().clone()), &span);
    span
}

struct Outgoing<'a>(&'a mut MetadataMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (key.parse::<MetadataKey<Ascii>>(), value.parse()) {
            self.0.insert(key, value);
        }
    }
}

struct Incoming<'a>(&'a MetadataMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0
            .keys()
            .filter_map(|key| match key {
                KeyRef::Ascii(key) => Some(key.as_str()),
                KeyRef::Binary(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_trace_goes_on_at_the_other_side() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber =
            tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
        tracing::subscriber::with_default(subscriber, || {
            let caller = tracing::info_span!("caller");
            let mut request = tonic::Request::new(());
            caller.in_scope(|| inject(request.metadata_mut()));
            let mut received = http::Request::new(());
            *received.headers_mut() = request.metadata().clone().into_headers();
            let callee = server_span(&received);
            let ids = [caller, callee].map(|span| span.context().span().span_context().trace_id());
            assert!(request.metadata().contains_key("traceparent"));
            assert_eq!(ids[0], ids[1]);
        });
    }

    #[test]
    fn nothing_is_added_without_a_trace() {
        let mut metadata = MetadataMap::new();
        inject(&mut metadata);
        assert!(metadata.is_empty());
    }
}
