//! The roles of the chart are exact. A scenario makes the programs use every verb that they have. The audit log of the API
//! server shows no denial, and no right that is granted and never used.

mod scenario;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use local_cluster::{AuditEntry, ClusterOptions, Tier};
use serde_json::json;
use testkit::{NAMESPACE, Stack, StackOptions, TestEnv};

use crate::world::{LIMIT, World};

const ACCOUNTS: [&str; 3] = ["workspace-controller", "gpu-provisioner", "preset-registry"];

/// Reads of our accounts are logged, and nothing else.
const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  userGroups: [system:serviceaccounts:kaito-system]
- level: None
";

/// Rights that no request of ours shows, each with its reason: resource and verb.
const INVISIBLE: [(&str, &str, &str); 4] = [
    (
        "workspaces/finalizers",
        "update",
        "an admission plugin asks for it, which this cluster has: without the right the scenario fails",
    ),
    ("machines/finalizers", "update", "the same plugin asks for it"),
    ("presets", "get", "the registry asks whether its caller has it"),
    (
        "configmaps/kaito-preset-registry-ca",
        "get",
        "kubectl-kaito reads it under the same Role",
    ),
];

/// One right: a verb on a resource, or on one object of it, of one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    account: String,
    group: String,
    /// The resource and, after a slash, the subresource.
    resource: String,
    /// Empty for every object.
    name: String,
    verb: String,
}

impl Right {
    fn new(account: &str, group: &str, resource: &str, name: &str, verb: &str) -> Self {
        // Both kinds of claims take the same path. Which of them exists depends on a setting.
        let resource = resource.replace("nodeclaims", "machines");
        let [account, group, name, verb] = [account, group, name, verb].map(str::to_owned);
        Self {
            account,
            group,
            resource,
            name,
            verb,
        }
    }

    /// Returns true if a request of ours needs this right.
    fn is_used(&self, used: &BTreeSet<Self>) -> bool {
        let named = |used: &Self| Self {
            name: if self.name.is_empty() {
                String::new()
            } else {
                used.name.clone()
            },
            ..used.clone()
        };
        used.iter().any(|used| named(used) == *self)
    }

    fn is_invisible(&self) -> bool {
        let object = if self.name.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.name)
        };
        INVISIBLE
            .iter()
            .any(|(resource, verb, _)| (*resource, *verb) == (object.as_str(), self.verb.as_str()))
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
    let options = StackOptions {
        publish_catalog: true,
        drain_timeout_seconds: 4.0,
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    owners_are_known(&world).await?;
    Box::pin(scenario::play(&world, &mut stack)).await?;
    // The log shows a watch when it ends.
    drop(stack);
    let granted = granted(&world.client).await?;
    env.eventually("the ends of all watches", LIMIT, async || compare(env, &granted))
        .await
}

/// Waits until the admission plugin knows the kind that was defined a moment ago. Until then it denies every reference to it, save
/// those of administrators.
async fn owners_are_known(world: &World) -> Result<()> {
    let controller = format!("system:serviceaccount:{NAMESPACE}:workspace-controller");
    let client = world.env.client_as(&controller).await?;
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {
            "name": "owned", "labels": {"kaito.sh/workspace": "any"},
            "ownerReferences": [{
                "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": "any", "uid": "any",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"podSelector": {}},
    });
    let policies: Api<NetworkPolicy> = Api::namespaced(client, &world.namespace);
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::apply("test")
    };
    let known = world.env.eventually("the owners to be known", LIMIT, async || {
        policies.patch("owned", &params, &Patch::Apply(&policy)).await?;
        Ok(())
    });
    known.await
}

fn compare(env: &TestEnv, granted: &BTreeSet<Right>) -> Result<()> {
    let entries = env.audit().entries()?;
    let denied: Vec<&AuditEntry> = entries.iter().filter(|entry| entry.code == 403).collect();
    ensure!(denied.is_empty(), "denied: {denied:#?}");
    let used: BTreeSet<Right> = entries.iter().flat_map(needed).collect();
    let superfluous: Vec<&Right> = granted
        .iter()
        .filter(|right| !right.is_used(&used) && !right.is_invisible())
        .collect();
    ensure!(superfluous.is_empty(), "granted and never used: {superfluous:#?}");
    for (resource, verb, reason) in INVISIBLE {
        let is_granted = granted
            .iter()
            .any(|right| right.is_invisible() && right.verb == verb && resource.starts_with(&right.resource));
        ensure!(
            is_granted,
            "{verb} of {resource} ({reason}) is not granted any more"
        );
    }
    Ok(())
}

/// Returns the rights that a request of ours needed.
fn needed(entry: &AuditEntry) -> Vec<Right> {
    let prefix = format!("system:serviceaccount:{NAMESPACE}:");
    let Some(account) = entry.user.strip_prefix(&prefix) else {
        return Vec::new();
    };
    let resource = match entry.subresource.as_str() {
        "" => entry.resource.clone(),
        subresource => format!("{}/{subresource}", entry.resource),
    };
    let right = |verb| Right::new(account, &entry.group, &resource, &entry.name, verb);
    let mut rights = vec![right(&entry.verb)];
    // Server-side apply of a new object needs both verbs.
    if entry.verb == "patch" && entry.code == 201 {
        rights.push(right("create"));
    }
    rights
}

/// Returns what the roles of our accounts grant.
async fn granted(client: &Client) -> Result<BTreeSet<Right>> {
    let all = ListParams::default();
    let cluster_roles: Api<ClusterRole> = Api::all(client.clone());
    let mut bindings: Vec<(Option<String>, RoleRef, Vec<Subject>)> = Vec::new();
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&all).await? {
        bindings.push((None, binding.role_ref, binding.subjects.unwrap_or_default()));
    }
    for binding in Api::<RoleBinding>::all(client.clone()).list(&all).await? {
        let subjects = binding.subjects.unwrap_or_default();
        bindings.push((binding.metadata.namespace, binding.role_ref, subjects));
    }
    let mut granted = BTreeSet::new();
    for (namespace, role, subjects) in bindings {
        let accounts: Vec<&str> = ACCOUNTS
            .into_iter()
            .filter(|account| subjects.iter().any(|subject| is_account(subject, account)))
            .collect();
        if accounts.is_empty() {
            continue;
        }
        let rules = if role.kind == "ClusterRole" {
            cluster_roles.get(&role.name).await?.rules
        } else {
            let namespace = namespace.context("no namespace")?;
            let roles: Api<Role> = Api::namespaced(client.clone(), &namespace);
            roles.get(&role.name).await?.rules
        };
        let rules = rules.unwrap_or_default();
        for account in accounts {
            granted.extend(rules.iter().flat_map(|rule| rights(account, rule)));
        }
    }
    Ok(granted)
}

fn is_account(subject: &Subject, account: &str) -> bool {
    subject.kind == "ServiceAccount"
        && subject.name == account
        && subject.namespace.as_deref() == Some(NAMESPACE)
}

fn rights(account: &str, rule: &PolicyRule) -> Vec<Right> {
    let every = [String::new()];
    let names = rule.resource_names.as_deref().unwrap_or(&every);
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for name in names {
                for verb in &rule.verbs {
                    rights.push(Right::new(account, group, resource, name, verb));
                }
            }
        }
    }
    rights
}
