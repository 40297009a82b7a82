//! Resources that are bad. See [`super`] for how to add one.

use serde_json::json;

use super::row::{
    Expected::{Condition, Refused},
    Kind::Resource,
    Row, edited, resource, text, x,
};

const TYPE: &str = "spec.type | must be one of: ec2, rds";
const TAG: &str = "spec.tag | must not be empty, nor hold control characters or marks that reorder text";
const REGION: &str = "spec.region | must be a region, for example eu-central-1";
const ROLE: &str = "spec.role_arn | must be the ARN of an IAM role";
const BY: &str = "spec.booked_by | must not hold control characters or marks that reorder text";
const UNTIL: &str = "spec.booked_until | must be empty or an RFC 3339 instant with an offset";
const FIXED: &str = "is immutable: another group would be left behind";
const FIXED_TOO: &str = "is immutable, also from absent to set: another group would be left behind";
const GOOD_ROLE: &str = "arn:aws:iam::123456789012:role/booking";

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        ("the type is no known one", resource(json!({"type": "mainframe"})), Refused(TYPE)),
        ("the type is in another case", resource(json!({"type": "EC2"})), Refused(TYPE)),
        ("the type is empty", resource(json!({"type": ""})), Refused(TYPE)),
        ("the type has a blank", resource(json!({"type": "ec2 "})), Refused(TYPE)),
        ("the type is missing", resource(json!({"type": null})), Refused("spec.type | Required value")),
        ("the type is null", text(Resource, "type: null"), Refused("spec.type | Required value")),
        ("the type is a number", resource(json!({"type": 2})), Refused("spec.type | must be of type string")),
        ("the type is a list", resource(json!({"type": ["ec2"]})), Refused("spec.type | must be of type string")),
        ("the type is 17 characters", resource(json!({"type": x("x", 17)})), Refused("spec.type | may not be more than 16")),
        ("the type is changed", edited(resource(json!({})), json!({"type": "rds"})), Refused(FIXED)),
        ("the tag is empty", resource(json!({"tag": ""})), Refused(TAG)),
        ("the tag is missing", resource(json!({"tag": null})), Refused("spec.tag | Required value")),
        ("the tag is a number", resource(json!({"tag": 7})), Refused("spec.tag | must be of type string")),
        ("the tag is a truth to YAML", text(Resource, "tag: on"), Refused("spec.tag | must be of type string")),
        ("the tag is key and value", resource(json!({"tag": {"application": "web"}})), Refused("unknown field \"spec.tag.application\"")),
        ("the tag is 257 characters", resource(json!({"tag": x("x", 257)})), Refused("spec.tag | may not be more than 256")),
        ("the tag is a mebibyte", resource(json!({"tag": x("x", 1 << 20)})), Refused("Too long")),
        ("the tag holds CR LF", resource(json!({"tag": "web\r\ndb"})), Refused(TAG)),
        ("the tag holds a NUL", resource(json!({"tag": "web\0"})), Refused(TAG)),
        ("the tag is written right to left", resource(json!({"tag": "\u{202e}bew"})), Refused(TAG)),
        ("the tag holds a left-to-right mark", resource(json!({"tag": "web\u{200e}"})), Refused(TAG)),
        ("the tag is changed", edited(resource(json!({})), json!({"tag": "other"})), Refused(FIXED)),
        ("the tag is taken away", edited(resource(json!({})), json!({"tag": null})), Refused("spec.tag | Required value")),
        ("when_idle is no known word", resource(json!({"when_idle": "Sleep"})), Refused("spec.when_idle | supported values: \"Stop\", \"Keep\"")),
        ("when_idle is in another case", resource(json!({"when_idle": "stop"})), Refused("spec.when_idle | supported values: \"Stop\", \"Keep\"")),
        ("when_idle is empty", resource(json!({"when_idle": ""})), Refused("spec.when_idle | supported values: \"Stop\", \"Keep\"")),
        ("when_idle is true", resource(json!({"when_idle": true})), Refused("spec.when_idle | must be of type string")),
        ("on_delete is a word of when_idle", resource(json!({"on_delete": "Keep"})), Refused("spec.on_delete | supported values: \"Release\", \"Stop\"")),
        ("on_delete is a number", resource(json!({"on_delete": 0})), Refused("spec.on_delete | must be of type string")),
        ("the region is empty", resource(json!({"region": ""})), Refused(REGION)),
        ("the region is in upper case", resource(json!({"region": "EU-CENTRAL-1"})), Refused(REGION)),
        ("the region is an availability zone", resource(json!({"region": "eu-central-1a"})), Refused(REGION)),
        ("the region is a city", resource(json!({"region": "Frankfurt"})), Refused(REGION)),
        ("the region is a host", resource(json!({"region": "evil.example.com/eu-central-1"})), Refused(REGION)),
        ("the region ends with a line feed", resource(json!({"region": "eu-central-1\n"})), Refused(REGION)),
        ("the region is 33 characters", resource(json!({"region": x("x", 33)})), Refused("spec.region | may not be more than 32")),
        ("the region is a number", resource(json!({"region": 1})), Refused("spec.region | must be of type string")),
        ("the region is added", edited(resource(json!({})), json!({"region": "eu-west-1"})), Refused("region is immutable, also from absent to set")),
        ("the region is changed", edited(resource(json!({"region": "eu-west-1"})), json!({"region": "eu-west-2"})), Refused(FIXED_TOO)),
        ("the region is taken away", edited(resource(json!({"region": "eu-west-1"})), json!({"region": null})), Refused(FIXED_TOO)),
        ("the role is empty", resource(json!({"role_arn": ""})), Refused(ROLE)),
        ("the role is a name", resource(json!({"role_arn": "booking"})), Refused(ROLE)),
        ("the role is a user", resource(json!({"role_arn": "arn:aws:iam::123456789012:user/ann"})), Refused(ROLE)),
        ("the role's account has eleven digits", resource(json!({"role_arn": "arn:aws:iam::12345678901:role/booking"})), Refused(ROLE)),
        ("the role is a wildcard", resource(json!({"role_arn": "arn:aws:iam::123456789012:role/*"})), Refused(ROLE)),
        ("the role has no name", resource(json!({"role_arn": "arn:aws:iam::123456789012:role/"})), Refused(ROLE)),
        ("the role is of a cloud that is none", resource(json!({"role_arn": "arn:azure:iam::123456789012:role/booking"})), Refused(ROLE)),
        ("the role is followed by a line", resource(json!({"role_arn": "arn:aws:iam::123456789012:role/booking\nx"})), Refused(ROLE)),
        ("the role is 2049 characters", resource(json!({"role_arn": x("x", 2049)})), Refused("spec.role_arn | may not be more than 2048")),
        ("the role is added", edited(resource(json!({})), json!({"role_arn": GOOD_ROLE})), Refused("role_arn is immutable, also from absent to set")),
        ("the role is changed", edited(resource(json!({"role_arn": GOOD_ROLE})), json!({"role_arn": "arn:aws:iam::123456789012:role/other"})), Refused(FIXED_TOO)),
        ("the hold's user is 257 characters", resource(json!({"booked_by": x("x", 257)})), Refused("spec.booked_by | may not be more than 256")),
        ("the hold's user holds CR LF", resource(json!({"booked_by": "ann\r\nben"})), Refused(BY)),
        ("the hold's user is a number", resource(json!({"booked_by": 1})), Refused("spec.booked_by | must be of type string")),
        ("the hold's end is a word", resource(json!({"booked_by": "ann", "booked_until": "Friday"})), Refused(UNTIL)),
        ("the hold's end is a date", resource(json!({"booked_by": "ann", "booked_until": "2027-03-01"})), Refused(UNTIL)),
        ("the hold's end has no offset", resource(json!({"booked_by": "ann", "booked_until": "2027-03-01T08:00:00"})), Refused(UNTIL)),
        ("the hold's end is on a 30 February", resource(json!({"booked_by": "ann", "booked_until": "2028-02-30T08:00:00Z"})), Refused(UNTIL)),
        ("the hold's end is in 1969", resource(json!({"booked_by": "ann", "booked_until": "1969-12-31T23:59:59Z"})), Refused(UNTIL)),
        ("the hold's end is a blank", resource(json!({"booked_by": "ann", "booked_until": " "})), Refused(UNTIL)),
        ("the hold's end is 36 characters", resource(json!({"booked_by": "ann", "booked_until": x("9", 36)})), Refused("spec.booked_until | may not be more than 35")),
        ("the hold's end is a number", resource(json!({"booked_by": "ann", "booked_until": 1_803_888_000})), Refused("spec.booked_until | must be of type string")),
        ("there is a field that is none", resource(json!({"tags": ["web"]})), Refused("unknown field \"spec.tags\"")),
        // told by a condition
        ("no machine has the tag", resource(json!({})), Condition("Ready", "NoInstances", "eu-central-1")),
        ("a field is there twice: to kubectl the last one counts", text(Resource, "tag: web, tag: db"), Condition("Ready", "NoInstances", "tagged resource-booking-application=db")),
        ("the tag is a wildcard", resource(json!({"tag": "*"})), Condition("Ready", "NoInstances", "tagged resource-booking-application=*")),
        ("the tag is a blank", resource(json!({"tag": " "})), Condition("Ready", "NoInstances", "")),
        ("the tag is 256 umlauts", resource(json!({"tag": x("ü", 256)})), Condition("Ready", "NoInstances", "üüü")),
        ("the tag holds what a shell, SQL and XML take apart", resource(json!({"tag": "'; DROP TABLE x; --<a>&$(id)%00"})), Condition("Ready", "NoInstances", "DROP TABLE")),
        ("the tag is another Resource's", resource(json!({"tag": "busy"})), Condition("Ready", "GroupClaimed", "another Resource acts on the same group")),
        ("the hold has no end", resource(json!({"booked_by": "ann"})), Condition("Ready", "ManualHoldMalformed", "spec.booked_until is empty")),
        ("the hold's end is empty", resource(json!({"booked_by": "ann", "booked_until": ""})), Condition("Ready", "ManualHoldMalformed", "spec.booked_until is empty")),
        ("the hold has no user", resource(json!({"booked_until": "2099-01-01T00:00:00Z"})), Condition("Ready", "ManualHoldMalformed", "spec.booked_by is empty")),
        ("the hold's user is empty", resource(json!({"booked_by": "", "booked_until": "2099-01-01T00:00:00Z"})), Condition("Ready", "ManualHoldMalformed", "spec.booked_by is empty")),
        ("the hold is long over", resource(json!({"booked_by": "ann", "booked_until": "1970-01-01T00:00:00Z"})), Condition("Ready", "NoInstances", "")),
        ("the hold ends in the year 9999", resource(json!({"booked_by": "ann", "booked_until": "9999-12-31T23:59:59Z"})), Condition("Ready", "NoInstances", "")),
        // what depends on how the operator is set up: regions, roles, databases
        ("the region is not the operator's", resource(json!({"region": "us-east-1"})), Condition("Stalled", "NotAllowed", "spec.region | us-east-1 | eu-central-1")),
        ("the region does not exist", resource(json!({"region": "xx-nowhere-99"})), Condition("Stalled", "NotAllowed", "spec.region | xx-nowhere-99")),
        ("the role is not allowed", resource(json!({"role_arn": GOOD_ROLE})), Condition("Stalled", "NotAllowed", "spec.role_arn | 123456789012")),
        ("the type is databases, which there are none of", resource(json!({"type": "rds"})), Condition("Ready", "NoInstances", "")),
    ]
}
