//! Official release files from a configured mirror, verified by their checksum. Off unless configured.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::{Tool, cache::Slot, module::hex, variables};
use crate::progress::Progress;

/// No release of a single program is larger.
const SIZE_LIMIT: u64 = 1 << 30;

/// A place that serves release files.
#[derive(Debug)]
pub(super) struct Mirror {
    base: String,
    agent: ureq::Agent,
}

impl Mirror {
    /// The mirror the user configured, if any.
    pub(super) fn from_environment() -> Option<Self> {
        std::env::var(variables::RELEASE_MIRROR)
            .ok()
            .filter(|base| !base.is_empty())
            .map(|base| Self::at(&base))
    }

    fn at(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_global(Some(Duration::from_mins(10)));
        let config = if is_loopback(base) {
            config.proxy(None)
        } else {
            config
        };
        Self {
            base: base.trim_end_matches('/').to_owned(),
            agent: config.build().into(),
        }
    }

    /// Downloads `tool` into the cache; none when the mirror does not have it.
    ///
    /// A file that does not match its checksum is an error: falling back would hide it.
    pub(super) fn fetch(&self, tool: Tool, progress: &dyn Progress) -> Result<Option<PathBuf>> {
        let slot = Slot::downloads(tool).context("no home directory for the cache")?;
        self.fetch_into(&slot, tool, progress)
    }

    fn fetch_into(&self, slot: &Slot, tool: Tool, progress: &dyn Progress) -> Result<Option<PathBuf>> {
        slot.get_or_make(tool, progress, |path| {
            let address = self.address(tool);
            progress.say(&format!("downloading {address}"));
            let found = self.download(&address, path)?;
            if !found {
                progress.say(&format!("the mirror has no {} {}", tool.name(), tool.version()));
            }
            Ok(found)
        })
    }

    fn address(&self, tool: Tool) -> String {
        let os = std::env::consts::OS;
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        format!("{}/{}/bin/{os}/{arch}/{}", self.base, tool.version(), tool.name())
    }

    fn download(&self, address: &str, path: &Path) -> Result<bool> {
        let Some(expected) = self.checksum(address)? else {
            return Ok(false);
        };
        let mut response = self
            .agent
            .get(address)
            .call()
            .with_context(|| format!("cannot get {address}"))?;
        if response.status() == 404 {
            return Ok(false);
        }
        ensure!(
            response.status() == 200,
            "{address} answered {}",
            response.status()
        );
        let mut file = File::create(path)?;
        let mut body = response.body_mut().as_reader().take(SIZE_LIMIT);
        std::io::copy(&mut body, &mut file).with_context(|| format!("failed to read {address}"))?;
        let actual = file_checksum(path)?;
        ensure!(
            actual == expected,
            "{address} has checksum {actual}, its .sha256 says {expected}"
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(true)
    }

    /// The first word of the `.sha256` file beside the program.
    fn checksum(&self, address: &str) -> Result<Option<String>> {
        let address = format!("{address}.sha256");
        let mut response = self
            .agent
            .get(&address)
            .call()
            .with_context(|| format!("cannot get {address}"))?;
        if response.status() == 404 {
            return Ok(None);
        }
        ensure!(
            response.status() == 200,
            "{address} answered {}",
            response.status()
        );
        let text = response
            .body_mut()
            .read_to_string()
            .with_context(|| format!("failed to read {address}"))?;
        let word = text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        ensure!(word.len() == 64, "{address} holds no SHA-256");
        Ok(Some(word))
    }
}

fn file_checksum(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

/// Proxies of the environment must not see what is on this machine.
fn is_loopback(address: &str) -> bool {
    let host = address.split("//").nth(1).unwrap_or(address);
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|prefix| host.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    /// Serves `files` by path, one request a connection, until the test ends.
    fn serve(files: BTreeMap<String, Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/release/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap())
                    .lines()
                    .map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
                let path = request.split_whitespace().nth(1).unwrap_or_default();
                let (status, body) = match files.get(path) {
                    Some(body) => ("200 OK", body.as_slice()),
                    None => ("404 Not Found", b"".as_slice()),
                };
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(body))
                    .unwrap();
            }
        });
        base
    }

    fn release(tool: Tool, body: &[u8], checksum: &str) -> BTreeMap<String, Vec<u8>> {
        let path = Mirror::at("/release").address(tool);
        [
            (
                format!("{path}.sha256"),
                format!("{checksum}  {}\n", tool.name()).into_bytes(),
            ),
            (path, body.to_vec()),
        ]
        .into()
    }

    #[test]
    fn a_release_is_verified_and_cached() {
        let dir = tempfile::tempdir().unwrap();
        let body = b"#!/bin/sh\necho 1\n";
        let mirror = Mirror::at(&serve(release(Tool::Kubectl, body, &hex(&Sha256::digest(body)))));
        let slot = Slot::in_dir(dir.path());
        let path = mirror.fetch_into(&slot, Tool::Kubectl, &Silent).unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), body);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(slot.existing(Tool::Kubectl), Some(path));
    }

    #[test]
    fn a_wrong_checksum_is_an_error_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::at(&serve(release(Tool::Kubectl, b"evil", &"0".repeat(64))));
        let slot = Slot::in_dir(dir.path());
        let error = mirror.fetch_into(&slot, Tool::Kubectl, &Silent).unwrap_err();
        assert!(format!("{error:#}").contains("has checksum"), "{error:#}");
        assert_eq!(slot.existing(Tool::Kubectl), None);
    }

    #[test]
    fn what_the_mirror_lacks_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::at(&serve(BTreeMap::new()));
        assert!(
            mirror
                .fetch_into(&Slot::in_dir(dir.path()), Tool::Etcd, &Silent)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn loopback_is_recognised() {
        assert!(is_loopback("http://127.0.0.1:8080/x"));
        assert!(is_loopback("http://localhost/x"));
        assert!(!is_loopback("https://mirror.example/localhost"));
    }
}
