//! Blobs as they arrived, kept until the payload is published, so that a restarted container fetches only the rest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use oci_image::Descriptor;

use super::blobs::{Blob, total};
use super::staging::{PARTIAL, remove};
use crate::error::{Error, Result};

/// Smaller blobs are fetched again instead.
const SMALLEST: u64 = 1 << 20;
/// Room that the disk must have, in sizes of the image: its blobs, the unpacked payload, and as much for the other pods.
const ROOM: u64 = 3;

/// The kept blobs, or none if the disk is too small for them.
#[derive(Debug)]
pub(super) struct Kept(Option<PathBuf>);

impl Kept {
    /// Opens the directory in the target and removes what belongs to another image.
    ///
    /// # Errors
    /// The file system fails.
    pub(super) fn open(target: &Path, blobs: &[Blob]) -> Result<Self> {
        let place = target.join(PARTIAL);
        let wanted: BTreeSet<&str> = blobs
            .iter()
            .map(|blob| blob.descriptor.digest().digest())
            .collect();
        let is_large = blobs.iter().any(|blob| blob.descriptor.size() >= SMALLEST);
        if !is_large || !has_room(target, total(blobs))? {
            remove(&place)?;
            return Ok(Self(None));
        }
        std::fs::create_dir_all(&place).map_err(Error::local("create", &place))?;
        for entry in std::fs::read_dir(&place).map_err(Error::local("list", &place))? {
            let entry = entry.map_err(Error::local("list", &place))?;
            let is_wanted = entry
                .file_name()
                .to_str()
                .is_some_and(|name| wanted.contains(name));
            if !is_wanted {
                remove(&entry.path())?;
            }
        }
        Ok(Self(Some(place)))
    }

    /// The file for a blob.
    pub(super) fn file(&self, descriptor: &Descriptor) -> Option<PathBuf> {
        let place = self.0.as_ref().filter(|_| descriptor.size() >= SMALLEST)?;
        Some(place.join(descriptor.digest().digest()))
    }

    /// Removes everything.
    ///
    /// # Errors
    /// The file system fails.
    pub(super) fn remove(self) -> Result<()> {
        self.0.map_or(Ok(()), |place| remove(&place))
    }
}

fn has_room(target: &Path, size: u64) -> Result<bool> {
    let disk = rustix::fs::statvfs(target)
        .map_err(|error| Error::local("look at the disk of", target)(error.into()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >= size.saturating_mul(ROOM))
}
