//! The roles of the chart are exact: a scenario makes the programs use every verb that they have, and the audit log of the
//! API server shows no denial and no verb that is granted and never used.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::{Action, FaultRule, Named, Verb};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kaito_api::{Machine, Workspace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{NAMESPACE, Stack, StackOptions, TestEnv};

use crate::tenants::apply;
use crate::world::{LIMIT, World};

const ACCOUNTS: [&str; 3] = ["workspace-controller", "gpu-provisioner", "preset-registry"];

/// Reads of our accounts are logged beside the usual writes.
const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  userGroups: [system:serviceaccounts:kaito-system]
- level: None
";

/// Rights that admission plugins ask for. The audit log does not show their questions. This cluster has the plugin that
/// asks for `update` of the finalizers of owners, so without them the scenario fails.
fn is_asked_by_admission(use_: &Use) -> bool {
    use_.resource.ends_with("/finalizers") && use_.verb == "update"
}

/// One verb on one resource by one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    account: String,
    group: String,
    resource: String,
    verb: String,
}

impl Use {
    fn new(account: &str, group: &str, resource: &str, verb: &str) -> Self {
        // Both kinds of claims take the same path. Which of them exists depends on a setting.
        let resource = resource.replace("nodeclaims", "machines");
        let [account, group, verb] = [account, group, verb].map(str::to_owned);
        Self {
            account,
            group,
            resource,
            verb,
        }
    }
}

#[tokio::test]
async fn every_granted_verb_is_used_and_every_used_verb_is_granted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let policy = dir.path().join("audit.yaml");
    std::fs::write(&policy, AUDIT)?;
    let mut options = ClusterOptions::new(Tier::WithNodes);
    options.apiserver_args = vec![
        format!("--audit-policy-file={}", policy.display()),
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
    ];
    let env: &'static TestEnv = Box::leak(Box::new(TestEnv::start(options).await?));
    let stack = Stack::start(
        env,
        StackOptions {
            publish_catalog: true,
            drain_timeout_seconds: 4.0,
            ..StackOptions::default()
        },
    )
    .await?;
    let world = World::on(env, &stack.programs).await?;
    scenario(&world).await?;
    // The log shows a watch when it ends.
    drop(stack);
    let granted = granted(&world.client).await?;
    env.eventually("the ends of all watches", LIMIT, async || compare(env, &granted))
        .await
}

fn compare(env: &TestEnv, granted: &BTreeSet<Use>) -> Result<()> {
    let (used, denied) = used(env)?;
    ensure!(denied.is_empty(), "denied: {denied:#?}");
    let superfluous: Vec<&Use> = granted
        .difference(&used)
        .filter(|granted| !is_asked_by_admission(granted))
        .collect();
    ensure!(superfluous.is_empty(), "granted and never used: {superfluous:#?}");
    ensure!(used.len() > 25, "a scenario that does nothing: {used:#?}");
    Ok(())
}

/// Returns what our accounts did, and what they were denied.
fn used(env: &TestEnv) -> Result<(BTreeSet<Use>, Vec<String>)> {
    let mut used = BTreeSet::new();
    let mut denied = Vec::new();
    for entry in env.audit().entries()? {
        let prefix = format!("system:serviceaccount:{NAMESPACE}:");
        let Some(account) = entry.user.strip_prefix(&prefix) else {
            continue;
        };
        let resource = match entry.subresource.as_str() {
            "" => entry.resource.clone(),
            subresource => format!("{}/{subresource}", entry.resource),
        };
        if entry.code == 403 {
            denied.push(format!("{entry:?}"));
            continue;
        }
        used.insert(Use::new(account, &entry.group, &resource, &entry.verb));
        // Server-side apply of a new object needs both verbs.
        if entry.verb == "patch" && entry.code == 201 {
            used.insert(Use::new(account, &entry.group, &resource, "create"));
        }
    }
    Ok((used, denied))
}

/// Returns what the roles of our accounts grant.
async fn granted(client: &Client) -> Result<BTreeSet<Use>> {
    let all = ListParams::default();
    let mut granted = BTreeSet::new();
    let cluster_roles: Api<ClusterRole> = Api::all(client.clone());
    let roles: Api<Role> = Api::all(client.clone());
    let mut bindings: Vec<(RoleRef, Vec<Subject>)> = Vec::new();
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&all).await? {
        bindings.push((binding.role_ref, binding.subjects.unwrap_or_default()));
    }
    for binding in Api::<RoleBinding>::all(client.clone()).list(&all).await? {
        bindings.push((binding.role_ref, binding.subjects.unwrap_or_default()));
    }
    for (role, subjects) in bindings {
        for account in ACCOUNTS {
            let is_ours = |subject: &Subject| {
                subject.kind == "ServiceAccount"
                    && subject.name == account
                    && subject.namespace.as_deref() == Some(NAMESPACE)
            };
            if !subjects.iter().any(is_ours) {
                continue;
            }
            let rules = if role.kind == "ClusterRole" {
                cluster_roles.get(&role.name).await?.rules
            } else {
                let found = roles.list(&all).await?.items;
                let found = found.into_iter().find(|found| found.name_any() == role.name);
                found.context("no Role")?.rules
            };
            for rule in rules.unwrap_or_default() {
                granted.extend(uses(account, &rule));
            }
        }
    }
    Ok(granted)
}

fn uses(account: &str, rule: &PolicyRule) -> Vec<Use> {
    let mut uses = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                uses.push(Use::new(account, group, resource, verb));
            }
        }
    }
    uses
}

async fn scenario(world: &World) -> Result<()> {
    // A claim that nobody stops from vanishing leaves an instance behind; it is collected after two minutes.
    world.apply(&world.inference("leaky")).await?;
    world.ready("leaky").await?;
    let leaked = leak(world, "leaky").await?;

    stale_objects_of_an_earlier_version(world).await?;
    tuning(world).await?;
    a_deleted_node_takes_its_claim_along(world).await?;
    a_drain_ends_with_deleted_pods(world).await?;
    world
        .env
        .eventually("the leaked pool to be collected", LIMIT, async || {
            let pools = world.cloud()?.pools().await?;
            ensure!(pools.iter().all(|pool| pool.name != leaked), "{leaked} is there");
            Ok(())
        })
        .await
}

/// Strips a claim of its finalizer while the cloud refuses to delete the instance, so that only the instance remains.
async fn leak(world: &World, name: &str) -> Result<String> {
    let cloud = world.cloud()?;
    let refusal = FaultRule::once(Verb::Delete, Action::respond(Named::Unavailable)).times(1000);
    cloud.add_fault(&refusal).await?;
    let machines: Api<Machine> = Api::all(world.client.clone());
    let claim = world
        .machines(name)
        .await?
        .first()
        .context("no Machine")?
        .name_any();
    world.workspaces().delete(name, &DeleteParams::default()).await?;
    let free = json!({"metadata": {"finalizers": null}});
    world
        .env
        .eventually("the Machine to terminate", LIMIT, async || {
            let machine = machines.get(&claim).await?;
            ensure!(machine.metadata.deletion_timestamp.is_some(), "it lives");
            Ok(())
        })
        .await?;
    machines
        .patch(&claim, &PatchParams::default(), &Patch::Merge(&free))
        .await?;
    world
        .env
        .eventually("the Workspace to go", LIMIT, async || {
            ensure!(world.workspaces().get_opt(name).await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
    cloud.clear_faults().await?;
    Ok(claim)
}

fn owned(workspace: &Workspace, kind: &str, version: &str, name: &str) -> Value {
    json!({
        "apiVersion": version, "kind": kind,
        "metadata": {
            "name": name, "namespace": workspace.namespace(), "labels": {"kaito.sh/workspace": workspace.name()},
            "ownerReferences": [{
                "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": workspace.name(),
                "uid": workspace.uid(), "controller": true,
            }],
        },
    })
}

/// Upstream and other versions of a spec leave workloads of other kinds, which are deleted.
async fn stale_objects_of_an_earlier_version(world: &World) -> Result<()> {
    let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Always"}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let one = world.apply(&world.inference("one")).await?;
    let workspace = world.workspaces().get(&one).await?;
    let mut set = owned(&workspace, "StatefulSet", "apps/v1", &one);
    set["spec"] = json!({"replicas": 0, "serviceName": "s", "selector": selector, "template": pod});
    let mut job = owned(&workspace, "Job", "batch/v1", &one);
    job["spec"] = json!({"suspend": true, "template": pod});
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    let mut service = owned(&workspace, "Service", "v1", &format!("{one}-headless"));
    service["spec"] = json!({"ports": [{"port": 80}]});
    let config = owned(&workspace, "ConfigMap", "v1", &format!("{one}-tuning-config"));
    let mut large = world.inference("two");
    large["inference"]["preset"]["name"] = "llama-3.3-70b-instruct".into();
    let two = world.apply(&large).await?;
    let mut deployment = owned(
        &world.workspaces().get(&two).await?,
        "Deployment",
        "apps/v1",
        &two,
    );
    deployment["spec"] = json!({"replicas": 0, "selector": selector, "template": pod});
    for object in [set, job, service, config, deployment] {
        apply(&world.client, &object, false)
            .await?
            .map_err(anyhow::Error::msg)
            .with_context(|| object.to_string())?;
    }
    world.ready(&one).await?;
    world.ready(&two).await?;
    world.delete(&one).await?;
    world.delete(&two).await
}

async fn tuning(world: &World) -> Result<()> {
    let name = world
        .apply_example("fine-tuning/kaito_workspace_tuning_phi_3.yaml")
        .await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

async fn a_deleted_node_takes_its_claim_along(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("node-gone")).await?;
    world.ready(&name).await?;
    let claim = world.machines(&name).await?.first().context("no Machine")?.uid();
    let node = world.nodes(&name).await?.first().context("no Node")?.name_any();
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(world.client.clone());
    nodes.delete(&node, &DeleteParams::default()).await?;
    world
        .env
        .eventually("another Machine", LIMIT, async || {
            let machines = world.machines(&name).await?;
            ensure!(
                machines.iter().all(|machine| machine.uid() != claim),
                "the old one"
            );
            Ok(())
        })
        .await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

/// A pod that a budget protects is evicted in vain, and deleted when the time of the drain is over.
async fn a_drain_ends_with_deleted_pods(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("guarded")).await?;
    world.ready(&name).await?;
    let node = world.nodes(&name).await?.first().context("no Node")?.name_any();
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bystander", "labels": {"app": "bystander"}},
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "i"}],
        },
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(world.client.clone(), &world.namespace);
    let budget = serde_json::from_value(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "bystander"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "bystander"}}},
    }))?;
    budgets.create(&PostParams::default(), &budget).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.delete(&name).await
}
