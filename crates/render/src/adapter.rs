//! LoRA adapters of an inference workload, one directory each.

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};

use kaito_api::names;

use preset_catalog::Runtime;

use crate::artifact::{self, Payload};
use crate::platform::Platform;
use crate::{paths, volume};

/// The volume that pulled adapters share.
const VOLUME: &str = "adapter-volume";

/// One adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Name: a DNS subdomain.
    pub name: String,
    /// Merge strength, a decimal; empty means 1.
    pub strength: String,
    /// Source of its files.
    pub payload: Payload,
}

/// Additions to a pod.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) volumes: Vec<Volume>,
    pub(crate) mounts: Vec<VolumeMount>,
    pub(crate) init: Vec<Container>,
}

/// Renders the volumes, mounts and pullers of all adapters.
///
/// vLLM knows no strengths, so our tool writes them into the files that it pulls or copies. Our own engine takes them as
/// flags.
pub(crate) fn parts(adapters: &[Adapter], engine: Runtime, platform: &Platform) -> Parts {
    let mut parts = Parts::default();
    let is_written = |adapter: &Adapter| {
        matches!(adapter.payload, Payload::Image { .. }) || written_strength(adapter, engine).is_some()
    };
    if adapters.iter().any(is_written) {
        parts.volumes.push(volume::empty(VOLUME));
        parts.mounts.push(volume::mount(VOLUME, paths::ADAPTERS));
    }
    for adapter in adapters {
        add(&mut parts, adapter, written_strength(adapter, engine), platform);
    }
    parts
}

/// The strength that must be written into the files; `None` for full strength, and if the engine takes it as a flag.
fn written_strength(adapter: &Adapter, engine: Runtime) -> Option<&str> {
    let strength = Some(adapter.strength.as_str()).filter(|_| engine == Runtime::Vllm)?;
    let is_full = strength.parse::<f64>().is_ok_and(|number| number >= 1.0);
    (!strength.is_empty() && !is_full).then_some(strength)
}

fn add(parts: &mut Parts, adapter: &Adapter, strength: Option<&str>, platform: &Platform) {
    let directory = format!("{}/{}", paths::ADAPTERS, adapter.name);
    match &adapter.payload {
        Payload::Image {
            reference,
            pull_secrets,
        } => {
            let name = format!("puller-{}", label(&adapter.name));
            let into = volume::mount(VOLUME, paths::ADAPTERS);
            let (mut container, secrets) =
                artifact::puller(&name, (reference, pull_secrets), (&directory, into), platform);
            if let Some(strength) = strength {
                let flags = container.args.get_or_insert_default();
                // The reference is last.
                flags.insert(
                    flags.len().saturating_sub(1),
                    format!("--lora-strength={strength}"),
                );
            }
            parts.init.push(container);
            parts.volumes.extend(secrets);
        }
        Payload::Volume(source) => {
            let name = format!("{VOLUME}-{}", label(&adapter.name));
            parts.volumes.push(volume::named(&name, source));
            let Some(strength) = strength else {
                parts.mounts.push(volume::mount_read_only(&name, directory));
                return;
            };
            // The user's volume is not changed.
            let from = format!("{}/{}", paths::ADAPTER_SOURCES, adapter.name);
            let args = vec![
                "copy".to_owned(),
                format!("--from={from}"),
                format!("--to={directory}"),
                format!("--lora-strength={strength}"),
            ];
            let mounts = vec![
                volume::mount_read_only(&name, from),
                volume::mount(VOLUME, paths::ADAPTERS),
            ];
            let copier = format!("copier-{}", label(&adapter.name));
            parts
                .init
                .push(artifact::container(&copier, args, mounts, platform));
        }
    }
}

/// Longest adapter name that containers and volumes carry unchanged: with our prefixes it is a DNS label.
const LONGEST: usize = 40;
/// Characters of a longer name that are kept; nine more tell it from others.
const KEPT: usize = LONGEST - 9;

/// Adapter name as part of a DNS label. Names with dots and long names are cut, and a digest keeps them apart.
fn label(name: &str) -> String {
    if name.len() <= LONGEST && !name.contains('.') {
        return name.to_owned();
    }
    let start: String = name.replace('.', "-").chars().take(KEPT).collect();
    format!("{start}-{}", &names::digest(&[name])[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_adapter_name_becomes_part_of_a_dns_label() {
        assert_eq!(label("my-adapter"), "my-adapter");
        let long = "a".repeat(253);
        let labels = ["a.b", "a-b", "a.b.", &long, &long[..252], &"a".repeat(40)].map(label);
        for label in &labels {
            assert!(label.len() <= LONGEST && !label.contains('.'), "{label}");
        }
        let distinct: std::collections::BTreeSet<&String> = labels.iter().collect();
        assert_eq!(distinct.len(), labels.len(), "{labels:?}");
    }
}
