//! Words of a problem that stay as they are stored, if the new ones differ in numbers only.

use crate::context::PlanContext;

/// Returns the words that the stored status has after `start`, if the new ones differ in numbers only. So a message with a
/// time or an identifier is not written at each attempt.
pub(super) fn settled(context: &PlanContext<'_>, start: &str, words: &str) -> String {
    let stored = context.conditions().iter().find_map(|condition| {
        let (_, rest) = condition.message.split_once(start)?;
        same_but_numbers(rest, words)
    });
    stored.unwrap_or(words).to_owned()
}

/// Returns the start of `stored` that differs from `new` in words with digits only, such as times and addresses.
fn same_but_numbers<'a>(stored: &'a str, new: &str) -> Option<&'a str> {
    let words = new.split_whitespace().count();
    let end = stored
        .match_indices(' ')
        .nth(words.checked_sub(1)?)
        .map_or(stored.len(), |(at, _)| at);
    let start = stored.get(..end)?;
    // The remedy follows a period, which the line may lack.
    let start = if new.ends_with('.') {
        start
    } else {
        start.trim_end_matches('.')
    };
    plan::refusal::differ_in_numbers_only(start, new).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_another_time_is_not_new() {
        let stored = "failed at 10:00 pid 7. Read the logs.";
        assert_eq!(
            same_but_numbers(stored, "failed at 10:01 pid 8"),
            Some("failed at 10:00 pid 7")
        );
        assert_eq!(same_but_numbers(stored, "failed by 10:01 pid 8"), None);
        assert_eq!(same_but_numbers("short", "failed at 10:01 pid 8"), None);
    }
}
