//! `cargo xtask image`: images of our programs, without a container engine.
//!
//! An image is one static program and, where the program needs them, the certificates of the web's authorities.
//! It has no shell and no other files, and runs as the user 65532. It depends on the sources and the compilers only:
//! the same of both give the same digest.

pub(crate) mod build;
mod certificates;
mod programs;
mod push;

pub(crate) use programs::{ImageProgram, PROGRAMS};
pub(crate) use push::ImagePlace;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use oci_image::{Image, Layout, Platform};

use crate::release::VERSION;
use crate::repository;
use programs::{MEBIBYTE, chosen};

/// User and group of our pods, as the chart and `render` say; no account of the node has it.
const USER: &str = "65532:65532";
/// The effort of gzip: images are built once and pulled often.
const EFFORT: u32 = 9;
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Programs to make images of; all, if none is named
    programs: Vec<String>,
    /// Architectures, amd64 or arm64; this machine's, if none is named. Several become one image with an index
    #[arg(long, value_delimiter = ',', value_name = "ARCH")]
    arch: Vec<String>,
    /// Tag of the images. The chart's default is its own version
    #[arg(long, default_value = VERSION)]
    tag: String,
    /// Build everything a second time, elsewhere, and fail if any digest differs
    #[arg(long)]
    twice: bool,
    /// Registry and path to push the images to, and the chart below `charts`; `docker login` has the credentials
    #[arg(long, value_name = "REGISTRY")]
    push: Option<String>,
    /// The registry has no TLS
    #[arg(long, requires = "push")]
    plain_http: bool,
}

/// The image of one program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Of the manifest, or of the index if there are several architectures.
    pub(crate) digest: String,
    parts: Vec<PlatformImage>,
}

/// The image of one program for one architecture.
#[derive(Debug, PartialEq, Eq)]
struct PlatformImage {
    architecture: String,
    /// Bytes of all blobs.
    compressed: u64,
    program: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let targets = build::targets(&args.arch)?;
    let images = repository::target().join("images");
    let push = args.push.as_deref();
    let registry = push
        .map(|place| ImagePlace::new(place, args.plain_http))
        .transpose()?;
    let programs = chosen(&args.programs)?;
    for (registry, program) in registry
        .iter()
        .flat_map(|to| programs.iter().map(move |one| (to, one)))
    {
        registry.check(program.name, &args.tag)?;
    }
    println!(
        "{:<22} {:<6} {:>9} {:>9}  digest",
        "image", "", "program", "image"
    );
    for program in programs {
        let to = images.join(program.name);
        let made = made(program, &targets, &args.tag, &repository::target(), &to)?;
        show(program, &made)?;
        if args.twice {
            again(program, &targets, &args.tag, &made)?;
        }
        if let Some(registry) = &registry {
            registry.image(&to, program.name, &args.tag)?;
        }
    }
    println!(
        "in {}: oci layouts, one for each image",
        repository::shown(&images)
    );
    if let Some(registry) = &registry {
        registry.chart(&args.tag)?;
        let only = match targets.as_slice() {
            [one] => Some(Platform::of(one.architecture()).architecture),
            _ => None,
        };
        registry.say_how_to_install(&args.tag, only.as_deref());
    }
    Ok(())
}

/// Prints the sizes of an image.
///
/// # Errors
/// Fails if it is larger than such an image may be.
pub(crate) fn show(program: &ImageProgram, made: &Made) -> Result<()> {
    for part in &made.parts {
        println!(
            "{:<22} {:<6} {:>9} {:>9}  {}",
            program.name,
            part.architecture,
            mebibytes(part.program),
            mebibytes(part.compressed),
            made.digest
        );
        ensure!(
            part.compressed <= program.at_most,
            "the image of {} has more than {}",
            program.name,
            mebibytes(program.at_most)
        );
    }
    Ok(())
}

/// Builds the program for each target below `directory`, and writes the layout of its image.
pub(crate) fn made(
    program: &ImageProgram,
    targets: &[build::Target],
    tag: &str,
    directory: &Path,
    to: &Path,
) -> Result<Made> {
    let built = targets.iter().map(|target| {
        let executable = build::program(program.name, target, directory)?;
        Ok((Platform::of(target.architecture()), executable))
    });
    image(program, &built.collect::<Result<Vec<_>>>()?, tag, to)
}

/// Writes the layout of an image, with an index if there are programs for several platforms.
fn image(program: &ImageProgram, executables: &[(Platform, PathBuf)], tag: &str, to: &Path) -> Result<Made> {
    let layout = Layout::create(to)?;
    let certificates = program
        .certificates
        .then(|| certificates::layer(&layout, EFFORT))
        .transpose()?;
    let mut images = Vec::new();
    let mut parts = Vec::new();
    for (platform, executable) in executables {
        let file =
            File::open(executable).with_context(|| format!("failed to open {}", executable.display()))?;
        let size = file.metadata()?.len();
        // Last, because it changes most: what is below is then there already.
        let layer = layout.layer(EFFORT, |layer| layer.file(program.name, true, size, file))?;
        let image = Image {
            platform: platform.clone(),
            layers: certificates.iter().cloned().chain([layer]).collect(),
            entrypoint: vec![format!("/{}", program.name)],
            user: USER.to_owned(),
            annotations: annotations(program.name),
        };
        let assembled = image.assemble()?;
        let layers = image.layers.iter().map(|layer| &layer.descriptor);
        parts.push(PlatformImage {
            architecture: platform.architecture.clone(),
            compressed: layers
                .chain([&assembled.config_descriptor])
                .map(|blob| blob.size())
                .sum(),
            program: size,
        });
        images.push(image);
    }
    let descriptor = match &images[..] {
        [one] => layout.image(one, tag)?,
        several => layout.images(several, tag)?,
    };
    Ok(Made {
        digest: descriptor.digest().to_string(),
        parts,
    })
}

fn annotations(name: &str) -> BTreeMap<String, String> {
    let pairs = [("title", name), ("licenses", "Apache-2.0"), ("vendor", "KAITO")];
    let named = pairs.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()));
    named.into()
}

/// Builds the program from nothing in another place, and compares.
pub(crate) fn again(
    program: &ImageProgram,
    targets: &[build::Target],
    tag: &str,
    first: &Made,
) -> Result<()> {
    let elsewhere = repository::target().join("image-again");
    let to = elsewhere.join("images").join(program.name);
    let second = made(program, targets, tag, &elsewhere, &to)?;
    ensure!(
        second == *first,
        "a second build of {} is another image: {second:?}",
        program.name
    );
    println!("{:<22} a second build gives the same image", "");
    Ok(())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MEBIBYTE as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs of these architectures, and their image.
    fn made_of(programs: &[(&str, &str)], mode: u32, at: &Path) -> Made {
        use std::os::unix::fs::PermissionsExt as _;
        let executables: Vec<_> = programs
            .iter()
            .map(|(architecture, code)| {
                let executable = at.join(architecture);
                std::fs::write(&executable, code).unwrap();
                std::fs::set_permissions(&executable, std::fs::Permissions::from_mode(mode)).unwrap();
                (Platform::of(architecture), executable)
            })
            .collect();
        image(&PROGRAMS[0], &executables, "latest", &at.join("image")).unwrap()
    }

    fn blob(at: &Path, digest: &str) -> Vec<u8> {
        std::fs::read(at.join("image/blobs/sha256").join(&digest["sha256:".len()..])).unwrap()
    }

    #[test]
    fn the_same_program_is_the_same_image_wherever_it_lies() {
        let made = [0o755, 0o700].map(|mode| {
            let scratch = tempfile::tempdir().unwrap();
            let made = made_of(&[("x86_64", "machine code")], mode, scratch.path());
            (
                made,
                std::fs::read(scratch.path().join("image/index.json")).unwrap(),
            )
        });
        assert_eq!(made[0], made[1]);
        let scratch = tempfile::tempdir().unwrap();
        let other = made_of(&[("x86_64", "other code")], 0o755, scratch.path());
        assert_ne!(made[0].0.digest, other.digest);
    }

    #[test]
    fn an_image_holds_one_program_and_no_shell() {
        let scratch = tempfile::tempdir().unwrap();
        let made = made_of(&[("aarch64", "machine code")], 0o755, scratch.path());
        ensure_image(scratch.path(), &made.digest, "arm64", b"machine code");
    }

    #[test]
    fn two_architectures_are_one_index() {
        let scratch = tempfile::tempdir().unwrap();
        let programs = [("x86_64", "code of one"), ("aarch64", "code of the other")];
        let made = made_of(&programs, 0o755, scratch.path());
        let architectures: Vec<_> = made.parts.iter().map(|part| &part.architecture).collect();
        assert_eq!(architectures, ["amd64", "arm64"]);
        let index: oci_image::ImageIndex =
            serde_json::from_slice(&blob(scratch.path(), &made.digest)).unwrap();
        let listed = index.manifests().iter().map(|manifest| {
            let platform = manifest.platform().clone().unwrap();
            (platform.architecture().to_string(), manifest.digest().to_string())
        });
        let listed: Vec<_> = listed.collect();
        assert_eq!(listed.len(), 2);
        for ((architecture, digest), (expected, code)) in listed
            .iter()
            .zip([("amd64", programs[0].1), ("arm64", programs[1].1)])
        {
            assert_eq!(architecture, expected);
            ensure_image(scratch.path(), digest, expected, code.as_bytes());
        }
    }

    /// Checks the image with this digest: its configuration and its only files.
    #[track_caller]
    fn ensure_image(at: &Path, digest: &str, architecture: &str, program: &[u8]) {
        let manifest: oci_image::ImageManifest = serde_json::from_slice(&blob(at, digest)).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&blob(at, manifest.config().digest().as_ref())).unwrap();
        assert_eq!(config["architecture"], architecture);
        assert_eq!(config["config"]["User"], USER);
        assert_eq!(config["config"]["Entrypoint"][0], "/workspace-controller");
        let root = tempfile::tempdir().unwrap();
        let limits = oci_image::Limits {
            entries: 100,
            bytes: MEBIBYTE,
        };
        let mut unpacker = oci_image::Unpacker::new(root.path(), None, limits);
        for layer in manifest.layers() {
            unpacker.apply(&blob(at, layer.digest().as_ref())[..]).unwrap();
        }
        assert_eq!(unpacker.files(), 2);
        assert_eq!(
            std::fs::read(root.path().join("workspace-controller")).unwrap(),
            program
        );
        assert!(root.path().join(certificates::PATH).is_file());
    }

    #[test]
    fn every_program_is_a_package() {
        for program in PROGRAMS {
            assert!(
                repository::root()
                    .join("crates")
                    .join(program.name)
                    .join("src/main.rs")
                    .is_file()
            );
        }
        assert!(chosen(&["coffee".to_owned()]).is_err());
        assert_eq!(chosen(&[]).unwrap().len(), PROGRAMS.len());
    }
}
