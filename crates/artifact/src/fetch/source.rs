//! Files to download, and their names, from the URLs of the command line. Pure.

use std::collections::HashSet;

use egress::{RemoteFile, without_secrets};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Error, Result};

/// Most bytes of a name. File systems allow 255, and ours get additions.
const LONGEST_NAME: usize = 200;
/// Most bytes of an ending with its dot.
const LONGEST_ENDING: usize = 16;

/// Parses the URLs. Equal names get numbers, so that no file replaces another.
///
/// # Errors
/// A URL or its checksum is malformed.
pub(crate) fn files(urls: &[String]) -> Result<Vec<RemoteFile>> {
    let mut taken = HashSet::new();
    let mut files = Vec::new();
    for text in urls {
        let mut file = file(text)?;
        let wished = file.name.clone();
        let mut number = 1;
        while !taken.insert(file.name.to_lowercase()) {
            number += 1;
            file.name = numbered(&wished, number);
        }
        files.push(file);
    }
    Ok(files)
}

fn file(text: &str) -> Result<RemoteFile> {
    // The text itself may hold secrets and is not repeated.
    let mut url = Url::parse(text.trim()).map_err(|error| Error::Usage {
        argument: "each URL to fetch".to_owned(),
        expected: format!("a URL, and one is malformed: {error}"),
    })?;
    let sha256 = match url
        .fragment()
        .and_then(|fragment| fragment.strip_prefix("sha256="))
    {
        None => None,
        Some(hex) if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Some(hex.to_ascii_lowercase())
        }
        Some(_) => {
            return Err(Error::Usage {
                argument: format!("the checksum of {}", without_secrets(&url)),
                expected: "64 hexadecimal digits".to_owned(),
            });
        }
    };
    url.set_fragment(None);
    let name = name(&url);
    Ok(RemoteFile { url, name, sha256 })
}

/// A name from the last part of the path.
fn name(url: &Url) -> String {
    let mut parts = url.path().rsplit('/');
    let last = parts.find(|part| !part.is_empty()).unwrap_or_default();
    harmless(&percent_decode_str(last).decode_utf8_lossy())
}

/// Replaces what would make a name a path, hidden or empty.
fn harmless(name: &str) -> String {
    let replaced: String = name
        .chars()
        .map(|c| {
            if c.is_control() || matches!(c, '/' | '\\' | ':' | '\u{fffd}') {
                '_'
            } else {
                c
            }
        })
        .collect();
    let trimmed = replaced
        .trim_start_matches(['.', '-', ' '])
        .trim_end_matches(['.', ' ']);
    let short = shortened(trimmed);
    if short.is_empty() {
        "download".to_owned()
    } else {
        short
    }
}

fn shortened(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    let mut end = LONGEST_NAME.saturating_sub(ending.len()).min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", stem.get(..end).unwrap_or_default())
}

fn numbered(name: &str, number: u32) -> String {
    let (stem, ending) = split(name);
    format!("{stem}-{number}{ending}")
}

/// Splits a name from its ending, which is empty or begins with a dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= LONGEST_ENDING => name.split_at(dot),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn names(urls: &[&str], expected: &[&str]) {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        let names: Vec<String> = files(&urls).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn files_are_named_after_the_path() {
        names(&["https://h/a/b/data.parquet?token=x/y#z"], &["data.parquet"]);
        names(&["https://h/a%20b.csv", "https://h/dir/"], &["a b.csv", "dir"]);
        names(
            &["https://h", "https://h/..%2f..%2fetc%2fpasswd"],
            &["download", "_.._etc_passwd"],
        );
        names(
            &["https://h/%2e%2e", "https://h/.hidden", "https://h/%00"],
            &["h", "hidden", "_"].map(|n| if n == "h" { "download" } else { n }),
        );
        names(
            &["https://h/x.csv", "https://g/X.csv", "https://g/x"],
            &["x.csv", "X-2.csv", "x"],
        );
    }

    #[test]
    fn checksums_are_taken_off() {
        let hex = "AB".repeat(32);
        let file = file(&format!("https://h/x#sha256={hex}")).unwrap();
        assert_eq!(file.sha256.as_deref(), Some(hex.to_lowercase().as_str()));
        assert_eq!(file.url.as_str(), "https://h/x");
        assert!(super::file("https://h/x#sha256=12").is_err());
        assert!(super::file("no url").is_err());
    }

    proptest! {
        #[test]
        fn any_name_is_one_plain_file(name in any::<String>()) {
            let name = harmless(&name);
            prop_assert!(!name.is_empty() && name.len() <= LONGEST_NAME);
            prop_assert!(!name.starts_with('.') && !name.contains(['/', '\\', '\0']));
            let mut parts = std::path::Path::new(&name).components();
            prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))));
            prop_assert_eq!(parts.next(), None);
            // Twice is as good as once.
            prop_assert_eq!(harmless(&name), name);
        }

        #[test]
        fn names_are_distinct(urls in prop::collection::vec("https://h/[ab]{1,2}(\\.csv)?(-2)?", 0..8)) {
            let names: HashSet<String> = files(&urls).unwrap().into_iter().map(|file| file.name).collect();
            prop_assert_eq!(names.len(), urls.len());
        }
    }
}
