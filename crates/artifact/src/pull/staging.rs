//! A hidden directory in the target, for bytes whose digest is not checked yet.

use std::path::{Path, PathBuf};

use egress::Chain;

use crate::error::{Error, Result};
use crate::progress::say;

/// The hidden directory of blobs that may be incomplete. `kept` fills it.
pub(super) const PARTIAL: &str = ".artifact-partial";

/// The hidden directory. It is removed on drop.
#[derive(Debug)]
pub(super) struct Staging(PathBuf);

impl Staging {
    /// Creates an empty one inside the target, since files can be moved only within a file system.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub(super) fn create(target: &Path) -> Result<Self> {
        let place = target.join(".artifact-staging");
        remove(&place)?;
        std::fs::create_dir(&place).map_err(Error::local("create", &place))?;
        Ok(Self(place))
    }

    /// The path to unpack to.
    pub(super) fn place(&self) -> &Path {
        &self.0
    }

    /// Moves everything to the target and replaces entries of the same name.
    ///
    /// # Errors
    /// An entry cannot be moved.
    pub(super) fn publish(self, target: &Path) -> Result<()> {
        for entry in std::fs::read_dir(&self.0).map_err(Error::local("list", &self.0))? {
            let entry = entry.map_err(Error::local("list", &self.0))?;
            let place = target.join(entry.file_name());
            if place == self.0 || entry.file_name() == PARTIAL {
                return Err(Error::Payload {
                    payload: "the payload".to_owned(),
                    problem: format!("must not hold {}, a name that this program uses", place.display()),
                });
            }
            if place.is_dir() || entry.path().is_dir() {
                remove(&place)?;
            }
            std::fs::rename(entry.path(), &place).map_err(Error::local("move a file to", &place))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            say(&Chain(&error).to_string());
        }
    }
}

pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.map_err(Error::local("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_replaces_what_was_there() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path();
        std::fs::create_dir_all(target.join("a/old")).unwrap();
        std::fs::write(target.join("b"), "old").unwrap();
        let staging = Staging::create(target).unwrap();
        std::fs::write(staging.0.join("a"), "new").unwrap();
        std::fs::create_dir(staging.0.join("b")).unwrap();
        std::fs::write(staging.0.join("c"), "new").unwrap();
        let place = staging.0.clone();
        staging.publish(target).unwrap();
        assert!(target.join("a").is_file() && target.join("b").is_dir() && target.join("c").is_file());
        assert!(!place.exists());
    }
}
