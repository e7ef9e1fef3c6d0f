//! Tables, JSON and YAML.

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table};
use serde_json::Value;

use crate::args::Format;

/// Columns that a table may take.
const WIDTH: u16 = 100;

/// The value as text that programs read, keys in alphabetical order.
///
/// # Errors
/// Not for values that are made here.
pub(crate) fn serialized(format: Format, value: &Value) -> anyhow::Result<String> {
    // They are in it anyhow unless something that is built together with this switches on a feature of serde_json.
    let mut value = value.clone();
    value.sort_all_objects();
    match format {
        Format::Yaml => serde_saphyr::to_string(&value).context("the answer cannot be written as YAML"),
        Format::Json | Format::Table => {
            let json =
                serde_json::to_string_pretty(&value).context("the answer cannot be written as JSON")?;
            Ok(format!("{json}\n"))
        }
    }
}

/// Rows under a header, in at most 100 columns. Columns whose header begins with `>` are aligned to the right; those whose
/// header begins with `~` are wrapped when they are too long, others never.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
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

/// GiB to the nearest hundredth.
pub(crate) fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Dollars and cents, rounded up.
pub(crate) fn dollars(micros: u64) -> String {
    let cents = micros.div_ceil(10_000);
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A text of somebody else's on a terminal: without what could steer it.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
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
            (dollars(3_673_000), dollars(1)),
            ("3.68".to_owned(), "0.01".to_owned())
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
