//! See `walwarden-verify --help` and docs/evidence.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    ExitCode::from(walwarden_verify::run(
        arguments,
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    ))
}
