//! One consistent read of a directory of YAML files, such as a mounted ConfigMap.
//!
//! Checks only size and encoding. A mounted ConfigMap is a directory of links through `..data`, which is replaced as a
//! whole. A read never mixes two versions.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Most bytes of a file: the size of a ConfigMap.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most bytes of all files: about 16,000 presets, which take some 140 MB of memory.
const MAX_TOTAL_BYTES: u64 = 2 << 20;
const MAX_FILES: usize = 1000;
/// Attempts at a read without a replacement of the directory.
const ATTEMPTS: usize = 5;
/// The link that the kubelet replaces.
const DATA: &str = "..data";

/// The texts of the files by name, or the error of a file.
pub type DirectoryTexts = BTreeMap<String, Result<String, String>>;

/// Reads all files whose names end in `.yaml` or `.yml`. Hidden files and subdirectories are left out.
///
/// # Errors
/// The directory cannot be read, is too large, or keeps changing.
pub fn read_directory(directory: &Path) -> io::Result<DirectoryTexts> {
    for _ in 0..ATTEMPTS {
        let before = target(directory);
        let texts = read_once(before.as_deref().unwrap_or(directory));
        if target(directory) == before {
            return texts;
        }
    }
    Err(io::Error::other("it changes faster than it can be read"))
}

/// The target of `..data`, if there is one.
fn target(directory: &Path) -> Option<PathBuf> {
    fs::canonicalize(directory.join(DATA)).ok()
}

fn read_once(directory: &Path) -> io::Result<DirectoryTexts> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        if is_yaml && !name.starts_with('.') {
            names.push(name);
        }
        if names.len() > MAX_FILES {
            return Err(io::Error::other(format!("it holds more than {MAX_FILES} files")));
        }
    }
    names.sort();
    let (mut texts, mut total) = (DirectoryTexts::new(), 0);
    for name in names {
        let text = read_file(&directory.join(&name)).map_err(|error| error.to_string());
        total += text.as_ref().map_or(0, |text| text.len() as u64);
        if total > MAX_TOTAL_BYTES {
            return Err(io::Error::other(format!(
                "its files have more than {} MiB together",
                MAX_TOTAL_BYTES >> 20
            )));
        }
        texts.insert(name, text);
    }
    Ok(texts)
}

fn read_file(path: &Path) -> io::Result<String> {
    // Checked first: opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            MAX_FILE_BYTES >> 20
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_read_and_what_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("b.yaml"), "b").unwrap();
        fs::write(path("a.yml"), "a").unwrap();
        fs::write(path("notes.txt"), "").unwrap();
        fs::write(path(".hidden.yaml"), "").unwrap();
        fs::write(path("latin.yaml"), b"\xe9").unwrap();
        fs::write(path("large.yaml"), " ".repeat(MAX_FILE_BYTES as usize + 1)).unwrap();
        fs::create_dir(path("directory.yaml")).unwrap();
        symlink("nowhere", path("dangling.yaml")).unwrap();
        let texts = read_directory(directory.path()).unwrap();
        let names: Vec<_> = texts.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "a.yml",
                "b.yaml",
                "dangling.yaml",
                "directory.yaml",
                "large.yaml",
                "latin.yaml"
            ]
        );
        assert_eq!(texts["a.yml"].as_deref(), Ok("a"));
        assert_eq!(texts.values().filter(|text| text.is_err()).count(), 4);
    }

    #[test]
    fn too_much_and_nothing_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read_directory(&directory.path().join("missing")).is_err());
        for index in 0..5 {
            let name = format!("{index}.yaml");
            fs::write(directory.path().join(name), " ".repeat(MAX_FILE_BYTES as usize)).unwrap();
        }
        assert!(
            read_directory(directory.path())
                .unwrap_err()
                .to_string()
                .contains("2 MiB together")
        );
    }

    #[test]
    fn a_mounted_config_map_is_read_through_its_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("a.yaml"), text).unwrap();
        }
        symlink("..1", path(DATA)).unwrap();
        symlink("..data/a.yaml", path("a.yaml")).unwrap();
        assert_eq!(
            read_directory(directory.path()).unwrap()["a.yaml"].as_deref(),
            Ok("one")
        );
        symlink("..2", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path(DATA)).unwrap();
        assert_eq!(
            read_directory(directory.path()).unwrap()["a.yaml"].as_deref(),
            Ok("two")
        );
    }
}
