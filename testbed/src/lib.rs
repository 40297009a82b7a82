//! The test bed: real parts to test the operator against, each started by the tests and gone with
//! them.

pub mod control_plane;
pub mod guard;
