//! Packed objects: JSON, compressed if it is long.
//!
//! A pod template takes 25 kB as a value, since each of its structs has room for every field. Packed it takes a tenth of that, and
//! it is read only when its Workspace is reconciled.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Length from which compression is worth its time.
const LONG: usize = 1024;

/// The two directions for one type.
pub(crate) struct Packing<K> {
    pub(crate) pack: fn(&K) -> Option<Packed>,
    pub(crate) unpack: fn(&Packed) -> Option<K>,
}

/// One packed object.
pub(crate) enum Packed {
    Plain(Box<[u8]>),
    Compressed(Box<[u8]>),
}

impl<K: Serialize + DeserializeOwned + PartialEq> Packing<K> {
    pub(crate) const fn json() -> Self {
        Self {
            pack: pack::<K>,
            unpack: unpack::<K>,
        }
    }
}

/// Packs an object; `None` if it would not come back as it is.
fn pack<K: Serialize + DeserializeOwned + PartialEq>(object: &K) -> Option<Packed> {
    let json = serde_json::to_vec(object).ok()?;
    let packed = if json.len() < LONG {
        Packed::Plain(json.into())
    } else {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&json).ok()?;
        Packed::Compressed(encoder.finish().ok()?.into())
    };
    let back: K = unpack(&packed)?;
    (back == *object).then_some(packed)
}

fn unpack<K: DeserializeOwned>(packed: &Packed) -> Option<K> {
    match packed {
        Packed::Plain(json) => serde_json::from_slice(json).ok(),
        Packed::Compressed(bytes) => {
            let mut json = Vec::new();
            DeflateDecoder::new(&bytes[..]).read_to_end(&mut json).ok()?;
            serde_json::from_slice(&json).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[test]
    fn short_and_long_objects_come_back() {
        let packing = Packing::<ConfigMap>::json();
        for length in [0, 10_000] {
            let data = [("a".to_owned(), "x".repeat(length))];
            let object = ConfigMap {
                data: Some(data.into()),
                ..ConfigMap::default()
            };
            let packed = (packing.pack)(&object).unwrap();
            assert_eq!((packing.unpack)(&packed), Some(object));
            let (Packed::Plain(bytes) | Packed::Compressed(bytes)) = packed;
            assert!(bytes.len() < 200, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn what_json_cannot_tell_stays_whole() {
        let packing = Packing::<Option<Option<u8>>>::json();
        assert!((packing.pack)(&Some(Some(1))).is_some());
        assert!((packing.pack)(&Some(None)).is_none());
    }
}
