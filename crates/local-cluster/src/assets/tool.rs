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
    /// Runs the pods of one node.
    Kubelet,
    /// Routes Services on one node.
    KubeProxy,
    /// The container runtime.
    Containerd,
    /// The parent of a container.
    ContainerdShim,
    /// The command line of the container runtime.
    Ctr,
    /// Network plugin: connects pods to a bridge.
    CniBridge,
    /// Network plugin: the loopback device of a pod.
    CniLoopback,
    /// Network plugin: the addresses of pods.
    CniHostLocal,
    /// The first process of a pod. It does nothing.
    Pause,
    /// Resolves names of Services.
    CoreDns,
    /// Enforces network policies on one node.
    KubeRouter,
    /// Karpenter, whose provider makes Nodes for the node simulator.
    Karpenter,
    /// Prints the custom resource definitions of that Karpenter.
    KarpenterDefinitions,
}

impl Tool {
    /// Every program.
    pub const ALL: [Self; 21] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kwok,
        Self::Helm,
        Self::Grpcurl,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Containerd,
        Self::ContainerdShim,
        Self::Ctr,
        Self::CniBridge,
        Self::CniLoopback,
        Self::CniHostLocal,
        Self::Pause,
        Self::CoreDns,
        Self::KubeRouter,
        Self::Karpenter,
        Self::KarpenterDefinitions,
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
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Containerd => "containerd",
            Self::ContainerdShim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::CniBridge => "bridge",
            Self::CniLoopback => "loopback",
            Self::CniHostLocal => "host-local",
            Self::Pause => "pause",
            Self::CoreDns => "coredns",
            Self::KubeRouter => "kube-router",
            Self::Karpenter => "karpenter",
            Self::KarpenterDefinitions => "karpenter-definitions",
        }
    }

    /// The Go module that pins the program.
    pub const fn module(self) -> GoModule {
        match self {
            Self::Etcd
            | Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubectl
            | Self::Kubelet
            | Self::KubeProxy => GoModule::Kubernetes,
            Self::Kwok => GoModule::Kwok,
            Self::Helm | Self::Grpcurl => GoModule::Helm,
            Self::Containerd
            | Self::ContainerdShim
            | Self::Ctr
            | Self::CniBridge
            | Self::CniLoopback
            | Self::CniHostLocal
            | Self::Pause => GoModule::Node,
            Self::CoreDns => GoModule::CoreDns,
            Self::KubeRouter => GoModule::Policies,
            Self::Karpenter | Self::KarpenterDefinitions => GoModule::Karpenter,
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
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::Containerd => "github.com/containerd/containerd/v2/cmd/containerd",
            Self::ContainerdShim => "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            Self::Ctr => "github.com/containerd/containerd/v2/cmd/ctr",
            Self::CniBridge => "github.com/containernetworking/plugins/plugins/main/bridge",
            Self::CniLoopback => "github.com/containernetworking/plugins/plugins/main/loopback",
            Self::CniHostLocal => "github.com/containernetworking/plugins/plugins/ipam/host-local",
            Self::Pause => super::module::PAUSE_PACKAGE,
            Self::CoreDns => "github.com/coredns/coredns",
            Self::KubeRouter => "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
            Self::Karpenter => "sigs.k8s.io/karpenter/kwok",
            Self::KarpenterDefinitions => super::module::DEFINITIONS_PACKAGE,
        }
    }

    /// The module whose version is the version of the program.
    const fn versioned_by(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kwok => "sigs.k8s.io/kwok",
            Self::Helm => "helm.sh/helm/v4",
            Self::Grpcurl => "github.com/fullstorydev/grpcurl",
            Self::Containerd | Self::ContainerdShim | Self::Ctr | Self::Pause => {
                "github.com/containerd/containerd/v2"
            }
            Self::CniBridge | Self::CniLoopback | Self::CniHostLocal => {
                "github.com/containernetworking/plugins"
            }
            Self::CoreDns => "github.com/coredns/coredns",
            Self::KubeRouter => "github.com/cloudnativelabs/kube-router/v2",
            Self::Karpenter | Self::KarpenterDefinitions => "sigs.k8s.io/karpenter",
            _ => "k8s.io/kubernetes",
        }
    }

    /// The pinned version, with its leading `v`.
    pub fn version(self) -> &'static str {
        self.module().required(self.versioned_by()).unwrap_or("v0.0.0")
    }

    /// Returns true if a program of this name on `PATH` is this program. `bridge` is also a program of iproute2, and a
    /// shim must be of the version of its containerd. An installed `karpenter` has another provider.
    pub(super) const fn may_be_installed(self) -> bool {
        !matches!(self.module(), GoModule::Node | GoModule::Karpenter)
    }

    /// The arguments that make the program print its version; `None` where it has none.
    pub(super) const fn version_arguments(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Kubectl => Some(&["version", "--client"]),
            Self::Helm => Some(&["version", "--short"]),
            Self::Grpcurl | Self::KubeRouter | Self::Karpenter | Self::KarpenterDefinitions => None,
            Self::CoreDns => Some(&["-version"]),
            _ => Some(&["--version"]),
        }
    }

    /// The time of a cold build on two cores, in words.
    pub(super) const fn build_time(self) -> &'static str {
        match self {
            Self::Etcd | Self::Grpcurl | Self::KubeRouter => "about 40 s",
            Self::KubeApiserver => "about 4 min",
            Self::KubeControllerManager | Self::Kwok => "about 90 s",
            Self::KubeScheduler | Self::KubeProxy => "about 10 s",
            Self::Kubectl | Self::Kubelet => "about 20 s",
            Self::Containerd | Self::CoreDns => "about 90 s",
            Self::ContainerdShim
            | Self::Ctr
            | Self::CniBridge
            | Self::CniLoopback
            | Self::CniHostLocal
            | Self::Pause
            | Self::KarpenterDefinitions => "a few seconds",
            Self::Helm | Self::Karpenter => "about 3 min",
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
                tool.package().starts_with("./") || tool.module().go_mod().contains(tool.package()),
                "{tool:?} has no tool line"
            );
        }
    }
}
