//! `logmill loadtest`: what an event costs on this machine, with every document accounted for.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::sources;
use crate::loadtest::progress::Progress;
use crate::loadtest::report::{self, Report};
use crate::loadtest::scale::{self, Probe};
use crate::loadtest::signals::Signals;
use crate::loadtest::{self, Kind, Options, Scenario, Target, UserConfig};

/// Lines of a measurement, unless they are given.
const EVENTS: u64 = 2_000_000;
/// The name that stands for every scenario.
const ALL: &str = "all";

fn number(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .help(help)
        .value_parser(value_parser!(u64).range(1..))
}

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("PATH")
        .help(help)
        .value_parser(value_parser!(PathBuf))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

pub(super) fn command() -> Command {
    let names: Vec<&str> = Scenario::ALL
        .into_iter()
        .map(Scenario::name)
        .chain([ALL])
        .collect();
    Command::new("loadtest")
        .about("Measures a pipeline from a file to a sink on this machine")
        .after_help("docs/loadtest.md describes the scenarios and what the figures mean.")
        .arg(switch("smoke", "A short measurement: one run"))
        .arg(
            Arg::new("scenario")
                .long("scenario")
                .default_value("json")
                .value_parser(PossibleValuesParser::new(names))
                .help("The load, or all of them"),
        )
        .arg(path("config", "A config of your own instead of a scenario: a file, a folder or a glob").requires("sample"))
        .arg(path("sample", "Lines for it, repeated as often as needed").requires("config"))
        .arg(
            Arg::new("input")
                .long("input")
                .requires("config")
                .help("Which input of the config the sample stands for, by its id or plugin"),
        )
        .arg(number("events", "Lines in the file [default: 2000000]"))
        .arg(number("seconds", "Ship the file again and again for so long (default: once); with --rate, how long lines come [default: 10]"))
        .arg(number("rate", "Append so many lines a second to a file that grows, and measure the latency of each").conflicts_with("events"))
        .arg(number("workers", "Worker threads").default_value("2"))
        .arg(number("runs", "How often to measure; the median counts [default: 3]").conflicts_with("smoke"))
        .arg(number("hostile", "Percent of the lines that are built to do harm"))
        .arg(switch("ids", "The sink remembers all ids and tells which came twice"))
        .arg(
            Arg::new("target")
                .long("target")
                .value_name("URL")
                .help("A real Elasticsearch instead of the built-in sink; credentials by ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USER and ELASTICSEARCH_PASSWORD; CA by ELASTICSEARCH_CA"),
        )
        .arg(switch("json", "Print the result as one JSON object"))
        .arg(path("compare", "Show ratios to an earlier result of --json"))
        .arg(path("write", "Only write the lines, the config and the database of the scenario to this folder").hide(true))
        .args_conflicts_with_subcommands(true)
        .subcommand(
            Command::new("scale")
                .about("How cost grows with fields, size, conditions, grok alternatives, outputs, lines of config")
                .arg(
                    Arg::new("probe")
                        .long("probe")
                        .action(ArgAction::Append)
                        .value_parser(PossibleValuesParser::new(Probe::ALL.map(Probe::name)))
                        .help("Only this; may be repeated"),
                )
                .arg(number("events", "Events of a step, fewer where they are large").default_value("500000"))
                .arg(number("workers", "Worker threads").default_value("2"))
                .arg(number("runs", "How often to measure each step").default_value("1"))
                .arg(path("svg", "Draw the curves into this file"))
                .arg(switch("json", "Print the result as one JSON object")),
        )
}

pub(super) fn main(matches: &ArgMatches) -> Result<ExitCode, String> {
    crate::telemetry::log::start("warn", "plain");
    let signals = Signals::watch()?;
    let mut progress = Progress::new(false);
    if let Some(("scale", matches)) = matches.subcommand() {
        return scale(matches, &signals, &mut progress);
    }
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    if let Some(folder) = matches.get_one::<PathBuf>("write") {
        let name = matches.get_one::<String>("scenario");
        let scenario = name.and_then(|name| Scenario::named(name));
        let scenario = scenario.ok_or("`--write` takes one `--scenario`")?;
        loadtest::hand_out(scenario, number("events").unwrap_or(EVENTS), folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    // What was measured for minutes must not be lost to a file that is not there.
    let earlier = matches
        .get_one::<PathBuf>("compare")
        .map(|path| earlier(path))
        .transpose()?;
    let target = matches.get_one::<String>("target");
    let mut options = Options {
        kind: Kind::Built(Scenario::Json),
        events: number("events").unwrap_or(EVENTS),
        seconds: number("seconds"),
        rate: number("rate"),
        workers: number("workers").unwrap_or(2),
        runs: if matches.get_flag("smoke") {
            1
        } else {
            number("runs").unwrap_or(3)
        },
        hostile: number("hostile").unwrap_or(0),
        ids: matches.get_flag("ids"),
        target: target.map(|url| Target::new(url)).transpose()?,
    };
    let mut reports = Vec::new();
    for kind in kinds(matches)? {
        options.kind = kind;
        let report = loadtest::run(&options, &signals, &mut progress)?;
        if !matches.get_flag("json") {
            print!("{}", report::text(&report));
            if let Some(earlier) = &earlier {
                print!("{}", ratios(&report, earlier));
            }
        }
        reports.push(report);
    }
    if matches.get_flag("json") {
        println!("{}", as_json(&reports, earlier.as_ref()));
    } else if reports.len() > 1 {
        print!("{}", report::table(&reports));
    } else if is_left(&options) {
        println!("  the indices that this config names are still in the target: delete them there");
    }
    verdict(&reports)
}

fn is_left(options: &Options) -> bool {
    options.target.is_some() && matches!(options.kind, Kind::User(_))
}

fn kinds(matches: &ArgMatches) -> Result<Vec<Kind>, String> {
    let config = matches.get_one::<PathBuf>("config");
    if let (Some(config), Some(sample)) = (config, matches.get_one::<PathBuf>("sample")) {
        let found = sources::from_path(&config.to_string_lossy())?;
        let name = config
            .file_name()
            .map_or("config".into(), |name| name.to_string_lossy());
        let input = matches.get_one::<String>("input").map(String::as_str);
        let user = UserConfig::new(&name, &found.map, &found.folders, sample, input)?;
        return Ok(vec![Kind::User(user)]);
    }
    let name = matches
        .get_one::<String>("scenario")
        .map_or("json", String::as_str);
    let one = Scenario::named(name);
    let chosen = one.map_or(Scenario::ALL.to_vec(), |scenario| vec![scenario]);
    Ok(chosen.into_iter().map(Kind::Built).collect())
}

fn earlier(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| format!("{} is no JSON: {error}", path.display()))?;
    if value.get("results").is_none() {
        return Err(format!(
            "{} is no result of `logmill loadtest --json`",
            path.display()
        ));
    }
    Ok(value)
}

fn ratios(report: &Report, earlier: &Value) -> String {
    let Some(ratios) = report::compare(report, earlier) else {
        return format!("  the earlier result has no scenario {}\n", report.scenario);
    };
    let mut out = "  times the earlier result:\n".to_owned();
    for (name, ratio) in ratios {
        out.push_str(&format!("    {ratio:>8}  {name}\n"));
    }
    out
}

fn as_json(reports: &[Report], earlier: Option<&Value>) -> Value {
    let compared: Option<Value> = earlier.map(|earlier| {
        let each = reports.iter().filter_map(|report| {
            Some((
                report.scenario.clone(),
                Value::Object(report::compare(report, earlier)?),
            ))
        });
        Value::Object(each.collect())
    });
    let mut whole = json!({ "results": reports });
    if let (Some(compared), Some(object)) = (compared, whole.as_object_mut()) {
        object.insert("compared".to_owned(), compared);
    }
    whole
}

fn verdict(reports: &[Report]) -> Result<ExitCode, String> {
    for report in reports {
        for run in &report.runs {
            if run.all_arrived == Some(false) {
                return Err(format!(
                    "{}: {} events were shipped, but the sink counts {} documents, not all in the right index",
                    report.scenario, run.events, run.documents
                ));
            }
            if let Some(wrong) = run.wrong.first() {
                return Err(format!("{}: the sink found {wrong}", report.scenario));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn scale(
    matches: &ArgMatches,
    signals: &Signals,
    progress: &mut Progress,
) -> Result<ExitCode, String> {
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let wanted: Vec<&String> = matches
        .get_many::<String>("probe")
        .into_iter()
        .flatten()
        .collect();
    let is_wanted =
        |probe: &Probe| wanted.is_empty() || wanted.iter().any(|name| *name == probe.name());
    let probes: Vec<Probe> = Probe::ALL.into_iter().filter(is_wanted).collect();
    let points = scale::measure(
        &probes,
        number("events").unwrap_or(500_000),
        number("workers").unwrap_or(2),
        number("runs").unwrap_or(1),
        signals,
        progress,
    )?;
    if let Some(path) = matches.get_one::<PathBuf>("svg") {
        std::fs::write(path, scale::svg(&points))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if matches.get_flag("json") {
        println!("{}", json!({ "points": points }));
    } else {
        print!("{}", scale::table(&points));
    }
    Ok(ExitCode::SUCCESS)
}
