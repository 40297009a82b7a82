//! The administrator's client for a simulator in another process.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::admin_json::{Advance, ChangeTags, Failure, FaultId, Ids, SetAccount, SetFallsBack, SetState};
use super::call_log::{CallPage, CallQuery};
use super::faults::{FaultRule, FaultView};
use super::handle::ClockView;
use super::model::{
    AddInstances, FallsBack, InstanceQuery, InstanceState, InstanceView, Settings, SettingsPatch,
    StateReason, Tags,
};
use crate::patience::patient;

/// Much longer than any administrative operation takes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Why an administrative request failed.
#[derive(Debug, Error)]
pub enum AdminClientError {
    /// There was no answer, or none that can be read.
    #[error("the EC2 simulator can't be reached: {0}")]
    Transport(#[from] reqwest::Error),
    /// The simulator refused.
    #[error("the EC2 simulator answered {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The message of the simulator.
        message: String,
    },
}

/// Administers a simulator over HTTP. The operations are those of [`super::Ec2World`].
#[derive(Clone, Debug)]
pub struct Ec2AdminClient {
    url: String,
    http: reqwest::Client,
}

type Answer<T> = Result<T, AdminClientError>;

#[allow(clippy::missing_errors_doc, reason = "all of them fail as the type of the error says")]
impl Ec2AdminClient {
    /// A client of the simulator at `url`.
    pub fn new(url: &str) -> Answer<Self> {
        let http = reqwest::Client::builder().timeout(patient(TIMEOUT)).no_proxy().build()?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Adds instances. Returns their ids.
    pub async fn add_instances(&self, add: &AddInstances) -> Answer<Vec<String>> {
        let added: Ids = self.ask(Method::POST, "instances", Some(add)).await?;
        Ok(added.ids)
    }

    /// The true state of instances, in the order of creation.
    pub async fn instances(&self, query: &InstanceQuery) -> Answer<Vec<InstanceView>> {
        let state = query.state.map(|state| state.name().to_owned());
        let path = with_query(
            "instances",
            &[
                ("account", query.account.clone()),
                ("region", query.region.clone()),
                ("tag_key", query.tag_key.clone()),
                ("tag_value", query.tag_value.clone()),
                ("state", state),
            ],
        );
        self.get(&path).await
    }

    /// The true state of an instance.
    pub async fn instance(&self, id: &str) -> Answer<InstanceView> {
        self.get(&format!("instances/{id}")).await
    }

    /// Shuts instances down for good.
    pub async fn terminate(&self, ids: &[String]) -> Answer<()> {
        self.tell(Method::POST, "instances/terminate", Some(&Ids { ids: ids.to_vec() })).await
    }

    /// Puts instances into a state.
    pub async fn set_state(
        &self,
        ids: &[String],
        state: InstanceState,
        reason: Option<&StateReason>,
    ) -> Answer<()> {
        let set = SetState { ids: ids.to_vec(), state, reason: reason.cloned() };
        self.tell(Method::POST, "instances/state", Some(&set)).await
    }

    /// Sets tags as a third party would.
    pub async fn set_tags(&self, ids: &[String], tags: &Tags) -> Answer<()> {
        let change = ChangeTags { ids: ids.to_vec(), set: tags.clone(), remove: Vec::new() };
        self.tell(Method::POST, "instances/tags", Some(&change)).await
    }

    /// Removes tags as a third party would.
    pub async fn remove_tags(&self, ids: &[String], keys: &[String]) -> Answer<()> {
        let change = ChangeTags { ids: ids.to_vec(), set: Tags::new(), remove: keys.to_vec() };
        self.tell(Method::POST, "instances/tags", Some(&change)).await
    }

    /// Makes starts of instances fail, or succeed again (`None`).
    pub async fn set_falls_back(&self, ids: &[String], falls_back: Option<&FallsBack>) -> Answer<()> {
        let set = SetFallsBack { ids: ids.to_vec(), falls_back: falls_back.cloned() };
        self.tell(Method::POST, "instances/falls-back", Some(&set)).await
    }

    /// The settings of the cloud.
    pub async fn settings(&self) -> Answer<Settings> {
        self.get("settings").await
    }

    /// Changes settings of the cloud from now on. Returns all settings.
    pub async fn change_settings(&self, patch: &SettingsPatch) -> Answer<Settings> {
        self.ask(Method::PATCH, "settings", Some(patch)).await
    }

    /// Assigns an access key id to an account.
    pub async fn set_account(&self, access_key_id: &str, account: &str) -> Answer<()> {
        let set = SetAccount { account: account.to_owned() };
        self.tell(Method::PUT, &format!("accounts/{access_key_id}"), Some(&set)).await
    }

    /// Adds a fault rule. Returns its id.
    pub async fn add_fault(&self, rule: &FaultRule) -> Answer<u64> {
        let added: FaultId = self.ask(Method::POST, "faults", Some(rule)).await?;
        Ok(added.id)
    }

    /// The fault rules in force.
    pub async fn faults(&self) -> Answer<Vec<FaultView>> {
        self.get("faults").await
    }

    /// Removes a fault rule.
    pub async fn remove_fault(&self, id: u64) -> Answer<()> {
        self.tell(Method::DELETE, &format!("faults/{id}"), NOTHING).await
    }

    /// Removes all fault rules.
    pub async fn clear_faults(&self) -> Answer<()> {
        self.tell(Method::DELETE, "faults", NOTHING).await
    }

    /// Reads the call log.
    pub async fn calls(&self, query: &CallQuery) -> Answer<CallPage> {
        let path = with_query(
            "calls",
            &[
                ("since", Some(query.since.to_string())),
                ("action", query.action.clone()),
                ("limit", query.limit.map(|limit| limit.to_string())),
            ],
        );
        self.get(&path).await
    }

    /// Forgets all calls. Their numbers go on.
    pub async fn clear_calls(&self) -> Answer<()> {
        self.tell(Method::DELETE, "calls", NOTHING).await
    }

    /// The time on the clock.
    pub async fn clock(&self) -> Answer<ClockView> {
        self.get("clock").await
    }

    /// Moves the virtual clock by whole milliseconds. Returns its new time.
    pub async fn advance(&self, span: Duration) -> Answer<ClockView> {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.ask(Method::POST, "clock/advance", Some(&Advance { ms })).await
    }

    /// Resets the simulator to its configuration.
    pub async fn reset(&self) -> Answer<()> {
        self.tell(Method::POST, "reset", NOTHING).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        self.ask(Method::GET, path, NOTHING).await
    }

    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Answer<T> {
        Ok(self.send(method, path, body).await?.json().await?)
    }

    pub(crate) async fn tell(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Answer<()> {
        self.send(method, path, body).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Answer<reqwest::Response> {
        let mut request = self.http.request(method, format!("{}/_admin/{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await?;
        let message = serde_json::from_str(&text).map_or(text, |failure: Failure| failure.error);
        Err(AdminClientError::Refused { status: status.as_u16(), message })
    }
}

const NOTHING: Option<&()> = None;

fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{path}?{}", query.finish())
}
