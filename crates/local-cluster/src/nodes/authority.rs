//! The certificate authority of a cluster, kept so that later processes can sign certificates of nodes.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The file of the key, beside `ca.crt`.
const KEY_FILE: &str = "ca.key";

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// A private key and its certificate, as PEM.
pub(crate) struct SignedKey {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// Makes an authority. Writes `ca.crt` and `ca.key`, and returns its certificate as well.
    pub(crate) fn create(pki: &Path) -> Result<(Self, String)> {
        let params = params()?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        fs::write(pki.join("ca.crt"), &certificate).context("failed to write ca.crt")?;
        crate::kubeconfig::write(&pki.join(KEY_FILE), &key.serialize_pem())?;
        let issuer = Issuer::new(params, key);
        Ok((Self { issuer }, certificate))
    }

    /// The authority of a cluster that was started earlier.
    pub(crate) fn open(pki: &Path) -> Result<Self> {
        let key =
            fs::read_to_string(pki.join(KEY_FILE)).context("failed to read the key of the authority")?;
        let key = KeyPair::from_pem(&key).context("the key of the authority is unreadable")?;
        let issuer = Issuer::new(params()?, key);
        Ok(Self { issuer })
    }

    /// A certificate for a server with these names and addresses.
    pub(crate) fn server(&self, common_name: &str, names: &[&str]) -> Result<SignedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, common_name);
        self.sign(&params)
    }

    /// A certificate for a client, whose user and group are what the API server reads.
    pub(crate) fn client(&self, user: &str, group: &str) -> Result<SignedKey> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<SignedKey> {
        let key = KeyPair::generate()?;
        Ok(SignedKey {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// Equal at each call, so that an authority that was read again is the same issuer.
fn params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "local-cluster");
    Ok(params)
}
