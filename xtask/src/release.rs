//! `cargo xtask release`: everything that a user of one version installs, built here and pushed to a registry.
//!
//! Images and chart go to the registry; the plugin, SBOMs, the list of images and checksums go to a directory that a forge
//! attaches to the release. It must not publish anything of another version than the sources name.

mod archive;
mod krew;
mod sbom;
mod sign;
pub(crate) mod version;

pub(crate) use version::VERSION;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::image::{self, ImagePlace, Made, PROGRAMS, build};
use crate::repository;
use krew::PLUGIN;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Registry and path that get the images, and the chart below `charts`; `docker login` has the credentials
    #[arg(long, value_name = "REGISTRY", required_unless_present = "only_plugin")]
    to: Option<String>,
    /// Architectures of the images and of the plugin for Linux
    #[arg(long, value_delimiter = ',', value_name = "ARCH", default_values = ["amd64", "arm64"])]
    arch: Vec<String>,
    /// Build everything a second time, elsewhere, and fail if any digest differs
    #[arg(long)]
    verify: bool,
    /// Build the plugin for the systems that this machine has compilers for, and push nothing
    #[arg(long, conflicts_with_all = ["to", "sign_key", "sign_by_identity"])]
    only_plugin: bool,
    /// The registry has no TLS
    #[arg(long)]
    plain_http: bool,
    /// Directory with archives of the plugin that another machine built, to be released with those of this one
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "only_plugin")]
    add: Option<PathBuf>,
    /// URL below which the files of the release will lie; krew's manifest names it
    #[arg(long, value_name = "URL", conflicts_with = "only_plugin")]
    download_url: Option<String>,
    /// Key with which cosign signs images and chart; also a KMS reference
    #[arg(long, value_name = "KEY", conflicts_with = "sign_by_identity")]
    sign_key: Option<String>,
    /// Let cosign sign by the identity of the workflow that runs this
    #[arg(long)]
    sign_by_identity: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let notes = version::notes()?;
    let to = repository::target().join(format!("release-{VERSION}"));
    if to.exists() {
        fs::remove_dir_all(&to).with_context(|| format!("failed to remove {}", to.display()))?;
    }
    fs::create_dir_all(to.join("sbom")).with_context(|| format!("failed to create {}", to.display()))?;
    match &args.to {
        Some(place) => {
            fs::write(to.join("notes.md"), notes).context("failed to write notes.md")?;
            everything(args, place, VERSION, &to)?;
        }
        None => only_plugin(args, VERSION, &to)?,
    }
    println!("in {}:", repository::shown(&to));
    for name in archive::files(&to)? {
        println!("  {}", name.display());
    }
    Ok(())
}

fn everything(args: &Args, place: &str, version: &str, to: &Path) -> Result<()> {
    let signer = sign::Signer::of(args.sign_key.as_deref(), args.sign_by_identity)?;
    let targets = build::targets(&args.arch)?;
    let registry = ImagePlace::new(place, args.plain_http)?;
    for program in PROGRAMS {
        registry.check(program.name, version)?;
    }

    println!("kaito {version}: images");
    let mut references = Vec::new();
    for program in PROGRAMS {
        let layout = repository::target().join("images").join(program.name);
        let made = image::made(program, &targets, version, &repository::target(), &layout)?;
        image::show(program, &made)?;
        if args.verify {
            image::again(program, &targets, version, &made)?;
        }
        registry.image(&layout, program.name, version)?;
        references.push(reference(place, program.name, version, &made));
        sbom::write(program.name, &to.join("sbom"))?;
    }
    plugin(&targets, version, args.verify, to)?;

    println!("kaito {version}: chart");
    let chart = registry.chart(version)?;
    fs::copy(&chart.package, to.join(&chart.file_name)).context("failed to copy the chart")?;
    fs::write(to.join("images.txt"), references.join("\n") + "\n").context("failed to write images.txt")?;
    if let Some(from) = &args.add {
        archive::add(from, to)?;
    }
    if let Some(url) = &args.download_url {
        let manifest = krew::manifest(version, url, &archive::of_plugin(to)?)?;
        fs::write(to.join("krew.yaml"), manifest).context("failed to write krew.yaml")?;
    }
    archive::write_checksums(to, "SHA256SUMS")?;

    if let Some(signer) = signer {
        println!("kaito {version}: signatures");
        for name in references.iter().chain([&chart.reference]) {
            signer.sign(name)?;
        }
        signer.sign_file(&to.join("SHA256SUMS"))?;
    }
    registry.say_how_to_install(version, None);
    Ok(())
}

/// Builds what another machine could not build: a release has one such run on macOS.
fn only_plugin(args: &Args, version: &str, to: &Path) -> Result<()> {
    let linux = if cfg!(target_os = "linux") {
        build::targets(&args.arch)?
    } else {
        Vec::new()
    };
    plugin(&linux, version, args.verify, to)?;
    archive::write_checksums(to, &format!("SHA256SUMS-{}", std::env::consts::OS))
}

/// The image by name, version and digest.
fn reference(place: &str, name: &str, version: &str, made: &Made) -> String {
    format!("{}/{name}:{version}@{}", place.trim_end_matches('/'), made.digest)
}

/// Builds the plugin for each system whose compilers are here, and packs it.
fn plugin(linux: &[build::Target], version: &str, verify: bool, to: &Path) -> Result<()> {
    println!("kaito {version}: plugin");
    let (others, missing) = build::other_systems();
    for target in linux.iter().chain(&others) {
        let built = build::program(PLUGIN, target, &repository::target())?;
        let name = format!("{PLUGIN}-{version}-{}.tar.gz", target.platform());
        let archive = to.join(&name);
        archive::write(&archive, &packed(target, &built))?;
        println!("{name}");
        if verify {
            verify_plugin(target, &archive)?;
        }
    }
    for (platform, why) in missing {
        println!("{PLUGIN} for {platform} is left out: {why}");
    }
    sbom::write(PLUGIN, &to.join("sbom"))
}

/// Files of the plugin's archive: name, executable or not, and source.
fn packed(target: &build::Target, built: &Path) -> Vec<(String, bool, PathBuf)> {
    let executable = format!("{PLUGIN}{}", target.suffix());
    vec![
        (executable, true, built.to_owned()),
        ("LICENSE".to_owned(), false, repository::root().join("LICENSE")),
    ]
}

fn verify_plugin(target: &build::Target, first: &Path) -> Result<()> {
    let elsewhere = repository::target().join("image-again");
    let built = build::program(PLUGIN, target, &elsewhere)?;
    let second = elsewhere.join("plugin.tar.gz");
    archive::write(&second, &packed(target, &built))?;
    ensure!(
        archive::digest(first)? == archive::digest(&second)?,
        "a second build of {PLUGIN} for {} is another program",
        target.platform()
    );
    println!("a second build of {PLUGIN} for {} is the same", target.platform());
    Ok(())
}
