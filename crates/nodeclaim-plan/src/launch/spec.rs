//! The agent pool that a claim asks for. A function of the claim and the settings alone, so that a
//! repeated request asks for the same pool; never looks at the world.

use std::collections::{BTreeMap, BTreeSet};

use cloudprovider::AgentPoolSpec;
use cloudprovider::pool::{TAG_CLAIM_UID, TAG_CLUSTER, TAG_MANAGED_BY, TAG_MANAGED_BY_VALUE};
use kaito_api::Claim;
use kaito_api::claim::ClaimRequirement;
use kaito_api::labels::{
    CAPACITY_TYPE, CREATION_TIMESTAMP, CREATION_TIMESTAMP_FORMAT, INSTANCE_TYPE, INSTANCE_TYPE_BETA,
    MACHINE_TYPE, NODE_IMAGE_FAMILY, NODE_POOL, NODE_POOL_KAITO, OS, ZONE, is_kubelet_label,
};
use kaito_api::quantity::ceil_gib;
use kube::ResourceExt as _;

use crate::node::facts::taint_text;
use crate::settings::Settings;

/// Smallest system disk that AKS makes, in GiB.
const DISK_MIN: u64 = 30;
/// Largest system disk that AKS makes, in GiB.
const DISK_MAX: u64 = 2048;
/// Older spelling of [`ZONE`].
const ZONE_BETA: &str = "failure-domain.beta.kubernetes.io/zone";

/// Why no pool can be made for a claim, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidClaim {
    /// An agent pool cannot have this name.
    #[error("name {0:?} is no agent pool name: 1 to 12 lower-case letters and digits, a letter first")]
    Name(String),
    /// No instance type is asked for.
    #[error("no requirement names an instance type: add {INSTANCE_TYPE} In [<one type>]")]
    NoInstanceType,
    /// The requirements leave nothing over.
    #[error("the requirements on the instance type contradict each other")]
    NoInstanceTypeLeft,
    /// The requirements leave a choice.
    #[error("the requirements leave several instance types ({0}): name exactly one")]
    SeveralInstanceTypes(String),
    /// Another system than Linux is asked for.
    #[error("only {OS} In [linux] can be made")]
    NotLinux,
    /// Another capacity type than on-demand is asked for.
    #[error("only {CAPACITY_TYPE} In [on-demand] can be made")]
    NotOnDemand,
    /// A zone is asked for.
    #[error("zones cannot be chosen: leave out the requirement on {ZONE}")]
    Zone,
    /// The disk size cannot be read.
    #[error("storage request {0:?} is not a quantity")]
    Storage(String),
    /// The disk size cannot be had.
    #[error("storage request {0} is {1} GiB: a system disk has {DISK_MIN} to {DISK_MAX} GiB")]
    DiskSize(String, u64),
}

/// The pool that a claim asks for.
///
/// # Errors
/// What is wrong with the claim.
pub fn pool_spec(claim: &Claim, settings: &Settings) -> Result<AgentPoolSpec, InvalidClaim> {
    let vm_size = instance_type(claim)?;
    check_os(claim)?;
    check_offering(claim)?;
    Ok(AgentPoolSpec {
        name: name(claim)?,
        os_disk_gib: os_disk_gib(claim)?,
        os_sku: os_sku(claim).to_owned(),
        labels: labels(claim, &vm_size),
        taints: claim.taints().iter().map(taint_text).collect(),
        tags: tags(claim, settings),
        vm_size,
    })
}

fn name(claim: &Claim) -> Result<String, InvalidClaim> {
    let name = claim.name_any();
    let fits = name.len() <= 12
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if fits {
        Ok(name)
    } else {
        Err(InvalidClaim::Name(name))
    }
}

fn instance_type(claim: &Claim) -> Result<String, InvalidClaim> {
    let left = allowed(claim, &[INSTANCE_TYPE, INSTANCE_TYPE_BETA]).ok_or(InvalidClaim::NoInstanceType)?;
    let names: Vec<String> = left.into_iter().filter(|name| !name.is_empty()).collect();
    match &names[..] {
        [] => Err(InvalidClaim::NoInstanceTypeLeft),
        [one] => Ok(one.clone()),
        several => Err(InvalidClaim::SeveralInstanceTypes(several.join(", "))),
    }
}

/// The values that the requirements on a label allow, under all of its names; `None` when no requirement lists any.
fn allowed(claim: &Claim, keys: &[&str]) -> Option<BTreeSet<String>> {
    let all = claim.requirements();
    let of_operator = |operator: &'static str| {
        all.iter()
            .filter(move |r| keys.contains(&r.key) && r.operator == operator)
            .map(|r| r.values.iter().cloned().collect::<BTreeSet<_>>())
    };
    let allowed = of_operator("In").reduce(|a, b| &a & &b)?;
    Some(of_operator("NotIn").fold(allowed, |a, b| &a - &b))
}

fn check_os(claim: &Claim) -> Result<(), InvalidClaim> {
    let is_other = allowed(claim, &[OS]).is_some_and(|systems| !systems.contains("linux"));
    if is_other {
        Err(InvalidClaim::NotLinux)
    } else {
        Ok(())
    }
}

/// Nodes are paid by the hour and in whatever zone the cloud chooses: a claim that wants it otherwise must not get it so.
fn check_offering(claim: &Claim) -> Result<(), InvalidClaim> {
    let types = allowed(claim, &[CAPACITY_TYPE]);
    if types.is_some_and(|types| !types.contains("on-demand")) {
        return Err(InvalidClaim::NotOnDemand);
    }
    let chooses = |r: &ClaimRequirement<'_>| [ZONE, ZONE_BETA].contains(&r.key) && r.operator != "Exists";
    if claim.requirements().iter().any(chooses) {
        Err(InvalidClaim::Zone)
    } else {
        Ok(())
    }
}

fn os_disk_gib(claim: &Claim) -> Result<Option<u32>, InvalidClaim> {
    let storage = claim.requests().and_then(|requests| requests.get("storage"));
    let Some(text) = storage.map(|quantity| &quantity.0) else {
        return Ok(None);
    };
    let gib = ceil_gib(text).ok_or_else(|| InvalidClaim::Storage(text.clone()))?;
    match u32::try_from(gib) {
        Ok(0) => Ok(None),
        Ok(size) if (DISK_MIN..=DISK_MAX).contains(&gib) => Ok(Some(size)),
        _ => Err(InvalidClaim::DiskSize(text.clone(), gib)),
    }
}

fn os_sku(claim: &Claim) -> &'static str {
    match claim.annotations().get(NODE_IMAGE_FAMILY) {
        Some(family) if family.trim().eq_ignore_ascii_case("azurelinux") => "AzureLinux",
        _ => "Ubuntu",
    }
}

fn labels(claim: &Claim, vm_size: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([(NODE_POOL.to_owned(), NODE_POOL_KAITO.to_owned())]);
    // The cloud hands these to the kubelet, which does not start with labels that are not its to set; registration adds
    // them to the Node.
    let settable = claim.labels().iter().filter(|(key, _)| !is_kubelet_label(key));
    labels.extend(settable.map(|(key, value)| (key.clone(), value.clone())));
    let machine_type = if vm_size.contains("Standard_N") {
        "gpu"
    } else {
        "cpu"
    };
    labels.insert(MACHINE_TYPE.to_owned(), machine_type.to_owned());
    if let Some(created) = &claim.metadata().creation_timestamp {
        let text = created.0.strftime(CREATION_TIMESTAMP_FORMAT).to_string();
        labels.insert(CREATION_TIMESTAMP.to_owned(), text);
    }
    labels
}

fn tags(claim: &Claim, settings: &Settings) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::from([
        (TAG_MANAGED_BY.to_owned(), TAG_MANAGED_BY_VALUE.to_owned()),
        (TAG_CLAIM_UID.to_owned(), claim.uid().to_owned()),
    ]);
    if !settings.cluster_id.is_empty() {
        tags.insert(TAG_CLUSTER.to_owned(), settings.cluster_id.clone());
    }
    tags
}
