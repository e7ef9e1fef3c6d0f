//! Control groups of version 2, in the unified hierarchy of this machine.
//!
//! A group stands for that of a container: it has a process, so it may not divide its resources as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const GROUPS: &str = include_str!("../groups.sh");

/// Controllers of which one suffices here. A machine with version 1 beside it has few of them.
const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// A group with a process, and the controllers of the group above as they were.
struct Container {
    group: PathBuf,
    process: Child,
    /// Enabled above only for this group.
    enabled: Option<PathBuf>,
    controller: &'static str,
}

impl Container {
    /// None where this process may make no groups, or the hierarchy has no controller.
    fn create() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = PathBuf::from(mounts.find(|mount| mount[2] == "cgroup2")?[1]);
        let has = |file: &str, name: &str| words(&root.join(file)).iter().any(|word| word == name);
        let controller = CONTROLLERS
            .into_iter()
            .find(|name| has("cgroup.controllers", name))?;
        let control = root.join("cgroup.subtree_control");
        let mut enabled = None;
        if !has("cgroup.subtree_control", controller) {
            fs::write(&control, format!("+{controller}")).ok()?;
            enabled = Some(control);
        }
        let group = root.join(format!("kaito-test-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let process = Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(group.join("cgroup.procs"), process.id().to_string()).unwrap();
        Some(Self {
            group,
            process,
            enabled,
            controller,
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for below in ["kaito-node1", "kaito-machine", ""] {
            let _ = fs::remove_dir(self.group.join(below));
        }
        if let Some(control) = &self.enabled {
            let _ = fs::write(control, format!("-{}", self.controller));
        }
    }
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_group_of_version_2_has_its_controllers_in_a_container_too() {
    let Some(container) = Container::create() else {
        return;
    };
    // As it is, the kernel refuses.
    let control = container.group.join("cgroup.subtree_control");
    let refused = fs::write(&control, format!("+{}", container.controller));
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
    let script = format!("set -eu\n{GROUPS}\nmake_unified_group \"$1\" kaito-node1");
    let output = Command::new("/bin/sh")
        .args(["-c", &script, "groups"])
        .arg(&container.group)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let node = words(&container.group.join("kaito-node1/cgroup.controllers"));
    assert!(node.iter().any(|name| name == container.controller), "{node:?}");
    let moved = words(&container.group.join("kaito-machine/cgroup.procs"));
    assert_eq!(moved, [container.process.id().to_string()]);
}
