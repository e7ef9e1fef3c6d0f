//! The installation: release, programs, leaders, identity and policies.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kaito_api::labels::GPU_PROVISIONER;
use kube::ResourceExt as _;

use super::definitions;
use super::diagnosis::{CheckLine, Diagnosis};
use super::facts::{self, COMPONENT, ClusterFacts, component};
use crate::output::{lasted, printable};

/// Annotation of a ServiceAccount that has an identity of Azure.
const CLIENT_ID: &str = "azure.workload.identity/client-id";
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
    let (checks, missing) = definitions::examine(facts);
    found.checks.extend(checks);
    found.findings.extend(missing);
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
    if component(deployment) == GPU_PROVISIONER {
        identity(facts, deployment, found);
    }
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

/// Seconds since the lease was renewed; `None` if no replica holds it.
fn age_of(lease: &Lease, now: Timestamp) -> Option<i64> {
    let spec = lease.spec.as_ref()?;
    spec.holder_identity
        .as_ref()
        .filter(|holder| !holder.is_empty())?;
    Some(now.duration_since(spec.renew_time.as_ref()?.0).as_secs().max(0))
}

/// Returns true if a replica holds the lease and renews it.
pub(super) fn is_held(lease: &Lease, now: Timestamp) -> bool {
    let lasts = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    age_of(lease, now).is_some_and(|age| age <= i64::from(lasts.unwrap_or(LEASE_SECONDS)))
}

fn lease(lease: &Lease, now: Timestamp, found: &mut Examination) {
    let name = lease.name_any();
    let holder = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref());
    let holder = printable(holder.unwrap_or_default());
    match age_of(lease, now) {
        Some(age) if is_held(lease, now) => {
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
