//! The Machine that fills one slot of a Workspace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::machine::{MachineTemplateRef, Requirement, ResourceRequests};
use kaito_api::{Machine, MachineSpec, Workspace, labels, names};

use crate::hardware::Hardware;
use crate::{meta, scheduling};

/// What one Machine must be.
#[derive(Clone, Copy, Debug)]
pub struct MachineRequest<'a> {
    /// Who wants it.
    pub workspace: &'a Workspace,
    /// Which slot it fills, from 0.
    pub ordinal: u32,
    /// What its node has.
    pub hardware: &'a Hardware,
    /// Disk of its node, in GiB; 0 leaves it to the provisioner.
    pub disk_gib: u32,
    /// `ubuntu` or `azurelinux`.
    pub image_family: &'a str,
}

/// The Machine. Its name is a function of the slot, so that creating it twice creates it once.
#[must_use]
pub fn machine(request: &MachineRequest<'_>) -> Machine {
    let workspace = request.workspace;
    let name = names::machine(
        meta::namespace(workspace),
        meta::name(workspace),
        meta::uid(workspace),
        request.ordinal,
    );
    Machine {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(machine_labels(request)),
            annotations: Some(annotations(request)),
            ..ObjectMeta::default()
        },
        spec: spec(request, name),
        status: None,
    }
}

// The Machine's labels become the Node's.
fn machine_labels(request: &MachineRequest<'_>) -> BTreeMap<String, String> {
    let mut all = scheduling::node_labels(request.workspace, true);
    for (key, value) in [
        (labels::PROVISIONER_NAME, labels::PROVISIONER_DEFAULT),
        (labels::WORKSPACE_UID, meta::uid(request.workspace)),
        (labels::MANAGED_BY, labels::WORKSPACE_CONTROLLER),
    ] {
        all.insert(key.to_owned(), value.to_owned());
    }
    all.insert(labels::ORDINAL.to_owned(), request.ordinal.to_string());
    all
}

fn annotations(request: &MachineRequest<'_>) -> BTreeMap<String, String> {
    [
        (labels::DO_NOT_DISRUPT.to_owned(), "true".to_owned()),
        (
            labels::NODE_IMAGE_FAMILY.to_owned(),
            request.image_family.to_owned(),
        ),
    ]
    .into()
}

fn spec(request: &MachineRequest<'_>, name: String) -> MachineSpec {
    let hardware = request.hardware;
    let disk = if request.disk_gib == 0 {
        "0".to_owned()
    } else {
        format!("{}Gi", request.disk_gib)
    };
    MachineSpec {
        taints: if hardware.accelerated {
            vec![gpu_taint()]
        } else {
            Vec::new()
        },
        requirements: vec![
            Requirement::is_in(labels::INSTANCE_TYPE, &hardware.instance_type),
            Requirement::is_in(labels::PROVISIONER_NAME, labels::PROVISIONER_DEFAULT),
            Requirement::is_in(
                labels::MACHINE_TYPE,
                if hardware.accelerated { "gpu" } else { "cpu" },
            ),
            Requirement::is_in(labels::ARCH, "amd64"),
            Requirement::is_in(labels::OS, "linux"),
        ],
        resources: Some(ResourceRequests {
            requests: [("storage".to_owned(), Quantity(disk))].into(),
        }),
        machine_template_ref: Some(MachineTemplateRef {
            name,
            ..MachineTemplateRef::default()
        }),
        ..MachineSpec::default()
    }
}

fn gpu_taint() -> Taint {
    Taint {
        key: labels::GPU_TAINT.to_owned(),
        value: Some(labels::GPU_TAINT_VALUE.to_owned()),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    }
}
