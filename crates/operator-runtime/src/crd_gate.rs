//! Waits until the custom resources a program needs are served. It installs nothing.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use telemetry::Gate;
use tokio_util::sync::CancellationToken;

use crate::error::Chain;

const RETRY: Duration = Duration::from_secs(2);
/// A missing role is put right by a person.
const DENIED_RETRY: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a resource can't be used yet.
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
        let pause = if missing == Missing::Denied {
            DENIED_RETRY
        } else {
            RETRY
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = token.cancelled() => return,
        }
    }
    gate.set(true, "");
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
#[path = "crd_gate_tests.rs"]
mod tests;
