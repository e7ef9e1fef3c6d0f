//! Waits until the custom resources a program needs are served. It installs nothing.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serve::Gate;
use tokio_util::sync::CancellationToken;

use crate::error::Chain;

const RETRY: Duration = Duration::from_secs(2);
/// A missing role is put right by a person.
const DENIED_RETRY: Duration = Duration::from_secs(30);
/// What comes late was not waited for by anybody.
const LATE_RETRY: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a resource cannot be used yet.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    Absent,
    NotEstablished,
    Denied,
    Unknown(String),
}

impl Missing {
    fn describe(&self, name: &str) -> String {
        match self {
            Self::Absent => format!("{name} is not installed"),
            Self::NotEstablished => format!("{name} is not established"),
            Self::Denied => {
                format!("may not get customresourcedefinitions/{name}: the role of this program lacks it")
            }
            Self::Unknown(error) => format!("{name}: {error}"),
        }
    }
}

/// Returns when every one of `names`, such as `machines.karpenter.sh`, is established, or the token is cancelled.
/// The gate and the log say what is missing.
pub async fn wait(client: &Client, names: &[&str], gate: &Gate, token: &CancellationToken) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut told = String::new();
    loop {
        let Some((name, missing)) = first_missing(&api, names).await else {
            break;
        };
        let message = missing.describe(name);
        if message != told {
            tracing::warn!(reason = message, "waiting for custom resources");
            gate.set(false, message.clone());
            told = message;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(&missing)) => {}
            () = token.cancelled() => return,
        }
    }
    gate.set(true, "");
}

/// Which of `names` are established now. Waits only while that cannot be told: a failed read is not an absence.
pub async fn present<'a>(
    client: &Client,
    names: &[&'a str],
    gate: &Gate,
    token: &CancellationToken,
) -> Vec<&'a str> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut found = Vec::new();
    for name in names {
        match is_there(&api, name, gate, token).await {
            Some(true) => found.push(*name),
            Some(false) => {}
            None => return found,
        }
    }
    gate.set(true, "");
    found
}

/// Which of `names` are established, as soon as one is; none when the token is cancelled before.
pub async fn any<'a>(
    client: &Client,
    names: &[&'a str],
    gate: &Gate,
    token: &CancellationToken,
) -> Vec<&'a str> {
    let mut told = false;
    loop {
        let found = present(client, names, gate, token).await;
        if !found.is_empty() || token.is_cancelled() {
            return found;
        }
        let message = format!("none of {} is installed", names.join(", "));
        if !told {
            tracing::warn!(reason = message, "waiting for custom resources");
            told = true;
        }
        gate.set(false, message);
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = token.cancelled() => return Vec::new(),
        }
    }
}

/// Returns when `name` is established, or the token is cancelled; it may take as long as the program runs.
pub async fn appears(client: &Client, name: &str, token: &CancellationToken) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    while missing(&api, name).await.is_some() {
        tokio::select! {
            () = tokio::time::sleep(LATE_RETRY) => {}
            () = token.cancelled() => return,
        }
    }
}

/// Whether a resource is there; `None` when the token is cancelled before that can be told.
async fn is_there(
    api: &Api<CustomResourceDefinition>,
    name: &str,
    gate: &Gate,
    token: &CancellationToken,
) -> Option<bool> {
    let mut told = String::new();
    loop {
        let missing = match missing(api, name).await {
            None => return Some(true),
            Some(Missing::Absent) => return Some(false),
            Some(missing) => missing,
        };
        let message = missing.describe(name);
        if message != told {
            tracing::warn!(
                reason = message,
                "it cannot be told whether a custom resource is there"
            );
            gate.set(false, message.clone());
            told = message;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(&missing)) => {}
            () = token.cancelled() => return None,
        }
    }
}

fn pause(missing: &Missing) -> Duration {
    match missing {
        Missing::Denied => DENIED_RETRY,
        Missing::Absent | Missing::NotEstablished | Missing::Unknown(_) => RETRY,
    }
}

async fn first_missing<'a>(
    api: &Api<CustomResourceDefinition>,
    names: &[&'a str],
) -> Option<(&'a str, Missing)> {
    for name in names {
        if let Some(missing) = missing(api, name).await {
            return Some((name, missing));
        }
    }
    None
}

async fn missing(api: &Api<CustomResourceDefinition>, name: &str) -> Option<Missing> {
    match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
        Ok(Ok(None)) => Some(Missing::Absent),
        Ok(Ok(Some(crd))) => (!is_established(&crd)).then_some(Missing::NotEstablished),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => Some(Missing::Denied),
        Ok(Err(error)) => Some(Missing::Unknown(Chain(&error).to_string())),
        Err(_) => Some(Missing::Unknown("no answer in time".to_owned())),
    }
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

#[cfg(test)]
mod tests;
