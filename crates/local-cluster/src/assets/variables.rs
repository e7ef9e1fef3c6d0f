//! Environment variables that steer where programs come from.

/// A directory that holds ready programs; they are used whatever their version is.
pub(crate) const ASSETS_DIR: &str = "KUBEBUILDER_ASSETS";
/// Base address of a mirror of release files: `<base>/<version>/bin/<os>/<arch>/<name>[.sha256]`.
pub(crate) const RELEASE_MIRROR: &str = "KAITO_RELEASE_MIRROR";
