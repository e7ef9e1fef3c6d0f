//! The installation: release, programs, leaders, identity, definitions and policies.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;

use super::diagnosis::{CheckLine, Diagnosis};
use super::facts::{self, ClusterFacts};
use crate::output::{lasted, printable};

/// Annotation of a ServiceAccount that has an identity of Azure.
const CLIENT_ID: &str = "azure.workload.identity/client-id";
const COMPONENT: &str = "app.kubernetes.io/component";
/// Seconds after its last renewal in which a lease without a duration holds.
const LEASE_SECONDS: i32 = 15;

/// Collects what is well, and what is not.
#[derive(Default)]
struct Examination {
    checks: Vec<CheckLine>,
    findings: Vec<Diagnosis>,
}

impl Examination {
    fn fine(&mut self, check: &'static str, result: String) {
        self.checks.push(CheckLine { check, result });
    }

    fn bad(&mut self, kind: &'static str, subject: String, message: String, remedy: &str) {
        self.findings.push(Diagnosis::new(kind, subject, message, remedy));
    }
}

/// Examines the installation.
pub(super) fn examine(facts: &ClusterFacts, now: Timestamp) -> (Vec<CheckLine>, Vec<Diagnosis>) {
    let mut found = Examination::default();
    if facts.release.is_none() {
        found.bad(
            "notInstalled",
            "release".to_owned(),
            "This cluster has no release of the operator.".to_owned(),
            "Install it: docs/install.md.",
        );
    }
    facts
        .deployments
        .iter()
        .for_each(|one| deployment(facts, one, &mut found));
    facts.leases.iter().for_each(|one| lease(one, now, &mut found));
    definitions(facts, &mut found);
    policies(facts, &mut found);
    fleet(facts, &mut found);
    (found.checks, found.findings)
}

fn deployment(facts: &ClusterFacts, deployment: &Deployment, found: &mut Examination) {
    let name = deployment.name_any();
    let subject = format!("Deployment {name}");
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.as_ref();
    let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
    if ready < wanted {
        let namespace = deployment.namespace().unwrap_or_default();
        let message = format!("{ready} of {wanted} replicas are ready.");
        let remedy = format!(
            "See `kubectl --namespace {namespace} describe pods --selector {COMPONENT}={}`.",
            component(deployment)
        );
        found.bad("notReady", subject.clone(), message, &remedy);
    } else {
        found.fine(
            "Deployment",
            format!("{name}: {ready} of {wanted} replicas are ready"),
        );
    }
    let version = facts::version(deployment.labels());
    if let Some(release) = facts
        .release
        .as_ref()
        .filter(|release| !release.version.is_empty())
        && version != release.version
    {
        let message = format!(
            "It has version {}, and the release has {}.",
            printable(version),
            release.version
        );
        found.bad(
            "versions",
            subject,
            message,
            "Upgrade the release again: an upgrade did not end.",
        );
    }
    if component(deployment) == "gpu-provisioner" {
        identity(facts, deployment, found);
    }
}

fn component(deployment: &Deployment) -> String {
    deployment.labels().get(COMPONENT).cloned().unwrap_or_default()
}

/// On AKS the provisioner needs the client id of its identity.
fn identity(facts: &ClusterFacts, deployment: &Deployment, found: &mut Examination) {
    let spec = deployment.spec.template.spec.as_ref();
    let name = spec
        .and_then(|spec| spec.service_account_name.clone())
        .unwrap_or_default();
    let Some(account) = facts.accounts.iter().find(|account| account.name_any() == name) else {
        return;
    };
    match account.annotations().get(CLIENT_ID).filter(|id| !id.is_empty()) {
        Some(id) => found.fine("identity", format!("ServiceAccount {name} has client id {}", printable(id))),
        None => found.bad(
            "identity",
            format!("ServiceAccount {name}"),
            format!("It has no annotation {CLIENT_ID}, so the cloud refuses gpu-provisioner."),
            "Set gpuProvisioner.serviceAccount.annotations to the client id of an identity with a federated credential.",
        ),
    }
}

fn lease(lease: &Lease, now: Timestamp, found: &mut Examination) {
    let name = lease.name_any();
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    let age = spec
        .renew_time
        .map(|time| now.duration_since(time.0).as_secs().max(0));
    let lasts = i64::from(spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS));
    match age.filter(|_| !holder.is_empty()) {
        Some(age) if age <= lasts => {
            let holder = printable(&holder);
            found.fine("leader", format!("{name}: {holder}, renewed {} ago", lasted(age)));
        }
        age => {
            let message = match age {
                Some(age) => format!("No replica leads: the lease was renewed {} ago.", lasted(age)),
                None => "No replica leads, so nothing is done.".to_owned(),
            };
            let namespace = lease.namespace().unwrap_or_default();
            let remedy = format!("See `kubectl --namespace {namespace} logs --selector {COMPONENT}={name}`.");
            found.bad("noLeader", format!("Lease {name}"), message, &remedy);
        }
    }
}

fn definitions(facts: &ClusterFacts, found: &mut Examination) {
    let Some(live) = &facts.definitions else {
        return;
    };
    let ours = kaito_api::crd::workspace();
    let name = ours.name_any();
    let Some(live) = live.iter().find(|definition| definition.name_any() == name) else {
        let message = "It does not exist, so there are no Workspaces.".to_owned();
        found.bad(
            "noDefinition",
            name,
            message,
            "Apply the definitions of the chart: charts/kaito/crds.",
        );
        return;
    };
    let release = facts
        .release
        .as_ref()
        .map_or("", |release| release.version.as_str());
    if schemas(live) == schemas(&ours) {
        found.fine("definition", format!("{name} is that of this plugin"));
    } else if release == env!("CARGO_PKG_VERSION") {
        let message = "Its schema is that of another version. Helm does not upgrade definitions.".to_owned();
        let remedy =
            "Apply the definitions of the chart: `kubectl apply --server-side -f charts/kaito/crds`.";
        found.bad("definitionVersion", name, message, remedy);
    } else {
        found.fine(
            "definition",
            format!("{name} is that of another version than this plugin"),
        );
    }
}

/// Schemas by version, in the order of their names.
fn schemas(definition: &CustomResourceDefinition) -> Vec<(String, serde_json::Value)> {
    let mut all: Vec<_> = definition
        .spec
        .versions
        .iter()
        .map(|version| {
            (
                version.name.clone(),
                serde_json::to_value(&version.schema).unwrap_or_default(),
            )
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn policies(facts: &ClusterFacts, found: &mut Examination) {
    let unbound: Vec<&String> = facts
        .policies
        .iter()
        .filter(|name| !facts.bound.contains(name))
        .collect();
    for name in &unbound {
        let message = "No binding names it, so it refuses nothing.".to_owned();
        let remedy = "Upgrade the release again: its binding was deleted.";
        found.bad(
            "unboundPolicy",
            format!("ValidatingAdmissionPolicy {name}"),
            message,
            remedy,
        );
    }
    match facts.policies.len() - unbound.len() {
        0 => found.fine(
            "admission",
            "no policies: admission.enabled is false, or you may not list them".to_owned(),
        ),
        count => found.fine("admission", format!("{count} policies are bound")),
    }
}

fn fleet(facts: &ClusterFacts, found: &mut Examination) {
    let Some(fleet) = &facts.fleet else {
        let result =
            "no record of instances: gpu-provisioner is not part of the release, or has not listed them yet";
        found.fine("cloud", result.to_owned());
        return;
    };
    let left_out = match fleet.left_out {
        0 => String::new(),
        count => format!(", {count} more are left out"),
    };
    found.fine("cloud", format!("{} instances{left_out}", fleet.instances.len()));
}
