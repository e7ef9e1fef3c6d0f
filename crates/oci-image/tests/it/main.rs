//! Packing and unpacking through the crate's own doors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should end")]

mod hostile;
mod round_trip;
mod unpacking;

use std::io::Write as _;
use std::path::Path;

use oci_image::{Limits, Unpacker};
use tar::{Builder, EntryType, Header};

/// Enough for every test that is not about limits.
const LIMITS: Limits = Limits {
    entries: 10_000,
    bytes: 1 << 24,
};

/// An entry of an archive made for a test, with no regard for what is sensible.
#[derive(Clone, Debug)]
struct Raw {
    name: Vec<u8>,
    kind: EntryType,
    target: Vec<u8>,
    content: Vec<u8>,
}

fn raw(name: &str, kind: EntryType, target: &str, content: &[u8]) -> Raw {
    Raw {
        name: name.as_bytes().to_vec(),
        kind,
        target: target.as_bytes().to_vec(),
        content: content.to_vec(),
    }
}

fn file(name: &str, content: &str) -> Raw {
    raw(name, EntryType::Regular, "", content.as_bytes())
}

fn dir(name: &str) -> Raw {
    raw(name, EntryType::Directory, "", b"")
}

fn link(name: &str, target: &str) -> Raw {
    raw(name, EntryType::Symlink, target, b"")
}

/// The archive; names are put in as they are, where the library's own functions would refuse them.
fn archive(entries: &[Raw]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry.kind);
        header.set_mode(0o644);
        header.set_size(entry.content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        fill(&mut gnu.name, &entry.name);
        fill(&mut gnu.linkname, &entry.target);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&entry.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn fill(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len() - 1);
    field[..length].copy_from_slice(&text[..length]);
}

/// The contents of a directory: a line for each entry, in order.
fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    walk(root, root, &mut lines);
    lines.sort();
    lines
}

fn walk(root: &Path, at: &Path, lines: &mut Vec<String>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let there = path.symlink_metadata().unwrap();
        if there.is_symlink() {
            lines.push(format!("{name} -> {}", path.read_link().unwrap().display()));
        } else if there.is_dir() {
            lines.push(format!("{name}/"));
            walk(root, &path, lines);
        } else {
            let content = std::fs::read(&path).unwrap();
            lines.push(format!("{name} = {}", String::from_utf8_lossy(&content)));
        }
    }
}

/// Applies the layers to a new directory and lists it.
fn unpack(below: Option<&str>, layers: &[&[Raw]]) -> Result<Vec<String>, String> {
    let scratch = tempfile::tempdir().unwrap();
    let mut unpacker = Unpacker::new(scratch.path(), below, LIMITS);
    for layer in layers {
        unpacker
            .apply(&archive(layer)[..])
            .map_err(|error| error.to_string())?;
    }
    Ok(listing(scratch.path()))
}

/// A well-formed archive, with the library's own extensions for long names.
fn well_formed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    bytes.flush().unwrap();
    bytes
}
