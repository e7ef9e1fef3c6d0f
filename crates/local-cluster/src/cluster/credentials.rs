//! Keys, certificates and tokens of one cluster, made fresh each time.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::KeyPair;

use crate::nodes::{Authority, HOST_ADDRESS};

/// The names by which clients reach the API server.
const SERVER_NAMES: [&str; 7] = [
    "127.0.0.1",
    HOST_ADDRESS,
    "10.96.0.1",
    "localhost",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Users that the API server knows from the start: (name, user, groups).
///
/// The controllers and the scheduler have the roles every cluster gives them. The node simulator stands
/// in for all kubelets and may do everything, under a name of its own that the audit log shows. So may DNS, which reads only.
const USERS: [(&str, &str, &str); 5] = [
    ("admin", "admin", "system:masters"),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kwok", "kwok", "system:masters"),
    ("coredns", "coredns", "system:masters"),
];

/// A user with a token.
#[derive(Debug, Clone)]
pub(super) struct User {
    /// The name of its kubeconfig.
    pub(super) name: &'static str,
    pub(super) token: String,
}

/// Credentials of the cluster. The files are beside it in the `pki` directory.
#[derive(Debug)]
pub(super) struct ClusterCredentials {
    pub(super) ca: String,
    pub(super) users: [User; 5],
}

impl ClusterCredentials {
    /// Makes everything and writes `ca.{crt,key}`, `{apiserver,kubelet-client}.{crt,key}`, `sa.{key,pub}` and `tokens.csv`.
    pub(super) fn create(pki: &Path) -> Result<Self> {
        let ca = write_certificates(pki)?;
        write_service_account_keys(pki)?;
        let users = USERS.map(|(name, ..)| User {
            name,
            token: String::new(),
        });
        let mut credentials = Self { ca, users };
        let mut lines = String::new();
        for (user, (_, login, groups)) in credentials.users.iter_mut().zip(USERS) {
            user.token = random_token()?;
            lines += &format!("{},{login},{login},\"{groups}\"\n", user.token);
        }
        write(pki, "tokens.csv", &lines)?;
        Ok(credentials)
    }

    pub(super) fn admin(&self) -> &User {
        let [admin, ..] = &self.users;
        admin
    }
}

/// A certificate authority, the API server's certificate, and the one by which it is a client of kubelets. Returns the
/// authority's.
fn write_certificates(pki: &Path) -> Result<String> {
    let (authority, ca) = Authority::create(pki)?;
    let server = authority.server("kube-apiserver", &SERVER_NAMES)?;
    let client = authority.client("kube-apiserver-kubelet-client", "system:masters")?;
    for (name, signed) in [("apiserver", server), ("kubelet-client", client)] {
        write(pki, &format!("{name}.crt"), &signed.certificate)?;
        write(pki, &format!("{name}.key"), &signed.key)?;
    }
    Ok(ca)
}

fn write_service_account_keys(pki: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    write(pki, "sa.key", &key.serialize_pem())?;
    write(pki, "sa.pub", &key.public_key_pem())
}

fn write(pki: &Path, name: &str, text: &str) -> Result<()> {
    fs::write(pki.join(name), text).with_context(|| format!("failed to write {name}"))
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?
        .read_exact(&mut bytes)
        .context("no randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_token_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = ClusterCredentials::create(dir.path()).unwrap();
        let csv = fs::read_to_string(dir.path().join("tokens.csv")).unwrap();
        assert_eq!(csv.lines().count(), USERS.len());
        for user in &credentials.users {
            assert_eq!(csv.matches(user.token.as_str()).count(), 1);
        }
        assert!(
            csv.lines()
                .next()
                .unwrap()
                .ends_with(",admin,admin,\"system:masters\"")
        );
    }
}
