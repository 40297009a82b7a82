//! What the tests share that need a real API server.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    future::Future,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bookings::api::{Booking, BookingScheduler, Resource, ResourceMonitor, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::Value;
use testbed::control_plane::{ControlPlane, test_namespace};
use testbed::patience::patient;

/// How long the API server may take to serve a CRD that it has just been given.
const SERVED_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// Words in a refusal that show that the rule raised an error.
const BROKEN_RULE: [&str; 6] =
    ["evaluating rule", "for rule:", "rule error", "no such", "cost limit", "cost budget"];

/// The kinds, in the order of their names.
pub const KINDS: [&str; 4] = ["Booking", "BookingScheduler", "Resource", "ResourceMonitor"];

/// The API of `kind`, one of [`KINDS`].
pub fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let resource = match kind {
        "Booking" => ApiResource::erase::<Booking>(&()),
        "BookingScheduler" => ApiResource::erase::<BookingScheduler>(&()),
        "Resource" => ApiResource::erase::<Resource>(&()),
        "ResourceMonitor" => ApiResource::erase::<ResourceMonitor>(&()),
        other => panic!("no kind {other}"),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// An object to store. If `spec` is null, the object has no spec.
pub fn object(kind: &str, name: &str, spec: Value) -> DynamicObject {
    let mut object = serde_json::json!({
        "apiVersion": "manager.kotaico.de/v1", "kind": kind, "metadata": {"name": name},
    });
    if !spec.is_null() {
        object["spec"] = spec;
    }
    serde_json::from_value(object).unwrap()
}

/// Retries until `check` succeeds. If it never does, the test fails with its last complaint.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(mut check: impl FnMut() -> F) -> T {
    let (started, limit) = (Instant::now(), patient(SERVED_LIMIT));
    loop {
        match check().await {
            Ok(value) => return value,
            Err(complaint) => {
                assert!(started.elapsed() < limit, "still after {limit:?}: {complaint}");
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Installs the CRDs and waits until the server serves them. It may be called any number of times.
pub async fn install_crds(client: &Client) {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for crd in crd::all() {
        let params = PatchParams::apply("booking-tests").force();
        api.patch(&crd.name_any(), &params, &Patch::Apply(&crd)).await.unwrap();
    }
    for crd in crd::all() {
        established(client, &crd.name_any()).await;
    }
}

/// Waits until the server serves a CRD, and returns it.
pub async fn established(client: &Client, name: &str) -> CustomResourceDefinition {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    eventually(|| async {
        let crd = api.get(name).await.map_err(|error| error.to_string())?;
        if condition(&crd, "Established").as_deref() == Some("True") {
            Ok(crd)
        } else {
            Err(format!("{name}: {:?}", crd.status))
        }
    })
    .await
}

/// The status of a CRD's condition.
pub fn condition(crd: &CustomResourceDefinition, type_: &str) -> Option<String> {
    let conditions = crd.status.as_ref()?.conditions.as_ref()?;
    Some(conditions.iter().find(|condition| condition.type_ == type_)?.status.clone())
}

/// The shared server with the CRDs, and a namespace on it for this test only.
pub async fn served(prefix: &str) -> (&'static ControlPlane, Client, String) {
    let control_plane = ControlPlane::shared().await.unwrap();
    let client = control_plane.client().unwrap();
    install_crds(&client).await;
    let namespace = test_namespace(&client, prefix).await.unwrap();
    (control_plane, client, namespace)
}

/// The words that show an error in a rule, if a message has them.
pub fn broken_rule(message: &str) -> Option<&'static str> {
    BROKEN_RULE.into_iter().find(|words| message.contains(words))
}

/// The server's refusal as 422 Invalid. Anything else is a complaint.
pub fn refusal<T>(result: kube::Result<T>) -> Result<String, String> {
    match result {
        Ok(_) => Err("was accepted".to_owned()),
        Err(kube::Error::Api(status)) if status.is_invalid() => match broken_rule(&status.message) {
            None => Ok(status.message.clone()),
            Some(words) => Err(format!("a rule broke ({words}): {}", status.message)),
        },
        Err(error) => Err(format!("{error:?}")),
    }
}

/// Runs kubectl. Returns what it printed, or its complaint.
pub fn kubectl(control_plane: &ControlPlane, arguments: &[&str], input: &str) -> Result<String, String> {
    // kubectl caches discovery by address, and a new server may have the port of an earlier one.
    let cache = tempfile::tempdir().unwrap();
    let mut child = Command::new(control_plane.kubectl().unwrap())
        .arg("--kubeconfig")
        .arg(control_plane.kubeconfig())
        .arg("--cache-dir")
        .arg(cache.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The headers of a kubectl table. At least two spaces separate them.
pub fn headers(table: &str) -> Vec<String> {
    let line = table.lines().next().unwrap_or_default();
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
