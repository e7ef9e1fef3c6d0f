//! Tests of the end of lists and of their limits.

use super::*;

fn counted(bytes: &[u8]) -> std::result::Result<(u64, usize), String> {
    let mut rest = bytes;
    let count = lengths(&mut rest).map_err(|error| error.to_string())?;
    Ok((count, bytes.len() - rest.len()))
}

#[test]
fn lists_of_lengths_end_where_the_next_begins() {
    // Blocks of 128 in 4 parts, the first length is 1.
    let list = |count: &[u8], blocks: &[u8]| [&[0x80, 1, 4], count, &[2], blocks, b"texts"].concat();
    for (bytes, count, taken) in [
        (list(&[0], &[]), 0, 5),
        (list(&[1], &[]), 1, 5),
        // Two bits for each of 32; the other parts have no bytes, whatever their width.
        (list(&[2], &[0, 2, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0]), 2, 18),
        (list(&[33], &[0, 2, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0]), 33, 18),
        (list(&[34], &[0, 0, 1, 9, 9, 0, 0, 0, 0]), 34, 14),
        (list(&[0x81, 1], &[0, 0, 0, 0, 0]), 129, 11),
        (
            list(&[0x82, 1], &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
            130,
            20,
        ),
    ] {
        assert_eq!(counted(&bytes), Ok((count, taken)), "{bytes:?}");
        for end in 0..taken {
            assert!(counted(&bytes[..end]).is_err(), "{bytes:?} until {end}");
        }
    }
}

#[test]
fn lists_that_do_not_end_are_refused() {
    for (bytes, said) in [
        (&[0x80, 1, 0, 9, 2][..], "divided into nothing"),
        (&[0, 4, 9, 2], "divided into nothing"),
        (&[0x80, 1, 4, 9, 2, 0, 9], "longer"),
        (&[0x80, 1, 4, 9, 2, 0, 255, 0, 0, 0], "longer"),
        (&[0x80, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 2], ""),
    ] {
        let found = counted(bytes);
        if said.is_empty() {
            assert_eq!(found, Ok((0, bytes.len())));
        } else {
            let error = found.unwrap_err();
            assert!(error.contains(said), "{bytes:?}: {error}");
        }
    }
}

#[test]
fn levels_are_as_long_as_they_say() {
    #[expect(deprecated, reason = "it is in old files")]
    let packed = Encoding::BIT_PACKED;
    for (encoding, highest, expected) in [
        (Encoding::RLE, 0, Some(0)),
        (Encoding::RLE, 1, Some(4 + 3)),
        (packed, 1, Some(3)),
        (packed, 3, Some(5)),
        (Encoding::PLAIN, 1, None),
    ] {
        assert_eq!(
            levels(&[3, 0, 0, 0, 1], encoding, highest, 20),
            expected,
            "{encoding} {highest}"
        );
    }
    assert_eq!(levels(&[3, 0, 0], Encoding::RLE, 1, 20), None);
}
