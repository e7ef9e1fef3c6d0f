//! Which files are the dataset.

use std::path::{Path, PathBuf};

use super::DataError;

/// Directories below each other that are looked into.
const DEPTH: usize = 8;
/// Files and directories that are looked at.
const ENTRIES: usize = 10_000;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Apache Parquet.
    Parquet,
    /// JSON objects, a line each or in an array.
    Json,
    /// Comma-separated values with a line of names.
    Csv,
}

impl Kind {
    /// As the user writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    /// By `dataset_extension`, or by what a file's name contains.
    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        [Self::Parquet, Self::Json, Self::Csv]
            .into_iter()
            .find(|kind| name.contains(kind.name()))
    }
}

/// A file of the dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is read.
    pub kind: Kind,
}

/// All files of the dataset, by name: those of the first of parquet, json and csv that are there.
///
/// A dataset often comes in several files, and beside small ones that describe it in another format.
///
/// # Errors
/// When there are none, or a directory cannot be read.
pub fn find(data: &Path, path: Option<&str>, extension: Option<&str>) -> Result<Vec<DataFile>, DataError> {
    let root = match path {
        None => data.to_owned(),
        Some(path) => below(data, path.trim_start_matches('/')),
    };
    let forced = extension.and_then(Kind::of);
    let mut files = Vec::new();
    if root.is_file() {
        files.push(root.clone());
    } else {
        let mut seen = 0;
        walk(&root, 0, &mut seen, &mut files)?;
    }
    files.sort();
    let kind = |path: &PathBuf| forced.or_else(|| Kind::of(&path.file_name()?.to_string_lossy()));
    let mut known: Vec<DataFile> = files
        .into_iter()
        .filter_map(|path| {
            Some(DataFile {
                kind: kind(&path)?,
                path,
            })
        })
        .collect();
    let first = known.iter().map(|file| file.kind).min();
    known.retain(|file| Some(file.kind) == first);
    if known.is_empty() {
        return Err(DataError::NoFile { path: root });
    }
    Ok(known)
}

/// A path is below the data's directory, or beside it as upstream has it (`/mnt/<path>`).
fn below(data: &Path, path: &str) -> PathBuf {
    let inside = data.join(path);
    let beside = data.parent().map(|parent| parent.join(path));
    match beside {
        Some(beside) if !inside.exists() && beside.exists() => beside,
        _ => inside,
    }
}

fn walk(dir: &Path, depth: usize, seen: &mut usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let failed = |source| DataError::Io {
        path: dir.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        *seen += 1;
        // Names with a dot are what tools keep beside data: links of volumes, unfinished downloads.
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden || *seen > ENTRIES {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH {
                walk(&path, depth + 1, seen, files)?;
            }
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_the_best_kind_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join("train")).unwrap();
        for name in [
            "data/train/b.parquet",
            "data/train/a.Parquet",
            "data/info.json",
            "data/.x.parquet",
            "data/readme.md",
            "other.csv",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |path, extension| -> Vec<String> {
            let files = find(&data, path, extension).unwrap();
            files
                .iter()
                .map(|file| file.path.strip_prefix(dir.path()).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(
            names(None, None),
            ["data/train/a.Parquet", "data/train/b.parquet"]
        );
        assert_eq!(names(Some("info.json"), None), ["data/info.json"]);
        assert_eq!(names(Some("data/train"), None).len(), 2);
        assert_eq!(names(Some("other.csv"), None), ["other.csv"]);
        assert_eq!(names(Some("readme.md"), Some("jsonl")), ["data/readme.md"]);
        assert!(matches!(
            find(&data, Some("readme.md"), None),
            Err(DataError::NoFile { .. })
        ));
        assert!(matches!(
            find(&data, Some("nothing"), None),
            Err(DataError::Io { .. })
        ));
    }
}
