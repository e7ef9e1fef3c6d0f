//! Debian's `docker-registry`, started for one test.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Turns a missing program into a failure instead of a skipped test.
const REQUIRED: &str = "KAITO_REQUIRE_REGISTRY";

pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "correct-horse";
/// By `htpasswd -nbB -C 4`.
const HTPASSWD: &str = "tester:$2y$04$WKWfgcb8sdij.0OUbT/iEO8LHPuGjdLYYLjUwzrSP7pWhyKai.flK\n";

/// How it lets people in.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    Nobody,
    Basic,
    /// By tokens of another server.
    Token {
        realm: String,
        certificate: PathBuf,
    },
}

/// It ends with this value.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) scratch: tempfile::TempDir,
}

impl Registry {
    /// `None` where the program is not installed.
    pub(crate) fn start(auth: &Auth) -> Option<Self> {
        Self::start_with(auth, None)
    }

    /// With a certificate and its key, it speaks TLS.
    pub(crate) fn start_with(auth: &Auth, tls: Option<(&Path, &Path)>) -> Option<Self> {
        let scratch = tempfile::tempdir().unwrap();
        let config = scratch.path().join("config.yml");
        std::fs::write(&config, configuration(scratch.path(), auth, tls)).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
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
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| listening(&line));
        // Whoever stops reading stops the server.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            address: address.unwrap(),
            scratch,
        })
    }

    /// A reference to something in it.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Where it stores the bytes of a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self
            .scratch
            .path()
            .join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(scratch: &Path, auth: &Auth, tls: Option<(&Path, &Path)>) -> String {
    let auth = match auth {
        Auth::Nobody => String::new(),
        Auth::Basic => {
            let path = scratch.join("htpasswd");
            std::fs::write(&path, HTPASSWD).unwrap();
            format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                path.display()
            )
        }
        Auth::Token { realm, certificate } => format!(
            "auth:\n  token:\n    realm: {realm}\n    service: test-registry\n    issuer: test-issuer\n    rootcertbundle: {}\n",
            certificate.display()
        ),
    };
    let tls = tls.map_or_else(String::new, |(certificate, key)| {
        format!(
            "  tls:\n    certificate: {}\n    key: {}\n",
            certificate.display(),
            key.display()
        )
    });
    let storage = scratch.join("storage");
    format!(
        "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: 127.0.0.1:0\n{tls}{auth}",
        storage.display()
    )
}

fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A directory with one Docker config file.
pub(crate) fn auth_dir(registry: &str, entry: &serde_json::Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = serde_json::json!({"auths": {registry: entry}});
    std::fs::write(directory.path().join("push-secret.json"), config.to_string()).unwrap();
    directory
}

/// Name and password, as `docker login` writes them.
pub(crate) fn login() -> serde_json::Value {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    serde_json::json!({"auth": auth})
}
