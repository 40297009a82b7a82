//! Certificates and kubeconfigs of the node's programs, from a CA that lives as long as the node.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use testbed::tls::{self, Identity, write_private};

use crate::{failure::Failure, host::ADDRESS, names::NODE};

/// The first address of the Services' range. It belongs to the API server.
const SERVICE_ADDRESS: &str = "10.96.0.1";

/// The folder of the files.
pub(crate) struct Pki {
    pub(crate) directory: PathBuf,
}

impl Pki {
    /// Writes all files into a directory.
    pub(crate) fn write(directory: &Path, url: &str) -> Result<Self, Failure> {
        let pki = Self { directory: directory.to_owned() };
        let ca = tls::authority()?;
        write_private(&pki.path("ca.crt"), &ca.pem())?;
        let names = [
            ADDRESS,
            SERVICE_ADDRESS,
            "127.0.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ];
        pki.identity("apiserver", &tls::server("kube-apiserver", names, &ca)?)?;
        pki.identity("kubelet-server", &tls::server(NODE, [NODE, ADDRESS], &ca)?)?;
        pki.identity(
            "kubelet-client",
            &tls::client("kube-apiserver-kubelet-client", "system:masters", &ca)?,
        )?;
        let key = rcgen::KeyPair::generate()?;
        write_private(&pki.path("service-account.key"), &key.serialize_pem())?;
        write_private(&pki.path("service-account.pub"), &key.public_key_pem())?;
        for (file, name, group) in [
            ("admin", "e2e-admin", "system:masters"),
            ("controller-manager", "system:kube-controller-manager", "system:kube-controller-manager"),
            ("scheduler", "system:kube-scheduler", "system:kube-scheduler"),
            ("kubelet", &format!("system:node:{NODE}"), "system:nodes"),
            ("proxy", "system:kube-proxy", "system:node-proxier"),
        ] {
            let identity = tls::client(name, group, &ca)?;
            let kubeconfig = kubeconfig(url, &ca.pem(), &identity);
            write_private(&pki.path(&format!("{file}.kubeconfig")), &kubeconfig)?;
        }
        Ok(pki)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The same path as text for a command line.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn identity(&self, name: &str, identity: &Identity) -> Result<(), Failure> {
        write_private(&self.path(&format!("{name}.crt")), &identity.certificate)?;
        write_private(&self.path(&format!("{name}.key")), &identity.key)?;
        Ok(())
    }
}

fn kubeconfig(url: &str, ca: &str, Identity { certificate, key }: &Identity) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
        "clusters": [{ "name": "e2e", "cluster": { "server": url, "certificate-authority-data": STANDARD.encode(ca) } }],
        "users": [{ "name": "e2e", "user": {
            "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key),
        } }],
        "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": "e2e" } }],
    })
    .to_string()
}
