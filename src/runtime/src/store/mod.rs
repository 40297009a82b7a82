//! Objects by kind, as the API server last showed them, own writes included.
//!
//! A pass must see what the pass before it wrote, though the watch may not have brought it yet: a grant that is missed
//! could be given twice. So the answer of a write is recorded here at once, and of two versions of an object the newer
//! one stays (resourceVersions compare as numbers: documented since Kubernetes 1.35, true before).
//!
//! | module | what it holds |
//! |---|---|
//! | [`object`] | what a family says of a kind: what is kept, how it is read |
//! | [`table`] | the objects of one kind, by name and by key |
//! | `learn` | what a table learns from its watch, and from own writes |
//! | [`index`] | objects by any other value |
//! | `packed` | the compressed form in which objects rest |
//! | `opened` | objects that passes have opened lately |
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
