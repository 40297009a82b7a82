//! Attacks: what users try without the right to do it, and what refuses it.

mod table;

use bookings::api::Resource;
use kube::{Api, runtime::wait::await_condition};
use serde_json::{Value, json};
use testbed::{
    ec2::{CallQuery, Ec2Config, Ec2Simulator},
    patience::patient,
    replica::{Replica, ReplicaConfig, quick_ring},
};

use self::table::{Attack, Who, attacks};
use super::{
    cluster::{ACCOUNT, NAMESPACE, client_of, cluster, kubectl},
    people::{API, ask, booking, prepare, resource, scheduler},
};

#[tokio::test]
async fn each_attack_is_refused_by_what_is_there_for_it() {
    let cluster = cluster().await;
    prepare().await;
    // The attacks do not use the operator's own token, because the audit log of that account is compared with its
    // rights.
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
async fn a_role_outside_the_allow_list_is_refused_by_the_operator_and_never_assumed() {
    // given an operator that may use no role of another account
    let cluster = cluster().await;
    kubectl(cluster, &["create", "namespace", "roles"], None).await.unwrap();
    let (ec2, directory) =
        (Ec2Simulator::start(Ec2Config::default()).await.unwrap(), tempfile::tempdir().unwrap());
    let ring = quick_ring();
    let flags = ring.iter().map(String::as_str);
    let args: Vec<&str> = flags.chain(["--namespace=roles", "--ring-namespace=roles"]).collect();
    let config = ReplicaConfig {
        name: "roles",
        kubeconfig: cluster.kubeconfig(),
        ec2_url: &ec2.url(),
        log: &directory.path().join("log"),
        args: &args,
    };
    let replica = Replica::start(&config).await.unwrap();
    // when a user who may create Resources names such a role
    let admin = cluster.client().unwrap();
    let role = "arn:aws:iam::222222222222:role/administrator";
    let theirs = resource("ec2.theirs", &json!({ "role_arn": role }));
    let path = "/apis/manager.kotaico.de/v1/namespaces/roles/resources";
    ask(&admin, "POST", path, &theirs).await.unwrap();
    // then the Resource says that it is not allowed, and the role is not assumed
    let refused = |it: Option<&Resource>| {
        let conditions = it.and_then(|it| it.status.as_ref()).map(|status| status.conditions.as_slice());
        let ready = conditions.unwrap_or_default().iter().find(|it| it.type_ == "Ready");
        ready.is_some_and(|it| it.reason == "NotAllowed" && it.message.contains(role))
    };
    let resources: Api<Resource> = Api::namespaced(admin, "roles");
    let told = tokio::time::timeout(
        patient(std::time::Duration::from_secs(30)),
        await_condition(resources, "ec2.theirs", refused),
    );
    let told = told.await.unwrap().unwrap().unwrap().status.unwrap().conditions;
    println!("{:<60} {}", "a Resource with a role outside the allow-list", told[0].message);
    let calls = ec2.world().calls(&CallQuery::default()).calls;
    assert!(calls.iter().all(|call| call.facts.action != "AssumeRole"), "{calls:?}");
    replica.stop().await;
}

#[tokio::test]
async fn what_people_may_do_goes_through() {
    let cluster = cluster().await;
    prepare().await;
    let (bob, boss) = (client_of(cluster, "bob", &[]), client_of(cluster, "boss", &[]));
    let name = |path: &str| format!("{API}/{path}");
    // Bob changes objects of his own.
    ask(&bob, "POST", &name("bookings"), &booking("own", &json!({}))).await.unwrap();
    ask(&bob, "PATCH", &name("bookings/own"), &json!({ "spec": { "end_at": "2080-01-01T10:00:00Z" } }))
        .await
        .unwrap();
    ask(&bob, "DELETE", &name("bookings/own"), &Value::Null).await.unwrap();
    ask(&bob, "POST", &name("bookingschedulers"), &scheduler("own", "bob")).await.unwrap();
    ask(&bob, "DELETE", &name("bookingschedulers/own"), &Value::Null).await.unwrap();
    // The boss may book for others.
    ask(&boss, "POST", &name("bookings"), &booking("for-ann", &json!({ "user_id": "ann" }))).await.unwrap();
    ask(&boss, "DELETE", &name("bookings/for-ann"), &Value::Null).await.unwrap();
    // Fields that are not a hold may be changed while somebody holds the group.
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
    // A hold that is over belongs to nobody.
    let no_hold = json!({ "spec": { "booked_by": null, "booked_until": null } });
    ask(&admin, "PATCH", &name("resources/ec2.over"), &no_hold).await.unwrap();
    // A booked Resource may be changed.
    ask(&admin, "PATCH", &name("resources/ec2.busy"), &json!({ "spec": { "when_idle": "Keep" } }))
        .await
        .unwrap();
    // If no user is named, it is the user who creates the object.
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
