//! Options of the check of tokens.

use std::time::Duration;

/// Options of the check of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOptions {
    /// The audience that a token must be for.
    pub audience: String,
    /// The namespace in which callers must have the right.
    pub namespace: String,
    /// Time for which an admitted caller is not checked again.
    pub fresh: Duration,
    /// Time for which an admitted caller keeps its access while the API server does not answer.
    pub grace: Duration,
}

impl TokenOptions {
    /// Returns options with the usual times: a minute, and ten.
    #[must_use]
    pub fn new(audience: String, namespace: String) -> Self {
        Self {
            audience,
            namespace,
            fresh: Duration::from_secs(60),
            grace: Duration::from_secs(10 * 60),
        }
    }
}
