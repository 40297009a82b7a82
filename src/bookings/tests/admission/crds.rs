//! The CRDs themselves.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::common::{broken_rule, condition, established, eventually, object, served};

#[tokio::test]
async fn the_crds_are_served_and_structural() {
    // given the CRDs on a server, which refuses a CRD if a rule is too costly
    let (_, client, _) = served("crds").await;
    for crd in bookings::api::crd::all() {
        // when one is read back
        let crd = established(&client, &crd.name_any()).await;
        // then the server has no complaint about it
        assert_eq!(condition(&crd, "NamesAccepted").as_deref(), Some("True"), "{:?}", crd.status);
        assert_ne!(condition(&crd, "NonStructuralSchema").as_deref(), Some("True"), "{:?}", crd.status);
    }
}

#[tokio::test]
async fn the_server_stores_the_schemas_as_we_generate_them() {
    // given the CRDs on a server
    let (_, client, _) = served("crds").await;
    for generated in bookings::api::crd::all() {
        // when one is read back
        let stored = established(&client, &generated.name_any()).await;
        // then nothing of its schema was dropped
        assert_eq!(stored.spec.versions[0].schema, generated.spec.versions[0].schema);
    }
}

/// Protects the other tests: if this one fails, they take an error in a rule for a refusal.
#[tokio::test]
async fn a_rule_that_breaks_is_told_from_one_that_refuses() {
    // given a kind with rules that break
    let (_, client, namespace) = served("broken").await;
    let crd: CustomResourceDefinition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "breakings.tests.invalid"},
        "spec": {
            "group": "tests.invalid", "scope": "Namespaced",
            "names": {"kind": "Breaking", "plural": "breakings"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "converted": {"type": "string", "x-kubernetes-validations": [
                        {"rule": "timestamp(self) > timestamp('2000-01-01T00:00:00Z')", "message": "too early"},
                    ]},
                    "matched": {"type": "string", "x-kubernetes-validations": [
                        {"rule": "self.matches('^[a-z]{1,10}([a-z]{1,10}|[0-9]{1,10}){1,20}$')", "message": "no"},
                    ]},
                },
            }}}],
        },
    }))
    .unwrap();
    let params = PatchParams::apply("booking-tests").force();
    let crds = Api::<CustomResourceDefinition>::all(client.clone());
    crds.patch("breakings.tests.invalid", &params, &Patch::Apply(&crd)).await.unwrap();
    established(&client, "breakings.tests.invalid").await;
    let kind = kube::core::GroupVersionKind::gvk("tests.invalid", "v1", "Breaking");
    let api = Api::<DynamicObject>::namespaced_with(client, &namespace, &ApiResource::from_gvk(&kind));
    for (field, value) in [("converted", "tomorrow".to_owned()), ("matched", "x".repeat(1 << 20))] {
        let mut broken = object("Breaking", field, serde_json::Value::Null);
        broken.types.as_mut().unwrap().api_version = "tests.invalid/v1".to_owned();
        broken.data[field] = json!(value);
        // when an object makes a rule raise an error
        let message = eventually(|| async {
            match api.create(&PostParams::default(), &broken).await {
                Err(kube::Error::Api(status)) if status.is_invalid() => Ok(status.message),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await;
        // then the server's message shows that
        assert!(broken_rule(&message).is_some(), "{message}");
    }
}
