//! The Go toolchain of this machine.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The version of the Go toolchain on `PATH`, asked once; `None` without Go.
pub(super) fn version() -> Option<&'static str> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    VERSION.get_or_init(ask_version).as_deref()
}

fn ask_version() -> Option<String> {
    // Asked outside any module: the answer must not depend on the directory of the caller.
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !version.is_empty()).then_some(version)
}
