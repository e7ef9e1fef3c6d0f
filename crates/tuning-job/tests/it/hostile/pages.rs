//! Parquet files with false claims in pages.

use std::io::Write as _;
use std::sync::Arc;

use flate2::write::GzEncoder;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;
use tuning_job::data::FileFormat;

use super::rows::{SMALL, all};

/// Types of pages.
const DATA: i32 = 0;
const DICTIONARY: i32 = 2;
const DATA_V2: i32 = 3;
/// Parts of headers: one value as it is.
const DATA_PART: &[u8] = &[0x2c, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0];
const MAX: i32 = i32::MAX;

/// `one`, as a column of texts has it.
const BODY: &[u8] = b"\x03\0\0\0one";
/// The same after Snappy.
const SNAPPY_BODY: &[u8] = b"\x07\x18\x03\0\0\0one";

fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(value: i32) -> Vec<u8> {
    let coded = (value << 1).cast_unsigned() ^ (value >> 31).cast_unsigned();
    [vec![0x15], varint(coded)].concat()
}

/// A dictionary of so many texts.
fn dictionary_part(values: i32) -> Vec<u8> {
    [&[0x4c][..], &number(values), &[0x15, 0, 0]].concat()
}

/// One value, with so many bytes of both kinds of levels before it.
fn v2_part(definition: i32, repetition: i32) -> Vec<u8> {
    let sizes = [number(definition), number(repetition)].concat();
    [&[0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0][..], &sizes, &[0]].concat()
}

/// A header and what follows it.
fn page(kind: i32, (uncompressed, compressed): (i32, i32), part: &[u8], body: &[u8]) -> Vec<u8> {
    [
        &number(kind),
        &number(uncompressed),
        &number(compressed),
        part,
        &[0],
        body,
    ]
    .concat()
}

/// Claims of the footer about columns, which are all alike.
struct Claims {
    codec: Compression,
    uncompressed: i64,
    /// Bytes of the column, if not those that are there.
    length: Option<i64>,
    dictionary: bool,
    columns: usize,
}

const CLAIMS: Claims = Claims {
    codec: Compression::UNCOMPRESSED,
    uncompressed: 1 << 32,
    length: None,
    dictionary: false,
    columns: 1,
};

const fn compressed(codec: Compression) -> Claims {
    Claims { codec, ..CLAIMS }
}

/// A file of one row with these bytes in each of its columns.
fn file(pages: &[u8], claims: &Claims) -> Vec<u8> {
    let name = |column| {
        if column == 0 {
            "text".to_owned()
        } else {
            format!("text{column}")
        }
    };
    let fields: String = (0..claims.columns)
        .map(|column| format!("required binary {} (UTF8);", name(column)))
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {fields} }}")).unwrap());
    let schema = Arc::new(SchemaDescriptor::new(schema));
    let mut bytes = b"PAR1".to_vec();
    let mut columns = Vec::new();
    for column in 0..claims.columns {
        let start = i64::try_from(bytes.len()).unwrap();
        let length = i64::try_from(pages.len()).unwrap();
        bytes.extend(pages);
        let chunk = ColumnChunkMetaData::builder(schema.column(column))
            .set_compression(claims.codec)
            .set_num_values(1)
            .set_data_page_offset(start)
            .set_dictionary_page_offset(claims.dictionary.then_some(start))
            .set_total_compressed_size(claims.length.unwrap_or(length))
            .set_total_uncompressed_size(claims.uncompressed);
        columns.push(chunk.build().unwrap());
    }
    let group = RowGroupMetaData::builder(Arc::clone(&schema))
        .set_num_rows(1)
        .set_total_byte_size(1 << 20)
        .set_column_metadata(columns);
    let whole = FileMetaData::new(1, 1, None, None, schema, None);
    let metadata = ParquetMetaData::new(whole, vec![group.build().unwrap()]);
    ParquetMetaDataWriter::new(&mut bytes, &metadata)
        .finish()
        .unwrap();
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn length(bytes: &[u8]) -> i32 {
    bytes.len().try_into().unwrap()
}

/// Valid pages; every case below differs from one of these in one thing.
#[test]
fn valid_pages_are_read() {
    let gzipped = gzip(BODY);
    let dictionary = page(DICTIONARY, (7, 7), &dictionary_part(1), BODY);
    // The first value of the dictionary, in no bits.
    let of_dictionary = [0x2c, 0x15, 2, 0x15, 16, 0x15, 6, 0x15, 6, 0];
    let indexed = page(DATA, (2, 2), &of_dictionary, &[0, 2]);
    let dictionaries = Claims {
        dictionary: true,
        ..CLAIMS
    };
    let snappy = compressed(Compression::SNAPPY);
    let gzips = compressed(Compression::GZIP(GzipLevel::default()));
    for (pages, claims) in [
        (page(DATA, (7, 7), DATA_PART, BODY), &CLAIMS),
        (page(DATA, (7, 9), DATA_PART, SNAPPY_BODY), &snappy),
        (page(DATA, (7, length(&gzipped)), DATA_PART, &gzipped), &gzips),
        (page(DATA_V2, (7, 9), &v2_part(0, 0), SNAPPY_BODY), &snappy),
        ([dictionary, indexed].concat(), &dictionaries),
        (
            [
                page(1, (0, 3), &[0x3c, 0], b"???"),
                page(DATA, (7, 7), DATA_PART, BODY),
            ]
            .concat(),
            &CLAIMS,
        ),
    ] {
        let (rows, error, memory) = all(&file(&pages, claims), FileFormat::Parquet);
        assert_eq!((rows, error), (vec![serde_json::json!({"text": "one"})], None));
        assert!(memory < SMALL, "{memory}");
    }
}

#[test]
fn impossible_claims_are_refused_before_memory_is_allocated() {
    let zstd = compressed(Compression::ZSTD(ZstdLevel::default()));
    let snappy = compressed(Compression::SNAPPY);
    let small = Claims {
        uncompressed: 30,
        ..compressed(Compression::SNAPPY)
    };
    let dictionary = Claims {
        dictionary: true,
        ..CLAIMS
    };
    let short = Claims {
        length: Some(5),
        ..CLAIMS
    };
    let beyond = Claims {
        length: Some(1 << 40),
        ..CLAIMS
    };
    let gone = Claims {
        uncompressed: -1,
        ..CLAIMS
    };
    let several = Claims {
        columns: 12,
        ..compressed(Compression::ZSTD(ZstdLevel::default()))
    };
    let bomb = gzip(&vec![0; 64 << 20]);
    let bombs = compressed(Compression::GZIP(GzipLevel::default()));
    let frame = [b"\x04\x22\x4d\x18".as_slice(), &[0; 40]].concat();
    let endless = [&[0x15, 0, 0x88][..], &varint(u32::MAX), b"never"].concat();
    let good = page(DATA, (7, 7), DATA_PART, BODY);
    let data = |sizes| page(DATA, sizes, DATA_PART, SNAPPY_BODY);
    let wide = page(DATA, (100 << 20, 4000), DATA_PART, &[0; 4000]);
    for (pages, claims, said) in [
        (
            data((MAX, 9)),
            &snappy,
            "2147483647 bytes, 134217728 are supported",
        ),
        (
            data((7, MAX)),
            &snappy,
            "2147483647 bytes of the file, 9 are left",
        ),
        (
            page(DATA, (7, 8), DATA_PART, BODY),
            &CLAIMS,
            "8 bytes of the file, 7 are left",
        ),
        (data((31, 9)), &small, "31 bytes, its whole column 30"),
        (data((1 << 20, 9)), &snappy, "9 bytes become 1048576"),
        (data((100 << 20, 9)), &zstd, "9 bytes become 104857600"),
        (data((-7, 9)), &snappy, "negative"),
        (data((7, -9)), &snappy, "negative"),
        (
            page(DICTIONARY, (7, 7), &dictionary_part(MAX), BODY),
            &dictionary,
            "2147483647 values in 7",
        ),
        (
            page(DICTIONARY, (7, 7), &dictionary_part(-1), BODY),
            &dictionary,
            "negative",
        ),
        (
            page(DICTIONARY, (MAX, 9), &dictionary_part(1), SNAPPY_BODY),
            &snappy,
            "supported",
        ),
        (
            page(DATA_V2, (MAX, 9), &v2_part(0, 0), SNAPPY_BODY),
            &snappy,
            "supported",
        ),
        (
            page(DATA_V2, (7, 9), &v2_part(MAX, MAX), SNAPPY_BODY),
            &snappy,
            "become",
        ),
        (
            page(DATA_V2, (7, 9), &v2_part(0, -1), SNAPPY_BODY),
            &snappy,
            "negative",
        ),
        (page(DATA_V2, (7, 7), DATA_PART, BODY), &CLAIMS, "missing"),
        (page(9, (7, 7), DATA_PART, BODY), &CLAIMS, "unknown"),
        (
            page(DATA, (7, length(&bomb)), DATA_PART, &bomb),
            &bombs,
            "more than it claims",
        ),
        (
            page(DATA, (40, 44), DATA_PART, &frame),
            &compressed(Compression::LZ4),
            "frame format",
        ),
        (endless, &CLAIMS, "longer than the"),
        ([vec![0x9c], vec![0x1c; 500]].concat(), &CLAIMS, "deep"),
        (good.clone(), &short, "longer than the 5 bytes"),
        (good.clone(), &beyond, "all columns end"),
        (good.clone(), &gone, "negative"),
        ([good.clone(), vec![0x15]].concat(), &CLAIMS, "page 2: its header"),
        (
            good.clone(),
            &compressed(Compression::BROTLI(BrotliLevel::default())),
            "zstd or snappy",
        ),
        (good, &compressed(Compression::LZO), "zstd or snappy"),
        (wide, &several, "group of rows"),
    ] {
        let (rows, error, memory) = all(&file(&pages, claims), FileFormat::Parquet);
        let error = error.unwrap();
        assert!(rows.is_empty() && error.contains(said), "{said}: {error}");
        assert!(
            error.contains("the.data") && error.contains("column 'text"),
            "{error}"
        );
        assert!(
            ["fetch it again", "write the file again"]
                .iter()
                .any(|remedy| error.contains(remedy)),
            "{error}"
        );
        assert!(memory < SMALL, "{said}: {memory} bytes were taken");
    }
}

/// Lists of lengths are in pages, and the library would allocate as many as they claim.
#[test]
fn lists_of_lengths_are_bounded() {
    // One value, with lengths or with what it shares with the one before.
    let part = |encoding: u8| [&[0x2c, 0x15, 2, 0x15, encoding << 1, 0x15, 6, 0x15, 6, 0][..]].concat();
    let (by_length, by_difference) = (part(6), part(7));
    let one = |first: u8| vec![0x80, 1, 4, 1, first << 1];
    let many = |count: &[u8]| [&[0x80, 1, 4], count, &[0]].concat();
    let (billions, endless) = (
        many(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
        many(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]),
    );
    // In one block of 2^40.
    let wide = vec![
        0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0,
    ];
    let file_of = |part: &[u8], body: &[u8]| {
        let size = length(body);
        all(
            &file(&page(DATA, (size, size), part, body), &CLAIMS),
            FileFormat::Parquet,
        )
    };
    for (part, body) in [
        (&by_length, [one(3), b"one".to_vec()].concat()),
        (&by_difference, [one(0), one(3), b"one".to_vec()].concat()),
    ] {
        let (rows, error, _) = file_of(part, &body);
        assert_eq!((rows, error), (vec![serde_json::json!({"text": "one"})], None));
    }
    for (part, body) in [
        (&by_length, billions.clone()),
        (&by_length, endless.clone()),
        (&by_length, wide.clone()),
        (&by_difference, [one(0), wide].concat()),
        (&by_difference, [billions.clone(), one(3)].concat()),
        (&by_difference, [one(0), billions].concat()),
        (&by_difference, [one(0), endless].concat()),
    ] {
        let (rows, error, memory) = file_of(part, &body);
        let error = error.unwrap();
        assert!(rows.is_empty() && error.contains("lengths"), "{error}");
        assert!(
            error.contains("column 'text'") && error.contains("fetch it again"),
            "{error}"
        );
        assert!(memory < SMALL, "{memory} bytes were taken");
    }
}

#[test]
fn encrypted_files_are_refused() {
    let mut bytes = file(&page(DATA, (7, 7), DATA_PART, BODY), &CLAIMS);
    let last = bytes.len() - 1;
    bytes[last] = b'E';
    let (rows, error, _) = all(&bytes, FileFormat::Parquet);
    let error = error.unwrap();
    assert!(rows.is_empty() && error.contains("the.data"));
    assert!(
        error.contains("encrypted") && error.contains("without encryption"),
        "{error}"
    );
}
