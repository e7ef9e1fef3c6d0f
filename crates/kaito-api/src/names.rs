//! Deterministic names of the objects we create.
//!
//! A name is a function of the object's purpose, so creating is applying. A stale cache can repeat a write but never
//! double an object.

use sha2::{Digest, Sha256};

/// Name of the claim with this ordinal in a Workspace: `ws` and nine hex digits.
///
/// An agent pool gets the name of its claim. AKS allows 12 lower-case letters and digits; KAITO has always used eleven.
#[must_use]
pub fn claim(namespace: &str, workspace: &str, workspace_uid: &str, ordinal: u32) -> String {
    let ordinal = ordinal.to_string();
    let digest = digest(&[namespace, workspace, workspace_uid, &ordinal]);
    format!("ws{}", &digest[..9])
}

/// Name of the headless Service that gives the pods of a multi-node workload their host names.
#[must_use]
pub fn headless_service(workspace: &str) -> String {
    format!("{workspace}-headless")
}

/// Name of the ConfigMap with our default training parameters.
#[must_use]
pub fn tuning_config(workspace: &str) -> String {
    format!("{workspace}-tuning-config")
}

/// Name of the NetworkPolicy of the Workspace's pods.
#[must_use]
pub fn network_policy(workspace: &str) -> String {
    format!("{workspace}-kaito")
}

/// Name of the revision that holds a rendered workload of this digest.
#[must_use]
pub fn revision(workspace: &str, digest: &str) -> String {
    format!("{workspace}-{}", digest.get(..10).unwrap_or(digest))
}

/// Host name of pod 0 of a multi-node workload, as the other pods resolve it.
#[must_use]
pub fn leader_host(workspace: &str, namespace: &str) -> String {
    format!(
        "{workspace}-0.{}.{namespace}.svc.cluster.local",
        headless_service(workspace)
    )
}

/// Hex SHA-256 over the parts, each ended by a zero byte so that no two lists of parts collide.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    use std::fmt::Write as _;
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_names_fit_an_agent_pool_and_differ_by_ordinal() {
        let names: std::collections::BTreeSet<_> =
            (0..100).map(|i| claim("default", "w", "uid", i)).collect();
        assert_eq!(names.len(), 100);
        for name in names {
            assert_eq!(name.len(), 11);
            assert!(
                name.starts_with("ws") && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            );
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(claim("ab", "c", "u", 1), claim("a", "bc", "u", 1));
        assert_ne!(claim("a", "b", "u", 1), claim("a", "b", "u2", 1));
    }
}
