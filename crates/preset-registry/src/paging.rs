//! Pages of a list that is in name order.
//!
//! A page token names the last preset of the page before, and carries a digest of the question and of the
//! catalogue, so that a token can't continue another list than the one it came from. The server keeps nothing.

use preset_catalog::{Catalog, Preset};
use sha2::{Digest as _, Sha256};

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 500;
/// Against mistakes, not against forgery: a forged token only chooses where a public list starts.
const DIGEST_BYTES: usize = 8;
/// Not in any name.
const SEPARATOR: char = '/';

/// A page that can't be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPage {
    /// The size is negative.
    #[error("must not be negative")]
    Size,
    /// The token is not of this list.
    #[error("is not a token of this list, or the catalogue has changed since; start again without one")]
    Token,
}

/// What is listed: the presets whose names contain a text.
#[derive(Debug)]
pub(crate) struct List<'a> {
    catalog: &'a Catalog,
    /// Lower case.
    name_contains: String,
}

impl<'a> List<'a> {
    /// The presets with this text in their name, an alias or the hub id; letter case is ignored.
    pub(crate) fn new(catalog: &'a Catalog, name_contains: &str) -> Self {
        Self {
            catalog,
            name_contains: name_contains.to_lowercase(),
        }
    }

    /// One page and the token of the next one, which is empty after the last.
    pub(crate) fn page(&self, size: i32, token: &str) -> Result<(Vec<&'a Preset>, String), BadPage> {
        let size = page_size(size)?;
        let after = self.last_name(token)?;
        // One more than fits tells whether there is another page.
        let mut page: Vec<_> = self
            .catalog
            .iter()
            .filter(|preset| after.is_none_or(|after| preset.name.as_str() > after))
            .filter(|preset| self.includes(preset))
            .take(size + 1)
            .collect();
        let more = page.len() > size;
        page.truncate(size);
        let next = page
            .last()
            .filter(|_| more)
            .map_or_else(String::new, |last| self.token(&last.name));
        Ok((page, next))
    }

    fn includes(&self, preset: &Preset) -> bool {
        let mut names = [&preset.name, &preset.hub_id].into_iter().chain(&preset.aliases);
        names.any(|name| name.to_lowercase().contains(&self.name_contains))
    }

    fn last_name<'t>(&self, token: &'t str) -> Result<Option<&'t str>, BadPage> {
        if token.is_empty() {
            return Ok(None);
        }
        let (_, name) = token.split_once(SEPARATOR).ok_or(BadPage::Token)?;
        if token == self.token(name) {
            Ok(Some(name))
        } else {
            Err(BadPage::Token)
        }
    }

    fn token(&self, last_name: &str) -> String {
        let mut digest = Sha256::new();
        for part in [self.catalog.version(), &self.name_contains, last_name] {
            digest.update(part);
            digest.update([0]);
        }
        let digest = digest.finalize();
        let hex: String = digest
            .iter()
            .take(DIGEST_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{hex}{SEPARATOR}{last_name}")
    }
}

fn page_size(asked: i32) -> Result<usize, BadPage> {
    match usize::try_from(asked) {
        Err(_) => Err(BadPage::Size),
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name_contains: &str) -> List<'static> {
        List::new(Catalog::embedded().unwrap(), name_contains)
    }

    fn names(name_contains: &str, size: i32) -> Vec<Vec<&'static str>> {
        let list = list(name_contains);
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = list.page(size, &token).unwrap();
            pages.push(page.into_iter().map(|preset| preset.name.as_str()).collect());
            if next.is_empty() {
                return pages;
            }
            token = next;
        }
    }

    #[test]
    fn pages_of_any_size_make_the_same_list() {
        let everything: Vec<_> = Catalog::embedded()
            .unwrap()
            .iter()
            .map(|preset| preset.name.as_str())
            .collect();
        for size in [0, 1, 2, 7, 65, 66, 67, 500, i32::MAX] {
            assert_eq!(names("", size).concat(), everything);
        }
        let half = i32::try_from(everything.len() / 2).unwrap();
        assert_eq!(everything.len() % 2, 0, "or the next line shows nothing");
        assert_eq!(names("", half).len(), 2, "no empty page after a full one");
    }

    #[test]
    fn the_filter_sees_every_name_in_any_case() {
        assert_eq!(names("FALCON-40", 1), [["falcon-40b"], ["falcon-40b-instruct"]]);
        assert_eq!(names("tiiuae/", 0).concat().len(), 4);
        assert_eq!(names("gemma-3-4b-instruct", 0), [["gemma-3-4b-it"]]);
        assert_eq!(names("no such thing", 0), [[""; 0]]);
    }

    #[test]
    fn sizes() {
        assert_eq!(page_size(-1), Err(BadPage::Size));
        assert_eq!(
            [page_size(0), page_size(3), page_size(501)],
            [Ok(100), Ok(3), Ok(500)]
        );
    }

    #[test]
    fn a_token_continues_only_its_own_list() {
        let (_, token) = list("phi").page(1, "").unwrap();
        assert!(list("PHI").page(1, &token).is_ok());
        let other = token.replace("phi", "chi");
        for (list, token) in [
            (list(""), token.as_str()),
            (list("phi"), &other),
            (list("phi"), "x"),
            (list("phi"), "/"),
        ] {
            assert_eq!(list.page(1, token).unwrap_err(), BadPage::Token);
        }
    }
}
