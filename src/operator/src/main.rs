//! The binary: parse, then run.

use std::process::ExitCode;

use booking_operator::{app, args, crds};
use tikv_jemallocator::Jemalloc;

/// What a list of a hundred thousand objects leaves behind goes back to the system within seconds; with the allocator of the
/// system it stays.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(args::Command::Crds(family)) => crds::print_crds(family.as_deref()),
        Ok(args::Command::Run(config)) => app::run(*config),
        Err(error) => error.report(),
    }
}
