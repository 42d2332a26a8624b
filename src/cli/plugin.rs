//! `logmill plugin list` and `logmill plugin doc NAME`: the reference, made from the options' declarations.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use crate::catalogue::CATALOGUE;
use crate::plugin::{OptionSpec, PluginKind, PluginSpec, Status};

pub(super) fn command() -> Command {
    Command::new("plugin")
        .about("Lists the plugins and prints their reference")
        .subcommand_required(true)
        .subcommand(Command::new("list").about("Lists all plugins"))
        .subcommand(
            Command::new("doc")
                .about("Prints the reference of a plugin")
                .arg(
                    Arg::new("name")
                        .required(true)
                        .help("Name, or kind/name where several kinds share a name: filter/json"),
                ),
        )
        .subcommand(
            Command::new("docs")
                .about("Writes the reference of all plugins as Markdown files")
                .arg(Arg::new("folder").required(true))
                .arg(
                    Arg::new("check")
                        .long("check")
                        .num_args(0)
                        .help("Only compare: exit 1 when a file is stale"),
                ),
        )
        .subcommand(
            Command::new("explain-grok")
                .about("Says how a grok pattern is matched: the engine and why, its segments, and what is done with hostile text")
                .arg(Arg::new("pattern").required(true))
                .arg(
                    Arg::new("legacy")
                        .long("legacy")
                        .num_args(0)
                        .help("Use the names from before ECS"),
                ),
        )
}

pub(super) fn main(matches: &ArgMatches) -> Result<ExitCode, String> {
    match matches.subcommand() {
        Some(("list", _)) => {
            for kind in [
                PluginKind::Input,
                PluginKind::Codec,
                PluginKind::Filter,
                PluginKind::Output,
            ] {
                for spec in CATALOGUE.0.iter().filter(|spec| spec.kind() == kind) {
                    println!(
                        "{:<7} {:<15} {}",
                        kind.name(),
                        spec.name,
                        first_sentence(spec.about)
                    );
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(("doc", matches)) => {
            let name = matches.get_one::<String>("name").map_or("", String::as_str);
            let found: Vec<_> = find(name);
            if found.is_empty() {
                let close =
                    crate::language::did_you_mean(name, CATALOGUE.0.iter().map(|spec| spec.name));
                let hint = close.map_or_else(
                    || "`logmill plugin list` names them".to_owned(),
                    |close| format!("did you mean `{close}`?"),
                );
                return Err(format!("there is no plugin `{name}`: {hint}"));
            }
            let pages: Vec<String> = found.into_iter().map(page).collect();
            print!("{}", pages.join("\n"));
            Ok(ExitCode::SUCCESS)
        }
        Some(("docs", matches)) => docs(matches),
        Some(("explain-grok", matches)) => explain(matches),
        _ => Err("see `logmill plugin --help`".to_owned()),
    }
}

fn find(name: &str) -> Vec<&'static PluginSpec> {
    let (kind, name) = name
        .split_once('/')
        .map_or((None, name), |(kind, name)| (Some(kind), name));
    CATALOGUE
        .0
        .iter()
        .filter(|spec| spec.name == name && kind.is_none_or(|kind| spec.kind().name() == kind))
        .collect()
}

fn explain(matches: &ArgMatches) -> Result<ExitCode, String> {
    use crate::grok::{Bundled, CompileOptions, Grok, PatternSet};
    let pattern = matches
        .get_one::<String>("pattern")
        .map_or("", String::as_str);
    let which = if matches.get_flag("legacy") {
        Bundled::Legacy
    } else {
        Bundled::EcsV1
    };
    let set = PatternSet::bundled(which);
    let grok = Grok::compile(pattern, &set, CompileOptions::default())
        .map_err(|error| error.to_string())?;
    println!("{}", grok.explain());
    Ok(ExitCode::SUCCESS)
}

fn docs(matches: &ArgMatches) -> Result<ExitCode, String> {
    let folder = std::path::PathBuf::from(
        matches
            .get_one::<String>("folder")
            .map_or("", String::as_str),
    );
    let check = matches.get_flag("check");
    let mut stale = Vec::new();
    for spec in CATALOGUE.0 {
        let path = folder.join(format!("{}-{}.md", spec.kind().name(), spec.name));
        let text = page(spec);
        if check {
            if std::fs::read_to_string(&path).is_ok_and(|now| now == text) {
                continue;
            }
            stale.push(path.display().to_string());
        } else {
            std::fs::create_dir_all(&folder)
                .and_then(|()| std::fs::write(&path, text))
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
    }
    if stale.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!(
        "stale reference pages: {}; run `make docs`",
        stale.join(", ")
    ))
}

fn first_sentence(text: &str) -> &str {
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].split('\n').next().unwrap_or_default()
}

/// The Markdown reference page of a plugin.
#[must_use]
pub fn page(spec: &PluginSpec) -> String {
    let mut out = format!(
        "# {} {}\n\n{}\n",
        spec.kind().name(),
        spec.name,
        spec.about.trim()
    );
    let options = (spec.options)();
    let working: Vec<&OptionSpec> = options
        .iter()
        .filter(|option| option.status == Status::Works)
        .collect();
    out.push_str("\n## Options\n");
    if working.is_empty() {
        out.push_str("\nNone of its own.\n");
    }
    for option in working {
        let default = match (option.required, option.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("default `{default}`"),
            (false, None) => "no default".to_owned(),
        };
        let _ = write!(
            out,
            "\n### {}\n\n*{}, {default}*\n\n{}\n",
            option.name,
            option.kind,
            option.doc.trim()
        );
    }
    let others: Vec<String> = options
        .iter()
        .filter_map(|option| match option.status {
            Status::Works => None,
            Status::Later(why) => Some(format!(
                "| {} | an error: not there yet; {why} |",
                option.name
            )),
            Status::Renamed(to) => Some(format!("| {} | a warning: read as `{to}` |", option.name)),
            Status::NoEffect(why) => {
                Some(format!("| {} | a warning: no effect; {why} |", option.name))
            }
        })
        .collect();
    if !others.is_empty() {
        let _ = write!(
            out,
            "\n## Other options of the original\n\n| option | here |\n| --- | --- |\n{}\n",
            others.join("\n")
        );
    }
    let common = match spec.kind() {
        PluginKind::Input => {
            "`id`, `enable_metric`, `ecs_compatibility`, `type`, `add_field`, `tags`"
        }
        PluginKind::Filter => {
            "`id`, `enable_metric`, `ecs_compatibility`, `add_field`, `remove_field`, `add_tag`, `remove_tag`, `periodic_flush`"
        }
        PluginKind::Codec | PluginKind::Output => "`id`, `enable_metric`, `ecs_compatibility`",
    };
    let _ = write!(out, "\nOptions of all {}s: {common}.\n", spec.kind().name());
    out
}
