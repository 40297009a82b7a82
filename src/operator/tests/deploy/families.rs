//! The families that `deploy/` has an operator of: what tests need to know of each.

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

/// One family's operator.
pub struct Family {
    /// As the operator's environment names it.
    pub name: &'static str,
    /// Directories below `deploy/`, as they are applied.
    pub installed: &'static [&'static str],
    /// Name of the Deployment, the ConfigMap, the Secret, the service account, the ring and the Pods' label.
    pub operator: &'static str,
    /// What it may in the namespaces it works for.
    pub cluster_roles: &'static [&'static str],
    /// What it may in its own namespace.
    pub role: &'static str,
    /// Lets everything happen that the operator has something to do with.
    pub exercise: for<'a> fn(Client, &'a Replicas) -> BoxFuture<'a, ()>,
}

/// All of them.
pub static FAMILIES: [Family; 1] = [Family {
    name: "bookings",
    // The second time what the first made is there for all that needs it: kinds, and the namespace.
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
        // when its Pods read their environment, then it is the family's own, the Secret too
        let source = |from: &EnvFromSource| {
            let config = from.config_map_ref.as_ref().map(|it| it.name.clone());
            config.or_else(|| from.secret_ref.as_ref().map(|it| it.name.clone())).unwrap()
        };
        let sources: Vec<String> = pod.containers[0].env_from.iter().flatten().map(source).collect();
        assert_eq!(sources, [operator, operator], "{name}");
        // and says which family it is
        let told = configs.get(operator).await.unwrap().data.unwrap();
        assert_eq!(told["FAMILIES"], name);
        assert_eq!(told.get("RING_NAME").map_or("booking-operator", String::as_str), operator, "{name}");
        // and the labels are those by which its own Pods are selected, and no others
        let label = told["POD_LABELS"].split_once('=').unwrap();
        assert_eq!(label, ("app.kubernetes.io/name", operator));
        let selected = spec.selector.match_labels.unwrap();
        assert_eq!(selected.iter().map(|(key, value)| (&**key, &**value)).collect::<Vec<_>>(), [label]);
        assert_eq!(spec.template.metadata.unwrap().labels.unwrap()[label.0], label.1, "{name}");
        assert_eq!(pod.service_account_name.as_deref(), Some(operator));
    }
}
