//! Bad ResourceMonitors. See [`super`] for how to add one.

use serde_json::json;

use super::row::{
    Expected::{Condition, Refused},
    Kind::ResourceMonitor,
    Row, edited, monitor, text, x,
};

const TYPE: &str = "spec.type | must be one of: ec2, rds";

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        ("the type is no known one", monitor(json!({"type": "mainframe"})), Refused(TYPE)),
        ("the type is in another case", monitor(json!({"type": "Ec2"})), Refused(TYPE)),
        ("the type is empty", monitor(json!({"type": ""})), Refused(TYPE)),
        ("the type is two", monitor(json!({"type": "ec2,rds"})), Refused(TYPE)),
        ("the type has a line feed", monitor(json!({"type": "ec2\n"})), Refused(TYPE)),
        ("the type is missing", monitor(json!({"type": null})), Refused("spec.type | Required value")),
        ("the type is null", text(ResourceMonitor, "type: null"), Refused("spec.type | Required value")),
        ("the type is a list", monitor(json!({"type": ["ec2", "rds"]})), Refused("spec.type | must be of type string")),
        ("the type is a mebibyte", monitor(json!({"type": x("x", 1 << 20)})), Refused("Too long")),
        ("the type is 17 characters",
            monitor(json!({"type": x("x", 17)})), Refused("spec.type | may not be more than 16")),
        ("the interval is 0",
            monitor(json!({"interval_seconds": 0})),
            Refused("spec.interval_seconds | greater than or equal to 10")),
        ("the interval is 9 seconds",
            monitor(json!({"interval_seconds": 9})),
            Refused("spec.interval_seconds | greater than or equal to 10")),
        ("the interval is negative",
            monitor(json!({"interval_seconds": -60})),
            Refused("spec.interval_seconds | greater than or equal to 10")),
        ("the interval is more than a day",
            monitor(json!({"interval_seconds": 86_401})),
            Refused("spec.interval_seconds | less than or equal to 86400")),
        ("the interval is the greatest integer",
            monitor(json!({"interval_seconds": i64::MAX})),
            Refused("spec.interval_seconds | less than or equal to 86400")),
        ("the interval is beyond all integers",
            text(ResourceMonitor, "interval_seconds: 1e30"), Refused("spec.interval_seconds")),
        ("the interval is a float",
            monitor(json!({"interval_seconds": 60.5})),
            Refused("spec.interval_seconds | must be of type integer")),
        ("the interval is a duration",
            monitor(json!({"interval_seconds": "1m"})),
            Refused("spec.interval_seconds | must be of type integer")),
        ("the interval is true", monitor(json!({"interval_seconds": true})), Refused("spec.interval_seconds")),
        ("there is a field that is none",
            monitor(json!({"zone": "eu-central-1a"})), Refused("unknown field \"spec.zone\"")),
        ("a field is there twice: to kubectl the last one counts",
            text(ResourceMonitor, "type: ec2, type: vm"), Refused(TYPE)),
        ("a good type is made bad", edited(monitor(json!({})), json!({"type": "vm"})), Refused(TYPE)),
        // what depends on how the operator is set up: databases
        ("the region is not allowed",
            monitor(json!({"region": "us-east-1"})),
            Condition("Stalled", "NotAllowed", "spec.region | us-east-1 | eu-central-1")),
        ("the role is not allowed",
            monitor(json!({"role_arn": "arn:aws:iam::123456789012:role/x"})),
            Condition("Stalled", "NotAllowed", "spec.role_arn | 123456789012")),
        ("the region is none", monitor(json!({"region": "Frankfurt"})), Refused("spec.region | must be a region")),
        ("the region is changed",
            edited(monitor(json!({})), json!({"region": "us-east-1"})), Refused("region is immutable")),
    ]
}
