//! The administrator's API of the databases over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::model::{AddDbCluster, AddDbInstance, DbClusterView, DbInstanceView};
use crate::ec2::{AdminError, Ec2World, Tags};

/// The name of the added database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Added {
    pub(crate) arn: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetStatus {
    pub(crate) arn: String,
    pub(crate) status: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeTags {
    pub(crate) arn: String,
    #[serde(default)]
    pub(crate) set: Tags,
    #[serde(default)]
    pub(crate) remove: Vec<String>,
}

pub(crate) fn routes() -> Router<Ec2World> {
    Router::new()
        .route("/_admin/db-instances", get(instances).post(add_instance))
        .route("/_admin/db-clusters", get(clusters).post(add_cluster))
        .route("/_admin/databases/status", post(set_status))
        .route("/_admin/databases/tags", post(change_tags))
}

async fn instances(State(world): State<Ec2World>) -> Json<Vec<DbInstanceView>> {
    Json(world.db_instances())
}

async fn clusters(State(world): State<Ec2World>) -> Json<Vec<DbClusterView>> {
    Json(world.db_clusters())
}

async fn add_instance(
    State(world): State<Ec2World>,
    Json(add): Json<AddDbInstance>,
) -> Result<Json<Added>, AdminError> {
    Ok(Json(Added { arn: world.add_db_instance(&add)? }))
}

async fn add_cluster(
    State(world): State<Ec2World>,
    Json(add): Json<AddDbCluster>,
) -> Result<Json<Added>, AdminError> {
    Ok(Json(Added { arn: world.add_db_cluster(&add)? }))
}

async fn set_status(
    State(world): State<Ec2World>,
    Json(set): Json<SetStatus>,
) -> Result<StatusCode, AdminError> {
    world.set_db_status(&set.arn, &set.status)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change_tags(
    State(world): State<Ec2World>,
    Json(change): Json<ChangeTags>,
) -> Result<StatusCode, AdminError> {
    world.change_db_tags(&change.arn, &change.set, &change.remove)?;
    Ok(StatusCode::NO_CONTENT)
}
