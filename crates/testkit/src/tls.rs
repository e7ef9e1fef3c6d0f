//! The one crypto provider. Neither the Kubernetes client nor the HTTP client installs one.

use std::sync::Once;

/// Installs ring as the provider of this process; more calls do nothing.
pub fn install_crypto_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails only when the test installed one itself, and then there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
