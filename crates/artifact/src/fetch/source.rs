//! What is to be downloaded, and the name of its file. Pure.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Error, Result};
use crate::guard::shown;

/// Longer names are shortened; file systems take 255 bytes, and ours get additions.
const LONGEST_NAME: usize = 200;
/// Longer endings are no endings.
const LONGEST_ENDING: usize = 16;

/// One URL of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) url: Url,
    /// Lower-case SHA-256 that the content must have.
    pub(crate) sha256: Option<String>,
    /// Name of the file.
    pub(crate) name: String,
}

/// Reads the URLs; equal names get numbers, so that no file takes another's place.
///
/// # Errors
/// When one is no URL or its checksum is malformed.
pub(crate) fn sources(urls: &[String]) -> Result<Vec<Source>> {
    let mut taken = HashSet::new();
    let mut sources = Vec::new();
    for text in urls {
        let mut source = source(text)?;
        let wished = source.name.clone();
        let mut number = 1;
        while !taken.insert(source.name.to_lowercase()) {
            number += 1;
            source.name = numbered(&wished, number);
        }
        sources.push(source);
    }
    Ok(sources)
}

fn source(text: &str) -> Result<Source> {
    // The text itself may hold secrets and is not repeated.
    let mut url = Url::parse(text.trim())
        .map_err(|error| Error::Usage(format!("a URL to fetch is malformed: {error}")))?;
    let sha256 = match url
        .fragment()
        .and_then(|fragment| fragment.strip_prefix("sha256="))
    {
        None => None,
        Some(hex) if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Some(hex.to_ascii_lowercase())
        }
        Some(_) => {
            return Err(Error::Usage(format!(
                "the checksum of {} has not 64 hex digits",
                shown(&url)
            )));
        }
    };
    url.set_fragment(None);
    let name = name(&url);
    Ok(Source { url, sha256, name })
}

/// The last part of the path, made harmless.
fn name(url: &Url) -> String {
    let mut parts = url.path().rsplit('/');
    let last = parts.find(|part| !part.is_empty()).unwrap_or_default();
    harmless(&percent_decode_str(last).decode_utf8_lossy())
}

/// A name that is one visible file in any directory.
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

/// The name and its ending, which is empty or begins with a dot.
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
        let names: Vec<String> = sources(&urls)
            .unwrap()
            .into_iter()
            .map(|source| source.name)
            .collect();
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
        let source = source(&format!("https://h/x#sha256={hex}")).unwrap();
        assert_eq!(source.sha256.as_deref(), Some(hex.to_lowercase().as_str()));
        assert_eq!(source.url.as_str(), "https://h/x");
        assert!(super::source("https://h/x#sha256=12").is_err());
        assert!(super::source("no url").is_err());
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
            let names: HashSet<String> = sources(&urls).unwrap().into_iter().map(|source| source.name).collect();
            prop_assert_eq!(names.len(), urls.len());
        }
    }
}
