//! Traces as a real OTLP receiver sees them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use telemetry::{FinishedSpan, TelemetryArgs};
use tokio::sync::mpsc;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

struct Receiver(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0
            .send(request.into_inner())
            .map_err(|_| Status::internal("closed"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, &str> {
    attributes
        .iter()
        .filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(value) => Some((attribute.key.as_str(), value.as_str())),
            _ => None,
        })
        .collect()
}

/// One test, because logging starts once in a process.
#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_a_receiver_with_the_resource_of_the_program() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut received) = mpsc::unbounded_channel();
    let server = Server::builder()
        .add_service(TraceServiceServer::new(Receiver(sender)))
        .serve_with_incoming(TcpIncoming::from(listener));
    let serving = tokio::spawn(server);
    let args = TelemetryArgs {
        otlp_endpoint: Some(format!("http://{address}")),
        ..TelemetryArgs::default()
    };
    let guard = telemetry::init(&args, "a-program").unwrap();
    tracing::info_span!("a step of the program").in_scope(|| ());
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    guard.span_sink().unwrap().send(FinishedSpan {
        trace: 0x0123,
        id: 0x45,
        parent: Some(0x67),
        name: "launch",
        start,
        end: start + Duration::from_secs(60),
        attributes: vec![("kaito.workspace", "a".to_owned())],
    });
    // The last spans are sent at the end.
    tokio::task::spawn_blocking(|| drop(guard)).await.unwrap();
    let mut spans = BTreeMap::new();
    while let Ok(request) = received.try_recv() {
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap();
            let facts = texts(&resource.attributes);
            assert_eq!(facts["service.name"], "a-program");
            assert_eq!(facts["service.version"], env!("CARGO_PKG_VERSION"));
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.insert(span.name.clone(), span);
            }
        }
    }
    serving.abort();
    let names: Vec<&str> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["a step of the program", "launch"]);
    let launch = &spans["launch"];
    assert_eq!(launch.trace_id, 0x0123_u128.to_be_bytes());
    assert_eq!(launch.span_id, 0x45_u64.to_be_bytes());
    assert_eq!(launch.parent_span_id, 0x67_u64.to_be_bytes());
    let seconds = [launch.start_time_unix_nano, launch.end_time_unix_nano].map(|nanos| nanos / 1_000_000_000);
    assert_eq!(seconds, [1_000, 1_060]);
    assert_eq!(texts(&launch.attributes)["kaito.workspace"], "a");
}
