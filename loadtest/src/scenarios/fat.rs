//! Bookings with nearly as much text in their annotations as the API server admits (256 KiB), all in one namespace.
//! Then one replica is restarted.
//!
//! The text is random, so it cannot be packed, and no decision needs it. If a replica keeps it, or reads hundreds of
//! such objects at once, the peak of its memory shows that: the kernel's `VmHWM`, which never falls.

use std::{collections::BTreeMap, time::Duration};

use bookings::api::Booking;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Failure,
    args::Args,
    bench::{Bench, Replica},
    population::{NAMESPACE, PATIENCE, booking, create, names, resource},
    report::{Figure, Outcome},
    usage::MIB,
};

/// The number of Bookings. It is smaller with `--quick`, but they still need more than half of the memory that a
/// replica may take.
const BOOKINGS: (usize, usize) = (1200, 300);
/// The random text of each, in bytes.
const TEXT: usize = 250 * 1024;
const ANNOTATION: &str = "loadtest/text";
const RESOURCES: usize = 50;
/// The most memory that each replica may take.
const PEAK_MIB: f64 = 150.0;
/// When the first Booking of each Resource begins. Each following one begins a day later.
const FIRST: &str = "2080-01-01T08:00:00Z";
/// The waits after all Bookings are granted, and again after the restart. The watches then show what was written, and
/// slots move.
const SETTLES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3));

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let (bookings, settles) = if args.quick { (BOOKINGS.1, SETTLES.1) } else { (BOOKINGS.0, SETTLES.0) };
    let bench = Bench::start(args, "fat").await?;
    let groups = names("fat", RESOURCES);
    bench.machines(&groups, 1)?;
    create(&bench.client, "resources", groups.iter().map(|group| resource(group, None))).await?;
    let first: Timestamp = FIRST.parse()?;
    create(&bench.client, "bookings", (0..bookings).map(|number| fat(number, &groups, first))).await?;

    let begun = Instant::now();
    let mut replicas = bench.replicas(args.replicas, &[]).await?;
    let first_ready = begun.elapsed().as_secs_f64();
    println!("   all replicas are ready after {first_ready:.1} s");
    all_granted(&bench.client, bookings).await?;
    tokio::time::sleep(settles).await;
    let mut peaks = Peaks::default();
    peaks.note(&replicas);
    // One replica is restarted, as in an update.
    let Some(old) = replicas.pop() else { return Err("no replica".into()) };
    let name = format!("{}-restarted", old.name);
    old.stop().await;
    let new = bench.spawn(&name, &[])?;
    let ready = new.ready().await?.as_secs_f64();
    println!("   a replica is ready again after {ready:.1} s");
    replicas.push(new);
    tokio::time::sleep(settles).await;
    peaks.note(&replicas);
    let mut figures = peaks.figures();
    figures.push(Figure::told("first_ready_s", first_ready));
    figures.push(Figure::told("restart_ready_s", ready));
    let mut outcome = Outcome { figures, ..Outcome::default() };
    outcome.details.insert("bookings".into(), json!(bookings));
    outcome.details.insert("text_kib".into(), json!(TEXT / 1024));
    bench.stop(replicas).await;
    Ok(outcome)
}

/// The peak memory of each process, by its name, in MiB.
#[derive(Default)]
struct Peaks(BTreeMap<String, f64>);

impl Peaks {
    /// If a process has ended, its peak is not known, and that does not pass.
    fn note(&mut self, replicas: &[Replica]) {
        for replica in replicas {
            #[allow(clippy::cast_precision_loss, reason = "bytes of a process")]
            let mib = replica.peak().map_or(f64::NAN, |bytes| bytes as f64 / MIB);
            self.0.insert(replica.name.clone(), mib);
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let figure = |(name, mib): (&String, &f64)| {
            Figure::at_most(format!("peak_mib_{}", name.replace('-', "_")), *mib, PEAK_MIB)
        };
        self.0.iter().map(figure).collect()
    }
}

/// The Booking of a number, with its text.
fn fat(number: usize, groups: &[String], first: Timestamp) -> Booking {
    let mut booking = lean(number, groups, first);
    booking.metadata.annotations = Some([(ANNOTATION.to_owned(), random_text(number))].into());
    booking
}

/// The Booking of a number. Each Resource has one a day, so none waits for another.
fn lean(number: usize, groups: &[String], first: Timestamp) -> Booking {
    let days = i64::try_from(number / groups.len()).unwrap_or_default();
    let from = first + SignedDuration::from_hours(24 * days);
    let group = groups.get(number % groups.len()).cloned().unwrap_or_default();
    let window = (from, from + SignedDuration::from_hours(9));
    booking(&format!("fat-{number:06}"), &group, "ann", window)
}

/// Text that can hardly be packed: six random bits a letter. The same number gives the same text.
fn random_text(number: usize) -> String {
    const LETTERS: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // This is xorshift64*. Its upper bits are the better ones.
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letter = |_| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let index = usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 58).unwrap_or_default();
        LETTERS.get(index).copied().map_or('A', char::from)
    };
    (0..TEXT).map(letter).collect()
}

/// Waits until this number of Bookings is granted.
async fn all_granted(client: &Client, count: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let granted = granted(client).await?;
        if granted >= count {
            println!("   {granted} bookings granted after {:.1} s", begun.elapsed().as_secs_f64());
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(format!("never: {count} bookings granted").into())
}

/// The number of granted Bookings. It asks the API server only for their columns, because with annotations each look
/// would read 300 MB.
async fn granted(client: &Client) -> Result<usize, Failure> {
    let path = format!("/apis/manager.kotaico.de/v1/namespaces/{NAMESPACE}/bookings");
    let request = http::Request::get(format!("{path}?includeObject=None&resourceVersion=0"))
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())?;
    let table: Value = client.request(request).await?;
    let items = |name: &str| table.get(name).and_then(Value::as_array).into_iter().flatten();
    let is = |value: Option<&Value>, text: &str| value.and_then(Value::as_str) == Some(text);
    let column = items("columnDefinitions").position(|column| is(column.get("name"), "REASON"));
    let column = column.ok_or("the table of Bookings has no column REASON")?;
    let cell = |row: &Value| is(row.get("cells").and_then(|cells| cells.get(column)), "Scheduled");
    Ok(items("rows").filter(|row| cell(row)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_booking_is_as_long_as_annotations_may_be_and_not_that_of_another() {
        // given the annotations that the API server admits: 256 KiB, keys and values together
        let groups = names("fat", 2);
        let first: Timestamp = FIRST.parse().unwrap();
        // when two Bookings are made
        let [one, other] = [0, 1].map(|number| fat(number, &groups, first).metadata.annotations.unwrap());
        // then their texts fit, differ, and use all letters about equally often
        let text = &one[ANNOTATION];
        assert!(text.len() == TEXT && text.len() + ANNOTATION.len() <= 256 * 1024);
        assert_ne!(text, &other[ANNOTATION]);
        let share = |letter: char| text.matches(letter).count() * 64 * 100 / TEXT;
        for letter in text.chars().take(1000) {
            assert!((90..110).contains(&share(letter)), "{letter}: {} %", share(letter));
        }
    }

    #[test]
    fn bookings_of_one_resource_do_not_overlap() {
        let groups = names("fat", RESOURCES);
        let first: Timestamp = FIRST.parse().unwrap();
        let mut windows: Vec<_> = (0..BOOKINGS.0)
            .map(|number| lean(number, &groups, first).spec)
            .map(|spec| (spec.resource_name.unwrap(), spec.start_at.unwrap(), spec.end_at.unwrap()))
            .collect();
        windows.sort_unstable();
        let apart = |pair: &[(String, String, String)]| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1;
        assert!(windows.windows(2).all(apart));
    }

    #[test]
    fn a_peak_that_cannot_be_told_does_not_pass() {
        let peaks = Peaks([("replica-0".to_owned(), 150.0), ("replica-1".to_owned(), f64::NAN)].into());
        let passes: Vec<_> =
            peaks.figures().into_iter().map(|it| (it.name.to_string(), it.passes())).collect();
        let expected = [("peak_mib_replica_0", true), ("peak_mib_replica_1", false)];
        assert_eq!(passes, expected.map(|(name, passes)| (name.to_owned(), passes)));
    }
}
