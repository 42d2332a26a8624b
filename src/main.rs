//! The `logmill` program: see [`logmill::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    logmill::cli::main()
}
