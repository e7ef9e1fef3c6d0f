//! Output as tables, JSON and YAML.

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table};
use serde_json::Value;

use crate::args::Format;
use crate::screen;
use preset_catalog::estimate::Placement;

/// Formats a value as JSON or YAML, with keys in alphabetical order.
///
/// # Errors
/// Fails if the value cannot be serialized, which does not happen for values of this program.
pub(crate) fn serialized(format: Format, value: &Value) -> anyhow::Result<String> {
    // Keys are sorted unless another crate in the build enables a feature of serde_json.
    let mut value = value.clone();
    value.sort_all_objects();
    match format {
        Format::Yaml => serde_saphyr::to_string(&value).context("failed to write YAML"),
        Format::Json | Format::Table => {
            let json = serde_json::to_string_pretty(&value).context("failed to write JSON")?;
            Ok(format!("{json}\n"))
        }
    }
}

/// Formats rows under a header, in the columns of the screen. A header with the prefix `>` aligns its column to the right. A header
/// with the prefix `~` allows the column to wrap.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(screen::columns());
    if !header.is_empty() {
        table.set_header(
            header
                .iter()
                .map(|name| name.trim_start_matches(['>', '~']))
                .map(Cell::new),
        );
    }
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index == 0 {
            column.set_padding((0, 1));
        }
        let name = header.get(index).copied().unwrap_or("~");
        if name.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if !name.starts_with('~') {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text: String = table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Formats bytes as GiB, rounded to hundredths.
pub(crate) fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Formats a time span in its two largest units.
pub(crate) fn lasted(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 3600, seconds / 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {} min", minutes % 60),
    }
}

/// Formats an age in its largest unit, as kubectl does.
pub(crate) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Breaks a text into lines of whole words.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let size = word.chars().count();
        if length > 0 && length + 1 + size > width {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += size;
    }
    lines.push('\n');
    lines
}

/// Removes control characters from untrusted text, so that it cannot control the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Formats the parallelism in vLLM's abbreviations: tensor, pipeline, data parallel.
pub(crate) fn parallel(placement: &Placement) -> String {
    let parts = [
        ("tp", placement.tensor_parallel),
        ("pp", placement.pipeline_parallel),
        ("dp", placement.data_parallel),
    ];
    let parts = parts.iter().filter(|(_, ways)| *ways > 1);
    parts
        .map(|(name, ways)| format!("{name}{ways}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            (gib(1 << 30), gib(3 << 29)),
            ("1.00".to_owned(), "1.50".to_owned())
        );
        assert_eq!(
            [lasted(-1), lasted(190), lasted(7_260)],
            ["0 s", "3 min 10 s", "2 h 1 min"]
        );
        assert_eq!(
            [age(119), age(120), age(7_200), age(172_800)],
            ["119s", "2m", "2h", "2d"]
        );
    }

    #[test]
    fn long_cells_are_wrapped() {
        let text = table(&["~A", ">B"], [vec!["word ".repeat(60), "1".to_owned()]]);
        assert!(
            text.lines().count() > 3 && text.lines().all(|line| line.len() <= 100),
            "{text}"
        );
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a [31mb ");
    }
}
