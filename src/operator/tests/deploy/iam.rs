//! What `deploy/aws/policy.json` allows, evaluated with those of IAM's rules that it uses.

use serde_json::Value;

use super::cluster::deploy;

/// A request: whether its target has a group tag, and the tag keys that it names.
struct Request {
    action: &'static str,
    target: &'static str,
    has_group: bool,
    keys: Option<&'static [&'static str]>,
}

const MACHINE: &str = "arn:aws:ec2:eu-central-1:123456789012:instance/i-1";
const DATABASE: &str = "arn:aws:rds:eu-central-1:123456789012:db:sales";
const LOCK: &[&str] = &["resource-booking-locked-by", "resource-booking-locked-until"];

#[test]
fn machines_of_groups_are_started_stopped_and_locked_and_nothing_else_is_touched() {
    let policy = std::fs::read_to_string(deploy("aws/policy.json")).unwrap();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    let request = |action, target, has_group, keys| Request { action, target, has_group, keys };
    for (wanted, request) in [
        (true, request("ec2:DescribeInstances", "*", false, None)),
        (true, request("ec2:StartInstances", MACHINE, true, None)),
        (false, request("ec2:StartInstances", MACHINE, false, None)),
        (true, request("ec2:StopInstances", MACHINE, true, None)),
        (false, request("ec2:StopInstances", MACHINE, false, None)),
        (false, request("ec2:TerminateInstances", MACHINE, true, None)),
        (true, request("ec2:CreateTags", MACHINE, true, Some(LOCK))),
        (false, request("ec2:CreateTags", MACHINE, false, Some(LOCK))),
        (false, request("ec2:CreateTags", MACHINE, true, Some(&["resource-booking-application"]))),
        (false, request("ec2:CreateTags", MACHINE, true, Some(&["resource-booking-locked-by", "Name"]))),
        (true, request("ec2:DeleteTags", MACHINE, true, Some(LOCK))),
        // This would delete all tags.
        (false, request("ec2:DeleteTags", MACHINE, true, None)),
        (
            false,
            request("ec2:CreateTags", "arn:aws:ec2:eu-central-1:123456789012:volume/vol-1", true, Some(LOCK)),
        ),
        (true, request("rds:StopDBInstance", DATABASE, true, None)),
        (false, request("rds:StopDBInstance", DATABASE, false, None)),
        (false, request("rds:DeleteDBInstance", DATABASE, true, None)),
        (
            true,
            request("rds:StartDBCluster", "arn:aws:rds:eu-central-1:123456789012:cluster:sales", true, None),
        ),
        (true, request("rds:AddTagsToResource", DATABASE, true, Some(LOCK))),
        (false, request("rds:RemoveTagsFromResource", DATABASE, true, Some(&["Name"]))),
    ] {
        let Request { action, target, has_group, keys } = request;
        assert_eq!(
            allows(&policy, &request),
            wanted,
            "{action} on {target}, of a group: {has_group}, keys: {keys:?}"
        );
    }
}

#[test]
fn each_action_that_the_operator_calls_is_allowed_and_no_other() {
    let policy = std::fs::read_to_string(deploy("aws/policy.json")).unwrap();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let mut allowed: Vec<&str> = statements
        .iter()
        .flat_map(|it| it["Action"].as_array().unwrap())
        .map(|it| it.as_str().unwrap())
        .collect();
    allowed.sort_unstable();
    // docs/reference-rights.md and docs/databases.md list the same actions and say what each is for.
    let told =
        [include_str!("../../../../docs/reference-rights.md"), include_str!("../../../../docs/databases.md")]
            .concat();
    let mut told: Vec<&str> =
        told.split('`').filter(|word| word.starts_with("ec2:") || word.starts_with("rds:")).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(allowed, told);
}

fn allows(policy: &Value, request: &Request) -> bool {
    policy["Statement"].as_array().unwrap().iter().any(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        let is_action = list(&statement["Action"]).contains(&request.action);
        let is_target = list(&statement["Resource"]).iter().any(|pattern| matches(pattern, request.target));
        is_action && is_target && conditions(&statement["Condition"], request)
    })
}

fn conditions(conditions: &Value, request: &Request) -> bool {
    conditions.as_object().into_iter().flatten().all(|(operator, of)| {
        of.as_object().unwrap().iter().all(|(key, wanted)| match (operator.as_str(), key.as_str()) {
            ("Null", "aws:ResourceTag/resource-booking-application") => {
                (wanted == "true") != request.has_group
            }
            ("Null", "aws:TagKeys") => (wanted == "true") == request.keys.is_none(),
            // This is also true without any key.
            ("ForAllValues:StringEquals", "aws:TagKeys") => {
                request.keys.unwrap_or_default().iter().all(|key| list(wanted).contains(key))
            }
            other => panic!("{other:?} is not understood"),
        })
    })
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().map_or_else(
        || value.as_str().into_iter().collect(),
        |all| all.iter().filter_map(Value::as_str).collect(),
    )
}

/// Whether a text matches a pattern. A `*` may also stand for colons.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (number, part) in parts.iter().enumerate() {
        if number + 1 == parts.len() {
            return part.is_empty() || rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}
