//! Finds stop strings in streamed text.
//!
//! Pure. Text that may be the beginning of a stop string is held back until the next pieces decide.

/// Searches one text.
#[derive(Clone, Debug)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

/// Text that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) text: String,
    /// A stop string was found; `text` ends before it.
    pub(crate) stopped: bool,
}

impl StopStrings {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Adds a piece and returns the text that is certain.
    pub(crate) fn push(&mut self, piece: &str) -> Released {
        self.held.push_str(piece);
        if let Some(at) = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min()
        {
            self.held.truncate(at);
            return Released {
                text: std::mem::take(&mut self.held),
                stopped: true,
            };
        }
        let keep = self
            .stops
            .iter()
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Released {
            text: std::mem::replace(&mut self.held, rest),
            stopped: false,
        }
    }

    /// Returns the text that was held back, at the end.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Returns the number of bytes at the end of `text` that begin `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
    ends.filter(|at| text.ends_with(&stop[..*at])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut search = StopStrings::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut text = String::new();
        for piece in pieces {
            let released = search.push(piece);
            text.push_str(&released.text);
            if released.stopped {
                return (text, true);
            }
        }
        (text + &search.finish(), false)
    }

    #[test]
    fn text_ends_before_the_first_stop_string() {
        let cases: [(&[&str], &[&str], &str, bool); 6] = [
            (&["END"], &["a", "bE", "N", "D", "c"], "ab", true),
            (&["END"], &["E", "N", "C"], "ENC", false),
            (&["x", "END"], &["aENDx"], "a", true),
            (&[], &["a", "b"], "ab", false),
            (&["é!"], &["caf", "é", "é!"], "café", true),
            (&[""], &["ab"], "ab", false),
        ];
        for (stops, pieces, text, stopped) in cases {
            assert_eq!(
                run(stops, pieces),
                (text.to_owned(), stopped),
                "{stops:?} {pieces:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_split_into_pieces_does_not_matter(text in "[abc]{0,30}", stop in "[abc]{1,4}", cut in 1_usize..5) {
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = chars.chunks(cut).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let expected = text.find(&stop).map_or((text.clone(), false), |at| (text[..at].to_owned(), true));
            prop_assert_eq!(run(&[&stop], &pieces), expected);
        }
    }
}
