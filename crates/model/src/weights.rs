//! Tensors of a model directory: one safetensors file, or shards and their index.
//!
//! Headers are checked first, and tensors are read one by one with positioned reads. Files are not mapped: each weight is converted
//! anyway, and a mapped file that is truncated meanwhile kills the process.

mod shard;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use shard::Shard;
pub use shard::Tensor;

use crate::error::{Error, Result};
use crate::read;

/// Largest `model.safetensors.index.json`, in bytes.
const INDEX_BYTES: u64 = 64 << 20;
/// Most shards of a model.
const SHARDS: usize = 1024;

/// All tensors of a directory, by name.
#[derive(Debug)]
pub struct TensorStore {
    dir: PathBuf,
    shards: Vec<Shard>,
    place: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl TensorStore {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    ///
    /// # Errors
    /// When files are missing, truncated or malformed, or a shard lies outside the directory.
    pub fn open(dir: &Path) -> Result<Self> {
        let index_path = dir.join("model.safetensors.index.json");
        let files = if index_path.exists() {
            shard_names(&index_path)?
        } else {
            vec!["model.safetensors".to_owned()]
        };
        Self::of_files(dir, &files)
    }

    /// Opens exactly one file.
    pub(crate) fn of_file(dir: &Path, file: &str) -> Result<Self> {
        Self::of_files(dir, &[file.to_owned()])
    }

    fn of_files(dir: &Path, files: &[String]) -> Result<Self> {
        let shards: Vec<Shard> = files
            .iter()
            .map(|file| Shard::open(&dir.join(file)))
            .collect::<Result<_>>()?;
        let mut place = HashMap::new();
        for (index, shard) in shards.iter().enumerate() {
            place.extend(shard.names().map(|name| (name, index)));
        }
        Ok(Self {
            dir: dir.to_owned(),
            shards,
            place,
        })
    }

    /// Directory of the files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of all tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.place.keys().map(String::as_str)
    }

    /// Reports whether the tensor exists.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.place.contains_key(name)
    }

    /// Bytes of all tensors in files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// Reports whether the tensor has more digits than bfloat16.
    #[must_use]
    pub fn is_wide(&self, name: &str) -> bool {
        self.place
            .get(name)
            .is_some_and(|shard| self.shards[*shard].is_wide(name))
    }

    /// Shape of a tensor.
    ///
    /// # Errors
    /// When the tensor does not exist.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        self.shard(name)?.shape(name)
    }

    /// Reads a tensor, whatever its shape.
    ///
    /// # Errors
    /// When the tensor does not exist or has an unknown type, or reading fails.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        self.shard(name)?.read(name)
    }

    /// Reads a tensor that must have this shape.
    ///
    /// # Errors
    /// As [`TensorStore::read`], and when the shape differs.
    pub fn read_shaped(&self, name: &str, expected: &[usize]) -> Result<Tensor> {
        self.check(name, expected)?;
        self.read(name)
    }

    /// Checks the shape of a tensor before memory is allocated.
    pub(crate) fn check(&self, name: &str, expected: &[usize]) -> Result<()> {
        let found = self.shape(name)?;
        if found != expected {
            return Err(Error::Shape {
                name: name.to_owned(),
                expected: expected.to_vec(),
                found,
            });
        }
        Ok(())
    }

    fn shard(&self, name: &str) -> Result<&Shard> {
        let missing = || Error::MissingTensor {
            name: name.to_owned(),
        };
        self.place
            .get(name)
            .map(|shard| &self.shards[*shard])
            .ok_or_else(missing)
    }
}

fn shard_names(index_path: &Path) -> Result<Vec<String>> {
    let index: Index = read::json(index_path, INDEX_BYTES)?;
    let mut files: Vec<String> = index.weight_map.into_values().collect();
    files.sort();
    files.dedup();
    if files.is_empty() || files.len() > SHARDS {
        return Err(Error::file(
            index_path,
            format!("must name 1 to {SHARDS} shards, got {}", files.len()),
        ));
    }
    let is_plain =
        |file: &String| !file.contains('/') && !file.contains('\\') && file.ends_with(".safetensors");
    match files.iter().find(|file| !is_plain(file)) {
        Some(odd) => Err(Error::file(
            index_path,
            format!("`{odd}` must be a safetensors file of this directory"),
        )),
        None => Ok(files),
    }
}
