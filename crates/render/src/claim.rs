//! The claim for one ordinal of a Workspace, as a Machine or as a NodeClaim.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::machine::{MachineTemplateRef, Requirement, ResourceRequests};
use kaito_api::node_claim::{NodeClaimRequirement, NodeClassRef};
use kaito_api::{AllowedOfferings, Machine, MachineSpec, NodeClaim, NodeClaimSpec, Workspace, labels, names};

use crate::claim_contents::ClaimContents;
use crate::hardware::Hardware;
use crate::scheduling;

/// Requirements on the node of one claim.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    /// The Workspace that asks for it.
    pub workspace: &'a Workspace,
    /// Its ordinal in the Workspace, from 0.
    pub ordinal: u32,
    /// Number of nodes of the Workspace.
    pub nodes: u32,
    /// Hardware of its node.
    pub hardware: &'a Hardware,
    /// Disk of its node, in GiB; 0 leaves it to the provisioner.
    pub disk_gib: u32,
    /// `ubuntu` or `azurelinux`.
    pub image_family: &'a str,
    /// Capacity types and zones that its node may have, in the order in which they are tried.
    pub offerings: &'a AllowedOfferings,
    /// Taint its node for the Workspace.
    pub taint: bool,
}

/// The administrator's settings for all NodeClaims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeClaimOptions {
    /// Node class, which selects the provisioner.
    pub class: NodeClassRef,
    /// Disk of nodes whose preset needs no certain size, in GiB. Only gpu-provisioners read it, and upstream's refuses
    /// NodeClaims without a size.
    pub default_disk_gib: u32,
    /// Time that a drain evicts pods before it deletes them. A gpu-provisioner has its own.
    pub termination_grace_period: Duration,
    /// Age at which a node is to be replaced, such as `720h`, or `Never`.
    pub expire_after: String,
    /// Contents in addition to the operator's own.
    pub contents: ClaimContents,
}

/// Age of nodes that are never replaced for it.
const NEVER: &str = "Never";

impl Default for NodeClaimOptions {
    fn default() -> Self {
        Self {
            class: NodeClassRef::kaito(),
            default_disk_gib: 128,
            termination_grace_period: Duration::from_mins(10),
            expire_after: NEVER.to_owned(),
            contents: ClaimContents::default(),
        }
    }
}

/// Renders the claim as a Machine. Its name is a function of the ordinal, so applying it twice creates one Machine.
#[must_use]
pub fn machine(request: &ClaimRequest<'_>) -> Machine {
    let mut labels = claim_labels(request);
    for (key, value) in [
        (labels::PROVISIONER_NAME, labels::PROVISIONER_DEFAULT),
        (labels::MANAGED_BY, labels::WORKSPACE_CONTROLLER),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let metadata = metadata(request, labels);
    Machine {
        spec: machine_spec(request, metadata.name.clone().unwrap_or_default()),
        metadata,
        status: None,
    }
}

/// Renders the claim as a NodeClaim of the same name.
///
/// The provisioner copies these labels to the Node through the kubelet, which may not set `kubernetes.io/*`. So the
/// claim carries none of those except the user's own.
///
/// With the class of a Karpenter the claim belongs to no NodePool. Karpenter would look up a NodePool that does not exist.
#[must_use]
pub fn node_claim(request: &ClaimRequest<'_>, options: &NodeClaimOptions) -> NodeClaim {
    // Pods find their nodes by the Workspace's labels, so those win.
    let mut labels = options.contents.labels.clone();
    labels.extend(claim_labels(request));
    if options.class.is_kaito() {
        labels.insert(labels::NODE_POOL.to_owned(), labels::NODE_POOL_KAITO.to_owned());
        labels.insert(options.class.label(), options.class.name.clone());
    }
    let mut metadata = metadata(request, labels);
    metadata
        .annotations
        .get_or_insert_default()
        .extend(options.contents.annotations.clone());
    NodeClaim {
        metadata,
        spec: node_claim_spec(request, options),
        status: None,
    }
}

fn metadata(request: &ClaimRequest<'_>, labels: BTreeMap<String, String>) -> ObjectMeta {
    let workspace = request.workspace;
    let name = names::claim(
        workspace.namespace(),
        workspace.name(),
        workspace.uid(),
        request.ordinal,
    );
    ObjectMeta {
        name: Some(name),
        labels: Some(labels),
        annotations: Some(annotations(request)),
        ..ObjectMeta::default()
    }
}

// The provisioner copies the claim's labels to the Node.
fn claim_labels(request: &ClaimRequest<'_>) -> BTreeMap<String, String> {
    let mut all = scheduling::node_labels(request.workspace, true);
    all.insert(
        labels::WORKSPACE_UID.to_owned(),
        request.workspace.uid().to_owned(),
    );
    all.insert(labels::ORDINAL.to_owned(), request.ordinal.to_string());
    all
}

fn annotations(request: &ClaimRequest<'_>) -> BTreeMap<String, String> {
    [
        (labels::DO_NOT_DISRUPT.to_owned(), "true".to_owned()),
        (
            labels::NODE_IMAGE_FAMILY.to_owned(),
            request.image_family.to_owned(),
        ),
        (labels::NODE_COUNT.to_owned(), request.nodes.to_string()),
    ]
    .into()
}

fn machine_spec(request: &ClaimRequest<'_>, name: String) -> MachineSpec {
    let hardware = request.hardware;
    let mut requirements = vec![
        Requirement::is_in(labels::INSTANCE_TYPE, &hardware.instance_type),
        Requirement::is_in(labels::PROVISIONER_NAME, labels::PROVISIONER_DEFAULT),
        Requirement::is_in(
            labels::MACHINE_TYPE,
            if hardware.accelerated { "gpu" } else { "cpu" },
        ),
        Requirement::is_in(labels::ARCH, "amd64"),
        Requirement::is_in(labels::OS, "linux"),
    ];
    let chosen = [
        (labels::CAPACITY_TYPE, &request.offerings.capacity_types),
        (labels::ZONE, &request.offerings.zones),
    ];
    let chosen = chosen.into_iter().filter(|(_, values)| !values.is_empty());
    requirements.extend(chosen.map(|(key, values)| Requirement {
        values: values.clone(),
        ..Requirement::is_in(key, "")
    }));
    MachineSpec {
        taints: taints(request),
        requirements,
        resources: Some(disk(request.disk_gib)),
        machine_template_ref: Some(MachineTemplateRef {
            name,
            ..MachineTemplateRef::default()
        }),
        ..MachineSpec::default()
    }
}

fn node_claim_spec(request: &ClaimRequest<'_>, options: &NodeClaimOptions) -> NodeClaimSpec {
    let one = |key: &str, value: &str| NodeClaimRequirement::is_in(key, &[value]);
    let some = |key: &str, values: &[String]| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        (!values.is_empty()).then(|| NodeClaimRequirement::is_in(key, &values))
    };
    let is_kaito = options.class.is_kaito();
    let mut requirements = vec![
        one(labels::INSTANCE_TYPE, &request.hardware.instance_type),
        one(labels::OS, "linux"),
    ];
    if is_kaito {
        // The mark of claims of gpu-provisioners. The NodePool does not exist.
        requirements.insert(1, one(labels::NODE_POOL, labels::NODE_POOL_KAITO));
    }
    let capacity_types = match request.offerings.capacity_types.as_slice() {
        // A Karpenter buys what is cheapest, and that is `spot` unless it is excluded. A gpu-provisioner buys no other.
        [] if !is_kaito => some(labels::CAPACITY_TYPE, &[labels::ON_DEMAND.to_owned()]),
        asked => some(labels::CAPACITY_TYPE, asked),
    };
    requirements.extend(capacity_types);
    requirements.extend(some(labels::ZONE, &request.offerings.zones));
    requirements.extend(options.contents.requirements.iter().cloned());
    let grace = options.termination_grace_period.as_secs();
    NodeClaimSpec {
        taints: [taints(request), options.contents.taints.clone()].concat(),
        requirements,
        resources: if is_kaito {
            Some(disk(match request.disk_gib {
                0 => options.default_disk_gib,
                asked => asked,
            }))
        } else {
            offered(request)
        },
        node_class_ref: options.class.clone(),
        // Without it a Karpenter waits for ever for pods that must not be evicted.
        termination_grace_period: (!is_kaito).then(|| format!("{grace}s")),
        // Karpenter's default would delete the node after 30 days.
        expire_after: Some(options.expire_after.clone()),
        ..NodeClaimSpec::default()
    }
}

/// Resources that a Karpenter's node must offer. Karpenter chooses a node that has them, and initializes it once its
/// kubelet reports them. No kubelet reports `storage`.
fn offered(request: &ClaimRequest<'_>) -> Option<ResourceRequests> {
    let gpus = request.hardware.gpu.gpus;
    let gpus = (gpus > 0).then(|| (labels::NVIDIA_GPU.to_owned(), Quantity(gpus.to_string())));
    let disk = request.disk_gib;
    let disk = (disk > 0).then(|| ("ephemeral-storage".to_owned(), Quantity(format!("{disk}Gi"))));
    let requests: BTreeMap<String, Quantity> = gpus.into_iter().chain(disk).collect();
    (!requests.is_empty()).then_some(ResourceRequests { requests })
}

fn disk(gib: u32) -> ResourceRequests {
    let size = if gib == 0 {
        "0".to_owned()
    } else {
        format!("{gib}Gi")
    };
    ResourceRequests {
        requests: [("storage".to_owned(), Quantity(size))].into(),
    }
}

fn taints(request: &ClaimRequest<'_>) -> Vec<Taint> {
    let taint = |key: &str, value: &str| Taint {
        key: key.to_owned(),
        value: Some(value.to_owned()),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let gpu = request
        .hardware
        .accelerated
        .then(|| taint(labels::GPU_TAINT, labels::GPU_TAINT_VALUE));
    let own = request
        .taint
        .then(|| taint(labels::WORKSPACE_TAINT, request.workspace.uid()));
    gpu.into_iter().chain(own).collect()
}
