//! Untrusted names in archives.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Splits the name of an entry, from the root of the image: `/a`, `./a` and `a/` are all `a`.
///
/// # Errors
/// A part is `..` or holds a zero byte.
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
        return Err(Error::refused(name, "must not leave its directory"));
    }
    Ok(parts)
}

/// Checks the target of a symbolic link in a directory `depth` levels below the root. It must not leave the root.
///
/// `..` is allowed only at the front, where it counts real directories. After a name, it would count from the target of a
/// link of that name.
///
/// # Errors
/// The target is absolute, empty, or could lead outside.
pub(crate) fn link_target(name: &[u8], target: &[u8], depth: usize) -> Result<PathBuf> {
    if target.is_empty() || target.contains(&0) {
        return Err(Error::refused(name, "is a link without a usable target"));
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
