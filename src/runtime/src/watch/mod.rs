//! Keeps tables current forever: with a list, then a watch.
//!
//! | module | what it does | touches |
//! |---|---|---|
//! | [`decode`] | decodes the fields of an object that some code reads | - |
//! | [`items`] | splits a list into its objects while its body arrives | - |
//! | [`list`] | lists all objects of a kind, page by page | API server |
//! | [`follow`] | lists a kind, then watches it | API server |
//! | [`catch_up`] | brings a table up to date before a slot is opened | API server |
//! | [`kinds`] | the kinds that a family registers, without their types | API server |
//! | [`runtime_kinds`] | kinds that are known only at run time, each with the keys that need it | API server |
//! | [`health`] | the health of a watch, for the readiness probe | - |
//! | [`key_gate`] | holds keys back until all kinds of a family are synced | - |

pub mod catch_up;
pub mod decode;
pub mod follow;
pub mod health;
pub mod items;
pub mod key_gate;
pub mod kinds;
pub mod list;
pub mod runtime_kinds;

pub use health::WatchHealth;
pub use key_gate::KeyGate;
pub use kinds::{WatchedKind, Watches};
pub use list::ReadError;
pub use runtime_kinds::RuntimeKinds;

use kube::Api;

use self::decode::Trimmed;
use crate::store::{Object, Served};

/// The API of a kind, in one namespace or in all.
pub(crate) fn api<K: Object>(
    client: kube::Client,
    served: &Served,
    namespace: Option<&str>,
) -> Api<Trimmed<K>> {
    match served.within(namespace) {
        Some(namespace) => Api::namespaced_with(client, namespace, &served.resource),
        None => Api::all_with(client, &served.resource),
    }
}
