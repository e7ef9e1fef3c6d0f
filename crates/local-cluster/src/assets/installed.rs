//! Programs that are on the machine already: `KUBEBUILDER_ASSETS` and `PATH`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Tool, variables};
use crate::progress::Progress;

/// The program in the directory the user named. The user chose it, so its version is not asked.
pub(super) fn in_assets_dir(tool: Tool) -> Option<PathBuf> {
    let dir = std::env::var_os(variables::ASSETS_DIR)?;
    executable(&Path::new(&dir).join(tool.name()))
}

/// The program on `PATH`, if it says that it is the pinned version.
pub(super) fn on_path(tool: Tool, progress: &dyn Progress) -> Option<PathBuf> {
    if !tool.may_be_installed() {
        return None;
    }
    let path = search(&std::env::var_os("PATH")?, tool.name())?;
    if is_pinned(tool, &path) {
        return Some(path);
    }
    progress.say(&format!("{} is not {}: not used", path.display(), tool.version()));
    None
}

fn search(path_variable: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path_variable).find_map(|dir| executable(&dir.join(name)))
}

fn executable(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = path.metadata().ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then(|| path.to_owned())
}

fn is_pinned(tool: Tool, path: &Path) -> bool {
    let Some(arguments) = tool.version_arguments() else {
        return true;
    };
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| mentions(&String::from_utf8_lossy(&output.stdout), tool.version()))
}

/// True when `text` holds the version as a word of its own: `1.37.2`, not `11.37.2` or `1.37.21`.
fn mentions(text: &str, version: &str) -> bool {
    let version = version.trim_start_matches('v');
    text.split(|c: char| c.is_whitespace() || c == ',' || c == '"')
        .map(|word| word.trim_start_matches('v').split('+').next().unwrap_or_default())
        .any(|word| word == version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn versions_are_compared_as_whole_words() {
        assert!(mentions("Kubernetes v1.37.2\n", "v1.37.2"));
        assert!(mentions("etcd Version: 3.7.3\nGit SHA: none", "v3.7.3"));
        assert!(mentions("v4.3.1+g1234567", "v4.3.1"));
        assert!(!mentions("Kubernetes v1.37.21", "v1.37.2"));
        assert!(!mentions("Client Version: v1.32.4-dispatcher", "v1.32.4"));
    }

    #[test]
    fn only_executables_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("kubectl");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(search(dir.path().as_os_str(), "kubectl"), None);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(search(dir.path().as_os_str(), "kubectl"), Some(program));
    }
}
