//! Archives and checksums. The same files give the same bytes, whenever and wherever they are packed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

use super::krew::PluginArchive;

/// Packs files into a `.tar.gz`: each a name, whether it is executable, and its source.
pub(super) fn write(to: &Path, files: &[(String, bool, PathBuf)]) -> Result<()> {
    let file = File::create(to).with_context(|| format!("failed to create {}", to.display()))?;
    // Without the time that gzip writes otherwise.
    let gzip = GzBuilder::new().mtime(0).write(file, Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for (name, is_executable, from) in files {
        let content = fs::read(from).with_context(|| format!("failed to read {}", from.display()))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(content.len())?);
        header.set_mode(if *is_executable { 0o755 } else { 0o644 });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, content.as_slice())
            .with_context(|| format!("failed to pack {name}"))?;
    }
    tar.into_inner()?.finish()?.flush()?;
    Ok(())
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn digest(file: &Path) -> Result<String> {
    let content = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    let mut text = String::new();
    for byte in Sha256::digest(content) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Copies the archives in a directory to another.
pub(super) fn add(from: &Path, to: &Path) -> Result<()> {
    for name in files(from)? {
        if is_archive(&name) {
            let target = to.join(name.file_name().context("an archive must have a name")?);
            fs::copy(from.join(&name), &target)
                .with_context(|| format!("failed to copy {}", name.display()))?;
        }
    }
    Ok(())
}

/// The archives of the plugin in a directory.
pub(super) fn of_plugin(directory: &Path) -> Result<Vec<PluginArchive>> {
    let archives = files(directory)?.into_iter().filter(|name| is_archive(name));
    archives
        .map(|name| {
            Ok(PluginArchive {
                sha256: digest(&directory.join(&name))?,
                file: name.display().to_string(),
            })
        })
        .collect()
}

fn is_archive(name: &Path) -> bool {
    name.to_string_lossy().ends_with(".tar.gz")
}

/// Writes the checksums of all files below a directory to a file in it, as `sha256sum --check` reads them.
pub(super) fn write_checksums(directory: &Path, name: &str) -> Result<()> {
    let mut text = String::new();
    for file in files(directory)? {
        writeln!(text, "{}  {}", digest(&directory.join(&file))?, file.display())?;
    }
    fs::write(directory.join(name), text).context("failed to write the checksums")
}

/// Files below a directory, by their paths in it, sorted.
pub(super) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("failed to list {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(directory)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_same_files_are_the_same_archive() {
        let scratch = tempfile::tempdir().unwrap();
        let [first, second] = ["a", "b"].map(|name| {
            let from = scratch.path().join(name);
            fs::write(&from, "code").unwrap();
            let archive = scratch.path().join(format!("{name}.tar.gz"));
            write(&archive, &[("program".into(), true, from)]).unwrap();
            digest(&archive).unwrap()
        });
        assert_eq!(first, second);
        let listed = Command::new("tar")
            .args(["-tvzf"])
            .arg(scratch.path().join("a.tar.gz"))
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(
            listed.starts_with("-rwxr-xr-x") && listed.contains(" program"),
            "{listed}"
        );
    }

    #[test]
    fn checksums_are_those_that_sha256sum_finds() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("sbom")).unwrap();
        fs::write(scratch.path().join("sbom/a.json"), "{}").unwrap();
        fs::write(scratch.path().join("images.txt"), "an image").unwrap();
        write_checksums(scratch.path(), "SHA256SUMS").unwrap();
        let checked = Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(scratch.path())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
        let said = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}
