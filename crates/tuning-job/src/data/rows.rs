//! Rows of a file in any format, one by one.

mod length_lists;
mod page_checks;
mod page_header;
mod parquet;
mod source;
mod thrift;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer as _, SeqAccess, Visitor};
use serde_json::Value;

pub use source::Row;

use self::source::{Each, failed_to_read, malformed, open};
use super::error::DataError;
use super::files::{DataFile, FileFormat};

/// Largest row, in bytes of the file.
const ROW_BYTES: u64 = 16 << 20;
/// Most columns of a table.
const COLUMNS: usize = 10_000;

/// Calls `each` with every row and its number, from 1 on.
///
/// # Errors
/// When the file cannot be read or is malformed, and whatever `each` fails with.
pub fn read(
    file: &DataFile,
    each: &mut dyn FnMut(usize, Row) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut number = 0;
    let mut each = |row| {
        number += 1;
        each(number, row)
    };
    match file.format {
        FileFormat::Parquet => parquet::read(file, &mut each),
        FileFormat::Json => json(file, &mut each),
        FileFormat::Csv => csv(file, &mut each),
    }
}

/// A reader that fails when a row is too long. The limit is reset for each row.
struct Metered<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(count as u64);
        self.left
            .set(left.ok_or_else(|| io::Error::other(format!("a row is longer than {ROW_BYTES} bytes")))?);
        Ok(count)
    }
}

fn json(file: &DataFile, each: Each<'_>) -> Result<(), DataError> {
    let failed = |source| failed_to_read(file, source);
    let mut reader = BufReader::new(open(file)?);
    // A byte order mark of some editors.
    if reader.fill_buf().map_err(failed)?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let first = loop {
        match reader.fill_buf().map_err(failed)?.first().copied() {
            Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
            first => break first,
        }
    };
    match first {
        None => Ok(()),
        Some(b'[') => array(file, reader, each),
        Some(_) => lines(file, reader, each),
    }
}

fn lines(file: &DataFile, mut reader: BufReader<File>, each: Each<'_>) -> Result<(), DataError> {
    let mut line = Vec::new();
    for number in 1_usize.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(ROW_BYTES + 1)
            .read_until(b'\n', &mut line)
            .map_err(|source| failed_to_read(file, source))?;
        if read == 0 {
            break;
        }
        if read as u64 > ROW_BYTES {
            return Err(malformed(
                file,
                format!("line {number} is longer than {ROW_BYTES} bytes"),
            ));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row = serde_json::from_slice(&line)
            .map_err(|error| malformed(file, format!("line {number} must be a JSON object: {error}")))?;
        each(row)?;
    }
    Ok(())
}

fn array(file: &DataFile, reader: BufReader<File>, each: Each<'_>) -> Result<(), DataError> {
    let left = Rc::new(Cell::new(ROW_BYTES));
    let metered = Metered {
        inner: reader,
        left: Rc::clone(&left),
    };
    let mut stopped = Ok(());
    let rows = Rows {
        each: &mut |row| {
            left.set(ROW_BYTES);
            each(row)
        },
        stopped: &mut stopped,
    };
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(metered));
    let parsed = deserializer
        .deserialize_seq(rows)
        .and_then(|()| deserializer.end());
    stopped?;
    parsed.map_err(|error| malformed(file, error))
}

/// Calls `each` with the elements of an array as they are parsed.
struct Rows<'a> {
    each: Each<'a>,
    stopped: &'a mut Result<(), DataError>,
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(row) = items.next_element_seed(AsRow)? {
            if let Err(error) = (self.each)(row) {
                *self.stopped = Err(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

struct AsRow;

impl<'de> DeserializeSeed<'de> for AsRow {
    type Value = Row;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

fn csv(file: &DataFile, each: Each<'_>) -> Result<(), DataError> {
    let left = Rc::new(Cell::new(ROW_BYTES));
    let metered = Metered {
        inner: open(file)?,
        left: Rc::clone(&left),
    };
    let mut reader = csv::Reader::from_reader(metered);
    let header = reader.headers().map_err(|error| malformed(file, error))?;
    if header.len() > COLUMNS {
        let count = header.len();
        return Err(malformed(
            file,
            format!("line 1 names {count} columns; at most {COLUMNS} columns are supported"),
        ));
    }
    let names: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    for record in reader.records() {
        left.set(ROW_BYTES);
        let record = record.map_err(|error| malformed(file, error))?;
        each(
            names
                .iter()
                .cloned()
                .zip(record.iter().map(Value::from))
                .collect(),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
