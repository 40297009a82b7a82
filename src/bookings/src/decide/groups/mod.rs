//! The decision about a group of machines. The modules are listed in the order in which [`decide`] uses them.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`input`] | What does a decision depend on? |
//! | [`booking`] | What does a stored Booking mean, or what is wrong with it? |
//! | [`group`] | What does a stored Resource mean, or what is wrong with it? |
//! | [`claim`] | Which of several Resources on one group acts? |
//! | [`grant`] | Which window is each Booking granted? |
//! | [`hold`] | Which user has the hold now? |
//! | [`locks`] | Which locks are ours? |
//! | [`prelock`] | Is the group locked before its window? |
//! | [`machine`] | What is a machine, as it was observed? |
//! | [`machines`] | What does each machine need? |
//! | [`attempts`] | What did this process send to each machine, and when may it send again? |
//! | [`freshness`] | Is the last observation young enough? |
//! | [`progress`] | How far is the group, in words for its conditions? |
//! | [`priority`] | Where are its calls in the queue, compared to those of other groups? |
//! | `conditions` | Which conditions does the Resource have in addition to Ready? |
//! | `status` | Which statuses are written? |
//! | `events` | Which Events are published? |
//! | [`notices`] | Which recipient gets which notice, once? |
//! | `publish` | How do statuses, Events and calls become part of the decision? |
//! | `serve` | What is done for a Resource that acts on its group? |
//! | `blocked` | What do statuses say if no Resource acts? |
//! | `release` | What is done for a Resource that is being deleted, and when is its finalizer removed? |
//! | `builder` | What do all these answers add up to? |
//! | [`output`] | What is the answer? |

pub mod attempts;
mod blocked;
pub mod booking;
mod builder;
pub mod claim;
mod conditions;
pub(crate) mod events;
pub mod freshness;
pub mod grant;
pub mod group;
pub mod hold;
pub mod input;
pub mod locks;
pub mod machine;
pub mod machines;
pub mod notices;
pub mod output;
pub mod prelock;
pub mod priority;
pub mod progress;
mod publish;
mod release;
mod serve;
mod status;

use self::{builder::DecisionBuilder, input::GroupInput, output::Decision};
use super::settings::Settings;

/// Decides what to do. Every input has an answer.
pub fn decide(input: &GroupInput<'_>, settings: &Settings) -> Decision {
    let mut decision = DecisionBuilder::new(*input, settings);
    match (input.resource, input.standing) {
        (Some(resource), Some(Ok(group))) if resource.metadata.deletion_timestamp.is_some() => {
            decision.release(resource, group);
        }
        (Some(resource), Some(Ok(group))) => decision.serve(resource, group),
        (Some(resource), Some(Err(blocked))) => decision.block(resource, blocked),
        _ => decision.block_without_resource(),
    }
    decision.finish()
}
