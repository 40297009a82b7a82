//! The administrator's API of the roles over HTTP, server and client.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::ec2::{AdminClientError, AdminError, Ec2AdminClient, Ec2World};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustRole {
    role_arn: String,
    #[serde(default)]
    external_id: Option<String>,
}

pub(crate) fn routes() -> Router<Ec2World> {
    Router::new().route("/_admin/roles", post(trust))
}

async fn trust(
    State(world): State<Ec2World>,
    Json(trust): Json<TrustRole>,
) -> Result<StatusCode, AdminError> {
    world.trust_role(&trust.role_arn, trust.external_id.as_deref())?;
    Ok(StatusCode::NO_CONTENT)
}

/// Roles.
impl Ec2AdminClient {
    /// Lets any caller assume a role, with this external id if there is one.
    ///
    /// # Errors
    ///
    /// If the ARN does not name a role, or the simulator cannot be reached.
    pub async fn trust_role(
        &self,
        role_arn: &str,
        external_id: Option<&str>,
    ) -> Result<(), AdminClientError> {
        let trust = TrustRole { role_arn: role_arn.to_owned(), external_id: external_id.map(str::to_owned) };
        self.tell(Method::POST, "roles", Some(&trust)).await
    }
}
