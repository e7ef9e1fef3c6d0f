//! Contents that the administrator adds to every NodeClaim.

use std::collections::BTreeMap;
use std::str::FromStr;

use k8s_openapi::api::core::v1::Taint;
use kaito_api::labels;
use kaito_api::node_claim::NodeClaimRequirement;
use serde::Deserialize;

/// Requirements, labels, annotations and taints in addition to the operator's own, which they cannot change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimContents {
    /// Requirements that only the provider of the node class knows.
    pub requirements: Vec<NodeClaimRequirement>,
    /// Labels of the claim, which its provisioner copies to the Node.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the claim.
    pub annotations: BTreeMap<String, String>,
    /// Taints of the Node. Our pods tolerate them.
    pub taints: Vec<Taint>,
}

impl Eq for ClaimContents {}

impl FromStr for ClaimContents {
    type Err = String;

    /// Parses JSON with the keys of the chart's `nodeClaim`.
    fn from_str(text: &str) -> Result<Self, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Written {
            requirements,
            labels,
            annotations,
            taints,
        } = written;
        for (key, value) in &labels {
            check_key("labels", key, &OPERATORS_LABELS)?;
            if !is_value(value) {
                return Err(format!(
                    "labels: {key}: expected at most 63 letters, digits, dashes, dots and underscores"
                ));
            }
        }
        for key in annotations.keys() {
            check_key("annotations", key, &OPERATORS_DOMAINS)?;
        }
        Ok(Self {
            requirements: requirements
                .into_iter()
                .map(Requirement::checked)
                .collect::<Result<_, _>>()?,
            labels,
            annotations,
            taints: taints
                .into_iter()
                .map(WrittenTaint::checked)
                .collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    requirements: Vec<Requirement>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    taints: Vec<WrittenTaint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTaint {
    key: String,
    #[serde(default)]
    value: Option<String>,
    effect: String,
}

/// Domains of the operator and of Karpenter, with all subdomains.
const OPERATORS_DOMAINS: [&str; 2] = ["kaito.sh", "karpenter.sh"];

/// The same, and those whose labels no kubelet may set.
const OPERATORS_LABELS: [&str; 4] = ["kaito.sh", "karpenter.sh", "kubernetes.io", "k8s.io"];

/// Requirements that the operator writes itself, and the settings that decide them.
const DECIDED: [(&str, &str); 5] = [
    (labels::INSTANCE_TYPE, "resource.instanceType of the Workspace"),
    (labels::CAPACITY_TYPE, "nodeOfferings.capacityTypes"),
    (labels::ZONE, "nodeOfferings.zones"),
    (
        labels::NODE_POOL,
        "the operator: its claims belong to no NodePool",
    ),
    (labels::OS, "the operator: images are for Linux"),
];

impl Requirement {
    fn checked(self) -> Result<NodeClaimRequirement, String> {
        let key = &self.key;
        if let Some((_, by)) = DECIDED.iter().find(|(decided, _)| decided == key) {
            return Err(format!("requirements: {key} is decided by {by}"));
        }
        if key != labels::ARCH {
            check_key("requirements", key, &OPERATORS_LABELS)?;
        }
        let expected = match (self.operator.as_str(), self.values.as_slice()) {
            ("In" | "NotIn", []) => "at least one value",
            ("Exists" | "DoesNotExist", [_, ..]) => "no value",
            ("Gt" | "Lt" | "Gte" | "Lte", values) if !is_one_number(values) => "one whole number",
            ("In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" | "Gte" | "Lte", values) => {
                match values.iter().all(|value| is_value(value)) {
                    true => "",
                    false => "values of labels",
                }
            }
            (other, _) => {
                return Err(format!(
                    "requirements: {key}: operator must be In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte, not {other}"
                ));
            }
        };
        if !expected.is_empty() {
            return Err(format!(
                "requirements: {key}: expected {expected} for the operator {}",
                self.operator
            ));
        }
        Ok(NodeClaimRequirement {
            key: self.key,
            operator: self.operator,
            values: self.values,
            min_values: None,
        })
    }
}

impl WrittenTaint {
    fn checked(self) -> Result<Taint, String> {
        let key = &self.key;
        if key == labels::GPU_TAINT {
            return Err(format!("taints: {key} is set by the operator on nodes with GPUs"));
        }
        check_key("taints", key, &OPERATORS_DOMAINS)?;
        if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&self.effect.as_str()) {
            return Err(format!(
                "taints: {key}: effect must be NoSchedule, PreferNoSchedule or NoExecute, not {}",
                self.effect
            ));
        }
        if !self.value.as_deref().is_none_or(is_value) {
            return Err(format!("taints: {key}: expected a value as labels have it"));
        }
        Ok(Taint {
            key: self.key,
            value: self.value,
            effect: self.effect,
            ..Taint::default()
        })
    }
}

/// Refuses what the API server would refuse in every claim, and keys of others.
fn check_key(part: &str, key: &str, reserved: &[&str]) -> Result<(), String> {
    let (domain, name) = key.split_once('/').unwrap_or(("", key));
    let is_domain = |text: &str| {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        text.len() <= 253
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(is_allowed)
    };
    if name.is_empty() || !is_value(name) || key.contains('/') && !is_domain(domain) {
        return Err(format!(
            "{part}: expected a key such as example.com/name, not {key}"
        ));
    }
    let is_reserved = reserved.iter().any(|reserved| {
        domain
            .strip_suffix(reserved)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    if is_reserved {
        return Err(format!(
            "{part}: {key} belongs to Kubernetes, to Karpenter or to the operator"
        ));
    }
    Ok(())
}

/// Reports whether a label may have the value.
fn is_value(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let has_ends = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    text.is_empty() || has_ends && text.len() <= 63 && text.chars().all(is_allowed)
}

fn is_one_number(values: &[String]) -> bool {
    matches!(values, [one] if one.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_those_of_the_chart() {
        let text = r#"{
            "requirements": [
                {"key": "karpenter.k8s.aws/instance-local-nvme", "operator": "Gt", "values": ["500"]},
                {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
                {"key": "example.com/gpu", "operator": "Exists"}
            ],
            "labels": {"team": "ml"},
            "annotations": {"example.com/note": "any text, also $"},
            "taints": [{"key": "dedicated", "value": "models", "effect": "NoSchedule"}]
        }"#;
        let contents: ClaimContents = text.parse().unwrap();
        let keys: Vec<&str> = contents.requirements.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "karpenter.k8s.aws/instance-local-nvme",
                "kubernetes.io/arch",
                "example.com/gpu"
            ]
        );
        assert_eq!(contents.labels["team"], "ml");
        assert_eq!(contents.taints[0].value.as_deref(), Some("models"));
        assert_eq!("{}".parse(), Ok(ClaimContents::default()));
    }

    #[test]
    fn what_the_operator_decides_is_refused_with_the_setting() {
        let requirement =
            |key: &str, rest: &str| format!(r#"{{"requirements": [{{"key": "{key}", {rest}}}]}}"#);
        let any = r#""operator": "In", "values": ["a"]"#;
        let cases = [
            (
                requirement(labels::ZONE, any),
                "is decided by nodeOfferings.zones",
            ),
            (
                requirement(labels::CAPACITY_TYPE, any),
                "is decided by nodeOfferings.capacityTypes",
            ),
            (
                requirement(labels::INSTANCE_TYPE, any),
                "is decided by resource.instanceType",
            ),
            (requirement("karpenter.sh/registered", any), "belongs to"),
            (requirement("a b", any), "expected a key"),
            (
                requirement("a", r#""operator": "In""#),
                "expected at least one value",
            ),
            (
                requirement("a", r#""operator": "Exists", "values": ["x"]"#),
                "expected no value",
            ),
            (
                requirement("a", r#""operator": "Gt", "values": ["x"]"#),
                "expected one whole number",
            ),
            (
                requirement("a", r#""operator": "Is", "values": ["x"]"#),
                "operator must be In",
            ),
            (
                requirement("a", r#""operator": "In", "value": "x""#),
                "unknown field `value`",
            ),
            (
                r#"{"labels": {"kaito.sh/workspace": "w"}}"#.to_owned(),
                "belongs to",
            ),
            (
                r#"{"labels": {"node-restriction.kubernetes.io/a": "w"}}"#.to_owned(),
                "belongs to",
            ),
            (r#"{"labels": {"a": "b c"}}"#.to_owned(), "expected at most 63"),
            (
                r#"{"annotations": {"karpenter.sh/do-not-disrupt": "false"}}"#.to_owned(),
                "belongs to",
            ),
            (
                r#"{"taints": [{"key": "sku", "effect": "NoSchedule"}]}"#.to_owned(),
                "set by the operator",
            ),
            (
                r#"{"taints": [{"key": "a", "effect": "Never"}]}"#.to_owned(),
                "effect must be",
            ),
            (r#"{"startupTaints": []}"#.to_owned(), "unknown field"),
        ];
        for (text, part) in cases {
            let error = text.parse::<ClaimContents>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
