//! API keys. Pure: `security` reads the file, `access` checks requests.
//!
//! Keys are stored as SHA-256 digests. A check compares with all of them in constant time, so its duration reveals nothing
//! about a key.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// Keys that are accepted. Without any, every request is refused.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    digests: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("count", &self.digests.len())
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Parses one key a line. Surrounding whitespace, empty lines and lines that begin with `#` are ignored.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        Self {
            digests: keys.map(digest).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Returns true if this is one of the keys.
    pub(crate) fn accepts(&self, key: &[u8]) -> bool {
        let offered = digest(key);
        let any = self
            .digests
            .iter()
            .fold(Choice::from(0), |any, known| any | known.ct_eq(&offered));
        any.into()
    }
}

/// Returns a number that differs for different keys and reveals nothing about one.
pub(crate) fn scope(key: &[u8]) -> u64 {
    let digest = Sha256::new()
        .chain_update(b"prefix cache of ")
        .chain_update(key)
        .finalize();
    let (start, _) = digest.split_at(8);
    start
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line() {
        let keys = Keys::parse(b"first\r\n  second\t\n\n# third\nwith space\nlast");
        for key in ["first", "second", "with space", "last"] {
            assert!(keys.accepts(key.as_bytes()), "{key}");
        }
        for key in [
            "",
            "third",
            "# third",
            "firs",
            "first\r",
            "FIRST",
            "first\n  second",
        ] {
            assert!(!keys.accepts(key.as_bytes()), "{key}");
        }
        assert!(!format!("{keys:?}").contains("first"));
    }

    #[test]
    fn without_keys_every_key_is_refused() {
        for empty in ["", "\n\n", "# a", "   "] {
            let keys = Keys::parse(empty.as_bytes());
            assert!(
                keys.is_empty() && !keys.accepts(b"") && !keys.accepts(b"a"),
                "{empty:?}"
            );
        }
    }
}
