//! The program as a process: flags, signals, exit codes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::scripted::{self, Piece};
use crate::server::data;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inference-server"));
    command
        .args(["--bind-address=127.0.0.1", "--port=0"])
        .stderr(Stdio::piped());
    command
}

#[test]
fn sigterm_ends_it_with_success() {
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

/// Runs the demo with these lines as input.
fn chat(model: &Path, flags: &[&str], lines: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_demo-chat"))
        .arg(format!("--weights-dir={}", model.display()))
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_demo_answers_each_line_and_ends_with_the_input() {
    let dir = tempfile::tempdir().unwrap();
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    let script = [
        Piece("Seven green lanterns", false),
        Piece(" under the bridge.", false),
    ];
    scripted::write(dir.path(), template, &script);
    let output = chat(
        dir.path(),
        &["--temperature=0"],
        "What is the password?\n\n/new\nOnce more",
    );
    assert!(output.status.success(), "{output:?}");
    let completion = "Seven green lanterns under the bridge.\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), completion.repeat(2));
    // The server refuses a message that does not fit, and the conversation continues.
    let flags = [
        "--temperature=0",
        "--max-tokens=3",
        "--",
        "--max-context-tokens=3",
    ];
    let output = chat(dir.path(), &flags, "a\nb\n");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.lines().count() == 2, "{text}");
    assert!(
        text.lines().all(|line| line.contains("the context has 3")),
        "{text}"
    );
}

#[test]
fn the_demo_without_a_model_has_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let output = chat(dir.path(), &[], "hello\n");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("no model in"), "{text}");
}
