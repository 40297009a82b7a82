//! An account that answers every call with an error, or late, beside one that works. The scenario first runs without
//! the other account, then with it.

use std::time::Duration;

use bookings::api::{Booking, Resource};
use serde_json::json;
use testbed::{
    ec2::{AddInstances, FaultEffect, FaultRule, GROUP_TAG, InstanceState},
    replica::REGION,
};

use crate::{
    Failure,
    args::Args,
    bench::Bench,
    calls::{Calls, percentile},
    population::{booking, create, has_reason, in_seconds, is_stopped, names, resource, wait_for},
    report::{Figure, Outcome},
};

const ACCOUNT: &str = "222222222222";
const ROLE: &str = "arn:aws:iam::222222222222:role/booking";

/// The trouble of the other account.
#[derive(Clone, Copy)]
enum Trouble {
    None,
    Errors,
    Slow,
}

pub(super) async fn run(args: &Args) -> Result<Outcome, Failure> {
    let alone = late(args, Trouble::None).await?;
    let errors = late(args, Trouble::Errors).await?;
    // The slow account takes as long as all other parts together.
    let slow = if args.quick { Vec::new() } else { late(args, Trouble::Slow).await? };
    let p99 = |late: &[f64]| percentile(late, 0.99);
    // The promise is at most a tenth more, or at most a tenth of a second more.
    let bound = (p99(&alone) * 1.1).max(p99(&alone) + 100.0);
    let mut figures = vec![
        Figure::told("alone_p99_ms", p99(&alone)),
        Figure::at_most("beside_errors_p99_ms", p99(&errors), bound),
    ];
    if !slow.is_empty() {
        figures.push(Figure::at_most("beside_slow_p99_ms", p99(&slow), bound));
    }
    let samples = [("alone", alone), ("beside errors", errors), ("beside a slow one", slow)].into();
    Ok(Outcome { figures, samples, ..Outcome::default() })
}

/// How late the groups of the working account are started, sorted.
async fn late(args: &Args, trouble: Trouble) -> Result<Vec<f64>, Failure> {
    let bench = Bench::start(args, "isolation").await?;
    bench.ec2.world().trust_role(ROLE, None)?;
    let accounts = args.out.join("logs/isolation/accounts.yaml");
    std::fs::write(&accounts, format!("- namespaces: [\"*\"]\n  role_arn: {ROLE}\n  regions: [{REGION}]\n"))?;
    // The groups of the account that works, and of the other one.
    let (good_count, bad_count) = if args.quick { (20, 40) } else { (50, 200) };
    let (good, bad) = (names("good", good_count), names("bad", bad_count));
    bench.machines(&good, 1)?;
    for group in &bad {
        let machines = AddInstances::count(1).tag(GROUP_TAG, group).state(InstanceState::Stopped);
        let machines = AddInstances { account: ACCOUNT.to_owned(), region: REGION.to_owned(), ..machines };
        bench.ec2.world().add_instances(&machines)?;
    }
    let file = accounts.display().to_string();
    let replicas = bench.replicas(args.replicas, &[("ACCOUNTS_FILE", &file)]).await?;
    let resources =
        good.iter().map(|group| resource(group, None)).chain(bad.iter().map(|it| resource(it, Some(ROLE))));
    create(&bench.client, "resources", resources.collect::<Vec<_>>()).await?;
    wait_for::<Resource>(&bench.client, "resources at rest", good_count + bad_count, is_stopped).await?;
    let effect = match trouble {
        Trouble::None => None,
        Trouble::Errors => Some(FaultEffect::error("InternalError", "An internal error has occurred")),
        Trouble::Slow => Some(FaultEffect::Latency { ms: 5000 }),
    };
    if let Some(then) = effect {
        let mut rule = FaultRule::on("", then);
        (rule.when.action, rule.when.account) = (None, Some(ACCOUNT.to_owned()));
        bench.ec2.world().add_fault(rule);
    }
    // All are granted well before this instant, even on a slow machine.
    let start = in_seconds(if args.quick { 10 } else { 40 })?;
    let window = (start, start + jiff::SignedDuration::from_mins(10));
    let bookings: Vec<_> =
        good.iter().chain(&bad).map(|group| booking(group, group, "ann", window)).collect();
    create(&bench.client, "bookings", bookings).await?;
    let (_, from) = Calls::since(bench.ec2.world(), u64::MAX);
    wait_for::<Booking>(&bench.client, "bookings held", good_count, |it| has_reason(it, "Held")).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mut calls, _) = Calls::since(bench.ec2.world(), from);
    calls.0.retain(|call| call.facts.scope.account != ACCOUNT);
    let late = calls.lateness("StartInstances", start);
    println!("   {} started, {}", late.len(), json!(calls.by_action()));
    bench.stop(replicas).await;
    if late.len() < good_count {
        return Err(format!("{} of {good_count} groups were started", late.len()).into());
    }
    Ok(late)
}
