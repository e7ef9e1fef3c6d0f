//! Debian's `docker-registry` on this machine, for tests.
//!
//! Everything here blocks, and no registry client is used: the contents are the caller's.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

/// Set to anything, it turns a missing program into a failure instead of a skipped test.
pub const REQUIRED: &str = "KAITO_REQUIRE_REGISTRY";

/// The user of [`Auth::Basic`].
pub const USER: &str = "tester";
/// The password of [`USER`].
pub const PASSWORD: &str = "correct-horse";
/// Output of `htpasswd -nbB -C 4`.
const HTPASSWD: &str = "tester:$2y$04$WKWfgcb8sdij.0OUbT/iEO8LHPuGjdLYYLjUwzrSP7pWhyKai.flK\n";

/// The way in which clients authenticate.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all.
    Nobody,
    /// With [`USER`] and [`PASSWORD`].
    Basic,
    /// By tokens for `test-registry` that `test-issuer` signed.
    Token {
        /// The address of the token server.
        realm: String,
        /// The certificate of the signer of tokens, as PEM.
        certificate: PathBuf,
    },
}

/// A registry on a free port of loopback. It and all that is in it end with this value.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: SocketAddr,
    scratch: tempfile::TempDir,
}

impl Registry {
    /// Starts one without TLS. `None`, said on standard error, where the program is not installed and need not be.
    ///
    /// # Errors
    /// When the program is missing though [`REQUIRED`], or does not start.
    pub fn start(auth: &Auth) -> anyhow::Result<Option<Self>> {
        Self::start_with(auth, None)
    }

    /// Starts one with TLS from a certificate and its key, both PEM files; see [`Self::start`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(auth: &Auth, tls: Option<(&Path, &Path)>) -> anyhow::Result<Option<Self>> {
        let scratch = tempfile::tempdir()?;
        let config = configure(scratch.path(), SocketAddr::from(([127, 0, 0, 1], 0)), auth, tls)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os(REQUIRED).is_none() => {
                skipped();
                return Ok(None);
            }
            Err(error) => return Err(error).context("docker-registry (apt-get install docker-registry)"),
        };
        let address = announced(&mut child).inspect_err(|_| end(&mut child))?;
        Ok(Some(Self {
            child,
            address,
            scratch,
        }))
    }

    /// The address on which it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A reference to something in it.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// The file of a blob, whose name is `sha256:` and 64 hex digits.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        blob(self.scratch.path(), digest)
    }
}

/// The file of a blob of a registry that keeps everything in this directory; see [`Registry::blob`].
#[must_use]
pub fn blob(directory: &Path, digest: &str) -> PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    let blobs = storage(directory).join("docker/registry/v2/blobs/sha256");
    blobs.join(hex.get(..2).unwrap_or(hex)).join(hex).join("data")
}

/// Writes the configuration of a registry that listens on this address and keeps everything in this directory. Returns
/// the file, for `docker-registry serve`.
///
/// # Errors
/// When a file cannot be written.
pub fn configure(
    directory: &Path,
    listen: SocketAddr,
    auth: &Auth,
    tls: Option<(&Path, &Path)>,
) -> anyhow::Result<PathBuf> {
    let file = directory.join("config.yml");
    std::fs::write(&file, configuration(directory, listen, auth, tls)?)?;
    Ok(file)
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[allow(clippy::print_stderr, reason = "a test that is skipped has to say so")]
fn skipped() {
    eprintln!("SKIPPED: docker-registry is not installed (apt-get install docker-registry)");
}

/// The address in its log once it listens. Later output is dropped.
fn announced(child: &mut Child) -> anyhow::Result<SocketAddr> {
    let printed = child.stderr.take().context("standard error is not piped")?;
    let mut lines = BufReader::new(printed).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines.by_ref() {
        if let Some(address) = listening(&line) {
            // The server blocks when its output is not read.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(address);
        }
        said.push(line);
    }
    bail!("docker-registry ended before it printed its address: {said:#?}")
}

fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))
        .unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

fn storage(scratch: &Path) -> PathBuf {
    scratch.join("storage")
}

fn configuration(
    scratch: &Path,
    listen: SocketAddr,
    auth: &Auth,
    tls: Option<(&Path, &Path)>,
) -> anyhow::Result<String> {
    let mut text = format!(
        "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: {listen}\n",
        storage(scratch).display()
    );
    if let Some((certificate, key)) = tls {
        let (certificate, key) = (certificate.display(), key.display());
        write!(text, "  tls:\n    certificate: {certificate}\n    key: {key}\n")?;
    }
    match auth {
        Auth::Nobody => {}
        Auth::Basic => {
            let path = scratch.join("htpasswd");
            std::fs::write(&path, HTPASSWD)?;
            let path = path.display();
            write!(text, "auth:\n  htpasswd:\n    realm: test\n    path: {path}\n")?;
        }
        Auth::Token { realm, certificate } => {
            let certificate = certificate.display();
            write!(
                text,
                "auth:\n  token:\n    realm: {realm}\n    service: test-registry\n    issuer: test-issuer\n    \
                 rootcertbundle: {certificate}\n"
            )?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_in_a_line_of_its_log() {
        for (line, expected) in [
            (
                "level=info msg=\"listening on 127.0.0.1:40321\" go=1",
                Some("127.0.0.1:40321"),
            ),
            (
                "msg=\"listening on 127.0.0.1:40321, tls\"",
                Some("127.0.0.1:40321"),
            ),
            ("listening on 127.0.0.1:80", Some("127.0.0.1:80")),
            ("msg=\"listening on [::]\"", None),
            ("msg=\"redis not configured\"", None),
        ] {
            assert_eq!(
                listening(line),
                expected.map(|address| address.parse().unwrap()),
                "{line}"
            );
        }
    }
}
