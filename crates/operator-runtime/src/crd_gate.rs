//! Waits until the custom resources that a program needs are served. It installs nothing.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serve::Gate;
use tokio_util::sync::CancellationToken;

use crate::error::Chain;

const RETRY: Duration = Duration::from_secs(2);
/// Pause while a permission is missing: a person has to grant it.
const DENIED_RETRY: Duration = Duration::from_secs(30);
/// Pause for an optional resource: no other task waits for it.
const LATE_RETRY: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reason why a resource cannot be used yet.
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
                format!("the role of this program must allow get of customresourcedefinitions/{name}")
            }
            Self::Unknown(error) => format!("{name}: {error}"),
        }
    }
}

/// Waits until every one of `names`, such as `machines.karpenter.sh`, is established, or the token is canceled.
/// The gate and the log name the missing one.
pub async fn wait(client: &Client, names: &[&str], gate: &Gate, token: &CancellationToken) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut reported = String::new();
    loop {
        let Some((name, missing)) = first_missing(&api, names).await else {
            break;
        };
        let message = missing.describe(name);
        if message != reported {
            tracing::warn!(reason = message, "waiting for custom resources");
            gate.set(false, message.clone());
            reported = message;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(&missing)) => {}
            () = token.cancelled() => return,
        }
    }
    gate.set(true, "");
}

/// Returns those of `names` that are established now. A failed read is not an absence: it is retried.
pub async fn present<'a>(
    client: &Client,
    names: &[&'a str],
    gate: &Gate,
    token: &CancellationToken,
) -> Vec<&'a str> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut found = Vec::new();
    for name in names {
        match is_present(&api, name, gate, token).await {
            Some(true) => found.push(*name),
            Some(false) => {}
            None => return found,
        }
    }
    gate.set(true, "");
    found
}

/// Waits until one of `names` is established, and returns those that are; none if the token is canceled before.
pub async fn any<'a>(
    client: &Client,
    names: &[&'a str],
    gate: &Gate,
    token: &CancellationToken,
) -> Vec<&'a str> {
    let mut reported = false;
    loop {
        let found = present(client, names, gate, token).await;
        if !found.is_empty() || token.is_cancelled() {
            return found;
        }
        let message = format!("none of {} is installed", names.join(", "));
        if !reported {
            tracing::warn!(reason = message, "waiting for custom resources");
            reported = true;
        }
        gate.set(false, message);
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = token.cancelled() => return Vec::new(),
        }
    }
}

/// Waits until `name` is established, or the token is canceled. It may wait as long as the program runs.
pub async fn appears(client: &Client, name: &str, token: &CancellationToken) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    while missing(&api, name).await.is_some() {
        tokio::select! {
            () = tokio::time::sleep(LATE_RETRY) => {}
            () = token.cancelled() => return,
        }
    }
}

/// Reports whether a resource is established or absent; `None` if the token is canceled before the server answers.
async fn is_present(
    api: &Api<CustomResourceDefinition>,
    name: &str,
    gate: &Gate,
    token: &CancellationToken,
) -> Option<bool> {
    let mut reported = String::new();
    loop {
        let missing = match missing(api, name).await {
            None => return Some(true),
            Some(Missing::Absent) => return Some(false),
            Some(missing) => missing,
        };
        let message = missing.describe(name);
        if message != reported {
            tracing::warn!(reason = message, "failed to check custom resource, retrying");
            gate.set(false, message.clone());
            reported = message;
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
        Err(_) => Some(Missing::Unknown("no response in time".to_owned())),
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
