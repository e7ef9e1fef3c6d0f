//! Tests of all page types, ambiguous headers and encryption.

use std::io::Cursor;

use super::*;

/// A field with a signed number of at most 6 bits.
fn number(value: i8) -> Vec<u8> {
    vec![0x15, ((value << 1) ^ (value >> 7)).cast_unsigned()]
}

/// A header with these sizes; `part` has the fields after them.
fn header(kind: i8, uncompressed: i8, compressed: i8, part: &[u8]) -> Vec<u8> {
    [
        number(kind),
        number(uncompressed),
        number(compressed),
        part.to_vec(),
        vec![0],
    ]
    .concat()
}

fn parsed(bytes: &[u8]) -> Result<(Header, u64), String> {
    let mut input = bytes;
    read(&mut input, 1000).map_err(|error| error.to_string())
}

/// Parts of headers: of data with statistics, of an index, of a dictionary with 300 values, and two of data of the second version.
const DATA_PART: &[u8] = &[
    0x2c, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c, 0x18, 1, b'z', 0x18, 1, b'a', 0, 0,
];
const INDEX_PART: &[u8] = &[0x3c, 0];
const DICTIONARY_PART: &[u8] = &[0x4c, 0x15, 0xd8, 4, 0x15, 0, 0x11, 0];
const V2_PART: &[u8] = &[
    0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 4, 0x12, 0,
];
const V2_COMPRESSED_PART: &[u8] = &[0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0x15, 0, 0x15, 0, 0];

#[test]
fn headers_of_all_pages_are_read() {
    for (kind, bytes, part) in [
        (0, DATA_PART, Part::Data),
        (1, INDEX_PART, Part::Index),
        (1, &[], Part::Index),
        (2, DICTIONARY_PART, Part::Dictionary { values: 300 }),
        (
            3,
            V2_PART,
            Part::DataV2 {
                levels: 5,
                compressed: false,
            },
        ),
        (
            3,
            V2_COMPRESSED_PART,
            Part::DataV2 {
                levels: 0,
                compressed: true,
            },
        ),
    ] {
        let bytes = header(kind, 63, 20, bytes);
        let expected = Header {
            part,
            compressed: 20,
            uncompressed: 63,
        };
        assert_eq!(parsed(&bytes), Ok((expected, bytes.len() as u64)));
        for end in 0..bytes.len() {
            assert!(parsed(&bytes[..end]).is_err(), "{part:?} until {end}");
        }
    }
}

#[test]
fn headers_with_two_meanings_are_refused() {
    for (bytes, said) in [
        (header(0, -1, 20, DATA_PART), "negative"),
        (header(0, 20, -1, DATA_PART), "negative"),
        (header(2, 20, 20, &[0x4c, 0x15, 1, 0x15, 0, 0]), "negative"),
        (header(4, 20, 20, DATA_PART), "unknown"),
        (header(-1, 20, 20, DATA_PART), "unknown"),
        (header(0, 20, 20, &[]), "missing"),
        (
            header(2, 20, 20, &[0x4c, 0x25, 0, 0]),
            "number of values is missing",
        ),
        (header(2, 20, 20, DATA_PART), "missing"),
        (
            header(0, 20, 20, &[DATA_PART, &[0x3c], &V2_PART[1..]].concat()),
            "several",
        ),
        (
            header(0, 20, 20, &[DATA_PART, &[0x0c, 10], &DATA_PART[1..]].concat()),
            "twice",
        ),
        (header(0, 20, 20, &[0x05, 4, 2]), "twice"),
        // A size of 64 bits, and a number where a struct belongs.
        (vec![0x15, 0, 0x16, 2, 0x15, 2, 0], "another type"),
        (header(0, 20, 20, &[0x25, 2]), "another type"),
        // An encoding that is a text, which would hide what follows from one of two readers.
        (header(2, 20, 20, &[0x4c, 0x15, 2, 0x18, 0, 0]), "another type"),
        (vec![0x15, 0, 0x15, 2, 0], "missing"),
        (vec![0], "missing"),
    ] {
        let error = parsed(&bytes).unwrap_err();
        assert!(error.contains(said), "{bytes:x?}: {error}");
    }
}

#[test]
fn encrypted_files_are_known() {
    let file = |footer: &[u8], magic: &[u8; 4]| {
        let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
        [b"PAR1", footer, &length, magic].concat()
    };
    for (bytes, encrypted) in [
        (file(&[0x15, 2, 0], b"PAR1"), false),
        (file(&[0x15, 2, 0x7c, 0x1c, 0, 0, 0], b"PAR1"), true),
        // In a text, and in another struct, it is something else.
        (file(&[0x18, 2, 0x7c, 0x1c, 0], b"PAR1"), false),
        (file(&[0x1c, 0x8c, 0, 0, 0], b"PAR1"), false),
        (file(&[0x15, 2, 0], b"PARE"), true),
        (file(&[0x1f], b"PAR1"), false),
        (file(&[0x15], b"PAR1"), false),
        (file(&[0x15, 2, 0], b"PK\x03\x04"), false),
        (b"\xff\xff\xff\x7fPAR1".to_vec(), false),
        (b"PAR1".to_vec(), false),
        (Vec::new(), false),
    ] {
        assert_eq!(
            is_encrypted(&mut Cursor::new(&bytes)).unwrap(),
            encrypted,
            "{bytes:x?}"
        );
    }
}
