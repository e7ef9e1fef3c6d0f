//! The certificates of authorities that a client trusts.

use std::path::Path;

use reqwest::Certificate;

use crate::error::{Error, Result};

/// Reads the file of further authorities, if there is one.
pub(super) fn read(file: Option<&Path>) -> Result<Option<Vec<u8>>> {
    file.map(|file| std::fs::read(file).map_err(Error::local("read", file)))
        .transpose()
}

/// Mozilla's roots, which are part of the program, those of the system, and the given ones.
pub(super) fn all(file: Option<&Path>, pem: Option<&[u8]>) -> Result<Vec<Certificate>> {
    let mut roots = Vec::new();
    let system = rustls_native_certs::load_native_certs().certs;
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    for der in system.iter().chain(built_in) {
        // A malformed certificate in the system's store must not stop the program.
        roots.extend(Certificate::from_der(der));
    }
    if let (Some(file), Some(pem)) = (file, pem) {
        let bundle = Certificate::from_pem_bundle(pem).map_err(|source| Error::Certificates {
            file: file.to_owned(),
            source,
        })?;
        roots.extend(bundle);
    }
    Ok(roots)
}
