//! The operator's own accounts on a real API server: what the policies on them reject. That nothing is rejected that the
//! programs do, every other test shows: the chart of all of them has these policies.

#![allow(
    clippy::needless_pass_by_value,
    reason = "tables of cases are values, written where they are passed"
)]

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};
use testkit::NAMESPACE;

use admission_cases::{inference, with};

use crate::tenants::{Tenants, api_of, apply};

const IN_FORCE: Duration = Duration::from_secs(20);

async fn account(world: &Tenants, name: &str) -> Result<Client> {
    let kubeconfig = world.env.service_account_kubeconfig(NAMESPACE, name).await?;
    world.env.client_with(&kubeconfig).await
}

/// Applies as a program and demands a rejection with this part, or an acceptance.
async fn check(world: &Tenants, client: &Client, object: &Value, part: Option<&str>) -> Result<()> {
    let verdict = async || match (apply(client, object, true).await?, part) {
        (Ok(()), None) => Ok(()),
        (Err(message), Some(part)) if message.contains(part) => Ok(()),
        (answer, _) => bail!("expected {part:?}, got {answer:?} for {object}"),
    };
    world.env.eventually("a verdict", IN_FORCE, verdict).await
}

async fn merge(client: &Client, object: &Value, body: &Value, part: Option<&str>) -> Result<()> {
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let answer = api_of(client, object)?
        .patch(name, &params, &Patch::Merge(body))
        .await;
    matches(answer.map(drop), part).with_context(|| format!("{body} on {object}"))
}

async fn delete(client: &Client, object: &Value, part: Option<&str>) -> Result<()> {
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let params = DeleteParams {
        dry_run: true,
        ..DeleteParams::default()
    };
    let answer = api_of(client, object)?.delete(name, &params).await;
    matches(answer.map(drop), part).with_context(|| format!("deletion of {object}"))
}

fn matches(answer: Result<(), Error>, part: Option<&str>) -> Result<()> {
    match (answer, part) {
        (Ok(()), None) => Ok(()),
        (Err(Error::Api(status)), Some(part)) => {
            ensure!(status.message.contains(part), "{}", status.message);
            Ok(())
        }
        (answer, part) => bail!("expected {part:?}, got {answer:?}"),
    }
}

fn config_map(namespace: &str, metadata: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    object["metadata"]["name"] = "c".into();
    object["metadata"]["namespace"] = namespace.into();
    object
}

fn owned(workspace: &str) -> Value {
    json!({
        "labels": {"kaito.sh/workspace": workspace},
        "ownerReferences": [{
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": workspace, "uid": "u", "controller": true,
        }],
    })
}

#[tokio::test]
async fn the_controllers_account_writes_objects_of_workspaces_only() -> Result<()> {
    let world = Tenants::start().await?;
    let here = world.namespace.clone();
    let controller = account(&world, "workspace-controller").await?;
    let only = "must write only objects that a Workspace controls";
    check(&world, &controller, &config_map(&here, json!({})), Some(only)).await?;
    check(&world, &controller, &config_map(&here, owned("w")), None).await?;
    let mut stranger = owned("w");
    stranger["labels"]["kaito.sh/workspace"] = "other".into();
    check(&world, &controller, &config_map(&here, stranger), Some(only)).await?;
    let mut loose = owned("w");
    loose["ownerReferences"][0]["controller"] = false.into();
    check(&world, &controller, &config_map(&here, loose), Some(only)).await?;
    for namespace in ["kube-system", NAMESPACE] {
        let object = config_map(namespace, owned("w"));
        check(&world, &controller, &object, Some("must not write to namespace")).await?;
    }
    let pod =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": here},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod},
    });
    check(&world, &controller, &deployment, Some(only)).await?;

    // An object without a Workspace is neither changed nor deleted.
    world.put(&config_map(&here, json!({}))).await?;
    let foreign = "must not change objects that no Workspace controls";
    check(&world, &controller, &config_map(&here, owned("w")), Some(foreign)).await?;
    delete(&controller, &config_map(&here, json!({})), Some(foreign)).await?;
    foreign_claims_and_specs(&world, &controller).await
}

async fn foreign_claims_and_specs(world: &Tenants, controller: &Client) -> Result<()> {
    let workspace = world.here(inference());
    world.put(&workspace).await?;
    let count = json!({"inference": {"config": "evil"}});
    merge(
        controller,
        &workspace,
        &count,
        Some("must not change what a Workspace asks for"),
    )
    .await?;
    let finalizers = json!({"metadata": {"finalizers": ["workspace.finalizer.kaito.sh"]}});
    merge(controller, &workspace, &finalizers, None).await?;

    let unmarked = machine("unmarked", json!({}));
    check(
        world,
        controller,
        &unmarked,
        Some("must write only claims of Workspaces"),
    )
    .await?;
    let marked = json!({"kaito.sh/workspace": "w", "kaito.sh/workspacenamespace": "n"});
    check(world, controller, &machine("marked", marked.clone()), None).await?;
    world.put(&unmarked).await?;
    let part = "must not change claims that belong to no Workspace";
    delete(controller, &unmarked, Some(part)).await?;
    check(
        world,
        controller,
        &machine("unmarked", marked.clone()),
        Some(part),
    )
    .await?;
    world.put(&machine("marked", marked)).await?;
    delete(controller, &machine("marked", json!({})), None).await
}

fn machine(name: &str, labels: Value) -> Value {
    // The fence on late writes demands its annotation of every new claim.
    let fence = json!({"kaito.sh/write-fence": "1/2026-01-01T00:00:00Z"});
    json!({
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
        "metadata": {"name": name, "labels": labels, "annotations": fence},
        "spec": {"machineTemplateRef": {"name": "t"}},
    })
}

fn node(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

fn node_claim(name: &str, group: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": {"name": name, "labels": {"kaito.sh/workspace": "w"}},
        "spec": {"nodeClassRef": {"group": group, "kind": kind, "name": "default"}, "requirements": []},
    })
}

#[tokio::test]
async fn the_provisioners_account_touches_its_own_claims_and_nodes_only() -> Result<()> {
    let world = Tenants::start().await?;
    let provisioner = account(&world, "gpu-provisioner").await?;
    let ours = node("ours", json!({"kaito.sh/workspace": "w", "agentpool": "wsabc"}));
    let theirs = node("theirs", json!({"agentpool": "system"}));
    for object in [&ours, &theirs] {
        world.put(object).await?;
    }
    let note = json!({"metadata": {"annotations": {"a": "b"}}});
    let part = "must not change Nodes that it did not create";
    world
        .env
        .eventually("the policy", IN_FORCE, async || {
            merge(&provisioner, &theirs, &note, Some(part)).await
        })
        .await?;
    delete(&provisioner, &theirs, Some(part)).await?;
    let steal = json!({"metadata": {"labels": {"kaito.sh/workspace": "w"}}});
    merge(&provisioner, &theirs, &steal, Some(part)).await?;
    delete(&provisioner, &ours, None).await?;
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    for key in [
        "apps",
        "app.kubernetes.io/managed-by",
        "karpenter.sh/registered",
        "node.kubernetes.io/exclude-from-external-load-balancers",
    ] {
        merge(&provisioner, &ours, &label(key, json!("x")), None).await?;
    }
    for key in [
        "node-restriction.kubernetes.io/tenant",
        "kubernetes.azure.com/mode",
        "nvidia.com/gpu.product",
    ] {
        merge(
            &provisioner,
            &ours,
            &label(key, json!("x")),
            Some("labels that belong to others"),
        )
        .await?;
    }
    for value in [json!("other"), Value::Null] {
        merge(
            &provisioner,
            &ours,
            &label("agentpool", value),
            Some("others: agentpool"),
        )
        .await?;
    }
    claims(&world, &provisioner).await
}

async fn claims(world: &Tenants, provisioner: &Client) -> Result<()> {
    let note = json!({"metadata": {"annotations": {"a": "b"}}});
    let unmarked = machine("unmarked", json!({}));
    let marked = machine("marked", json!({"kaito.sh/ragengine": "r"}));
    let ours = node_claim("ours", "kaito.sh", "KaitoNodeClass");
    let karpenters = node_claim("karpenters", "karpenter.azure.com", "AKSNodeClass");
    for object in [&unmarked, &marked, &ours, &karpenters] {
        world.put(object).await?;
    }
    let part = Some("must not change claims of another provisioner");
    for object in [&unmarked, &karpenters] {
        merge(provisioner, object, &note, part).await?;
        delete(provisioner, object, part).await?;
    }
    for object in [&marked, &ours] {
        merge(provisioner, object, &note, None).await?;
        delete(provisioner, object, None).await?;
    }
    let spec = json!({"spec": {"machineTemplateRef": {"name": "other"}}});
    merge(
        provisioner,
        &marked,
        &spec,
        Some("must not change what a claim asks for"),
    )
    .await?;
    let finalizer = with(
        json!({"metadata": {}}),
        "/metadata/finalizers",
        json!(["karpenter.sh/termination"]),
    );
    merge(provisioner, &marked, &finalizer, None).await
}
