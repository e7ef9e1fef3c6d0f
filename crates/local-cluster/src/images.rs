//! Images for the registry of a cluster with real nodes: programs of this machine with their libraries, and the push.
//!
//! Such an image is quick to make and runs on this machine's processors only. `cargo xtask image` makes those for users.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use oci_image::{Descriptor, Image, ImageIndex, ImageManifest, Layout, Platform};

/// Images are pulled within this machine: they are not compressed.
const EFFORT: u32 = 0;

/// User and group of the containers.
const USER: &str = "65532:65532";

/// An image of programs of this machine.
#[derive(Debug, Clone)]
pub struct MachineImage {
    /// Programs of this machine, each at its path in the image. Symbols are left out.
    pub programs: Vec<(PathBuf, String)>,
    /// Other files, each at its path in the image.
    pub files: Vec<(PathBuf, String)>,
    /// The command of the image.
    pub entrypoint: Vec<String>,
}

impl MachineImage {
    /// The image of one program, at `/NAME`.
    #[must_use]
    pub fn of(program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("/{name}");
        Self {
            programs: vec![(program.to_owned(), place.clone())],
            files: Vec::new(),
            entrypoint: vec![place],
        }
    }

    /// Writes the layout of the image.
    ///
    /// # Errors
    /// When a file cannot be read or the layout cannot be written.
    pub fn write_to(&self, layout: &Path) -> Result<()> {
        let layout = Layout::create(layout)?;
        let scratch = tempfile::tempdir()?;
        let mut files: BTreeMap<String, (PathBuf, bool)> = BTreeMap::new();
        for (at, (program, place)) in self.programs.iter().enumerate() {
            for library in libraries(program)? {
                files.insert(library.display().to_string(), (library.clone(), true));
            }
            let stripped = scratch.path().join(at.to_string());
            files.insert(place.clone(), (strip(program, &stripped)?, true));
        }
        for (file, place) in &self.files {
            files.insert(place.clone(), (file.clone(), false));
        }
        let layer = layout.layer(EFFORT, |layer| {
            for directory in directories(files.keys()) {
                layer.directory(&directory, 0o755)?;
            }
            for (place, (source, executable)) in &files {
                let path = place.trim_start_matches('/');
                let file = File::open(source).map_err(|error| failed_to_open(source, error))?;
                let size = file
                    .metadata()
                    .map_err(|error| failed_to_open(source, error))?
                    .len();
                layer.file(path, *executable, size, file)?;
            }
            Ok(())
        })?;
        let image = Image {
            platform: Platform::here(),
            layers: vec![layer],
            entrypoint: self.entrypoint.clone(),
            user: USER.to_owned(),
            annotations: BTreeMap::new(),
        };
        layout.image(&image, "latest")?;
        Ok(())
    }
}

fn failed_to_open(path: &Path, source: std::io::Error) -> oci_image::Error {
    oci_image::Error::Io {
        doing: format!("open {}", path.display()),
        source,
    }
}

/// The directories above these paths, upper ones first.
fn directories<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<PathBuf> {
    paths
        .flat_map(|path| Path::new(path.trim_start_matches('/')).ancestors().skip(1))
        .filter(|path| !path.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect()
}

/// The dynamic libraries of a program, and the program that loads them. Empty for a static program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("failed to run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

/// Copies a program without its symbols, or names the program itself where there is no `strip`.
fn strip(program: &Path, to: &Path) -> Result<PathBuf> {
    let status = Command::new("strip").arg("-o").arg(to).arg(program).output();
    if status.is_ok_and(|output| output.status.success()) {
        Ok(to.to_owned())
    } else {
        ensure!(program.is_file(), "{} is not built", program.display());
        Ok(program.to_owned())
    }
}

/// Pushes the image of a layout to `NAME:TAG` of a registry without TLS, and returns its digest. Blobs that the registry
/// has are not sent again.
///
/// # Errors
/// When the layout is damaged or the registry refuses.
pub fn push(layout: &Path, registry: &str, name: &str, tag: &str) -> Result<String> {
    let index: ImageIndex = serde_json::from_slice(&read(&layout.join("index.json"))?)?;
    let [descriptor] = &index.manifests()[..] else {
        anyhow::bail!("expected one image in {}", layout.display());
    };
    let bytes = read(&blob(layout, descriptor))?;
    let manifest: ImageManifest = serde_json::from_slice(&bytes)?;
    let target = PushTarget::at(registry, name);
    for part in manifest.layers().iter().chain([manifest.config()]) {
        target.put_blob(part, &blob(layout, part))?;
    }
    target.put_manifest(tag, descriptor.media_type().as_ref(), &bytes)?;
    Ok(descriptor.digest().to_string())
}

fn blob(layout: &Path, descriptor: &Descriptor) -> PathBuf {
    layout
        .join("blobs")
        .join("sha256")
        .join(descriptor.digest().digest())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}

/// The repository of a registry that an image is pushed to.
struct PushTarget {
    base: String,
    agent: ureq::Agent,
}

impl PushTarget {
    fn at(address: &str, name: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(None) // a registry of this machine
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(5)));
        Self {
            base: format!("http://{address}/v2/{name}"),
            agent: config.build().into(),
        }
    }

    fn put_blob(&self, descriptor: &Descriptor, file: &Path) -> Result<()> {
        let digest = descriptor.digest();
        if self
            .agent
            .head(format!("{}/blobs/{digest}", self.base))
            .call()?
            .status()
            == 200
        {
            return Ok(());
        }
        let began = self
            .agent
            .post(format!("{}/blobs/uploads/", self.base))
            .send_empty()?;
        let location = began
            .headers()
            .get("location")
            .and_then(|location| location.to_str().ok())
            .with_context(|| format!("{} answered {} without a location", self.base, began.status()))?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let response = self
            .agent
            .put(format!("{location}{separator}digest={digest}"))
            .header("content-type", "application/octet-stream")
            .send(File::open(file).with_context(|| format!("failed to open {}", file.display()))?)?;
        ensure!(
            response.status() == 201,
            "{} answered {} to a blob",
            self.base,
            response.status()
        );
        Ok(())
    }

    fn put_manifest(&self, tag: &str, media_type: &str, bytes: &[u8]) -> Result<()> {
        let response = self
            .agent
            .put(format!("{}/manifests/{tag}", self.base))
            .header("content-type", media_type)
            .send(bytes)?;
        ensure!(
            response.status() == 201,
            "{} answered {} to a manifest",
            self.base,
            response.status()
        );
        Ok(())
    }
}
