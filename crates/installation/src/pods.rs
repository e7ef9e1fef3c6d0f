//! Pods of a user, and descriptions of pods for failures.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::{Installation, LIMIT, SHELL_IMAGE};

impl Installation {
    /// Runs a script in a pod of the namespace, and returns what it printed.
    ///
    /// # Errors
    /// When the pod does not end.
    pub async fn in_a_pod(&self, namespace: &str, script: &str) -> Result<String> {
        let name = self.start_pod(namespace, script).await?;
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        self.env
            .eventually(&format!("the pod {name} to end"), LIMIT, async || {
                let status = pods.get(&name).await?.status.unwrap_or_default();
                let phase = status.phase.clone().unwrap_or_default();
                ensure!(phase == "Succeeded" || phase == "Failed", "{status:?}");
                Ok(())
            })
            .await?;
        self.end_pod(namespace, &name).await
    }

    /// Starts a script in a pod of the namespace, and returns the name of the pod.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn start_pod(&self, namespace: &str, script: &str) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        Ok(pods
            .create(&PostParams::default(), &shell(script)?)
            .await?
            .name_any())
    }

    /// The log of the pod's first container until now.
    ///
    /// # Errors
    /// When the pod does not run yet.
    pub async fn log(&self, namespace: &str, pod: &str) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        let spec = pods.get(pod).await?.spec.unwrap_or_default();
        let params = LogParams {
            container: spec.containers.first().map(|container| container.name.clone()),
            ..LogParams::default()
        };
        let log = pods.logs(pod, &params).await;
        log.with_context(|| format!("failed to read the log of {pod}"))
    }

    /// Deletes a pod, and returns what it printed.
    ///
    /// # Errors
    /// When there is no such pod.
    pub async fn end_pod(&self, namespace: &str, pod: &str) -> Result<String> {
        let log = self.log(namespace, pod).await?;
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        pods.delete(pod, &DeleteParams::default().grace_period(0)).await?;
        Ok(log)
    }

    /// Pods and their problems, for a failure.
    pub(crate) async fn describe(&self, namespace: &str) -> String {
        let Ok(client) = self.client().await else {
            return String::new();
        };
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let Ok(list) = pods.list(&ListParams::default()).await else {
            return String::new();
        };
        let last = LogParams {
            tail_lines: Some(20),
            ..LogParams::default()
        };
        let mut text = String::new();
        for pod in list {
            let name = pod.name_any();
            let status = serde_json::to_string(&pod.status).unwrap_or_default();
            let log = pods.logs(&name, &last).await;
            text += &format!("pod {name}: {status}\n{}\n", log.unwrap_or_default());
        }
        text
    }
}

/// A pod with bash and curl that `restricted` admits.
fn shell(script: &str) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"generateName": "user-"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "shell", "image": SHELL_IMAGE, "args": ["-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))?)
}
