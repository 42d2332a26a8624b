//! Runs one way through the pipeline a number of times, for `scripts/instructions`, which counts instructions.
//!
//! `instructions --list` prints the names, `instructions NAME COUNT` runs one.

mod cases;
mod inside;

use std::process::ExitCode;

use cases::{Lines, Places, ways};
use logmill::elasticsearch::json_check::Checker;

/// What the sink does to every document.
const SINK_CHECK: &str = "sink-check";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let all = ways();
    match words.as_slice() {
        ["--list"] => {
            for case in &all {
                println!("{}", case.name);
            }
            println!("{SINK_CHECK}");
        }
        [name, count] if count.parse::<u64>().is_ok() => {
            let count = count.parse().unwrap_or(0);
            let places = Places::new();
            match all.iter().find(|case| case.name == *name) {
                Some(case) => case.run(count, &places),
                None if *name == SINK_CHECK => check(count, &places),
                None => {
                    eprintln!("there is no `{name}`; --list prints the names");
                    return ExitCode::FAILURE;
                }
            }
        }
        // `cargo bench` and `cargo test --benches` start it so: a few events of each, so that none rots.
        _ => {
            let places = Places::new();
            for case in &all {
                case.run(1_000, &places);
            }
        }
    }
    ExitCode::SUCCESS
}

fn check(count: u64, places: &Places) {
    let mut checker = Checker::new();
    let lines = places.lines(Lines::Json);
    for line in lines.iter().cycle().take(count as usize) {
        assert!(checker.document(std::hint::black_box(line), 0).is_ok());
    }
}
