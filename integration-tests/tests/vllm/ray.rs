//! vLLM over Ray: the commands of the two pods of a StatefulSet, in two network namespaces without a way to the Internet.
//!
//! The played parts of the base image are in `ray/`: its scripts, and the name of a device for vLLM on processors. vLLM's build for
//! processors shares memory between workers, so the two places share `/dev/shm` as no pods do.
//! Needs root on Linux, and Ray beside vLLM.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rendered::{self, GroupPod};

const PRESET: &str = "smollm2-135m-instruct";
/// Time until the leader has all workers and the model; minutes on two cores.
const START: Duration = Duration::from_secs(20 * 60);
/// Time in which the leader ends when a worker is gone, or its liveness probe fails.
const NOTICE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_secs(2);
/// Directory of the scripts in the base image.
const SCRIPTS: &str = "/workspace/vllm/";
const FILES: [(&str, &str); 4] = [
    ("multi-node-serving.sh", include_str!("ray/multi-node-serving.sh")),
    (
        "multi-node-health-check.py",
        include_str!("ray/multi-node-health-check.py"),
    ),
    ("inference_api.py", include_str!("ray/inference_api.py")),
    ("sitecustomize.py", include_str!("ray/sitecustomize.py")),
];
/// Makes a place like a pod from the directory `$0`: a name and processes of its own.
const POD: &str = r#"hostname "$1"; mount --bind "$0/hosts" /etc/hosts; mount --bind "$0/../shm" /dev/shm; shift; exec "$@""#;

/// Two places with addresses of one network. They end with this value.
struct Network {
    name: String,
}

impl Network {
    fn start() -> Self {
        let name = format!("kr{}", std::process::id());
        let network = Self { name };
        let bridge = &network.name;
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("link set {bridge} up"));
        for index in 0..2 {
            let (space, link) = (network.space(index), format!("{bridge}-{index}"));
            ip(&format!("netns add {space}"));
            ip(&format!("link add {link} type veth peer name eth0 netns {space}"));
            ip(&format!("link set {link} master {bridge}"));
            ip(&format!("link set {link} up"));
            ip(&format!("-n {space} address add {}/24 dev eth0", address(index)));
            ip(&format!("-n {space} link set eth0 up"));
            ip(&format!("-n {space} link set lo up"));
        }
        network
    }

    fn space(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for index in 0..2 {
            let _ = Command::new("ip")
                .args(["netns", "delete", &self.space(index)])
                .status();
        }
        let _ = Command::new("ip").args(["link", "delete", &self.name]).status();
    }
}

/// Address of a pod, in a network for tests.
fn address(index: usize) -> String {
    format!("198.18.77.{}", index + 10)
}

#[track_caller]
fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}");
}

/// A pod's only container; all its processes end with this value.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(network: &Network, index: usize, python: &Path, home: &Path, pod: &GroupPod) -> Self {
        let place = home.join(index.to_string());
        fs::create_dir_all(&place).unwrap();
        let hosts = format!("127.0.0.1 localhost\n{} w-{index}\n", address(index));
        let leader = format!("{} {}\n", address(0), pod.env["LEADER"]);
        fs::write(place.join("hosts"), hosts + &leader).unwrap();
        let log = home.join(format!("{index}.log"));
        let file = fs::File::create(&log).unwrap();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &network.space(index)])
            .args([
                "unshare",
                "--mount",
                "--pid",
                "--uts",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["bash", "-c", POD])
            .arg(&place)
            .arg(format!("w-{index}"))
            .args(&pod.command)
            .envs(&pod.env)
            .env("HOME", &place)
            .env("RAY_TMPDIR", &place)
            .env("PATH", paths(python))
            .env("POD_INDEX", index.to_string())
            .env("VLLM_HOST_IP", address(index))
            .env("PYTHONPATH", home.join("scripts"))
            .env("RAY_OVERRIDE_RESOURCES", json!({"CPU": 1, "GPU": 1}).to_string())
            .env("RAY_USAGE_STATS_ENABLED", "0")
            .env("HF_HUB_OFFLINE", "1")
            .env("VLLM_NO_USAGE_STATS", "1")
            .env("VLLM_CPU_KVCACHE_SPACE", "1")
            .stdout(Stdio::from(file.try_clone().unwrap()))
            .stderr(Stdio::from(file));
        Self {
            child: command.spawn().unwrap(),
            log,
        }
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory of the Python and its programs, before the others.
fn paths(python: &Path) -> String {
    let ours = python.parent().unwrap().display().to_string();
    format!("{ours}:{}", std::env::var("PATH").unwrap_or_default())
}

fn has_ray(python: &OsStr) -> bool {
    let found = Command::new(python).args(["-c", "import ray"]).output();
    found.is_ok_and(|found| found.status.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout == b"0\n")
}

#[test]
fn a_group_over_ray_answers_and_ends_when_it_loses_a_worker() {
    let Some(python) = crate::python() else { return };
    if !is_root() || !has_ray(&python) {
        println!("skipped: needs root and Ray");
        return;
    }
    let model = gguf::example::smollm2(&gguf::example::cache(), &|what| println!("{what}"))
        .unwrap()
        .dir;
    let home = tempfile::tempdir().unwrap();
    let scripts = home.path().join("scripts");
    fs::create_dir_all(&scripts).unwrap();
    fs::create_dir_all(home.path().join("shm")).unwrap();
    for (name, text) in FILES {
        let path = scripts.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let pod = rendered::group(PRESET).with(&scripts, SCRIPTS, &model);
    println!("{:?}", pod.command);

    let network = Network::start();
    let python = Path::new(&python);
    let mut leader = Running::start(&network, 0, python, home.path(), &pod);
    let worker = Running::start(&network, 1, python, home.path(), &pod);
    let began = Instant::now();
    let answer = loop {
        let ended = leader.child.try_wait().unwrap();
        assert!(
            ended.is_none() && began.elapsed() < START,
            "{ended:?} after {:?}: {}\nworker: {}",
            began.elapsed(),
            leader.tail(),
            worker.tail()
        );
        match completion(&network, pod.port) {
            Some(answer) => break answer,
            None => std::thread::sleep(PAUSE),
        }
    };
    println!("answers after {} s: {answer}", began.elapsed().as_secs());
    let text = answer["choices"][0]["text"].as_str().unwrap();
    assert!(text.trim_start().starts_with("Paris"), "{answer}");

    assert!(is_alive(&network, python, home.path(), &pod), "{}", leader.tail());
    drop(worker);
    let lost = Instant::now();
    let end = loop {
        if let Some(end) = leader.child.try_wait().unwrap() {
            break format!("the leader ended with {end}");
        }
        if !is_alive(&network, python, home.path(), &pod) {
            break "the liveness probe of the leader failed".to_owned();
        }
        assert!(lost.elapsed() < NOTICE, "nothing was noticed: {}", leader.tail());
    };
    println!("{end} {} s after its worker", lost.elapsed().as_secs());
}

/// Runs the leader's liveness probe.
fn is_alive(network: &Network, python: &Path, home: &Path, pod: &GroupPod) -> bool {
    let probe = Command::new("ip")
        .args(["netns", "exec", &network.space(0)])
        .args(["unshare", "--mount", "bash", "-c"])
        .arg(r#"mount --bind "$0/hosts" /etc/hosts; exec "$@""#)
        .arg(home.join("0"))
        .args(&pod.liveness)
        .env("PATH", paths(python))
        .env("RAY_TMPDIR", home.join("0"))
        .output()
        .unwrap();
    println!(
        "{}: {}{}",
        probe.status,
        String::from_utf8_lossy(&probe.stdout),
        String::from_utf8_lossy(&probe.stderr)
    );
    probe.status.success()
}

/// Asks the leader from its own network; `None` while it does not answer.
fn completion(network: &Network, port: u16) -> Option<Value> {
    let body =
        json!({"model": PRESET, "prompt": "The capital of France is", "max_tokens": 4, "temperature": 0});
    let output = Command::new("ip")
        .args([
            "netns",
            "exec",
            &network.space(0),
            "curl",
            "--silent",
            "--max-time",
            "120",
        ])
        .args([
            "--header",
            "content-type: application/json",
            "--data",
            &body.to_string(),
        ])
        .arg(format!("http://{}:{port}/v1/completions", address(0)))
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).ok()
}
