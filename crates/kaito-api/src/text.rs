//! Text that must fit somewhere.

/// Returns `text` in at most `max` bytes: cut between characters and marked by `...` where it is longer.
#[must_use]
pub fn cut(text: &str, max: usize) -> String {
    const MARK: &str = "...";
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(MARK.len()));
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "lo...");
        for text in ["x".repeat(3000), "ä".repeat(3000), "語".repeat(3000)] {
            let cut = cut(&text, 1024);
            assert!(cut.len() <= 1024 && cut.len() > 1024 - 8 && cut.ends_with("..."));
        }
    }
}
