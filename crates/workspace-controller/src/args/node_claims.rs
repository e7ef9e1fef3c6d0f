//! Flags of NodeClaims.

use std::time::Duration;

use jiff::SignedDuration;
use kaito_api::NodeClassRef;
use render::{ClaimContents, NodeClaimOptions};

/// Settings of NodeClaims.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "NodeClaims")]
pub struct NodeClaimArgs {
    /// API group of the node class, which selects the provisioner.
    #[arg(long, env = "NODE_CLASS_GROUP", default_value = NodeClassRef::KAITO_GROUP, value_parser = label_part)]
    pub node_class_group: String,
    /// Kind of the node class.
    #[arg(long, env = "NODE_CLASS_KIND", default_value = NodeClassRef::KAITO_KIND, value_parser = label_part)]
    pub node_class_kind: String,
    /// Name of the node class.
    #[arg(long, env = "NODE_CLASS_NAME", default_value = "default", value_parser = label_part)]
    pub node_class_name: String,
    /// Time that a Karpenter's drain evicts pods before it deletes them, such as 10m. gpu-provisioner has its own.
    #[arg(long, env = "NODE_TERMINATION_GRACE_PERIOD", default_value = "10m", value_name = "TIME", value_parser = grace_period)]
    pub node_termination_grace_period: Duration,
    /// Age at which a node is replaced, such as 720h, or Never. gpu-provisioner has to allow it.
    #[arg(long, env = "NODE_EXPIRE_AFTER", default_value = "Never", value_name = "TIME", value_parser = expiry)]
    pub node_expire_after: String,
    /// JSON object with requirements, labels, annotations and taints of all NodeClaims, as in the chart's nodeClaim.
    #[arg(long, env = "NODE_CLAIM_CONTENTS", default_value = "{}", value_name = "JSON")]
    pub node_claim_contents: ClaimContents,
}

impl NodeClaimArgs {
    /// Checks what only several flags together show.
    ///
    /// # Errors
    /// gpu-provisioner would ignore the requirements.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.node_claim_contents.requirements.is_empty() || !self.options().class.is_kaito(),
            "--node-claim-contents: requirements are for the node class of a Karpenter; gpu-provisioner takes settings of nodes from its KaitoNodeClass"
        );
        Ok(())
    }

    pub(super) fn options(&self) -> NodeClaimOptions {
        NodeClaimOptions {
            class: NodeClassRef {
                group: self.node_class_group.clone(),
                kind: self.node_class_kind.clone(),
                name: self.node_class_name.clone(),
            },
            termination_grace_period: self.node_termination_grace_period,
            expire_after: self.node_expire_after.clone(),
            contents: self.node_claim_contents.clone(),
            ..NodeClaimOptions::default()
        }
    }
}

/// Parses an age as a NodeClaim holds it: hours, minutes and seconds, or `Never`.
fn expiry(text: &str) -> Result<String, String> {
    let is_age = || {
        let is_written_so = text.chars().all(|c| c.is_ascii_digit() || "hms".contains(c));
        let age = text.parse::<jiff::SignedDuration>();
        is_written_so && age.is_ok_and(|age| age >= jiff::SignedDuration::from_hours(1))
    };
    if text == "Never" || is_age() {
        Ok(text.to_owned())
    } else {
        Err("must be Never, or 1h or more, such as 720h".to_owned())
    }
}

/// Parses a duration of whole seconds, at least one: that is all a NodeClaim can hold.
fn grace_period(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>().ok();
    let time = time.and_then(|time| Duration::try_from(time).ok());
    time.filter(|time| time.as_secs() > 0 && time.subsec_nanos() == 0)
        .ok_or_else(|| "must be a duration of whole seconds, such as 10m".to_owned())
}

/// Parses a part of a name or a label, which the API server would otherwise reject in every object.
fn label_part(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let has_ends = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if has_ends && text.len() <= 63 && text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 63 letters, digits, dashes, dots and underscores".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::Args;

    #[test]
    fn requirements_need_a_karpenter() {
        let requirements = r#"--node-claim-contents={"requirements": [{"key": "a", "operator": "Exists"}]}"#;
        let check = |flags: &[&str]| {
            let args = Args::try_parse_from([&["workspace-controller", requirements], flags].concat());
            args.unwrap()
                .node_claims
                .check()
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            check(&[
                "--node-class-kind=AKSNodeClass",
                "--node-class-group=karpenter.azure.com"
            ]),
            Ok(())
        );
        assert!(check(&[]).unwrap_err().contains("KaitoNodeClass"));
    }
}
