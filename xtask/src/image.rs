//! `cargo xtask image`: images of our programs, without a container engine.
//!
//! An image is one static program and, where the program needs them, the certificates of the web's authorities.
//! It has no shell and no other files, and runs as the user 65532. It depends on the sources and the compilers only:
//! the same of both give the same digest.

mod build;
mod certificates;
mod push;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use oci_image::{Image, ImageManifest, Layout, Platform};

use crate::repository;

/// User and group of our pods, as the chart and `render` say; no account of the node has it.
const USER: &str = "65532:65532";
/// The effort of gzip: images are built once and pulled often.
const EFFORT: u32 = 9;
const MEBIBYTE: u64 = 1 << 20;

/// A program that has an image.
#[derive(Debug)]
struct ImageProgram {
    /// Package, program and image have one name.
    name: &'static str,
    /// Connects to servers of the internet by TLS and has no root certificates of its own.
    certificates: bool,
    /// Bytes of the compressed image.
    at_most: u64,
}

const PROGRAMS: &[ImageProgram] = &[
    ImageProgram {
        name: "workspace-controller",
        certificates: true,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "gpu-provisioner",
        certificates: true,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "preset-registry",
        certificates: false,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "artifact",
        certificates: false,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "inference-server",
        certificates: true,
        at_most: 20 * MEBIBYTE,
    },
    ImageProgram {
        name: "tuning-job",
        certificates: false,
        at_most: 20 * MEBIBYTE,
    },
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Programs to make images of; all, if none is named
    programs: Vec<String>,
    /// Architecture and C library, in Rust's words; this machine's, with musl, if not given
    #[arg(long)]
    target: Option<String>,
    /// Tag by which tools find the image in its layout
    #[arg(long, default_value = "latest")]
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
struct Made {
    digest: String,
    /// Bytes of all blobs.
    compressed: u64,
    program: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let target = build::Target::new(args.target.as_deref())?;
    let images = repository::target().join("images");
    let push = args.push.as_deref();
    let registry = push
        .map(|place| push::ImagePlace::new(place, args.plain_http))
        .transpose()?;
    println!("{:<22} {:>9} {:>9}  digest", "image", "program", "image");
    for program in chosen(&args.programs)? {
        let executable = build::program(program.name, &target, &repository::target())?;
        let made = image(
            program,
            &executable,
            &target,
            &args.tag,
            &images.join(program.name),
        )?;
        println!(
            "{:<22} {:>9} {:>9}  {}",
            program.name,
            mebibytes(made.program),
            mebibytes(made.compressed),
            made.digest
        );
        ensure!(
            made.compressed <= program.at_most,
            "the image of {} has more than {}",
            program.name,
            mebibytes(program.at_most)
        );
        if args.twice {
            again(program, &target, &args.tag, &made)?;
        }
        if let Some(registry) = &registry {
            registry.image(&images.join(program.name), program.name, &args.tag)?;
        }
    }
    println!(
        "in {}: oci layouts, one for each image",
        repository::shown(&images)
    );
    registry.map_or(Ok(()), |registry| registry.chart(&args.tag))
}

fn chosen(names: &[String]) -> Result<Vec<&'static ImageProgram>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| PROGRAMS.iter().all(|program| program.name != **name))
    {
        let known: Vec<_> = PROGRAMS.iter().map(|program| program.name).collect();
        bail!("{unknown} has no image; there are {}", known.join(", "));
    }
    let wanted = |program: &&ImageProgram| names.is_empty() || names.iter().any(|name| name == program.name);
    Ok(PROGRAMS.iter().filter(wanted).collect())
}

/// Writes the layout of an image.
fn image(
    program: &ImageProgram,
    executable: &Path,
    target: &build::Target,
    tag: &str,
    to: &Path,
) -> Result<Made> {
    let file = File::open(executable).with_context(|| format!("failed to open {}", executable.display()))?;
    let size = file.metadata()?.len();
    let layout = Layout::create(to)?;
    let mut layers = Vec::new();
    if program.certificates {
        let bundle = certificates::bundle();
        layers.push(layout.layer(EFFORT, |layer| {
            for directory in ["etc", "etc/ssl", "etc/ssl/certs"] {
                layer.directory(directory, 0o755)?;
            }
            layer.file(certificates::PATH, false, bundle.len() as u64, bundle.as_bytes())
        })?);
    }
    // Last, because it changes most: what is below is then there already.
    layers.push(layout.layer(EFFORT, |layer| layer.file(program.name, true, size, file))?);
    let image = Image {
        platform: Platform::of(target.architecture()),
        layers,
        entrypoint: vec![format!("/{}", program.name)],
        user: USER.to_owned(),
        annotations: annotations(program.name),
    };
    let descriptor = layout.image(&image, tag)?;
    let manifest = std::fs::read(layout.blob(descriptor.digest())).context("failed to read the manifest")?;
    let manifest: ImageManifest = serde_json::from_slice(&manifest).context("the manifest is unreadable")?;
    let blobs = manifest.layers().iter().chain([manifest.config()]);
    Ok(Made {
        digest: descriptor.digest().to_string(),
        compressed: blobs.map(|blob| blob.size()).sum(),
        program: size,
    })
}

fn annotations(name: &str) -> BTreeMap<String, String> {
    let pairs = [("title", name), ("licenses", "Apache-2.0"), ("vendor", "KAITO")];
    let named = pairs.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()));
    named.into()
}

/// Builds the program from nothing in another place, and compares.
fn again(program: &ImageProgram, target: &build::Target, tag: &str, first: &Made) -> Result<()> {
    let elsewhere = repository::target().join("image-again");
    let executable = build::program(program.name, target, &elsewhere)?;
    let second = image(
        program,
        &executable,
        target,
        tag,
        &elsewhere.join("images").join(program.name),
    )?;
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

    #[test]
    fn the_same_program_is_the_same_image_wherever_it_lies() {
        let target = build::Target::named("x86_64-unknown-linux-musl");
        let made = [0o755, 0o700].map(|mode| {
            use std::os::unix::fs::PermissionsExt as _;
            let scratch = tempfile::tempdir().unwrap();
            let executable = scratch.path().join("program");
            std::fs::write(&executable, "machine code").unwrap();
            std::fs::set_permissions(&executable, std::fs::Permissions::from_mode(mode)).unwrap();
            let made = image(
                &PROGRAMS[0],
                &executable,
                &target,
                "latest",
                &scratch.path().join("image"),
            )
            .unwrap();
            (
                made,
                std::fs::read(scratch.path().join("image/index.json")).unwrap(),
            )
        });
        assert_eq!(made[0], made[1]);
        let scratch = tempfile::tempdir().unwrap();
        let executable = scratch.path().join("program");
        std::fs::write(&executable, "other code").unwrap();
        let other = image(
            &PROGRAMS[0],
            &executable,
            &target,
            "latest",
            &scratch.path().join("image"),
        )
        .unwrap();
        assert_ne!(made[0].0.digest, other.digest);
    }

    #[test]
    fn an_image_holds_one_program_and_no_shell() {
        let target = build::Target::named("aarch64-unknown-linux-musl");
        let scratch = tempfile::tempdir().unwrap();
        let executable = scratch.path().join("code");
        std::fs::write(&executable, "machine code").unwrap();
        let place = scratch.path().join("image");
        let made = image(&PROGRAMS[0], &executable, &target, "latest", &place).unwrap();
        let blob = |digest: &str| {
            std::fs::read(place.join("blobs/sha256").join(&digest["sha256:".len()..])).unwrap()
        };
        let manifest: ImageManifest = serde_json::from_slice(&blob(&made.digest)).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&blob(manifest.config().digest().as_ref())).unwrap();
        assert_eq!(config["architecture"], "arm64");
        assert_eq!(config["config"]["User"], USER);
        assert_eq!(config["config"]["Entrypoint"][0], "/workspace-controller");
        let root = tempfile::tempdir().unwrap();
        let limits = oci_image::Limits {
            entries: 100,
            bytes: MEBIBYTE,
        };
        let mut unpacker = oci_image::Unpacker::new(root.path(), None, limits);
        for layer in manifest.layers() {
            unpacker.apply(&blob(layer.digest().as_ref())[..]).unwrap();
        }
        assert_eq!(unpacker.files(), 2);
        assert_eq!(
            std::fs::read(root.path().join("workspace-controller")).unwrap(),
            b"machine code"
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
