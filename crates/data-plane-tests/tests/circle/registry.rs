//! Debian's `docker-registry`, started for one test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Turns a missing program into a failure instead of a skipped test.
const REQUIRED: &str = "KAITO_REQUIRE_REGISTRY";

/// It ends with this value.
pub(crate) struct Registry {
    child: Child,
    address: String,
    _scratch: tempfile::TempDir,
}

impl Registry {
    /// `None` where the program is not installed.
    pub(crate) fn start() -> Option<Self> {
        let scratch = tempfile::tempdir().unwrap();
        let config = scratch.path().join("config.yml");
        let storage = scratch.path().join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var_os(REQUIRED).is_none(), "docker-registry: {error}");
                eprintln!("SKIPPED: docker-registry is not installed (apt-get install docker-registry)");
                return None;
            }
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let listening = |line: String| -> Option<String> {
            let rest = line.split_once("listening on ")?.1;
            Some(
                rest.chars()
                    .take_while(|c| c.is_ascii_digit() || *c == '.' || *c == ':')
                    .collect(),
            )
        };
        let address = lines.find_map(listening).unwrap();
        // Whoever stops reading stops the server.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            address,
            _scratch: scratch,
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
