//! Splits a Rust source into code, comments and strings, for the rules that read texts or imports.
//!
//! A scanner of characters, not a parser: it knows how comments, strings and character literals begin and end.

#[cfg(test)]
mod tests;

/// The use of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `///` or `//!`.
    Doc,
    /// `//`.
    Comment,
    /// A string literal.
    Literal,
}

/// One comment line or one string literal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// The line where it begins, counted from one.
    pub(super) line: usize,
    pub(super) text: String,
}

/// A source, taken apart.
#[derive(Debug, Default)]
pub(super) struct SourceText {
    pub(super) pieces: Vec<Piece>,
    /// The code alone: comments and the insides of strings are left out, line breaks stay.
    pub(super) code: String,
    /// The line of the first `#[cfg(test)]` before an inline module: everything below it is tests.
    pub(super) tests_from: Option<usize>,
}

impl SourceText {
    pub(super) fn of(text: &str) -> Self {
        let mut scanner = Scanner {
            rest: text,
            line: 1,
            found: Self::default(),
        };
        while scanner.step() {}
        let mut found = scanner.found;
        found.tests_from = tests_from(&found.code);
        found
    }

    /// The code above the inline tests.
    pub(super) fn product_code(&self) -> String {
        let lines = self.tests_from.map_or(usize::MAX, |line| line - 1);
        self.code.lines().take(lines).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn is_in_tests(&self, line: usize) -> bool {
        self.tests_from.is_some_and(|from| line >= from)
    }
}

fn tests_from(code: &str) -> Option<usize> {
    let mut lines = code.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let next = lines.peek().map_or("", |(_, next)| next.trim());
        if line.trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            return Some(index + 1);
        }
    }
    None
}

/// A word, `::` or another character, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceToken<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// The tokens of code without comments and strings. White space and lifetimes are left out.
pub(super) fn tokens(code: &str) -> Vec<SourceToken<'_>> {
    let mut found = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let line = index + 1;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            if !first.is_whitespace() {
                found.push(SourceToken { text, line });
            }
            rest = after;
        }
    }
    found
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    found: SourceText,
}

impl<'a> Scanner<'a> {
    /// Takes the next comment, literal, word or character. Returns false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        if self.rest.starts_with("//") {
            self.line_comment();
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if first == '"' {
            self.string("\"", true);
        } else if first == '\'' {
            self.quote();
        } else if first.is_alphanumeric() || first == '_' {
            self.word();
        } else {
            self.code(first.len_utf8());
        }
        true
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn code(&mut self, length: usize) {
        let taken = self.take(length);
        self.found.code.push_str(taken);
    }

    fn keep(&mut self, kind: Kind, line: usize, text: &str) {
        let text = text.to_owned();
        self.found.pieces.push(Piece { kind, line, text });
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let comment = self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        let doc = comment
            .strip_prefix("//!")
            .or_else(|| comment.strip_prefix("///").filter(|rest| !rest.starts_with('/')));
        match doc {
            Some(text) => self.keep(Kind::Doc, line, text),
            None => self.keep(Kind::Comment, line, comment.trim_start_matches('/')),
        }
    }

    fn block_comment(&mut self) {
        let line = self.line;
        let length = self.rest.find("*/").map_or(self.rest.len(), |at| at + 2);
        let comment = self.take(length);
        self.keep(Kind::Comment, line, comment.trim_matches(['/', '*']));
        self.blank_lines(comment);
    }

    /// A character literal, or the mark of a lifetime.
    fn quote(&mut self) {
        let mut after = self.rest.char_indices().skip(1);
        let inside = after.next().map(|(_, inside)| inside);
        let closing = match inside {
            Some('\\') => self
                .rest
                .get(3..)
                .and_then(|rest| rest.find('\''))
                .map(|at| at + 4),
            Some(_) => after
                .next()
                .filter(|(_, next)| *next == '\'')
                .map(|(at, _)| at + 1),
            None => None,
        };
        match closing {
            Some(length) => {
                self.take(length);
                self.found.code.push_str("' '");
            }
            None => self.code(1),
        }
    }

    /// A word of code, or the letters before a string: `r#"…"#`, `b"…"`.
    fn word(&mut self) {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let word = self.rest.get(..length).unwrap_or_default();
        self.code(length);
        let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
        let quoted = self.rest.get(hashes..).is_some_and(|rest| rest.starts_with('"'));
        if matches!(word, "r" | "br" | "cr") && quoted {
            self.take(hashes);
            self.string(&format!("\"{}", "#".repeat(hashes)), false);
        }
    }

    /// A string that ends with `end`; `rest` begins with its quotation mark.
    fn string(&mut self, end: &str, escapes: bool) {
        let line = self.line;
        self.take(1);
        let mut length = 0;
        while let Some(rest) = self.rest.get(length..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(end) {
                break;
            }
            let skipped = if escapes && rest.starts_with('\\') { 2 } else { 1 };
            length += rest.chars().take(skipped).map(char::len_utf8).sum::<usize>();
        }
        let text = self.take(length);
        self.take(end.len().min(self.rest.len()));
        self.keep(Kind::Literal, line, text);
        self.found.code.push_str("\"\"");
        self.blank_lines(text);
    }

    /// Keeps the numbers of lines right where a text of several lines is left out.
    fn blank_lines(&mut self, text: &str) {
        let breaks = text.matches('\n').count();
        self.found.code.extend(std::iter::repeat_n('\n', breaks));
    }
}
