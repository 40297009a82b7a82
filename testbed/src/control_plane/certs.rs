//! The test server's credentials. Every control plane gets a new temporary CA, which never leaves its directory.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use serde_json::json;

use crate::tls::{self, Identity, write_private};

/// The names for which the server's certificate is valid.
const SERVER_NAMES: [&str; 4] = ["127.0.0.1", "localhost", "kubernetes.default", "kubernetes.default.svc"];

/// The group to which RBAC always allows everything. The certificate names it as the organization, and kube-apiserver
/// reads that as the user's group.
const ADMIN_GROUP: &str = "system:masters";

/// The credentials of the server and of its administrator.
#[derive(Debug)]
pub(super) struct Credentials {
    ca: String,
    server: Identity,
    admin: Identity,
    service_account_private: String,
    service_account_public: String,
}

impl Credentials {
    /// Makes new credentials.
    pub(super) fn generate() -> Result<Self, rcgen::Error> {
        let ca = tls::authority()?;
        let service_account = KeyPair::generate()?;
        Ok(Self {
            server: tls::server("kube-apiserver", SERVER_NAMES, &ca)?,
            admin: tls::client("testbed-admin", ADMIN_GROUP, &ca)?,
            ca: ca.pem(),
            service_account_private: service_account.serialize_pem(),
            service_account_public: service_account.public_key_pem(),
        })
    }

    /// Writes the files that kube-apiserver reads into `directory`, under the names in [`super::server`].
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

    /// The administrator's kubeconfig. It needs no other file. It is JSON, which is also YAML.
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
