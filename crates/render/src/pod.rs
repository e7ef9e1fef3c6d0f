//! Parts of all our pods, which pass the Pod Security level `restricted`.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, LocalObjectReference, PodSecurityContext, PodSpec,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kaito_api::{PresetOptions, labels};

use crate::images::Images;
use crate::paths;

/// User id of pods that run the base image.
pub(crate) const BASE_USER: i64 = 1000;
/// User id of pods that run only our images.
pub(crate) const OUR_USER: i64 = 65532;

/// Secret key of the token for gated models.
pub(crate) const HUB_TOKEN: &str = "HF_TOKEN";

/// Policy by which the kubelet reports the last lines of a container that ended with an error.
pub(crate) const LAST_LINES: &str = "FallbackToLogsOnError";

/// Restricts the pod: no ServiceAccount token, no Services in its environment, no privileges.
pub(crate) fn restricted(spec: PodSpec, user: i64) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(user),
            fs_group: Some(user),
            // Otherwise the kubelet would visit every file of a large volume at every start.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: spec.containers.into_iter().map(restricted_container).collect(),
        init_containers: spec
            .init_containers
            .map(|all| all.into_iter().map(restricted_container).collect()),
        ..spec
    }
}

fn restricted_container(container: Container) -> Container {
    Container {
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some(LAST_LINES.to_owned()),
        ..container
    }
}

/// Escapes `$(NAME)`, which Kubernetes would replace in arguments.
pub(crate) fn escape(value: &str) -> String {
    value.replace("$(", "$$(")
}

/// Environment variable; an empty value is left out, as the API server does.
pub(crate) fn env(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: (!value.is_empty()).then(|| value.to_owned()),
        ..EnvVar::default()
    }
}

/// Variables for a writable home, and a user name for programs that look one up.
pub(crate) fn home_env() -> Vec<EnvVar> {
    vec![env("HOME", paths::HOME), env("USER", "kaito")]
}

/// Secret with the token for the model hub, if the Workspace names one.
pub(crate) fn hub_secret(options: Option<&PresetOptions>) -> Option<&str> {
    Some(options?.model_access_secret.as_str()).filter(|secret| !secret.is_empty())
}

/// Variable with the token for the model hub, if the Workspace names a Secret. A gated model cannot do without: then the
/// kubelet reports a missing Secret or key.
pub(crate) fn hub_token(options: Option<&PresetOptions>, is_gated: bool) -> Option<EnvVar> {
    let key = SecretKeySelector {
        name: hub_secret(options)?.to_owned(),
        key: HUB_TOKEN.to_owned(),
        optional: Some(!is_gated),
    };
    Some(EnvVar {
        name: HUB_TOKEN.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(key),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    })
}

/// Names of the Secrets with credentials for the images of the pod: the user's, then the administrator's.
pub(crate) fn pull_secrets(options: Option<&PresetOptions>, images: &Images) -> Vec<String> {
    let mut names: Vec<String> = options
        .map(|options| options.image_pull_secrets.clone())
        .unwrap_or_default();
    for name in &images.pull_secrets {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The same, for the kubelet.
pub(crate) fn image_pull_secrets(
    options: Option<&PresetOptions>,
    images: &Images,
) -> Option<Vec<LocalObjectReference>> {
    let names = pull_secrets(options, images).into_iter();
    let references: Vec<_> = names.map(|name| LocalObjectReference { name }).collect();
    (!references.is_empty()).then_some(references)
}

/// The user's image, else ours.
pub(crate) fn image(options: Option<&PresetOptions>, ours: &str) -> String {
    let theirs = options.map(|options| options.image.trim()).unwrap_or_default();
    if theirs.is_empty() {
        ours.to_owned()
    } else {
        theirs.to_owned()
    }
}

/// Requests GPUs only.
pub(crate) fn gpus(count: u32) -> Option<ResourceRequirements> {
    let amount = || [(labels::NVIDIA_GPU.to_owned(), Quantity(count.to_string()))].into();
    (count > 0).then(|| ResourceRequirements {
        limits: Some(amount()),
        requests: Some(amount()),
        ..ResourceRequirements::default()
    })
}
