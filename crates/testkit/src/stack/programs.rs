//! Our programs as processes, each under its own identity.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::helm::NAMESPACE;
use super::options::StackOptions;
use super::own_types::OwnTypes;
use crate::{Program, Running, TestEnv};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const TENANT: &str = "00000000-0000-0000-0000-000000000002";
const CLIENT: &str = "00000000-0000-0000-0000-000000000003";
const GROUP: &str = "local";
const CLUSTER: &str = "local";
const LOCATION: &str = "westeurope";
const CATALOG: &str = "kaito-catalog";
/// The ConfigMap in which the registry publishes the authority of its certificate, as the chart names it.
pub const AUTHORITY: &str = "kaito-preset-registry-ca";
/// The registry's DNS name in the cluster, which is the audience of its callers' tokens.
pub const REGISTRY_HOST: &str = "kaito-preset-registry.kaito-system.svc";
/// Images of Workspace pods. No such registry exists, and simulated nodes pull nothing.
const IMAGES: [(&str, &str); 5] = [
    ("--preset-registry-name", "registry.example.com/kaito"),
    ("--base-image", "registry.example.com/kaito/kaito-base:0.5.0"),
    (
        "--inference-server-image",
        "registry.example.com/kaito/inference-server:0.1.0",
    ),
    (
        "--tuning-job-image",
        "registry.example.com/kaito/tuning-job:0.1.0",
    ),
    ("--artifact-image", "registry.example.com/kaito/artifact:0.1.0"),
];
/// Longer than any test.
const TOKEN_SECONDS: i64 = 12 * 60 * 60;

/// The address of the simulated cloud.
#[derive(Clone, Debug)]
pub struct ArmEndpoint {
    /// `http://127.0.0.1:port`.
    pub url: String,
}

/// Command lines of all programs. Ports are reserved once, so that a restarted program is found again.
#[derive(Clone, Debug)]
pub struct Programs {
    options: StackOptions,
    /// Namespace of the leases.
    lease_namespace: String,
    arm_port: u16,
    registry_port: u16,
    /// Metrics and probes of controller, provisioner and registry.
    admin_ports: [u16; 6],
    token_file: PathBuf,
    instance_types: OwnTypes,
    admin_kubeconfig: PathBuf,
    controller_kubeconfig: PathBuf,
    provisioner_kubeconfig: PathBuf,
    registry_kubeconfig: PathBuf,
    /// The controller's token for the registry.
    registry_token: PathBuf,
}

impl Programs {
    /// Programs for one cluster on which the chart is installed.
    ///
    /// # Errors
    /// When the API server gives no token or a file cannot be written.
    pub async fn prepare(env: &TestEnv, options: StackOptions) -> Result<Self> {
        let token_file = env.cluster().dir().join("azure-identity-token");
        std::fs::write(&token_file, "a-projected-service-account-token")?;
        let registry_token = env.cluster().dir().join("registry-token");
        let token = env
            .service_account_token(NAMESPACE, "workspace-controller", REGISTRY_HOST, TOKEN_SECONDS)
            .await?;
        std::fs::write(&registry_token, token)?;
        let instance_types = OwnTypes::write(env, options.instance_types)?;
        let [arm_port, registry_port, admin_ports @ ..] = crate::reserve_ports::<8>()?;
        Ok(Self {
            options,
            lease_namespace: NAMESPACE.to_owned(),
            arm_port,
            registry_port,
            admin_ports,
            token_file,
            instance_types,
            admin_kubeconfig: env.cluster().kubeconfig(),
            controller_kubeconfig: env
                .service_account_kubeconfig(NAMESPACE, "workspace-controller")
                .await?,
            provisioner_kubeconfig: env
                .service_account_kubeconfig(NAMESPACE, "gpu-provisioner")
                .await?,
            registry_kubeconfig: env
                .service_account_kubeconfig(NAMESPACE, "preset-registry")
                .await?,
            registry_token,
        })
    }

    /// The same programs on other ports for metrics and probes, to start a second replica.
    ///
    /// # Errors
    /// When there are no ports.
    pub fn replica(&self) -> Result<Self> {
        Ok(Self {
            admin_ports: crate::reserve_ports::<6>()?,
            ..self.clone()
        })
    }

    /// Lets programs that are started from now on belong to a release in another namespace.
    pub fn lead_in(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.lease_namespace);
    }

    /// Lets controllers that are started from now on ask for nodes in another way; the chart has to be upgraded, too.
    pub fn claim_by(&mut self, node_provisioner: &'static str) {
        self.options.node_provisioner = node_provisioner;
    }

    /// Lets controllers that are started from now on ask for NodeClaims of this group, kind and name of a class.
    pub fn claim_of_class(&mut self, node_class: [&'static str; 3]) {
        self.options.node_class = node_class;
    }

    /// The address of the simulated cloud.
    #[must_use]
    pub fn arm(&self) -> ArmEndpoint {
        ArmEndpoint {
            url: format!("http://127.0.0.1:{}", self.arm_port),
        }
    }

    /// `host:port` of the preset registry.
    #[must_use]
    pub fn registry_address(&self) -> String {
        format!("127.0.0.1:{}", self.registry_port)
    }

    /// The ports of each program: simulated cloud, registry, controller and provisioner.
    pub(crate) fn ports(&self) -> [Vec<u16>; 4] {
        let [controller, provisioner, registry] = [0, 2, 4].map(|at| self.admin_ports[at..at + 2].to_vec());
        [
            vec![self.arm_port],
            [vec![self.registry_port], registry].concat(),
            controller,
            provisioner,
        ]
    }

    /// The address of a program's metrics: `controller`, `provisioner` or `registry`.
    #[must_use]
    pub fn metrics_url(&self, program: &str) -> String {
        let port = match program {
            "controller" => self.admin_ports[0],
            "provisioner" => self.admin_ports[2],
            _ => self.admin_ports[4],
        };
        format!("http://127.0.0.1:{port}/metrics")
    }

    /// The address of a program's probes: `controller`, `provisioner` or `registry`.
    #[must_use]
    pub fn probe_url(&self, program: &str, path: &str) -> String {
        let port = match program {
            "controller" => self.admin_ports[1],
            "provisioner" => self.admin_ports[3],
            _ => self.admin_ports[5],
        };
        format!("http://127.0.0.1:{port}/{path}")
    }

    /// The simulated cloud; it boots simulated nodes as an administrator, as a cloud does.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_arm(&self, env: &TestEnv) -> Result<Running> {
        self.instance_types
            .of_cloud(Program::named("arm-server"))
            .args(["--listen", &format!("127.0.0.1:{}", self.arm_port)])
            .args(["--subscription", SUBSCRIPTION, "--resource-group", GROUP])
            .args(["--cluster", CLUSTER, "--location", LOCATION])
            .args(["--create-seconds", &self.options.create_seconds.to_string()])
            .args(["--delete-seconds", &self.options.delete_seconds.to_string()])
            .args(["--max-pools", &self.options.max_pools.to_string()])
            .args(["--tenant", TENANT, "--client-id", CLIENT])
            .arg("--token-file")
            .arg(&self.token_file)
            .arg("--kubeconfig")
            .arg(&self.admin_kubeconfig)
            .env("NO_PROXY", "*")
            .start(env)
    }

    /// The preset registry, under its own ServiceAccount. It encrypts and checks its callers, as the chart has it.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_registry(&self, env: &TestEnv) -> Result<Running> {
        let program = self.with_admin(Program::named("preset-registry"), 4);
        self.registry(program, &self.registry_address(), "kaito-preset-registry-0")
            .start(env)
    }

    /// A further replica of the preset registry at this address, with this name.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_registry_replica(&self, env: &TestEnv, address: &str, name: &str) -> Result<Running> {
        let program = Program::named("preset-registry")
            .arg("--metrics-bind-address=127.0.0.1:0")
            .arg("--health-probe-bind-address=127.0.0.1:0")
            .env("NO_PROXY", "*");
        self.registry(program, address, name).start(env)
    }

    fn registry(&self, program: Program, address: &str, replica: &str) -> Program {
        let lifetime = self.options.certificate_lifetime_seconds;
        let mut program = self
            .instance_types
            .of_program(program)
            .args(["--grpc-bind-address", address])
            .arg(format!("--ca-config-map={NAMESPACE}/{AUTHORITY}"))
            .arg(format!("--tls-name={REGISTRY_HOST}"))
            .arg(format!("--replica-name={replica}"))
            .arg(format!("--certificate-lifetime-seconds={lifetime}"))
            .arg(format!("--token-audience={REGISTRY_HOST}"))
            .arg(format!("--access-namespace={NAMESPACE}"))
            .kubeconfig(&self.registry_kubeconfig);
        if let Some(presets) = &self.options.presets_dir {
            program = program.arg("--presets-dir").arg(presets);
        }
        if self.options.publish_catalog {
            program = program.arg(format!("--publish-config-map={NAMESPACE}/{CATALOG}"));
        }
        if let Some(endpoint) = &self.options.hub_endpoint {
            program = program.args(["--hub-endpoint", endpoint]);
        }
        program.args(self.options.verdict_flags)
    }

    /// The workspace controller under its own ServiceAccount.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_controller(&self, env: &TestEnv) -> Result<Running> {
        self.start_controller_with(env, &self.controller_kubeconfig)
    }

    /// The workspace controller with further arguments, as an upgrade of the chart would give it.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_upgraded_controller(&self, env: &TestEnv, args: &[&str]) -> Result<Running> {
        self.controller(env, &self.controller_kubeconfig, args)
    }

    /// The workspace controller with another way to the API server.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_controller_with(&self, env: &TestEnv, kubeconfig: &Path) -> Result<Running> {
        self.controller(env, kubeconfig, &[])
    }

    fn controller(&self, env: &TestEnv, kubeconfig: &Path, args: &[&str]) -> Result<Running> {
        let other = |flag: &str| args.iter().all(|arg| arg.split('=').next() != Some(flag));
        let images = IMAGES.into_iter().filter(|(flag, _)| other(flag));
        let images: Vec<_> = images.map(|(flag, image)| format!("{flag}={image}")).collect();
        let program = self.with_admin(Program::named("workspace-controller"), 0);
        self.instance_types
            .of_program(program)
            .args([
                "--preset-registry",
                &format!("https://{}", self.registry_address()),
            ])
            .arg(format!("--preset-registry-ca-config-map={NAMESPACE}/{AUTHORITY}"))
            .arg("--preset-registry-token-file")
            .arg(&self.registry_token)
            .args(images)
            .args(["--concurrency", &self.options.concurrency.to_string()])
            .args(["--node-provisioner", self.options.node_provisioner])
            .args(["--node-class-group", self.options.node_class[0]])
            .args(["--node-class-kind", self.options.node_class[1]])
            .args(["--node-class-name", self.options.node_class[2]])
            .args(self.options.verdict_flags)
            .args(self.capacity())
            .args([
                "--leader-election-namespace",
                &self.lease_namespace,
                "--lease-duration-seconds",
                &self.options.lease_seconds.to_string(),
                "--watch-silence-seconds",
                &self.options.watch_silence_seconds.to_string(),
            ])
            .args(args)
            .kubeconfig(kubeconfig)
            .start(env)
    }

    /// The gpu-provisioner under its own ServiceAccount.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_provisioner(&self, env: &TestEnv) -> Result<Running> {
        self.start_provisioner_with(env, &self.provisioner_kubeconfig)
    }

    /// The gpu-provisioner with another way to the API server.
    ///
    /// # Errors
    /// When the program is not built or cannot be started.
    pub fn start_provisioner_with(&self, env: &TestEnv, kubeconfig: &Path) -> Result<Running> {
        let arm = self.arm().url;
        let mut program = self
            .with_admin(Program::named("gpu-provisioner"), 2)
            .args([
                "--leader-election-namespace",
                &self.lease_namespace,
                "--lease-duration-seconds",
                &self.options.lease_seconds.to_string(),
                "--watch-silence-seconds",
                &self.options.watch_silence_seconds.to_string(),
            ])
            .args(["--list-interval-seconds", &self.options.list_seconds.to_string()])
            .args([
                "--idle-list-interval-seconds",
                &(self.options.list_seconds * 10.0).to_string(),
            ])
            .args([
                "--capacity-backoff-seconds",
                &self.options.capacity_backoff_seconds.to_string(),
            ])
            .args([
                "--create-visibility-timeout-seconds",
                &self.options.create_visibility_timeout_seconds.to_string(),
            ])
            .args([
                "--node-deletion-percent",
                &self.options.node_deletion_percent.to_string(),
            ])
            .args(["--repair-rules", self.options.repair_rules])
            .args(self.options.provisioner_flags)
            .args([
                "--drain-timeout-seconds",
                &self.options.drain_timeout_seconds.to_string(),
            ])
            .args(["--fleet-config-map", &format!("{NAMESPACE}/kaito-fleet")])
            .args(self.capacity())
            .arg("--allow-insecure-endpoints")
            .env("ARM_ENDPOINT", &arm)
            .env("AZURE_AUTHORITY_HOST", &arm)
            .env("ARM_SUBSCRIPTION_ID", SUBSCRIPTION)
            .env("ARM_RESOURCE_GROUP", GROUP)
            .env("AZURE_CLUSTER_NAME", CLUSTER)
            .env("LOCATION", LOCATION)
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", CLIENT)
            .env("AZURE_FEDERATED_TOKEN_FILE", &self.token_file)
            .kubeconfig(kubeconfig);
        if self.options.unlimited_requests {
            program = program.arg("--unlimited-requests");
        }
        program.start(env)
    }

    /// The ConfigMap with quota and restrictions, which the chart has for our own class only.
    fn capacity(&self) -> Option<String> {
        (self.options.node_class[0] == "kaito.sh")
            .then(|| format!("--capacity-config-map={NAMESPACE}/kaito-capacity"))
    }

    /// File with the controller's token for the registry.
    #[must_use]
    pub fn registry_token(&self) -> &Path {
        &self.registry_token
    }

    /// The kubeconfig of one of our ServiceAccounts: `workspace-controller` or `gpu-provisioner`.
    #[must_use]
    pub fn kubeconfig(&self, account: &str) -> &Path {
        match account {
            "gpu-provisioner" => &self.provisioner_kubeconfig,
            _ => &self.controller_kubeconfig,
        }
    }

    fn with_admin(&self, program: Program, first_port: usize) -> Program {
        let address = |index: usize| format!("127.0.0.1:{}", self.admin_ports[index]);
        program
            .args(["--metrics-bind-address", &address(first_port)])
            .args(["--health-probe-bind-address", &address(first_port + 1)])
            .args(["--log-filter", &self.options.log_filter])
            .env("NO_PROXY", "*")
    }
}
