//! Logs, Prometheus metrics and OTLP traces of a program, and facts about its host.
//!
//! The only crate that knows OpenTelemetry or a Prometheus library; all others use `tracing` and the handles of this crate. It
//! knows nothing of Kubernetes and nothing of what the programs do.

pub mod args;
pub mod collected;
pub mod finished;
pub mod grpc;
pub mod host;
pub mod init;
pub mod metrics;
pub mod outcome;
pub mod process;

pub use args::{LogFormat, TelemetryArgs};
pub use collected::CollectedGauge;
pub use finished::{FinishedSpan, SpanSink};
pub use init::{Guard, init};
pub use metrics::{Buckets, Counter, Gauge, Histogram, InfoGauge, Metrics};
pub use outcome::{Operation, Operations, Outcome};
