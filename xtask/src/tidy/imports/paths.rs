//! The paths that one source names: its `use` declarations and the `a::b` in its code.

use crate::tidy::text::SourceToken;

/// One path of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// `["crate", "a", "B"]`; the last segment of a glob is `*`.
    pub(super) segments: Vec<String>,
    /// The name that a `use` declaration gives it; none for a path in the code.
    pub(super) alias: Option<String>,
    /// A `pub use` of any visibility.
    pub(super) is_reexport: bool,
    pub(super) line: usize,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// All paths of a source.
pub(super) fn named(tokens: &[SourceToken<'_>]) -> Vec<Named> {
    let mut found = Vec::new();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).map_or("", text);
        if token.text == "use" && matches!(before, "" | ";" | "}" | "{" | "]" | ")" | "pub") {
            let mut tree = Tree {
                tokens,
                at: at + 1,
                is_reexport: matches!(before, "pub" | ")"),
                found: Vec::new(),
            };
            tree.read(&[]);
            at = tree.at.max(at + 1);
            found.extend(tree.found);
        } else if is_name(token.text) && !matches!(before, "::" | ".") && text(at + 1) == "::" {
            let (segments, next) = path(tokens, at);
            let line = token.line;
            found.push(Named {
                segments,
                alias: None,
                is_reexport: false,
                line,
            });
            at = next;
        } else {
            at += 1;
        }
    }
    found
}

/// The names of `a::b::c` from `at`, and the index after them.
fn path(tokens: &[SourceToken<'_>], mut at: usize) -> (Vec<String>, usize) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut segments = vec![text(at).to_owned()];
    while text(at + 1) == "::" && is_name(text(at + 2)) {
        at += 2;
        segments.push(text(at).to_owned());
    }
    (segments, at + 1)
}

/// Reads the tree of one `use` declaration.
struct Tree<'a> {
    tokens: &'a [SourceToken<'a>],
    at: usize,
    is_reexport: bool,
    found: Vec<Named>,
}

impl Tree<'_> {
    fn text(&self) -> &str {
        self.tokens.get(self.at).map_or("", |token| token.text)
    }

    /// Reads one branch below `prefix`, up to the comma, brace or semicolon that ends it.
    fn read(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut alias = None;
        loop {
            match self.text() {
                "" | ";" | "," | "}" => break,
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    self.branches(&segments);
                    return;
                }
                "as" => {
                    self.at += 1;
                    alias = Some(self.text().to_owned());
                    self.at += 1;
                }
                other => {
                    segments.push(other.to_owned());
                    self.at += 1;
                }
            }
        }
        // `a::{self}` names `a`.
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let alias = alias.or_else(|| segments.last().cloned());
        self.found.push(Named {
            segments,
            alias,
            is_reexport: self.is_reexport,
            line,
        });
    }

    fn branches(&mut self, prefix: &[String]) {
        loop {
            match self.text() {
                "" => return,
                "}" => {
                    self.at += 1;
                    return;
                }
                "," => self.at += 1,
                _ => self.read(prefix),
            }
        }
    }
}

/// The names of the items that a source declares.
pub(super) fn declared<'a>(tokens: &[SourceToken<'a>]) -> Vec<&'a str> {
    const KINDS: &[&str] = &[
        "fn",
        "struct",
        "enum",
        "trait",
        "type",
        "const",
        "static",
        "union",
        "macro_rules",
    ];
    let pairs = tokens.windows(2);
    let names = pairs.filter_map(|pair| match pair {
        [kind, name] if KINDS.contains(&kind.text) && is_name(name.text) => Some(name.text),
        _ => None,
    });
    names.collect()
}
