//! LoRA adapters of an inference workload, one directory each.

use k8s_openapi::api::core::v1::{Container, EnvVar, Volume, VolumeMount};

use kaito_api::names;

use crate::artifact::{self, Payload};
use crate::platform::Platform;
use crate::{paths, pod, volume};

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
pub(crate) fn parts(adapters: &[Adapter], platform: &Platform) -> Parts {
    let mut parts = Parts::default();
    if adapters
        .iter()
        .any(|adapter| matches!(adapter.payload, Payload::Image { .. }))
    {
        parts.volumes.push(volume::empty(VOLUME));
        parts.mounts.push(volume::mount(VOLUME, paths::ADAPTERS));
    }
    for adapter in adapters {
        add(&mut parts, adapter, platform);
    }
    parts
}

fn add(parts: &mut Parts, adapter: &Adapter, platform: &Platform) {
    let directory = format!("{}/{}", paths::ADAPTERS, adapter.name);
    match &adapter.payload {
        Payload::Image {
            reference,
            pull_secrets,
        } => {
            let name = format!("puller-{}", label(&adapter.name));
            let into = volume::mount(VOLUME, paths::ADAPTERS);
            let (container, secrets) =
                artifact::puller(&name, (reference, pull_secrets), (&directory, into), platform);
            parts.init.push(container);
            parts.volumes.extend(secrets);
        }
        Payload::Volume(source) => {
            let name = format!("{VOLUME}-{}", label(&adapter.name));
            parts.volumes.push(volume::named(&name, source));
            parts.mounts.push(volume::mount_read_only(&name, directory));
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

/// Strengths as the base image reads them: environment variables named after the adapters. A variable cannot begin
/// with a digit, so such an adapter has full strength there.
pub(crate) fn strength_env(adapters: &[Adapter]) -> impl Iterator<Item = EnvVar> {
    adapters
        .iter()
        .filter(|adapter| {
            !adapter.strength.is_empty() && !adapter.name.starts_with(|c: char| c.is_ascii_digit())
        })
        .map(|adapter| pod::env(&adapter.name, &adapter.strength))
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
