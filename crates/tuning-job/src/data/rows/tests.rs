//! Tests of all formats.

use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn all(name: &str, bytes: &[u8], format: FileFormat) -> Result<Vec<Value>, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut rows = Vec::new();
    read(&DataFile { path, format }, &mut |_, row| {
        rows.push(Value::Object(row));
        Ok(())
    })?;
    Ok(rows)
}

fn parquet_file(compression: Compression) -> Vec<u8> {
    let schema =
        "message rows { optional group messages (LIST) { repeated group list { optional group element {
        optional binary role (UTF8); optional binary content (UTF8); } } } }";
    let properties = WriterProperties::builder().set_compression(compression).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for texts in [["user", "assistant", "user"], ["hi", "hello", "bye"]] {
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = texts.into_iter().map(ByteArray::from).collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&[4, 4, 4]), Some(&[0, 1, 0]))
            .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn every_format_gives_the_same_rows() {
    let expected = vec![json!({"a": "1", "b": "x, y"}), json!({"a": "2", "b": "ü\n"})];
    let lines = "\u{feff}\n{\"a\":\"1\",\"b\":\"x, y\"}\n\n{\"a\":\"2\",\"b\":\"ü\\n\"}";
    assert_eq!(
        all("d.jsonl", lines.as_bytes(), FileFormat::Json).unwrap(),
        expected
    );
    assert_eq!(
        all("d.json", json!(expected).to_string().as_bytes(), FileFormat::Json).unwrap(),
        expected
    );
    assert_eq!(
        all(
            "d.csv",
            "a, b\n1,\"x, y\"\n2,\"ü\n\"\n".as_bytes(),
            FileFormat::Csv
        )
        .unwrap(),
        expected
    );
}

#[test]
fn parquet_keeps_nested_rows() {
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    let expected = vec![
        json!({"messages": [said("user", "hi"), said("assistant", "hello")]}),
        json!({"messages": [said("user", "bye")]}),
    ];
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        assert_eq!(
            all("d.parquet", &parquet_file(compression), FileFormat::Parquet).unwrap(),
            expected
        );
    }
}

#[test]
fn malformed_files_name_the_problem() {
    for (name, bytes, format, part) in [
        (
            "d.jsonl",
            "{\"a\":1}\n{\"a\":\n".as_bytes().to_vec(),
            FileFormat::Json,
            "line 2",
        ),
        (
            "d.json",
            b"[{\"a\":1}, 3]".to_vec(),
            FileFormat::Json,
            "expected a map",
        ),
        ("d.json", b"[{\"a\":1}".to_vec(), FileFormat::Json, "EOF"),
        ("d.csv", b"a,b\n1,2\n1\n".to_vec(), FileFormat::Csv, "fields"),
        (
            "d.parquet",
            b"PAR1 nothing".to_vec(),
            FileFormat::Parquet,
            "d.parquet",
        ),
        (
            "d.csv",
            [b"a\n\"".to_vec(), vec![b'x'; 40 << 20]].concat(),
            FileFormat::Csv,
            "longer than",
        ),
        (
            "d.json",
            [b"[{\"a\":\"".to_vec(), vec![b'x'; 40 << 20]].concat(),
            FileFormat::Json,
            "longer than",
        ),
        (
            "d.jsonl",
            [b"{\"a\":\"".to_vec(), vec![b'x'; 40 << 20]].concat(),
            FileFormat::Json,
            "longer than",
        ),
    ] {
        let error = all(name, &bytes, format).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_parquet_never_panics(at in 0_usize..1000, byte: u8, cut in 0_usize..1000) {
        let mut bytes = parquet_file(Compression::SNAPPY);
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % (length / 4));
        let _ = all("d.parquet", &bytes, FileFormat::Parquet);
    }
}
