//! The command line: a file per command. Without a command the pipeline runs, with Logstash's flags.

mod demo;
mod loadtest;
mod plugin;
mod run;
pub mod settings;
mod sink;
pub mod sources;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use settings::{SETTINGS, Values, Works};

/// Runs the program; returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let result = match matches.subcommand() {
        Some(("demo", matches)) => demo::main(matches),
        Some(("loadtest", matches)) => loadtest::main(matches),
        Some(("plugin", matches)) => plugin::main(matches),
        Some(("sink", matches)) => sink::main(matches),
        _ => values(&matches).and_then(|values| run::main(&values)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            crate::telemetry::log::flush(true);
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{error}");
            ExitCode::SUCCESS
        }
        ErrorKind::UnknownArgument => {
            let option = error
                .get(clap::error::ContextKind::InvalidArg)
                .map(ToString::to_string)
                .unwrap_or_default();
            eprintln!("ERROR: Unrecognised option '{option}'\n\nSee: 'logmill --help'");
            ExitCode::FAILURE
        }
        _ => {
            eprint!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let mut command = Command::new("logmill")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs Logstash pipelines, unchanged and fast.")
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help("Print the version"),
        )
        .args_conflicts_with_subcommands(true)
        .subcommand(demo::command())
        .subcommand(loadtest::command())
        .subcommand(plugin::command())
        .subcommand(sink::command());
    for spec in SETTINGS {
        let mut arg = Arg::new(spec.name)
            .long(spec.name)
            .help(spec.help)
            .hide(spec.works != Works::Yes)
            .overrides_with(spec.name)
            .overrides_with(spec.name);
        if let Some(short) = spec.short {
            arg = arg.short(short);
        }
        arg = if spec.switch {
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .default_missing_value("true")
                .require_equals(true)
        } else {
            arg.action(ArgAction::Set)
                .value_name(value_name(spec.name))
                .allow_hyphen_values(true)
        };
        command = command.arg(arg);
    }
    for (name, level) in OLD_LEVELS {
        let help = format!("Old form of `--log.level {level}`");
        command = command.arg(
            Arg::new(name)
                .long(name)
                .num_args(0)
                .action(ArgAction::SetTrue)
                .hide(true)
                .help(help),
        );
    }
    command.arg(
        Arg::new("setting")
            .short('S')
            .long("setting")
            .hide(true)
            .action(ArgAction::Append)
            .value_name("NAME=VALUE"),
    )
}

/// Flags from before `--log.level`.
const OLD_LEVELS: [(&str, &str); 3] = [("verbose", "info"), ("debug", "debug"), ("quiet", "error")];

fn value_name(name: &'static str) -> &'static str {
    match name {
        "path.config" | "path.data" | "path.settings" => "PATH",
        "config.string" => "TEXT",
        _ => "VALUE",
    }
}

fn values(matches: &ArgMatches) -> Result<Values, String> {
    let mut values = Values::default();
    for spec in SETTINGS {
        if let Some(value) = matches.get_one::<String>(spec.name) {
            values.give(spec.name, value)?;
        }
    }
    for (name, level) in OLD_LEVELS {
        if matches.get_flag(name) {
            values.give("log.level", level)?;
        }
    }
    for pair in matches.get_many::<String>("setting").into_iter().flatten() {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("`-S {pair}`: write it as NAME=VALUE"))?;
        values.give(name, value)?;
    }
    let folder = values.get("path.settings").to_owned();
    if !folder.is_empty() {
        values.read_folder(std::path::Path::new(&folder))?;
    }
    Ok(values)
}
