//! Broken and hostile files: a clear error, no panic, and no memory taken for what a file merely claims.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

/// A small GGUF file: one text, one list, one tensor.
fn small_gguf() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend([1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat());
    out.extend(text("general.architecture"));
    out.extend([&8_u32.to_le_bytes()[..], &text("llama")].concat());
    out.extend(text("list"));
    out.extend(
        [
            &9_u32.to_le_bytes()[..],
            &4_u32.to_le_bytes(),
            &2_u64.to_le_bytes(),
            &[1, 0, 0, 0, 2, 0, 0, 0],
        ]
        .concat(),
    );
    out.extend(text("token_embd.weight"));
    out.extend(
        [
            &2_u32.to_le_bytes()[..],
            &32_u64.to_le_bytes(),
            &2_u64.to_le_bytes(),
            &8_u32.to_le_bytes(),
            &0_u64.to_le_bytes(),
        ]
        .concat(),
    );
    out.resize(out.len().next_multiple_of(32) + 68, 0);
    out
}

fn convert(bytes: &[u8]) -> String {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.gguf"), bytes).unwrap();
    gguf::convert(&dir.path().join("a.gguf"), &dir.path().join("out"), false)
        .unwrap_err()
        .to_string()
}

#[test]
fn gguf_files_are_bounded() {
    let whole = small_gguf();
    assert!(convert(&whole).contains("has no usable"), "{}", convert(&whole));
    assert!(convert(&whole[..whole.len() - 1]).contains("truncated"));
    let mut absurd = whole;
    absurd[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(convert(&absurd).contains("tensors"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutilated_gguf_files_do_no_harm(at in 0.0_f64..1.0, bytes in prop::collection::vec(any::<u8>(), 1..9), cut in any::<bool>()) {
        let mut whole = small_gguf();
        let at = (at * whole.len() as f64) as usize;
        if cut {
            whole.truncate(at);
        } else {
            for (place, byte) in whole[at..].iter_mut().zip(bytes) {
                *place = byte;
            }
        }
        convert(&whole);
    }
}
