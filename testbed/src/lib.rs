//! The world that demo, tests and fault scenarios run in.

pub mod ec2;
