//! Describes: names, pages, filters and scopes.

use super::super::describe::Describe;
use super::*;
use crate::ec2::RawFilter;

fn describe(databases: &mut Databases, ask: Describe) -> Result<(Vec<String>, Option<String>), ApiError> {
    let request = Request::Describe(Kind::Instance, ask);
    match databases.carry_out(at(0), &scope(), request, &Settings::default())? {
        Answer::Instances(page) => {
            Ok((page.items.into_iter().map(|view| view.identifier).collect(), page.marker))
        }
        other => panic!("{other:?}"),
    }
}

fn by_name(name: &str) -> Describe {
    Describe { name: Some(name.to_owned()), ..Describe::default() }
}

#[test]
fn pages_follow_each_other_and_name_each_instance_once() {
    // given
    let names: Vec<String> = (0..45).map(|n| format!("db-{n:02}")).collect();
    let adds: Vec<AddDbInstance> = names.iter().map(|name| AddDbInstance::new(name)).collect();
    let mut databases = with(&[], &adds);
    // when
    let (mut found, mut sizes, mut marker) = (Vec::new(), Vec::new(), None);
    loop {
        let ask = Describe { max_records: Some(20), marker, ..Describe::default() };
        let (page, next) = describe(&mut databases, ask).unwrap();
        sizes.push(page.len());
        found.extend(page);
        marker = next;
        if marker.is_none() {
            break;
        }
    }
    // then
    assert_eq!((found, sizes), (names, vec![20, 20, 5]));
    assert_eq!(describe(&mut databases, Describe::default()).unwrap().0.len(), 45);
}

#[test]
fn a_page_has_20_to_100_records() {
    let mut databases = with(&[], &[]);
    for (size, fits) in [(19, false), (20, true), (100, true), (101, false)] {
        let answer = describe(&mut databases, Describe { max_records: Some(size), ..Describe::default() });
        assert_eq!(answer.is_ok(), fits, "{size}");
    }
    let forged = Describe { marker: Some("?".to_owned()), ..Describe::default() };
    assert_eq!(describe(&mut databases, forged).unwrap_err().code, "InvalidParameterValue");
}

#[test]
fn an_instance_is_found_by_identifier_and_by_arn_in_its_scope_only() {
    let elsewhere = AddDbInstance { region: "us-west-2".to_owned(), ..AddDbInstance::new("far") };
    let mut databases = with(&[], &[AddDbInstance::new("orders"), elsewhere]);
    for (name, code) in [
        ("orders", None),
        ("ORDERS", None),
        ("arn:aws:rds:eu-central-1:000000000000:db:orders", None),
        ("far", Some("DBInstanceNotFound")),
        ("arn:aws:rds:us-west-2:000000000000:db:far", Some("DBInstanceNotFound")),
        ("arn:aws:rds:eu-central-1:000000000000:cluster:orders", Some("InvalidParameterValue")),
    ] {
        let answer = describe(&mut databases, by_name(name));
        assert_eq!(answer.err().map(|error| error.code).as_deref(), code, "{name}");
    }
    assert_eq!(describe(&mut databases, Describe::default()).unwrap().0, ["orders"]);
}

#[test]
fn filters_narrow_and_unknown_ones_are_refused() {
    let member = AddDbInstance { cluster: Some("aurora".to_owned()), ..AddDbInstance::new("aurora-1") };
    let instances = [AddDbInstance::new("orders"), AddDbInstance::new("ledger"), member];
    let mut databases = with(&[AddDbCluster::new("aurora")], &instances);
    for (name, values, expected) in [
        ("db-instance-id", vec!["orders", "none"], Some(vec!["orders"])),
        ("db-cluster-id", vec!["aurora"], Some(vec!["aurora-1"])),
        ("engine", vec!["postgres"], Some(vec!["ledger", "orders"])),
        ("tag:group", vec!["a"], None),
    ] {
        let values = values.into_iter().map(str::to_owned).collect();
        let filters = vec![RawFilter { name: name.to_owned(), values }];
        let answer = describe(&mut databases, Describe { filters, ..Describe::default() });
        let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
        assert_eq!(answer.ok().map(|(names, _)| names), expected, "{name}");
    }
}
