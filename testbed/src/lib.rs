//! The world of demo, tests and fault scenarios: a real API server and etcd, a simulated AWS (EC2, RDS and STS), a mail
//! server, a receiver of webhooks, and operator processes. Each is started by the code that needs it, and ends with
//! that code.

mod cache_dir;
pub mod control_plane;
pub mod ec2;
pub mod guard;
mod https;
pub mod moto;
pub mod patience;
pub mod picture;
pub mod ports;
pub mod prometheus;
pub mod python;
pub mod rds;
pub mod replica;
pub mod smtp;
mod sts;
pub mod tls;
pub mod webhook;
