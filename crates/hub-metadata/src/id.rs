//! Names of repositories and revisions, which become parts of URLs and paths.

use std::fmt;

use crate::MetadataError;

/// Most characters of a part of a name, as the hub allows.
const MAX_PART: usize = 96;

/// A repository of models, `owner/repository`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HubId {
    text: String,
    slash: usize,
}

impl HubId {
    /// Parses `owner/repository`. Each part has letters, digits, `-`, `_` and `.`, begins with a letter or digit, and has no two
    /// dots in a row.
    ///
    /// # Errors
    /// The text is anything else.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        match text.split_once('/') {
            Some((owner, repository)) if is_part(owner) && is_part(repository) => Ok(Self {
                slash: owner.len(),
                text: text.to_owned(),
            }),
            _ => Err(MetadataError::BadId(shown(text))),
        }
    }

    /// `owner/repository` in the parsed spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the slash.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The part after the slash.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.text[self.slash + 1..]
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_part(part: &str) -> bool {
    let bytes = part.as_bytes();
    (1..=MAX_PART).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && !part.contains("..")
}

/// A commit: 40 or 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    /// Parses a commit in lower case.
    ///
    /// # Errors
    /// The text is anything else, such as a branch.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        let is_hex = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if is_hex && [40, 64].contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MetadataError::BadRevision(shown(text)))
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shortens a text for messages, in printable form.
pub(crate) fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hubs_alphabet_is_a_name() {
        let id = HubId::parse("Qwen/Qwen2.5-0.5B_x").unwrap();
        assert_eq!((id.owner(), id.repository()), ("Qwen", "Qwen2.5-0.5B_x"));
        let long = format!("a/{}", "b".repeat(97));
        for bad in [
            "", "a", "/", "a/", "/b", "a/b/c", "../b", "a/..", "a/b..c", ".a/b", "-a/b", "a/b c", "a/b?x=1",
            "a/b#c", "a/ä", "a\\b/c", "a/%2e%2e", "a@b/c", &long,
        ] {
            assert!(HubId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_commits_are_revisions() {
        assert!(Revision::parse(&"0a".repeat(20)).is_ok() && Revision::parse(&"f".repeat(64)).is_ok());
        for bad in [
            "",
            "main",
            "..",
            &"A".repeat(40),
            &"a".repeat(41),
            &"g".repeat(40),
        ] {
            assert!(Revision::parse(bad).is_err(), "{bad}");
        }
    }
}
