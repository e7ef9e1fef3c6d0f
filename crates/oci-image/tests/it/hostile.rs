//! Archives made to break out: whatever they hold, the world outside the directory stays as it was.

use proptest::prelude::*;
use tar::EntryType;

use super::*;

/// Names from few parts, so that entries meet each other.
fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => Just("data"), 4 => Just("a"), 4 => Just("b"), 1 => Just(".."), 1 => Just("."), 1 => Just(""),
        1 => Just(".wh.a"), 1 => Just(".wh.data"), 1 => Just(".wh..wh..opq"), 1 => Just("outside"),
    ];
    (any::<bool>(), prop::collection::vec(part, 1..5), any::<bool>()).prop_map(|(absolute, parts, slash)| {
        let path = parts.join("/");
        format!(
            "{}{path}{}",
            if absolute { "/" } else { "" },
            if slash { "/" } else { "" }
        )
    })
}

fn entry() -> impl Strategy<Value = Raw> {
    let kind = prop_oneof![
        4 => Just(EntryType::Regular), 3 => Just(EntryType::Directory), 4 => Just(EntryType::Symlink),
        2 => Just(EntryType::Link), 1 => Just(EntryType::Fifo), 1 => Just(EntryType::Char),
    ];
    (name(), kind, name()).prop_map(|(name, kind, target)| {
        let content: &[u8] = if kind == EntryType::Regular { b"evil" } else { b"" };
        raw(&format!("data/{name}"), kind, &target, content)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_outside_is_touched(
        layers in prop::collection::vec(prop::collection::vec(entry(), 0..12), 1..4),
        below in prop_oneof![Just(Some("data")), Just(None)],
    ) {
        let world = tempfile::tempdir().unwrap();
        let outside = world.path().join("outside");
        std::fs::write(&outside, "precious").unwrap();
        let root = world.path().join("deep/root");
        std::fs::create_dir_all(&root).unwrap();
        let mut unpacker = Unpacker::new(&root, below, LIMITS);
        for layer in &layers {
            // A refused entry ends its own layer only, so that more is tried.
            let _ = unpacker.apply(&archive(layer)[..]);
        }
        let around: Vec<String> = listing(world.path())
            .into_iter()
            .filter(|line| !line.starts_with("deep/root/"))
            .collect();
        prop_assert_eq!(around, ["deep/", "outside = precious"]);
        let canonical = root.canonicalize().unwrap();
        for line in listing(&root) {
            if let Some((name, _)) = line.split_once(" -> ")
                && let Ok(target) = root.join(name).canonicalize()
            {
                prop_assert!(target.starts_with(&canonical), "{} leads to {}", line, target.display());
            }
        }
    }

    #[test]
    fn damaged_bytes_are_errors_and_no_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = well_formed(&[("data/a", b"abc"), (&"long/".repeat(40), b"def"), ("data/b", b"")]);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let scratch = tempfile::tempdir().unwrap();
        let _ = Unpacker::new(scratch.path(), None, LIMITS).apply(&bytes[..]);
    }

    #[test]
    fn noise_is_no_archive(bytes in prop::collection::vec(any::<u8>(), 0..2048), magic in 0..4usize) {
        let start: [&[u8]; 4] = [b"", &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd], &[0x50, 0x2a, 0x4d, 0x18]];
        let bytes = [start[magic], &bytes].concat();
        let scratch = tempfile::tempdir().unwrap();
        let _ = Unpacker::new(scratch.path(), None, LIMITS).apply(&bytes[..]);
        prop_assert_eq!(listing(scratch.path()), Vec::<String>::new());
    }
}
