//! Rows of parquet files.
//!
//! The parquet library trusts the sizes in a file. `page_checks` and `length_lists` check them first: see
//! `docs/decisions/0008-parquet-guard.md`.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::file::reader::{FileReader as _, RowGroupReader as _, SerializedFileReader};
use ::parquet::record::{Field, Row as ParquetRow};
use serde_json::Value;

use super::length_lists::CheckedGroup;
use super::page_checks::{self, PageError};
use super::page_header;
use super::source::{Each, Row, failed_to_read, malformed, open};
use crate::data::error::DataError;
use crate::data::files::DataFile;

/// Largest row group, in bytes; its pages are in memory one by one.
const GROUP_BYTES: i64 = 8 << 30;

/// Calls `each` with every row.
///
/// # Errors
/// When the file cannot be read or is malformed, and whatever `each` fails with.
pub(super) fn read(file: &DataFile, each: Each<'_>) -> Result<(), DataError> {
    // The library panics on some malformed files. The error must name the file.
    let guarded = catch_unwind(AssertUnwindSafe(|| rows(file, each)));
    guarded.unwrap_or_else(|_| Err(malformed(file, "the parquet library failed to parse it")))
}

fn rows(file: &DataFile, each: Each<'_>) -> Result<(), DataError> {
    let failed = |source| failed_to_read(file, source);
    let opened = open(file)?;
    if page_header::is_encrypted(&mut BufReader::new(&opened)).map_err(failed)? {
        return Err(malformed(
            file,
            "it is encrypted, which is not supported; write it again without encryption",
        ));
    }
    let again = opened.try_clone().map_err(failed)?;
    let reader = SerializedFileReader::new(again).map_err(|error| malformed(file, error))?;
    let groups = reader.metadata().row_groups();
    if let Some(large) = groups
        .iter()
        .map(|group| group.total_byte_size())
        .find(|bytes| !(0..=GROUP_BYTES).contains(bytes))
    {
        return Err(malformed(
            file,
            format!("a row group claims {large} bytes; at most {GROUP_BYTES} are supported"),
        ));
    }
    (0..reader.num_row_groups()).try_for_each(|group| rows_of_group(file, &opened, &reader, group, each))
}

fn rows_of_group(
    file: &DataFile,
    opened: &File,
    reader: &SerializedFileReader<File>,
    number: usize,
    each: Each<'_>,
) -> Result<(), DataError> {
    let broken = |error| malformed(file, error);
    let group = reader.get_row_group(number).map_err(broken)?;
    page_checks::check(opened, group.metadata()).map_err(|error| match error {
        PageError::Io(source) => failed_to_read(file, source),
        refused @ PageError::Refused { .. } => malformed(file, refused),
    })?;
    for row in CheckedGroup(group).get_row_iter(None).map_err(broken)? {
        each(object(&row.map_err(broken)?))?;
    }
    Ok(())
}

fn object(row: &ParquetRow) -> Row {
    row.get_column_iter()
        .map(|(name, field)| (name.clone(), value(field)))
        .collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(value) => value.as_str().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into(),
        Field::Group(row) => object(row).into(),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let pairs = map.entries().iter().filter_map(|(key, item)| match value(key) {
                Value::String(key) => Some((key, value(item))),
                _ => None,
            });
            Value::Object(pairs.collect())
        }
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests;
