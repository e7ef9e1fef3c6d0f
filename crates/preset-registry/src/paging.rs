//! Pages of a list that is in name order.
//!
//! A page token names the last preset of the previous page. It holds a digest of the filter and the catalog, so that it
//! continues its own list only. The server keeps no state.

use preset_catalog::{Catalog, Preset, Runtime};
use sha2::{Digest as _, Sha256};

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 500;
/// Bytes of the digest, against mistakes. A forged token only chooses the start of a public list.
const DIGEST_BYTES: usize = 8;
/// Separates the digest from the name; it is in no name.
const SEPARATOR: char = '/';

/// A page that cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPage {
    /// The size is negative.
    #[error("must not be negative")]
    Size,
    /// The token is of another list.
    #[error("must be a token of this list, and the catalog must not have changed; start again without one")]
    Token,
}

/// The conditions of a listed preset. The default admits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// A part of the name, an alias or the hub id. Letter case is ignored.
    pub(crate) name_contains: String,
    /// The architecture. Letter case is ignored; empty admits all.
    pub(crate) architecture: String,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) cpu_only: bool,
    pub(crate) tunable_only: bool,
    pub(crate) hide_deprecated: bool,
    pub(crate) max_weights_bytes: Option<u64>,
}

impl Filter {
    fn passes(&self, preset: &Preset) -> bool {
        let wanted = self.name_contains.to_lowercase();
        let mut names = [&preset.name, &preset.hub_id].into_iter().chain(&preset.aliases);
        let inference = preset.inference.as_ref();
        names.any(|name| name.to_lowercase().contains(&wanted))
            && (self.architecture.is_empty()
                || preset.shape.architecture.eq_ignore_ascii_case(&self.architecture))
            && self
                .runtime
                .is_none_or(|runtime| inference.is_some_and(|profile| profile.runtimes.contains(&runtime)))
            && (!self.cpu_only || inference.is_some_and(|profile| profile.cpu))
            && (!self.tunable_only || preset.tuning.is_some())
            && (!self.hide_deprecated || preset.deprecated.is_none())
            && self
                .max_weights_bytes
                .is_none_or(|most| preset.shape.weights_bytes <= most)
    }
}

/// The presets of a catalog that pass a filter.
#[derive(Debug)]
pub(crate) struct List<'a> {
    catalog: &'a Catalog,
    filter: Filter,
}

impl<'a> List<'a> {
    pub(crate) const fn new(catalog: &'a Catalog, filter: Filter) -> Self {
        Self { catalog, filter }
    }

    /// One page and the token of the next one, which is empty after the last.
    pub(crate) fn page(&self, size: i32, token: &str) -> Result<(Vec<&'a Preset>, String), BadPage> {
        let size = page_size(size)?;
        let after = self.last_name(token)?;
        // One more than fits shows whether there is another page.
        let mut page: Vec<_> = self
            .catalog
            .iter()
            .filter(|preset| after.is_none_or(|after| preset.name.as_str() > after))
            .filter(|preset| self.filter.passes(preset))
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
        // The debug format covers every field, including future ones.
        let filter = format!("{:?}", self.filter);
        for part in [self.catalog.version(), &filter, last_name] {
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
        let filter = Filter {
            name_contains: name_contains.to_owned(),
            ..Filter::default()
        };
        List::new(Catalog::embedded().unwrap(), filter)
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
    fn each_filter_leaves_out_what_it_says() {
        let everything: Vec<_> = Catalog::embedded().unwrap().iter().collect();
        let check = |filter: Filter, expected: &dyn Fn(&Preset) -> bool| {
            let (page, _) = List::new(Catalog::embedded().unwrap(), filter)
                .page(500, "")
                .unwrap();
            let expected: Vec<_> = everything
                .iter()
                .copied()
                .filter(|preset| expected(preset))
                .collect();
            assert!(!expected.is_empty() && expected.len() < everything.len());
            assert_eq!(page, expected);
        };
        let all = Filter::default;
        check(
            Filter {
                cpu_only: true,
                ..all()
            },
            &|preset| preset.inference.as_ref().is_some_and(|profile| profile.cpu),
        );
        check(
            Filter {
                tunable_only: true,
                ..all()
            },
            &|preset| preset.tuning.is_some(),
        );
        check(
            Filter {
                hide_deprecated: true,
                ..all()
            },
            &|preset| preset.deprecated.is_none(),
        );
        check(
            Filter {
                runtime: Some(Runtime::Native),
                ..all()
            },
            &|preset| {
                let profile = preset.inference.as_ref();
                profile.is_some_and(|profile| profile.runtimes.contains(&Runtime::Native))
            },
        );
        check(
            Filter {
                architecture: "llamaforcausallm".to_owned(),
                ..all()
            },
            &|preset| preset.shape.architecture == "LlamaForCausalLM",
        );
        check(
            Filter {
                max_weights_bytes: Some(10 << 30),
                ..all()
            },
            &|preset| preset.shape.weights_bytes <= 10 << 30,
        );
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
        assert!(list("phi").page(1, &token).is_ok());
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
