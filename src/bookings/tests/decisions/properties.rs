//! What is true in every story. The stories are random, with crashes, lost answers and describes that lag.

use std::time::Duration;

use booking_calendar::window::Window;
use bookings::{
    api::{Booking, BookingStatus, OnDelete, WhenIdle, booking_state},
    decide::groups::{
        booking::validate,
        claim::Claim,
        machine::{LockTag, MachineState, same_lock},
        output::Call,
    },
};
use jiff::Timestamp;
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    build::{at, booking, later, lock, locked, machine, owned, tag, text},
    stage::{Fault, Stage},
};

const USERS: [&str; 3] = ["ann", "bob", "eve"];
const IDS: [&str; 3] = ["i-1", "i-2", "i-3"];

/// A step of a story. Times are minutes after 08:00.
#[derive(Clone, Debug)]
enum Step {
    Live(u64),
    Book {
        user: usize,
        from: u8,
        minutes: u8,
        seconds: u8,
    },
    Move {
        which: usize,
        from: u8,
        minutes: u8,
    },
    Release(usize),
    Spoil(usize),
    Delete(usize),
    Retarget(usize),
    Hold {
        user: usize,
        until: u8,
    },
    /// Marks a Booking as the predecessor would have done.
    Trace(usize),
    HalfHold,
    Unhold,
    Idle(Option<WhenIdle>),
    Claim(Claim),
    Crowd(bool),
    Meddle {
        machine: usize,
        how: Meddling,
    },
    Blind(bool),
    Crash,
    DeleteResource,
}

#[derive(Clone, Copy, Debug)]
enum Meddling {
    Start,
    Stop,
    Terminate,
    ForeignLock(u8),
    HalfLock,
    Untag,
}

fn clock(minute: u8, second: u8) -> String {
    format!("{:02}:{:02}:{second:02}", 8 + u32::from(minute) / 60, u32::from(minute) % 60)
}

fn steps() -> impl Strategy<Value = Step> {
    let which = 0_usize..6;
    let (from, minutes) = (0_u8..100, 0_u8..40);
    prop_oneof![
        10 => (0_u64..900).prop_map(Step::Live),
        6 => (0_usize..3, from.clone(), minutes.clone(), 0_u8..60)
            .prop_map(|(user, from, minutes, seconds)| Step::Book { user, from, minutes, seconds }),
        3 => (which.clone(), from, minutes).prop_map(|(which, from, minutes)| Step::Move { which, from, minutes }),
        2 => which.clone().prop_map(Step::Release),
        1 => which.clone().prop_map(Step::Spoil),
        2 => which.clone().prop_map(Step::Delete),
        1 => which.clone().prop_map(Step::Retarget),
        1 => (0_usize..3, 0_u8..120).prop_map(|(user, until)| Step::Hold { user, until }),
        1 => which.prop_map(Step::Trace),
        1 => Just(Step::HalfHold),
        1 => Just(Step::Unhold),
        1 => option::of(select(vec![WhenIdle::Stop, WhenIdle::Keep])).prop_map(Step::Idle),
        1 => select(vec![Claim::Ours, Claim::Ours, Claim::Other]).prop_map(Step::Claim),
        3 => (0_usize..3, select(vec![
            Meddling::Start, Meddling::Stop, Meddling::Terminate, Meddling::ForeignLock(30),
            Meddling::ForeignLock(90), Meddling::HalfLock, Meddling::Untag,
        ])).prop_map(|(machine, how)| Step::Meddle { machine, how }),
        1 => any::<bool>().prop_map(Step::Blind),
        2 => any::<bool>().prop_map(Step::Crowd),
        1 => Just(Step::Crash),
    ]
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let one = select(vec![
        Fault::None,
        Fault::None,
        Fault::None,
        Fault::Fails,
        Fault::AnswerLost,
        Fault::CrashBefore,
        Fault::CrashAfter,
    ]);
    vec(one, 0..60)
}

fn stages() -> impl Strategy<Value = Stage> {
    let idle = option::of(select(vec![WhenIdle::Stop, WhenIdle::Keep]));
    (idle, 0_u64..6, 0_u64..40, vec(0_u8..6, 3), faults()).prop_map(
        |(when_idle, lag, turn, kinds, faults)| {
            let mut stage = Stage::with(IDS.iter().zip(kinds).map(|(id, kind)| match kind {
                0 => machine(id, MachineState::Running),
                1 => locked(machine(id, MachineState::Running), &lock("mallory", "08:40")),
                2 => owned(machine(id, MachineState::Running), "Auto Scaling group web"),
                _ => machine(id, MachineState::Stopped),
            }));
            stage.configure(|spec| spec.when_idle = when_idle);
            stage.cloud.lag = Duration::from_secs(lag);
            stage.cloud.turn = Duration::from_secs(turn);
            stage.faults = faults.into();
            stage
        },
    )
}

fn name_of(stage: &Stage, which: usize) -> Option<String> {
    let count = stage.bookings.len();
    (count > 0).then(|| stage.bookings[which % count].metadata.name.clone().unwrap())
}

fn play(stage: &mut Stage, step: &Step, number: usize) {
    let now = stage.now;
    match step {
        Step::Live(seconds) => stage.live_until(later(now, *seconds), check_pass),
        Step::Book { user, from, minutes, seconds } => {
            let name = format!("b-{number}");
            let until = clock(from + minutes, (*seconds).max(5));
            stage.book(booking(&name, USERS[*user], &clock(*from, 0), &until));
        }
        Step::Hold { user, until } => stage.hold(Some(USERS[*user].into()), Some(text(&clock(*until, 0)))),
        Step::HalfHold => stage.hold(Some("ann".into()), None),
        Step::Unhold => stage.hold(None, None),
        Step::Idle(when_idle) => stage.configure_if_there(|spec| spec.when_idle = *when_idle),
        Step::Claim(claim) => stage.claim = *claim,
        Step::Meddle { machine, how } => stage.cloud.meddle(IDS[*machine], now, |machine| match how {
            // As the cloud would do it: only from a stable state.
            Meddling::Start if machine.state == MachineState::Stopped => {
                machine.state = MachineState::Running;
            }
            Meddling::Stop if machine.state == MachineState::Running => {
                machine.state = MachineState::Stopped;
            }
            Meddling::Terminate => machine.state = MachineState::Terminated,
            Meddling::ForeignLock(until) => machine.lock = tag(&lock("mallory", &clock(*until, 0))),
            Meddling::HalfLock => {
                machine.lock = LockTag::Malformed { by: Some("mallory".into()), until: None }
            }
            Meddling::Untag => machine.lock = LockTag::Absent,
            Meddling::Start | Meddling::Stop => {}
        }),
        Step::Blind(blind) => stage.blind = *blind,
        Step::Crowd(crowd) => stage.prelocks = *crowd,
        Step::Crash => stage.attempts = bookings::decide::groups::attempts::Attempts::default(),
        Step::DeleteResource => stage.delete_resource(),
        Step::Move { which, .. }
        | Step::Release(which)
        | Step::Spoil(which)
        | Step::Delete(which)
        | Step::Retarget(which)
        | Step::Trace(which) => {
            if let Some(name) = name_of(stage, *which) {
                play_on_booking(stage, step, &name);
            }
        }
    }
}

fn play_on_booking(stage: &mut Stage, step: &Step, name: &str) {
    let now = stage.now;
    match step {
        Step::Move { from, minutes, .. } => stage.edit(name, |spec| {
            spec.start_at = Some(text(&clock(*from, 0)));
            spec.end_at = Some(text(&clock(*from + *minutes, 30)));
        }),
        Step::Release(_) => stage.edit(name, |spec| spec.end_at = Some(now.to_string())),
        Step::Spoil(_) => stage.edit(name, |spec| spec.start_at = Some("soon".into())),
        Step::Delete(_) => stage.delete(name),
        // It never comes back: docs describe what happens if a Booking returns before the other key has seen it.
        Step::Retarget(_) => stage.edit(name, |spec| spec.resource_name = Some("other".into())),
        Step::Trace(_) => {
            let spec = stage
                .bookings
                .iter()
                .find(|b| b.metadata.name.as_deref() == Some(name))
                .unwrap()
                .spec
                .clone();
            stage.hold(spec.user_id, spec.end_at);
        }
        _ => {}
    }
}

/// What must be true from one pass to the next.
fn check_pass(before: &Stage, after: &Stage) {
    for booking in after.bookings.iter().filter(|booking| is_here(booking)) {
        let old = before.bookings.iter().find(|old| old.metadata.uid == booking.metadata.uid).unwrap();
        state_never_goes_back(old, booking);
        grant_is_never_taken_away(old, booking, before.now);
    }
    granted_windows_never_overlap(after, before.now);
    what_is_held_is_never_stopped(before, after);
}

fn is_here(booking: &Booking) -> bool {
    booking.spec.resource_name.as_deref() == Some("web")
}

fn state_never_goes_back(old: &Booking, new: &Booking) {
    let rank = |status: &Option<BookingStatus>| match status.as_ref().and_then(|s| s.status.as_deref()) {
        Some(booking_state::FINISHED) => 2,
        Some(booking_state::IN_PROGRESS) => 1,
        _ => 0,
    };
    let seen = old.status.as_ref().and_then(|status| status.observed_generation);
    if seen == old.metadata.generation {
        assert!(rank(&new.status) >= rank(&old.status), "{:?} -> {:?}", old.status, new.status);
    }
}

/// The granted window of a Booking, limited to what the Booking still asks for and what is not over.
fn granted(booking: &Booking, now: Timestamp) -> Option<Window> {
    validate(booking).ok()?.granted?.intersection(Window { from: now, until: Timestamp::MAX })
}

fn grant_is_never_taken_away(old: &Booking, new: &Booking, now: Timestamp) {
    if let Some(old) = granted(old, now) {
        let new = granted(new, now);
        assert_eq!(new.and_then(|new| new.intersection(old)), Some(old), "{new:?}");
    }
}

fn granted_windows_never_overlap(stage: &Stage, now: Timestamp) {
    let windows: Vec<(&Booking, Window)> =
        stage.bookings.iter().filter(|b| is_here(b)).filter_map(|b| Some((b, granted(b, now)?))).collect();
    for (place, (one, window)) in windows.iter().enumerate() {
        for (other, theirs) in &windows[place + 1..] {
            let same_user = one.spec.user_id == other.spec.user_id;
            assert!(same_user || !window.overlaps(*theirs), "{one:?} {window:?} {other:?} {theirs:?}");
        }
    }
}

fn what_is_held_is_never_stopped(before: &Stage, after: &Stage) {
    let sent = &after.calls[before.calls.len()..];
    if sent.iter().any(|(_, call)| matches!(call, Call::Stop(_))) {
        let now = before.now;
        let holding = after.bookings.iter().find(|booking| {
            is_here(booking) && granted(booking, now).is_some_and(|window| window.contains(now))
        });
        let deleted = before.resource.as_ref().is_some_and(|r| r.metadata.deletion_timestamp.is_some());
        assert!(deleted || holding.is_none(), "stopped under {holding:?}");
    }
}

/// Ends the faults and lets time pass until nothing is left to do.
fn settle(stage: &mut Stage) {
    stage.faults.clear();
    stage.blind = false;
    for _ in 0..30 {
        stage.live_until(later(stage.now, 360), check_pass);
        let shown = stage.cloud.describe(stage.now);
        let turning = shown != stage.cloud.truth(stage.now)
            || shown.iter().any(|m| matches!(m.state, MachineState::Pending | MachineState::Stopping));
        if stage.decide().is_empty() && !turning {
            return;
        }
    }
    panic!("never settles: {:#?}", stage.decide());
}

/// What must be true when nothing is left to do.
fn check_settled(stage: &Stage) {
    let status = stage.resource_status();
    let wanted = stage.resource.is_some() && stage.claim == Claim::Ours;
    for machine in stage.cloud.truth(stage.now) {
        let LockTag::Held { raw, until } = &machine.lock else { continue };
        if machine.state == MachineState::Terminated || stage.claim == Claim::Other {
            continue;
        }
        if raw.user == "mallory" {
            assert!(!wanted || *until > stage.now, "an expired lock is left: {machine:?}");
            continue;
        }
        let holder = status.holder.as_ref();
        let holders = holder.is_some_and(|h| {
            same_lock(raw, &bookings::api::Lock { user: h.user.clone(), until: h.until.clone() })
        });
        assert!(holders && *until > stage.now, "a lock outlives its holder: {machine:?} {holder:?}");
    }
    wake_up_is_not_late(stage);
}

/// Checks that nothing is to be done at any instant before the wake-up. Polls are off, because they would hide a
/// mistake.
fn wake_up_is_not_late(stage: &Stage) {
    let mut stage = stage.clone();
    stage.settings.observe_interval = Duration::from_hours(100_000);
    let observation = stage.observe(stage.now);
    let end = stage.decide().next().unwrap_or(later(stage.now, 360_000));
    let span = end.duration_since(stage.now).as_millis();
    for part in [1, span / 1000, span / 7, span / 3, span / 2, span * 4 / 5, span - 1] {
        let then =
            stage.now.checked_add(jiff::SignedDuration::from_millis(i64::try_from(part).unwrap())).unwrap();
        if then > stage.now && then < end {
            let decision = stage.decide_on(&observation, then);
            assert!(decision.is_empty(), "at {} until {end}, late for {then}: {decision:#?}", stage.now);
        }
    }
}

fn run(mut stage: Stage, steps: &[Step]) -> Stage {
    for (number, step) in steps.iter().enumerate() {
        play(&mut stage, step, number);
    }
    settle(&mut stage);
    check_settled(&stage);
    stage
}

fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn every_story_settles_and_breaks_no_promise(stage in stages(), steps in vec(steps(), 1..25)) {
        run(stage, &steps);
    }

    #[test]
    fn every_story_may_end_with_the_deletion_of_the_resource(
        stage in stages(),
        on_delete in option::of(select(vec![OnDelete::Release, OnDelete::Stop])),
        steps in vec(steps(), 1..12),
    ) {
        let mut stage = stage;
        stage.configure(|spec| spec.on_delete = on_delete);
        let steps: Vec<Step> = steps
            .into_iter()
            .chain([Step::Blind(false), Step::Live(60), Step::DeleteResource, Step::Live(900)])
            .collect();
        let stage = run(stage, &steps);
        // A Resource that does not have the claim to its group is deleted, too.
        prop_assert!(stage.resource.is_none());
    }
}

#[test]
fn a_crash_at_any_point_of_a_bookings_life_loses_nothing() {
    for point in 0..25 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::Fails, Fault::AnswerLost] {
            // given a booking that is extended, and one that waits for it
            let mut stage = Stage::new(&["i-1", "i-2"]);
            stage.faults = std::iter::repeat_n(Fault::None, point).chain([fault]).collect();
            stage.book(booking("a", "ann", "09:00", "10:00"));
            stage.book(booking("b", "bob", "09:30", "11:00"));
            stage.live_until(at("09:20"), check_pass);
            stage.edit("a", |spec| spec.end_at = Some(text("10:15")));
            stage.live_until(at("10:14"), check_pass);
            assert_eq!(stage.says("a", "Ready"), "True Held", "{point} {fault:?}");
            stage.live_until(at("10:16"), check_pass);
            assert_eq!(
                (stage.stops(), stage.says("b", "Ready")),
                (0, "True Held".into()),
                "{point} {fault:?}"
            );
            settle(&mut stage);
            stage.live_until(at("11:10"), check_pass);
            check_settled(&stage);
            assert_eq!((stage.state("a"), stage.state("b")), ("FINISHED".into(), "FINISHED".into()));
            assert_eq!(stage.machine("i-1"), machine("i-1", MachineState::Stopped));
        }
    }
}
