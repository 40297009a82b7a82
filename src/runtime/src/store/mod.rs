//! The store: objects by kind, as the API server last showed them, own writes included.
//!
//! A pass must see what the previous pass wrote, even if the watch has not shown it yet: if a grant is missed, the
//! window could be granted twice. So the answer to a write is recorded here at once, and of two versions of an object
//! the newer one is kept. (resourceVersions can be compared as numbers: documented since Kubernetes 1.35, and true
//! before.)
//!
//! | module | what it holds |
//! |---|---|
//! | [`object`] | the interface for kinds: what is kept, and how it is read |
//! | [`table`] | the objects of one kind, by name and by key |
//! | `learn` | how a table learns of changes, from its watch and from own writes |
//! | [`index`] | objects by a value of any type |
//! | `packed` | the compressed form in which objects rest |
//! | `opened` | objects that passes have opened recently |
//! | `gone` | uids of deleted objects, so that an older list does not bring them back |
//! | [`version`] | resourceVersions |

mod gone;
pub mod index;
mod learn;
pub mod object;
mod opened;
mod packed;
pub mod table;
pub mod version;

pub use index::Index;
pub use object::{Fields, Keeps, Labels, Object, Served};
pub use opened::Opened;
pub use table::{Name, Table};

#[cfg(test)]
mod tests;
