//! Requests to the API server. Each is sent once and has a time limit. The answer says exactly what is known of the
//! result.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
    },
    core::DeserializeGuard,
};
use serde_json::Value;

use super::{
    convert::{
        Odd,
        lease::{self, LABEL_RING, LABEL_ROLE, ROLE_MEMBER},
        ring,
    },
    crd::RingCrd,
    names::Names,
    neighbours::{AllMembers, ListError},
};
use crate::{
    claim::RingName,
    protocol::{Answer, Op},
    record::{Incarnation, MemberLease, Ring, Stored},
    timing::Timing,
};

/// The name of the writer in managedFields and Events.
pub const FIELD_MANAGER: &str = "booking-operator";
/// The number of Leases on a page of a list.
pub(super) const PAGE: u32 = 500;
/// The largest number of pages of a list. They hold ten times the members that a ring can have.
pub(super) const PAGES_MAX: usize = 20;
/// How many ring objects are remembered: the present one, and those by which the watch and the writes differ.
const REMEMBERED: usize = 4;

/// A client that sends each request once. The usual client repeats requests that were answered with 429, 503 or 504,
/// although the first one may have taken effect.
///
/// # Errors
/// If the configuration cannot be used.
pub fn client(mut config: kube::Config, timing: &Timing) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(timing.request());
    Client::try_from(config)
}

/// Ring objects as they were read. A write must return their fields that this release does not know.
#[derive(Clone, Debug, Default)]
pub struct Remembered(Arc<Mutex<VecDeque<Arc<DynamicObject>>>>);

impl Remembered {
    /// Remembers an object that was read, and returns it as a record.
    ///
    /// # Errors
    /// If the object cannot be understood.
    pub fn take_in(&self, mut object: DynamicObject) -> Result<Stored<Ring>, Odd> {
        object.metadata.managed_fields = None;
        let record = ring::ring(&object)?;
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.truncate(REMEMBERED - 1);
        remembered.push_front(Arc::new(object));
        Ok(record)
    }

    fn find(&self, uid: &str, version: &str) -> Option<Arc<DynamicObject>> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.iter().find(|object| is_of(object, uid, version)).cloned()
    }
}

fn is_of(object: &DynamicObject, uid: &str, version: &str) -> bool {
    object.metadata.uid.as_deref() == Some(uid)
        && object.metadata.resource_version.as_deref() == Some(version)
}

/// The API of rings in a namespace, as plain JSON.
pub fn rings(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &ApiResource::erase::<RingCrd>(&()))
}

/// Why a request has no answer of its own.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Odd(#[from] Odd),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    List(#[from] ListError),
    #[error("more than {PAGES_MAX} pages of {PAGE} Leases")]
    TooMany,
}

/// Carries out requests.
pub struct Requests {
    leases: Api<Lease>,
    guarded: Api<DeserializeGuard<Lease>>,
    rings: Api<DynamicObject>,
    all_members: AllMembers,
    namespace: Arc<str>,
    names: Names,
    limit: Duration,
    remembered: Remembered,
    failing: AtomicBool,
}

impl Requests {
    /// The requests of one ring. The client must come from [`client`].
    pub fn new(client: Client, namespace: &str, names: Names, timing: &Timing) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), namespace),
            guarded: Api::namespaced(client.clone(), namespace),
            rings: rings(client.clone(), namespace),
            all_members: AllMembers::new(client, namespace),
            namespace: namespace.into(),
            names,
            limit: timing.request(),
            remembered: Remembered::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// The memory of ring objects, which the watch of the ring must also fill.
    pub fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Sends a request once. It ends within [`Timing::request`].
    pub async fn carry_out(&self, op: Op) -> Answer {
        let what = word(&op);
        let sent = tokio::time::timeout(self.limit, self.send(op)).await;
        let failure = match sent.unwrap_or(Err(Failure::Timeout(self.limit))) {
            Ok(answer) => {
                self.succeeded(what);
                return answer;
            }
            Err(failure) => failure,
        };
        let answer = meaning(&failure);
        if let Answer::Failed = answer {
            self.failed(what, &failure);
        }
        answer
    }

    async fn send(&self, op: Op) -> Result<Answer, Failure> {
        let post = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match op {
            Op::CreateMember(record) => {
                let new = lease::new_member(&self.names, &record);
                member(&self.leases.create(&post, &new).await?)
            }
            Op::UpdateMember { uid, version, lease } => {
                self.patch_member(&lease.incarnation, lease::member_patch(&uid, version, &lease)).await
            }
            Op::ReadMember(incarnation) => member(&self.leases.get(incarnation.as_str()).await?),
            Op::MarkToLeave(incarnation) => self.patch_member(&incarnation, lease::leave_patch()).await,
            Op::DeleteMember { incarnation, uid, version } => {
                self.delete_member(&incarnation, &uid, version).await
            }
            Op::ListMembers => self.list_members().await.map(Answer::Members),
            Op::ListNeighbours => self.list_neighbours().await,
            Op::CreateLeader(record) => {
                let new = lease::new_leader(&self.names, &record);
                leader(&self.leases.create(&post, &new).await?)
            }
            Op::UpdateLeader { uid, version, lease } => {
                let patch = lease::leader_patch(&uid, version, &lease);
                leader(&self.leases.patch(&self.names.leader, &params(), &Patch::Merge(patch)).await?)
            }
            Op::ReadLeader => leader(&self.leases.get(&self.names.leader).await?),
            Op::CreateRing(record) => {
                let resource = ApiResource::erase::<RingCrd>(&());
                let new = DynamicObject::new(&self.names.ring, &resource).data(ring::new_ring(&record));
                self.ring(self.rings.create(&post, &new).await?)
            }
            Op::UpdateRing { uid, version, ring } => self.update_ring(&post, &uid, version, &ring).await,
            Op::ReadRing => self.ring(self.rings.get(&self.names.ring).await?),
        }
    }

    async fn patch_member(&self, incarnation: &Incarnation, patch: Value) -> Result<Answer, Failure> {
        member(&self.leases.patch(incarnation.as_str(), &params(), &Patch::Merge(patch)).await?)
    }

    async fn delete_member(
        &self,
        incarnation: &Incarnation,
        uid: &str,
        version: u64,
    ) -> Result<Answer, Failure> {
        let only = Preconditions { uid: Some(uid.to_owned()), resource_version: Some(version.to_string()) };
        let params = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
        self.leases.delete(incarnation.as_str(), &params).await?;
        Ok(Answer::Deleted)
    }

    /// The list is consistent, because it asks for no version. So all pages show the state of one instant, which is not
    /// before the request.
    async fn list_members(&self) -> Result<Vec<Stored<MemberLease>>, Failure> {
        let selector = format!("{LABEL_RING}={},{LABEL_ROLE}={ROLE_MEMBER}", self.names.ring);
        let mut page = ListParams::default().labels(&selector).limit(PAGE);
        let mut members = Vec::new();
        for _ in 0..PAGES_MAX {
            let list = self.guarded.list(&page).await?;
            for guard in list.items {
                members.push(lease::member(&lease::decoded(guard))?);
            }
            page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                return Ok(members);
            }
        }
        Err(Failure::TooMany)
    }

    async fn list_neighbours(&self) -> Result<Answer, Failure> {
        let own = RingName { namespace: self.namespace.clone(), name: self.names.ring.clone() };
        let (mut members, sees_all) = self.all_members.list().await?;
        members.retain(|member| member.ring != own);
        Ok(Answer::Neighbours { members, sees_all })
    }

    /// Replaces the whole object by the object that was read, with the fields of the record changed. Its uid and
    /// version are preconditions, and fields that this release does not know stay. (A patch of a custom resource's
    /// status would ignore another uid.)
    async fn update_ring(
        &self,
        post: &PostParams,
        uid: &str,
        version: u64,
        record: &Ring,
    ) -> Result<Answer, Failure> {
        let version = version.to_string();
        let base = match self.remembered.find(uid, &version) {
            Some(base) => base,
            None => Arc::new(self.rings.get(&self.names.ring).await?),
        };
        if !is_of(&base, uid, &version) {
            return Ok(Answer::Conflict);
        }
        let mut new = DynamicObject::clone(&base);
        new.metadata.managed_fields = None;
        let status = ring::status(new.data.get("status"), record);
        if let Some(data) = new.data.as_object_mut() {
            data.insert("status".to_owned(), status);
        }
        self.ring(self.rings.replace_status(&self.names.ring, post, &new).await?)
    }

    fn ring(&self, object: DynamicObject) -> Result<Answer, Failure> {
        Ok(Answer::Ring(self.remembered.take_in(object)?))
    }

    /// Logs one line when requests begin to fail and one when they succeed again, because many fail in an outage.
    fn failed(&self, what: &'static str, failure: &Failure) {
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(request = what, error = %failure, "request of the ring failed");
        } else {
            tracing::warn!(request = what, error = %failure, "request of the ring failed; tried again");
        }
    }

    fn succeeded(&self, what: &'static str) {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(request = what, "requests of the ring succeed again");
        }
    }
}

fn member(object: &Lease) -> Result<Answer, Failure> {
    Ok(Answer::Member(lease::member(object)?))
}

fn leader(object: &Lease) -> Result<Answer, Failure> {
    Ok(Answer::Leader(lease::leader(object)?))
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// What a refusal of the API server says about the object. Other failures say nothing about it.
fn meaning(failure: &Failure) -> Answer {
    let Failure::Api(kube::Error::Api(status)) = failure else {
        return Answer::Failed;
    };
    let details = status.details.as_ref();
    // The API server also answers 404 if the kind or the namespace is missing. Neither proves that an object is gone.
    let of_our_kind = details.is_some_and(|details| matches!(details.kind.as_str(), "leases" | "rings"));
    let other_uid =
        || details.is_some_and(|details| details.causes.iter().any(|cause| cause.field == "metadata.uid"));
    match status.code {
        404 if of_our_kind => Answer::NotFound,
        409 if status.reason == "AlreadyExists" => Answer::Exists,
        409 => Answer::Conflict,
        // If a patch names another uid, the API server takes that for a change of the uid.
        422 if other_uid() => Answer::Conflict,
        _ => Answer::Failed,
    }
}

fn word(op: &Op) -> &'static str {
    match op {
        Op::CreateMember(_) => "create-member",
        Op::UpdateMember { .. } => "update-member",
        Op::ReadMember(_) => "read-member",
        Op::MarkToLeave(_) => "mark-to-leave",
        Op::DeleteMember { .. } => "delete-member",
        Op::ListMembers => "list-members",
        Op::ListNeighbours => "list-neighbours",
        Op::CreateLeader(_) => "create-leader",
        Op::UpdateLeader { .. } => "update-leader",
        Op::ReadLeader => "read-leader",
        Op::CreateRing(_) => "create-ring",
        Op::UpdateRing { .. } => "update-ring",
        Op::ReadRing => "read-ring",
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
