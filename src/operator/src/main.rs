//! The binary: parse, then run.

use std::process::ExitCode;

use booking_operator::{app, args, crds};
use tikv_jemallocator::Jemalloc;

/// Jemalloc gives the memory of a list of a hundred thousand objects back to the system within seconds. The system's own
/// allocator keeps it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(args::Command::Crds(family)) => crds::print_crds(family.as_deref()),
        Ok(args::Command::Run(config)) => app::run(*config),
        Err(error) => error.report(),
    }
}
