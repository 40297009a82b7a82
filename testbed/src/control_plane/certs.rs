//! The test server's credentials: a throw-away CA, made anew for every control plane and never
//! leaving its directory.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::json;

/// The names that the server's certificate is good for.
const SERVER_NAMES: [&str; 4] = ["127.0.0.1", "localhost", "kubernetes.default", "kubernetes.default.svc"];

/// The group that RBAC always lets do everything.
const ADMIN_GROUP: &str = "system:masters";

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub(super) struct Identity {
    certificate: String,
    key: String,
}

/// All that the server and its administrator need.
#[derive(Debug)]
pub(super) struct Credentials {
    ca: String,
    server: Identity,
    admin: Identity,
    service_account_private: String,
    service_account_public: String,
}

impl Credentials {
    /// Makes new ones, valid far beyond any test (rcgen's default span).
    pub(super) fn generate() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("testbed CA", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let mut server = CertificateParams::new(SERVER_NAMES.map(String::from))?;
        server.distinguished_name = name("kube-apiserver", None);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut admin = CertificateParams::default();
        admin.distinguished_name = name("testbed-admin", Some(ADMIN_GROUP));
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];

        let service_account = KeyPair::generate()?;
        Ok(Self {
            server: issue(server, &ca)?,
            admin: issue(admin, &ca)?,
            ca: ca.pem(),
            service_account_private: service_account.serialize_pem(),
            service_account_public: service_account.public_key_pem(),
        })
    }

    /// Writes what kube-apiserver reads into `directory`, under the names in [`super::server`].
    pub(super) fn write_server_files(&self, directory: &Path) -> io::Result<()> {
        let files = [
            ("ca.crt", &self.ca),
            ("server.crt", &self.server.certificate),
            ("server.key", &self.server.key),
            ("service-account.key", &self.service_account_private),
            ("service-account.pub", &self.service_account_public),
        ];
        files.iter().try_for_each(|(name, content)| write_private(&directory.join(name), content))
    }

    /// The administrator's kubeconfig, complete in itself. It is JSON, which is YAML too.
    pub(super) fn kubeconfig(&self, url: &str) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": {
                "server": url,
                "certificate-authority-data": STANDARD.encode(&self.ca),
            }}],
            "users": [{"name": "admin", "user": {
                "client-certificate-data": STANDARD.encode(&self.admin.certificate),
                "client-key-data": STANDARD.encode(&self.admin.key),
            }}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "admin"}}],
            "current-context": "testbed",
        })
        .to_string()
    }
}

fn name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        // kube-apiserver reads the organization as the user's group.
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

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())
}
