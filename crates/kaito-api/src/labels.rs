//! Label, annotation, finalizer, taint and field-manager names, one constant each.
//!
//! Values that upstream KAITO, Karpenter or AKS also use are spelled exactly as they spell them.

/// Name of the Workspace an object belongs to. On claims, Nodes, pods and workloads.
pub const WORKSPACE: &str = "kaito.sh/workspace";
/// Namespace of that Workspace. On claims and Nodes.
pub const WORKSPACE_NAMESPACE: &str = "kaito.sh/workspacenamespace";
/// UID of that Workspace. On claims; it distinguishes two Workspaces of one name.
pub const WORKSPACE_UID: &str = "kaito.sh/workspace-uid";
/// UID of the Workspace that a Node was created for. On Nodes. No kubelet may set labels of this domain, so a Node cannot
/// claim to belong to another Workspace.
pub const RESTRICTED_WORKSPACE_UID: &str = "node-restriction.kubernetes.io/kaito-workspace-uid";
/// Taint of the Nodes of one Workspace, with effect `NoSchedule`; the value is its UID.
pub const WORKSPACE_TAINT: &str = WORKSPACE_UID;
/// Ordinal of a claim in its Workspace, from 0. On claims.
pub const ORDINAL: &str = "kaito.sh/ordinal";
/// `gpu` or `cpu`. On agent pools and Nodes.
pub const MACHINE_TYPE: &str = "kaito.sh/machine-type";
/// Creation time of the claim, UTC, in [`CREATION_TIMESTAMP_FORMAT`]. On agent pools and Nodes.
pub const CREATION_TIMESTAMP: &str = "kaito.sh/creation-timestamp";
/// `strftime` layout of [`CREATION_TIMESTAMP`]: a label value may not hold colons.
pub const CREATION_TIMESTAMP_FORMAT: &str = "%Y-%m-%dT%H-%M-%SZ";
/// Name of the RAGEngine a claim belongs to. The provisioner serves such claims too.
pub const RAG_ENGINE: &str = "kaito.sh/ragengine";
/// Namespace of that RAGEngine.
pub const RAG_ENGINE_NAMESPACE: &str = "kaito.sh/ragenginenamespace";

/// Provisioner a Machine belongs to; the value is always [`PROVISIONER_DEFAULT`].
pub const PROVISIONER_NAME: &str = "karpenter.sh/provisioner-name";
/// Value of [`PROVISIONER_NAME`].
pub const PROVISIONER_DEFAULT: &str = "default";
/// NodePool a NodeClaim belongs to, and the marker of agent pools that any gpu-provisioner created.
pub const NODE_POOL: &str = "karpenter.sh/nodepool";
/// Value of [`NODE_POOL`]: a NodePool that does not exist, so that Karpenter does not manage the node.
pub const NODE_POOL_KAITO: &str = "kaito";
/// Node class of a Node that a gpu-provisioner launched for a NodeClaim; the value is the class's name.
pub const KAITO_NODE_CLASS: &str = "kaito.sh/kaitonodeclass";
/// `on-demand`, `spot` or `reserved`, also a requirement key.
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// Value of [`CAPACITY_TYPE`]: capacity that stays until it is given back.
pub const ON_DEMAND: &str = "on-demand";
/// Value of [`CAPACITY_TYPE`]: cheaper capacity that the cloud takes back when it needs it.
pub const SPOT: &str = "spot";
/// Value of [`CAPACITY_TYPE`]: capacity of a reservation that the node class names.
pub const RESERVED: &str = "reserved";
/// Zone of a Node, also a requirement key.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// `true` on a Node that is registered to its claim.
pub const REGISTERED: &str = "karpenter.sh/registered";
/// `true` on a Node whose claim is initialized.
pub const INITIALIZED: &str = "karpenter.sh/initialized";
/// Annotation that keeps Karpenter from disrupting a node.
pub const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// `true` keeps the provisioner from replacing an unhealthy Node. Annotation on claims and Nodes.
pub const DO_NOT_REPAIR: &str = "kaito.sh/do-not-repair";
/// Label of a Node that does not get the taints of its claim.
pub const DO_NOT_SYNC_TAINTS: &str = "karpenter.sh/do-not-sync-taints";
/// Finalizer on claims and their Nodes.
pub const TERMINATION_FINALIZER: &str = "karpenter.sh/termination";
/// Taint of a Node that is being drained, with effect `NoSchedule`.
pub const DISRUPTED_TAINT: &str = "karpenter.sh/disrupted";
/// Taint of a Node that has not been registered, with effect `NoExecute`; AKS nodes never carry it.
pub const UNREGISTERED_TAINT: &str = "karpenter.sh/unregistered";
/// Label that takes a draining Node out of external load balancers.
pub const EXCLUDE_FROM_LB: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Finalizer of a Workspace.
pub const WORKSPACE_FINALIZER: &str = "workspace.finalizer.kaito.sh";

/// Instance type of a Node, also a requirement key.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// Older spelling of [`INSTANCE_TYPE`].
pub const INSTANCE_TYPE_BETA: &str = "beta.kubernetes.io/instance-type";
/// Operating system of a Node.
pub const OS: &str = "kubernetes.io/os";
/// CPU architecture of a Node.
pub const ARCH: &str = "kubernetes.io/arch";
/// Agent pool of a Node, as AKS labels it.
pub const AGENT_POOL: &str = "agentpool";
/// Agent pool of a Node, as newer AKS versions label it.
pub const AKS_AGENT_POOL: &str = "kubernetes.azure.com/agentpool";
/// Labels that name the instance of a Node, in the order of preference.
pub const INSTANCE_NAME: [&str; 2] = [AGENT_POOL, AKS_AGENT_POOL];
/// Spot taint and toleration key of AKS.
pub const AKS_SPOT: &str = "kubernetes.azure.com/scalesetpriority";

/// `ubuntu` or `azurelinux`. Annotation on Workspaces and claims.
pub const NODE_IMAGE_FAMILY: &str = "kaito.sh/node-image-family";
/// Capacity types of nodes in the order in which they are tried, such as `spot,on-demand`. Annotation on Workspaces.
pub const CAPACITY_TYPES: &str = "kaito.sh/capacity-types";
/// Zones of nodes in the order in which they are tried, such as `1,2`. Annotation on Workspaces.
pub const ZONES: &str = "kaito.sh/zones";
/// Engine that serves the model: `vllm`, `native` (alias `transformers`). Annotation on Workspaces.
pub const RUNTIME: &str = "kaito.sh/runtime";
/// `True` asks for a load balancer. Annotation on Workspaces; [`PUBLIC`] must say who may reach it.
pub const ENABLE_LB: &str = "kaito.sh/enablelb";
/// Clients that may reach the load balancer: `true` for all, or CIDR blocks separated by commas. Annotation on
/// Workspaces.
pub const PUBLIC: &str = "kaito.sh/public";
/// If present, a model is deployed even if our estimate says that it does not fit. Annotation on Workspaces.
pub const BYPASS_RESOURCE_CHECKS: &str = "kaito.sh/bypass-resource-checks";
/// Requested context length, in tokens. Annotation on Workspaces.
pub const MAX_CONTEXT: &str = "kaito.sh/max-context-tokens";
/// `enabled` or `disabled`: our server before engines that are not ours. Annotation on Workspaces.
pub const FRONT: &str = "kaito.sh/front";
/// Secret with API keys, one a line, under the key `keys`. Annotation on Workspaces.
pub const API_KEYS_SECRET: &str = "kaito.sh/api-keys-secret";
/// Secret of the type `kubernetes.io/tls` with the certificate of the API. Annotation on Workspaces.
pub const TLS_SECRET: &str = "kaito.sh/tls-secret";
/// `merge` or `request`: use of adapters by the runtime `native`. Annotation on Workspaces.
pub const ADAPTER_MODE: &str = "kaito.sh/adapter-mode";
/// Origins whose web pages may use the API, separated by commas; `*` for all, `none` for none. Annotation on Workspaces.
pub const CORS_ORIGINS: &str = "kaito.sh/cors-origins";
/// Seconds without a token, with requests in flight, after which an engine counts as hung. Annotation on Workspaces.
pub const STALL_SECONDS: &str = "kaito.sh/stall-seconds";
/// Seconds for which a failed push of a tuning's result is repeated. Annotation on Workspaces; a Job carries the number that it
/// was made with.
pub const PUSH_RETRY_SECONDS: &str = "kaito.sh/push-retry-seconds";
/// Processors that the engine requests, such as `4`. Annotation on Workspaces.
pub const CPU: &str = "kaito.sh/cpu";
/// Memory that the engine requests and may use at most, such as `16Gi`. Annotation on Workspaces.
pub const MEMORY: &str = "kaito.sh/memory";
/// Image whose `/data` has the weights of the preset, instead of the hub. Annotation on Workspaces.
pub const WEIGHTS_IMAGE: &str = "kaito.sh/weights-image";
/// Storage class of volumes that keep the weights from the hub when a pod ends; `none` for none. Annotation on Workspaces.
pub const WEIGHTS_STORAGE_CLASS: &str = "kaito.sh/weights-storage-class";
/// `balanced`, `interactivity` or `throughput`. Annotation on Workspaces; validated, without effect so far.
pub const PERFORMANCE_MODE: &str = "kaito.sh/performance-mode";
/// `true` or `false`. Annotation on Workspaces; validated, without effect so far.
pub const USE_LOCAL_WEIGHTS: &str = "kaito.sh/use-local-weights";
/// Digest of the user's ConfigMap. Annotation on pods that were made with its settings.
pub const CONFIG_HASH: &str = "kaito.sh/config-hash";
/// Digest of the rendered object, which reveals removed fields. Annotation on applied objects.
pub const RENDERED_HASH: &str = "kaito.sh/rendered-hash";
/// Digest of what a Workspace says about its workload: its generation, annotations and nodes. Annotation on workloads and their revisions.
pub const INPUTS_HASH: &str = "kaito.sh/inputs-hash";
/// Number of the revision that was applied. Annotation on workloads.
pub const REVISION: &str = "kaito.sh/revision";
/// Request for the upgrade that is available, by any value. Annotation on Workspaces; workloads and revisions carry the
/// value that was carried out, so that one value upgrades once.
pub const UPGRADE: &str = "kaito.sh/upgrade";
/// Time at which the automatic upgrade of a model began, RFC 3339. Annotation on its revision until the model serves.
pub const AUTOMATIC_UPGRADE: &str = "kaito.sh/automatic-upgrade";
/// Mark of a revision that was never ready since it was applied, until it is. The value is the number of the revision whose
/// place it takes unasked because that one was never ready either; otherwise `0`. Annotation on revisions.
pub const NEVER_READY: &str = "kaito.sh/never-ready";
/// Commit of the model's repository that is used, 40 hexadecimal digits. Annotation on Workspaces; a ControllerRevision carries
/// the commit that a Workspace fixed at its first use.
pub const MODEL_REVISION: &str = "kaito.sh/model-revision";
/// `manual` keeps automatic upgrades away from a model. Annotation on Workspaces.
pub const UPGRADES: &str = "kaito.sh/upgrades";
/// Name of a revision to return to. Annotation on Workspaces; revisions carry the value that was carried out.
pub const ROLLBACK_TO: &str = "kaito.sh/rollback-to";
/// Digest of the spec that a Job was created from. A Job is immutable, so an edit is only reported. Annotation on Jobs.
pub const SPEC_HASH: &str = "kaito.sh/spec-hash";
/// Number of nodes of a Workspace. Annotation on claims, where it fixes the size of what runs, and on workloads, where it
/// only informs: users can write workloads.
pub const NODE_COUNT: &str = "kaito.sh/node-count";
/// Instance type for which a workload was made, where the Workspace names several. Annotation on workloads; the copy in their
/// revisions counts, which users cannot write.
pub const MADE_FOR: &str = "kaito.sh/made-for-instance-type";
/// Lease under which a claim was created: the changes of its holder, a slash and the time of the last renewal. Annotation
/// on claims; the API server refuses a claim that arrives after the lease has moved on.
pub const WRITE_FENCE: &str = "kaito.sh/write-fence";
/// URL of the cloud operation that creates the pool. Annotation on claims.
pub const OPERATION_URL: &str = "kaito.sh/operation-url";
/// Last failed launch of a claim, as JSON. Annotation on claims.
pub const LAUNCH_FAILURE: &str = "kaito.sh/launch-failure";
/// Time of the last launch request of a claim, RFC 3339. Annotation on claims; stored before the request is sent.
pub const LAUNCH_STARTED: &str = "kaito.sh/launch-started";
/// Name of the `KaitoNodeClass` of a Machine. Annotation on Machines; a NodeClaim names its class in its spec.
pub const NODE_CLASS: &str = "kaito.sh/node-class";
/// Offering of the last launch request of a claim, as JSON. Annotation on claims; stored before the request is sent.
pub const LAUNCH_OFFERING: &str = "kaito.sh/launch-offering";
/// Digest of the `KaitoNodeClass` with which the instance of a claim was launched. Annotation on claims; it reveals drift.
pub const LAUNCH_CLASS: &str = "kaito.sh/launch-class";
/// Time of the last launch request without an answer, RFC 3339. Annotation on claims.
pub const LAUNCH_UNANSWERED: &str = "kaito.sh/launch-unanswered";
/// Cluster of the cloud in which the instance of a claim was launched. Annotation on claims; it reveals changed settings.
pub const LAUNCHED_IN: &str = "kaito.sh/launched-in";
/// Marks a Node as simulated by KWOK. Annotation on simulated Nodes.
pub const KWOK_NODE: &str = "kwok.x-k8s.io/node";

/// Taint key of KAITO's GPU nodes; the value is [`GPU_TAINT_VALUE`], the effect `NoSchedule`.
pub const GPU_TAINT: &str = "sku";
/// Value of [`GPU_TAINT`].
pub const GPU_TAINT_VALUE: &str = "gpu";
/// Extended resource of NVIDIA GPUs, also a common taint key.
pub const NVIDIA_GPU: &str = "nvidia.com/gpu";

/// Program that manages an object; the value is its field manager.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Container that `kubectl logs` shows. Annotation on pods.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Name of a StatefulSet's pod. Set by Kubernetes on such pods.
pub const STATEFUL_SET_POD: &str = "statefulset.kubernetes.io/pod-name";
/// Number of a StatefulSet's pod, from 0. Set by Kubernetes on such pods.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
/// Product name of a Node's GPUs. Set by GPU feature discovery, like the next four.
pub const NVIDIA_GPU_PRODUCT: &str = "nvidia.com/gpu.product";
/// Number of GPUs of a Node.
pub const NVIDIA_GPU_COUNT: &str = "nvidia.com/gpu.count";
/// Memory of one GPU, in MiB.
pub const NVIDIA_GPU_MEMORY: &str = "nvidia.com/gpu.memory";
/// First number of the GPUs' compute capability.
pub const NVIDIA_COMPUTE_MAJOR: &str = "nvidia.com/gpu.compute.major";
/// Second number of the GPUs' compute capability.
pub const NVIDIA_COMPUTE_MINOR: &str = "nvidia.com/gpu.compute.minor";

/// Node that the scheduler chose for a volume. Set by Kubernetes on PersistentVolumeClaims that wait for their first pod.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Annotation that the kubelet puts on its copies of static pods.
pub const STATIC_POD_MIRROR: &str = "kubernetes.io/config.mirror";

/// Field manager, Lease holder prefix and event source of the workspace controller.
pub const WORKSPACE_CONTROLLER: &str = "workspace-controller";
/// Field manager, Lease holder prefix and event source of the gpu-provisioner.
pub const GPU_PROVISIONER: &str = "gpu-provisioner";
/// Field manager of the preset registry.
pub const PRESET_REGISTRY: &str = "preset-registry";

/// Keys that a user's `labelSelector` may not use: they name the owner of a node.
pub const RESERVED_SELECTOR_KEYS: [&str; 8] = [
    WORKSPACE,
    RAG_ENGINE,
    WORKSPACE_NAMESPACE,
    RAG_ENGINE_NAMESPACE,
    "karpenter.kaito.sh/workspace-name",
    "karpenter.kaito.sh/workspace-namespace",
    "karpenter.kaito.sh/inferenceset",
    "karpenter.kaito.sh/inferenceset-namespace",
];

/// Returns true if the kubelet or the cloud sets labels of this domain on Nodes. A kubelet refuses to start with other
/// values of them.
#[must_use]
pub fn is_kubelet_label(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["kubernetes.io", "k8s.io", "kubernetes.azure.com"]
        .iter()
        .any(|owned| domain == *owned || domain.strip_suffix(owned).is_some_and(|rest| rest.ends_with('.')))
}
