//! Statuses: what start and stop do to them, and what time does.

use super::*;
use crate::ec2::AdminError;

#[test]
fn a_stopped_instance_starts_in_its_time() {
    // given
    let mut databases = with(&[], &[AddDbInstance::new("orders").status("stopped")]);
    // when
    power(&mut databases, 0, Kind::Instance, Power::Start, "Orders").unwrap();
    // then
    assert_eq!(status(&databases, 5 * MINUTE - 1, "orders"), "starting");
    assert_eq!(status(&databases, 5 * MINUTE, "orders"), "available");
    assert_eq!(instance(&databases, 0, "orders").automatic_restart_time, None);
    assert_eq!(status(&databases, 2 * WEEK, "orders"), "available");
}

#[test]
fn a_stopped_instance_restarts_by_itself_after_seven_days() {
    // given
    let mut databases = with(&[], &[AddDbInstance::new("orders")]);
    // when
    power(&mut databases, MINUTE, Kind::Instance, Power::Stop, "orders").unwrap();
    // then
    let restart = MINUTE + WEEK;
    for (ms, expected, restarts) in [
        (MINUTE, "stopping", true),
        (6 * MINUTE, "stopped", true),
        (restart - 1, "stopped", true),
        (restart, "starting", false),
        (restart + 5 * MINUTE, "available", false),
    ] {
        let view = instance(&databases, ms, "orders");
        assert_eq!((view.status.as_str(), ms), (expected, ms));
        assert_eq!(view.automatic_restart_time, restarts.then(|| at(restart)), "{ms}");
    }
    power(&mut databases, restart + 5 * MINUTE, Kind::Instance, Power::Stop, "orders").unwrap();
}

#[test]
fn start_needs_a_stopped_instance_and_stop_an_available_one() {
    for (begun, call, word) in [
        ("stopping", Power::Stop, "available"),
        ("stopped", Power::Stop, "available"),
        ("backing-up", Power::Stop, "available"),
        ("available", Power::Start, "stopped"),
        ("starting", Power::Start, "stopped"),
    ] {
        let mut databases = with(&[], &[AddDbInstance::new("orders").status(begun)]);
        let error = power(&mut databases, 1, Kind::Instance, call, "orders").unwrap_err();
        assert_eq!(error.code, "InvalidDBInstanceState");
        assert_eq!(error.message, format!("Instance orders is not in {word} state."));
        assert_eq!(status(&databases, 1, "orders"), begun);
    }
}

#[test]
fn what_rds_cannot_stop_is_refused() {
    let replica =
        AddDbInstance { read_replica_of: Some("orders".to_owned()), ..AddDbInstance::new("reports") };
    let sql_server =
        AddDbInstance { engine: "sqlserver-se".to_owned(), multi_az: true, ..AddDbInstance::new("ledger") };
    let member = AddDbInstance { cluster: Some("aurora".to_owned()), ..AddDbInstance::new("aurora-1") };
    let instances = [AddDbInstance::new("orders"), replica, sql_server, member];
    let mut databases = with(&[AddDbCluster::new("aurora")], &instances);
    for (name, code) in [
        ("orders", "InvalidDBInstanceState"),
        ("reports", "InvalidDBInstanceState"),
        ("ledger", "InvalidDBInstanceState"),
        ("aurora-1", "InvalidParameterCombination"),
    ] {
        let error = power(&mut databases, 0, Kind::Instance, Power::Stop, name).unwrap_err();
        assert_eq!((error.code.as_str(), status(&databases, 0, name).as_str()), (code, "available"));
    }
    assert_eq!(instance(&databases, 0, "orders").read_replicas, ["reports"]);
    assert_eq!(instance(&databases, 0, "reports").read_replica_of.as_deref(), Some("orders"));
}

#[test]
fn members_move_with_their_cluster() {
    // given
    let member = |name| AddDbInstance { cluster: Some("aurora".to_owned()), ..AddDbInstance::new(name) };
    let instances = [member("aurora-1"), member("aurora-2"), AddDbInstance::new("orders")];
    let mut databases = with(&[AddDbCluster::new("aurora")], &instances);
    // when
    power(&mut databases, 0, Kind::Cluster, Power::Stop, "aurora").unwrap();
    // then
    for (ms, expected) in [(0, "stopping"), (5 * MINUTE, "stopped"), (WEEK, "starting")] {
        assert_eq!(cluster_status(&databases, ms, "aurora"), expected);
        assert_eq!(status(&databases, ms, "aurora-1"), expected);
        assert_eq!(status(&databases, ms, "aurora-2"), expected);
        assert_eq!(status(&databases, ms, "orders"), "available");
    }
    assert_eq!(instance(&databases, 0, "aurora-1").engine, "aurora-postgresql");
    // when it stops again while it is stopped, then RDS refuses in words of its own
    let error = power(&mut databases, WEEK - 1, Kind::Cluster, Power::Stop, "aurora").unwrap_err();
    assert_eq!(error.code, "InvalidDBClusterStateFault");
    // when it is started
    power(&mut databases, WEEK - 1, Kind::Cluster, Power::Start, "aurora").unwrap();
    // then its members are, too
    assert_eq!(status(&databases, WEEK - 1 + 5 * MINUTE, "aurora-2"), "available");
}

#[test]
fn a_forced_status_goes_on_in_its_time() {
    // given
    let mut databases = with(&[], &[AddDbInstance::new("orders")]);
    let arn = instance(&databases, 0, "orders").arn;
    let settings = Settings::default();
    // when
    databases.force(at(0), &arn, "storage-full", &settings).unwrap();
    // then
    assert_eq!(status(&databases, WEEK, "orders"), "storage-full");
    // when
    databases.force(at(0), &arn, "stopped", &settings).unwrap();
    // then
    assert_eq!(status(&databases, WEEK - 1, "orders"), "stopped");
    assert_eq!(status(&databases, WEEK, "orders"), "starting");
    let unknown = databases.force(at(0), "arn:aws:rds:r:1:db:none", "stopped", &settings);
    assert!(matches!(unknown, Err(AdminError::UnknownDatabase(_))));
}

#[test]
fn what_makes_no_sense_is_not_added() {
    let mut databases = with(&[], &[AddDbInstance::new("orders")]);
    let lost = AddDbInstance { cluster: Some("none".to_owned()), ..AddDbInstance::new("lost") };
    let orphan = AddDbInstance { read_replica_of: Some("none".to_owned()), ..AddDbInstance::new("orphan") };
    for add in [AddDbInstance::new("Orders"), AddDbInstance::new("a--b"), lost, orphan] {
        assert!(databases.add_instance(at(0), &add, &Settings::default()).is_err(), "{add:?}");
    }
    assert_eq!(databases.instances.len(), 1);
}
