//! User input, spelled as the API server will store it.
//!
//! The server drops empty values and rewrites quantities. We compare an applied object with the stored one, so a mere
//! difference in spelling would look like drift for ever.

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kaito_api::raw::RawObject;
use serde_json::{Map, Value};

/// Fields in which `false` equals absence; in others it may be a choice.
const FALSE_IS_NOTHING: [&str; 7] = [
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
];
/// Fields in which 0 equals absence.
const ZERO_IS_NOTHING: [&str; 6] = [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "hostPort",
];

/// Returns the object without the values that the server drops.
pub(crate) fn pruned(raw: &RawObject) -> Map<String, Value> {
    prune_map(&raw.0)
}

fn prune_map(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(key, value)| !is_nothing(key, value))
        .map(|(k, v)| (k.clone(), prune(v)))
        .collect()
}

fn prune(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(prune_map(map)),
        Value::Array(list) => Value::Array(list.iter().map(prune).collect()),
        other => other.clone(),
    }
}

fn is_nothing(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(false) => FALSE_IS_NOTHING.contains(&key),
        Value::Number(number) => number.as_i64() == Some(0) && ZERO_IS_NOTHING.contains(&key),
        _ => false,
    }
}

/// Rewrites the quantities of a pod in canonical form.
pub(crate) fn quantities(spec: &mut PodSpec) {
    let init = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(init) {
        container_quantities(container);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        let limit = volume
            .empty_dir
            .as_mut()
            .and_then(|empty| empty.size_limit.as_mut());
        limit.into_iter().for_each(rewrite);
    }
    spec.overhead
        .iter_mut()
        .flatten()
        .for_each(|(_, quantity)| rewrite(quantity));
}

fn container_quantities(container: &mut Container) {
    let Some(ResourceRequirements { limits, requests, .. }) = container.resources.as_mut() else {
        return;
    };
    let amounts = limits.iter_mut().flatten().chain(requests.iter_mut().flatten());
    amounts.for_each(|(_, quantity)| rewrite(quantity));
}

fn rewrite(amount: &mut Quantity) {
    if let Some(text) = quantity(&amount.0) {
        amount.0 = text;
    }
}

/// Spells a quantity as the API server does. `None` for other text, exponents, and values finer than a thousandth. Rules:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
#[must_use]
pub fn quantity(text: &str) -> Option<String> {
    let (thousandths, suffix) = parts(text)?;
    match suffix.strip_suffix('i') {
        Some(prefix) => binary(thousandths.checked_mul(1024_u128.pow(power(prefix)?))?),
        None if suffix == "m" => decimal(thousandths.div_ceil(1000)),
        None => decimal(thousandths.checked_mul(1000_u128.pow(power(suffix)?))?),
    }
}

/// Reads a quantity of bytes, rounded down. `None` where [`quantity`] has none, and above 2⁶⁴.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let (thousandths, suffix) = parts(text)?;
    let factor = match suffix.strip_suffix('i') {
        Some(prefix) => 1024_u128.pow(power(prefix)?),
        None if suffix == "m" => return u64::try_from(thousandths / 1_000_000).ok(),
        None => 1000_u128.pow(power(suffix)?),
    };
    u64::try_from(thousandths.checked_mul(factor)? / 1000).ok()
}

/// Thousandths of the number, and the suffix.
fn parts(text: &str) -> Option<(u128, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    Some((thousandths(number)?, suffix))
}

fn power(prefix: &str) -> Option<u32> {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let prefix = if prefix == "K" { "k" } else { prefix };
    PREFIXES
        .iter()
        .position(|known| *known == prefix)
        .and_then(|at| u32::try_from(at).ok())
}

fn thousandths(number: &str) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 3 || fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = format!("{fraction:0<3}").parse().ok()?;
    whole.checked_mul(1000)?.checked_add(part)
}

fn decimal(thousandths: u128) -> Option<String> {
    const SUFFIXES: [&str; 8] = ["m", "", "k", "M", "G", "T", "P", "E"];
    let mut left = thousandths;
    let mut suffix = 0;
    while (left != 0 || suffix == 0) && left.is_multiple_of(1000) && suffix + 1 < SUFFIXES.len() {
        left /= 1000;
        suffix += 1;
    }
    Some(format!("{left}{}", SUFFIXES[suffix]))
}

fn binary(thousandths: u128) -> Option<String> {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if !thousandths.is_multiple_of(1000) || thousandths < 1024 * 1000 {
        return decimal(thousandths);
    }
    let mut left = thousandths / 1000;
    let mut suffix = 0;
    while left.is_multiple_of(1024) && suffix + 1 < SUFFIXES.len() {
        left /= 1024;
        suffix += 1;
    }
    Some(format!("{left}{}", SUFFIXES[suffix]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_as_the_server_spells_them() {
        for (text, want) in [
            ("1024Mi", Some("1Gi")),
            ("1.5Gi", Some("1536Mi")),
            ("1000m", Some("1")),
            ("0.5m", Some("1m")),
            ("1500m", Some("1500m")),
            ("0.5k", Some("500")),
            ("512Ki", Some("512Ki")),
            ("1000k", Some("1M")),
            ("0Gi", Some("0")),
            ("1", Some("1")),
            ("0.25", Some("250m")),
            ("1e3", None),
            ("Gi", None),
            ("1.2.3k", None),
        ] {
            assert_eq!(quantity(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn empty_values_are_dropped_and_choices_are_kept() {
        let Value::Object(map) = json!({
            "hostNetwork": false, "automountServiceAccountToken": false, "x": null, "env": [{"name": "A", "value": ""}],
            "initialDelaySeconds": 0, "terminationGracePeriodSeconds": 0,
        }) else {
            panic!()
        };
        let want = json!({
            "automountServiceAccountToken": false, "env": [{"name": "A"}], "terminationGracePeriodSeconds": 0,
        });
        assert_eq!(Value::Object(pruned(&RawObject(map))), want);
    }
}
