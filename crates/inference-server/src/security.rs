//! API keys and the certificate that flags name, which follow their files, and the origins of web pages.

mod access;
mod cors;
mod keys;

use axum::Router;
use axum::middleware;
use rustls::ServerConfig;
use serve::{Reloaded, TlsFiles};

use crate::settings::SecuritySettings;
use cors::Origins;
use keys::Keys;

/// The protection of the server.
#[derive(Debug)]
pub(crate) struct Security {
    keys: Option<Reloaded<Keys>>,
    pub(crate) encryption: Option<Reloaded<ServerConfig>>,
    origins: Option<Origins>,
}

impl Security {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or used, or the file of keys holds none.
    pub(crate) fn open(settings: &SecuritySettings) -> anyhow::Result<Self> {
        let parse = |contents: &[Vec<u8>]| {
            let keys = Keys::parse(contents.concat().as_slice());
            if keys.is_empty() {
                tracing::warn!("--api-key-file holds no key: every request is refused");
            }
            Ok::<_, anyhow::Error>(keys)
        };
        let follow = |file: &std::path::PathBuf| Reloaded::open(vec![file.clone()], parse, |_| ());
        let keys = settings.api_key_file.as_ref().map(follow).transpose()?;
        if let (Some(keys), Some(file)) = (&keys, &settings.api_key_file) {
            anyhow::ensure!(
                !keys.current().is_empty(),
                "{} holds no key: write one per line, or omit --api-key-file to admit every client",
                file.display()
            );
        }
        let encryption = match (&settings.tls_cert_file, &settings.tls_key_file) {
            (Some(certificate), Some(key)) => {
                let files = TlsFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    client_authorities: None,
                };
                Some(files.follow("http/1.1", |_| ())?)
            }
            (None, None) => None,
            _ => anyhow::bail!("--tls-cert-file and --tls-key-file must be given together"),
        };
        Ok(Self {
            keys,
            encryption,
            origins: Origins::new(&settings.cors_origins)?,
        })
    }

    /// Adds the check of keys before all routes, if there are keys. Questions of browsers come before it: they have no key.
    pub(crate) fn protect(&self, router: Router) -> Router {
        let router = match &self.keys {
            Some(keys) => router.layer(middleware::from_fn_with_state(keys.subscribe(), access::check)),
            None => router,
        };
        match &self.origins {
            Some(origins) => router.layer(middleware::from_fn_with_state(origins.clone(), cors::answer)),
            None => router,
        }
    }
}
