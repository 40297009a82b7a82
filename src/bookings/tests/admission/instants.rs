//! Instants: which are accepted, and their order.

use serde_json::{Value, json};

use crate::cases::{OK, booking, creating, resource};

const INSTANTS: [&str; 25] = [
    "2027-03-01T08:00:00Z",
    "2027-03-01T08:00:00+00:00",
    "2027-03-01T08:00:00-00:00",
    "2027-03-01T08:00:00+02:00",
    "2027-03-01T08:00:00+05:45",
    "2027-03-01T08:00:00+14:00",
    "2027-03-01T08:00:00-23:59",
    "2027-03-01T08:00:00+23:59",
    "2027-03-01T08:00:00.5Z",
    "2027-03-01T08:00:00.000Z",
    "2027-03-01T08:00:00.123456789+02:00",
    "2027-01-31T00:00:00Z",
    "2027-02-28T00:00:00Z",
    "2028-02-29T00:00:00Z",
    "2000-02-29T00:00:00Z",
    "2096-02-29T00:00:00Z",
    "2400-02-29T00:00:00Z",
    "2027-04-30T23:59:59Z",
    "2027-10-31T23:59:59Z",
    "2027-11-30T23:59:59Z",
    "2027-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "9999-12-30T23:59:59-23:59",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999999Z",
];

const NO_INSTANTS: [&str; 46] = [
    " ",
    "tomorrow",
    "2027-03-01",
    "08:00:00Z",
    "2027-03-01T08:00Z",
    "2027-03-01T08:00:00",
    "2027-03-01 08:00:00Z",
    "2027-03-01t08:00:00Z",
    "2027-03-01T08:00:00z",
    "2027-3-1T08:00:00Z",
    "27-03-01T08:00:00Z",
    "2027-02-29T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2028-02-30T00:00:00Z",
    "2027-02-31T00:00:00Z",
    "2027-04-31T00:00:00Z",
    "2027-06-31T00:00:00Z",
    "2027-09-31T00:00:00Z",
    "2027-11-31T00:00:00Z",
    "2027-01-32T00:00:00Z",
    "2027-01-00T00:00:00Z",
    "2027-00-01T00:00:00Z",
    "2027-13-01T00:00:00Z",
    "2027-03-01T24:00:00Z",
    "2027-03-01T08:60:00Z",
    "2027-03-01T08:00:60Z",
    "2026-12-31T23:59:60Z",
    "2027-03-01T08:00:00.Z",
    "2027-03-01T08:00:00,5Z",
    "2027-03-01T08:00:00.1234567890Z",
    "2027-03-01T08:00:00+2:00",
    "2027-03-01T08:00:00+0200",
    "2027-03-01T08:00:00+02",
    "2027-03-01T08:00:00+24:00",
    "2027-03-01T08:00:00+02:60",
    "2027-03-01T08:00:00\u{2212}02:00",
    "2027-03-01T08:00:00ZZ",
    "2027-03-01T08:00:00Z\n",
    "２０２７-03-01T08:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:59+00:00",
    "10000-01-01T00:00:00Z",
];

#[tokio::test]
async fn start_at_takes_instants_and_nothing_else() {
    let late = |at: &str| json!({"start_at": at, "end_at": "9999-12-31T23:59:59.999999999Z"});
    let last = "9999-12-31T23:59:59.999999999Z";
    let mut cases: Vec<(Value, &str)> =
        INSTANTS.iter().filter(|at| **at != last).map(|at| (late(at), OK)).collect();
    let refused = "spec.start_at | RFC 3339 instant with an offset | 1970 to 9999";
    cases.extend(NO_INSTANTS.iter().map(|at| (late(at), refused)));
    cases.extend([
        (late(""), refused),
        (late(&"9".repeat(36)), "spec.start_at | Too long: may not be more than 35"),
        (late(&"9".repeat(1 << 20)), "spec.start_at | Too long: may not be more than 35"),
        (json!({"start_at": null}), "spec.start_at: Required value"),
        (json!({"start_at": 1_803_888_000}), "spec.start_at | must be of type string"),
    ]);
    creating("Booking", &booking(), &cases).await;
}

#[tokio::test]
async fn end_at_takes_instants_and_nothing_else() {
    let early = |at: &str| json!({"start_at": "1970-01-01T00:00:00+23:59", "end_at": at});
    let mut cases: Vec<(Value, &str)> = INSTANTS.iter().map(|at| (early(at), OK)).collect();
    let refused = "spec.end_at | RFC 3339 instant with an offset | 1970 to 9999";
    cases.extend(NO_INSTANTS.iter().map(|at| (early(at), refused)));
    cases.extend([
        (early(""), refused),
        (early(&"9".repeat(36)), "spec.end_at | Too long: may not be more than 35"),
        (json!({"end_at": null}), "spec.end_at: Required value"),
        (json!({"start_at": "x", "end_at": "y"}), "spec.start_at | spec.end_at | RFC 3339"),
    ]);
    creating("Booking", &booking(), &cases).await;
}

#[tokio::test]
async fn booked_until_takes_instants_and_the_empty_string_and_nothing_else() {
    let until = |at: &str| json!({"booked_by": "me", "booked_until": at});
    let mut cases: Vec<(Value, &str)> = INSTANTS.iter().map(|at| (until(at), OK)).collect();
    let refused = "spec.booked_until | must be empty or an RFC 3339 instant";
    cases.extend(NO_INSTANTS.iter().map(|at| (until(at), refused)));
    cases.extend([
        (until(""), OK),
        (until(&"9".repeat(36)), "spec.booked_until | Too long: may not be more than 35"),
    ]);
    creating("Resource", &resource(), &cases).await;
}

#[tokio::test]
async fn a_booking_ends_after_it_starts() {
    let window = |start: &str, end: &str| json!({"start_at": start, "end_at": end});
    let refused = "spec | end_at | must be after start_at";
    let cases = [
        (window("2027-03-01T10:00:00+02:00", "2027-03-01T09:00:00Z"), OK),
        (window("2027-03-01T10:00:00Z", "2027-03-01T09:00:00-02:00"), OK),
        (window("2027-03-01T10:00:00Z", "2027-03-01T10:00:00.000000001Z"), OK),
        (window("2027-03-01T23:00:00Z", "2027-03-02T00:00:00Z"), OK),
        (window("2027-03-01T10:00:00Z", "2027-03-01T10:00:00Z"), refused),
        (window("2027-03-01T10:00:00+02:00", "2027-03-01T08:00:00Z"), refused),
        (window("2027-03-01T10:00:00Z", "2027-03-01T10:00:00.0Z"), refused),
        (window("2027-03-01T10:00:00Z", "2027-03-01T09:59:59Z"), refused),
        (window("2027-03-01T10:00:00Z", "2027-03-01T11:00:00+02:00"), refused),
        (window("9999-12-31T23:59:59Z", "9999-12-30T23:59:59-23:59"), refused),
    ];
    creating("Booking", &booking(), &cases).await;
}
