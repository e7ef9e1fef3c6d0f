//! The program against real servers on loopback: a web server, and Debian's `docker-registry`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod awaiting;
mod checking;
mod docker_config;
mod fetching;
mod played;
mod proxy;
mod publishing;
mod pulling;
mod pushing;
mod registries;
mod token_server;
mod web;
mod weights;
mod weights_image;

use std::path::Path;
use std::process::{Command, Stdio};

/// The end of the program.
#[derive(Debug)]
struct Outcome {
    code: i32,
    said: String,
    /// The termination message.
    termination: String,
}

impl Outcome {
    #[track_caller]
    fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.said);
        self
    }

    #[track_caller]
    fn bad(self, code: i32, part: &str) -> Self {
        assert_eq!(self.code, code, "{}", self.said);
        assert!(
            self.termination.contains(part),
            "{part:?} is not in: {}",
            self.termination
        );
        assert!(self.said.contains("error: "), "{}", self.said);
        self
    }
}

fn command(args: &[&str], termination: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_artifact"));
    command
        .args(args)
        .arg("--retry-delay=0.02")
        .arg(format!("--termination-log={}", termination.display()))
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn artifact(variables: &[(&str, String)], args: &[&str]) -> Outcome {
    let termination = tempfile::NamedTempFile::new().unwrap();
    let mut command = command(args, termination.path());
    let variables = variables.iter().map(|(name, value)| (name, value));
    let output = command.envs(variables).output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        said: String::from_utf8(output.stderr).unwrap(),
        termination: std::fs::read_to_string(termination.path()).unwrap(),
    }
}

/// Runs the program while servers of this test go on.
async fn run(args: &[&str]) -> Outcome {
    run_with(&[], args).await
}

/// The same, with variables of the environment.
async fn run_with(variables: &[(&'static str, String)], args: &[&str]) -> Outcome {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let variables = variables.to_vec();
    let run = move || artifact(&variables, &args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Bytes that no compression makes small.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// All files of a directory, by path, in order.
fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
