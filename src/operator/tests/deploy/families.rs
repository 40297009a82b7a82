//! The families whose operators are in `deploy/`, and what tests need to know about each.

use futures::future::BoxFuture;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, EnvFromSource},
};
use kube::{Api, Client};

use super::{
    cluster::{NAMESPACE, operators_cluster},
    rights::{Replicas, lives},
};

/// The operator of one family.
pub struct Family {
    /// The family's name in the operator's environment.
    pub name: &'static str,
    /// Directories below `deploy/`, in the order in which they are applied.
    pub installed: &'static [&'static str],
    /// The name of the Deployment, the `ConfigMap`, the Secret, the service account, the ring and the Pods' label.
    pub operator: &'static str,
    /// Its roles in the namespaces for which it works.
    pub cluster_roles: &'static [&'static str],
    /// Its role in its own namespace.
    pub role: &'static str,
    /// Causes everything to happen that the operator reacts to.
    pub exercise: for<'a> fn(Client, &'a Replicas) -> BoxFuture<'a, ()>,
}

/// All of them.
pub static FAMILIES: [Family; 1] = [Family {
    name: "bookings",
    // They are applied twice. At the second time everything exists that other objects need: kinds and the namespace.
    installed: &["overlays/bound-users", "overlays/bound-users"],
    operator: "booking-operator",
    cluster_roles: &["booking-operator", "booking-operator-sees-original"],
    role: "booking-operator-ring",
    exercise: |client, replicas| Box::pin(lives(client, replicas)),
}];

#[tokio::test]
async fn each_operator_is_told_its_family_its_ring_and_which_pods_are_its_own() {
    let client = operators_cluster().await.client().unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let configs: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    for &Family { name, operator, .. } in &FAMILIES {
        // given the Deployment of a family as it is installed
        let spec = deployments.get(operator).await.unwrap().spec.unwrap();
        let pod = spec.template.spec.unwrap();
        // when its Pods read their environment, then it comes from the family's own ConfigMap and Secret
        let source = |from: &EnvFromSource| {
            let config = from.config_map_ref.as_ref().map(|it| it.name.clone());
            config.or_else(|| from.secret_ref.as_ref().map(|it| it.name.clone())).unwrap()
        };
        let sources: Vec<String> = pod.containers[0].env_from.iter().flatten().map(source).collect();
        assert_eq!(sources, [operator, operator], "{name}");
        // and it names the family
        let told = configs.get(operator).await.unwrap().data.unwrap();
        assert_eq!(told["FAMILIES"], name);
        assert_eq!(told.get("RING_NAME").map_or("booking-operator", String::as_str), operator, "{name}");
        // and the labels select its own Pods and no others
        let label = told["POD_LABELS"].split_once('=').unwrap();
        assert_eq!(label, ("app.kubernetes.io/name", operator));
        let selected = spec.selector.match_labels.unwrap();
        assert_eq!(selected.iter().map(|(key, value)| (&**key, &**value)).collect::<Vec<_>>(), [label]);
        assert_eq!(spec.template.metadata.unwrap().labels.unwrap()[label.0], label.1, "{name}");
        assert_eq!(pod.service_account_name.as_deref(), Some(operator));
    }
}
