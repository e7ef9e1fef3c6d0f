//! The programs and their pins. The version of each is read from its `go.mod`, so it is said once.

use super::module::GoModule;

/// A program of the local cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Deployments, Jobs, garbage collection, node lifecycle.
    KubeControllerManager,
    /// Binds pods to nodes.
    KubeScheduler,
    /// The command line client.
    Kubectl,
    /// Plays nodes and pods without running containers.
    Kwok,
    /// Renders, lints and installs charts.
    Helm,
    /// A gRPC client for the command line.
    Grpcurl,
}

impl Tool {
    /// Every program.
    pub const ALL: [Self; 8] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kwok,
        Self::Helm,
        Self::Grpcurl,
    ];

    /// The file name of the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::Helm => "helm",
            Self::Grpcurl => "grpcurl",
        }
    }

    /// The Go module that pins the program.
    pub const fn module(self) -> GoModule {
        match self {
            Self::Etcd
            | Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubectl => GoModule::Kubernetes,
            Self::Kwok => GoModule::Kwok,
            Self::Helm | Self::Grpcurl => GoModule::Helm,
        }
    }

    /// The Go package to build.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
            Self::Helm => "helm.sh/helm/v4/cmd/helm",
            Self::Grpcurl => "github.com/fullstorydev/grpcurl/cmd/grpcurl",
        }
    }

    /// The module whose version is the version of the program.
    const fn versioned_by(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kwok => "sigs.k8s.io/kwok",
            Self::Helm => "helm.sh/helm/v4",
            Self::Grpcurl => "github.com/fullstorydev/grpcurl",
            _ => "k8s.io/kubernetes",
        }
    }

    /// The pinned version, with its leading `v`.
    pub fn version(self) -> &'static str {
        self.module().required(self.versioned_by()).unwrap_or("v0.0.0")
    }

    /// The arguments that make the program print its version; `None` where it has none.
    pub(super) const fn version_arguments(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Kubectl => Some(&["version", "--client"]),
            Self::Helm => Some(&["version", "--short"]),
            Self::Grpcurl => None,
            _ => Some(&["--version"]),
        }
    }

    /// The time of a cold build on two cores, in words.
    pub(super) const fn build_time(self) -> &'static str {
        match self {
            Self::Etcd | Self::Grpcurl => "about 40 s",
            Self::KubeApiserver => "about 4 min",
            Self::KubeControllerManager | Self::Kwok => "about 90 s",
            Self::KubeScheduler => "about 10 s",
            Self::Kubectl => "about 20 s",
            Self::Helm => "about 3 min",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tool;

    #[test]
    fn every_tool_is_pinned() {
        for tool in Tool::ALL {
            assert!(tool.version().starts_with('v'), "{tool:?}");
            assert_ne!(tool.version(), "v0.0.0", "{tool:?} has no version in its go.mod");
            assert!(
                tool.module().go_mod().contains(tool.package()),
                "{tool:?} has no tool line"
            );
        }
    }
}
