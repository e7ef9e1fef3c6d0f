//! Keeps a running model at the commit that it was started with.
//!
//! The registry names the head of a hub's branch, which moves with every edit of a README. A running workload keeps the commit
//! of its own arguments; a new one takes the registry's. Who may edit the workload may change the commit, and could as well
//! change the image.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use preset_catalog::Preset;

use crate::observed::{PresetLookup, Workloads};

/// Returns the lookup with the commit that the running workload has.
pub(crate) fn keep(lookup: PresetLookup, workloads: &Workloads) -> PresetLookup {
    let with_commit = |preset: Arc<Preset>| match running(&preset, workloads) {
        Some(commit) if preset.revision.as_deref() != Some(commit) => Arc::new(Preset {
            revision: Some(commit.to_owned()),
            ..Preset::clone(&preset)
        }),
        _ => preset,
    };
    match lookup {
        PresetLookup::Found(preset) => PresetLookup::Found(with_commit(preset)),
        PresetLookup::Unavailable { message, last_good } => PresetLookup::Unavailable {
            message,
            last_good: last_good.map(with_commit),
        },
        other => other,
    }
}

/// Returns the commit of a workload that serves the same model.
fn running<'a>(preset: &Preset, workloads: &'a Workloads) -> Option<&'a str> {
    let deployment = workloads.deployment.as_ref().and_then(|object| {
        let template = &object.spec.template;
        template.spec.as_ref()
    });
    let stateful_set = workloads.stateful_set.as_ref().and_then(|object| {
        let template = &object.spec.template;
        template.spec.as_ref()
    });
    deployment
        .into_iter()
        .chain(stateful_set)
        .find_map(|pod| commit_of(pod, &preset.hub_id))
}

fn commit_of<'a>(pod: &'a PodSpec, hub_id: &str) -> Option<&'a str> {
    let init = pod.init_containers.iter().flatten();
    init.chain(&pod.containers).find_map(|container| {
        let args = || container.command.iter().chain(&container.args).flatten();
        let value = |flag: &str| args().find_map(|arg| arg.strip_prefix(flag));
        let same_model = value("--model=").is_some_and(|model| model.eq_ignore_ascii_case(hub_id));
        value("--revision=").filter(|commit| same_model && is_commit(commit))
    })
}

/// Returns true for a commit of Git. A branch that a user wrote there would move again.
fn is_commit(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    [40, 64].contains(&text.len()) && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::json;

    use super::*;

    fn workloads(args: &[&str]) -> Workloads {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "w"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "proxy", "args": ["--revision=main"]},
                {"name": "w", "args": args},
            ]}}},
        }))
        .unwrap();
        Workloads {
            deployment: Some(Arc::new(deployment)),
            ..Workloads::default()
        }
    }

    fn kept(args: &[&str]) -> Option<String> {
        let catalog = preset_catalog::Catalog::embedded().unwrap();
        let preset = Arc::new(Preset {
            revision: Some("b".repeat(40)),
            ..catalog.find("phi-4").unwrap().clone()
        });
        match keep(PresetLookup::Found(preset), &workloads(args)) {
            PresetLookup::Found(preset) => preset.revision.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_running_model_keeps_its_commit() {
        let old = "a".repeat(40);
        let flag = format!("--revision={old}");
        assert_eq!(kept(&["--model=microsoft/phi-4", &flag]), Some(old));
        let new = Some("b".repeat(40));
        assert_eq!(kept(&[]), new, "a new workload takes the registry's");
        assert_eq!(kept(&["--model=other/model", &flag]), new, "another model");
        assert_eq!(
            kept(&["--model=microsoft/phi-4", "--revision=main"]),
            new,
            "no commit"
        );
    }
}
