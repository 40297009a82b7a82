//! Temporary certificates for the servers of the test bed. Each has a CA of its own.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The certificate of a server on this machine, and the CA that its callers must trust.
#[derive(Debug)]
pub(crate) struct LocalServer {
    /// The CA's certificate, as PEM.
    pub(crate) ca: String,
    pub(crate) identity: Identity,
}

impl LocalServer {
    /// Makes a new CA and a certificate for 127.0.0.1 and localhost.
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        let ca = authority()?;
        let identity = server("testbed server", ["127.0.0.1", "localhost"], &ca)?;
        Ok(Self { ca: ca.pem(), identity })
    }
}

/// A new CA. It and its certificates are valid far beyond any test (rcgen's default).
///
/// # Errors
/// Never in practice, because the names are ours.
pub fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("testbed CA", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// A certificate for a server with these names and addresses.
///
/// # Errors
/// Never in practice, because the names are ours.
pub fn server<const N: usize>(
    common_name: &str,
    reached_as: [&str; N],
    ca: &CertifiedIssuer<'_, KeyPair>,
) -> Result<Identity, rcgen::Error> {
    let mut params = CertificateParams::new(reached_as.map(String::from))?;
    params.distinguished_name = name(common_name, None);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(params, ca)
}

/// A certificate for a client. A server may take the organization for the client's group.
///
/// # Errors
/// Never in practice, because the names are ours.
pub fn client(
    common_name: &str,
    organization: &str,
    ca: &CertifiedIssuer<'_, KeyPair>,
) -> Result<Identity, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name, Some(organization));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(params, ca)
}

/// Writes a file that only its owner can read.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())
}

fn name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

fn issue(mut params: CertificateParams, ca: &CertifiedIssuer<'_, KeyPair>) -> Result<Identity, rcgen::Error> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, ca)?.pem();
    Ok(Identity { certificate, key: key.serialize_pem() })
}
