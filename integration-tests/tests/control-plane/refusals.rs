//! Writes and pods that a part of the API server refuses: the rest is made, and the status names who refuses and what helps.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::tenants::apply;
use crate::world::{self, LIMIT, World};

/// Creates a quota and waits until it counts.
pub(crate) async fn quota(world: &World, hard: Value) -> Result<Api<ResourceQuota>> {
    let api: Api<ResourceQuota> = Api::namespaced(world.client.clone(), &world.namespace);
    let quota = serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}}))?;
    api.create(&PostParams::default(), &quota).await?;
    world
        .env
        .eventually("the quota to count", LIMIT, async || {
            let status = api.get("q").await?.status.context("no status")?;
            ensure!(
                status.used.is_some_and(|used| !used.is_empty()),
                "not counted yet"
            );
            Ok(())
        })
        .await?;
    Ok(api)
}

/// Checks that the controller writes no status while a problem lasts.
pub(crate) async fn no_status_is_written(world: &World) -> Result<()> {
    let mine = |write: &String| write.contains(&world.namespace) && write.contains("status");
    world
        .env
        .eventually("five seconds without a status", LIMIT, async || {
            let writes = world.writes_during(Duration::from_secs(5)).await?;
            let writes: Vec<String> = writes.into_iter().filter(mine).collect();
            ensure!(writes.is_empty(), "{writes:?}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_service_that_a_quota_refuses_is_shown_and_the_model_is_deployed() -> Result<()> {
    let world = world::shared().await?;
    let quota = quota(&world, json!({"services": "0"})).await?;
    let name = world.apply(&world.inference("no-service")).await?;
    let refused = Some("ResourceQuotaExceeded");
    let says = world.condition(&name, "InferenceReady", "False", refused).await?;
    ensure!(
        says.starts_with("Service no-service cannot be written: ")
            && says.contains("exceeded quota: q")
            && says.contains("Raise the ResourceQuota"),
        "{says}"
    );
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    world
        .env
        .eventually("the Deployment", LIMIT, async || {
            deployments.get(&name).await.map(drop).context("no Deployment")
        })
        .await?;
    let workspace = world.workspaces().get(&name).await?;
    let status = workspace.status.context("no status")?;
    ensure!(status.observed_generation == workspace.metadata.generation);
    no_status_is_written(&world).await?;
    quota.delete("q", &DeleteParams::default()).await?;
    world.ready(&name).await?;
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    services.get(&name).await?;
    world.delete(&name).await
}

#[tokio::test]
async fn pods_that_a_quota_or_pod_security_refuses_are_shown() -> Result<()> {
    let world = world::shared().await?;
    let quota = quota(&world, json!({"pods": "0"})).await?;
    let name = world.apply(&world.inference("no-pods")).await?;
    let says = world
        .condition(&name, "InferenceReady", "False", Some("ResourceQuotaExceeded"))
        .await?;
    ensure!(
        says.starts_with("the pods of Deployment no-pods cannot be created: exceeded quota: q"),
        "{says}"
    );
    world.delete(&name).await?;
    quota.delete("q", &DeleteParams::default()).await?;

    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    namespaces
        .patch(&world.namespace, &PatchParams::default(), &Patch::Merge(labels))
        .await?;
    let mut workspace = world.inference("privileged");
    workspace["inference"] = json!({"template": {"spec": {"containers": [
        {"name": "a", "image": "example.com/a:1", "securityContext": {"privileged": true}}]}}});
    let name = world.apply(&workspace).await?;
    let says = world
        .condition(&name, "InferenceReady", "False", Some("PodSecurityViolation"))
        .await?;
    ensure!(
        says.contains("violates PodSecurity \"restricted:latest\"") && says.contains("privileged"),
        "{says}"
    );
    world.delete(&name).await
}

/// Creates a policy that denies gpu-provisioner every write to the Nodes of one Workspace.
async fn deny_writes_to_nodes(world: &World, policy: &str, workspace: &str) -> Result<()> {
    let group = "admissionregistration.k8s.io/v1";
    let nodes = format!(
        "object.metadata.?labels['kaito.sh/workspace'].orValue('') == '{workspace}' && \
         object.metadata.?labels['kaito.sh/workspacenamespace'].orValue('') == '{}'",
        world.namespace
    );
    let objects = [
        json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": policy},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["nodes"], "operations": ["UPDATE"]}]},
                "matchConditions": [
                    {"name": "account", "expression": "request.userInfo.username.endsWith(':gpu-provisioner')"},
                    {"name": "nodes", "expression": nodes}],
                "validations": [{"expression": "false", "message": "these Nodes are frozen"}],
            },
        }),
        json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": policy},
            "spec": {"policyName": policy, "validationActions": ["Deny"]},
        }),
    ];
    for object in &objects {
        apply(&world.client, object, false)
            .await?
            .map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Listings of the cloud and changes of the Node come several times a second here. None of them repeats a refused write.
#[tokio::test]
async fn a_refused_node_patch_is_repeated_at_the_pace_of_its_back_off() -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(40);
    let world = world::shared().await?;
    let policy = format!("freeze-{}", world.namespace);
    deny_writes_to_nodes(&world, &policy, "frozen").await?;
    let name = world.apply(&world.inference("frozen")).await?;
    let says = world
        .env
        .eventually("the refusal in the claim", LIMIT, async || {
            let machine = world.machines(&name).await?.pop().context("no Machine")?;
            let conditions = machine.status.unwrap_or_default().conditions;
            let mut said = conditions.into_iter().map(|condition| condition.message);
            said.find(|message: &String| message.contains("these Nodes are frozen"))
                .context("nothing is said")
        })
        .await?;
    ensure!(says.contains("AdmissionPolicyDenied"), "{says}");
    let node = world.nodes(&name).await?.pop().context("no Node")?.name_any();
    let audit = world.env.audit();
    let mark = audit.mark()?;
    tokio::time::sleep(WATCHED).await;
    let entries = audit.entries_since(mark)?;
    let patches = entries.iter().filter(|entry| {
        entry.resource == "nodes" && entry.name == node && entry.user.ends_with(":gpu-provisioner")
    });
    // The pauses are 10, 20 and 30 s, a quarter more or less.
    let patches = patches.count();
    ensure!((1..=4).contains(&patches), "{patches} writes in {WATCHED:?}");
    let policies: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
    policies.delete(&policy, &DeleteParams::default()).await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

#[tokio::test]
async fn a_load_balancer_that_a_quota_refuses_is_shown_while_the_node_is_paid() -> Result<()> {
    let world = world::shared().await?;
    let quota = quota(&world, json!({"services.loadbalancers": "0"})).await?;
    let mut workspace = world.inference("no-balancer");
    workspace["metadata"]["annotations"] = json!({"kaito.sh/enablelb": "True", "kaito.sh/public": "true"});
    let name = world.apply(&workspace).await?;
    let refused = Some("ResourceQuotaExceeded");
    let says = world.condition(&name, "InferenceReady", "False", refused).await?;
    ensure!(
        says.starts_with("Service no-balancer cannot be written: ")
            && says.contains("services.loadbalancers=1")
            && says.contains("Raise the ResourceQuota"),
        "{says}"
    );
    let status = world.workspaces().get(&name).await?.status.context("no status")?;
    ensure!(status.reason.as_deref() == refused, "{:?}", status.reason);
    quota.delete("q", &DeleteParams::default()).await?;
    world.ready(&name).await?;
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    let kind = services.get(&name).await?.spec.and_then(|spec| spec.type_);
    ensure!(kind.as_deref() == Some("LoadBalancer"), "{kind:?}");
    world.delete(&name).await
}

/// Creates a policy of another owner that denies Deployments in the namespace, and waits until it is in force.
async fn deny_deployments(world: &World, name: &str) -> Result<()> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
    let policy = json!({"metadata": {"name": name}, "spec": {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["deployments"]}],
        },
        "validations": [{"expression": "false", "message": "Deployments need a cost center"}],
    }});
    let binding =
        json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}});
    policies
        .create(&PostParams::default(), &serde_json::from_value(policy)?)
        .await?;
    bindings
        .create(&PostParams::default(), &serde_json::from_value(binding)?)
        .await?;
    let probe: Deployment = serde_json::from_value(json!({"metadata": {"name": "probe"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "example.com/c:1"}]}},
    }}))?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    world
        .env
        .eventually("the policy to deny", LIMIT, async || {
            let created = deployments.create(&dry_run, &probe).await;
            ensure!(created.is_err(), "it does not deny yet");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_policy_of_another_owner_that_denies_the_workload_is_named() -> Result<()> {
    let world = world::shared().await?;
    let policy = format!("{}-costs", world.namespace);
    deny_deployments(&world, &policy).await?;
    let name = world.apply(&world.inference("denied")).await?;
    let says = world
        .condition(&name, "InferenceReady", "False", Some("AdmissionPolicyDenied"))
        .await?;
    ensure!(
        says.starts_with("Deployment denied cannot be written: ")
            && says.contains(&policy)
            && says.contains("Deployments need a cost center"),
        "{says}"
    );
    no_status_is_written(&world).await?;
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
    bindings.delete(&policy, &DeleteParams::default()).await?;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.client.clone());
    policies.delete(&policy, &DeleteParams::default()).await?;
    world.ready(&name).await?;
    world.delete(&name).await
}
