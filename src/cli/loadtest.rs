//! `logmill loadtest`: what an event costs on this machine, with every document accounted for.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::loadtest::{self, Options, Report, Scenario};

pub(super) fn command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .help(help)
            .value_parser(value_parser!(u64).range(1..))
    };
    Command::new("loadtest")
        .about("Measures a pipeline from a file to a sink on this machine")
        .arg(
            Arg::new("smoke")
                .long("smoke")
                .num_args(0)
                .required_unless_present("write")
                .help("A short measurement against the built-in sink (the only one there is)"),
        )
        .arg(
            Arg::new("scenario")
                .long("scenario")
                .default_value("json")
                .value_parser(PossibleValuesParser::new(Scenario::ALL.map(Scenario::name)))
                .help("The load; docs/loadtest.md describes them"),
        )
        .arg(number("events", "Lines in the file").default_value("2000000"))
        .arg(number(
            "seconds",
            "Ship the file again and again for so long (default: once)",
        ))
        .arg(number("workers", "Worker threads").default_value("2"))
        .arg(
            Arg::new("json")
                .long("json")
                .num_args(0)
                .help("Print the result as one JSON object"),
        )
        .arg(
            Arg::new("write")
                .long("write")
                .hide(true)
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Only write the lines, the config and the database to this folder"),
        )
}

pub(super) fn main(matches: &ArgMatches) -> Result<ExitCode, String> {
    crate::telemetry::log::start("warn", "plain");
    let name = matches
        .get_one::<String>("scenario")
        .map_or("json", String::as_str);
    let options = Options {
        scenario: Scenario::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
            .unwrap_or(Scenario::Json),
        events: matches.get_one("events").copied().unwrap_or(2_000_000),
        seconds: matches.get_one("seconds").copied(),
        workers: matches.get_one("workers").copied().unwrap_or(2),
    };
    if let Some(folder) = matches.get_one::<PathBuf>("write") {
        loadtest::write(options.scenario, options.events, folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = loadtest::run(&options)?;
    if matches.get_flag("json") {
        println!(
            "{}",
            serde_json::to_string(&report).map_err(|error| error.to_string())?
        );
    } else {
        print!("{}", text(&report));
    }
    if report.all_arrived {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!(
        "{} events were shipped, but the sink counts {} documents, not all in the right index",
        report.events, report.documents
    ))
}

fn text(report: &Report) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let hits = match report.geoip_hits_expected {
        Some(expected) if expected == report.geoip_hits => format!("{expected}, all that must be"),
        Some(expected) => format!(
            "{}, but {expected} addresses are in the database",
            report.geoip_hits
        ),
        None => report.geoip_hits.to_string(),
    };
    let mut indices = String::new();
    for (name, count) in &report.indices {
        // Writing to a string cannot fail.
        let _ = writeln!(indices, "    {count:>10}  {name}");
    }
    let arrived = if report.all_arrived {
        "every line, each in its index"
    } else {
        "NOT what was written"
    };
    let debug = if report.build == "debug" {
        "\n  this is a debug build: the figures mean nothing"
    } else {
        ""
    };
    format!(
        "scenario {}, {} workers: {} events of {:.0} bytes, {} run(s) in {:.2} s{debug}\n\
         \n  {:.0} events/s   {:.1} MB/s in   {:.1} MB/s out ({:.0} bytes per event)\
         \n  CPU per event: {:.2} µs = shipper {:.2} + sink {:.2} (cheapest run: {:.2})\
         \n  peak memory: shipper {:.0} MiB, sink {:.0} MiB\
         \n  GeoIP hits: {hits}\
         \n  host: {} cores, load average {:.2} before, {:.2} after\
         \n  documents: {}, {arrived}\n{indices}",
        report.scenario,
        report.workers,
        report.events,
        report.line_bytes,
        report.runs,
        report.seconds,
        report.events_per_second,
        report.mb_per_second_in,
        report.mb_per_second_out,
        report.body_bytes,
        report.total_cpu_us_per_event,
        report.shipper_cpu_us_per_event,
        report.sink_cpu_us_per_event,
        report.best_total_cpu_us_per_event,
        mib(report.shipper_peak_rss_bytes),
        mib(report.sink_peak_rss_bytes),
        report.cores,
        report.load_average[0],
        report.load_average[1],
        report.documents,
    )
}
