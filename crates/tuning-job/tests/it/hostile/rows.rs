//! Datasets.

use std::fs;
use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;
use tuning_job::data::{DataFile, FileFormat, read};

use super::memory::peak;
use super::mutate::{cases, damage, damaged};

/// Most memory for a small file: buffers of the readers, and a few rows.
pub(crate) const SMALL: usize = 4 << 20;

const LINES: &str = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\\n\"},{\"role\":\"assistant\",\"content\":\"hello\"}]}\n\
                     {\"messages\":[{\"role\":\"user\",\"content\":\"ü\"}],\"n\":[1.5,null,true]}\n";
const CSV: &str = "prompt,completion\n\"a, b\",c\n\"d\"\"e\",\"f\ng\"\nh,ü\n";

fn array() -> String {
    let rows: Vec<Value> = LINES
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    serde_json::to_string_pretty(&rows).unwrap()
}

fn parquet(compression: Compression) -> Vec<u8> {
    let schema = "message rows { required binary text (UTF8); optional group list (LIST) { repeated group list { \
                  optional int64 element; } } }";
    let properties = WriterProperties::builder().set_compression(compression).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let texts: Vec<ByteArray> = ["one", "two", "one"].into_iter().map(ByteArray::from).collect();
    column
        .typed::<ByteArrayType>()
        .write_batch(&texts, None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let levels: (&[i16], &[i16]) = (&[3, 3, 0, 3], &[0, 1, 0, 0]);
    column
        .typed::<Int64Type>()
        .write_batch(&[1, 2, 3], Some(levels.0), Some(levels.1))
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn compressions() -> [Compression; 6] {
    [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4_RAW,
        Compression::LZ4,
    ]
}

/// Returns rows before the first problem, that problem, and the peak memory of reading.
pub(crate) fn all(bytes: &[u8], kind: FileFormat) -> (Vec<Value>, Option<String>, usize) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("the.data");
    fs::write(&path, bytes).unwrap();
    let mut rows = Vec::new();
    let file = DataFile { path, format: kind };
    let (result, bytes) = peak(|| {
        read(&file, &mut |number, row| {
            assert_eq!(number, rows.len() + 1);
            rows.push(Value::Object(row));
            Ok(())
        })
    });
    (rows, result.err().map(|error| error.to_string()), bytes)
}

/// Reads a file that may be malformed: an error names its place, and little memory is allocated.
#[track_caller]
fn survives(bytes: &[u8], kind: FileFormat) {
    let (_, error, memory) = all(bytes, kind);
    assert!(memory < SMALL, "{memory} bytes were taken");
    let Some(error) = error else { return };
    assert!(error.contains("the.data"), "{error}");
    match kind {
        FileFormat::Json | FileFormat::Csv => assert!(error.contains("line"), "{error}"),
        FileFormat::Parquet => {}
    }
}

#[test]
fn valid_files_are_read() {
    let expected: Vec<Value> = LINES
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for text in [LINES, &array()] {
        let (rows, error, _) = all(text.as_bytes(), FileFormat::Json);
        assert_eq!((rows, error), (expected.clone(), None));
    }
    assert_eq!(all(CSV.as_bytes(), FileFormat::Csv).0.len(), 3);
    for compression in compressions() {
        let (rows, error, _) = all(&parquet(compression), FileFormat::Parquet);
        assert_eq!((rows.len(), error), (3, None), "{compression:?}");
        assert_eq!(rows[0], serde_json::json!({"text": "one", "list": [1, 2]}));
    }
}

#[test]
fn truncated_lines_are_read_up_to_the_malformed_one() {
    let expected = all(LINES.as_bytes(), FileFormat::Json).0;
    for at in 0..LINES.len() {
        let part = &LINES.as_bytes()[..at];
        let (rows, error, memory) = all(part, FileFormat::Json);
        // The line of the cut, unless the cut is at its end.
        let whole = part.iter().filter(|byte| **byte == b'\n').count();
        let rest = at
            - part
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
        let length = LINES.lines().nth(whole).map_or(0, str::len);
        if rest == 0 || rest == length {
            assert_eq!(error, None, "cut at {at}");
            assert_eq!(rows, expected[..whole + usize::from(rest > 0)]);
        } else {
            assert_eq!(rows, expected[..whole], "cut at {at}");
            let error = error.unwrap();
            assert!(
                error.contains(&format!("line {} ", whole + 1)),
                "cut at {at}: {error}"
            );
        }
        assert!(memory < SMALL);
    }
}

#[test]
fn a_truncated_array_is_refused() {
    let text = array();
    // An empty file has no rows, which is an error only if all files are empty.
    for at in 1..text.len() {
        let (rows, error, _) = all(&text.as_bytes()[..at], FileFormat::Json);
        assert!(rows.len() <= 2 && error.unwrap().contains("line"), "cut at {at}");
    }
}

#[test]
fn a_truncated_table_has_no_other_rows() {
    let expected = all(CSV.as_bytes(), FileFormat::Csv).0;
    for at in 0..CSV.len() {
        let (mut rows, error, _) = all(&CSV.as_bytes()[..at], FileFormat::Csv);
        // The format has no end: the last field of the last row may be shorter than it was.
        let last = rows.pop();
        assert_eq!(rows, expected[..rows.len()], "cut at {at}");
        if let Some(last) = last {
            let (column, was) = (&last["completion"], &expected[rows.len()]["completion"]);
            assert!(
                was.as_str().unwrap().starts_with(column.as_str().unwrap()),
                "cut at {at}"
            );
        }
        assert!(error.is_none_or(|error| error.contains("line")), "cut at {at}");
    }
}

#[test]
fn truncated_parquet_is_refused() {
    for compression in compressions() {
        let bytes = parquet(compression);
        for at in 0..bytes.len() {
            let (rows, error, memory) = all(&bytes[..at], FileFormat::Parquet);
            assert!(rows.is_empty() && error.is_some(), "{compression:?} cut at {at}");
            assert!(memory < SMALL, "{compression:?} cut at {at} takes {memory} bytes");
        }
    }
}

/// Every byte of small files takes every interesting value.
#[test]
fn parquet_with_any_byte_changed_takes_little_memory() {
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        let bytes = parquet(compression);
        for at in 0..bytes.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff] {
                let mut other = bytes.clone();
                other[at] = value;
                let (_, _, memory) = all(&other, FileFormat::Parquet);
                assert!(memory < SMALL, "byte {at} as {value}: {memory} bytes");
            }
        }
    }
}

#[test]
fn large_rows_are_refused_before_they_are_read() {
    let large = 20 << 20;
    let row = |open: &str, filling: &str, close: &str| {
        format!("{open}{}{close}", filling.repeat(large / filling.len())).into_bytes()
    };
    for (bytes, kind) in [
        (row("{\"a\":\"", "x", "\"}"), FileFormat::Json),
        (row("{\"a\":[", "[],", "[]]}"), FileFormat::Json),
        (row("[{\"a\":[", "{},", "1]}]"), FileFormat::Json),
        (row("a\n", "x", "\n"), FileFormat::Csv),
        (row("a\n\"", ",", "\"\n"), FileFormat::Csv),
        (row("a", ",", "\n"), FileFormat::Csv),
    ] {
        let (rows, error, memory) = all(&bytes, kind);
        println!(
            "{kind:?} {:?}: {} MiB",
            String::from_utf8_lossy(&bytes[..8]),
            memory >> 20
        );
        assert!(rows.is_empty() && error.unwrap().contains("longer than"));
        assert!(memory < 1 << 30, "{memory}");
    }
}

#[test]
fn nesting_and_columns_are_bounded() {
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    let (_, error, memory) = all(deep.as_bytes(), FileFormat::Json);
    assert!(error.unwrap().contains("recursion") && memory < SMALL);
    let wide = format!("{}\n{}\n", "a,".repeat(50_000), ",".repeat(50_000));
    let (rows, error, memory) = all(wide.as_bytes(), FileFormat::Csv);
    assert!(rows.is_empty() && error.unwrap().contains("columns"));
    assert!(memory < 8 * SMALL, "{memory}");
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn damaged_lines(damage in damage()) {
        survives(&damaged(LINES.as_bytes(), &damage), FileFormat::Json);
    }

    #[test]
    fn damaged_arrays(damage in damage()) {
        survives(&damaged(array().as_bytes(), &damage), FileFormat::Json);
    }

    #[test]
    fn damaged_tables(damage in damage()) {
        survives(&damaged(CSV.as_bytes(), &damage), FileFormat::Csv);
    }

    #[test]
    fn damaged_parquet(damage in damage(), which in 0_usize..6) {
        survives(&damaged(&parquet(compressions()[which]), &damage), FileFormat::Parquet);
    }
}
