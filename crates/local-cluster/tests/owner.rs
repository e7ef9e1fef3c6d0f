//! Programs die with their owner, however it dies, and detached ones do not. Needs no cluster.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_cluster::ProcessSpec;
use local_cluster::process::{Attachment, Guard, Roll};

/// Set for the copy of this test that plays the owner: the directory to work in.
const OWNER_DIR: &str = "LOCAL_CLUSTER_TEST_OWNER_DIR";

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sleeper() -> ProcessSpec {
    ProcessSpec::new("sleeper", "/bin/sleep").args(["1000"])
}

/// Not a test of its own: the owner that gets killed.
#[test]
#[ignore = "played by the other tests"]
fn owner() {
    let Ok(dir) = std::env::var(OWNER_DIR).map(PathBuf::from) else {
        return;
    };
    let roll = Roll::open(dir.join("roll")).unwrap();
    let _guard = Guard::start(&roll, &dir).unwrap();
    let _sleeper = sleeper().start_on(&roll, &dir, Attachment::Guarded).unwrap();
    std::thread::sleep(Duration::from_secs(1000));
}

fn start_owner(dir: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--ignored"])
        .env(OWNER_DIR, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_owner_leaves_no_process_and_no_file() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("cluster");
    std::fs::create_dir(&dir).unwrap();
    let mut owner = start_owner(&dir);
    let roll = dir.join("roll");
    let members = || Roll::members(&roll).unwrap_or_default();
    wait_until("the program signs in", || {
        members().iter().any(|member| member.alive())
    });
    let sleeper = members().remove(0);

    owner.kill().unwrap(); // SIGKILL: nothing of the owner runs after this
    owner.wait().unwrap();
    wait_until("the program dies", || !sleeper.alive());
    wait_until("the directory goes", || !dir.exists());
}

#[test]
fn a_dropped_process_is_gone_and_signed_out() {
    let temp = tempfile::tempdir().unwrap();
    let roll = Roll::open(temp.path().join("roll")).unwrap();
    let process = sleeper()
        .start_on(&roll, temp.path(), Attachment::Guarded)
        .unwrap();
    wait_until("the program signs in", || {
        !Roll::members(roll.dir()).unwrap().is_empty()
    });
    let member = Roll::members(roll.dir()).unwrap().remove(0);
    drop(process);
    assert!(!member.alive());
    assert!(Roll::members(roll.dir()).unwrap().is_empty());
}

#[test]
fn a_detached_process_outlives_its_handle_until_the_roll_is_called() {
    let temp = tempfile::tempdir().unwrap();
    let roll = Roll::open(temp.path().join("roll")).unwrap();
    let process = sleeper()
        .start_on(&roll, temp.path(), Attachment::Detached)
        .unwrap();
    let pid = process.pid();
    drop(process);
    wait_until("the program signs in", || {
        !Roll::members(roll.dir()).unwrap().is_empty()
    });
    let member = Roll::members(roll.dir()).unwrap().remove(0);
    assert_eq!(u32::try_from(member.pid).unwrap(), pid);
    assert!(member.alive());
    Roll::kill_all(roll.dir()).unwrap();
    assert!(!member.alive());
}

#[test]
fn termination_is_a_request_and_the_log_is_kept() {
    let temp = tempfile::tempdir().unwrap();
    let roll = Roll::open(temp.path().join("roll")).unwrap();
    let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let spec = ProcessSpec::new("polite", "/bin/sh").args(["-c", script]);
    let mut process = spec.start_on(&roll, temp.path(), Attachment::Guarded).unwrap();
    wait_until("it is ready", || process.log_tail(1) == "ready");
    process.terminate().unwrap();
    assert_eq!(process.wait(Duration::from_secs(10)).unwrap().code(), Some(3));
    assert_eq!(process.log_tail(1), "bye");
}
