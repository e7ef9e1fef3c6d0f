//! Command line of the workspace controller. Every flag can also be set as an environment variable.

mod downloads;
mod node_claims;
mod offerings;
mod upgrades;

use std::sync::Arc;

use admission::table::CeilingArgs;
use clap::{Parser, ValueEnum};
use downloads::DownloadArgs;
use instance_types::{Catalog, Cloud};
use node_claims::NodeClaimArgs;
use offerings::OfferingArgs;
use preset_catalog::fit::RetiredTypes;
use render::{Downloads, Images, Isolation};
use upgrades::UpgradeArgs;
use workspace_plan::{NodeLimit, NodeRetention, ProvisionerMode, Settings};

/// Reconciles Workspaces: nodes, model server or tuning Job, Service and status.
#[derive(Clone, Debug, Parser)]
#[command(name = "workspace-controller", version)]
pub struct Args {
    /// Address of the preset registry.
    #[arg(long, env = "PRESET_REGISTRY", default_value = "http://preset-registry:50051")]
    pub preset_registry: String,
    /// Encryption of the preset registry.
    #[command(flatten)]
    pub registry_tls: crate::registry_tls::RegistryTlsArgs,
    /// Source of nodes.
    #[arg(long, env = "NODE_PROVISIONER", value_enum, default_value_t = Provisioner::NodeClaim)]
    pub node_provisioner: Provisioner,
    /// Capacity types and zones of nodes.
    #[command(flatten)]
    pub offerings: OfferingArgs,
    /// ConfigMap in which gpu-provisioner publishes quota and restrictions of the subscription, as NAMESPACE/NAME.
    #[arg(long, env = "CAPACITY_CONFIG_MAP")]
    pub capacity_config_map: Option<operator_runtime::ConfigMapName>,
    /// Settings of NodeClaims.
    #[command(flatten)]
    pub node_claims: NodeClaimArgs,
    /// Cloud whose instance types are used: azure, aws, gcp, arc or other.
    #[arg(long, env = "CLOUD_PROVIDER", default_value = "azure")]
    pub cloud_provider: Cloud,
    /// Instance types of the administrator.
    #[command(flatten)]
    pub instance_types: operator_runtime::InstanceTypeArgs,
    /// Default image family of nodes: ubuntu or azurelinux.
    #[arg(long, env = "DEFAULT_NODE_IMAGE_FAMILY", default_value = "ubuntu", value_parser = ["ubuntu", "azurelinux"])]
    pub default_node_image_family: String,
    /// Most nodes of one Workspace, from 1 to 1000.
    #[arg(long, env = "MAX_NODES_PER_WORKSPACE", default_value = "100")]
    pub max_nodes_per_workspace: NodeLimit,
    /// Ceilings of nodes and of their price.
    #[command(flatten, next_help_heading = "Ceilings")]
    pub ceilings: CeilingArgs,
    /// Treatment of retired instance types: replace buys a current one that costs at most 1.5 times as much; refuse does not.
    #[arg(long, env = "RETIRED_INSTANCE_TYPES", default_value = "replace")]
    pub retired_instance_types: RetiredTypes,
    /// Time for which the nodes of an ended tuning stay, such as 10m; `keep` leaves them until the Workspace is deleted.
    #[arg(long, env = "TUNING_NODE_RETENTION", default_value = "10m")]
    pub tuning_node_retention: NodeRetention,
    /// Time of upgrades.
    #[command(flatten)]
    pub upgrades: UpgradeArgs,
    /// Metrics and probes.
    #[command(flatten)]
    pub admin: serve::AdminArgs,
    /// Number of Workspaces that are reconciled at once.
    #[arg(long, env = "CONCURRENCY", default_value_t = 16)]
    pub concurrency: u16,
    /// Images of the deployed containers.
    #[command(flatten)]
    pub images: crate::image_args::ImageArgs,
    /// Allowed downloads of the deployed containers.
    #[command(flatten)]
    pub downloads: DownloadArgs,
    /// Images with weights as volumes, which the image store of a node keeps: auto mounts them from Kubernetes 1.35 on.
    #[arg(long, env = "IMAGE_VOLUMES", value_enum, default_value = "auto")]
    pub image_volumes: crate::image_volumes::ImageVolumes,
    /// Connections that the deployed containers open.
    #[command(flatten)]
    pub outgoing: crate::outgoing_args::OutgoingArgs,
    /// Defaults of serving.
    #[command(flatten)]
    pub serving: crate::serving_args::ServingArgs,
    /// Separation of Workspaces.
    #[command(flatten)]
    pub isolation: IsolationArgs,
    /// Connection to the API server.
    #[command(flatten)]
    pub client: operator_runtime::ClientArgs,
    /// Leader election.
    #[command(flatten)]
    pub leader: operator_runtime::LeaderArgs,
    /// Health.
    #[command(flatten)]
    pub health: operator_runtime::HealthArgs,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::TelemetryArgs,
}

/// Source of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Provisioner {
    /// Machines (`karpenter.sh/v1alpha5`), for a gpu-provisioner.
    Machine,
    /// NodeClaims (`karpenter.sh/v1`), for the provisioner of their node class: a gpu-provisioner, or a Karpenter.
    #[value(name = "nodeclaim", aliases = ["azure-gpu-provisioner", "karpenter"])]
    NodeClaim,
    /// Nodes of the user, found by label.
    Byo,
}

/// Separation of the Workspaces from each other.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Isolation")]
pub struct IsolationArgs {
    /// Taint the nodes of each Workspace with its UID, so that only its pods are scheduled there.
    #[arg(long, env = "NODE_TAINT", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub node_taint: bool,
    /// Require a node label that no kubelet may set. Our gpu-provisioner sets it; others may not.
    #[arg(long, env = "NODE_RESTRICTED_LABEL", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub node_restricted_label: bool,
    /// Create a NetworkPolicy for each Workspace, which closes the ports of the engine.
    #[arg(long, env = "WORKSPACE_NETWORK_POLICIES", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub workspace_network_policies: bool,
}

impl Args {
    /// Returns the planner's settings. They have no image volumes until the API server has been asked.
    #[must_use]
    pub fn settings(&self, images: Images, instance_types: Arc<Catalog>) -> Settings {
        Settings {
            mode: match self.node_provisioner {
                Provisioner::Machine => ProvisionerMode::Machine,
                Provisioner::NodeClaim => ProvisionerMode::NodeClaim,
                Provisioner::Byo => ProvisionerMode::Byo,
            },
            node_claims: self.node_claims.options(),
            offerings: self.offerings.allowed(),
            cloud: self.cloud_provider,
            instance_types,
            max_nodes: self.max_nodes_per_workspace,
            ceilings: self.ceilings.ceilings(),
            tuning_node_retention: self.tuning_node_retention,
            upgrades: self.upgrades.upgrades(),
            node_image_family: self.default_node_image_family.clone(),
            engine: self.images.engine.facts(),
            retired_types: self.retired_instance_types,
            images,
            downloads: Downloads {
                hub: self.downloads.hub_endpoint.clone(),
                allow_http: self.downloads.data_allow_http,
                allow_hosts: self.downloads.data_allow_host.clone(),
                plain_http_registries: self.downloads.plain_http_registry.clone(),
            },
            outgoing: self.outgoing.outgoing(),
            serving: self.serving.serving(),
            image_volumes: false,
            isolation: Isolation {
                taint: self.isolation.node_taint,
                restricted_label: self.isolation.node_restricted_label,
                network_policy: self.isolation.workspace_network_policies,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use render::NodeClaimOptions;

    use super::*;

    fn downloads(flags: &[&str]) -> Result<Downloads, String> {
        let args = Args::try_parse_from([&["workspace-controller"], flags].concat());
        args.map(|args| {
            args.settings(
                Images::of_registry("registry.example.com/kaito", "0.1.0"),
                Arc::default(),
            )
            .downloads
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        assert_eq!(downloads(&[]), Ok(Downloads::default()));
        let asked = downloads(&[
            "--hub-endpoint=https://hub.example.com",
            "--data-allow-http",
            "--data-allow-host=data.example.com",
            "--data-allow-host=10.1.2.3",
            "--plain-http-registry=registry.example.com:5000",
        ]);
        let expected = Downloads {
            hub: "https://hub.example.com".to_owned(),
            allow_http: true,
            allow_hosts: vec!["data.example.com".to_owned(), "10.1.2.3".to_owned()],
            plain_http_registries: vec!["registry.example.com:5000".to_owned()],
        };
        assert_eq!(asked, Ok(expected));
    }

    #[test]
    fn names_that_upstream_uses_for_the_provisioner_are_accepted() {
        let of = |flags: &[&str]| {
            Args::try_parse_from([&["workspace-controller"], flags].concat())
                .map(|args| {
                    args.settings(
                        Images::of_registry("registry.example.com/kaito", "0.1.0"),
                        Arc::default(),
                    )
                })
                .map_err(|error| error.to_string())
        };
        assert_eq!(of(&[]).unwrap().mode, ProvisionerMode::NodeClaim);
        for word in ["nodeclaim", "azure-gpu-provisioner", "karpenter"] {
            let settings = of(&[&format!("--node-provisioner={word}")]).unwrap();
            assert_eq!(settings.mode, ProvisionerMode::NodeClaim, "{word}");
            assert_eq!(settings.node_claims, NodeClaimOptions::default());
        }
        let settings = of(&[
            "--node-class-group=karpenter.azure.com",
            "--node-class-kind=AKSNodeClass",
            "--node-class-name=gpu",
            "--node-termination-grace-period=1h30m",
        ])
        .unwrap();
        assert_eq!(settings.node_claims.termination_grace_period.as_secs(), 5400);
        assert_eq!(
            settings.node_claims.class.label(),
            "karpenter.azure.com/aksnodeclass"
        );
        let contents = r#"--node-claim-contents={"labels": {"team": "ml"}}"#;
        let labeled = of(&[contents]).unwrap().node_claims.contents;
        assert_eq!(labeled.labels["team"], "ml");
        let error = of(&[r#"--node-claim-contents={"labels": {"kaito.sh/x": "y"}}"#]).unwrap_err();
        assert!(error.contains("labels: kaito.sh/x belongs to"), "{error}");
        let expiring = of(&["--node-expire-after=720h"]).unwrap();
        assert_eq!(expiring.node_claims.expire_after, "720h");
        for wrong in ["0s", "59m", "30d", "never", "-5h"] {
            assert!(of(&[&format!("--node-expire-after={wrong}")]).is_err(), "{wrong}");
        }
        for wrong in ["0s", "-5m", "soon", "500ms"] {
            let error = of(&[&format!("--node-termination-grace-period={wrong}")]).unwrap_err();
            assert!(error.contains("must be a duration of whole seconds"), "{wrong}");
        }
        for wrong in ["--node-class-kind=", "--node-class-group=a/b"] {
            assert!(
                of(&[wrong]).unwrap_err().contains("expected 1 to 63 letters"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_url_or_a_flag_is_not_a_host() {
        for wrong in ["", "https://x", "-x", "a b", "a/b"] {
            let answer = downloads(&[&format!("--data-allow-host={wrong}")]).unwrap_err();
            assert!(answer.contains("expected a host name"), "{wrong}: {answer}");
        }
    }

    #[test]
    fn the_chart_names_flags_that_exist() {
        let chart = concat!(
            include_str!("../../../charts/kaito/templates/workspace-controller/deployment.yaml"),
            include_str!("../../../charts/kaito/templates/_helpers.tpl"),
        );
        let command = <Args as clap::CommandFactory>::command();
        let known: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        let starts = ["- --", "- {{ printf \"--"];
        let of_line = |line: &'static str| starts.iter().find_map(|start| line.trim().strip_prefix(start));
        let named = chart.lines().filter_map(of_line);
        let named: Vec<&str> = named
            .map(|rest| rest.split(['=', ' ']).next().unwrap_or_default())
            .collect();
        for flag in &named {
            assert!(known.contains(flag), "--{flag}");
        }
        for flag in [
            "tuning-job-image",
            "image-pull-secret",
            "max-nodes-per-workspace",
            "tuning-node-retention",
            "upgrades",
            "upgrade-window-days",
            "upgrade-window-start",
            "upgrade-window-length",
            "upgrade-timeout",
            "node-termination-grace-period",
            "node-claim-contents",
            "node-capacity-types",
            "node-zones",
            "capacity-config-map",
            "instance-types-dir",
            "workspace-node-ceiling",
            "workspace-price-ceiling",
            "namespace-node-ceiling",
            "retired-instance-types",
            "base-image-min-compute-capability",
            "base-image-cuda-toolkit",
            "namespace-price-ceiling",
            "hub-endpoint",
            "front",
            "api-keys-secret",
            "tls-secret",
            "cors-origin",
            "stall-seconds",
            "data-allow-http",
            "data-allow-host",
            "plain-http-registry",
            "image-volumes",
            "pod-http-proxy",
            "pod-https-proxy",
            "pod-no-proxy",
            "pod-ca-config-map",
            "pod-ca-key",
            "pod-azure-workload-identity",
        ] {
            assert!(named.contains(&flag), "{flag}");
        }
    }
}
