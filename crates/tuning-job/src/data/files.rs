//! The files of a dataset.

use std::path::{Path, PathBuf};

use super::error::DataError;

/// Deepest nesting of directories.
const DEPTH: usize = 8;
/// Most files and directories.
const ENTRIES: usize = 10_000;

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// JSON objects, a line each or in an array.
    Json,
    /// Comma-separated values with a line of names.
    Csv,
}

impl FileFormat {
    /// Name in configurations and file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    /// Returns the format that occurs in a `dataset_extension` or a file name.
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
    /// Path of the file.
    pub path: PathBuf,
    /// Format of the file.
    pub format: FileFormat,
}

/// Returns all files of the dataset, by name: those of the first existing format of parquet, json and csv.
///
/// A dataset often has several files, and small files in another format that describe it.
///
/// # Errors
/// When there are none, or a directory cannot be read.
pub fn find_files(
    data: &Path,
    path: Option<&str>,
    extension: Option<&str>,
) -> Result<Vec<DataFile>, DataError> {
    let root = match path {
        None => data.to_owned(),
        Some(path) => below(data, path.trim_start_matches('/')),
    };
    let forced = extension.and_then(FileFormat::of);
    let mut files = Vec::new();
    if root.is_file() {
        files.push(root.clone());
    } else {
        let mut seen = 0;
        walk(&root, 0, &mut seen, &mut files)?;
    }
    files.sort();
    let format = |path: &PathBuf| forced.or_else(|| FileFormat::of(&path.file_name()?.to_string_lossy()));
    let mut known: Vec<DataFile> = files
        .into_iter()
        .filter_map(|path| {
            Some(DataFile {
                format: format(&path)?,
                path,
            })
        })
        .collect();
    let first = known.iter().map(|file| file.format).min();
    known.retain(|file| Some(file.format) == first);
    if known.is_empty() {
        return Err(DataError::NoFile { path: root });
    }
    Ok(known)
}

/// Returns a path below the data's directory, or beside it as in upstream (`/mnt/<path>`).
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
        // Tools keep names with a dot beside data: links of volumes, unfinished downloads.
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
    fn all_files_of_the_best_format_are_found() {
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
            let files = find_files(&data, path, extension).unwrap();
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
            find_files(&data, Some("readme.md"), None),
            Err(DataError::NoFile { .. })
        ));
        assert!(matches!(
            find_files(&data, Some("nothing"), None),
            Err(DataError::Io { .. })
        ));
    }
}
