//! What kubectl shows for the kinds.

use kube::api::PostParams;
use serde_json::json;
use testbed::control_plane::ControlPlane;

use crate::{
    cases::{booking, resource, scheduler},
    common::{KINDS, api, eventually, headers, kubectl, object, served},
};

/// Runs kubectl until it answers: discovery and the published schemas follow the CRDs with a delay.
async fn answer(control_plane: &ControlPlane, arguments: &[&str]) -> String {
    eventually(|| async { kubectl(control_plane, arguments, "") }).await
}

/// Creates a namespace with one object of each kind, named after its kind.
async fn one_of_each(prefix: &str) -> (&'static ControlPlane, String) {
    let (control_plane, client, namespace) = served(prefix).await;
    for (kind, spec) in KINDS.into_iter().zip([booking(), scheduler(), resource(), json!({"type": "ec2"})]) {
        let object = object(kind, &format!("my-{}", kind.to_lowercase()), spec);
        api(&client, &namespace, kind).create(&PostParams::default(), &object).await.unwrap();
    }
    (control_plane, namespace)
}

#[tokio::test]
async fn kubectl_explain_prints_what_a_field_is_for() {
    let (control_plane, _, _) = served("explain").await;
    for (path, words) in [
        ("booking", "claims a Resource for a time"),
        ("booking.spec.end_at", "End of the booking, RFC 3339"),
        ("booking.spec.notifications.recipient", "Where to send it"),
        ("booking.status.conditions.reason", "reason contains a programmatic identifier"),
        ("resource", "group of cloud machines"),
        ("bres.spec.tag", "resource-booking-application"),
        ("bres.spec.when_idle", "Absent: they are stopped, but"),
        ("bres.spec.on_delete", "Release (default): they are unlocked"),
        ("bmon.spec.type", "Kind of machines to look for"),
        ("bsched.spec.bookingTemplate.start_at", "the schedule sets the start"),
    ] {
        // when a user asks what a field is
        let printed = answer(control_plane, &["explain", path]).await;
        // then its description is printed, in lines of any width
        let printed = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(printed.contains(words), "{path}: {printed}");
    }
}

#[tokio::test]
async fn kubectl_get_knows_singular_plural_and_short_names() {
    // given one object of each kind
    let (control_plane, namespace) = one_of_each("names").await;
    for (words, name) in [
        (["booking", "bookings", "bk"], "my-booking"),
        (["bookingscheduler", "bookingschedulers", "bsched"], "my-bookingscheduler"),
        (["resource", "resources", "bres"], "my-resource"),
        (["resourcemonitor", "resourcemonitors", "bmon"], "my-resourcemonitor"),
    ] {
        let namespaced = ["-n", &namespace, "-o", "name"];
        // when it is asked for by its name
        let named = answer(control_plane, &[&["get", words[0], name], &namespaced[..]].concat()).await;
        // then it is found
        assert_eq!(named.trim().rsplit('/').next(), Some(name));
        for word in words {
            // when all of its kind are listed by each of the kind's names
            let listed = answer(control_plane, &[&["get", word], &namespaced[..]].concat()).await;
            // then it is that object alone
            assert_eq!(listed, named, "{word}");
        }
    }
}

#[tokio::test]
async fn kubectl_get_lists_all_kinds_by_their_category() {
    // given one object of each kind
    let (control_plane, namespace) = one_of_each("category").await;
    // when the category is listed
    let get = ["get", "booking-operator", "-n", &namespace, "-o", "name"];
    let listed = answer(control_plane, &get).await;
    // then all of them are there
    let mut names: Vec<_> = listed.lines().filter_map(|line| line.rsplit('/').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["my-booking", "my-bookingscheduler", "my-resource", "my-resourcemonitor"]);
}

#[tokio::test]
async fn kubectl_get_tells_more_of_readiness_only_when_asked_for_wide_output() {
    // given one object of each kind
    let (control_plane, namespace) = one_of_each("wide").await;
    for (word, count, more) in [
        ("bookings", 4, &["READY", "REASON", "HOLDER", "READY AFTER"][..]),
        ("resources", 6, &["READY", "REASON"]),
        ("bookingschedulers", 4, &["SUSPEND", "LAST", "READY", "REASON"]),
        ("resourcemonitors", 2, &["TYPE", "FOUND", "VANISHED", "SWEPT", "READY"]),
    ] {
        // when they are listed, wide and not
        let narrow = headers(&answer(control_plane, &["get", word, "-n", &namespace]).await);
        let wide = headers(&answer(control_plane, &["get", word, "-n", &namespace, "-o", "wide"]).await);
        // then the wide list has more columns
        assert_eq!((narrow.len(), &wide[..count]), (count, &narrow[..]));
        assert_eq!(wide[count..], *more, "{word}");
    }
}
