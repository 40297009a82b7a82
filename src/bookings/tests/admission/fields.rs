//! What each other field accepts.

use serde_json::{Value, json};

use crate::cases::{OK, booking, creating, resource, scheduler};

const NO_TEXT: &str = "control characters or marks that reorder text";

#[tokio::test]
async fn texts_are_short_and_plain() {
    for (field, limit) in [("user_id", 256), ("resource_name", 253)] {
        let set = |text: &str| json!({field: text});
        let (refused, too_long) = (
            format!("spec.{field} | {NO_TEXT}"),
            format!("spec.{field} | Too long: may not be more than {limit}"),
        );
        let mut cases = vec![
            (set(&"ü".repeat(limit)), OK),
            (set(&"ü".repeat(limit + 1)), too_long.as_str()),
            (set(&"x".repeat(1 << 20)), too_long.as_str()),
            (json!({field: 5}), "must be of type string"),
        ];
        let plain = ["x", "*", "Zoë O'Neill", "a\\b \"c\"", "用户", "משה", "👩\u{200d}💻", "a@b.example"];
        cases.extend(plain.iter().map(|text| (set(text), OK)));
        // A user's name must not look empty or like another user's name. A tag may.
        let seen = format!("spec.{field} | must not be blank, nor hold characters that are not seen");
        let unseen = [" ", "\u{3000}", "a\u{200b}", "\u{ad}a", "\u{feff}a", "a\u{2060}"];
        let unseen_are = if field == "user_id" { seen.as_str() } else { OK };
        cases.extend(unseen.iter().map(|text| (set(text), unseen_are)));
        let marks = [
            "",
            "\n",
            "a\r\nb",
            "a\tb",
            "a\0b",
            "\u{1b}[31m",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "\u{61c}a",
            "a\u{200e}",
            "a\u{200f}",
            "\u{202a}a",
            "\u{202e}a",
            "\u{2066}a",
            "a\u{2069}",
            "a\n",
        ];
        cases.extend(marks.iter().map(|text| (set(text), refused.as_str())));
        let missing = format!("spec.{field}: Required value");
        cases.push((json!({field: null}), missing.as_str()));
        creating("Booking", &booking(), &cases).await;
    }
}

#[tokio::test]
async fn notifications_have_a_known_type_and_a_plain_recipient() {
    let one =
        |type_: &str, recipient: &str| json!({"notifications": [{"type": type_, "recipient": recipient}]});
    let many =
        |count| json!({"notifications": vec![json!({"type": "email", "recipient": "a@b.example"}); count]});
    let recipient = format!("spec.notifications[0].recipient | {NO_TEXT}");
    let cases = [
        (json!({"notifications": []}), OK),
        (one("email", "a@b.example"), OK),
        (one("email", &"x".repeat(512)), OK),
        (many(50), OK),
        (many(51), "spec.notifications | must have at most 50 items"),
        (
            one("email", &"x".repeat(513)),
            "spec.notifications[0].recipient | Too long: may not be more than 512",
        ),
        (one("email", "a@b.example\r\nBcc: c@d.example"), &recipient),
        (one("email", "\u{202e}elpmaxe.b@a"), &recipient),
        (one("email", ""), &recipient),
        (one("fax", "5550100"), "spec.notifications[0].type | must be one of: email"),
        (one("", "a@b.example"), "spec.notifications[0].type | must be one of: email"),
        (one("Email", "a@b.example"), "spec.notifications[0].type | must be one of: email"),
        (json!({"notifications": [{"type": "email"}]}), "spec.notifications[0].recipient: Required value"),
        (
            json!({"notifications": [{"recipient": "a@b.example"}]}),
            "spec.notifications[0].type: Required value",
        ),
        (json!({"notifications": "a@b.example"}), "spec.notifications | must be of type array"),
    ];
    creating("Booking", &booking(), &cases).await;
    let template: Vec<_> = cases
        .iter()
        .map(|(changes, words)| {
            (json!({"bookingTemplate": changes}), words.replace("spec.", "spec.bookingTemplate."))
        })
        .collect();
    let template: Vec<_> =
        template.iter().map(|(changes, words)| (changes.clone(), words.as_str())).collect();
    creating("BookingScheduler", &scheduler(), &template).await;
}

#[tokio::test]
async fn a_resource_names_a_group_that_can_exist() {
    let role = |arn: &str| json!({"role_arn": arn});
    let (no_type, no_region) =
        ("spec.type | must be one of: ec2, rds", "spec.region | must be a region, for example");
    let no_role = "spec.role_arn | must be the ARN of an IAM role";
    let tag = format!("spec.tag | {NO_TEXT}");
    let booked_by = format!("spec.booked_by | {NO_TEXT}");
    let cases = [
        (json!({}), OK),
        (json!({"type": "rds"}), OK),
        (json!({"type": "mainframe"}), no_type),
        (json!({"type": ""}), no_type),
        (json!({"type": "EC2"}), no_type),
        (json!({"type": "x".repeat(17)}), "spec.type | Too long: may not be more than 16"),
        (json!({"type": null}), "spec.type: Required value"),
        (json!({"tag": "*"}), OK),
        (json!({"tag": "ü".repeat(256)}), OK),
        (json!({"tag": "x".repeat(257)}), "spec.tag | Too long: may not be more than 256"),
        (json!({"tag": ""}), &tag),
        (json!({"tag": "a\nb"}), &tag),
        (json!({"tag": null}), "spec.tag: Required value"),
        (json!({"region": "eu-central-1"}), OK),
        (json!({"region": "us-gov-west-1"}), OK),
        (json!({"region": "us-isob-east-1"}), OK),
        (json!({"region": ""}), no_region),
        (json!({"region": "EU-CENTRAL-1"}), no_region),
        (json!({"region": "eu-central-1a"}), no_region),
        (json!({"region": "eu-central-1\n"}), no_region),
        (json!({"region": "x".repeat(33)}), "spec.region | Too long: may not be more than 32"),
        (role("arn:aws:iam::123456789012:role/booking"), OK),
        (role("arn:aws-us-gov:iam::123456789012:role/team/booking+=,.@_-"), OK),
        (role(""), no_role),
        (role("booking"), no_role),
        (role("arn:aws:iam::12345678901:role/booking"), no_role),
        (role("arn:aws:iam::123456789012:user/booking"), no_role),
        (role("arn:aws:iam::123456789012:role/"), no_role),
        (role(&"x".repeat(2049)), "spec.role_arn | Too long: may not be more than 2048"),
        (json!({"when_idle": "Stop", "on_delete": "Release"}), OK),
        (json!({"when_idle": "Keep", "on_delete": "Stop"}), OK),
        (json!({"when_idle": "Release"}), r#"spec.when_idle | supported values: "Stop", "Keep""#),
        (json!({"when_idle": ""}), r#"spec.when_idle | supported values: "Stop", "Keep""#),
        (json!({"on_delete": "Keep"}), r#"spec.on_delete | supported values: "Release", "Stop""#),
        (json!({"booked_by": ""}), OK),
        (json!({"booked_by": "me"}), OK),
        (json!({"booked_by": "a\r\nb"}), &booked_by),
        (json!({"booked_by": "x".repeat(257)}), "spec.booked_by | Too long: may not be more than 256"),
    ];
    creating("Resource", &resource(), &cases).await;
}

#[tokio::test]
async fn a_finished_booking_may_stay_for_a_year_at_most() {
    let field = "spec.ttl_minutes_after_finished";
    let cases = [
        (json!({"ttl_minutes_after_finished": 0}), OK),
        (json!({"ttl_minutes_after_finished": 527_040}), OK),
        (json!({"ttl_minutes_after_finished": -1}), &*format!("{field} | greater than or equal to 0")),
        (json!({"ttl_minutes_after_finished": 527_041}), &format!("{field} | less than or equal to 527040")),
        (json!({"ttl_minutes_after_finished": "1h"}), &format!("{field} | must be of type integer")),
    ];
    creating("Booking", &booking(), &cases).await;
}

#[tokio::test]
async fn a_monitor_looks_for_a_known_type() {
    let refused = "spec.type | must be one of: ec2, rds";
    let cases = [
        (json!({}), OK),
        (json!({"type": "rds"}), OK),
        (json!({"type": "mainframe"}), refused),
        (json!({"interval_seconds": 10}), OK),
        (json!({"interval_seconds": 9}), "spec.interval_seconds | greater than or equal to 10"),
        (json!({"interval_seconds": 86_401}), "spec.interval_seconds | less than or equal to 86400"),
        (json!({"type": ""}), refused),
        (json!({"type": null}), "spec.type: Required value"),
    ];
    creating("ResourceMonitor", &json!({"type": "ec2"}), &cases).await;
}

#[tokio::test]
async fn a_scheduler_has_a_duration_of_a_minute_to_a_year_and_ignores_the_times_of_its_template() {
    let template = |changes: Value| json!({"bookingTemplate": changes});
    let schedule = format!("spec.schedule | {NO_TEXT}");
    let user = format!("spec.bookingTemplate.user_id | {NO_TEXT}");
    let cases = [
        (json!({"duration": 1}), OK),
        (json!({"duration": 527_040}), OK),
        (json!({"duration": 0}), "spec.duration | greater than or equal to 1"),
        (json!({"duration": -20}), "spec.duration | greater than or equal to 1"),
        (json!({"duration": 527_041}), "spec.duration | less than or equal to 527040"),
        (json!({"duration": i64::MAX}), "spec.duration | less than or equal to 527040"),
        (json!({"duration": 1.5}), "spec.duration | must be of type integer"),
        (json!({"duration": "20"}), "spec.duration | must be of type integer"),
        (json!({"schedule": "every morning"}), OK),
        (json!({"schedule": ""}), &schedule),
        (json!({"schedule": "0 *\n* * *"}), &schedule),
        (json!({"schedule": "x".repeat(257)}), "spec.schedule | Too long: may not be more than 256"),
        (json!({"time_zone": "Europe/Berlin"}), OK),
        (json!({"time_zone": ""}), OK),
        (json!({"time_zone": "Europe\nBerlin"}), &format!("spec.time_zone | {NO_TEXT}")),
        (json!({"time_zone": "x".repeat(65)}), "spec.time_zone | Too long: may not be more than 64"),
        (json!({"suspend": true}), OK),
        (json!({"suspend": "yes"}), "spec.suspend | must be of type boolean"),
        (json!({"starting_deadline_minutes": 1}), OK),
        (
            json!({"starting_deadline_minutes": 0}),
            "spec.starting_deadline_minutes | greater than or equal to 1",
        ),
        (
            json!({"starting_deadline_minutes": 527_041}),
            "spec.starting_deadline_minutes | less than or equal to",
        ),
        (json!({"finished_bookings_limit": 0}), OK),
        (json!({"finished_bookings_limit": -1}), "spec.finished_bookings_limit | greater than or equal to 0"),
        (
            json!({"finished_bookings_limit": 1001}),
            "spec.finished_bookings_limit | less than or equal to 1000",
        ),
        (json!({"exclusions": ["2027-12-25", "2028-01-01"]}), OK),
        (json!({"exclusions": []}), OK),
        (json!({"exclusions": ["2027-12-25", "Boxing Day"]}), "spec.exclusions | such as 2027-12-25"),
        (json!({"exclusions": ["2027-13-01"]}), "spec.exclusions | such as 2027-12-25"),
        (json!({"exclusions": ["2027-12-25T00:00:00Z"]}), "spec.exclusions[0] | Too long"),
        (json!({"exclusions": [null]}), "spec.exclusions[0] | must be of type string"),
        (json!({"exclusions": vec!["2027-12-25"; 367]}), "spec.exclusions | must have at most 366 items"),
        (template(json!({"start_at": "", "end_at": "whenever"})), OK),
        (template(json!({"start_at": "2027-03-01T09:00:00Z", "end_at": "2027-03-01T08:00:00Z"})), OK),
        (template(json!({"start_at": "ü".repeat(64)})), OK),
        (
            template(json!({"end_at": "x".repeat(65)})),
            "bookingTemplate.end_at | Too long: may not be more than 64",
        ),
        (template(json!({"user_id": "a\nb"})), &user),
        (template(json!({"user_id": null})), "spec.bookingTemplate.user_id: Required value"),
        (template(json!({"resource_name": null})), "spec.bookingTemplate.resource_name: Required value"),
    ];
    creating("BookingScheduler", &scheduler(), &cases).await;
}
