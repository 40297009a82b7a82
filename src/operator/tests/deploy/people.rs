//! Users with the installed roles, the objects that exist before they act, and how they send requests.

use kube::Client;
use serde_json::{Value, json};

use super::cluster::{client_of, cluster, kubectl};

/// Where they book.
pub const API: &str = "/apis/manager.kotaico.de/v1/namespaces/team";

/// A Booking of bob's, with these changes of its spec.
pub fn booking(name: &str, spec: &Value) -> Value {
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

/// A Resource whose tag is its name, with these changes of its spec.
pub fn resource(name: &str, spec: &Value) -> Value {
    let mut whole = json!({ "type": "ec2", "tag": name });
    merge(&mut whole, spec);
    json!({ "apiVersion": "manager.kotaico.de/v1", "kind": "Resource", "metadata": { "name": name }, "spec": whole })
}

/// A scheduler that books for a user.
pub fn scheduler(name: &str, user: &str) -> Value {
    json!({
        "apiVersion": "manager.kotaico.de/v1", "kind": "BookingScheduler", "metadata": { "name": name },
        "spec": {
            "schedule": "0 8 * * *", "duration": 60,
            "bookingTemplate": { "resource_name": "ec2.web", "user_id": user },
        },
    })
}

/// Creates the users, and the objects that exist before they act.
pub async fn prepare() {
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
            // The parts of the role `admin`. Nothing aggregates them here.
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
        // Statuses as the operator would have written them: a hold that is over, and a hold by a booking.
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

/// Sends a request to the API server. The error is its refusal.
pub async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, String> {
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
