//! Tests of skipping, limits and ambiguous values.

use proptest::prelude::*;

use super::*;

/// Reads a struct with a known number in field 1. Returns that number and the bytes read.
fn read(bytes: &[u8], most: u64) -> Result<(Option<i32>, u64), String> {
    let mut input = bytes;
    let mut compact = Compact::new(&mut input, most);
    let mut number = None;
    compact
        .fields(&[Wire::I32, Wire::True], |compact, id, wire| {
            match id {
                1 => number = Some(compact.int()?),
                _ => compact.skip_field(wire)?,
            }
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    Ok((number, compact.taken()))
}

#[test]
fn unknown_fields_are_skipped() {
    for (unknown, what) in [
        (&[0x28, 3, b'a', b'b', b'c'][..], "text"),
        (&[0x23, 9], "byte"),
        (&[0x26, 0xff, 0xff, 0xff, 0x0f], "number of 64 bits"),
        (&[0x27, 0, 0, 0, 0, 0, 0, 0, 0], "float"),
        (
            &[0x2d, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
            "uuid",
        ),
        (&[0x29, 0x25, 2, 4], "list of numbers"),
        (&[0x29, 0xf5, 2, 2, 4], "list with its length in a varint"),
        (&[0x29, 0x02], "list of no booleans"),
        (&[0x29, 0x00], "list of nothing"),
        (&[0x2a, 0x1c, 0x15, 2, 0], "set of structs"),
        (&[0x2b, 1, 0x85, 1, b'a', 2], "map"),
        (&[0x2b, 0], "map of nothing"),
        (&[0x2c, 0x11, 0x1c, 0x15, 4, 0, 0], "structs in each other"),
        (&[0x05, 0x3f, 2], "field with its whole number"),
    ] {
        let bytes = [&[0x15, 7 << 1][..], unknown, &[0]].concat();
        assert_eq!(read(&bytes, 100), Ok((Some(7), bytes.len() as u64)), "{what}");
        // An early end is an error.
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], 100).is_err(), "{what} until {end}");
            let error = read(&bytes, end as u64).unwrap_err();
            assert!(error.contains("longer"), "{what} until {end}: {error}");
        }
    }
}

#[test]
fn ambiguous_values_are_refused() {
    let deep = [vec![0x3c], vec![0x1c; 20]].concat();
    for (bytes, part) in [
        (&[0x15, 2, 0x05, 2, 4][..], "twice"),
        (&[0x16, 2], "another type"),
        (&[0x1c, 0], "another type"),
        (&[0x15, 2, 0x15, 2], "another type"),
        (&[0x15, 0xff, 0xff, 0xff, 0xff, 0x1f], "32 bits"),
        (
            &[
                0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
            "another type",
        ),
        (
            &[
                0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
            "does not end",
        ),
        (&[0x39, 0x11, 1], "booleans"),
        (&[0x39, 0xf1, 0xff, 0xff, 3], "booleans"),
        (&[0x3b, 1, 0x15, 1], "booleans"),
        (&[0x1f], "unknown type"),
        (&[0x05, 0xff, 0xff, 0x0f], "impossible number"),
        (&deep, "deep"),
    ] {
        let error = read(bytes, 100).unwrap_err();
        assert!(error.contains(part), "{bytes:x?}: {error}");
    }
}

#[test]
fn a_boolean_is_in_the_type_of_its_field() {
    for wire in [0x21, 0x22] {
        assert_eq!(read(&[wire, 0], 100), Ok((None, 2)));
    }
}

#[test]
fn numbers_are_signed() {
    for (bytes, number) in [
        (&[0x15, 0, 0][..], 0),
        (&[0x15, 1, 0], -1),
        (&[0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0], i32::MAX),
        (&[0x15, 0xff, 0xff, 0xff, 0xff, 0x0f, 0], i32::MIN),
        // Longer than necessary, which every reader accepts.
        (&[0x15, 0x82, 0x80, 0, 0], 1),
    ] {
        assert_eq!(read(bytes, 100).unwrap().0, Some(number));
    }
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), most in 0_u64..200) {
        if let Ok((_, taken)) = read(&bytes, most) {
            prop_assert!(taken <= most && taken <= bytes.len() as u64);
        }
    }
}
