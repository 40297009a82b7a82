//! The binary: parse, then run.

use std::process::ExitCode;

use booking_operator::{app, args, crds};

fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(args::Command::Crds) => crds::print_crds(),
        Ok(args::Command::Run(config)) => app::run(*config),
        Err(error) => error.report(),
    }
}
