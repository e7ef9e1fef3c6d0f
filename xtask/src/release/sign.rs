//! Signatures by cosign, which must be on the `PATH` if one is asked for.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// A way to sign.
#[derive(Debug)]
pub(super) struct Signer {
    /// `None` signs by the identity of the workflow.
    key: Option<String>,
}

impl Signer {
    /// Returns the signer that is asked for; `None` if nothing is to be signed.
    ///
    /// # Errors
    /// Fails if one is asked for without cosign, before anything is built.
    pub(super) fn of(key: Option<&str>, by_identity: bool) -> Result<Option<Self>> {
        if key.is_none() && !by_identity {
            return Ok(None);
        }
        let found = Command::new("cosign")
            .arg("version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ensure!(
            found.is_ok_and(|status| status.success()),
            "signatures need cosign: install it, or leave out --sign-key and --sign-by-identity"
        );
        Ok(Some(Self {
            key: key.map(str::to_owned),
        }))
    }

    /// Signs what a reference with a digest names.
    pub(super) fn sign(&self, reference: &str) -> Result<()> {
        run(&self.arguments(&["sign", "--yes", "--recursive"], reference))
    }

    /// Signs a file. The signature is beside it, with the suffix `.sigstore.json`.
    pub(super) fn sign_file(&self, file: &Path) -> Result<()> {
        let file = file.to_str().context("the path is not UTF-8")?;
        let bundle = format!("{file}.sigstore.json");
        run(&self.arguments(&["sign-blob", "--yes", "--bundle", &bundle], file))
    }

    fn arguments(&self, verb: &[&str], subject: &str) -> Vec<String> {
        let key = self.key.iter().flat_map(|key| ["--key", key.as_str()]);
        let all = verb.iter().copied().chain(key).chain([subject]);
        all.map(str::to_owned).collect()
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let status = Command::new("cosign")
        .args(arguments)
        .status()
        .context("failed to run cosign")?;
    ensure!(
        status.success(),
        "cosign {} ended with {status}",
        arguments.join(" ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_passed_on_and_none_means_the_identity() {
        let signed = |key: Option<&str>, verb: &[&str], subject: &str| {
            let key = key.map(str::to_owned);
            Signer { key }.arguments(verb, subject).join(" ")
        };
        assert_eq!(
            signed(Some("cosign.key"), &["sign", "--yes"], "image@sha256:0"),
            "sign --yes --key cosign.key image@sha256:0"
        );
        assert_eq!(
            signed(None, &["sign-blob", "--yes"], "SHA256SUMS"),
            "sign-blob --yes SHA256SUMS"
        );
    }
}
