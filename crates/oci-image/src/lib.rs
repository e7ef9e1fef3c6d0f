//! OCI images as files.
//!
//! | part | what it does |
//! |---|---|
//! | [`LayerWriter`] | packs files into a layer: equal input gives equal bytes |
//! | [`Image`] | builds the configuration and the manifest of an image, reproducibly |
//! | [`Layout`] | writes an image layout, the directory form of an image |
//! | [`Unpacker`] | applies untrusted layers to a directory, and writes nothing outside it |
//!
//! Blocking, and without network: the client of registries is in `artifact`.

mod compression;
mod digest;
mod error;
mod image;
mod inflation;
mod json;
mod layer;
mod layout;
mod path;
mod tarball;
mod tree;
mod unpack;

pub use compression::decompressed;
pub use digest::{Hashing, digest_of};
pub use error::{Error, Result};
pub use image::{Assembled, Image, Platform};
pub use json::canonical;
pub use layer::{Layer, LayerWriter};
pub use layout::Layout;
pub use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};
pub use tree::add_tree;
pub use unpack::{Limits, Unpacker};
