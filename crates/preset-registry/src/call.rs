//! One RPC under way. Its end and its duration are recorded in every case.

use std::time::{Duration, Instant};

use telemetry::{Counter, Histogram, Metrics};
use tonic::{Code, Status};

/// The metrics of the RPCs. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    count: Counter<2>,
    took: Histogram<1>,
}

impl Calls {
    /// Registers `kaito_preset_registry_requests_total{method,code}` and
    /// `kaito_preset_registry_request_duration_seconds{method}`.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            count: metrics.counter(
                "kaito_preset_registry_requests",
                "RPCs that have ended",
                ["method", "code"],
            ),
            took: metrics.histogram(
                "kaito_preset_registry_request_duration_seconds",
                "Duration of RPCs",
                ["method"],
            ),
        }
    }

    /// Starts an RPC. Without [`Call::end`], it ends as canceled: its client disconnected or its deadline passed.
    pub(crate) fn begin(&self, method: &'static str) -> Call {
        Call {
            calls: self.clone(),
            method,
            started: Instant::now(),
            code: Code::Cancelled,
        }
    }
}

/// An RPC under way. It is recorded on drop.
#[derive(Debug)]
pub(crate) struct Call {
    calls: Calls,
    method: &'static str,
    started: Instant,
    code: Code,
}

impl Call {
    /// Ends the RPC with a code.
    pub(crate) fn end(mut self, code: Code) {
        self.code = code;
    }

    /// Ends the RPC with a result.
    pub(crate) fn end_with<T>(self, result: Result<T, Status>) -> Result<T, Status> {
        match &result {
            Ok(_) => tracing::debug!(method = self.method, "answered"),
            Err(status) => {
                tracing::info!(method = self.method, code = ?status.code(), message = status.message(), "refused");
            }
        }
        let code = result.as_ref().err().map_or(Code::Ok, Status::code);
        self.end(code);
        result
    }

    fn took(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.count.inc([self.method, label(self.code)]);
        self.calls.took.observe([self.method], self.took());
    }
}

/// The code as it is written in `google.rpc.Code`.
const fn label(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
