//! The terminal behind standard output: its size, and whether colors are welcome.

use std::io::IsTerminal as _;

use terminal_size::{Height, Width, terminal_size};

/// Width of output that goes elsewhere, and of terminals that do not tell theirs.
const COLUMNS: u16 = 100;
const ROWS: u16 = 40;
/// Narrowest table; a narrower terminal wraps it.
const NARROWEST: u16 = 60;

/// Abilities of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Columns and rows of the terminal; `None` if it is none, so that nothing is cut.
    pub(crate) size: Option<(u16, u16)>,
    colors: bool,
}

/// A color with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Busy,
    Bad,
    Dim,
}

impl Screen {
    /// Output without a terminal.
    pub(crate) const PLAIN: Self = Self {
        size: None,
        colors: false,
    };

    /// Standard output. Colors are for terminals, unless `NO_COLOR` is set or the terminal is dumb.
    pub(crate) fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::PLAIN;
        }
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let size = terminal_size().map_or((COLUMNS, ROWS), |(Width(columns), Height(rows))| (columns, rows));
        Self {
            size: Some(size),
            colors: !is_set("NO_COLOR") && !is_dumb,
        }
    }

    /// Colors a text.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colors {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Busy => 33,
            Tone::Bad => 31,
            Tone::Dim => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Cuts a line without colors to the width of the terminal.
    pub(crate) fn cut(self, line: &str) -> String {
        let Some((columns, _)) = self.size else {
            return line.to_owned();
        };
        let columns = usize::from(columns.max(2));
        if line.chars().count() <= columns {
            return line.to_owned();
        }
        let kept: String = line.chars().take(columns - 1).collect();
        format!("{kept}…")
    }
}

/// Columns of a table.
pub(crate) fn columns() -> u16 {
    Screen::of_stdout()
        .size
        .map_or(COLUMNS, |(columns, _)| columns.max(NARROWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_and_cuts_are_for_terminals() {
        let terminal = Screen {
            size: Some((10, 5)),
            colors: true,
        };
        assert_eq!(terminal.cut("0123456789"), "0123456789");
        assert_eq!(terminal.cut("0123456789a"), "012345678…");
        assert_eq!(terminal.paint(Tone::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
        let long = "long ".repeat(100);
        assert_eq!(Screen::PLAIN.cut(&long), long);
        assert_eq!(Screen::PLAIN.paint(Tone::Bad, "x"), "x");
    }
}
