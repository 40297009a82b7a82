//! Tests that schedules are read as robfig reads them, at changes of the clocks and elsewhere.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn next(schedule: &str, zone: &str, after: &str) -> String {
    let schedule = Schedule::parse(schedule, Some(zone)).unwrap();
    schedule.next_after(at(after), at(after)).map_or("never".into(), |next| next.to_string())
}

#[test]
fn all_that_live_schedules_are_written_in_is_read() {
    for (schedule, after, expected) in [
        ("30 8 * * 1-5", "2027-03-05T08:30:00Z", "2027-03-08T08:30:00Z"),
        ("30 8 ? * MON-FRI", "2027-03-05T08:29:59Z", "2027-03-05T08:30:00Z"),
        ("*/15 * * * *", "2027-03-05T08:46:00Z", "2027-03-05T09:00:00Z"),
        ("5/20 * * * *", "2027-03-05T08:06:00Z", "2027-03-05T08:25:00Z"),
        ("0 0 1 JAN,jul *", "2027-03-05T00:00:00Z", "2027-07-01T00:00:00Z"),
        ("*/90 6 * * *", "2027-03-05T08:00:00Z", "2027-03-06T06:00:00Z"),
        ("0 6 * * 7", "2027-03-05T00:00:00Z", "2027-03-07T06:00:00Z"),
        ("0 6 * * 5-7", "2027-03-06T07:00:00Z", "2027-03-07T06:00:00Z"),
        ("@daily", "2027-03-05T00:00:00Z", "2027-03-06T00:00:00Z"),
        ("@midnight", "2027-03-05T00:00:00Z", "2027-03-06T00:00:00Z"),
        ("@hourly", "2027-03-05T00:59:00Z", "2027-03-05T01:00:00Z"),
        ("@weekly", "2027-03-05T00:00:00Z", "2027-03-07T00:00:00Z"),
        ("@monthly", "2027-03-05T00:00:00Z", "2027-04-01T00:00:00Z"),
        ("@yearly", "2027-03-05T00:00:00Z", "2028-01-01T00:00:00Z"),
        ("@annually", "2027-03-05T00:00:00Z", "2028-01-01T00:00:00Z"),
        ("0 0 29 2 *", "2028-03-01T00:00:00Z", "2032-02-29T00:00:00Z"),
        ("+5 +8 * * *", "2027-03-05T08:04:00Z", "2027-03-05T08:05:00Z"),
        // an interval shorter than a minute becomes a minute
        ("@every 0", "2027-03-05T08:00:00Z", "2027-03-05T08:01:00Z"),
        ("@every 10s", "2027-03-05T08:00:00Z", "2027-03-05T08:01:00Z"),
        ("@every 90s", "2027-03-05T08:00:00Z", "2027-03-05T08:01:30Z"),
    ] {
        assert_eq!(next(schedule, "", after), expected, "{schedule}");
    }
}

#[test]
fn days_of_month_and_of_week_are_either_unless_one_of_them_is_a_star() {
    for (schedule, expected) in [
        // Friday 5 March 2027; Sundays are the 7th, 14th, …
        ("0 0 15 * Sun", "2027-03-07T00:00:00Z"),
        ("0 0 15 * *", "2027-03-15T00:00:00Z"),
        ("0 0 * * Sun", "2027-03-07T00:00:00Z"),
        ("0 0 ? * Sun", "2027-03-07T00:00:00Z"),
        // a star with a step is a list: every other day, or a Sunday
        ("0 0 */2 * Sun", "2027-03-07T00:00:00Z"),
        ("0 0 */10 * Sat", "2027-03-06T00:00:00Z"),
        ("0 0 1,* * Sun", "2027-03-07T00:00:00Z"),
    ] {
        assert_eq!(next(schedule, "", "2027-03-05T12:00:00Z"), expected, "{schedule}");
    }
}

#[test]
fn a_time_that_does_not_exist_is_left_out() {
    let skipped = [
        // 02:00 becomes 03:00 on 14 March 2027 in New York, on 28 March in Berlin
        ("30 2 * * *", "America/New_York", "2027-03-13T08:00:00Z", "2027-03-15T06:30:00Z"),
        ("30 2 14 3 *", "America/New_York", "2027-03-13T08:00:00Z", "2028-03-14T06:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2027-03-27T02:00:00Z", "2027-03-29T00:30:00Z"),
        ("0 3 * * *", "Europe/Berlin", "2027-03-27T03:00:00Z", "2027-03-28T01:00:00Z"),
        ("0 * * * *", "Europe/Berlin", "2027-03-28T00:00:00Z", "2027-03-28T01:00:00Z"),
    ];
    for (schedule, zone, after, expected) in skipped {
        assert_eq!(next(schedule, zone, after), expected, "{schedule} {zone}");
    }
}

#[test]
fn a_time_that_exists_twice_counts_twice() {
    let twice = [
        // 02:00 becomes 01:00 on 7 November 2027 in New York; 03:00 becomes 02:00 on 31 October in Berlin
        (
            "30 1 * * *",
            "America/New_York",
            ["2027-11-07T05:30:00Z", "2027-11-07T06:30:00Z", "2027-11-08T06:30:00Z"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            ["2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z", "2027-11-01T01:30:00Z"],
        ),
        (
            "0 */2 * * *",
            "Europe/Berlin",
            ["2027-10-31T00:00:00Z", "2027-10-31T01:00:00Z", "2027-10-31T03:00:00Z"],
        ),
    ];
    for (schedule, zone, expected) in twice {
        let parsed = Schedule::parse(schedule, Some(zone)).unwrap();
        let mut after = at(expected[0]) - SignedDuration::from_secs(60);
        for expected in expected {
            after = parsed.next_after(after, after).unwrap();
            assert_eq!(after.to_string(), expected, "{schedule} {zone}");
        }
    }
}

#[test]
fn what_never_fires_is_known_as_such() {
    assert_eq!(next("0 0 30 2 *", "", "2027-03-05T00:00:00Z"), "never");
    assert_eq!(next("0 0 31 4,6,9,11 *", "", "2027-03-05T00:00:00Z"), "never");
}

#[test]
fn every_so_often_counts_from_its_anchor() {
    let each = Schedule::parse("@every 1h30m10.7s", None).unwrap();
    let anchor = at("2027-03-05T00:00:00Z");
    for (after, expected) in [
        ("2027-03-04T23:00:00Z", "2027-03-05T00:00:00Z"),
        ("2027-03-05T00:00:00Z", "2027-03-05T01:30:10Z"),
        ("2027-03-05T03:00:20Z", "2027-03-05T04:30:30Z"),
    ] {
        assert_eq!(each.next_after(at(after), anchor), Some(at(expected)), "{after}");
    }
    assert_eq!(each.next_after(Timestamp::MAX, anchor), None);
}

#[test]
fn a_zone_may_stand_in_front_or_beside_but_not_both() {
    for (text, zone, expected) in [
        ("CRON_TZ=Europe/Berlin 0 8 * * *", None, "2027-03-05T07:00:00Z"),
        ("TZ=Asia/Tokyo  0 8 * * *", None, "2027-03-05T23:00:00Z"),
        ("TZ=Local 0 8 * * *", Some(""), "2027-03-05T08:00:00Z"),
        ("0 8 * * *", Some("America/New_York"), "2027-03-05T13:00:00Z"),
    ] {
        let schedule = Schedule::parse(text, zone).unwrap();
        let after = at("2027-03-05T00:00:00Z");
        assert_eq!(schedule.next_after(after, after), Some(at(expected)), "{text}");
    }
    let both = Schedule::parse("TZ=UTC 0 8 * * *", Some("UTC"));
    assert_eq!(both.unwrap_err(), ScheduleError::TwoZones);
}

#[test]
fn what_robfig_takes_by_leniency_is_taken_too() {
    for (odd, plain) in [
        ("1, 8 * * *", "1 8 * * *"),
        (",1,,3 8 * * *", "1,3 8 * * *"),
        ("*-5 8 * * *", "* 8 * * *"),
        ("*/1440 8 * * *", "0 8 * * *"),
        ("0 8 * * 1/2", "0 8 * * 1,3,5"),
        ("0 8 * * sat/3", "0 8 * * 6"),
        ("TZ= 0 8 * * *", "0 8 * * *"),
        ("@every 900ms", "@every 1s"),
        ("@every -1h", "@every 1s"),
    ] {
        let [odd, plain] = [odd, plain].map(|text| Schedule::parse(text, None).unwrap());
        let begin = at("2027-03-05T00:00:00Z");
        let next = |schedule: &Schedule| {
            let next = |after: &Timestamp| schedule.next_after(*after, begin);
            std::iter::successors(Some(begin), next).take(80).collect::<Vec<_>>()
        };
        assert_eq!(next(&odd), next(&plain), "{odd:?}");
    }
}

#[test]
fn near_the_end_of_time_nothing_fires_and_nothing_panics() {
    for text in ["* * * * *", "0 0 29 2 *", "@every 1h", "@yearly"] {
        let schedule = Schedule::parse(text, None).unwrap();
        for after in ["9989-06-01T00:00:00Z", "9997-01-01T00:00:00Z", "9999-12-30T00:00:00Z"] {
            let next = schedule.next_after(at(after), at("2027-03-05T00:00:00Z"));
            assert!(next.is_none_or(|next| next > at(after)), "{text} {after}");
        }
    }
}

#[test]
fn what_is_no_schedule_is_refused_with_what_is_allowed() {
    for (text, zone, words) in [
        ("", "", "empty"),
        ("TZ=UTC", "", "empty"),
        ("0 8 * *", "", "4 fields instead of five"),
        ("0 0 8 * * *", "", "6 fields instead of five"),
        ("60 8 * * *", "", "minute \"60\" is none: numbers 0 to 59"),
        ("0 24 * * *", "", "hour \"24\""),
        ("0 8 0 * *", "", "day of month \"0\" is none: numbers 1 to 31"),
        ("0 8 * 13 *", "", "month \"13\" is none: numbers 1 to 12"),
        ("0 8 * * 8", "", "day of week \"8\" is none: numbers 0 to 7"),
        ("0 8 * * 5-1", "", "day of week \"5-1\""),
        ("*/0 8 * * *", "", "minute \"*/0\""),
        ("1/2/3 8 * * *", "", "minute \"1/2/3\""),
        ("+-5 8 * * *", "", "minute \"+-5\""),
        ("0 8 * * *", "localtime", "\"localtime\" is not in the IANA database"),
        ("0 8 * * *", "Factory", "\"Factory\" is not in the IANA database"),
        (", 8 * * *", "", "minute \",\""),
        ("0 8 * january *", "", "three letters"),
        ("@reboot", "", "\"@reboot\" is not known"),
        ("@every", "", "\"@every\" is not known"),
        ("@every 5", "", "@every \"5\" is no duration"),
        ("@every 1x", "", "is no duration"),
        ("0 8 * * *", "Europe/Atlantis", "\"Europe/Atlantis\" is not in the IANA database"),
    ] {
        let error = Schedule::parse(text, Some(zone)).map(|_| "taken").unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic_and_what_it_takes_fires_later_or_never(
        text in "[-0-9*/,?A-Za-z@ ]{0,24}", second in 0_i64..4_000_000_000,
    ) {
        let after = Timestamp::from_second(second).unwrap();
        if let Ok(schedule) = Schedule::parse(&text, None) {
            let next = schedule.next_after(after, after);
            proptest::prop_assert!(next.is_none_or(|next| next > after));
        }
    }
}
