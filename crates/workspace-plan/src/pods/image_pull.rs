//! Containers whose image cannot be pulled: who or what refuses it.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kaito_api::conditions::WorkspaceReason;

use crate::context::PlanContext;
use crate::metadata;
use crate::pod_state;
use crate::problem::Problem;
use crate::warnings::{self, PULL_SECRET};
use crate::workload::Workload;

/// Waiting reasons of a container whose image cannot be pulled.
const REASONS: [&str; 6] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];

/// Causes by the words of registries and runtimes, the most telling first.
const CAUSES: [(WorkspaceReason, &str, &[&str]); 3] = [
    (
        WorkspaceReason::ImagePullUnauthorized,
        "the registry refuses the credentials",
        &[
            "401 Unauthorized",
            "403 Forbidden",
            "authorization failed",
            "authentication required",
            "pull access denied",
            "no basic auth credentials",
            "denied:",
        ],
    ),
    (
        WorkspaceReason::ImageNotFound,
        "the registry does not have it",
        &["not found", "manifest unknown", "NAME_UNKNOWN", "does not exist"],
    ),
    (
        WorkspaceReason::ImageRegistryUnreachable,
        "the registry cannot be reached",
        &[
            "no such host",
            "i/o timeout",
            "connection refused",
            "deadline exceeded",
            "no route to host",
            "x509:",
            "TLS handshake",
        ],
    ),
];

/// Returns the problem of a container whose image cannot be pulled.
pub(super) fn problem(context: &PlanContext<'_>, pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let (waiting, message) = pod_state::waiting(container)?;
    if !REASONS.contains(&waiting) {
        return None;
    }
    let name = metadata::name(&pod.metadata);
    let weights = context.workload.and_then(Workload::weights_image);
    let start = match weights.filter(|image| message.contains(image)) {
        Some(image) => format!(
            "container {} of pod {name} cannot get image {image} with the weights",
            container.name
        ),
        None => format!(
            "container {} of pod {name} cannot get its image {}",
            container.name, container.image
        ),
    };
    let (reason, cause) = cause(waiting, message)
        .or_else(|| stored(context, &start))
        .unwrap_or((WorkspaceReason::ImagePullError, "it cannot be pulled"));
    let secrets = match reason {
        WorkspaceReason::ImagePullUnauthorized | WorkspaceReason::ImagePullError => {
            missing_secrets(context, pod)
        }
        _ => None,
    };
    Some(match secrets {
        Some(secrets) => {
            let cause = format!("{start}: Secret {secrets} for the registry does not exist");
            Problem::new(WorkspaceReason::SecretNotFound, cause)
        }
        None => Problem::new(reason, format!("{start}: {cause}")),
    })
}

// `Unable to retrieve some image pull secrets (a, b); attempting to pull the image may not succeed.`
fn missing_secrets<'a>(context: &PlanContext<'a>, pod: &Pod) -> Option<&'a str> {
    let found = warnings::about(context, &pod.metadata);
    let (_, text) = found.into_iter().find(|(reason, _)| *reason == PULL_SECRET)?;
    let (_, rest) = text.split_once("image pull secrets (")?;
    rest.split_once(')').map(|(names, _)| names)
}

fn cause(waiting: &str, message: &str) -> Option<(WorkspaceReason, &'static str)> {
    match waiting {
        "InvalidImageName" => return Some((WorkspaceReason::ImageNameInvalid, "its name is invalid")),
        "ErrImageNeverPull" => {
            return Some((
                WorkspaceReason::ImageNotFound,
                "it is not on the node, and may not be pulled",
            ));
        }
        _ => {}
    }
    let is = |(_, _, words): &&(_, _, &[&str])| words.iter().any(|word| message.contains(word));
    CAUSES.iter().find(is).map(|(reason, cause, _)| (*reason, *cause))
}

// The kubelet alternates between the error and the back-off after it, which may not name the cause.
fn stored(context: &PlanContext<'_>, start: &str) -> Option<(WorkspaceReason, &'static str)> {
    let shows = |cause: &str| {
        let message = format!("{start}: {cause}");
        context
            .conditions()
            .iter()
            .any(|condition| condition.message.contains(&message))
    };
    let known = CAUSES.iter().find(|(_, cause, _)| shows(cause))?;
    Some((known.0, known.1))
}
