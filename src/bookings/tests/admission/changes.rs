//! What may change in a stored object.

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::{
    cases::{OK, booking, resource, scheduler, updating},
    common::{KINDS, api, object, refusal, served},
};

#[tokio::test]
async fn a_booking_keeps_its_user_and_may_change_all_else() {
    let none = || json!({});
    let order = "must be after start_at";
    let cases = [
        (none(), json!({"user_id": "a1b2c3d4e5"}), OK),
        (
            none(),
            json!({"user_id": "other"}),
            "spec.user_id | is immutable: delete the Booking and create one",
        ),
        (none(), json!({"user_id": null}), "spec.user_id: Required value"),
        (none(), json!({"user_id": "a\nb"}), "spec.user_id | is immutable"),
        (none(), json!({"resource_name": "ec2.other"}), OK),
        (none(), json!({"end_at": "2027-03-01T10:00:00Z"}), OK),
        (none(), json!({"end_at": "2027-03-01T08:30:00Z"}), OK),
        (none(), json!({"end_at": "2027-03-01T08:00:00Z"}), order),
        (none(), json!({"start_at": "2027-03-01T09:00:00Z"}), order),
        (none(), json!({"start_at": "2027-03-01T09:00:00Z", "end_at": "2027-03-01T09:30:00Z"}), OK),
        (none(), json!({"end_at": "later"}), "spec.end_at | RFC 3339"),
        (none(), json!({"notifications": [{"type": "email", "recipient": "a@b.example"}]}), OK),
    ];
    updating("Booking", &booking(), &cases).await;
}

#[tokio::test]
async fn a_resource_keeps_its_group_and_may_change_all_else() {
    let none = || json!({});
    let role = "arn:aws:iam::123456789012:role/booking";
    let placed = || json!({"region": "eu-central-1", "role_arn": role});
    let also = "is immutable, also from absent to set: another group would be left behind";
    let (region, role_arn) = (format!("spec | region {also}"), format!("spec | role_arn {also}"));
    let group = "is immutable: another group would be left behind";
    let (type_, tag) = (format!("spec.type | {group}"), format!("spec.tag | {group}"));
    let cases = [
        (none(), json!({"type": "rds"}), type_.as_str()),
        (none(), json!({"type": null}), "spec.type: Required value"),
        (none(), json!({"tag": "other"}), &tag),
        (none(), json!({"tag": null}), "spec.tag: Required value"),
        (none(), json!({"region": "eu-central-1"}), &region),
        (placed(), json!({"region": "eu-west-1"}), &region),
        (placed(), json!({"region": null}), &region),
        (placed(), json!({"region": "eu-central-1"}), OK),
        (none(), json!({"role_arn": role}), &role_arn),
        (placed(), json!({"role_arn": "arn:aws:iam::123456789012:role/other"}), &role_arn),
        (placed(), json!({"role_arn": null}), &role_arn),
        (placed(), json!({"role_arn": role}), OK),
        (none(), json!({"when_idle": "Keep", "on_delete": "Stop"}), OK),
        (json!({"when_idle": "Keep"}), json!({"when_idle": null}), OK),
        (none(), json!({"booked_by": "me", "booked_until": "2030-01-01T00:00:00Z"}), OK),
        (json!({"booked_by": "me"}), json!({"booked_by": "", "booked_until": ""}), OK),
        (json!({"booked_by": "me"}), json!({"booked_by": null}), OK),
        (none(), json!({"booked_until": "Friday"}), "spec.booked_until | RFC 3339"),
    ];
    updating("Resource", &resource(), &cases).await;
}

#[tokio::test]
async fn a_scheduler_may_change_in_every_field() {
    let none = || json!({});
    let cases = [
        (none(), json!({"schedule": "0 8 * * 1-5"}), OK),
        (none(), json!({"duration": 45}), OK),
        (none(), json!({"duration": 0}), "spec.duration | greater than or equal to 1"),
        (none(), json!({"bookingTemplate": {"user_id": "other", "resource_name": "ec2.other"}}), OK),
        (
            none(),
            json!({"bookingTemplate": {"user_id": null}}),
            "spec.bookingTemplate.user_id: Required value",
        ),
    ];
    updating("BookingScheduler", &scheduler(), &cases).await;
}

/// Otherwise a Resource could change its group: it would lose its spec and then get another.
#[tokio::test]
async fn no_object_is_without_a_spec_or_loses_it() {
    let specs = [booking(), scheduler(), resource(), json!({"type": "ec2"})];
    for (kind, spec) in KINDS.into_iter().zip(specs) {
        // given a stored object
        let (_, client, namespace) = served("specs").await;
        let api = api(&client, &namespace, kind);
        let stored = object(kind, "stored", spec);
        api.create(&PostParams::default(), &stored).await.unwrap();
        // when its spec is removed, or another object is created without one
        let remove = Patch::Merge(json!({"spec": null}));
        let removed = api.patch("stored", &PatchParams::default(), &remove).await;
        let created = api.create(&PostParams::default(), &object(kind, "empty", Value::Null)).await;
        // then both are refused
        for answer in [removed, created] {
            let message = refusal(answer).unwrap();
            assert!(message.contains("spec: Required value: a spec is required"), "{kind}: {message}");
        }
    }
}
