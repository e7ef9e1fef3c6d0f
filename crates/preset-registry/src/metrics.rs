//! What the RPCs count: requests by method and code, and how long they took.

use std::time::Duration;

use telemetry::{Counter, Histogram, Metrics};
use tonic::Code;

/// The metrics of the RPCs; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    count: Counter<2>,
    took: Histogram<1>,
}

impl Requests {
    /// Registers `preset_registry_requests_total{method,code}` and
    /// `preset_registry_request_duration_seconds{method}`.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            count: metrics.counter(
                "preset_registry_requests",
                "RPCs that were answered",
                ["method", "code"],
            ),
            took: metrics.histogram(
                "preset_registry_request_duration_seconds",
                "Time to answer an RPC",
                ["method"],
            ),
        }
    }

    pub(crate) fn answered(&self, method: &'static str, code: Code, took: Duration) {
        self.count.inc([method, label(code)]);
        self.took.observe([method], took);
    }
}

/// The code as it is written in `google.rpc.Code`, as far as the RPCs answer it.
const fn label(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        _ => "OTHER",
    }
}
