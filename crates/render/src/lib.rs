//! Kubernetes objects from values, one file a kind.

pub mod images;

pub use images::Images;
