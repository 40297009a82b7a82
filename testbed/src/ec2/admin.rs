//! The administrator's API over HTTP for other processes: JSON under `/_admin`.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};

use super::admin_json::{Advance, ChangeTags, Failure, FaultId, Ids, SetAccount, SetFallsBack, SetState};
use super::call_log::{CallPage, CallQuery};
use super::error::AdminError;
use super::faults::{FaultRule, FaultView};
use super::handle::{ClockView, Ec2World};
use super::model::{AddInstances, InstanceQuery, InstanceView, Settings, SettingsPatch};
use crate::{rds, sts};

pub(crate) fn routes(world: Ec2World) -> Router {
    Router::new()
        .route("/_admin/instances", get(instances).post(add_instances))
        .route("/_admin/instances/{id}", get(instance))
        .route("/_admin/instances/terminate", post(terminate))
        .route("/_admin/instances/tags", post(change_tags))
        .route("/_admin/instances/state", post(set_state))
        .route("/_admin/instances/falls-back", post(set_falls_back))
        .route("/_admin/settings", get(settings).patch(change_settings))
        .route("/_admin/accounts/{access_key_id}", put(set_account))
        .route("/_admin/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_admin/faults/{id}", delete(remove_fault))
        .route("/_admin/calls", get(calls).delete(clear_calls))
        .route("/_admin/clock", get(clock))
        .route("/_admin/clock/advance", post(advance))
        .route("/_admin/reset", post(reset))
        .merge(rds::admin::routes())
        .merge(sts::routes())
        .with_state(world)
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::UnknownInstance(_) | Self::UnknownDatabase(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::ClockIsReal => StatusCode::CONFLICT,
        };
        (status, Json(Failure { error: self.to_string() })).into_response()
    }
}

type World = State<Ec2World>;
type Done = Result<StatusCode, AdminError>;

fn done(result: Result<(), AdminError>) -> Done {
    result.map(|()| StatusCode::NO_CONTENT)
}

async fn add_instances(State(world): World, Json(add): Json<AddInstances>) -> Result<Json<Ids>, AdminError> {
    Ok(Json(Ids { ids: world.add_instances(&add)? }))
}

async fn instances(State(world): World, Query(query): Query<InstanceQuery>) -> Json<Vec<InstanceView>> {
    Json(world.instances(&query))
}

async fn instance(State(world): World, Path(id): Path<String>) -> Result<Json<InstanceView>, AdminError> {
    world.instance(&id).map(Json).ok_or(AdminError::UnknownInstance(id))
}

async fn terminate(State(world): World, Json(Ids { ids }): Json<Ids>) -> Done {
    done(world.terminate(&ids))
}

async fn change_tags(State(world): World, Json(change): Json<ChangeTags>) -> Done {
    done(world.change_tags(&change.ids, &change.set, &change.remove))
}

async fn set_state(State(world): World, Json(set): Json<SetState>) -> Done {
    done(world.set_state(&set.ids, set.state, set.reason.as_ref()))
}

async fn set_falls_back(State(world): World, Json(set): Json<SetFallsBack>) -> Done {
    done(world.set_falls_back(&set.ids, set.falls_back.as_ref()))
}

async fn settings(State(world): World) -> Json<Settings> {
    Json(world.settings())
}

async fn change_settings(State(world): World, Json(patch): Json<SettingsPatch>) -> Json<Settings> {
    Json(world.change_settings(&patch))
}

async fn set_account(
    State(world): World,
    Path(key): Path<String>,
    Json(set): Json<SetAccount>,
) -> StatusCode {
    world.set_account(&key, &set.account);
    StatusCode::NO_CONTENT
}

async fn faults(State(world): World) -> Json<Vec<FaultView>> {
    Json(world.faults())
}

async fn add_fault(State(world): World, Json(rule): Json<FaultRule>) -> Json<FaultId> {
    Json(FaultId { id: world.add_fault(rule) })
}

async fn remove_fault(State(world): World, Path(id): Path<u64>) -> StatusCode {
    if world.remove_fault(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn clear_faults(State(world): World) -> StatusCode {
    world.clear_faults();
    StatusCode::NO_CONTENT
}

async fn calls(State(world): World, Query(query): Query<CallQuery>) -> Json<CallPage> {
    Json(world.calls(&query))
}

async fn clear_calls(State(world): World) -> StatusCode {
    world.clear_calls();
    StatusCode::NO_CONTENT
}

async fn clock(State(world): World) -> Json<ClockView> {
    Json(world.clock())
}

async fn advance(State(world): World, Json(advance): Json<Advance>) -> Result<Json<ClockView>, AdminError> {
    world.advance(Duration::from_millis(advance.ms))?;
    Ok(Json(world.clock()))
}

async fn reset(State(world): World) -> StatusCode {
    world.reset();
    StatusCode::NO_CONTENT
}
