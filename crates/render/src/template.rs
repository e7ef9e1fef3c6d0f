//! A pod template of the user's own.
//!
//! It runs unchanged: labels, tolerations, node affinity and the report of last lines are added, nothing is removed, and
//! the security settings are the user's.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use kaito_api::Workspace;
use kaito_api::raw::RawObject;

use crate::platform::Platform;
use crate::{canonical, deployment, meta, pod, scheduling};

/// A user's pod template to run.
#[derive(Clone, Debug)]
pub struct Custom<'a> {
    /// The Workspace that asks for it.
    pub workspace: &'a Workspace,
    /// The template; see [`parse`].
    pub template: &'a PodTemplateSpec,
    /// Number of nodes, with one pod each.
    pub nodes: u32,
    /// The installation.
    pub platform: &'a Platform,
}

impl Custom<'_> {
    /// Renders the Deployment that runs the template.
    #[must_use]
    pub fn deployment(&self) -> Deployment {
        let mut template = self.template.clone();
        let labels = &mut template.metadata.get_or_insert_default().labels;
        labels
            .get_or_insert_default()
            .extend(meta::pod_labels(self.workspace));
        let spec = template.spec.get_or_insert_default();
        spec.affinity = scheduling::with_nodes(spec.affinity.take(), self.workspace, self.platform);
        add_tolerations(spec, self.workspace, self.platform);
        report_last_lines(spec);
        deployment::deployment(self.workspace, self.nodes, template)
    }
}

/// Lets the kubelet report the last lines of a container that ended with an error. A policy or a file that the user
/// chose stays.
fn report_last_lines(spec: &mut PodSpec) {
    let init = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(init) {
        if container.termination_message_path.is_none() {
            let policy = &mut container.termination_message_policy;
            policy.get_or_insert_with(|| pod::LAST_LINES.to_owned());
        }
    }
}

fn add_tolerations(spec: &mut PodSpec, workspace: &Workspace, platform: &Platform) {
    let all = spec.tolerations.get_or_insert_default();
    for toleration in scheduling::tolerations(workspace, platform) {
        if !all.contains(&toleration) {
            all.push(toleration);
        }
    }
}

/// Parses a user's template, spelled as the API server stores it.
///
/// # Errors
/// When it cannot run; the text is for people.
pub fn parse(raw: &RawObject) -> Result<PodTemplateSpec, String> {
    let pruned = RawObject(canonical::pruned(raw));
    let mut template: PodTemplateSpec = pruned.parse().map_err(|error| error.to_string())?;
    let spec = template.spec.as_mut().ok_or("spec must be set")?;
    canonical::quantities(spec);
    validate(spec)?;
    Ok(template)
}

fn validate(spec: &PodSpec) -> Result<(), String> {
    if spec.containers.is_empty() {
        return Err("spec.containers must not be empty".to_owned());
    }
    if let Some(policy) = spec
        .restart_policy
        .as_deref()
        .filter(|policy| *policy != "Always")
    {
        return Err(format!("spec.restartPolicy must be Always, not {policy}"));
    }
    let init = spec.init_containers.iter().flatten();
    for container in spec.containers.iter().chain(init) {
        if container.name.is_empty() {
            return Err("every container must have a name".to_owned());
        }
        if container.image.is_none() {
            return Err(format!("container {} must have an image", container.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(template: Value, problem: &str) {
        let Value::Object(fields) = template else {
            panic!("an object")
        };
        let answer = parse(&RawObject(fields)).err().unwrap_or_default();
        assert!(
            if problem.is_empty() {
                answer.is_empty()
            } else {
                answer.contains(problem)
            },
            "{answer}"
        );
    }

    #[test]
    fn what_can_run_is_accepted() {
        check(
            json!({"spec": {"containers": [{"name": "a", "image": "i", "resources": {"limits": {"x": 1}}}]}}),
            "",
        );
        check(json!({}), "spec must be set");
        check(json!({"spec": {"containers": []}}), "must not be empty");
        check(json!({"spec": {"containers": "a"}}), "invalid type");
        check(
            json!({"spec": {"containers": [{"image": "i"}]}}),
            "must have a name",
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}]}}),
            "container a must have an image",
        );
        check(
            json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}),
            "Never",
        );
    }
}
