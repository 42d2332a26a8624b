//! The `logmill` program: see [`logmill::cli`].

use std::process::ExitCode;

use logmill::telemetry::alloc::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    logmill::cli::main()
}
