//! The web's certificate authorities, as Mozilla lists them, from a crate pinned in `Cargo.lock`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_image::{Layer, Layout};

/// The path at which most systems keep them, without the leading slash.
pub(super) const PATH: &str = "etc/ssl/certs/ca-certificates.crt";
/// As RFC 7468 wants lines to be.
const LINE: usize = 64;

/// The layer with all of them.
pub(super) fn layer(layout: &Layout, effort: u32) -> oci_image::Result<Layer> {
    let bundle = bundle();
    layout.layer(effort, |layer| {
        for directory in ["etc", "etc/ssl", "etc/ssl/certs"] {
            layer.directory(directory, 0o755)?;
        }
        layer.file(PATH, false, bundle.len() as u64, bundle.as_bytes())
    })
}

/// All of them in PEM.
fn bundle() -> String {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| pem(der))
        .collect()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines + "\n-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_what_it_was_made_of() {
        let bundle = bundle();
        let mut count = 0;
        for (block, der) in bundle
            .split("-----END CERTIFICATE-----\n")
            .zip(webpki_root_certs::TLS_SERVER_ROOT_CERTS)
        {
            let (_, body) = block.split_once("-----BEGIN CERTIFICATE-----\n").unwrap();
            assert!(body.lines().all(|line| line.len() <= LINE));
            assert_eq!(
                STANDARD.decode(body.lines().collect::<String>()).unwrap(),
                der.as_ref()
            );
            count += 1;
        }
        assert_eq!(count, webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(count > 50, "{count}");
    }
}
