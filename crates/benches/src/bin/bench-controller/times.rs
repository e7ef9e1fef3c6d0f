//! The figures of one run.

/// Seconds since the first request.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Times {
    /// Until all claims were written.
    pub(crate) claims: f64,
    /// Until everything was ready.
    pub(crate) ready: f64,
}
