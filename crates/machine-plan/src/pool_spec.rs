//! The agent pool that a Machine asks for. A function of the Machine and the settings alone, so that a
//! repeated request asks for the same pool; never looks at the world.

use std::collections::{BTreeMap, BTreeSet};

use cloudprovider::AgentPoolSpec;
use cloudprovider::pool::{TAG_CLAIM_UID, TAG_CLUSTER, TAG_MANAGED_BY, TAG_MANAGED_BY_VALUE};
use k8s_openapi::api::core::v1::Taint;
use kaito_api::Machine;
use kaito_api::labels::{
    CREATION_TIMESTAMP, CREATION_TIMESTAMP_FORMAT, INSTANCE_TYPE, INSTANCE_TYPE_BETA, MACHINE_TYPE,
    NODE_IMAGE_FAMILY, NODE_POOL, NODE_POOL_KAITO, OS,
};
use kaito_api::quantity::ceil_gib;
use kube::ResourceExt as _;

use crate::Settings;

/// Smallest system disk that AKS makes, in GiB.
const DISK_MIN: u64 = 30;
/// Largest system disk that AKS makes, in GiB.
const DISK_MAX: u64 = 2048;

/// Why no pool can be made for a Machine, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMachine {
    /// An agent pool can't have this name.
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
    /// The disk size can't be read.
    #[error("storage request {0:?} is not a quantity")]
    Storage(String),
    /// The disk size can't be had.
    #[error("storage request {0} is {1} GiB: a system disk has {DISK_MIN} to {DISK_MAX} GiB")]
    DiskSize(String, u64),
}

/// The pool that a Machine asks for.
///
/// # Errors
/// What is wrong with the Machine.
pub fn pool_spec(machine: &Machine, settings: &Settings) -> Result<AgentPoolSpec, InvalidMachine> {
    let vm_size = instance_type(machine)?;
    check_os(machine)?;
    Ok(AgentPoolSpec {
        name: name(machine)?,
        os_disk_gib: os_disk_gib(machine)?,
        os_sku: os_sku(machine).to_owned(),
        labels: labels(machine, &vm_size),
        taints: machine.spec.taints.iter().map(taint_text).collect(),
        tags: tags(machine, settings),
        vm_size,
    })
}

/// A taint as `key=value:Effect`, the form in which pools hold it.
pub(crate) fn taint_text(taint: &Taint) -> String {
    format!(
        "{}={}:{}",
        taint.key,
        taint.value.as_deref().unwrap_or_default(),
        taint.effect
    )
}

fn name(machine: &Machine) -> Result<String, InvalidMachine> {
    let name = machine.name_any();
    let fits = name.len() <= 12
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if fits {
        Ok(name)
    } else {
        Err(InvalidMachine::Name(name))
    }
}

fn instance_type(machine: &Machine) -> Result<String, InvalidMachine> {
    let of_operator = |operator: &'static str| {
        let keys = [INSTANCE_TYPE, INSTANCE_TYPE_BETA];
        let wanted =
            move |r: &&kaito_api::machine::Requirement| keys.contains(&&*r.key) && r.operator == operator;
        machine
            .spec
            .requirements
            .iter()
            .filter(wanted)
            .map(|r| r.values.iter().cloned().collect::<BTreeSet<_>>())
    };
    let allowed = of_operator("In")
        .reduce(|a, b| &a & &b)
        .ok_or(InvalidMachine::NoInstanceType)?;
    let left = of_operator("NotIn").fold(allowed, |a, b| &a - &b);
    let names: Vec<String> = left.into_iter().filter(|name| !name.is_empty()).collect();
    match &names[..] {
        [] => Err(InvalidMachine::NoInstanceTypeLeft),
        [one] => Ok(one.clone()),
        several => Err(InvalidMachine::SeveralInstanceTypes(several.join(", "))),
    }
}

fn check_os(machine: &Machine) -> Result<(), InvalidMachine> {
    let refuses = |r: &kaito_api::machine::Requirement| {
        r.key == OS && r.operator == "In" && !r.values.iter().any(|value| value == "linux")
    };
    if machine.spec.requirements.iter().any(refuses) {
        Err(InvalidMachine::NotLinux)
    } else {
        Ok(())
    }
}

fn os_disk_gib(machine: &Machine) -> Result<Option<u32>, InvalidMachine> {
    let requests = machine
        .spec
        .resources
        .as_ref()
        .map(|resources| &resources.requests);
    let Some(text) = requests
        .and_then(|requests| requests.get("storage"))
        .map(|quantity| &quantity.0)
    else {
        return Ok(None);
    };
    let gib = ceil_gib(text).ok_or_else(|| InvalidMachine::Storage(text.clone()))?;
    match u32::try_from(gib) {
        Ok(0) => Ok(None),
        Ok(size) if (DISK_MIN..=DISK_MAX).contains(&gib) => Ok(Some(size)),
        _ => Err(InvalidMachine::DiskSize(text.clone(), gib)),
    }
}

fn os_sku(machine: &Machine) -> &'static str {
    match machine.annotations().get(NODE_IMAGE_FAMILY) {
        Some(family) if family.trim().eq_ignore_ascii_case("azurelinux") => "AzureLinux",
        _ => "Ubuntu",
    }
}

fn labels(machine: &Machine, vm_size: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([(NODE_POOL.to_owned(), NODE_POOL_KAITO.to_owned())]);
    labels.extend(machine.labels().clone());
    let machine_type = if vm_size.contains("Standard_N") {
        "gpu"
    } else {
        "cpu"
    };
    labels.insert(MACHINE_TYPE.to_owned(), machine_type.to_owned());
    if let Some(created) = &machine.metadata.creation_timestamp {
        let text = created.0.strftime(CREATION_TIMESTAMP_FORMAT).to_string();
        labels.insert(CREATION_TIMESTAMP.to_owned(), text);
    }
    labels
}

fn tags(machine: &Machine, settings: &Settings) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::from([
        (TAG_MANAGED_BY.to_owned(), TAG_MANAGED_BY_VALUE.to_owned()),
        (
            TAG_CLAIM_UID.to_owned(),
            machine.metadata.uid.clone().unwrap_or_default(),
        ),
    ]);
    if !settings.cluster_id.is_empty() {
        tags.insert(TAG_CLUSTER.to_owned(), settings.cluster_id.clone());
    }
    tags
}
