//! Valid files with damage.

use proptest::prelude::*;

/// One change of a file.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// This byte instead of the one there.
    Byte(usize, u8),
    /// These bytes between others.
    Insert(usize, Vec<u8>),
    /// This many bytes are removed.
    Remove(usize, usize),
    /// A part occurs twice.
    Repeat(usize, usize),
    /// The file ends here.
    Cut(usize),
}

/// ExampleEncoder and bytes that often matter: delimiters, extremes of numbers, what is no UTF-8.
const PIECES: [&[u8]; 22] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"\n",
    b"- ",
    b"&a *a",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b".nan",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
    b"\xff\xff\xff\xff\x07",
    b"\x00\x00\x00\x80",
];

/// Runs so many cases; failures are printed and not kept in a file.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

pub(crate) fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let at = 0_usize..1 << 20;
    let piece = prop_oneof![
        proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 1..8),
    ];
    let one = prop_oneof![
        4 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        3 => (at.clone(), piece).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        1 => (at.clone(), 1_usize..16).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (at.clone(), 1_usize..64).prop_map(|(at, count)| Damage::Repeat(at, count)),
        1 => at.prop_map(Damage::Cut),
    ];
    proptest::collection::vec(one, 1..4)
}

/// Returns the file with that damage.
pub(crate) fn damaged(file: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for one in damage {
        let place = |at: &usize| at % (bytes.len() + 1);
        match one {
            Damage::Byte(at, byte) => {
                let at = place(at).min(bytes.len().saturating_sub(1));
                if let Some(there) = bytes.get_mut(at) {
                    *there = *byte;
                }
            }
            Damage::Insert(at, piece) => {
                let at = place(at);
                bytes.splice(at..at, piece.iter().copied());
            }
            Damage::Remove(at, count) => {
                let at = place(at);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Damage::Repeat(at, count) => {
                let at = place(at);
                let part = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            Damage::Cut(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
        }
    }
    bytes
}
