//! The offerings that a claim allows, in the order in which they are tried. Capacity types come first, as they are written,
//! and for each of them the zones, as they are written. Requirements alone decide.

use cloudprovider::{CallKind, CapacityType, ErrorClass, LaunchLimits, Offering, OfferingRefusal};
use jiff::{SignedDuration, Timestamp};
use kaito_api::labels::{CAPACITY_TYPE, ZONE};
use kaito_api::{Claim, KaitoNodeClass};

use crate::launch::class;
use crate::launch::instance_type::instance_type;
use crate::launch::invalid::InvalidClaim;
use crate::settings::Settings;
use crate::{backoff, time};

/// Older spelling of the label of zones.
pub(super) const ZONE_DEPRECATED: &str = "failure-domain.beta.kubernetes.io/zone";

/// Returns the offerings that a claim allows, at least one.
///
/// # Errors
/// The problem of the claim.
pub fn offerings(
    claim: &Claim,
    class: Option<&KaitoNodeClass>,
    settings: &Settings,
) -> Result<Vec<Offering>, InvalidClaim> {
    let instance_type = instance_type(claim)?;
    let zones = zones(claim, &settings.launch_limits)?;
    let types = capacity_types(claim, class::has_reservation(class))?;
    let in_zones = |capacity_type: CapacityType| zones.iter().map(move |zone| (capacity_type, zone.clone()));
    let all = types.into_iter().flat_map(in_zones);
    Ok(all
        .map(|(capacity_type, zone)| Offering {
            instance_type: instance_type.clone(),
            capacity_type,
            zone,
        })
        .collect())
}

/// Returns the time from which a refused offering may be asked for again. Claims spread themselves after it.
#[must_use]
pub fn refused_until(refusal: &OfferingRefusal, settings: &Settings) -> Timestamp {
    time::after(refusal.at, pause(refusal, settings))
}

/// Returns the pause after a refusal that all claims share.
pub(super) fn pause(refusal: &OfferingRefusal, settings: &Settings) -> SignedDuration {
    // A type that is not offered is remembered for long by the claim that asked. Others may ask sooner, since a restriction
    // may have been lifted, and the refusal comes at once.
    let pause = backoff::pause(CallKind::Create, ErrorClass::Capacity, refusal.count, settings);
    pause.max(refusal.error.retry_after.unwrap_or_default())
}

fn capacity_types(claim: &Claim, has_reservation: bool) -> Result<Vec<CapacityType>, InvalidClaim> {
    let is_sold = |type_: &CapacityType| has_reservation || *type_ != CapacityType::Reserved;
    let universe = [CapacityType::OnDemand, CapacityType::Spot].map(CapacityType::as_str);
    let parse = |word: &str| CapacityType::parse(word).map(|type_| type_.as_str().to_owned());
    let Some(words) = choice(claim, &[CAPACITY_TYPE], &universe, parse) else {
        return Ok(vec![CapacityType::OnDemand]);
    };
    let types: Vec<CapacityType> = words
        .iter()
        .filter_map(|word| CapacityType::parse(word))
        .collect();
    match types.iter().find(|type_| !is_sold(type_)) {
        Some(_) => Err(InvalidClaim::NoReservation),
        None if types.is_empty() => Err(InvalidClaim::NoCapacityTypeLeft),
        None => Ok(types),
    }
}

fn zones(claim: &Claim, limits: &LaunchLimits) -> Result<Vec<Option<String>>, InvalidClaim> {
    let keys = [ZONE, ZONE_DEPRECATED];
    let Some(zones) = choice(claim, &keys, limits.zones, |zone| short_zone(zone, limits)) else {
        return Ok(vec![None]);
    };
    if zones.is_empty() {
        let known: Vec<String> = limits.zones.iter().map(|zone| zone_label(zone, limits)).collect();
        return Err(InvalidClaim::NoZoneLeft {
            known: known.join(", "),
        });
    }
    Ok(zones.into_iter().map(Some).collect())
}

/// Returns a zone as Nodes are labeled with it: `region-zone`; the short form if the region is not known.
pub(super) fn zone_label(zone: &str, limits: &LaunchLimits) -> String {
    match limits.region.as_str() {
        "" => zone.to_owned(),
        region => format!("{}-{zone}", region.replace(' ', "").to_lowercase()),
    }
}

/// Returns a zone in the cloud's short form. The long form `region-zone` is read too; `None` for zones of other regions.
fn short_zone(zone: &str, limits: &LaunchLimits) -> Option<String> {
    let known = |zone: &str| limits.zones.contains(&zone).then(|| zone.to_owned());
    known(zone).or_else(|| {
        let (region, short) = zone.rsplit_once('-')?;
        let own = limits.region.replace(' ', "");
        let here = own.is_empty() || region.eq_ignore_ascii_case(&own);
        known(short).filter(|_| here)
    })
}

/// Returns the values that the requirements on a label allow, in the order of the first `In`, otherwise of `universe`.
/// Values that `read` does not know cannot be had. `None` if no requirement chooses.
fn choice(
    claim: &Claim,
    keys: &[&str],
    universe: &[&str],
    read: impl Fn(&str) -> Option<String>,
) -> Option<Vec<String>> {
    let all = claim.requirements();
    let lists = |operator: &'static str| {
        all.iter()
            .filter(move |r| keys.contains(&r.key) && r.operator == operator)
            .map(|r| {
                r.values
                    .iter()
                    .filter_map(|value| read(value))
                    .collect::<Vec<_>>()
            })
    };
    let (mut wanted, unwanted) = (lists("In"), lists("NotIn").collect::<Vec<_>>());
    let first = match wanted.next() {
        Some(first) => first,
        None if unwanted.is_empty() => return None,
        None => universe.iter().map(|value| (*value).to_owned()).collect(),
    };
    let others: Vec<Vec<String>> = wanted.collect();
    let mut left: Vec<String> = Vec::new();
    for value in first {
        let allowed = others.iter().all(|list| list.contains(&value))
            && !unwanted.iter().any(|list| list.contains(&value));
        if allowed && !left.contains(&value) {
            left.push(value);
        }
    }
    Some(left)
}
