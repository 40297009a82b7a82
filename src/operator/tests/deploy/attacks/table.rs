//! The table of attacks: who tries what, and what refuses it.

use serde_json::{Value, json};

use crate::people::{API, booking, resource, scheduler};

/// A user who attacks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    /// May read everything.
    Viewer,
    /// May book.
    Bob,
    /// Has the rights of booking-admin, and may write statuses because of a careless role.
    Admin,
    /// May do everything in the namespace `team`, as its administrator.
    Owner,
    /// Has stolen the operator's own token.
    Operator,
}

/// An attack.
pub struct Attack {
    pub name: &'static str,
    pub who: Who,
    pub method: &'static str,
    pub path: String,
    pub body: Value,
    /// What the refusal must say: which part refuses, and why.
    pub refused_by: &'static [&'static str],
}

const BOUND: &str = "ValidatingAdmissionPolicy 'booking-bound-users-";

/// All of them.
#[allow(clippy::too_many_lines, reason = "a table")]
pub fn attacks() -> Vec<Attack> {
    let attack = |name, who, method, path: &str, body, refused_by| Attack {
        name,
        who,
        method,
        path: if path.starts_with('/') { path.to_owned() } else { format!("{API}/{path}") },
        body,
        refused_by,
    };
    let none = Value::Null;
    let mut with_label = booking("labelled", &json!({}));
    with_label["metadata"]["annotations"] = json!({ "note": "x".repeat(300 * 1024) });
    let mut label = booking("label", &json!({}));
    label["metadata"]["labels"] = json!({ "app.kubernetes.io/part-of": "a value\nlevel=error msg=forged" });
    let mut owned = booking("owned", &json!({}));
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "manager.kotaico.de/v1", "kind": "BookingScheduler",
        "name": "anns", "uid": "u", "controller": true,
    }]);
    let mut whole = booking("huge", &json!({}));
    whole["metadata"]["managedFields"] = json!([]);
    whole["spec"]["notes"] = json!("x".repeat(4 * 1024 * 1024));
    let grant = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "mine" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "booking-on-behalf" },
        "subjects": [{ "kind": "User", "name": "owner", "apiGroup": "rbac.authorization.k8s.io" }],
    });
    let mail = |recipient: &str| json!({ "notifications": [{ "type": "email", "recipient": recipient }] });
    vec![
        attack(
            "book as somebody else",
            Who::Bob,
            "POST",
            "bookings",
            booking("b1", &json!({ "user_id": "ann" })),
            &[BOUND, "spec.user_id is ann", "bob"],
        ),
        attack(
            "book as nobody in particular",
            Who::Bob,
            "POST",
            "bookings",
            booking("b2", &json!({ "user_id": "bob " })),
            &[BOUND, "must be your own name, bob"],
        ),
        attack(
            "end another's booking",
            Who::Bob,
            "PATCH",
            "bookings/anns",
            json!({ "spec": { "end_at": "2080-01-01T08:00:01Z" } }),
            &[BOUND, "it is a booking of ann"],
        ),
        attack(
            "take another's booking over",
            Who::Bob,
            "PATCH",
            "bookings/anns",
            json!({ "spec": { "user_id": "bob" } }),
            &["spec.user_id", "is immutable"],
        ),
        attack(
            "hand one's own booking to another",
            Who::Bob,
            "PATCH",
            "bookings/bobs",
            json!({ "spec": { "user_id": "ann" } }),
            &["spec.user_id", "is immutable"],
        ),
        attack(
            "retarget another's booking",
            Who::Bob,
            "PATCH",
            "bookings/anns",
            json!({ "spec": { "resource_name": "ec2.db" } }),
            &[BOUND, "it is a booking of ann"],
        ),
        attack(
            "delete another's booking",
            Who::Bob,
            "DELETE",
            "bookings/anns",
            none.clone(),
            &[BOUND, "it is a booking of ann"],
        ),
        attack(
            "delete all bookings at once",
            Who::Bob,
            "DELETE",
            "bookings",
            none.clone(),
            &[BOUND, "it is a booking of ann"],
        ),
        attack(
            "have a schedule book for another",
            Who::Bob,
            "POST",
            "bookingschedulers",
            scheduler("s1", "ann"),
            &[BOUND, "spec.bookingTemplate.user_id is ann"],
        ),
        attack(
            "delete another's schedule, and so its bookings",
            Who::Bob,
            "DELETE",
            "bookingschedulers/anns",
            none.clone(),
            &[BOUND, "it books for ann"],
        ),
        attack(
            "pass a booking off as one of another's schedule",
            Who::Bob,
            "POST",
            "bookings",
            owned,
            &[BOUND, "BookingScheduler"],
        ),
        attack(
            "take the name, and so the place, of an occurrence of another's schedule",
            Who::Bob,
            "POST",
            "bookings",
            booking("anns-1795328700", &json!({})),
            &[BOUND, "metadata.name"],
        ),
        attack(
            "take a group by hand that somebody has booked",
            Who::Admin,
            "PATCH",
            "resources/ec2.busy",
            json!({ "spec": { "booked_by": "admin", "booked_until": "2080-01-01T09:00:00Z" } }),
            &[BOUND, "it is held by ann"],
        ),
        attack(
            "delete a group that somebody has booked",
            Who::Admin,
            "DELETE",
            "resources/ec2.busy",
            none.clone(),
            &[BOUND, "it is held by ann"],
        ),
        attack(
            "have the garbage collector delete what another holds",
            Who::Admin,
            "PATCH",
            "resources/ec2.held",
            json!({ "metadata": { "ownerReferences": [
                { "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "x" },
            ] } }),
            &[BOUND, "metadata.ownerReferences"],
        ),
        attack(
            "hold a group by hand as somebody else",
            Who::Admin,
            "PATCH",
            "resources/ec2.web",
            json!({ "spec": { "booked_by": "ann", "booked_until": "2080-01-01T09:00:00Z" } }),
            &[BOUND, "spec.booked_by is ann"],
        ),
        attack(
            "end another's hold by hand",
            Who::Admin,
            "PATCH",
            "resources/ec2.held",
            json!({ "spec": { "booked_by": null, "booked_until": null } }),
            &[BOUND, "it is held by ann"],
        ),
        attack(
            "delete what another holds",
            Who::Admin,
            "DELETE",
            "resources/ec2.held",
            none.clone(),
            &[BOUND, "it is held by ann"],
        ),
        attack(
            "create a group without the right to",
            Who::Bob,
            "POST",
            "resources",
            resource("ec2.mine", &json!({})),
            &["is forbidden", "cannot create resource \"resources\""],
        ),
        attack(
            "write a status",
            Who::Bob,
            "PATCH",
            "bookings/bobs/status",
            json!({ "status": { "status": "FINISHED" } }),
            &["is forbidden", "bookings/status"],
        ),
        attack(
            "write a status though some role allows it",
            Who::Admin,
            "PATCH",
            "bookings/bobs/status",
            json!({ "status": { "status": "FINISHED" } }),
            &["ValidatingAdmissionPolicy 'booking-statuses'"],
        ),
        attack(
            "change anything as a viewer",
            Who::Viewer,
            "PATCH",
            "bookings/bobs",
            json!({ "spec": {} }),
            &["is forbidden", "cannot patch"],
        ),
        attack(
            "put lines of a log into a label",
            Who::Bob,
            "POST",
            "bookings",
            label,
            &["is invalid", "metadata.labels", "a valid label must"],
        ),
        attack(
            "take all slots by writing the ring",
            Who::Owner,
            "PATCH",
            "/apis/manager.kotaico.de/v1/namespaces/booking-operator/rings/booking-operator/status",
            json!({ "status": { "epoch": 1_000_000 } }),
            &["is forbidden", "rings/status"],
        ),
        attack(
            "add lines to a mail's header",
            Who::Bob,
            "POST",
            "bookings",
            booking("m1", &mail("a@example.com\r\nBcc: b@example.com")),
            &["spec.notifications[0].recipient"],
        ),
        attack(
            "a user id of ten thousand characters",
            Who::Bob,
            "POST",
            "bookings",
            booking("l1", &json!({ "user_id": "b".repeat(10_000) })),
            &["spec.user_id", "Too long"],
        ),
        attack(
            "a thousand mails for one booking",
            Who::Bob,
            "POST",
            "bookings",
            booking(
                "n1",
                &json!({
                    "notifications": vec![json!({ "type": "email", "recipient": "a@example.com" }); 1000],
                }),
            ),
            &["spec.notifications", "Too many"],
        ),
        attack("an object of four mebibytes", Who::Bob, "POST", "bookings", whole, &["too large"]),
        attack(
            "annotations that fill the store",
            Who::Bob,
            "POST",
            "bookings",
            with_label,
            &["annotations", "Too long"],
        ),
        attack(
            "scrape metrics through the API server",
            Who::Bob,
            "GET",
            "/api/v1/namespaces/booking-operator/services/booking-operator-metrics:metrics/proxy/metrics",
            none.clone(),
            &["is forbidden", "services/proxy"],
        ),
        attack(
            "give oneself the right to book for others",
            Who::Owner,
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings",
            grant,
            &["attempting to grant RBAC permissions not currently held", "bookonbehalf"],
        ),
        attack(
            "take a replica's Lease away",
            Who::Owner,
            "DELETE",
            "/apis/coordination.k8s.io/v1/namespaces/booking-operator/leases/any",
            none.clone(),
            &["is forbidden"],
        ),
        attack(
            "delete the ring, so that all begin anew",
            Who::Owner,
            "DELETE",
            "/apis/manager.kotaico.de/v1/namespaces/booking-operator/rings/booking-operator",
            none.clone(),
            &["is forbidden"],
        ),
        attack(
            "read Secrets with the operator's token",
            Who::Operator,
            "GET",
            "/api/v1/namespaces/booking-operator/secrets",
            none.clone(),
            &["is forbidden", "secrets"],
        ),
        attack(
            "run something in a Pod with the operator's token",
            Who::Operator,
            "POST",
            "/api/v1/namespaces/booking-operator/pods/any/exec?command=sh",
            none.clone(),
            &["is forbidden", "pods/exec"],
        ),
        attack(
            "start a Pod with the operator's token",
            Who::Operator,
            "POST",
            "/api/v1/namespaces/booking-operator/pods",
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            }),
            &["is forbidden"],
        ),
        attack(
            "delete a group with the operator's token",
            Who::Operator,
            "DELETE",
            "resources/ec2.web",
            none.clone(),
            &["is forbidden", "cannot delete"],
        ),
        attack(
            "change a booking with the operator's token",
            Who::Operator,
            "PATCH",
            "bookings/anns",
            json!({ "spec": { "user_id": "bob" } }),
            &["is forbidden", "cannot patch"],
        ),
        attack(
            "take another program's lead with the operator's token",
            Who::Operator,
            "PATCH",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager",
            json!({ "spec": { "holderIdentity": "x" } }),
            &["is forbidden", "cannot patch"],
        ),
        attack(
            "become somebody else with the operator's token",
            Who::Operator,
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": "x" } }),
            &["is forbidden"],
        ),
    ]
}
