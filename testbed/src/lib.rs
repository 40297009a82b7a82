//! The world that demo, tests and fault scenarios run in: a real API server and etcd, a simulated EC2,
//! and operator processes, each started by whoever needs it and gone with it.

mod cache_dir;
pub mod control_plane;
pub mod ec2;
pub mod guard;
pub mod moto;
mod ports;
pub mod replica;
