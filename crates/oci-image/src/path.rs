//! Names inside archives, taken apart without believing them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The parts of an entry's name, seen from the root of the image: `/a`, `./a` and `a/` are all `a`.
///
/// # Errors
/// When a part is `..` or holds a zero byte.
pub(crate) fn parts(name: &[u8]) -> Result<Vec<&OsStr>> {
    if name.contains(&0) {
        return Err(Error::refused(name, "has a zero byte in its name"));
    }
    let parts: Vec<&OsStr> = name
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(OsStr::from_bytes)
        .collect();
    if parts.iter().any(|part| *part == "..") {
        return Err(Error::refused(name, "climbs out of its directory"));
    }
    Ok(parts)
}

/// The target of a symbolic link in a directory `depth` levels below the root, if it cannot leave the root.
///
/// Steps up are allowed only at the front, where they count real directories: behind a name they would count
/// from wherever a link of that name leads.
///
/// # Errors
/// When the target is absolute, empty, or could lead outside.
pub(crate) fn link_target(name: &[u8], target: &[u8], depth: usize) -> Result<PathBuf> {
    if target.is_empty() || target.contains(&0) {
        return Err(Error::refused(name, "is a link without a proper target"));
    }
    if target.starts_with(b"/") {
        return Err(Error::refused(name, "is a link with an absolute target"));
    }
    let parts: Vec<&[u8]> = target
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    let ups = parts.iter().take_while(|part| **part == b"..").count();
    let down = parts.get(ups..).unwrap_or_default();
    if ups > depth || down.contains(&&b".."[..]) {
        return Err(Error::refused(
            name,
            "is a link that may lead out of its directory",
        ));
    }
    Ok(PathBuf::from(OsStr::from_bytes(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_means_nothing_and_never_climb() {
        let is = |name: &str, parts: &[&str]| {
            assert_eq!(super::parts(name.as_bytes()).unwrap(), parts, "{name}");
        };
        is("data/a", &["data", "a"]);
        is("./data//a/", &["data", "a"]);
        is("/etc/passwd", &["etc", "passwd"]);
        is("..a/b..", &["..a", "b.."]);
        is("", &[]);
        for name in ["../a", "a/../b", "a/..", "a\0b"] {
            assert!(super::parts(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn links_stay_below_the_root() {
        let check = |target: &str, depth: usize, good: bool| {
            assert_eq!(
                link_target(b"l", target.as_bytes(), depth).is_ok(),
                good,
                "{target} at {depth}"
            );
        };
        check("a", 0, true);
        check("./a/b", 0, true);
        check("../a", 1, true);
        check("../../blobs/x", 2, true);
        check("../a", 0, false);
        check("../../a", 1, false);
        check("a/../b", 5, false);
        check("/a", 5, false);
        check("", 0, false);
    }
}
