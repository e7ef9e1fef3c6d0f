//! A refused push, in words that name the repository, the Secret and the remedy.

use egress::{Chain, ErrorClass};

use crate::error::Error;
use crate::registry::Registry;

/// The facts that make a refusal understood.
pub(crate) struct Refused<'a> {
    registry: &'a str,
    repository: &'a str,
    secret: Option<&'a str>,
    has_credentials: bool,
}

impl<'a> Refused<'a> {
    /// The facts about a registry and the Secret with its credentials.
    pub(crate) fn by(client: &'a Registry, secret: Option<&'a str>) -> Self {
        Self {
            registry: client.reference().registry(),
            repository: client.reference().repository(),
            secret,
            has_credentials: client.has_credentials(),
        }
    }

    /// Names the repository, the Secret and the remedy, if the registry answered. Other errors stay as they are.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let (refusal, is_absent) = match &error {
            Error::Denied { refusal, .. } => (refusal, false),
            Error::Egress(refusal) if refusal.class() == ErrorClass::NotFound => (refusal, true),
            _ => return error,
        };
        let status = answer(refusal);
        let Self {
            registry, repository, ..
        } = self;
        let (answer, remedy) = if is_absent {
            (
                format!(
                    "has no repository {repository} for {} ({status})",
                    self.credentials()
                ),
                "create the repository, or correct the name of the image".to_owned(),
            )
        } else {
            let answer = format!(
                "refuses a push to repository {repository} with {} ({status})",
                self.credentials()
            );
            (answer, self.remedy())
        };
        Error::NoPush {
            registry: (*registry).to_owned(),
            answer,
            remedy,
            cause: Box::new(error),
        }
    }

    fn credentials(&self) -> String {
        match self.secret {
            _ if !self.has_credentials => "no credentials".to_owned(),
            Some(secret) => format!("the credentials of Secret {secret}"),
            None => "the credentials in --auth-dir".to_owned(),
        }
    }

    fn remedy(&self) -> String {
        let place = self
            .secret
            .map_or_else(|| "--auth-dir".to_owned(), |secret| format!("Secret {secret}"));
        if self.has_credentials {
            format!("give their account the right to push there, or put others into {place}")
        } else {
            format!(
                "put credentials for {} into {place}, which has none",
                self.registry
            )
        }
    }
}

/// The status and the words of the registry.
fn answer(refusal: &egress::Error) -> String {
    match refusal {
        egress::Error::Status { status, words, .. } if words.is_empty() => status.to_string(),
        egress::Error::Status { status, words, .. } => format!("{status}: {words}"),
        other => Chain(other).to_string(),
    }
}
