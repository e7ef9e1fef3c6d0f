//! The program as a process: flags, signals, exit codes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::server::data;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inference-server"));
    command
        .args(["--bind-address=127.0.0.1", "--port=0"])
        .stderr(Stdio::piped());
    command
}

#[test]
fn sigterm_ends_it_well() {
    let dir = format!("--weights-dir={}", data("llama").display());
    let mut child = program().arg(dir).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("model loaded")));
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(lines.any(|line| line.unwrap().contains("stopping")));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_missing_model_ends_it_with_a_reason() {
    let output = program().arg("--weights-dir=/nowhere").output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no model in /nowhere"), "{text}");
}
