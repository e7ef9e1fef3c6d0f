//! The Go modules that pin the programs, embedded, so that this crate works away from its sources.

use std::path::Path;
use std::{fs, io};

use sha2::{Digest as _, Sha256};

/// One pinned Go module; programs with different client-go versions live in different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoModule {
    /// etcd and every Kubernetes program.
    Kubernetes,
    /// KWOK.
    Kwok,
    /// Helm and grpcurl.
    Helm,
    /// The container runtime and the network plugins of a node.
    Node,
    /// `CoreDNS`.
    CoreDns,
    /// The enforcer of network policies.
    Policies,
    /// Karpenter.
    Karpenter,
}

/// The package of [`super::Tool::Pause`]: a program of ours, beside the module's `go.mod`.
pub(super) const PAUSE_PACKAGE: &str = "./pause";
const PAUSE: &str = include_str!("../../tools/node/pause/main.go");
/// The package of [`super::Tool::KarpenterDefinitions`], also ours.
pub(super) const DEFINITIONS_PACKAGE: &str = "./definitions";
const DEFINITIONS: &str = include_str!("../../tools/karpenter/definitions/main.go");

impl GoModule {
    /// The text of its `go.mod`.
    pub const fn go_mod(self) -> &'static str {
        match self {
            Self::Kubernetes => include_str!("../../tools/kubernetes/go.mod"),
            Self::Kwok => include_str!("../../tools/kwok/go.mod"),
            Self::Helm => include_str!("../../tools/helm/go.mod"),
            Self::Node => include_str!("../../tools/node/go.mod"),
            Self::CoreDns => include_str!("../../tools/coredns/go.mod"),
            Self::Policies => include_str!("../../tools/policies/go.mod"),
            Self::Karpenter => include_str!("../../tools/karpenter/go.mod"),
        }
    }

    const fn go_sum(self) -> &'static str {
        match self {
            Self::Kubernetes => include_str!("../../tools/kubernetes/go.sum"),
            Self::Kwok => include_str!("../../tools/kwok/go.sum"),
            Self::Helm => include_str!("../../tools/helm/go.sum"),
            Self::Node => include_str!("../../tools/node/go.sum"),
            Self::CoreDns => include_str!("../../tools/coredns/go.sum"),
            Self::Policies => include_str!("../../tools/policies/go.sum"),
            Self::Karpenter => include_str!("../../tools/karpenter/go.sum"),
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Kwok => "kwok",
            Self::Helm => "helm",
            Self::Node => "node",
            Self::CoreDns => "coredns",
            Self::Policies => "policies",
            Self::Karpenter => "karpenter",
        }
    }

    /// The version at which `path` is required.
    pub(super) fn required(self, path: &str) -> Option<&'static str> {
        self.go_mod().lines().find_map(|line| {
            let mut words = line.trim_start_matches("require ").split_whitespace();
            (words.next() == Some(path))
                .then(|| words.next())
                .flatten()
                .filter(|word| word.starts_with('v'))
        })
    }

    /// The linker flags. Without the version stamps the servers call themselves v0.0.0-master, and
    /// kubectl, helm and Karpenter misread that.
    pub(super) fn linker_flags(self) -> String {
        match (self, self.required("k8s.io/kubernetes")) {
            (Self::Kubernetes, Some(version)) => kubernetes_flags(version),
            _ => "-s -w".to_owned(),
        }
    }

    /// The build tags. Without them the container runtime needs C libraries.
    pub(super) const fn tags(self) -> Option<&'static str> {
        match self {
            Self::Node => Some("no_btrfs,no_devmapper,no_zfs"),
            _ => None,
        }
    }

    /// Programs of ours in the module: paths in it and texts.
    const fn sources(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Node => &[("pause/main.go", PAUSE)],
            Self::Karpenter => &[("definitions/main.go", DEFINITIONS)],
            _ => &[],
        }
    }

    /// The name of the cache entry: a hash over everything that decides what a build gives.
    pub(super) fn cache_key(self, go_version: &str) -> String {
        let mut hash = Sha256::new();
        for part in [self.go_mod(), self.go_sum(), &self.linker_flags(), go_version] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        for part in self
            .tags()
            .into_iter()
            .chain(self.sources().iter().map(|(_, text)| *text))
        {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        format!("{}-{}", self.label(), &hex(&hash.finalize())[..16])
    }

    /// Writes the module to a directory, ready for `go build`.
    pub(super) fn write_to(self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("go.mod"), self.go_mod())?;
        fs::write(dir.join("go.sum"), self.go_sum())?;
        for (path, text) in self.sources() {
            let path = dir.join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, text)?;
        }
        Ok(())
    }
}

fn kubernetes_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or("0");
    let minor = numbers.next().unwrap_or("0");
    format!(
        "-s -w -X k8s.io/component-base/version.gitVersion={version} \
         -X k8s.io/component-base/version.gitMajor={major} \
         -X k8s.io/component-base/version.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion={version}"
    )
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::GoModule;

    #[test]
    fn flags_carry_the_pinned_version() {
        let flags = GoModule::Kubernetes.linker_flags();
        let version = GoModule::Kubernetes.required("k8s.io/kubernetes").unwrap();
        assert!(flags.contains(&format!("component-base/version.gitVersion={version} ")));
        assert!(flags.contains("gitMajor=1 "));
        assert!(!flags.contains('\n'));
    }

    #[test]
    fn key_depends_on_the_go_version_and_the_module() {
        let key = GoModule::Kwok.cache_key("go1.26.8");
        assert_eq!(key, GoModule::Kwok.cache_key("go1.26.8"));
        assert_ne!(key, GoModule::Kwok.cache_key("go1.27.0"));
        assert_ne!(key, GoModule::Helm.cache_key("go1.26.8"));
    }

    #[test]
    fn a_replaced_module_is_not_its_requirement() {
        assert_eq!(GoModule::Kwok.required("sigs.k8s.io/kwok/cmd/kwok"), None);
    }
}
