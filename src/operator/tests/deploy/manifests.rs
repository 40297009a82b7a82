//! Whether the API server accepts what is installed.

use super::{
    cluster::{cluster, deploy, kubectl, operators_cluster},
    families::{FAMILIES, Family},
};

/// Everything that can be applied.
fn all() -> Vec<String> {
    let overlays = std::fs::read_dir(deploy("overlays")).unwrap();
    let names = overlays.map(|entry| format!("overlays/{}", entry.unwrap().file_name().to_str().unwrap()));
    names.chain(["base".to_owned()]).collect()
}

/// Lets the API server check what is below `deploy/`, including unknown fields.
async fn dry_run(flag: &str, path: &str) -> Result<String, String> {
    let strict =
        ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", flag];
    kubectl(cluster().await, &strict, Some(&deploy(path))).await
}

#[tokio::test]
async fn every_overlay_is_taken_by_the_api_server_field_by_field() {
    // given the kinds of the Prometheus operator, too
    let cluster = cluster().await;
    for path in testbed::prometheus::crds().await.unwrap() {
        kubectl(cluster, &["apply", "--server-side", "-f"], Some(&path)).await.unwrap();
    }
    let established = ["wait", "--for=condition=Established", "crds", "--all", "--timeout=30s"];
    kubectl(cluster, &established, None).await.unwrap();
    // when each overlay is applied, then nothing is refused, and no field is unknown
    let all = all();
    assert!(all.len() >= 6, "{all:?}");
    for path in &all {
        let taken = dry_run("-k", path).await;
        let taken = taken.unwrap_or_else(|error| panic!("{path}: {error}"));
        for kind in ["deployment.apps", "customresourcedefinition", "clusterrole"] {
            assert!(taken.contains(kind), "{path} has no {kind}:\n{taken}");
        }
        if path.ends_with("monitoring") {
            assert!(taken.contains("podmonitor") && taken.contains("prometheusrule"), "{taken}");
        }
    }
}

#[tokio::test]
async fn the_samples_and_what_else_can_be_added_are_taken_field_by_field() {
    let families = FAMILIES.iter().map(|family| ("-k", format!("components/{}", family.name)));
    let others = [("-f", "samples"), ("-k", "components/own-name"), ("-k", "components/common")];
    for (flag, path) in families.chain(others.map(|(flag, path)| (flag, path.to_owned()))) {
        let taken = dry_run(flag, &path).await;
        assert!(taken.as_ref().is_ok_and(|taken| taken.lines().count() >= 2), "{path}: {taken:?}");
    }
}

#[tokio::test]
async fn the_pods_may_run_where_only_restricted_ones_may() {
    let cluster = operators_cluster().await;
    let client = cluster.client().unwrap();
    let create = |pod: &serde_json::Value| {
        let request = http::Request::post("/api/v1/namespaces/booking-operator/pods?dryRun=All")
            .header("content-type", "application/json")
            .body(pod.to_string().into_bytes());
        let client = client.clone();
        async move { client.request_text(request.unwrap()).await }
    };
    for &Family { name, operator, .. } in &FAMILIES {
        // given the namespace's own label, when a Pod is created from a Deployment's template
        let get = ["get", "deployment", operator, "-n", "booking-operator", "-o", "json"];
        let deployment: serde_json::Value =
            serde_json::from_str(&kubectl(cluster, &get, None).await.unwrap()).unwrap();
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = "as-in-the-deployment".into();
        // then it is accepted
        create(&pod).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        // and a Pod with one more right is refused
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let refused = create(&pod).await.unwrap_err().to_string();
        assert!(refused.contains("PodSecurity"), "{refused}");
    }
}
