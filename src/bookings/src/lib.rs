//! The family of bookings: people ask for a group of cloud machines for a time; the group runs and is locked for them
//! when that time begins, and stops when nobody needs it.
//!
//! | module | what it holds | what it touches |
//! |---|---|---|
//! | [`api`] | the four kinds, admission rules, CRDs | - |
//! | [`decide`] | every decision, as pure functions of objects, machines and time | - |
//! | `run` | watches, passes, and what goes on beside them (feature `run`) | API server, cloud |

pub mod api;
pub mod decide;
#[cfg(feature = "run")]
pub mod run;
