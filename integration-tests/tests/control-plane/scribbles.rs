//! The owner of a namespace writes annotations and labels on everything in it. No NodeClaim is added.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Stack, StackOptions, TestEnv};

use crate::world::World;

/// Kinds of objects in a namespace with a Workspace.
const KINDS: [(&str, &str, &str); 8] = [
    ("kaito.sh", "v1beta1", "Workspace"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "ControllerRevision"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
];
/// Values that could be a number of nodes, or could switch something on.
const VALUES: [&str; 3] = ["5", "4294967295", "true"];

/// All keys of labels and annotations that the programs know.
fn keys() -> Vec<&'static str> {
    let source = include_str!("../../../crates/kaito-api/src/labels.rs");
    let is_key = |text: &&str| {
        let legal = |c: char| c.is_ascii_lowercase() || "./-".contains(c);
        text.contains(".sh/") && text.chars().all(legal) && !text.ends_with('/')
    };
    source.split('"').filter(is_key).collect()
}

async fn owner(world: &World) -> Result<Client> {
    let kubeconfig = world
        .env
        .service_account_kubeconfig(&world.namespace, "owner")
        .await?;
    let metadata = json!({"name": "owner", "namespace": world.namespace});
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    for object in [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": everything,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "owner"},
            "subjects": [{"kind": "ServiceAccount", "name": "owner", "namespace": world.namespace}],
        }),
    ] {
        let stored = crate::tenants::apply(&world.client, &object, false).await?;
        stored.map_err(anyhow::Error::msg)?;
    }
    world.env.client_with(&kubeconfig).await
}

/// Writes one value below every key on one object. Returns the number of writes that were accepted.
async fn scribble(api: &Api<DynamicObject>, name: &str, value: &str) -> Result<usize> {
    let mut accepted = 0;
    for key in keys() {
        for place in ["annotations", "labels"] {
            let body = json!({"metadata": {place: {key: value}}});
            match api
                .patch(name, &PatchParams::default(), &Patch::Merge(&body))
                .await
            {
                Ok(_) => accepted += 1,
                // Refused, or replaced meanwhile.
                Err(Error::Api(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(accepted)
}

async fn one_claim(world: &World, name: &str, after: &str) -> Result<()> {
    let claims = world.node_claims(name).await?.len();
    let (machines, pools) = (world.machines(name).await?.len(), world.pools(name).await?.len());
    ensure!(
        (claims, machines, pools) == (1, 0, 1),
        "{claims} NodeClaims, {machines} Machines and {pools} pools after writes on {after}"
    );
    Ok(())
}

#[tokio::test]
async fn annotations_and_labels_buy_no_node_claim() -> Result<()> {
    ensure!(keys().len() > 30, "{:?}", keys());
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        node_provisioner: "nodeclaim",
        // An annotation of a pod may ask to be spared until then.
        drain_timeout_seconds: 5.0,
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    let name = world.apply(&world.inference("scribbled")).await?;
    world.ready(&name).await?;
    let owner = owner(&world).await?;
    let mut written = 0;
    for value in VALUES {
        for (group, version, kind) in KINDS {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::namespaced_with(owner.clone(), &world.namespace, &resource);
            for object in api.list(&ListParams::default()).await?.items {
                written += scribble(&api, &object.name_any(), value).await?;
                one_claim(&world, &name, kind).await?;
            }
        }
        more_replicas(&owner, &world, &name).await?;
        // The writes are followed by reconciles.
        tokio::time::sleep(Duration::from_secs(3)).await;
        one_claim(&world, &name, "everything").await?;
    }
    ensure!(written > 300, "only {written} writes were accepted");
    world.delete(&name).await
}

async fn more_replicas(owner: &Client, world: &World, name: &str) -> Result<()> {
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(owner.clone(), &world.namespace);
    let body: Value = json!({"spec": {"replicas": 50}});
    deployments
        .patch(name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .context("the replicas")?;
    Ok(())
}
