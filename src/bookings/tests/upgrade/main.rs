//! Our CRDs replace the predecessor's CRDs while its objects are stored. None of the objects may be stuck afterwards.
//!
//! CRDs are cluster-wide, so these tests have a server of their own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's exception for tests does not reach their helper functions"
)]

#[path = "../common/mod.rs"]
mod common;
mod older;
mod stored;

use bookings::api::{Booking, BookingScheduler, Resource, ResourceMonitor, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::control_plane::{ControlPlane, test_namespace};
use tokio::sync::OnceCell;

use common::{KINDS, api, established, eventually, headers, kubectl, object, refusal};
use stored::Stored;

const FINALIZER: &str = bookings::api::FINALIZER;

/// The server, and the namespaces that were filled before the upgrade.
struct Upgraded {
    control_plane: ControlPlane,
    /// A namespace with all objects. No test deletes any of them.
    kept: String,
    /// A namespace with all objects, for the test that deletes them.
    deleted: String,
    /// A namespace with what `kubectl apply` stored.
    applied: String,
}

/// The server after the upgrade. The first caller upgrades it.
async fn upgraded() -> (&'static Upgraded, Client) {
    // It is never dropped, because it is a static. The server notices the end of the process by itself.
    static UPGRADED: OnceCell<Upgraded> = OnceCell::const_new();
    let upgraded = UPGRADED.get_or_init(upgrade).await;
    (upgraded, upgraded.control_plane.client().unwrap())
}

async fn upgrade() -> Upgraded {
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().unwrap();
    apply_crds(&control_plane, &client, &older::crds()).await;
    let everything: Vec<Stored> = stored::good().into_iter().chain(stored::bad()).collect();
    let kept = store(&client, "kept", &everything).await;
    let deleted = store(&client, "deleted", &everything).await;
    let applied = test_namespace(&client, "applied").await.unwrap();
    kubectl(&control_plane, &["apply", "-n", &applied, "-f", "-"], SAMPLES_THEN).unwrap();
    apply_crds(&control_plane, &client, &crd::all()).await;
    // The handlers change shortly after the CRDs do. From then on this object is refused.
    let wrong = object("ResourceMonitor", "wrong", json!({"type": "mainframe"}));
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let monitors = api(&client, &kept, "ResourceMonitor");
    eventually(|| async { refusal(monitors.create(&dry_run, &wrong).await) }).await;
    Upgraded { control_plane, kept, deleted, applied }
}

/// Applies the CRDs as a user does: with `kubectl apply`, over the existing ones.
async fn apply_crds(control_plane: &ControlPlane, client: &Client, crds: &[CustomResourceDefinition]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": crds});
    kubectl(control_plane, &["apply", "-f", "-"], &list.to_string()).unwrap();
    for crd in crds {
        established(client, &crd.name_any()).await;
    }
}

/// Stores the objects in a new namespace, each with a finalizer.
async fn store(client: &Client, prefix: &str, objects: &[Stored]) -> String {
    let namespace = test_namespace(client, prefix).await.unwrap();
    for stored in objects {
        let api = api(client, &namespace, stored.kind);
        let mut object = object(stored.kind, &stored.name, stored.spec.clone());
        object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        let complaint = |error| format!("{} {}: {error}", stored.kind, stored.name);
        api.create(&PostParams::default(), &object).await.map_err(complaint).unwrap();
        if !stored.status.is_null() {
            let status = Patch::Merge(json!({"status": stored.status}));
            api.patch_status(&stored.name, &PatchParams::default(), &status)
                .await
                .map_err(complaint)
                .unwrap();
        }
    }
    namespace
}

/// A status as our operator writes it, with every field.
fn new_status(kind: &str) -> Value {
    let conditions = json!([{
        "type": "Ready", "status": "False", "reason": "Invalid", "message": "start_at is no instant",
        "lastTransitionTime": "2026-05-04T06:30:00Z", "observedGeneration": 1,
    }]);
    let mut status = match kind {
        "Booking" => json!({
            "status": "SCHEDULED", "notification_sent": false, "granted_resource": "ec2.warehouse",
            "granted_from": "2026-05-04T06:30:00Z", "granted_until": "2026-05-04T07:00:00Z",
        }),
        "BookingScheduler" => json!({"next": "2026-05-04T07:00:00Z"}),
        "Resource" => json!({
            "instances": 2, "running": 0, "status": "STOPPED", "locked_by": "", "locked_until": "",
            "holder": {"user": "me", "until": "2026-05-04T07:00:00Z", "booking": "b", "booking_uid": "u"},
            "released_locks": [{"user": "me", "until": "2026-05-04T07:00:00Z"}],
            "first_seen_at": "2026-05-04T06:30:00Z", "idle_since": "2026-05-04T06:30:00Z",
        }),
        _ => json!({}),
    };
    status["observedGeneration"] = json!(1);
    status["conditions"] = conditions;
    status
}

/// Decodes an object as our operator does. The error says what is wrong.
fn decode(kind: &str, object: &DynamicObject) -> Result<Value, String> {
    let json = serde_json::to_value(object).unwrap();
    let decoded = match kind {
        "Booking" => serde_json::from_value::<Booking>(json).map(serde_json::to_value),
        "BookingScheduler" => serde_json::from_value::<BookingScheduler>(json).map(serde_json::to_value),
        "Resource" => serde_json::from_value::<Resource>(json).map(serde_json::to_value),
        _ => serde_json::from_value::<ResourceMonitor>(json).map(serde_json::to_value),
    };
    Ok(decoded.map_err(|error| error.to_string())?.unwrap())
}

fn assert_none(complaints: &[String]) {
    // A message of the server may quote a mebibyte of text.
    let short = complaints.iter().map(|complaint| complaint.chars().take(600).collect::<String>());
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), short.collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn every_object_stored_before_the_upgrade_decodes() {
    // given the predecessor's objects under our CRDs
    let (upgraded, client) = upgraded().await;
    let mut complaints = Vec::new();
    for stored in stored::good().into_iter().chain(stored::bad()) {
        // when one is read
        let object = api(&client, &upgraded.kept, stored.kind).get(&stored.name).await.unwrap();
        // then it decodes, and no field that we know is lost
        match decode(stored.kind, &object) {
            Err(error) => complaints.push(format!("{} {}: {error}", stored.kind, stored.name)),
            Ok(decoded) => {
                let before = object.data.get("spec").cloned().unwrap_or_else(|| json!({}));
                if decoded["spec"] != before && stored.name != "no-notifications" {
                    complaints.push(format!("{} {}: {}", stored.kind, stored.name, decoded["spec"]));
                }
            }
        }
    }
    assert_none(&complaints);
}

#[tokio::test]
async fn a_list_with_every_bad_object_decodes_as_a_whole() {
    // given the predecessor's objects under our CRDs
    let (upgraded, client) = upgraded().await;
    let count =
        |kind| stored::good().iter().chain(&stored::bad()).filter(|stored| stored.kind == kind).count();
    let (all, namespace) = (ListParams::default(), &upgraded.kept);
    // when our operator lists each kind
    let bookings = Api::<Booking>::namespaced(client.clone(), namespace).list(&all).await.unwrap();
    let schedulers = Api::<BookingScheduler>::namespaced(client.clone(), namespace).list(&all).await.unwrap();
    let resources = Api::<Resource>::namespaced(client.clone(), namespace).list(&all).await.unwrap();
    let monitors = Api::<ResourceMonitor>::namespaced(client.clone(), namespace).list(&all).await.unwrap();
    // then it sees all of them
    assert_eq!(bookings.items.len(), count("Booking"));
    assert_eq!(schedulers.items.len(), count("BookingScheduler"));
    assert_eq!(resources.items.len(), count("Resource"));
    assert_eq!(monitors.items.len(), count("ResourceMonitor"));
}

#[tokio::test]
async fn every_object_stored_before_the_upgrade_takes_a_status_and_can_go() {
    // given the predecessor's objects under our CRDs
    let (upgraded, client) = upgraded().await;
    let mut complaints = Vec::new();
    for stored in stored::good().into_iter().chain(stored::bad()) {
        let (kind, name) = (stored.kind, stored.name.as_str());
        let api = api(&client, &upgraded.deleted, kind);
        let params = PatchParams::default();
        let mut complain = |step: &str, error: &dyn std::fmt::Display| {
            complaints.push(format!("{kind} {name}: {step}: {error}"));
        };
        // when our operator writes its status
        let status = Patch::Merge(json!({"status": new_status(kind)}));
        match api.patch_status(name, &params, &status).await {
            // then all of it is stored
            Ok(object) => {
                if object.data["status"] != new_status(kind) {
                    complain("status", &object.data["status"]);
                }
            }
            Err(error) => complain("status", &error),
        }
        // when it is annotated, deleted and released, then each step is accepted
        let annotation = Patch::Merge(json!({"metadata": {"annotations": {"note": "seen"}}}));
        if let Err(error) = api.patch(name, &params, &annotation).await {
            complain("annotation", &error);
        }
        if let Err(error) = api.delete(name, &DeleteParams::default()).await {
            complain("deletion", &error);
        }
        if let Err(error) = api.patch_status(name, &params, &status).await {
            complain("status while it goes", &error);
        }
        let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        if let Err(error) = api.patch(name, &params, &release).await {
            complain("finalizer", &error);
        }
        // then it is gone
        if api.get_opt(name).await.unwrap().is_some() {
            complain("end", &"still there");
        }
    }
    assert_none(&complaints);
}

#[tokio::test]
async fn good_objects_stored_before_the_upgrade_can_be_edited() {
    // given the predecessor's good objects under our CRDs
    let (upgraded, client) = upgraded().await;
    for stored in stored::good() {
        // when the user edits one
        let edit = match stored.kind {
            "Booking" => json!({"spec": {"end_at": "2026-05-04T09:00:00Z"}}),
            "BookingScheduler" => json!({"spec": {"duration": 45, "bookingTemplate": {"end_at": null}}}),
            "Resource" => json!({"spec": {"booked_by": "me", "booked_until": "2030-01-01T00:00:00+01:00"}}),
            _ => json!({"spec": {"type": "rds"}}),
        };
        let api = api(&client, &upgraded.kept, stored.kind);
        let edited = api.patch(&stored.name, &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
        // then the edit is stored
        for (field, value) in edit["spec"].as_object().unwrap() {
            if !value.is_object() {
                assert_eq!(edited.data["spec"][field], *value, "{} {}", stored.kind, stored.name);
            }
        }
    }
}

#[tokio::test]
async fn a_bad_field_that_stays_as_it_was_does_not_forbid_to_edit_another() {
    // given the predecessor's bad Bookings that have good times
    let (upgraded, client) = upgraded().await;
    let api = api(&client, &upgraded.kept, "Booking");
    let mut complaints = Vec::new();
    for stored in stored::bad() {
        let start_is_good = stored.spec["start_at"] == "2026-05-04T06:30:00Z";
        if stored.kind != "Booking" || !start_is_good {
            continue;
        }
        // when the user sets the end
        let edit = Patch::Merge(json!({"spec": {"end_at": "2026-05-04T09:00:00Z"}}));
        // then the end is stored
        if let Err(error) = api.patch(&stored.name, &PatchParams::default(), &edit).await {
            complaints.push(format!("{}: {error}", stored.name));
        }
    }
    assert_none(&complaints);
}

#[tokio::test]
async fn manifests_of_the_older_operator_apply_before_and_after_the_upgrade() {
    // given manifests that were applied under the predecessor's CRDs
    let (upgraded, _) = upgraded().await;
    let apply = ["apply", "-n", &upgraded.applied, "-f", "-"];
    // when they are applied again under our CRDs
    let again = kubectl(&upgraded.control_plane, &apply, SAMPLES_THEN).unwrap();
    // then nothing changes
    assert_eq!(again.matches("unchanged").count(), 4, "{again}");
    // when manifests are applied that the predecessor's CRDs did not accept
    let new = kubectl(&upgraded.control_plane, &apply, SAMPLES_NOW).unwrap();
    // then they are accepted too
    assert_eq!(new.matches("created").count(), 4, "{new}");
}

#[tokio::test]
async fn kubectl_get_prints_the_columns_it_printed_before_the_upgrade() {
    // given the predecessor's objects under our CRDs
    let (upgraded, _) = upgraded().await;
    for kind in KINDS {
        let plural = format!("{}s", kind.to_lowercase());
        // when they are listed
        let table = kubectl(&upgraded.control_plane, &["get", &plural, "-n", &upgraded.applied], "").unwrap();
        // then the columns are those of the predecessor's CRD, in its order
        assert_eq!(headers(&table), older::headers(kind), "{table}");
    }
}

#[tokio::test]
async fn our_crds_apply_again_in_every_way_and_change_nothing() {
    // given our CRDs as `kubectl apply` stored them
    let (upgraded, client) = upgraded().await;
    let api = Api::<CustomResourceDefinition>::all(client);
    let crds = crd::all();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": crds}).to_string();
    for arguments in [
        &["apply", "-f", "-"][..],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &["replace", "-f", "-"],
    ] {
        // when they are applied again
        kubectl(&upgraded.control_plane, arguments, &list).unwrap();
        for crd in &crds {
            // then the server has the same schema as before. Its generation is 2, because our CRD replaced the
            // predecessor's.
            let stored = api.get(&crd.name_any()).await.unwrap();
            assert_eq!(stored.metadata.generation, Some(2), "{arguments:?} {}", crd.name_any());
            assert_eq!(stored.spec.versions[0].schema, crd.spec.versions[0].schema, "{}", crd.name_any());
        }
    }
}

/// Manifests as users of the predecessor have them. Its scheduler required times.
const SAMPLES_THEN: &str = r#"
{apiVersion: manager.kotaico.de/v1, kind: Booking, metadata: {name: then}, spec: {resource_name: ec2.warehouse, start_at: 2023-03-04T20:15:00Z, end_at: 2023-03-04T20:25:00Z, user_id: 0f1e2d3c4b}}
---
{apiVersion: manager.kotaico.de/v1, kind: BookingScheduler, metadata: {name: then}, spec: {schedule: "0 * * * *", duration: 20, bookingTemplate: {resource_name: ec2.warehouse, user_id: 0f1e2d3c4b, start_at: "", end_at: ""}}}
---
{apiVersion: manager.kotaico.de/v1, kind: Resource, metadata: {name: ec2.then}, spec: {booked_by: "", booked_until: "", type: ec2, tag: warehouse}}
---
{apiVersion: manager.kotaico.de/v1, kind: ResourceMonitor, metadata: {name: then}, spec: {type: ec2}}
"#;

/// Manifests as users will have them.
const SAMPLES_NOW: &str = r#"
{apiVersion: manager.kotaico.de/v1, kind: Booking, metadata: {name: now, labels: {app.kubernetes.io/name: booking}}, spec: {resource_name: ec2.warehouse, start_at: 2023-03-04T20:15:00Z, end_at: 2023-03-04T20:25:00Z, user_id: 0f1e2d3c4b}}
---
{apiVersion: manager.kotaico.de/v1, kind: BookingScheduler, metadata: {name: now}, spec: {schedule: "0 * * * *", duration: 20, bookingTemplate: {resource_name: ec2.warehouse, user_id: 0f1e2d3c4b}}}
---
{apiVersion: manager.kotaico.de/v1, kind: Resource, metadata: {name: ec2.now}, spec: {type: rds, tag: warehouse}}
---
{apiVersion: manager.kotaico.de/v1, kind: ResourceMonitor, metadata: {name: now}, spec: {type: rds}}
"#;
