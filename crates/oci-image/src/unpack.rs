//! Applies layers to a directory.
//!
//! No archive writes, removes or links anything outside the directory. Names are checked first, no write goes through a link,
//! links cannot lead out, and devices are refused. Other processes must not write to the directory meanwhile.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tar::EntryType;

use crate::compression::decompressed;
use crate::error::{Error, Result};
use crate::inflation::Inflation;
use crate::path;
use crate::tarball::{Entry, Tarball};

/// Marks an entry of lower layers as removed.
const WHITEOUT: &[u8] = b".wh.";
/// Marks a directory whose entries of lower layers are removed.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Limits on everything that is unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// A directory to which layers are applied in order.
#[derive(Debug)]
pub struct Unpacker {
    root: PathBuf,
    below: Option<OsString>,
    left: Limits,
    files: u64,
    /// Paths of the current layer, since its whiteouts affect lower layers only.
    fresh: HashSet<PathBuf>,
}

impl Unpacker {
    /// Unpacks to `root`, an existing directory. With `below`, only the contents of the top directory of that name are unpacked,
    /// without that name.
    pub fn new(root: impl Into<PathBuf>, below: Option<&str>, limits: Limits) -> Self {
        Self {
            root: root.into(),
            below: below.map(OsString::from),
            left: limits,
            files: 0,
            fresh: HashSet::new(),
        }
    }

    /// Files and links unpacked so far.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Applies one layer, compressed or not, and reads its source to the end.
    ///
    /// # Errors
    /// The layer is damaged, hostile or too large, or the file system fails. The directory then holds a part of it.
    pub fn apply(&mut self, layer: impl Read) -> Result<()> {
        let inflation = Inflation::default();
        let applied = self.apply_within(layer, &inflation);
        applied.map_err(|error| inflation.explain(error))
    }

    fn apply_within(&mut self, layer: impl Read, inflation: &Inflation) -> Result<()> {
        self.fresh.clear();
        let mut layer = layer;
        {
            let reader = decompressed(inflation.compressed(&mut layer)).map_err(|source| Error::Io {
                doing: "read the layer".to_owned(),
                source,
            })?;
            let mut archive = Tarball::new(inflation.plain(reader));
            while let Some(entry) = archive.next()? {
                self.one(&entry, &mut archive)?;
            }
            // Padding may follow the end, and errors of the compression must not stay unread there.
            drain(&mut archive.into_inner())?;
        }
        drain(&mut layer)
    }

    fn one(&mut self, entry: &Entry, content: &mut impl Read) -> Result<()> {
        let parts = path::parts(&entry.name)?;
        let Some((last, parents)) = parts.split_last() else {
            return Ok(());
        };
        if let Some(hidden) = last.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(last, OsStr::from_bytes(hidden), parents);
        }
        let Some(relative) = self.inside(&parts) else {
            return Ok(());
        };
        if relative.as_os_str().is_empty() {
            return match kind(entry) {
                EntryType::Directory => Ok(()),
                _ => Err(Error::refused(&entry.name, "must be a directory")),
            };
        }
        self.count()?;
        self.make_parents(&entry.name, &relative)?;
        match kind(entry) {
            EntryType::Directory => self.directory(&relative)?,
            EntryType::Regular | EntryType::Continuous => self.file(entry, &relative, content)?,
            EntryType::Symlink => self.symlink(entry, &relative)?,
            EntryType::Link => self.hard_link(entry, &relative)?,
            _ => {
                return Err(Error::refused(
                    &entry.name,
                    "is neither a file, a directory nor a link",
                ));
            }
        }
        self.fresh.insert(relative);
        Ok(())
    }

    /// The path below the root; `None` for an entry that is not unpacked.
    fn inside(&self, parts: &[&OsStr]) -> Option<PathBuf> {
        match &self.below {
            None => Some(parts.iter().collect()),
            Some(below) => {
                let (first, rest) = parts.split_first()?;
                (first == below).then(|| rest.iter().collect())
            }
        }
    }

    fn count(&mut self) -> Result<()> {
        let too_many = || Error::TooLarge("more entries than are allowed".to_owned());
        self.left.entries = self.left.entries.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }

    /// Creates missing parent directories. Existing parents must be real directories.
    fn make_parents(&mut self, name: &[u8], relative: &Path) -> Result<()> {
        let mut at = PathBuf::new();
        for part in relative.parent().unwrap_or(Path::new("")) {
            at.push(part);
            let full = self.root.join(&at);
            match fs::symlink_metadata(&full) {
                Ok(there) if there.is_dir() => {}
                Ok(_) => return Err(Error::refused(name, "lies below a link or a file")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.count()?;
                    fs::create_dir(&full).map_err(Error::io("create", &full))?;
                    self.fresh.insert(at.clone());
                }
                Err(error) => return Err(Error::io("look at", &full)(error)),
            }
        }
        Ok(())
    }

    fn directory(&self, relative: &Path) -> Result<()> {
        let full = self.root.join(relative);
        if !fs::symlink_metadata(&full).is_ok_and(|there| there.is_dir()) {
            remove(&full)?;
            fs::create_dir(&full).map_err(Error::io("create", &full))?;
        }
        fs::set_permissions(&full, Permissions::from_mode(0o755)).map_err(Error::io("open", &full))
    }

    fn file(&mut self, entry: &Entry, relative: &Path, content: &mut impl Read) -> Result<()> {
        let too_large = || Error::TooLarge("more bytes than are allowed".to_owned());
        self.left.bytes = self.left.bytes.checked_sub(entry.size).ok_or_else(too_large)?;
        let full = self.root.join(relative);
        remove(&full)?;
        // Of the mode, only the execution bit of the owner is kept.
        let mode = if entry.executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&full)
            .map_err(Error::io("create", &full))?;
        let written =
            io::copy(&mut content.take(entry.size), &mut file).map_err(Error::io("write", &full))?;
        if written < entry.size {
            return Err(Error::Damaged("it ends inside a file".to_owned()));
        }
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(Error::io("open", &full))?;
        self.files += 1;
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, relative: &Path) -> Result<()> {
        let depth = relative.components().count().saturating_sub(1);
        let target = path::link_target(&entry.name, &entry.target, depth)?;
        let full = self.root.join(relative);
        remove(&full)?;
        symlink(&target, &full).map_err(Error::io("create", &full))?;
        self.files += 1;
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, relative: &Path) -> Result<()> {
        let missing = || Error::refused(&entry.name, "is a hard link to a missing file");
        let parts = path::parts(&entry.target)?;
        let target = self.inside(&parts).ok_or_else(missing)?;
        let mut at = self.root.clone();
        for part in target.parent().unwrap_or(Path::new("")) {
            at.push(part);
            if !fs::symlink_metadata(&at).is_ok_and(|there| there.is_dir()) {
                return Err(missing());
            }
        }
        let from = self.root.join(&target);
        if !fs::symlink_metadata(&from).is_ok_and(|there| there.is_file()) {
            return Err(missing());
        }
        if target != relative {
            let full = self.root.join(relative);
            remove(&full)?;
            fs::hard_link(&from, &full).map_err(Error::io("link", &full))?;
        }
        self.files += 1;
        Ok(())
    }

    fn whiteout(&self, marker: &OsStr, hidden: &OsStr, parents: &[&OsStr]) -> Result<()> {
        let opaque = marker.as_bytes() == OPAQUE;
        let mut parts = parents.to_vec();
        if !opaque {
            if hidden.is_empty() || hidden == "." || hidden == ".." {
                return Err(Error::refused(marker.as_bytes(), "hides nothing"));
            }
            parts.push(hidden);
        }
        let place = match (self.inside(&parts), &self.below) {
            (Some(place), _) => place,
            // A whiteout of the whole image removes the directory too.
            (None, Some(_)) if parts.is_empty() => PathBuf::new(),
            _ => return Ok(()),
        };
        if self.leads_through_link(&place) {
            return Ok(());
        }
        let keep_itself = opaque || place.as_os_str().is_empty();
        self.hide(&place, keep_itself).map(drop)
    }

    fn leads_through_link(&self, place: &Path) -> bool {
        let parents = place
            .ancestors()
            .skip(1)
            .filter(|path| !path.as_os_str().is_empty());
        let mut parents = parents.map(|parent| fs::symlink_metadata(self.root.join(parent)));
        parents.any(|there| !there.is_ok_and(|there| there.is_dir()))
    }

    /// Removes entries of lower layers. Returns true if any entry is left.
    fn hide(&self, place: &Path, keep_itself: bool) -> Result<bool> {
        let full = self.root.join(place);
        let Ok(there) = fs::symlink_metadata(&full) else {
            return Ok(false);
        };
        let mut left = self.fresh.contains(place);
        if there.is_dir() {
            for child in fs::read_dir(&full).map_err(Error::io("list", &full))? {
                let child = child.map_err(Error::io("list", &full))?;
                left |= self.hide(&place.join(child.file_name()), false)?;
            }
        }
        if !left && !keep_itself {
            remove(&full)?;
        }
        Ok(left)
    }
}

/// Reports whether an entry is a directory. Some old archives mark directories by their name only.
fn kind(entry: &Entry) -> EntryType {
    if entry.kind == EntryType::Regular && entry.name.ends_with(b"/") {
        return EntryType::Directory;
    }
    entry.kind
}

/// Removes an entry of any kind, without following links.
fn remove(full: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(full) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(full),
        Ok(_) => fs::remove_file(full),
        Err(_) => return Ok(()),
    };
    removed.map_err(Error::io("replace", full))
}

fn drain(source: &mut impl Read) -> Result<()> {
    match io::copy(source, &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Io {
            doing: "read the layer".to_owned(),
            source,
        }),
    }
}
