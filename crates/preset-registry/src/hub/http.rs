//! Requests to the hub: their bounds, and the meaning of its responses.

use std::sync::Arc;
use std::time::Duration;

use egress::{BearerToken, Chain, Client, Error, Hub, HubPolicy, ProxySettings, Retry, Settings};

use super::options::{HubError, HubOptions};
use super::problem::{HubFailure, HubProblem};

const CONNECT: Duration = Duration::from_secs(5);
/// Time for one request, its redirects and its body.
const REQUEST: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;
/// Longest pause that a hub may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A client of the hub.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    hub: Hub,
}

impl Http {
    /// Reads the file of authorities and asks nothing.
    pub(crate) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let policy = HubPolicy::new(
            &options.endpoint,
            &options.redirect_hosts,
            options.allow_private_endpoint,
        )?;
        let endpoint = policy.endpoint().clone();
        let token = match &options.token_file {
            Some(_) if policy.exposes_tokens() => return Err(HubError::ExposedToken),
            Some(file) => Some(BearerToken::on_trusted_network(&endpoint, file.clone())),
            None => None,
        };
        let settings = Settings {
            user_agent: concat!("kaito-preset-registry/", env!("CARGO_PKG_VERSION")),
            connect_timeout: CONNECT,
            read_timeout: REQUEST,
            redirects: MAX_REDIRECTS,
            proxy: ProxySettings::environment(),
            ca_file: options.ca_file.clone(),
        };
        // A client of ours waits, and asks again itself.
        let retry = Retry {
            attempts: 1,
            first_pause: Duration::ZERO,
            report: |_| (),
        };
        let client = Client::new(Arc::new(policy), settings)?;
        Ok(Self {
            hub: Hub::new(client, endpoint, token, retry)?,
        })
    }

    /// The endpoint without a slash at its end.
    pub(crate) fn endpoint(&self) -> String {
        self.hub.url(&[]).as_str().trim_end_matches('/').to_owned()
    }

    /// The contents of a file below the endpoint; `None` if it does not exist.
    pub(crate) async fn get(&self, path: &[&str], limit: usize) -> Result<Option<Vec<u8>>, HubProblem> {
        let url = self.hub.url(path);
        self.found(path, self.hub.read(&url, limit)).await
    }

    /// The size of a file in bytes; `None` if it does not exist.
    pub(crate) async fn size(&self, path: &[&str]) -> Result<Option<u64>, HubProblem> {
        let url = self.hub.url(path);
        match self.found(path, self.hub.size(&url)).await? {
            None => Ok(None),
            Some(Some(size)) => Ok(Some(size)),
            Some(None) => Err(HubFailure::NoSize { path: path.join("/") }.into()),
        }
    }

    async fn found<T>(
        &self,
        path: &[&str],
        request: impl Future<Output = egress::Result<T>>,
    ) -> Result<Option<T>, HubProblem> {
        let error = match tokio::time::timeout(REQUEST, request).await {
            Ok(Ok(found)) => return Ok(Some(found)),
            Ok(Err(error)) => error,
            Err(_) => return Err(HubFailure::TimedOut.into()),
        };
        tracing::debug!(path = path.join("/"), error = %Chain(&error), "failed to read from the hub");
        match error {
            Error::Status { status, .. } if status.as_u16() == 404 => Ok(None),
            Error::GaveUp { last, .. } => self.problem(path, *last).await,
            error => self.problem(path, error).await,
        }
    }

    async fn problem<T>(&self, path: &[&str], error: Error) -> Result<Option<T>, HubProblem> {
        Err(match error {
            Error::Refused(refusal) => HubProblem::Refused(refusal),
            Error::TooLarge { limit, .. } => HubProblem::TooLarge {
                file: path.join("/"),
                limit,
            },
            Error::Status {
                status, retry_after, ..
            } => match status.as_u16() {
                404 => return Ok(None),
                401 | 403 => HubProblem::Denied {
                    code: status.as_u16(),
                    with_token: self.hub.has_token().await,
                },
                429 => HubProblem::Limited {
                    retry_after: retry_after.map(|pause| pause.min(MAX_RETRY_AFTER)),
                },
                _ => HubFailure::Status {
                    path: path.join("/"),
                    status: status.to_string(),
                }
                .into(),
            },
            Error::TimedOut { .. } => HubFailure::TimedOut.into(),
            Error::Token { .. } => HubProblem::Token {
                problem: error.to_string(),
            },
            Error::Local { .. } => HubProblem::Token {
                problem: Chain(&error).to_string(),
            },
            Error::TooManyRedirects { .. } => HubFailure::TooManyRedirects.into(),
            Error::Connection { source, .. } if source.is_connect() => HubFailure::Connect {
                reason: innermost(&source),
            }
            .into(),
            error => HubFailure::Other {
                reason: innermost(&error),
            }
            .into(),
        })
    }
}

/// The text of the first cause.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map_or_else(String::new, ToString::to_string)
}
