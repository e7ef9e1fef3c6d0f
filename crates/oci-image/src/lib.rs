//! OCI images as files.
//!
//! | part | what it does |
//! |---|---|
//! | [`LayerWriter`] | packs files into a layer: equal input gives equal bytes |
//! | [`Image`] | makes configuration and manifest of an image, reproducibly |
//! | [`Layout`] | writes an image layout, the directory form of an image |
//! | [`Unpacker`] | applies foreign layers to a directory and lets nothing out of it |
//!
//! Blocking and without network. What can be read from a registry is in `artifact`.

mod compression;
mod digest;
mod error;
mod image;
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
