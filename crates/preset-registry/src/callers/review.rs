//! Reviews of tokens by the API server: whose it is, and what that account may do.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use tonic::Status;

use super::options::TokenOptions;

/// Time for both reviews.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The right that a caller needs. No such resource is served: it is a name for RBAC.
const RIGHT: (&str, &str, &str) = ("get", "kaito.sh", "presets");

/// The answer about a token.
#[derive(Debug)]
pub(super) enum Review {
    Admitted,
    Refused(Status),
    /// The API server did not answer, for this reason.
    Unanswered(String),
}

/// Asks the API server.
#[derive(Debug)]
pub(super) struct Reviewer {
    pub(super) options: TokenOptions,
    client: ClientOf,
}

/// The client, which has no `Debug`.
struct ClientOf(Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Reviewer {
    pub(super) fn new(options: TokenOptions, client: Client) -> Self {
        Self {
            options,
            client: ClientOf(client),
        }
    }

    pub(super) async fn review(&self, token: &str) -> Review {
        match tokio::time::timeout(TIMEOUT, self.ask(token)).await {
            Ok(Ok(review)) => review,
            Ok(Err(error)) => Review::Unanswered(error.to_string()),
            Err(_) => Review::Unanswered(format!("no response in {} s", TIMEOUT.as_secs())),
        }
    }

    async fn ask(&self, token: &str) -> Result<Review, kube::Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(vec![self.options.audience.clone()]),
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.0.clone());
        let status = api
            .create(&PostParams::default(), &review)
            .await?
            .status
            .unwrap_or_default();
        let is_meant = status
            .audiences
            .iter()
            .flatten()
            .any(|one| *one == self.options.audience);
        let Some(user) = status
            .user
            .filter(|_| status.authenticated == Some(true) && is_meant)
        else {
            // The API server's own words may name an internal reason; callers do not need it.
            return Ok(Review::Refused(Status::unauthenticated(
                "the API server does not accept the token",
            )));
        };
        self.ask_right(user).await
    }

    async fn ask_right(&self, user: UserInfo) -> Result<Review, kube::Error> {
        let (verb, group, resource) = RIGHT;
        let namespace = &self.options.namespace;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username.clone(),
                groups: user.groups,
                uid: user.uid,
                extra: user.extra,
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.clone()),
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.0.clone());
        let answer = api.create(&PostParams::default(), &review).await?.status;
        if answer.is_some_and(|answer| answer.allowed) {
            return Ok(Review::Admitted);
        }
        let user = user.username.unwrap_or_default();
        Ok(Review::Refused(Status::permission_denied(format!(
            "{user} must have the right to {verb} {resource}.{group} in namespace {namespace}"
        ))))
    }
}
