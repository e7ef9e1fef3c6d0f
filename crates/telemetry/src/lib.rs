//! Logs, Prometheus metrics, OTLP traces and the admin server of a program; and the signals that end it, which are of a crate of
//! their own for programs that have nothing of this.
//!
//! The only crate that knows OpenTelemetry or a Prometheus library; all others use `tracing` and the handles
//! given out here. It knows nothing of Kubernetes and nothing of what the programs do.

pub mod admin;
pub mod args;
pub mod grpc;
pub mod host;
pub mod init;
pub mod metrics;
pub mod outcome;
pub mod process;
pub mod readiness;

pub use admin::Admin;
pub use args::{LogFormat, TelemetryArgs};
pub use init::{Guard, init};
pub use metrics::{Counter, Gauge, Histogram, Metrics};
pub use outcome::{Outcome, Step, Steps};
pub use readiness::{Gate, Readiness};
pub use signals::StopSignals;
