//! Our programs and a shell as images in the registry of the cluster.

use std::path::{Path, PathBuf};

use anyhow::Result;
use local_cluster::images::{self, MachineImage};
use local_cluster::nodes::REGISTRY_ADDRESS;
use testkit::program_path;

/// The image of the GPU engine, which is played.
pub(crate) const ENGINE_IMAGE: &str = "registry.test/engine:1";

/// The script by which the image starts Ray: the leader in the background, a worker instead of itself.
const RAY_SCRIPT: &str = r#"#!/bin/sh
if [ "$1" = leader ]; then
    python3 ray-leader "$@" &
else
    exec python3 ray-worker "$@"
fi
"#;

/// An image that the registry does not have.
pub const ABSENT_IMAGE: &str = "registry.test/absent:1";

/// The image of a shell with curl.
pub const SHELL_IMAGE: &str = "registry.test/shell:1";

/// Programs of ours that run in pods.
const PROGRAMS: [&str; 7] = [
    "kubectl-kaito",
    "workspace-controller",
    "gpu-provisioner",
    "preset-registry",
    "artifact",
    "inference-server",
    "tuning-job",
];

/// Pushes our programs and a shell. The programs lie beside the running one.
pub(crate) fn push(scratch: &Path) -> Result<()> {
    let authorities = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    let files = [authorities].into_iter().filter(|file| file.is_file());
    let files: Vec<_> = files
        .map(|file| (file.clone(), file.display().to_string()))
        .collect();
    for name in PROGRAMS {
        let image = MachineImage {
            files: files.clone(),
            ..MachineImage::of(&program_path(name)?)
        };
        push_one(&image, name, scratch)?;
    }
    push_one(&shell(), "shell", scratch)?;
    push_one(&engine(scratch)?, "engine", scratch)
}

fn push_one(image: &MachineImage, name: &str, scratch: &Path) -> Result<()> {
    let layout = scratch.join(name);
    image.write_to(&layout)?;
    images::push(&layout, REGISTRY_ADDRESS, name, "1")?;
    Ok(())
}

fn engine(scratch: &Path) -> Result<MachineImage> {
    let script = scratch.join("multi-node-serving.sh");
    std::fs::write(&script, RAY_SCRIPT)?;
    let programs = [
        ("/bin/bash".into(), "/bin/sh"),
        (program_path("played-engine")?, "/bin/python3"),
        (script, "/workspace/vllm/multi-node-serving.sh"),
    ];
    Ok(MachineImage {
        programs: programs.map(|(from, to)| (from, to.to_owned())).into(),
        files: Vec::new(),
        entrypoint: vec!["/bin/sh".to_owned()],
    })
}

fn shell() -> MachineImage {
    let programs = [
        ("/bin/bash", "/bin/bash"),
        ("/usr/bin/curl", "/bin/curl"),
        ("/bin/sleep", "/bin/sleep"),
    ];
    MachineImage {
        programs: programs.map(|(from, to)| (from.into(), to.to_owned())).into(),
        files: Vec::new(),
        entrypoint: vec!["/bin/bash".to_owned()],
    }
}
