//! The binary: it parses the command line, then runs the command.

use std::process::ExitCode;

use booking_operator::{app, args, crds};
use tikv_jemallocator::Jemalloc;

/// Jemalloc returns the memory of a list of a hundred thousand objects to the system within seconds. The system's own
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
