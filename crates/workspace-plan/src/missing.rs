//! Objects that a pod needs and that do not exist, from the words of the kubelet and the scheduler.

use std::collections::BTreeSet;

use kaito_api::conditions::WorkspaceReason;

use crate::problem::Problem;

/// Kinds by the words of the API server and the kubelet.
const KINDS: [(WorkspaceReason, &str, &str); 5] = [
    (WorkspaceReason::ConfigMapNotFound, "configmap", "ConfigMap"),
    (WorkspaceReason::SecretNotFound, "secret", "Secret"),
    (
        WorkspaceReason::VolumeClaimNotFound,
        "persistentvolumeclaim",
        "PersistentVolumeClaim",
    ),
    (
        WorkspaceReason::StorageClassNotFound,
        "storageclass.storage.k8s.io",
        "StorageClass",
    ),
    (
        WorkspaceReason::ServiceAccountNotFound,
        "serviceaccount",
        "ServiceAccount",
    ),
];

/// A missing object, or a missing key of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MissingObject {
    reason: WorkspaceReason,
    /// Kind and name.
    text: String,
}

impl MissingObject {
    /// Finds the missing object that a message names.
    pub(crate) fn in_message(message: &str) -> Option<Self> {
        KINDS.into_iter().find_map(|(reason, word, kind)| {
            let text = object(message, word, kind)
                .or_else(|| key(message, kind))
                .or_else(|| key_of_volume(message, kind))?;
            Some(Self { reason, text })
        })
    }

    /// Returns the problem that these objects are missing; `None` if there are none.
    pub(crate) fn problem(what: &str, all: &BTreeSet<Self>) -> Option<Problem> {
        let first = all.first()?;
        let texts: Vec<&str> = all.iter().map(|object| object.text.as_str()).collect();
        let cause = format!("{what} needs what does not exist: {}", texts.join(", "));
        Some(Problem::new(first.reason, cause))
    }
}

// `configmap "a" not found`, and the plural of the API server.
fn object(message: &str, word: &str, kind: &str) -> Option<String> {
    let starts = [format!("{word} \""), format!("{word}s \"")];
    let mut rests = starts.iter().filter_map(|start| message.split_once(start));
    rests.find_map(|(_, rest)| {
        let (name, after) = rest.split_once('"')?;
        after.starts_with(" not found").then(|| format!("{kind} {name}"))
    })
}

// `couldn't find key k in Secret namespace/a`.
fn key(message: &str, kind: &str) -> Option<String> {
    let (_, rest) = message.split_once("couldn't find key ")?;
    let (key, rest) = rest.split_once(&format!(" in {kind} "))?;
    let object = rest.split_whitespace().next()?;
    let name = object.rsplit_once('/').map_or(object, |(_, name)| name);
    Some(format!("key {key} of {kind} {name}"))
}

// `MountVolume.SetUp failed for volume "v" : references non-existent config key: k`.
fn key_of_volume(message: &str, kind: &str) -> Option<String> {
    let word = match kind {
        "ConfigMap" => "config",
        "Secret" => "secret",
        _ => return None,
    };
    let (before, rest) = message.split_once(&format!("references non-existent {word} key: "))?;
    let key = rest.split_whitespace().next()?;
    let (_, volume) = before.split_once("for volume \"")?;
    let (volume, _) = volume.split_once('"')?;
    Some(format!("key {key} of the {kind} of volume {volume}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_object() {
        let check = |message: &str, expected: Option<(WorkspaceReason, &str)>| {
            let found = MissingObject::in_message(message);
            assert_eq!(
                found.as_ref().map(|object| (object.reason, object.text.as_str())),
                expected,
                "{message}"
            );
        };
        use WorkspaceReason as Reason;
        let of_config = (Reason::ConfigMapNotFound, "ConfigMap a.b");
        check(
            "MountVolume.SetUp failed for volume \"config\" : configmap \"a.b\" not found",
            Some(of_config),
        );
        check("configmaps \"a.b\" not found", Some(of_config));
        check(
            "secret \"push\" not found",
            Some((Reason::SecretNotFound, "Secret push")),
        );
        check(
            "couldn't find key HF_TOKEN in Secret default/hf",
            Some((Reason::SecretNotFound, "key HF_TOKEN of Secret hf")),
        );
        check(
            "MountVolume.SetUp failed for volume \"config\" : references non-existent config key: inference_config.yaml",
            Some((
                Reason::ConfigMapNotFound,
                "key inference_config.yaml of the ConfigMap of volume config",
            )),
        );
        check(
            "0/3 nodes are available: persistentvolumeclaim \"data\" not found. not found",
            Some((Reason::VolumeClaimNotFound, "PersistentVolumeClaim data")),
        );
        check(
            "Error creating: pods \"w-\" is forbidden: error looking up service account d/s: serviceaccount \"s\" not found",
            Some((Reason::ServiceAccountNotFound, "ServiceAccount s")),
        );
        check(
            "storageclass.storage.k8s.io \"fast\" not found",
            Some((Reason::StorageClassNotFound, "StorageClass fast")),
        );
        check("configmap \"a\" is too large", None);
        check(
            "MountVolume.SetUp failed for volume \"v\" : mount failed: exit status 32",
            None,
        );
    }
}
