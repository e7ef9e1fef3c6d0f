//! The figures of one run.

/// Seconds since the first request.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Times {
    /// Until all claims were written.
    pub(crate) claims: f64,
    /// Until everything was ready.
    pub(crate) ready: f64,
}

/// Seconds that the bare writer took.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct BareTimes {
    /// Until all claims were written, and nothing else.
    pub(crate) claims: f64,
    /// Until as many Workspaces, their finalizers and their claims were written.
    pub(crate) workspaces_and_claims: f64,
    /// Until all Deployments were available.
    pub(crate) ready: f64,
}
