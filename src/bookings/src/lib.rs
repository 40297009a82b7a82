//! The family of bookings. Users book a group of cloud machines for a time. The operator starts the group and locks
//! it for the user when that time begins. It stops the group when nobody needs it.
//!
//! | module | what it holds | what it touches |
//! |---|---|---|
//! | [`api`] | the four kinds, admission rules, CRDs | - |
//! | [`decide`] | every decision, as pure functions of objects, machines and time | - |
//! | `run` | watches, passes and background tasks (feature `run`) | API server, cloud |

pub mod api;
pub mod decide;
#[cfg(feature = "run")]
pub mod run;
