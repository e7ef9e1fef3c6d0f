//! Adds a directory of the file system to a layer, in name order.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layer::LayerWriter;

/// Adds the entries below `from` to the layer as `to`, if `wanted` returns true for the path relative to `from`.
///
/// Links to files inside `from` become files. Links elsewhere, sockets and devices are left out; their relative paths are
/// returned.
///
/// # Errors
/// An entry cannot be read, or the layer cannot be written.
pub fn add_tree<W: Write>(
    layer: &mut LayerWriter<W>,
    from: &Path,
    to: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>> {
    let root = from.canonicalize().map_err(Error::io("open", from))?;
    let mut left_out = Vec::new();
    layer.directory(to, 0o755)?;
    let mut walk = Walk {
        root: &root,
        to,
        wanted,
        left_out: &mut left_out,
    };
    walk.directory(layer, Path::new(""))?;
    Ok(left_out)
}

struct Walk<'a> {
    root: &'a Path,
    to: &'a Path,
    wanted: &'a dyn Fn(&Path) -> bool,
    left_out: &'a mut Vec<PathBuf>,
}

impl Walk<'_> {
    fn directory<W: Write>(&mut self, layer: &mut LayerWriter<W>, relative: &Path) -> Result<()> {
        let full = self.root.join(relative);
        let entries = fs::read_dir(&full).map_err(Error::io("list", &full))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(Error::io("list", &full))?;
        names.sort();
        for name in names {
            let relative = relative.join(name);
            if (self.wanted)(&relative) {
                self.entry(layer, &relative)?;
            }
        }
        Ok(())
    }

    fn entry<W: Write>(&mut self, layer: &mut LayerWriter<W>, relative: &Path) -> Result<()> {
        let full = self.root.join(relative);
        let kind = fs::symlink_metadata(&full)
            .map_err(Error::io("look at", &full))?
            .file_type();
        if kind.is_dir() {
            layer.directory(self.to.join(relative), 0o755)?;
            return self.directory(layer, relative);
        }
        let inside = || {
            full.canonicalize()
                .is_ok_and(|target| target.starts_with(self.root) && target.is_file())
        };
        if kind.is_file() || (kind.is_symlink() && inside()) {
            let file = File::open(&full).map_err(Error::io("open", &full))?;
            let there = file.metadata().map_err(Error::io("look at", &full))?;
            let executable = there.permissions().mode() & 0o111 != 0;
            return layer.file(self.to.join(relative), executable, there.len(), file);
        }
        self.left_out.push(relative.to_owned());
        Ok(())
    }
}
