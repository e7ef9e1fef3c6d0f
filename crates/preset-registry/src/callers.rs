//! Identities of callers: which of them the registry answers.
//!
//! A caller shows a token of a ServiceAccount for the registry's own audience. The API server says whose it is (TokenReview)
//! and whether that account may `get` the resource `presets` of `kaito.sh` in the registry's namespace (SubjectAccessReview).
//! So tokens of pods for other audiences are worthless here, and access is granted with RBAC. Answers are kept for a minute.
//! While the API server does not answer, a caller that was admitted before keeps its access for ten minutes; new ones are
//! refused.

mod options;
mod review;
mod token;
mod verdicts;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use telemetry::{Counter, Metrics};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

pub use options::TokenOptions;
use review::{Review, Reviewer};
use verdicts::{KnownToken, Verdict, Verdicts};

/// Time for which a refusal is used without asking again. RBAC may just have been granted.
const REFUSED_FRESH: Duration = Duration::from_secs(10);
/// Most tokens that are remembered.
const MAX_TOKENS: usize = 1024;
/// Concurrent reviews.
const REVIEWS: usize = 8;
/// Most refused tokens of one peer in [`REFUSALS_WINDOW`], before its unknown tokens are refused without a review.
const MAX_REFUSALS: u32 = 20;
const REFUSALS_WINDOW: Duration = Duration::from_secs(60);

/// The check of callers.
#[derive(Debug, Clone, Default)]
pub(crate) enum Callers {
    /// Every caller is answered: the connection is local, or a client certificate was checked.
    #[default]
    Any,
    /// Callers show tokens.
    Tokens(Arc<TokenCheck>),
}

/// An admitted caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    token: Option<(Arc<TokenCheck>, Arc<str>, IpAddr)>,
}

impl Callers {
    /// Checks tokens with this API server. Registers `kaito_preset_registry_token_reviews_total{result}`.
    pub(crate) fn tokens(options: TokenOptions, client: Client, metrics: &Metrics) -> Self {
        Self::Tokens(Arc::new(TokenCheck {
            reviewer: Reviewer::new(options, client),
            verdicts: Mutex::new(Verdicts::new(MAX_TOKENS, MAX_REFUSALS, REFUSALS_WINDOW)),
            slots: Semaphore::new(REVIEWS),
            reviews: metrics.counter(
                "kaito_preset_registry_token_reviews",
                "Checks of callers' tokens by the API server, by result.",
                ["result"],
            ),
        }))
    }

    /// Admits the caller of a request.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `PERMISSION_DENIED`, or `UNAVAILABLE` if the API server does not answer.
    pub(crate) async fn admit(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Caller, Status> {
        let Self::Tokens(check) = self else {
            return Ok(Caller { token: None });
        };
        let token: Arc<str> = token::of(headers)?.into();
        check.check(&token, peer).await?;
        Ok(Caller {
            token: Some((Arc::clone(check), token, peer)),
        })
    }
}

impl Caller {
    /// Returns the reason when the caller is no longer admitted: its token has ended or its right was taken away.
    pub(crate) async fn lapsed(&self) -> Status {
        let Some((check, token, peer)) = &self.token else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(check.reviewer.options.fresh).await;
            if let Err(status) = check.check(token, *peer).await {
                return status;
            }
        }
    }
}

/// The check of tokens, and what is remembered of them.
#[derive(Debug)]
pub(crate) struct TokenCheck {
    reviewer: Reviewer,
    verdicts: Mutex<Verdicts>,
    slots: Semaphore,
    reviews: Counter<1>,
}

impl TokenCheck {
    async fn check(&self, token: &str, peer: IpAddr) -> Result<(), Status> {
        let audience = &self.reviewer.options.audience;
        // Costs nothing, and refuses the tokens that every pod has.
        let end = token::precheck(token, audience)?;
        let entry = {
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = verdicts.entry(token, peer, Instant::now());
            entry.ok_or_else(|| Status::resource_exhausted("too many refused tokens, retry in a minute"))?
        };
        // Held during the review, so that concurrent calls with one token cost one review.
        let _turn = entry.turn.lock().await;
        if let Some(verdict) = entry.fresh(Instant::now()) {
            return verdict.into_result();
        }
        let verdict = self.review(token, &entry).await;
        if matches!(verdict, Verdict::Refused(_)) {
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            verdicts.refused(peer, Instant::now());
        }
        if token::ended(end) {
            return Err(token::ended_status());
        }
        verdict.into_result()
    }

    async fn review(&self, token: &str, entry: &KnownToken) -> Verdict {
        let slot = self.slots.acquire().await;
        let review = match slot {
            Ok(_slot) => self.reviewer.review(token).await,
            Err(_) => Review::Unanswered("stopping".to_owned()),
        };
        let now = Instant::now();
        match review {
            Review::Admitted => {
                self.reviews.inc(["admitted"]);
                {
                    let options = &self.reviewer.options;
                    entry.set(Verdict::Admitted, now + options.fresh, now + options.grace)
                }
            }
            Review::Refused(status) => {
                self.reviews.inc(["refused"]);
                tracing::info!(message = status.message(), "refused caller");
                entry.set(Verdict::Refused(status), now + REFUSED_FRESH, now)
            }
            Review::Unanswered(problem) => {
                self.reviews.inc(["error"]);
                tracing::warn!(problem, "failed to check a caller's token");
                if entry.has_grace(now) {
                    return Verdict::Admitted;
                }
                Verdict::Unknown(Status::unavailable(
                    "the API server does not answer, so identities cannot be checked",
                ))
            }
        }
    }
}
