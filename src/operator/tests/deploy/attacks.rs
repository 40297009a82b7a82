//! What people try who want more than they may, and what refuses it.

use kube::Client;
use serde_json::{Value, json};

use super::cluster::{ACCOUNT, NAMESPACE, client_of, cluster, kubectl};

const API: &str = "/apis/manager.kotaico.de/v1/namespaces/team";

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    /// May look at everything.
    Viewer,
    /// May book.
    Bob,
    /// May do what booking-admin may, and writes statuses by a role of somebody careless.
    Admin,
    /// May do all in the namespace `team`, as its administrator.
    Owner,
    /// The operator's own token, stolen.
    Operator,
}

struct Attack {
    name: &'static str,
    who: Who,
    method: &'static str,
    path: String,
    body: Value,
    /// What the refusal must say: who refuses, and why.
    refused_by: &'static [&'static str],
}

fn booking(name: &str, spec: &Value) -> Value {
    let mut whole = json!({
        "resource_name": "ec2.web", "user_id": "bob",
        "start_at": "2080-01-01T08:00:00Z", "end_at": "2080-01-01T09:00:00Z",
    });
    merge(&mut whole, spec);
    json!({ "apiVersion": "manager.kotaico.de/v1", "kind": "Booking", "metadata": { "name": name }, "spec": whole })
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn resource(name: &str, spec: &Value) -> Value {
    let mut whole = json!({ "type": "ec2", "tag": name });
    merge(&mut whole, spec);
    json!({ "apiVersion": "manager.kotaico.de/v1", "kind": "Resource", "metadata": { "name": name }, "spec": whole })
}

fn scheduler(name: &str, user: &str) -> Value {
    json!({
        "apiVersion": "manager.kotaico.de/v1", "kind": "BookingScheduler", "metadata": { "name": name },
        "spec": {
            "schedule": "0 8 * * *", "duration": 60,
            "bookingTemplate": { "resource_name": "ec2.web", "user_id": user },
        },
    })
}

const BOUND: &str = "ValidatingAdmissionPolicy 'booking-bound-users-";

#[allow(clippy::too_many_lines, reason = "a table")]
fn attacks() -> Vec<Attack> {
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
    let mut owned = booking("owned", &json!({}));
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "manager.kotaico.de/v1", "kind": "BookingScheduler", "name": "anns", "uid": "u", "controller": true,
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
            json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "x" }] } }),
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
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } }),
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
            "read other namespaces' Leases with the operator's token",
            Who::Operator,
            "GET",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
            none.clone(),
            &["is forbidden"],
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

#[tokio::test]
async fn each_attack_is_refused_by_what_is_there_for_it() {
    let cluster = cluster().await;
    prepare().await;
    // Not by a token of its own: what the operator itself asks for is held against its rights.
    let account = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:booking-operator"];
    let operator = client_of(cluster, &account, &groups);
    let client = |who: Who| match who {
        Who::Viewer => client_of(cluster, "vic", &[]),
        Who::Bob => client_of(cluster, "bob", &[]),
        Who::Admin => client_of(cluster, "admin", &[]),
        Who::Owner => client_of(cluster, "owner", &[]),
        Who::Operator => operator.clone(),
    };
    let mut failed = Vec::new();
    println!("{:<60} refused with", "attack");
    for Attack { name, who, method, path, body, refused_by } in attacks() {
        let answer = ask(&client(who), method, &path, &body).await;
        match answer {
            Ok(_) => failed.push(format!("{name}: it was let through")),
            Err(refusal) => {
                let missing: Vec<_> = refused_by.iter().filter(|words| !refusal.contains(**words)).collect();
                if !missing.is_empty() {
                    failed.push(format!("{name}: {missing:?} not in: {refusal}"));
                }
                println!("{name:<60} {}", refusal.chars().take(170).collect::<String>());
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn what_people_may_do_goes_through() {
    let cluster = cluster().await;
    prepare().await;
    let (bob, boss) = (client_of(cluster, "bob", &[]), client_of(cluster, "boss", &[]));
    let name = |path: &str| format!("{API}/{path}");
    // Bob's own.
    ask(&bob, "POST", &name("bookings"), &booking("own", &json!({}))).await.unwrap();
    ask(&bob, "PATCH", &name("bookings/own"), &json!({ "spec": { "end_at": "2080-01-01T10:00:00Z" } }))
        .await
        .unwrap();
    ask(&bob, "DELETE", &name("bookings/own"), &Value::Null).await.unwrap();
    ask(&bob, "POST", &name("bookingschedulers"), &scheduler("own", "bob")).await.unwrap();
    ask(&bob, "DELETE", &name("bookingschedulers/own"), &Value::Null).await.unwrap();
    // Whoever may book for others.
    ask(&boss, "POST", &name("bookings"), &booking("for-ann", &json!({ "user_id": "ann" }))).await.unwrap();
    ask(&boss, "DELETE", &name("bookings/for-ann"), &Value::Null).await.unwrap();
    // What is nobody's hold may be changed while somebody holds the group.
    let admin = client_of(cluster, "admin", &[]);
    ask(&admin, "PATCH", &name("resources/ec2.held"), &json!({ "spec": { "when_idle": "Keep" } }))
        .await
        .unwrap();
    ask(
        &admin,
        "POST",
        &name("resources"),
        &resource("ec2.new", &json!({ "booked_by": "admin", "booked_until": "2080-01-01T09:00:00Z" })),
    )
    .await
    .unwrap();
    ask(&admin, "DELETE", &name("resources/ec2.new"), &Value::Null).await.unwrap();
    // What is over is nobody's any more.
    let no_hold = json!({ "spec": { "booked_by": null, "booked_until": null } });
    ask(&admin, "PATCH", &name("resources/ec2.over"), &no_hold).await.unwrap();
    // What is booked may be tended.
    ask(&admin, "PATCH", &name("resources/ec2.busy"), &json!({ "spec": { "when_idle": "Keep" } }))
        .await
        .unwrap();
    // Where nobody is named it is whoever creates it.
    let mut unnamed = booking("unnamed", &json!({}));
    unnamed["spec"].as_object_mut().unwrap().remove("user_id");
    let made = ask(&bob, "POST", &name("bookings"), &unnamed).await.unwrap();
    assert_eq!(made["spec"]["user_id"], "bob");
    ask(&bob, "DELETE", &name("bookings/unnamed"), &Value::Null).await.unwrap();
    // The garbage collector.
    let collector = client_of(
        cluster,
        "system:serviceaccount:kube-system:generic-garbage-collector",
        &["system:masters"],
    );
    ask(&boss, "POST", &name("bookings"), &booking("collected", &json!({ "user_id": "ann" }))).await.unwrap();
    ask(&collector, "DELETE", &name("bookings/collected"), &Value::Null).await.unwrap();
}

/// The people, and what is there before they come.
async fn prepare() {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let cluster = cluster().await;
    ONCE.get_or_init(|| async {
        kubectl(cluster, &["create", "namespace", "team"], None).await.unwrap();
        kubectl(
            cluster,
            &[
                "create",
                "clusterrole",
                "careless",
                "--verb=patch",
                "--resource=bookings.manager.kotaico.de/status",
            ],
            None,
        )
        .await
        .unwrap();
        for (user, role) in [
            ("vic", "booking-viewer"),
            ("ann", "booking-editor"),
            ("bob", "booking-editor"),
            ("admin", "booking-editor"),
            ("admin", "booking-admin"),
            ("admin", "careless"),
            ("boss", "booking-editor"),
            ("boss", "booking-admin"),
            ("boss", "booking-on-behalf"),
            // What `admin` consists of; nobody puts it together here.
            ("owner", "system:aggregate-to-admin"),
            ("owner", "system:aggregate-to-edit"),
            ("owner", "booking-admin"),
        ] {
            let binding = format!("{user}-{}", role.replace(':', "-"));
            let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
            kubectl(cluster, &["create", "rolebinding", &binding, "-n", "team", &role, &user], None)
                .await
                .unwrap();
        }
        let boss = client_of(cluster, "boss", &[]);
        let create = async |kind: &str, object: Value| {
            ask(&boss, "POST", &format!("{API}/{kind}"), &object).await.unwrap()
        };
        create("resources", resource("ec2.web", &json!({}))).await;
        let held = json!({ "booked_by": "ann", "booked_until": "2080-01-01T09:00:00Z" });
        create("resources", resource("ec2.held", &held)).await;
        create("resources", resource("ec2.over", &held)).await;
        create("resources", resource("ec2.busy", &json!({}))).await;
        // As the operator would have seen them: a hold that is over, and one by a booking.
        let seen = |name: &str, status: Value| {
            let (name, status) = (name.to_owned(), json!({ "status": status }).to_string());
            async move {
                let args = [
                    "patch",
                    "resources.manager.kotaico.de",
                    &name,
                    "-n",
                    "team",
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &status,
                ];
                kubectl(cluster, &args, None).await.unwrap()
            }
        };
        seen("ec2.over", json!({ "observedGeneration": 1 })).await;
        let by_ann = json!({ "user": "ann", "until": "2080-01-01T09:00:00Z" });
        seen("ec2.busy", json!({ "observedGeneration": 1, "holder": by_ann })).await;
        create("bookings", booking("anns", &json!({ "user_id": "ann" }))).await;
        create("bookings", booking("bobs", &json!({}))).await;
        create("bookingschedulers", scheduler("anns", "ann")).await;
    })
    .await;
}

/// Asks the API server; what it refuses, in its words.
async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request =
        http::Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    let answer = client.request_text(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    })?;
    Ok(serde_json::from_str(&answer).unwrap_or(Value::Null))
}
