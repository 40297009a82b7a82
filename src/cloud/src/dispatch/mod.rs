//! Between passes and a provider: what many want at the same time becomes few calls, within the account's budget.
//!
//! | module | what it does |
//! |---|---|
//! | `describes` | who asks at the same time shares a describe |
//! | `mutations` | requests of one action go out together, by their turns |
//! | `together` | several permits as one |
//! | `circuit` | a cloud that does not work is asked seldom |

mod circuit;
mod describes;
mod mutations;
mod together;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::{circuit::Circuit, describes::Describes, mutations::Mutations};
use crate::{
    budget::{Action, Expected, Turn},
    error::CloudError,
    provider::{CloudKey, Instance, Provider, Results, Tag},
};
use booking_decision::permit::Permit;

pub use self::describes::Found;

/// Whether somebody waits for what a look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Something is due.
    Due,
    /// It may as well wait for others to join.
    Patient,
}

/// What is done to machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// They are started.
    Start,
    /// They are stopped.
    Stop,
    /// They get tags.
    Tag(Vec<Tag>),
    /// Tags are removed where they hold exactly these values.
    Untag(Vec<Tag>),
}

/// A mutation that somebody wants.
#[derive(Clone)]
pub struct Request {
    /// What.
    pub mutation: Mutation,
    /// To which machines.
    pub ids: Vec<String>,
    /// Where it stands among others.
    pub turn: Turn,
    /// Leave, asked when the call goes out.
    pub permit: Arc<dyn Permit>,
}

/// See the module.
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
    /// In front of a provider; `group_tag` is the key of the tag that marks groups.
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

    /// The machines of a group, as they are from now on.
    ///
    /// # Errors
    /// As [`Provider::describe`]; at once, with what the cloud last said, where it does not work.
    pub async fn describe(&self, group: &str, haste: Haste) -> Result<Vec<Instance>, CloudError> {
        self.describes.describe(group, haste).await
    }

    /// The machines of many groups, for a routine look: gives way to those who wait for an answer.
    ///
    /// # Errors
    /// As [`Self::describe`].
    pub async fn sweep(&self, groups: &[String]) -> Result<Found, CloudError> {
        self.describes.sweep(groups).await
    }

    /// As [`Provider::discover`].
    ///
    /// # Errors
    /// As [`Self::describe`].
    pub async fn discover(&self, mark: &Tag) -> Result<Vec<Instance>, CloudError> {
        let now = tokio::time::Instant::now();
        self.circuit().enter(now)?;
        let answer = self.provider.discover(mark).await;
        self.describes.answered(answer.as_ref().err());
        answer
    }

    /// Carries out a mutation; one result for each machine. What is not sent for lack of tokens is an error of class
    /// [`Queued`](crate::ErrorClass::Queued) that says when to come again.
    pub async fn mutate(&self, request: Request) -> Results {
        if request.ids.is_empty() {
            return Results::new();
        }
        let lane = match &request.mutation {
            Mutation::Start => &self.start,
            Mutation::Stop => &self.stop,
            Mutation::Tag(_) => &self.tag,
            Mutation::Untag(_) => &self.untag,
        };
        lane.request(request).await
    }

    /// Somebody will start so many machines within a while: replicas share the budget by what each of them will need.
    pub fn expect(&self, asker: &Arc<str>, machines: usize, within: Duration) {
        let until = tokio::time::Instant::now() + within;
        self.start.expect(asker, Expected { machines, kind: Arc::from(""), until });
    }

    /// Somebody will want these tags within a while.
    pub fn expect_lock(&self, asker: &Arc<str>, tags: &[Tag], within: Duration) {
        let kind: Vec<&str> = tags.iter().map(|(_, value)| value.as_str()).collect();
        let until = tokio::time::Instant::now() + within;
        self.tag.expect(asker, Expected { machines: 1, kind: kind.join("\n").into(), until });
    }

    /// Somebody will not, any more.
    pub fn unexpect_lock(&self, asker: &str) {
        self.tag.unexpect(asker);
    }

    /// Whether so many different tags are expected that their calls will take a while.
    pub fn expects_many_locks(&self) -> bool {
        self.tag.expects_many()
    }

    /// Somebody has nothing to start and to stop any more: whoever waits behind need not.
    pub fn withdraw(&self, asker: &str) {
        self.start.withdraw(asker);
        self.stop.withdraw(asker);
    }

    /// Another part of an action's budget is ours; `others_fill` is how full the others' parts are, of 1.
    pub fn set_share(&self, action: Action, share: f64, others_fill: f64) {
        match action {
            Action::Describe => self.describes.set_share(share, others_fill),
            Action::Start => self.start.set_share(share, others_fill),
            Action::Stop => self.stop.set_share(share, others_fill),
            Action::Tag => self.tag.set_share(share, others_fill),
            Action::Untag => self.untag.set_share(share, others_fill),
        }
    }

    /// Whether it has failed so often that it is asked seldom.
    pub fn is_broken(&self) -> bool {
        self.circuit().is_open(tokio::time::Instant::now())
    }

    /// How our part of an action's budget stands.
    pub fn standing(&self, action: Action) -> Standing {
        match action {
            Action::Describe => self.describes.standing(),
            Action::Start => self.start.standing(),
            Action::Stop => self.stop.standing(),
            Action::Tag => self.tag.standing(),
            Action::Untag => self.untag.standing(),
        }
    }
}

/// How our part of a budget stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// What is waited for, or will be asked for in a moment: machines, or calls where machines cost nothing.
    pub demand: usize,
    /// How full it is, of 1.
    pub fill: f64,
}

#[cfg(test)]
mod tests;
