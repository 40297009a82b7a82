//! Namespaces for tests, and the part of the namespace controller that a server without a controller manager lacks.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::error::ControlPlaneError;
use crate::patience::patient;

/// How long deleted objects may take to go, because their finalizers wait for the controllers that set them.
const GONE_LIMIT: Duration = Duration::from_mins(1);

const GONE_POLL: Duration = Duration::from_millis(100);

/// Creates a namespace for this test alone. Its name is `PREFIX-` and five random characters.
///
/// # Errors
/// If the server refuses.
pub async fn test_namespace(client: &Client, prefix: &str) -> Result<String, ControlPlaneError> {
    let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    let created = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(created.name_any())
}

/// Deletes a namespace. It is Terminating from then on, takes no new objects, and stays until [`finalize_namespace`].
///
/// # Errors
/// If the server refuses.
pub async fn terminate_namespace(client: &Client, namespace: &str) -> Result<(), ControlPlaneError> {
    Api::<Namespace>::all(client.clone()).delete(namespace, &DeleteParams::default()).await?;
    Ok(())
}

/// Does what the namespace controller does to a Terminating namespace: it deletes all objects of the given kinds in it,
/// waits until they are gone, and then removes the namespace.
///
/// Objects of other kinds stay in etcd without a namespace. So name all kinds that the test has made.
///
/// # Errors
/// If the server refuses, or a finalizer keeps an object for more than a minute.
pub async fn finalize_namespace(
    client: &Client,
    namespace: &str,
    kinds: &[ApiResource],
) -> Result<(), ControlPlaneError> {
    for kind in kinds {
        let objects = objects(client, namespace, kind);
        objects.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    }
    for kind in kinds {
        wait_until_gone(&objects(client, namespace, kind), namespace, kind).await?;
    }
    let namespaces = Api::<Namespace>::all(client.clone());
    let mut terminating = namespaces.get(namespace).await?;
    terminating.spec.get_or_insert_default().finalizers = Some(Vec::new());
    namespaces.replace_subresource("finalize", namespace, &PostParams::default(), &terminating).await?;
    Ok(())
}

fn objects(client: &Client, namespace: &str, kind: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, kind)
}

async fn wait_until_gone(
    objects: &Api<DynamicObject>,
    namespace: &str,
    kind: &ApiResource,
) -> Result<(), ControlPlaneError> {
    let (started, limit) = (Instant::now(), patient(GONE_LIMIT));
    while !objects.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
        if started.elapsed() >= limit {
            let (kind, namespace) = (kind.kind.clone(), namespace.to_owned());
            return Err(ControlPlaneError::StillThere { kind, namespace, limit });
        }
        tokio::time::sleep(GONE_POLL).await;
    }
    Ok(())
}
