//! RDS over HTTP, as a caller and an administrator see it.

use std::time::Duration;

use super::super::API_VERSION;
use super::*;
use crate::ec2::tests::wire::{Caller, simulator};
use crate::ec2::{
    CallQuery, Ec2AdminClient, Ec2Config, Ec2Simulator, FaultEffect, FaultMatch, FaultRule, Tags,
};

const ORDERS: &str = "arn:aws:rds:eu-central-1:000000000000:db:orders";

fn caller(simulator: &Ec2Simulator) -> Caller {
    Caller { version: API_VERSION, ..Caller::of(simulator) }
}

#[tokio::test]
async fn an_instance_goes_through_a_stop_as_a_caller_sees_it() {
    // given
    let simulator = simulator().await;
    let world = simulator.world();
    assert_eq!(world.add_db_instance(&AddDbInstance::new("orders").tag("group", "a&b")).unwrap(), ORDERS);
    let caller = caller(&simulator);
    // when
    let stopped = caller.call("StopDBInstance", &[("DBInstanceIdentifier", "orders")]).await;
    world.advance(Duration::from_mins(5)).unwrap();
    let described = caller.call("DescribeDBInstances", &[("DBInstanceIdentifier", ORDERS)]).await;
    // then
    let root = "<StopDBInstanceResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">\
        <StopDBInstanceResult><DBInstance><DBInstanceIdentifier>orders</DBInstanceIdentifier>";
    assert!(stopped.body.contains(root), "{}", stopped.body);
    assert_eq!(stopped.text("DBInstanceStatus"), Some("stopping"));
    let instance = "<DBInstanceIdentifier>orders</DBInstanceIdentifier>\
        <DBInstanceClass>db.t3.micro</DBInstanceClass><Engine>postgres</Engine>\
        <DBInstanceStatus>stopped</DBInstanceStatus>\
        <AutomaticRestartTime>2026-01-08T00:00:00.000Z</AutomaticRestartTime>\
        <AvailabilityZone>eu-central-1a</AvailabilityZone><MultiAZ>false</MultiAZ>\
        <ReadReplicaDBInstanceIdentifiers></ReadReplicaDBInstanceIdentifiers>\
        <DBInstanceArn>arn:aws:rds:eu-central-1:000000000000:db:orders</DBInstanceArn>\
        <TagList><Tag><Key>group</Key><Value>a&amp;b</Value></Tag></TagList>";
    assert_eq!(described.text("DBInstance"), Some(instance), "{}", described.body);
    assert!(described.body.contains("</DescribeDBInstancesResult><ResponseMetadata><RequestId>"));
    let calls = world.calls(&CallQuery::default()).calls;
    assert_eq!((calls[0].facts.action.as_str(), calls[0].took_effect), ("StopDBInstance", true));
    assert_eq!(
        (&calls[0].facts.instance_ids[0], &calls[1].facts.instance_ids[0]),
        (&"orders".into(), &ORDERS.into())
    );
}

#[tokio::test]
async fn a_cluster_names_its_members_and_its_replicas() {
    let simulator = simulator().await;
    let world = simulator.world();
    let source = world.add_db_cluster(&AddDbCluster::new("aurora")).unwrap();
    let replica = AddDbCluster {
        region: "us-west-2".to_owned(),
        replica_of: Some(source.clone()),
        ..AddDbCluster::new("copy")
    };
    let replica = world.add_db_cluster(&replica).unwrap();
    let member = AddDbInstance { cluster: Some("aurora".to_owned()), ..AddDbInstance::new("aurora-1") };
    world.add_db_instance(&member).unwrap();
    let mut caller = caller(&simulator);

    let described = caller.call("DescribeDBClusters", &[("DBClusterIdentifier", "aurora")]).await;
    let refused = caller.call("StopDBCluster", &[("DBClusterIdentifier", "aurora")]).await;
    caller.region = "us-west-2";
    let copy = caller.call("DescribeDBClusters", &[]).await;

    assert_eq!(
        (described.text("Status"), described.text("DBClusterArn")),
        (Some("available"), Some(&*source))
    );
    assert!(
        described
            .text("DBClusterMember")
            .unwrap()
            .contains("<DBInstanceIdentifier>aurora-1</DBInstanceIdentifier>")
    );
    assert_eq!(described.text("ReadReplicaIdentifier"), Some(&*replica));
    assert_eq!(copy.text("ReplicationSourceIdentifier"), Some(&*source));
    assert_eq!(refused.text("Code"), Some("InvalidDBClusterStateFault"));
}

#[tokio::test]
async fn tags_are_added_removed_and_listed_by_arn() {
    // given
    let simulator = simulator().await;
    let world = simulator.world();
    world.add_db_instance(&AddDbInstance::new("orders").tag("old", "1")).unwrap();
    let caller = caller(&simulator);
    let arn = ("ResourceName", ORDERS);
    // when
    let pair = [arn, ("Tags.Tag.1.Key", "new"), ("Tags.Tag.1.Value", "a b=c")];
    let added = caller.call("AddTagsToResource", &pair).await;
    let removed = caller.call("RemoveTagsFromResource", &[arn, ("TagKeys.member.1", "old")]).await;
    let listed = caller.call("ListTagsForResource", &[arn]).await;
    let refused = caller
        .call("AddTagsToResource", &[arn, ("Tags.Tag.1.Key", "json"), ("Tags.Tag.1.Value", "{}")])
        .await;
    // then
    assert_eq!((added.status, removed.status), (200, 200));
    assert!(added.body.contains("/\"><ResponseMetadata>"), "{}", added.body);
    assert_eq!(listed.text("TagList"), Some("<Tag><Key>new</Key><Value>a b=c</Value></Tag>"));
    assert_eq!(refused.text("Code"), Some("InvalidParameterValue"));
    let calls = world.calls(&CallQuery::default()).calls;
    assert_eq!(
        (calls[1].facts.instance_ids[0].as_str(), calls[1].facts.tags[0].key.as_str()),
        (ORDERS, "old")
    );
}

#[tokio::test]
async fn errors_come_in_the_form_of_rds_with_its_status() {
    let simulator = simulator().await;
    simulator.world().add_db_instance(&AddDbInstance::new("orders")).unwrap();
    let mut caller = caller(&simulator);
    for (action, params, status, code) in [
        ("DescribeDBInstances", vec![("DBInstanceIdentifier", "none")], 404, "DBInstanceNotFound"),
        ("DescribeDBClusters", vec![("DBClusterIdentifier", "none")], 404, "DBClusterNotFoundFault"),
        ("StartDBInstance", vec![("DBInstanceIdentifier", "orders")], 400, "InvalidDBInstanceState"),
        ("StartDBInstance", vec![("DBInstanceIdentifier", ORDERS)], 400, "InvalidParameterValue"),
        ("StartDBInstance", vec![], 400, "MissingParameter"),
        ("DescribeDBInstances", vec![("MaxRecords", "10")], 400, "InvalidParameterValue"),
        ("ListTagsForResource", vec![("ResourceName", "orders")], 400, "InvalidParameterValue"),
        ("CreateDBInstance", vec![], 400, "InvalidAction"),
    ] {
        let answer = caller.call(action, &params).await;
        assert_eq!((answer.status, answer.text("Code")), (status, Some(code)), "{action}");
        let start =
            "<ErrorResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><Error><Type>Sender</Type>";
        assert!(answer.body.contains(start) && answer.text("RequestId").is_some(), "{}", answer.body);
    }
    caller.version = "2013-01-10";
    assert_eq!(caller.call("StartDBInstance", &[]).await.text("Code"), Some("InvalidAction"));
}

#[tokio::test]
async fn faults_and_throttling_reach_rds_in_its_words() {
    // given
    let simulator = simulator().await;
    let world = simulator.world();
    world.add_db_instance(&AddDbInstance::new("orders").tag("group", "a").status("stopped")).unwrap();
    let caller = caller(&simulator);
    let start = [("DBInstanceIdentifier", "orders")];
    // when
    let when = FaultMatch {
        action: Some("StartDBInstance".to_owned()),
        tag_key: Some("group".to_owned()),
        ..FaultMatch::default()
    };
    let then = FaultEffect::error("InsufficientDBInstanceCapacity", "no room for {ids}");
    world.add_fault(FaultRule { when, then, after_effect: false, times: Some(1) });
    world.add_fault(FaultRule::on("DescribeDBInstances", FaultEffect::error("Throttling", "Rate exceeded")));
    let full = caller.call("StartDBInstance", &start).await;
    let throttled = caller.call("DescribeDBInstances", &[]).await;
    // then
    assert_eq!((full.status, full.text("Code")), (400, Some("InsufficientDBInstanceCapacity")));
    assert_eq!(full.text("Message"), Some("no room for orders"));
    assert_eq!((throttled.status, throttled.text("Code")), (400, Some("Throttling")));
    assert_eq!(caller.call("StartDBInstance", &start).await.text("DBInstanceStatus"), Some("starting"));
}

#[tokio::test]
async fn an_overrun_admission_throttles_rds_as_rds_does() {
    #[derive(Debug)]
    struct Nobody;
    impl crate::ec2::Admission for Nobody {
        fn admit(&self, _: crate::ec2::AdmissionCall<'_>) -> Result<(), crate::ec2::Throttled> {
            Err(crate::ec2::Throttled)
        }
    }
    let config = Ec2Config { admission: std::sync::Arc::new(Nobody), ..Ec2Config::default() };
    let simulator = Ec2Simulator::start(config).await.unwrap();

    let answer = caller(&simulator).call("DescribeDBInstances", &[]).await;

    assert_eq!((answer.status, answer.text("Code")), (400, Some("Throttling")));
    assert_eq!(answer.text("Message"), Some("Rate exceeded"));
}

#[tokio::test]
async fn databases_can_be_administered_from_another_process() {
    // given
    let simulator = simulator().await;
    let admin = Ec2AdminClient::new(&simulator.url()).unwrap();
    let cluster = admin.add_db_cluster(&AddDbCluster::new("aurora")).await.unwrap();
    let orders = admin.add_db_instance(&AddDbInstance::new("orders").tag("group", "a")).await.unwrap();
    // when
    admin.set_db_status(&cluster, "stopped").await.unwrap();
    admin.set_db_tags(&orders, &Tags::from([("new".to_owned(), "1".to_owned())])).await.unwrap();
    admin.remove_db_tags(&orders, &["group".to_owned()]).await.unwrap();
    // then
    assert_eq!(admin.db_clusters().await.unwrap()[0].status, "stopped");
    let instances = admin.db_instances().await.unwrap();
    assert_eq!(instances, simulator.world().db_instances());
    assert_eq!(instances[0].tags.keys().collect::<Vec<_>>(), ["new"]);
    assert!(admin.set_db_status("arn:aws:rds:r:1:db:none", "stopped").await.is_err());
    admin.reset().await.unwrap();
    assert!(admin.db_instances().await.unwrap().is_empty());
}
