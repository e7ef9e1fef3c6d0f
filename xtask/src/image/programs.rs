//! The programs that have images.

use anyhow::{Result, bail};

pub(super) const MEBIBYTE: u64 = 1 << 20;

/// A program that has an image.
#[derive(Debug)]
pub(crate) struct ImageProgram {
    /// Package, program and image have one name.
    pub(crate) name: &'static str,
    /// Connects to servers of the internet by TLS and has no root certificates of its own.
    pub(super) certificates: bool,
    /// Bytes of the compressed image.
    pub(super) at_most: u64,
}

pub(crate) const PROGRAMS: &[ImageProgram] = &[
    ImageProgram {
        name: "workspace-controller",
        certificates: true,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "gpu-provisioner",
        certificates: true,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "preset-registry",
        certificates: false,
        at_most: 20 * MEBIBYTE,
    },
    // For `helm test`.
    ImageProgram {
        name: "kubectl-kaito",
        certificates: false,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "artifact",
        certificates: false,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "inference-server",
        certificates: true,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "tuning-job",
        certificates: false,
        at_most: 20 * MEBIBYTE,
    },
];

/// Returns the programs of these names, or all.
///
/// # Errors
/// Fails if a name is not that of a program with an image.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static ImageProgram>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| PROGRAMS.iter().all(|program| program.name != **name))
    {
        let known: Vec<_> = PROGRAMS.iter().map(|program| program.name).collect();
        bail!("{unknown} has no image; there are {}", known.join(", "));
    }
    let wanted = |program: &&ImageProgram| names.is_empty() || names.iter().any(|name| name == program.name);
    Ok(PROGRAMS.iter().filter(wanted).collect())
}
