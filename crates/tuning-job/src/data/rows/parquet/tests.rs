//! Round trips of files with every encoding, codec and version.

use std::sync::Arc;

use ::parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::file::properties::{WriterProperties, WriterVersion};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::data::files::FileFormat;

const SCHEMA: &str = "message rows { required binary text (UTF8); optional int64 number; optional double part; required boolean yes;
    optional group tags (LIST) { repeated group list { optional binary element (UTF8); } } }";

#[derive(Clone, Debug)]
struct Line {
    text: String,
    number: Option<i64>,
    part: Option<f64>,
    yes: bool,
    tags: Option<Vec<Option<String>>>,
}

/// Options of a written file.
#[derive(Clone, Debug)]
struct Written {
    codec: Compression,
    version: WriterVersion,
    dictionary: bool,
    /// Encodings of texts, integers, floats and booleans.
    encodings: [Encoding; 4],
    rows_of_page: usize,
    rows_of_group: usize,
}

fn line() -> impl Strategy<Value = Line> {
    let text = || prop_oneof!["[a-c]{0,3}", "\\PC{0,40}", "x{200,300}"];
    (
        text(),
        any::<Option<i64>>(),
        proptest::option::of(-1e9..1e9),
        any::<bool>(),
        proptest::option::of(proptest::collection::vec(proptest::option::of(text()), 0..4)),
    )
        .prop_map(|(text, number, part, yes, tags)| Line {
            text,
            number,
            part,
            yes,
            tags,
        })
}

fn written() -> impl Strategy<Value = Written> {
    use Encoding::{
        BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED, DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, PLAIN, RLE,
    };
    let codecs = vec![
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ];
    let encodings = (
        proptest::sample::select(vec![PLAIN, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY]),
        proptest::sample::select(vec![PLAIN, DELTA_BINARY_PACKED, BYTE_STREAM_SPLIT]),
        proptest::sample::select(vec![PLAIN, BYTE_STREAM_SPLIT]),
        proptest::sample::select(vec![PLAIN, RLE]),
    );
    let versions = vec![WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    (
        proptest::sample::select(codecs),
        proptest::sample::select(versions),
        any::<bool>(),
        encodings,
        1_usize..20,
        1_usize..40,
    )
        .prop_map(
            |(codec, version, dictionary, encodings, rows_of_page, rows_of_group)| Written {
                codec,
                version,
                dictionary,
                encodings: encodings.into(),
                rows_of_page,
                rows_of_group,
            },
        )
}

fn file(lines: &[Line], written: &Written) -> Vec<u8> {
    let [text, number, part, yes] = written.encodings;
    let properties = WriterProperties::builder()
        .set_compression(written.codec)
        .set_writer_version(written.version)
        .set_dictionary_enabled(written.dictionary)
        .set_column_encoding("text".into(), text)
        .set_column_encoding("number".into(), number)
        .set_column_encoding("part".into(), part)
        .set_column_encoding("yes".into(), yes)
        .set_column_encoding(
            vec!["tags".to_owned(), "list".into(), "element".into()].into(),
            text,
        )
        .set_data_page_row_count_limit(written.rows_of_page)
        .set_write_batch_size(written.rows_of_page)
        .build();
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    for lines in lines.chunks(written.rows_of_group) {
        let mut group = writer.next_row_group().unwrap();
        let texts: Vec<ByteArray> = lines.iter().map(|line| line.text.as_str().into()).collect();
        column::<ByteArrayType>(&mut group, &texts, None, None);
        optional::<Int64Type>(&mut group, lines.iter().map(|line| line.number));
        optional::<DoubleType>(&mut group, lines.iter().map(|line| line.part));
        let truths: Vec<bool> = lines.iter().map(|line| line.yes).collect();
        column::<BoolType>(&mut group, &truths, None, None);
        tags(&mut group, lines);
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

type Group<'a, 'b> = SerializedRowGroupWriter<'a, &'b mut Vec<u8>>;

fn column<T: DataType>(
    group: &mut Group<'_, '_>,
    values: &[T::T],
    defined: Option<&[i16]>,
    repeated: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<T>()
        .write_batch(values, defined, repeated)
        .unwrap();
    column.close().unwrap();
}

fn optional<T: DataType>(group: &mut Group<'_, '_>, values: impl Iterator<Item = Option<T::T>> + Clone) {
    let defined: Vec<i16> = values.clone().map(|value| value.is_some().into()).collect();
    column::<T>(group, &values.flatten().collect::<Vec<_>>(), Some(&defined), None);
}

fn tags(group: &mut Group<'_, '_>, lines: &[Line]) {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let levels = match &line.tags {
            None => vec![0],
            Some(tags) if tags.is_empty() => vec![1],
            Some(tags) => tags.iter().map(|tag| if tag.is_some() { 3 } else { 2 }).collect(),
        };
        repeated.extend((0..levels.len()).map(|place| i16::from(place > 0)));
        defined.extend(levels);
        let tags = line.tags.iter().flatten().flatten();
        values.extend(tags.map(|tag| ByteArray::from(tag.as_str())));
    }
    column::<ByteArrayType>(group, &values, Some(&defined), Some(&repeated));
}

fn all(bytes: &[u8]) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.parquet");
    std::fs::write(&path, bytes).unwrap();
    let format = FileFormat::Parquet;
    let mut rows = Vec::new();
    read(&DataFile { path, format }, &mut |row| {
        rows.push(Value::Object(row));
        Ok(())
    })
    .unwrap();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_was_written_is_read(lines in proptest::collection::vec(line(), 1..80), written in written()) {
        let expected: Vec<Value> = lines
            .iter()
            .map(|Line { text, number, part, yes, tags }| {
                json!({"text": text, "number": number, "part": part, "yes": yes, "tags": tags})
            })
            .collect();
        prop_assert_eq!(all(&file(&lines, &written)), expected);
    }
}

/// Lists of lengths that take several blocks.
#[test]
fn texts_as_differences_are_read() {
    let lines: Vec<Line> = (0_usize..2000)
        .map(|number| Line {
            text: "a text and more ".repeat(number * number % 37) + &number.to_string(),
            number: None,
            part: None,
            yes: true,
            tags: Some(vec![None, Some(number.to_string())]),
        })
        .collect();
    for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let written = Written {
                codec: Compression::SNAPPY,
                version,
                dictionary: false,
                encodings: [encoding, Encoding::PLAIN, Encoding::PLAIN, Encoding::PLAIN],
                rows_of_page: 1500,
                rows_of_group: 2000,
            };
            let rows = all(&file(&lines, &written));
            for (row, line) in rows.iter().zip(&lines) {
                assert_eq!(row["text"], line.text.as_str());
                assert_eq!(row["tags"][1], line.tags.as_ref().unwrap()[1].as_deref().unwrap());
            }
            assert_eq!(rows.len(), lines.len());
        }
    }
}

/// As DuckDB writes long texts: one page for all of them.
#[test]
fn a_page_of_a_hundred_megabytes_is_read() {
    let long = Line {
        text: "long ".repeat(20 << 20),
        number: None,
        part: None,
        yes: true,
        tags: None,
    };
    let written = Written {
        codec: Compression::ZSTD(ZstdLevel::default()),
        version: WriterVersion::PARQUET_1_0,
        dictionary: false,
        encodings: [Encoding::PLAIN; 4],
        rows_of_page: 10,
        rows_of_group: 10,
    };
    let rows = all(&file(std::slice::from_ref(&long), &written));
    assert_eq!(rows[0]["text"].as_str(), Some(long.text.as_str()));
}
