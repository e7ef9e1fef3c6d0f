//! Builds a program statically. Its bytes do not depend on the machine that built it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::programs::PROGRAMS;
use crate::repository;

/// Architectures as images name them, and as Rust does.
const ARCHITECTURES: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "aarch64")];

/// The platform of a build.
#[derive(Debug)]
pub(crate) struct Target {
    system: System,
    architecture: &'static str,
    triple: String,
    /// The C compiler and linker, unless cargo finds them by itself.
    compiler: Option<String>,
}

/// The operating system of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Linux,
    MacOs,
    Windows,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::MacOs => "darwin",
            Self::Windows => "windows",
        }
    }
}

/// A platform for which nothing is built here, and why.
pub(crate) type LeftOut = (String, String);

/// The targets of a client's other systems whose compilers are here, and those that are left out.
pub(crate) fn other_systems() -> (Vec<Target>, Vec<LeftOut>) {
    let all = [
        (System::MacOs, "aarch64"),
        (System::MacOs, "x86_64"),
        (System::Windows, "x86_64"),
    ];
    let mut found = Vec::new();
    let mut left_out = Vec::new();
    for (system, architecture) in all {
        match Target::of_other(system, architecture) {
            Ok(target) => found.push(target),
            Err(error) => left_out.push((format!("{}-{architecture}", system.name()), error.to_string())),
        }
    }
    (found, left_out)
}

/// The targets of these architectures, once all that they need is there. This machine's, if none is named.
pub(crate) fn targets(architectures: &[String]) -> Result<Vec<Target>> {
    let here = |(_, rust): &&(&str, &str)| *rust == std::env::consts::ARCH;
    if architectures.is_empty() {
        let (name, _) = ARCHITECTURES
            .iter()
            .find(here)
            .with_context(|| format!("no image is built on {}: name an --arch", std::env::consts::ARCH))?;
        return Ok(vec![Target::new(name)?]);
    }
    architectures.iter().map(|name| Target::new(name)).collect()
}

impl Target {
    fn new(name: &str) -> Result<Self> {
        let known = ARCHITECTURES.iter().find(|(known, _)| *known == name);
        let (_, architecture) =
            known.with_context(|| format!("--arch must be amd64 or arm64, not {name}"))?;
        let mut target = Self {
            system: System::Linux,
            architecture,
            triple: format!("{architecture}-unknown-linux-musl"),
            compiler: None,
        };
        target.ensure_library()?;
        target.compiler = target.find_compiler()?;
        Ok(target)
    }

    /// Rust's name of the architecture.
    pub(crate) fn architecture(&self) -> &str {
        self.architecture
    }

    /// A target of another system than Linux, if its compiler is here.
    fn of_other(system: System, architecture: &'static str) -> Result<Self> {
        let (triple, compiler) = match system {
            System::Windows => (
                format!("{architecture}-pc-windows-gnu"),
                Some(format!("{architecture}-w64-mingw32-gcc")),
            ),
            System::MacOs | System::Linux => (format!("{architecture}-apple-darwin"), None),
        };
        match &compiler {
            Some(compiler) => ensure!(runs(compiler), "there is no {compiler}"),
            None => ensure!(cfg!(target_os = "macos"), "it is built on macOS only"),
        }
        let target = Self {
            system,
            architecture,
            triple,
            compiler,
        };
        target.ensure_library()?;
        Ok(target)
    }

    /// System and architecture, as names of releases spell them.
    pub(crate) fn platform(&self) -> String {
        let known = ARCHITECTURES.iter().find(|(_, rust)| *rust == self.architecture);
        let architecture = known.map_or(self.architecture, |(name, _)| name);
        format!("{}-{architecture}", self.system.name())
    }

    /// Suffix of the names of executables.
    pub(crate) fn suffix(&self) -> &'static str {
        match self.system {
            System::Windows => ".exe",
            System::Linux | System::MacOs => "",
        }
    }

    /// Rust's standard library for the target; asked of rustup if it is missing.
    fn ensure_library(&self) -> Result<()> {
        let output = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", &self.triple])
            .current_dir(repository::root())
            .output()
            .context("failed to run rustc")?;
        let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(output.status.success(), "rustc knows no target {}", self.triple);
        if Path::new(&directory).is_dir() {
            return Ok(());
        }
        let added = Command::new("rustup")
            .args(["target", "add", &self.triple])
            .current_dir(repository::root())
            .status();
        ensure!(
            added.is_ok_and(|status| status.success()),
            "there is no standard library for {0}: rustup target add {0}",
            self.triple
        );
        Ok(())
    }

    /// Finds a C compiler: parts of the cryptography and of decompression are in C. None if cargo finds it.
    ///
    /// For another architecture than this machine's, a compiler for its glibc will do, and links, too: the C parts use
    /// no more of the library than what is alike in both, and Rust brings musl along.
    fn find_compiler(&self) -> Result<Option<String>> {
        let variable = self.variable("CC");
        if std::env::var_os(&variable).is_some() {
            return Ok(None);
        }
        let musl = format!("{}-linux-musl-gcc", self.architecture);
        if self.architecture == std::env::consts::ARCH {
            ensure!(
                runs("musl-gcc") || runs(&musl),
                "there is no C compiler for {}: apt-get install musl-tools, or set {variable}",
                self.triple
            );
            return Ok(None);
        }
        let gnu = format!("{}-linux-gnu-gcc", self.architecture);
        match [musl, gnu].into_iter().find(|name| runs(name)) {
            Some(compiler) => Ok(Some(compiler)),
            None => bail!(
                "there is no C compiler for {}: apt-get install gcc-{}-linux-gnu, or set {variable}",
                self.triple,
                self.architecture.replace('_', "-")
            ),
        }
    }

    /// The variable of this target for a tool of cargo's C builds.
    fn variable(&self, tool: &str) -> String {
        format!("{tool}_{}", self.triple.replace('-', "_"))
    }
}

fn runs(program: &str) -> bool {
    let mut version = Command::new(program);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Builds one program and gives its path.
///
/// Its features are those of all programs that have images, whichever are built. So what several programs share is compiled
/// once, and a program does not depend on what else was asked for.
pub(crate) fn program(name: &str, target: &Target, directory: &Path) -> Result<PathBuf> {
    let mut cargo = repository::cargo();
    if let Some(compiler) = &target.compiler {
        let linker = format!("CARGO_TARGET_{}_LINKER", target.triple.replace('-', "_"));
        cargo
            .env(target.variable("CC"), compiler)
            .env(linker.to_uppercase(), compiler);
    }
    let status = cargo
        .args(["build", "--profile", "dist", "--locked", "--bin", name])
        .args(packages(name, target.system))
        .args(["--target", &target.triple])
        .env("CARGO_TARGET_DIR", directory)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(target.system)?.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .status()
        .context("failed to run cargo")?;
    ensure!(
        status.success(),
        "cargo could not build {name}: it ended with {status}"
    );
    Ok(directory
        .join(&target.triple)
        .join("dist")
        .join(format!("{name}{}", target.suffix())))
}

/// Arguments that select the packages whose features are united. Other systems than Linux get the client alone: the rest does
/// not compile for them.
fn packages(name: &str, system: System) -> Vec<String> {
    let all = PROGRAMS.iter().map(|program| program.name);
    let selected: Vec<&str> = match system {
        System::Linux => all.collect(),
        System::MacOs | System::Windows => vec![name],
    };
    selected
        .iter()
        .map(|package| format!("--package={package}"))
        .collect()
}

/// Takes the places of this machine out of the program, and its symbols, which are half of its size.
fn flags(system: System) -> Result<Vec<String>> {
    let cargo = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()
            .context("there is no home directory")?
            .join(".cargo"),
    };
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let own: &[&str] = match system {
        System::Linux => &["-Ctarget-feature=+crt-static", "-Clink-arg=-Wl,--build-id=none"],
        System::Windows => &[
            "-Ctarget-feature=+crt-static",
            "-Clink-arg=-Wl,--no-insert-timestamp",
        ],
        System::MacOs => &[],
    };
    let mut all = vec![
        remap(repository::root(), "/kaito"),
        remap(&cargo, "/cargo"),
        "-Cstrip=symbols".to_owned(),
    ];
    all.extend(own.iter().map(|flag| (*flag).to_owned()));
    Ok(all)
}
