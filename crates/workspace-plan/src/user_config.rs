//! The ConfigMap that a Workspace names: the part of it that plans read, and a digest of all of it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::{Workspace, labels, names};
use preset_catalog::engine_config::INFERENCE_CONFIG_KEY;
use preset_catalog::training_config::TRAINING_CONFIG_KEY;

use crate::metadata::annotation;

/// Most ConfigMaps of one namespace that are read. A user can name many, and each has a watch of its own.
pub const MOST_USER_CONFIGS: usize = 128;
/// Longest text of a key that is kept, in bytes: one more than is accepted.
const LONGEST: usize = (64 << 10) + 1;
/// Most keys whose names are kept. Their texts are files of the pod, which no plan reads.
const MOST_KEYS: usize = 100;

/// State of the ConfigMap that a Workspace names, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigLookup {
    /// The Workspace names none.
    NotNeeded,
    /// It was not read yet. The Workspace is enqueued when it is.
    Asking,
    /// The Workspaces of the namespace name more than [`MOST_USER_CONFIGS`].
    TooMany,
    /// It does not exist.
    Missing,
    /// It exists, stripped by [`strip`].
    Found(Arc<ConfigMap>),
}

/// Name of the ConfigMap to look up for a Workspace. Pods of the user's own do not use it.
#[must_use]
pub fn config_to_look_up(workspace: &Workspace) -> Option<&str> {
    let spec = &workspace.spec;
    let inference = spec.inference.as_ref().filter(|spec| spec.preset.is_some());
    let name = match (inference, &spec.tuning) {
        (Some(inference), _) => inference.config.as_str(),
        (None, Some(tuning)) => tuning.config.as_str(),
        (None, None) => "",
    };
    Some(name).filter(|name| !name.is_empty() && !workspace.is_terminating())
}

/// Strips a user's ConfigMap to the keys that plans read. A digest of everything stands in for the rest.
pub fn strip(config_map: &mut ConfigMap) {
    let data = config_map.data.iter().flatten();
    let texts = data.flat_map(|(key, text)| [key.clone(), text.clone()]);
    let binary = config_map.binary_data.iter().flatten();
    let binary = binary.flat_map(|(key, bytes)| [key.clone(), format!("{:?}", bytes.0)]);
    let parts: Vec<String> = texts.chain(["binary".to_owned()]).chain(binary).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let digest = names::digest(&parts)[..16].to_owned();
    if let Some(data) = &mut config_map.data {
        let is_read = |key: &str| [INFERENCE_CONFIG_KEY, TRAINING_CONFIG_KEY].contains(&key);
        let mut others = 0;
        data.retain(|key, _| {
            others += usize::from(!is_read(key));
            is_read(key) || others <= MOST_KEYS
        });
        for (key, text) in data {
            text.truncate(if is_read(key) {
                text.floor_char_boundary(LONGEST)
            } else {
                0
            });
        }
    }
    config_map.binary_data = None;
    config_map.metadata.labels = None;
    config_map.metadata.annotations = Some([(labels::CONFIG_HASH.to_owned(), digest)].into());
}

/// Text of a key of a stripped ConfigMap.
pub(crate) fn text<'a>(config_map: &'a ConfigMap, key: &str) -> Option<&'a str> {
    config_map.data.as_ref()?.get(key).map(String::as_str)
}

/// Reports whether a ConfigMap has a file of this name, as far as the names of its keys are kept.
pub(crate) fn may_have(config_map: &ConfigMap, file: &str) -> bool {
    let keys = config_map.data.as_ref();
    keys.is_some_and(|keys| keys.contains_key(file) || keys.len() >= MOST_KEYS)
}

/// Digest of a ConfigMap before it was stripped.
pub(crate) fn digest(config_map: &ConfigMap) -> &str {
    annotation(&config_map.metadata, labels::CONFIG_HASH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stripped(data: &serde_json::Value) -> ConfigMap {
        let mut config_map = serde_json::from_value(json!({
            "metadata": {"name": "c", "annotations": {"kaito.sh/config-hash": "forged"}, "labels": {"a": "b"}},
            "data": data, "binaryData": {"b": "AAECAw=="},
        }))
        .unwrap();
        strip(&mut config_map);
        config_map
    }

    #[test]
    fn everything_counts_and_little_is_kept() {
        let one = stripped(&json!({"inference_config.yaml": "vllm: {}", "template.jinja": "a"}));
        let other = stripped(&json!({"inference_config.yaml": "vllm: {}", "template.jinja": "b"}));
        assert_ne!(digest(&one), digest(&other));
        assert_eq!(digest(&one).len(), 16);
        assert_eq!(text(&one, INFERENCE_CONFIG_KEY), Some("vllm: {}"));
        assert_eq!(text(&one, "template.jinja"), Some(""));
        assert!(may_have(&one, "template.jinja") && !may_have(&one, "other.jinja"));
        let many: serde_json::Map<_, _> = (0..5000).map(|n| (format!("k{n}"), json!("text"))).collect();
        let many = stripped(&many.into());
        assert!(many.data.as_ref().unwrap().len() <= MOST_KEYS && may_have(&many, "unknown"));
        assert_eq!(one.binary_data, None);
        let long = stripped(&json!({"inference_config.yaml": "ü".repeat(100_000)}));
        assert!(text(&long, INFERENCE_CONFIG_KEY).unwrap().len() <= LONGEST);
    }

    #[test]
    fn a_workspace_names_at_most_one() {
        let name = |spec: serde_json::Value| {
            let mut object =
                json!({"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"}});
            object
                .as_object_mut()
                .unwrap()
                .extend(spec.as_object().unwrap().clone());
            let workspace: Workspace = serde_json::from_value(object).unwrap();
            config_to_look_up(&workspace).map(str::to_owned)
        };
        let preset = json!({"name": "phi-4"});
        assert_eq!(
            name(json!({"inference": {"preset": preset, "config": "c"}})).as_deref(),
            Some("c")
        );
        assert_eq!(name(json!({"inference": {"preset": preset}})), None);
        assert_eq!(name(json!({"inference": {"template": {}, "config": "c"}})), None);
        let tuning = json!({"preset": preset, "method": "lora", "config": "t", "input": {}, "output": {}});
        assert_eq!(name(json!({"tuning": tuning})).as_deref(), Some("t"));
    }
}
