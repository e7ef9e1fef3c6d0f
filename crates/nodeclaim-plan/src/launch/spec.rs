//! The launch that a claim asks for. It depends on the claim and the settings alone, so that a repeated request asks
//! for the same instance.

use std::collections::BTreeMap;

use cloudprovider::{CapacityType, LaunchLimits, LaunchSpec, Offering, tags};
use kaito_api::claim::ClaimRequirement;
use kaito_api::labels::{
    ARCH, CAPACITY_TYPE, CREATION_TIMESTAMP, CREATION_TIMESTAMP_FORMAT, INSTANCE_TYPE, INSTANCE_TYPE_BETA,
    NODE_IMAGE_FAMILY, NODE_POOL, NODE_POOL_KAITO, OS, ZONE, is_kubelet_label,
};
use kaito_api::quantity::ceil_gib;
use kaito_api::{Claim, KaitoNodeClass};
use kube::ResourceExt as _;

use crate::launch::class;
use crate::launch::instance_type::instance_type;
use crate::launch::invalid::InvalidClaim;
use crate::launch::offerings::{ZONE_DEPRECATED, offerings};
use crate::node::facts::taint_text;
use crate::node::labels::is_copied;
use crate::settings::Settings;

/// Older spellings of labels that a requirement may name.
const OS_DEPRECATED: &str = "beta.kubernetes.io/os";
const ARCH_DEPRECATED: &str = "beta.kubernetes.io/arch";
/// Architecture of every Node.
const AMD64: &str = "amd64";

/// Builds the launch that a claim asks for, from the first of its offerings.
///
/// # Errors
/// The problem of the claim.
pub fn launch_spec(
    claim: &Claim,
    class: Option<&KaitoNodeClass>,
    settings: &Settings,
) -> Result<LaunchSpec, InvalidClaim> {
    let instance_type = instance_type(claim)?;
    check_requirements(claim, &instance_type)?;
    let spec = LaunchSpec {
        name: name(claim, &settings.launch_limits)?,
        disk_gib: disk_gib(claim, &settings.launch_limits)?,
        image_family: image_family(claim, &settings.launch_limits)?,
        labels: labels(claim),
        taints: claim.taints().iter().map(taint_text).collect(),
        tags: tags::of_claim(claim.uid(), &settings.cluster_id),
        instance_type,
        ..LaunchSpec::default()
    };
    let first = offerings(claim, class, settings)?.into_iter().next();
    Ok(take(class::apply(spec, class), &first.unwrap_or_default()))
}

/// Returns the same launch from this offering. The Node is labeled with what is bought.
pub(crate) fn take(mut spec: LaunchSpec, offering: &Offering) -> LaunchSpec {
    let bought = offering.capacity_type.as_str().to_owned();
    spec.labels.insert(CAPACITY_TYPE.to_owned(), bought);
    spec.options.reservation = spec
        .options
        .reservation
        .filter(|_| offering.capacity_type == CapacityType::Reserved);
    LaunchSpec {
        capacity_type: offering.capacity_type,
        zone: offering.zone.clone(),
        ..spec
    }
}

fn name(claim: &Claim, limits: &LaunchLimits) -> Result<String, InvalidClaim> {
    let name = claim.name_any();
    let fits = name.len() <= limits.name_max
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if fits {
        Ok(name)
    } else {
        Err(InvalidClaim::Name {
            name,
            max: limits.name_max,
        })
    }
}

/// Checks every requirement against the instance that would be launched. Instances are Linux and amd64.
///
/// `In` and `NotIn` on other labels are ignored, as Machines of upstream's controller carry such.
fn check_requirements(claim: &Claim, instance_type: &str) -> Result<(), InvalidClaim> {
    for requirement in claim.requirements() {
        if let Some(least) = requirement.min_values.filter(|least| *least > 1) {
            let key = requirement.key.to_owned();
            return Err(InvalidClaim::MinValues { key, least });
        }
        let (actual, problem) = match requirement.key {
            INSTANCE_TYPE | INSTANCE_TYPE_BETA => (Some(instance_type), None),
            OS | OS_DEPRECATED => (Some("linux"), Some(InvalidClaim::NotLinux)),
            ARCH | ARCH_DEPRECATED => (Some(AMD64), Some(InvalidClaim::NotAmd64)),
            // The offerings of the claim meet the lists.
            CAPACITY_TYPE | ZONE | ZONE_DEPRECATED
                if matches!(requirement.operator, "In" | "NotIn" | "Exists") =>
            {
                continue;
            }
            CAPACITY_TYPE | ZONE | ZONE_DEPRECATED => {
                return Err(InvalidClaim::Unmet(text(&requirement)));
            }
            _ if matches!(requirement.operator, "In" | "NotIn") => continue,
            NODE_POOL => (Some(NODE_POOL_KAITO), None),
            other => (claim.labels().get(other).map(String::as_str), None),
        };
        if !is_met(&requirement, actual) {
            return Err(problem.unwrap_or_else(|| InvalidClaim::Unmet(text(&requirement))));
        }
    }
    Ok(())
}

/// Evaluates a requirement as Karpenter does. An operator that is not known is never met.
fn is_met(requirement: &ClaimRequirement<'_>, actual: Option<&str>) -> bool {
    let lists = || actual.is_some_and(|actual| requirement.values.iter().any(|value| value == actual));
    let compare = |holds: fn(i64, i64) -> bool| {
        let number = |text: Option<&str>| text?.parse::<i64>().ok();
        let bound = number(requirement.values.first().map(String::as_str));
        number(actual)
            .zip(bound)
            .is_some_and(|(actual, bound)| holds(actual, bound))
    };
    match requirement.operator {
        "In" => lists(),
        "NotIn" => !lists(),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(|actual, bound| actual > bound),
        "Lt" => compare(|actual, bound| actual < bound),
        "Gte" => compare(|actual, bound| actual >= bound),
        "Lte" => compare(|actual, bound| actual <= bound),
        _ => false,
    }
}

fn text(requirement: &ClaimRequirement<'_>) -> String {
    let values = requirement.values.join(", ");
    format!("{} {} [{values}]", requirement.key, requirement.operator)
}

fn image_family(claim: &Claim, limits: &LaunchLimits) -> Result<Option<String>, InvalidClaim> {
    let family = claim
        .annotations()
        .get(NODE_IMAGE_FAMILY)
        .map(|family| family.trim());
    let Some(family) = family.filter(|family| !family.is_empty()) else {
        return Ok(None);
    };
    let known = limits.image_families;
    if known.is_empty() || known.iter().any(|known| known.eq_ignore_ascii_case(family)) {
        return Ok(Some(family.to_owned()));
    }
    Err(InvalidClaim::ImageFamily {
        family: family.to_owned(),
        known: known.join(", "),
    })
}

fn disk_gib(claim: &Claim, limits: &LaunchLimits) -> Result<Option<u32>, InvalidClaim> {
    let storage = claim.requests().and_then(|requests| requests.get("storage"));
    let Some(text) = storage.map(|quantity| &quantity.0) else {
        return Ok(None);
    };
    let gib = ceil_gib(text).ok_or_else(|| InvalidClaim::Storage(text.clone()))?;
    match u32::try_from(gib) {
        Ok(0) => Ok(None),
        Ok(size) if limits.disk_gib.contains(&size) => Ok(Some(size)),
        _ => Err(InvalidClaim::DiskSize {
            text: text.clone(),
            gib,
            min: *limits.disk_gib.start(),
            max: *limits.disk_gib.end(),
        }),
    }
}

fn labels(claim: &Claim) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([(NODE_POOL.to_owned(), NODE_POOL_KAITO.to_owned())]);
    // The cloud passes these labels to the kubelet, which refuses to start with labels that it may not set. Registration
    // adds the others to the Node.
    let settable = claim
        .labels()
        .iter()
        .filter(|(key, _)| is_copied(key) && !is_kubelet_label(key));
    labels.extend(settable.map(|(key, value)| (key.clone(), value.clone())));
    if let Some(created) = &claim.metadata().creation_timestamp {
        let text = created.0.strftime(CREATION_TIMESTAMP_FORMAT).to_string();
        labels.insert(CREATION_TIMESTAMP.to_owned(), text);
    }
    labels
}
