//! Keeps tables current: a list, then a watch, for ever.
//!
//! | module | what it does | touches |
//! |---|---|---|
//! | [`decode`] | reads objects as far as anything looks at them | - |
//! | [`items`] | cuts a list into its objects as its body comes in | - |
//! | [`list`] | lists all objects of a kind, page by page | API server |
//! | [`follow`] | lists a kind, then follows what happens to it | API server |
//! | [`catch_up`] | brings a table up to the present, before a slot is opened | API server |
//! | [`kinds`] | the kinds that a family registers, as the process runs them | API server |
//! | [`runtime_kinds`] | kinds that are known only at run time, counted by who needs them | API server |
//! | [`health`] | how a watch stands, for the readiness probe | - |
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
