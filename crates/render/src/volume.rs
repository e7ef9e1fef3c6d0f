//! Volumes and their mounts; each constructor gives one volume.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, ImageVolumeSource, KeyToPath, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PodSpec, ProjectedVolumeSource, SecretProjection, SecretVolumeSource, Volume,
    VolumeMount, VolumeProjection, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::Workspace;
use kaito_api::raw::RawObject;

use crate::pod::HUB_TOKEN;
use crate::{canonical, meta, paths};

/// Shared memory of the worker processes of one GPU, in GiB. It is limited because it counts as the node's memory.
const SHM_GIB_PER_GPU: u32 = 8;
/// File mode of credentials: readable by the pod's user and group.
const SECRET_MODE: i32 = 0o440;

/// Parses a user's unnamed volume.
///
/// # Errors
/// When it does not name one known kind of volume; the text is for people.
pub fn parse(raw: &RawObject) -> Result<Volume, String> {
    let mut fields = canonical::pruned(raw);
    fields.remove("name");
    let kinds: Vec<String> = fields.keys().cloned().collect();
    let [kind] = kinds.as_slice() else {
        return Err(format!(
            "a volumeSource must name exactly one kind of volume, not {}",
            kinds.len()
        ));
    };
    let volume: Volume = RawObject(fields).parse().map_err(|error| error.to_string())?;
    // The parser drops kinds that it does not know.
    let known = serde_json::to_value(&volume).is_ok_and(|value| value.get(kind).is_some());
    if known {
        Ok(volume)
    } else {
        Err(format!("unknown kind of volume: {kind}"))
    }
}

/// The user's volume with our name.
pub(crate) fn named(name: &str, volume: &Volume) -> Volume {
    Volume {
        name: name.to_owned(),
        ..volume.clone()
    }
}

/// An empty directory on the node's disk, of unknown size.
///
/// The kubelet evicts a pod whose directory grows above a limit. So there is none for caches of an engine, for files that users
/// name, and for the results of their training: our tools bound what they download and unpack.
pub(crate) fn empty(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

/// An empty directory on the node's disk that does not grow above `limit`, a quantity as the API server spells it.
pub(crate) fn bounded(name: &str, limit: &str) -> Volume {
    let source = EmptyDirVolumeSource {
        size_limit: Some(Quantity(limit.to_owned())),
        ..EmptyDirVolumeSource::default()
    };
    Volume {
        empty_dir: Some(source),
        ..empty(name)
    }
}

/// Shared memory for this many GPUs.
pub(crate) fn shm(gpus: u32) -> Volume {
    let source = EmptyDirVolumeSource {
        medium: Some("Memory".to_owned()),
        size_limit: Some(Quantity(format!(
            "{}Gi",
            SHM_GIB_PER_GPU.saturating_mul(gpus.max(1))
        ))),
        ..EmptyDirVolumeSource::default()
    };
    Volume {
        name: "dshm".to_owned(),
        empty_dir: Some(source),
        ..Volume::default()
    }
}

/// Volume of a ConfigMap.
pub(crate) fn config(name: &str, config_map: &str) -> Volume {
    let source = ConfigMapVolumeSource {
        name: config_map.to_owned(),
        ..ConfigMapVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        config_map: Some(source),
        ..Volume::default()
    }
}

/// One key of a ConfigMap, as a file of another name.
pub(crate) fn config_key(name: &str, config_map: &str, (key, file): (&str, &str)) -> Volume {
    let source = ConfigMapVolumeSource {
        name: config_map.to_owned(),
        items: Some(vec![KeyToPath {
            key: key.to_owned(),
            path: file.to_owned(),
            ..KeyToPath::default()
        }]),
        ..ConfigMapVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        config_map: Some(source),
        ..Volume::default()
    }
}

/// Volume of a ConfigMap that may be missing.
pub(crate) fn optional_config(name: &str, config_map: &str) -> Volume {
    let mut volume = config(name, config_map);
    if let Some(source) = &mut volume.config_map {
        source.optional = Some(true);
    }
    volume
}

/// Docker credentials of several Secrets, each as `<secret>.json`.
pub(crate) fn docker_configs(name: &str, secrets: &[String]) -> Volume {
    let projection = |secret: &String| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.clone(),
            items: Some(vec![KeyToPath {
                key: ".dockerconfigjson".to_owned(),
                path: format!("{secret}.json"),
                ..KeyToPath::default()
            }]),
            ..SecretProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let source = ProjectedVolumeSource {
        sources: Some(secrets.iter().map(projection).collect()),
        default_mode: Some(SECRET_MODE),
        ..ProjectedVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        projected: Some(source),
        ..Volume::default()
    }
}

/// The token for the model hub. Without the Secret the volume is empty, and the server reports the missing token. A gated
/// model cannot do without: then the kubelet reports a missing Secret or key.
pub(crate) fn hub_token(secret: &str, is_gated: bool) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        items: Some(vec![KeyToPath {
            key: HUB_TOKEN.to_owned(),
            path: HUB_TOKEN.to_owned(),
            ..KeyToPath::default()
        }]),
        default_mode: Some(SECRET_MODE),
        optional: Some(!is_gated),
        ..SecretVolumeSource::default()
    };
    Volume {
        name: "hub-token".to_owned(),
        secret: Some(source),
        ..Volume::default()
    }
}

/// These keys of a Secret. A pod without the Secret does not start.
pub(crate) fn secret(name: &str, secret: &str, keys: &[&str]) -> Volume {
    let item = |key: &&str| KeyToPath {
        key: (*key).to_owned(),
        path: (*key).to_owned(),
        ..KeyToPath::default()
    };
    let source = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        items: Some(keys.iter().map(item).collect()),
        default_mode: Some(SECRET_MODE),
        ..SecretVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        secret: Some(source),
        ..Volume::default()
    }
}

/// Mount for writing.
pub(crate) fn mount(name: &str, path: impl Into<String>) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.into(),
        ..VolumeMount::default()
    }
}

/// Mount for reading.
pub(crate) fn mount_read_only(name: &str, path: impl Into<String>) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(name, path)
    }
}

/// The home directory.
pub(crate) fn home() -> (Volume, VolumeMount) {
    (empty("home"), mount("home", paths::HOME))
}

/// Name of the volume with the weights.
const WEIGHTS: &str = "model-weights-volume";

/// Directory of the weights, which are downloaded for every pod. They fit the disk for which nodes are sized.
pub(crate) fn weights(disk_gib: u32) -> Volume {
    let limit = canonical::quantity(&format!("{disk_gib}Gi")).filter(|_| disk_gib > 0);
    limit.map_or_else(|| empty(WEIGHTS), |limit| bounded(WEIGHTS, &limit))
}

/// Template of volumes for the weights. Kubernetes makes one for each pod of a StatefulSet.
pub(crate) fn claim_template(workspace: &Workspace, class: &str, gib: u64) -> PersistentVolumeClaim {
    let size = format!("{gib}Gi");
    let size = canonical::quantity(&size).unwrap_or(size);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(WEIGHTS.to_owned()),
            labels: Some(meta::pod_labels(workspace)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: Some(class.to_owned()),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// Name of the pod for which a StatefulSet made a claim of this name.
#[must_use]
pub fn pod_of_weights_claim(claim: &str) -> Option<&str> {
    claim.strip_prefix(WEIGHTS)?.strip_prefix('-')
}

/// Mount of the weights for a step that fills their volume.
pub(crate) fn weights_mount() -> VolumeMount {
    mount(WEIGHTS, paths::WEIGHTS)
}

/// Files of an image with the weights. The kubelet pulls it unless the node has it.
pub(crate) fn weights_of_image(reference: &str) -> (Volume, VolumeMount) {
    let source = ImageVolumeSource {
        reference: Some(reference.to_owned()),
        pull_policy: Some("IfNotPresent".to_owned()),
    };
    let volume = Volume {
        name: WEIGHTS.to_owned(),
        image: Some(source),
        ..Volume::default()
    };
    (volume, mount_read_only(WEIGHTS, paths::WEIGHTS))
}

/// Returns the image with the weights of a pod, if it is mounted as a volume.
#[must_use]
pub fn weights_image(spec: &PodSpec) -> Option<&str> {
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let weights = volumes.iter().find(|volume| volume.name == WEIGHTS)?;
    weights.image.as_ref()?.reference.as_deref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(source: Value, problem: Option<&str>) {
        let Value::Object(fields) = source else {
            panic!("an object")
        };
        let answer = parse(&RawObject(fields)).err();
        match (problem, answer) {
            (None, None) => {}
            (Some(part), Some(text)) if text.contains(part) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_known_kind_is_a_volume() {
        check(
            json!({"persistentVolumeClaim": {"claimName": "data", "readOnly": false}}),
            None,
        );
        check(json!({"name": "x", "emptyDir": {}}), None);
        check(json!({}), Some("exactly one kind"));
        check(json!({"emptyDir": {}, "hostPath": {"path": "/"}}), Some("not 2"));
        check(json!({"floppy": {}}), Some("unknown kind of volume: floppy"));
        check(json!({"hostPath": "/x"}), Some("invalid type"));
    }
}
