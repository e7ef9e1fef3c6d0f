//! vLLM as a process, with the command line of a pod.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::rendered::CommandLine;

/// Flags whose values belong to a pod: directories and formats of GPUs.
const REPLACED: [&str; 3] = ["--model=", "--dtype=", "--port="];
/// Time to load the model and to compile it; minutes on two cores.
const START: Duration = Duration::from_secs(20 * 60);
/// Time to end after SIGTERM.
const END: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// The running engine; it ends with this value.
#[derive(Debug)]
pub(crate) struct Engine {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Engine {
    /// Starts the engine in 32-bit floats, with adapters by name.
    pub(crate) fn start(
        python: &OsStr,
        line: &CommandLine,
        model: &Path,
        adapters: &[(&str, PathBuf)],
        home: &Path,
    ) -> Self {
        let [port] = testkit::reserve_ports().unwrap();
        let log = home.join("vllm.log");
        let modules = adapters
            .iter()
            .map(|(name, path)| format!("{name}={}", path.display()));
        let kept = line
            .args
            .iter()
            .filter(|arg| !REPLACED.iter().any(|flag| arg.starts_with(flag)));
        let child = Command::new(python)
            .args(["-m", "vllm.entrypoints.openai.api_server"])
            .args(kept)
            .arg(format!("--model={}", model.display()))
            .args(["--dtype=float32", "--host=127.0.0.1"])
            .arg(format!("--port={port}"))
            .args(["--enable-lora", "--lora-modules"])
            .args(modules)
            .env("HF_HUB_OFFLINE", "1")
            .env("VLLM_NO_USAGE_STATS", "1")
            .env("VLLM_CPU_KVCACHE_SPACE", "1")
            .env("VLLM_USE_FLASHINFER_SAMPLER", "0")
            .stdout(Stdio::from(File::create(&log).unwrap()))
            .stderr(Stdio::from(File::options().append(true).open(&log).unwrap()))
            .spawn()
            .unwrap();
        let mut engine = Self { child, port, log };
        engine.wait_until_it_listens();
        engine
    }

    fn wait_until_it_listens(&mut self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < START,
                "{ended:?} after {:?}: {}",
                began.elapsed(),
                self.tail()
            );
            std::thread::sleep(PAUSE);
        }
        println!("vLLM listens after {} s", began.elapsed().as_secs());
    }

    /// Address of its API.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends SIGTERM and returns how it ended; `None` when it is still running after a minute.
    pub(crate) fn terminate(&mut self) -> Option<ExitStatus> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let began = Instant::now();
        while began.elapsed() < END {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(PAUSE);
        }
        None
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
