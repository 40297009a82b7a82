//! What may be stored in etcd when the CRDs are replaced: everything that the predecessor's CRDs accepted.

use serde_json::{Value, json};

/// An object as it was stored before the upgrade.
pub struct Stored {
    pub name: String,
    pub kind: &'static str,
    /// Null if it was stored without a spec.
    pub spec: Value,
    /// Null if it was stored without a status.
    pub status: Value,
}

const MIB: usize = 1 << 20;
const KIB_200: usize = 200 << 10;

fn stored(kind: &'static str, name: &str, spec: Value, status: Value) -> Stored {
    Stored { name: name.to_owned(), kind, spec, status }
}

/// `base` with fields replaced or added.
fn with(base: &Value, changes: &Value) -> Value {
    let mut spec = base.clone();
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    spec
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

fn booking() -> Value {
    json!({
        "resource_name": "ec2.warehouse", "user_id": "a1b2c3d4e5",
        "start_at": "2026-05-04T06:30:00Z", "end_at": "2026-05-04T07:00:00Z",
    })
}

fn resource() -> Value {
    json!({"booked_by": "", "booked_until": "", "type": "ec2", "tag": "warehouse"})
}

fn scheduler() -> Value {
    json!({"schedule": "0 * * * *", "duration": 20, "bookingTemplate": booking()})
}

fn resource_status() -> Value {
    json!({
        "instances": 2, "running": 1, "status": "PENDING",
        "locked_by": "a1b2c3d4e5", "locked_until": "2026-05-04T07:00:00Z",
    })
}

/// The objects of the predecessor's users, with the status that it wrote.
pub fn good() -> Vec<Stored> {
    let notified = json!({"notifications": [
        {"type": "email", "recipient": "ops@example.com"}, {"type": "email", "recipient": "dev@example.com"},
    ]});
    let offset = json!({"start_at": "2026-05-04T08:30:00+02:00", "end_at": "2026-05-04T12:00:00.5+05:00"});
    let held = json!({"booked_by": "somebody", "booked_until": "2030-01-01T00:00:00Z"});
    let status = |word: &str, sent: bool| json!({"status": word, "notification_sent": sent});
    vec![
        stored("Booking", "good-scheduled", booking(), status("SCHEDULED", false)),
        stored("Booking", "good-in-progress", with(&booking(), &notified), status("IN PROGRESS", true)),
        stored("Booking", "good-finished", with(&booking(), &offset), status("FINISHED", true)),
        stored("BookingScheduler", "good", scheduler(), json!({"next": "2026-05-04T07:00:00Z"})),
        stored("Resource", "ec2.warehouse", resource(), resource_status()),
        stored("Resource", "rds.ledger", with(&resource(), &json!({"type": "rds"})), Value::Null),
        stored("Resource", "good-held", with(&resource(), &held), resource_status()),
        stored("ResourceMonitor", "ec2", json!({"type": "ec2"}), json!({})),
    ]
}

/// Objects that the predecessor's CRDs accepted and that ours would not.
pub fn bad() -> Vec<Stored> {
    let mut all = bad_bookings();
    all.extend(bad_resources());
    all.extend(bad_schedulers());
    all.push(stored("ResourceMonitor", "unknown-type", json!({"type": "mainframe"}), json!({})));
    all.push(stored("ResourceMonitor", "empty-type", json!({"type": ""}), Value::Null));
    all.push(stored("ResourceMonitor", "mib-type", json!({"type": long(MIB)}), Value::Null));
    let kinds = ["Booking", "BookingScheduler", "Resource", "ResourceMonitor"];
    all.extend(kinds.map(|kind| stored(kind, "no-spec", Value::Null, Value::Null)));
    all
}

fn bad_bookings() -> Vec<Stored> {
    let many: Vec<Value> = vec![json!({"type": "fax", "recipient": "\r\n"}); 5_000];
    let texts = [
        ("empty", String::new()),
        ("crlf", "one\r\nBcc: two@example.com".to_owned()),
        ("nul", "a\u{0}b".to_owned()),
        ("reordered", "a\u{202e}b\u{200f}".to_owned()),
        ("separator", "a\u{2028}b".to_owned()),
        ("200kib", long(KIB_200)),
        ("mib", long(MIB)),
    ];
    let mut all = vec![
        ("times-words", json!({"start_at": "tomorrow", "end_at": "later"})),
        ("end-word", json!({"end_at": "later"})),
        ("30-feb", json!({"start_at": "2026-02-30T00:00:00Z", "end_at": "2026-02-30T01:00:00Z"})),
        ("29-feb", json!({"end_at": "2027-02-29T00:00:00Z"})),
        ("end-before-start", json!({"end_at": "2026-05-04T06:00:00Z"})),
        ("end-is-start", json!({"end_at": "2026-05-04T06:30:00Z"})),
        ("year-1", json!({"start_at": "0001-01-01T00:00:00+23:59", "end_at": "0001-01-01T00:00:00Z"})),
        ("year-0", json!({"start_at": "0000-01-01T00:00:00Z"})),
        ("year-9999", json!({"end_at": "9999-12-31T23:59:59-23:59"})),
        ("leap-second", json!({"end_at": "2026-12-31T23:59:60Z"})),
        ("lower-case", json!({"start_at": "2026-05-04t06:30:00z", "end_at": "2026-05-04t07:00:00z"})),
        ("no-offset", json!({"start_at": "2026-05-04T06:30:00"})),
        ("unknown-field", json!({"colour": "green", "when_idle": "Perhaps"})),
        ("many-notifications", json!({"notifications": many})),
        ("fax", json!({"notifications": [{"type": "fax", "recipient": "5550100"}]})),
        ("no-notifications", json!({"notifications": []})),
    ]
    .into_iter()
    .map(|(name, changes)| {
        stored("Booking", name, with(&booking(), &changes), json!({"status": "SCHEDULED"}))
    })
    .collect::<Vec<_>>();
    for (what, text) in texts {
        for field in ["resource_name", "user_id", "start_at", "end_at"] {
            let name = format!("{}-{what}", field.replace('_', "-"));
            all.push(stored("Booking", &name, with(&booking(), &json!({field: text})), Value::Null));
        }
        let changes = json!({"notifications": [{"type": "email", "recipient": text}]});
        all.push(stored("Booking", &format!("recipient-{what}"), with(&booking(), &changes), Value::Null));
        let changes = json!({"notifications": [{"type": text, "recipient": "a@example.com"}]});
        all.push(stored("Booking", &format!("type-{what}"), with(&booking(), &changes), Value::Null));
    }
    all
}

fn bad_resources() -> Vec<Stored> {
    [
        ("unknown-type", json!({"type": "mainframe"})),
        ("empty-type", json!({"type": ""})),
        ("mib-type", json!({"type": long(MIB)})),
        ("empty-tag", json!({"tag": ""})),
        ("crlf-tag", json!({"tag": "a\r\nb"})),
        ("mib-tag", json!({"tag": long(MIB)})),
        ("booked-until-word", json!({"booked_by": "me", "booked_until": "Friday"})),
        ("booked-until-30-feb", json!({"booked_by": "me", "booked_until": "2026-02-30T00:00:00Z"})),
        ("booked-until-mib", json!({"booked_until": long(MIB)})),
        ("booked-by-crlf", json!({"booked_by": "a\r\nb"})),
        ("booked-by-mib", json!({"booked_by": long(MIB)})),
        ("unknown-field", json!({"region": 7, "colour": "green"})),
    ]
    .into_iter()
    .map(|(name, changes)| stored("Resource", name, with(&resource(), &changes), resource_status()))
    .collect()
}

fn bad_schedulers() -> Vec<Stored> {
    let template = |changes: Value| json!({"bookingTemplate": with(&booking(), &changes)});
    [
        ("negative-duration", json!({"duration": -20})),
        ("zero-duration", json!({"duration": 0})),
        ("endless-duration", json!({"duration": i64::MAX})),
        ("smallest-duration", json!({"duration": i64::MIN})),
        ("schedule-words", json!({"schedule": "every morning"})),
        ("schedule-empty", json!({"schedule": ""})),
        ("schedule-crlf", json!({"schedule": "0 *\r\n* * *"})),
        ("schedule-mib", json!({"schedule": long(MIB)})),
        ("template-times-words", template(json!({"start_at": "now", "end_at": "later"}))),
        ("template-times-200kib", template(json!({"start_at": long(KIB_200), "end_at": long(KIB_200)}))),
        ("template-user-crlf", template(json!({"user_id": "a\r\nb"}))),
        ("template-user-mib", template(json!({"user_id": long(MIB)}))),
        ("template-resource-mib", template(json!({"resource_name": long(MIB)}))),
        ("template-fax", template(json!({"notifications": [{"type": "fax", "recipient": ""}]}))),
    ]
    .into_iter()
    .map(|(name, changes)| stored("BookingScheduler", name, with(&scheduler(), &changes), Value::Null))
    .chain([
        stored("BookingScheduler", "empty-spec", json!({}), Value::Null),
        stored(
            "BookingScheduler",
            "no-template",
            json!({"schedule": "0 8 * * *", "duration": 5}),
            Value::Null,
        ),
    ])
    .collect()
}
