//! References to images, and the hosts of their registries. Pure.

use oci_spec::distribution::Reference;

use crate::error::{Error, Result};

/// A parsed reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The complete reference: registry, repository, tag or digest.
    pub(crate) reference: Reference,
    /// `HOST[:PORT]` of the registry's API.
    pub(crate) host: String,
}

/// Parses a reference as Docker does: `alpine` is `docker.io/library/alpine:latest`.
///
/// # Errors
/// The reference is malformed.
pub(crate) fn parse(text: &str) -> Result<Target> {
    let bad = |problem: String| Error::Usage {
        argument: format!("{text:?}"),
        expected: format!("a reference to an image: {problem}"),
    };
    let reference: Reference = text.trim().parse().map_err(|error| bad(format!("{error}")))?;
    // The library accepts a first part in capitals as a registry, but later does not use it as one.
    if reference.repository().chars().any(|c| c.is_ascii_uppercase()) {
        return Err(bad("the name of a repository must have no capitals".to_owned()));
    }
    let host = match reference.registry() {
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    if let Some(digest) = reference.digest()
        && !digest.starts_with("sha256:")
    {
        return Err(bad("only SHA-256 digests are supported".to_owned()));
    }
    let host = host.to_owned();
    Ok(Target { reference, host })
}

impl Target {
    /// The part after `manifests/`: the digest, or else the tag.
    pub(crate) fn version(&self) -> &str {
        let tag = self.reference.tag().unwrap_or("latest");
        self.reference.digest().unwrap_or(tag)
    }

    /// Reports whether the registry is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self
            .host
            .rsplit_once(':')
            .map_or(self.host.as_str(), |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, whole: &str, version: &str) {
        let target = parse(text).unwrap();
        assert_eq!(
            (
                target.host.as_str(),
                target.reference.whole().as_str(),
                target.version()
            ),
            (host, whole, version)
        );
    }

    #[test]
    fn references_are_completed_as_docker_does() {
        let hub = "registry-1.docker.io";
        check("alpine", hub, "docker.io/library/alpine:latest", "latest");
        check("user/a:1", hub, "docker.io/user/a:1", "1");
        check(
            "localhost:5000/a",
            "localhost:5000",
            "localhost:5000/a:latest",
            "latest",
        );
        check("example.com/a/b:v1", "example.com", "example.com/a/b:v1", "v1");
        let digest = format!("sha256:{}", "a".repeat(64));
        let both = format!("example.com/a:v1@{digest}");
        check(&both, "example.com", &both, &digest);
        for bad in [
            "",
            "UPPER/case",
            "a b",
            "example.com/a:",
            "https://example.com/a",
            "example.com/../a",
            "a@sha256:12",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_this_machine_only() {
        let loopback = |text: &str| parse(text).unwrap().is_loopback();
        assert!(loopback("localhost:5000/a") && loopback("127.0.0.1:1/a"));
        assert!(!loopback("localhost.example.com/a") && !loopback("10.0.0.1:5000/a") && !loopback("a"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_the_whole_form_means_the_same(text in "([a-zA-Z0-9.:@/_-]|sha256:){0,60}") {
            if let Ok(target) = parse(&text) {
                let path = format!("/v2/{}/manifests/{}", target.reference.repository(), target.version());
                prop_assert!(!path.contains("/../") && !path.contains(['?', '#', ' ', '%']), "{}", path);
                prop_assert_eq!(parse(&target.reference.whole()).unwrap(), target);
            }
        }

        #[test]
        fn noise_is_refused_without_panic(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
