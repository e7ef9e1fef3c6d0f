//! Pod Security level `restricted`, <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.

use k8s_openapi::api::core::v1::{Container, PodSpec, SeccompProfile, Volume};
use serde_json::Value;

use crate::containers::containers;
use crate::findings::Findings;

/// Kinds of volumes that the level allows.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Checks one pod spec.
pub(super) fn check(spec: &PodSpec, found: &mut Findings) {
    found.at("pod security:", |found| {
        check_host(spec, found);
        for volume in spec.volumes.iter().flatten() {
            found.unless(is_allowed(volume), || {
                format!("volume {} is of a forbidden kind", volume.name)
            });
        }
        for container in containers(spec) {
            found.at(container.name.clone(), |found| {
                check_container(spec, container, found)
            });
        }
    });
}

fn check_host(spec: &PodSpec, found: &mut Findings) {
    for (what, used) in [
        ("hostNetwork", spec.host_network),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
    ] {
        found.unless(used != Some(true), || what.to_owned());
    }
    let root = spec
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user)
        == Some(0);
    found.unless(!root, || "runAsUser 0".to_owned());
}

fn is_allowed(volume: &Volume) -> bool {
    let Ok(Value::Object(fields)) = serde_json::to_value(volume) else {
        return false;
    };
    fields
        .keys()
        .filter(|key| *key != "name")
        .all(|kind| VOLUMES.contains(&kind.as_str()))
}

fn check_container(spec: &PodSpec, container: &Container, found: &mut Findings) {
    let own = container.security_context.as_ref();
    let pod = spec.security_context.as_ref();
    let non_root = own
        .and_then(|c| c.run_as_non_root)
        .or_else(|| pod.and_then(|p| p.run_as_non_root));
    found.unless(non_root == Some(true), || "runAsNonRoot must be true".to_owned());
    found.unless(own.and_then(|c| c.run_as_user) != Some(0), || {
        "runAsUser 0".to_owned()
    });
    let seccomp = own
        .and_then(|c| c.seccomp_profile.as_ref())
        .or_else(|| pod.and_then(|p| p.seccomp_profile.as_ref()));
    found.unless(seccomp.is_some_and(is_confined), || {
        "seccompProfile must be RuntimeDefault".to_owned()
    });
    let escalates = own.and_then(|c| c.allow_privilege_escalation) != Some(false);
    found.unless(!escalates, || "allowPrivilegeEscalation must be false".to_owned());
    found.unless(own.and_then(|c| c.privileged) != Some(true), || {
        "privileged".to_owned()
    });
    let capabilities = own.and_then(|c| c.capabilities.as_ref());
    let drops = capabilities
        .and_then(|c| c.drop.as_ref())
        .is_some_and(|drop| drop.iter().any(|c| c == "ALL"));
    found.unless(drops, || "all capabilities must be dropped".to_owned());
    let added = capabilities.and_then(|c| c.add.as_deref()).unwrap_or_default();
    found.unless(added.iter().all(|c| c == "NET_BIND_SERVICE"), || {
        format!("capabilities {added:?} are added")
    });
    let on_host = container
        .ports
        .iter()
        .flatten()
        .any(|port| port.host_port.is_some_and(|port| port != 0));
    found.unless(!on_host, || "hostPort".to_owned());
}

fn is_confined(profile: &SeccompProfile) -> bool {
    matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost")
}
