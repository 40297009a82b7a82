//! The dispatcher stands between the passes and a provider. It merges the requests of many passes into few calls,
//! within the account's budget.
//!
//! | module | what it does |
//! |---|---|
//! | `request` | what callers ask for, and what they get |
//! | `describes` | describes that are asked for at the same time share a call |
//! | `mutations` | requests of one action go out together, in the order of their priorities |
//! | `joint_permit` | several permits as one |
//! | `circuit` | a cloud that does not work is called seldom |

mod circuit;
mod describes;
mod joint_permit;
mod mutations;
mod request;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_budget::{Action, Expected};
use tokio::time::Instant;

use self::{circuit::Circuit, describes::Describes, mutations::Mutations};
use crate::{
    error::CloudError,
    provider::{CloudKey, Instance, Mutation, Provider, Results, Tag},
};

pub use self::{
    describes::Found,
    request::{BudgetLevel, Haste, Request},
};

/// Merges the requests of many passes to one provider into few calls, within the account's budget.
pub struct Dispatcher {
    provider: Arc<dyn Provider>,
    circuit: Arc<Mutex<Circuit>>,
    describes: Describes,
    start: Arc<Mutations>,
    stop: Arc<Mutations>,
    tag: Arc<Mutations>,
    untag: Arc<Mutations>,
}

impl Dispatcher {
    /// A dispatcher in front of a provider. `group_tag` is the key of the tag that marks groups.
    pub fn new(provider: Arc<dyn Provider>, group_tag: &str) -> Self {
        let circuit = Arc::new(Mutex::new(Circuit::default()));
        let of = |action| Arc::new(Mutations::new(action, provider.clone(), circuit.clone()));
        Self {
            describes: Describes::new(provider.clone(), group_tag, circuit.clone()),
            start: of(Action::Start),
            stop: of(Action::Stop),
            tag: of(Action::Tag),
            untag: of(Action::Untag),
            circuit,
            provider,
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which cloud this is.
    pub fn key(&self) -> &CloudKey {
        self.provider.key()
    }

    /// The machines of a group. The cloud is asked after this call, so the answer is not older than the call.
    ///
    /// # Errors
    /// Those of [`Provider::describe`]. If the cloud does not work, its last error, at once.
    pub async fn describe(&self, group: &str, haste: Haste) -> Result<Vec<Instance>, CloudError> {
        self.describes.describe(group, haste).await
    }

    /// The machines of many groups, for a routine poll. A poll gives way to describes that somebody waits for.
    ///
    /// # Errors
    /// Those of [`Self::describe`].
    pub async fn poll(&self, groups: &[String]) -> Result<Found, CloudError> {
        self.describes.poll(groups).await
    }

    /// The same as [`Provider::discover`].
    ///
    /// # Errors
    /// Those of [`Self::describe`].
    pub async fn discover(&self, mark: &Tag) -> Result<Vec<Instance>, CloudError> {
        self.circuit().enter(Instant::now())?;
        let answer = self.provider.discover(mark).await;
        self.describes.answered(answer.as_ref().err());
        answer
    }

    /// Carries out a mutation, with one result for each machine. If there are no tokens for it, nothing is sent: the
    /// result is an error of class [`Queued`](crate::ErrorClass::Queued) that says when to come again.
    pub async fn mutate(&self, request: Request) -> Results {
        if request.ids.is_empty() {
            return Results::new();
        }
        let mutations = match &request.mutation {
            Mutation::Start => &self.start,
            Mutation::Stop => &self.stop,
            Mutation::Tag(_) => &self.tag,
            Mutation::Untag(_) => &self.untag,
        };
        mutations.request(request).await
    }

    /// Announces that `asker` will start this number of machines within a while. Replicas share the budget by these
    /// announcements.
    pub fn expect(&self, asker: &Arc<str>, machines: usize, within: Duration) {
        let until = (Instant::now() + within).into_std();
        self.start.expect(asker, Expected { machines, kind: Arc::from(""), until });
    }

    /// Announces that `asker` will set these tags within a while.
    pub fn expect_lock(&self, asker: &Arc<str>, tags: &[Tag], within: Duration) {
        let kind: Vec<&str> = tags.iter().map(|(_, value)| value.as_str()).collect();
        let until = (Instant::now() + within).into_std();
        self.tag.expect(asker, Expected { machines: 1, kind: kind.join("\n").into(), until });
    }

    /// Takes back what [`Self::expect_lock`] announced.
    pub fn unexpect_lock(&self, asker: &str) {
        self.tag.unexpect(asker);
    }

    /// Whether so many different tags are announced that their calls will take a while.
    pub fn expects_many_locks(&self) -> bool {
        self.tag.expects_many()
    }

    /// `asker` has nothing to start or stop any more. So no request waits behind its requests.
    pub fn withdraw(&self, asker: &str) {
        self.start.withdraw(asker);
        self.stop.withdraw(asker);
    }

    /// Changes this replica's share of an action's budget. `others_fill` tells how full the shares of the other
    /// replicas are, from 0 to 1.
    pub fn set_share(&self, action: Action, share: f64, others_fill: f64) {
        match action {
            Action::Describe => self.describes.set_share(share, others_fill),
            Action::Start => self.start.set_share(share, others_fill),
            Action::Stop => self.stop.set_share(share, others_fill),
            Action::Tag => self.tag.set_share(share, others_fill),
            Action::Untag => self.untag.set_share(share, others_fill),
        }
    }

    /// Whether the cloud has failed so often that it is called seldom.
    pub fn is_broken(&self) -> bool {
        self.circuit().is_open(Instant::now())
    }

    /// The state of this replica's share of an action's budget.
    pub fn standing(&self, action: Action) -> BudgetLevel {
        match action {
            Action::Describe => self.describes.standing(),
            Action::Start => self.start.standing(),
            Action::Stop => self.stop.standing(),
            Action::Tag => self.tag.standing(),
            Action::Untag => self.untag.standing(),
        }
    }
}

#[cfg(test)]
mod tests;
