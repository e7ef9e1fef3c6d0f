//! Signatures by cosign, which must be on the `PATH` if one is asked for.

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
        let status = Command::new("cosign")
            .args(self.arguments(reference))
            .status()
            .context("failed to run cosign")?;
        ensure!(
            status.success(),
            "cosign could not sign {reference}: it ended with {status}"
        );
        Ok(())
    }

    fn arguments(&self, reference: &str) -> Vec<String> {
        let key = self.key.iter().flat_map(|key| ["--key".to_owned(), key.clone()]);
        ["sign", "--yes", "--recursive"]
            .map(str::to_owned)
            .into_iter()
            .chain(key)
            .chain([reference.to_owned()])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_passed_on_and_none_means_the_identity() {
        let signed = |key: Option<&str>| {
            Signer {
                key: key.map(str::to_owned),
            }
            .arguments("image@sha256:0")
            .join(" ")
        };
        assert_eq!(
            signed(Some("cosign.key")),
            "sign --yes --recursive --key cosign.key image@sha256:0"
        );
        assert_eq!(signed(None), "sign --yes --recursive image@sha256:0");
    }
}
