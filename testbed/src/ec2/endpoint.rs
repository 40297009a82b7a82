//! Serves a call of any service from arrival to answer: logs it, admits it, applies fault rules, and carries it out.

use std::time::Duration;

use super::actions::{Page, StateChange};
use super::admission::AdmissionCall;
use super::call_log::CallFacts;
use super::error::ApiError;
use super::faults::{Plan, Spoiled};
use super::handle::{Core, Ec2World};
use super::model::Scope;
use super::request::Request;
use super::service::Service;
use super::time::SimTime;
use super::wire::Call;
use super::xml;
use crate::{rds, sts};

/// The reply on the connection.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer { status: u16, request_id: String, body: String },
    Reset,
    Hang,
}

/// The result of a call that worked.
enum Outcome {
    Page(Page),
    Changes(Vec<StateChange>),
    Done,
    Rds(rds::Answer),
    Sts(sts::Answer),
}

/// Serves a call to its end, even if the caller does not wait any more. A caller that gives up does not undo its call.
pub(crate) async fn serve(world: Ec2World, call: Call) -> Reply {
    let (number, account, plan) = arrive(&world, &call);
    let Plan { delay_before_ms, delay_after_ms, spoiled_before, spoiled_after, .. } = plan;
    let service = call.service;
    delay(delay_before_ms).await;
    let request_id = xml::request_id(number);
    if let Some(spoiled) = spoiled_before {
        return spoil(&world, (service, number), request_id, spoiled);
    }
    let result = carry_out(&world, number, &account, call);
    delay(delay_after_ms).await;
    if let Some(spoiled) = spoiled_after {
        return spoil(&world, (service, number), request_id, spoiled);
    }
    match result {
        Ok((action, outcome)) => {
            let body = render(&action, &request_id, &account, &outcome);
            complete(&world, number, "OK");
            Reply::Answer { status: 200, request_id, body }
        }
        Err(error) => refuse(&world, (service, number), request_id, &error),
    }
}

fn arrive(world: &Ec2World, call: &Call) -> (u64, String, Plan) {
    let mut core = world.core();
    let now = core.now();
    let facts = facts(&core, call);
    let admission = AdmissionCall {
        now,
        scope: &facts.scope,
        action: &facts.action,
        instance_ids: facts.instance_ids.len(),
        narrowed: facts.paged || !facts.filters.is_empty() || !facts.instance_ids.is_empty(),
    };
    let refused = |error| Plan { spoiled_before: Some(Spoiled::Error(error)), ..Plan::default() };
    let plan = if core.roles.is_expired(SimTime::wall_clock(), &facts.access_key_id) {
        refused(call.service.expired())
    } else if core.admission.admit(admission).is_err() {
        refused(call.service.throttled())
    } else {
        let Core { world, databases, faults, .. } = &mut *core;
        faults.plan(now, &facts, &(&*world, &*databases))
    };
    let account = facts.scope.account.clone();
    let moment = core.moment();
    let number = core.log.arrive(moment, facts);
    if let Some(record) = core.log.record(number) {
        record.faults.clone_from(&plan.rules);
    }
    (number, account, plan)
}

fn facts(core: &Core, call: &Call) -> CallFacts {
    let caller = &call.caller;
    let mut facts = CallFacts {
        action: call.action.clone(),
        caller: caller.app.clone().unwrap_or_else(|| caller.access_key_id.clone()),
        access_key_id: caller.access_key_id.clone(),
        signed: caller.signed.clone(),
        scope: Scope { account: core.account(&caller.access_key_id), region: caller.region.clone() },
        instance_ids: Vec::new(),
        filters: Vec::new(),
        tags: Vec::new(),
        paged: false,
        dry_run: call.dry_run,
    };
    match &call.request {
        Ok(Request::Describe(describe)) => {
            facts.instance_ids.clone_from(&describe.ids);
            facts.filters.clone_from(&describe.filters);
            facts.paged = describe.max_results.is_some() || describe.next_token.is_some();
        }
        Ok(Request::Power(_, named)) => facts.instance_ids.clone_from(named),
        Ok(Request::Tags(_, named, arguments)) => {
            facts.instance_ids.clone_from(named);
            facts.tags.clone_from(arguments);
        }
        Ok(Request::Rds(request)) => request.note(&mut facts),
        Ok(Request::Sts(request)) => request.note(&mut facts),
        Err(_) => {}
    }
    facts
}

/// The only step that changes the world. Returns the result, with the action's name.
fn carry_out(
    world: &Ec2World,
    number: u64,
    account: &str,
    call: Call,
) -> Result<(String, Outcome), ApiError> {
    let scope = Scope { account: account.to_owned(), region: call.caller.region };
    let core = &mut *world.core();
    let now = core.now();
    let cloud = &mut core.world;
    let outcome = match call.request? {
        Request::Describe(describe) => {
            let as_of = cloud.describe_as_of(now, number);
            let page = cloud.describe(as_of, &scope, &describe)?;
            if call.dry_run {
                return Err(ApiError::would_have_succeeded());
            }
            Outcome::Page(page)
        }
        Request::Power(power, ids) => {
            Outcome::Changes(cloud.power(now, &scope, &ids, power, call.dry_run)?)
        }
        Request::Tags(kind, ids, tags) => {
            cloud.tag_call(now, &scope, (kind, call.dry_run), &ids, &tags)?;
            Outcome::Done
        }
        Request::Rds(request) => {
            Outcome::Rds(core.databases.carry_out(now, &scope, request, &cloud.settings)?)
        }
        Request::Sts(request) => {
            Outcome::Sts(core.carry_out_sts(&call.caller.access_key_id, account, &request)?)
        }
    };
    if let Some(record) = core.log.record(number) {
        record.took_effect = true;
    }
    Ok((call.action, outcome))
}

fn render(action: &str, request_id: &str, account: &str, outcome: &Outcome) -> String {
    let root = format!("{action}Response");
    match outcome {
        Outcome::Page(page) => xml::described(request_id, account, page),
        Outcome::Changes(changes) => xml::state_changes(&root, request_id, changes),
        Outcome::Done => xml::done(&root, request_id),
        Outcome::Rds(answer) => rds::render(action, request_id, answer),
        Outcome::Sts(answer) => sts::render(action, request_id, answer),
    }
}

fn spoil(world: &Ec2World, (service, number): (Service, u64), request_id: String, spoiled: Spoiled) -> Reply {
    match spoiled {
        Spoiled::Error(error) => refuse(world, (service, number), request_id, &error),
        Spoiled::Reset => {
            complete(world, number, "ConnectionReset");
            Reply::Reset
        }
        Spoiled::Hang => {
            // The call never completes, so only its outcome is known.
            if let Some(record) = world.core().log.record(number) {
                record.outcome = Some("Hang".to_owned());
            }
            Reply::Hang
        }
    }
}

fn refuse(
    world: &Ec2World,
    (service, number): (Service, u64),
    request_id: String,
    error: &ApiError,
) -> Reply {
    complete(world, number, &error.code);
    let body = service.error(&request_id, error);
    Reply::Answer { status: error.status, request_id, body }
}

fn complete(world: &Ec2World, number: u64, outcome: &str) {
    let mut core = world.core();
    let moment = core.moment();
    if let Some(record) = core.log.record(number) {
        record.completed = Some(moment);
        record.outcome = Some(outcome.to_owned());
    }
}

async fn delay(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
