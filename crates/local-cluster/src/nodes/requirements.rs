//! The rights and programs of this machine that real nodes need. Installs Debian packages where it may.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::progress::Progress;

/// Programs that no Go module gives, and the Debian package of each.
const PROGRAMS: [(&str, &str); 11] = [
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ipset", "ipset"),
    ("docker-registry", "docker-registry"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("bash", "bash"),
    ("find", "findutils"),
    ("tar", "tar"),
];

/// Fails if this process may not boot nodes: they need Linux, root, and the right to make namespaces.
///
/// # Errors
/// Says what is missing and what to use instead.
pub fn ensure_root() -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "real nodes need Linux: use simulated nodes (`--nodes simulated`)"
    );
    ensure!(
        rustix::process::geteuid().is_root(),
        "real nodes need root, because they are made of namespaces, mounts and control groups: use sudo, or simulated \
         nodes (`--nodes simulated`)"
    );
    let probe = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--uts", "--fork", "true"])
        .stdin(Stdio::null())
        .output()
        .context("failed to run unshare (Debian package util-linux)")?;
    ensure!(
        probe.status.success(),
        "this root may not make namespaces ({}): use a virtual machine or a privileged container, or simulated nodes \
         (`--nodes simulated`)",
        String::from_utf8_lossy(&probe.stderr).trim()
    );
    Ok(())
}

/// Installs the programs that no Go module gives, where one is missing and `apt-get` is there.
///
/// # Errors
/// Names the Debian packages that are missing.
pub fn ensure_programs(progress: &dyn Progress) -> Result<()> {
    let missing = || PROGRAMS.iter().filter(|(name, _)| program(name).is_none());
    let mut packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if program("apt-get").is_none() {
        bail!("real nodes need programs of the Debian packages {list}: install them");
    }
    progress.say(&format!("installing {list} with apt-get, about 20 s once"));
    install(&packages).with_context(|| format!("failed to install {list}"))?;
    if let Some((name, package)) = missing().next() {
        bail!("the package {package} is installed, but there is no {name}");
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = |args: &[&str]| {
        Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
    };
    let args = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if apt(&args)?.status.success() {
        return Ok(());
    }
    // The lists of packages may be absent, as in most container images.
    apt(&["update"])?;
    let output = apt(&args)?;
    ensure!(
        output.status.success(),
        "apt-get: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The path of a program. The directories of administrators count even if they are not on `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from));
    directories
        .map(|directory| directory.join(name))
        .find(|path: &PathBuf| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
