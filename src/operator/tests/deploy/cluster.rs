//! API servers with an audit log on which `deploy/` is applied as a user does it, and clients of users.

use std::path::{Path, PathBuf};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams, config::Kubeconfig};
use testbed::control_plane::ControlPlane;
use tokio::{process::Command, sync::OnceCell};

use super::families::FAMILIES;

/// The namespace of the operators of all families.
pub const NAMESPACE: &str = "booking-operator";
/// The service account of the operator of bookings.
pub const ACCOUNT: &str = "booking-operator";

/// A directory below `deploy/`.
pub fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

/// The cluster on which users try what they may do.
pub async fn cluster() -> &'static ControlPlane {
    static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();
    // Everything is applied twice. At the second time everything exists that other objects need: kinds and the
    // namespace.
    CLUSTER
        .get_or_init(|| installed(&["overlays/bound-users", "overlays/bound-users", "components/own-name"]))
        .await
}

/// A cluster on which the operators of all families work for all namespaces. It is separate from the cluster of the
/// attacks.
pub async fn operators_cluster() -> &'static ControlPlane {
    static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();
    let directories: Vec<&str> = FAMILIES.iter().flat_map(|family| family.installed).copied().collect();
    CLUSTER.get_or_init(|| installed(&directories)).await
}

async fn installed(directories: &[&str]) -> ControlPlane {
    let cluster = ControlPlane::audited().await.unwrap();
    for directory in directories {
        let path = deploy(directory);
        if let Err(error) = kubectl(&cluster, &["apply", "--server-side", "-k"], Some(&path)).await {
            println!("{directory}: {error}");
        }
    }
    cluster
}

/// Runs kubectl as the administrator. Returns what it printed, or its complaint.
pub async fn kubectl(cluster: &ControlPlane, args: &[&str], path: Option<&Path>) -> Result<String, String> {
    let mut command = Command::new(cluster.kubectl().unwrap());
    command.args(args).env("KUBECONFIG", cluster.kubeconfig());
    if let Some(path) = path {
        command.arg(path);
    }
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A client of a user with these groups, as if the API server had authenticated the user.
pub fn client_of(cluster: &ControlPlane, user: &str, groups: &[&str]) -> Client {
    let mut config = cluster.client_config();
    config.auth_info.impersonate = Some(user.to_owned());
    let groups = groups.iter().copied().chain(["system:authenticated"]);
    config.auth_info.impersonate_groups = Some(groups.map(ToOwned::to_owned).collect());
    Client::try_from(config).unwrap()
}

/// A kubeconfig with a token of an operator's service account, like the one in its Pods.
pub async fn operators_kubeconfig(cluster: &ControlPlane, account: &str, directory: &Path) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().unwrap(), NAMESPACE);
    let wanted = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let token = accounts.create_token_request(account, &PostParams::default(), &wanted).await.unwrap();
    let mut kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    for user in &mut kubeconfig.auth_infos {
        let info = user.auth_info.get_or_insert_default();
        *info = kube::config::AuthInfo::default();
        info.token = Some(token.status.as_ref().unwrap().token.clone().into());
    }
    for context in &mut kubeconfig.contexts {
        context.context.get_or_insert_default().namespace = Some(NAMESPACE.to_owned());
    }
    let path = directory.join("kubeconfig");
    // Serialization hides the secret, so the token is inserted as text.
    let mut text = serde_json::to_value(&kubeconfig).unwrap();
    for user in text["users"].as_array_mut().unwrap() {
        user["user"]["token"] = token.status.as_ref().unwrap().token.clone().into();
    }
    std::fs::write(&path, text.to_string()).unwrap();
    path
}
