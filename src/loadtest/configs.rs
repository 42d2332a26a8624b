//! The config of each load, written as a user would who wants small documents; every filter in it does real work.

use std::path::Path;

use super::patterns;
use super::scenario::Scenario;

/// The paths and addresses that a config names.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The files with the lines, as a glob.
    pub input: &'a str,
    /// How they are read.
    pub reading: Reading<'a>,
    /// The GeoIP database.
    pub database: &'a Path,
    /// The options of the elasticsearch output that say where it ships to, a line each.
    pub connection: &'a str,
    /// What all index names begin with.
    pub prefix: &'a str,
}

/// How the files are read.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// They are complete; the path of each is noted in this file when all of it is delivered.
    Whole(&'a Path),
    /// They are complete, and removed when all of them is delivered; more of them follow.
    Rounds,
    /// They grow.
    Growing,
}

impl Reading<'_> {
    /// The options of the file input, a line each.
    #[must_use]
    pub fn options(self) -> String {
        match self {
            Reading::Whole(completed) => format!(
                "    mode => \"read\"\n    file_completed_action => \"log\"\n    file_completed_log_path => \"{}\"\n",
                completed.display()
            ),
            Reading::Rounds => "    mode => \"read\"\n    file_completed_action => \"delete\"\n    stat_interval => \"100 ms\"\n    discover_interval => 1\n".to_owned(),
            Reading::Growing => "    start_position => \"beginning\"\n    stat_interval => \"20 ms\"\n".to_owned(),
        }
    }
}

/// Routes by component, as four index families.
const ROUTE: &str = r#"  if [component] in [ "ai-persona", "persona" ] {
    mutate { replace => { "[@metadata][family]" => "persona" } }
  } else if [component] == "four-laws" {
    mutate { replace => { "[@metadata][family]" => "ethics" } }
  } else if [component] in [ "security", "authentication", "cerberus" ] {
    mutate { replace => { "[@metadata][family]" => "security" } }
  } else {
    mutate { replace => { "[@metadata][family]" => "logs" } }
  }
"#;
const DATE: &str = "  date { match => [ \"timestamp\", \"ISO8601\" ] }\n";
/// What nobody reads who ships from one machine.
const CLUTTER: &str = "  mutate { remove_field => [ \"event\", \"log\", \"host\" ] }\n";

/// The config of a load; none for [`Scenario::ProjectAi`], whose config are the shipped pipelines.
#[must_use]
pub fn config(scenario: Scenario, places: Places<'_>) -> Option<String> {
    let original = match scenario {
        Scenario::JsonEcs | Scenario::JsonFilter => "",
        _ => " { keep_original => false }",
    };
    let codec = match scenario {
        Scenario::Json | Scenario::JsonEcs | Scenario::General => "json",
        _ => "plain",
    };
    let geoip = geoip(places.database, "source_ip", SHORT);
    let filters = match scenario {
        Scenario::Json => format!("{DATE}{ROUTE}{geoip}{CLUTTER}"),
        Scenario::JsonFilter => {
            format!("  json {{ source => \"message\" }}\n{DATE}{ROUTE}{geoip}{CLUTTER}")
        }
        Scenario::JsonEcs => format!(
            "{DATE}{ROUTE}{}",
            self::geoip(places.database, "source_ip", "")
        ),
        Scenario::Audit => format!(
            "{}{}{CLUTTER}",
            audit(),
            self::geoip(places.database, "ip", SHORT)
        ),
        Scenario::GrokAccess => format!("{}{geoip}{CLUTTER}", access(&patterns::ACCESS)),
        Scenario::General => general(places.database),
        Scenario::Passthrough => CLUTTER.to_owned(),
        Scenario::ProjectAi => return None,
    };
    let index = match scenario {
        Scenario::Passthrough => "raw",
        Scenario::GrokAccess => "access-%{+yyyy.MM.dd}",
        _ => "%{[@metadata][family]}-%{+yyyy.MM.dd}",
    };
    Some(whole(
        &format!("{codec}{original}"),
        &filters,
        index,
        places,
        1,
    ))
}

/// A config of one file input, filters, and outputs that all get every event.
#[must_use]
pub fn whole(codec: &str, filters: &str, index: &str, places: Places<'_>, outputs: u64) -> String {
    let Places {
        input,
        reading,
        connection,
        prefix,
        ..
    } = places;
    let reading = reading.options();
    let output = format!(
        r#"  elasticsearch {{
{connection}    index => "{prefix}{index}"
    compression_level => 0
    manage_template => false
    data_stream => "false"
    ilm_enabled => "false"
  }}
"#
    );
    let outputs: String = (0..outputs).map(|_| output.as_str()).collect();
    format!(
        "input {{\n  file {{\n    path => \"{input}\"\n{reading}    codec => {codec}\n  }}\n}}\nfilter {{\n{filters}}}\noutput {{\n{outputs}}}\n"
    )
}

/// The place of an address, as far as maps and tables need it.
const SHORT: &str = "\n      fields => [ \"city_name\", \"region_name\", \"country_name\", \"country_code2\", \"continent_code\", \"location\" ]\n      tag_on_failure => [ ]";

fn geoip(database: &Path, source: &str, more: &str) -> String {
    format!(
        "  if [{source}] {{\n    geoip {{\n      source => \"{source}\"\n      target => \"source\"\n      database => \"{}\"{more}\n    }}\n  }}\n",
        database.display()
    )
}

fn audit() -> String {
    r#"  grok {
    match => { "message" => "^%{TIMESTAMP_ISO8601:[@metadata][time]} \| %{LOGLEVEL:level} \| (?<code>[A-Z_]+) \| %{GREEDYDATA:[@metadata][pairs]}$" }
    remove_field => [ "message" ]
  }
  kv { source => "[@metadata][pairs]" field_split_pattern => " \| " value_split => "=" }
  date { match => [ "[@metadata][time]", "ISO8601" ] }
  if [code] == "FOUR_LAWS_DENIAL" {
    mutate { replace => { "[@metadata][family]" => "ethics" } }
  } else {
    mutate { replace => { "[@metadata][family]" => "security" } }
  }
"#
    .to_owned()
}

/// `grok` with a list of patterns over access lines, then their date.
#[must_use]
pub fn access(list: &[&str]) -> String {
    let list: Vec<String> = list
        .iter()
        .map(|pattern| {
            let quote = if pattern.contains('"') { '\'' } else { '"' };
            format!("        {quote}{pattern}{quote}")
        })
        .collect();
    format!(
        "  grok {{\n    match => {{\n      \"message\" => [\n{}\n      ]\n    }}\n    remove_field => [ \"message\" ]\n  }}\n  date {{ match => [ \"time\", \"dd/MMM/yyyy:HH:mm:ss Z\" ] remove_field => [ \"time\" ] }}\n",
        list.join(",\n")
    )
}

/// Thirty filters, as a pipeline has them that has grown for some years.
fn general(database: &Path) -> String {
    format!(
        r#"  date {{ match => [ "timestamp", "ISO8601" ] remove_field => [ "timestamp" ] }}
  mutate {{ rename => {{ "level" => "[log][level]" }} }}
  mutate {{ rename => {{ "logger" => "[log][logger]" }} }}
  mutate {{ rename => {{ "trace_id" => "[trace][id]" }} }}
  mutate {{ rename => {{ "user" => "[user][name]" }} }}
  mutate {{ convert => {{ "status" => "integer" }} }}
  mutate {{ convert => {{ "duration_ms" => "float" }} }}
  mutate {{ lowercase => [ "[log][level]" ] }}
  mutate {{ gsub => [ "action", "_", "-" ] }}
  mutate {{ add_field => {{ "[service][name]" => "app" }} }}
  mutate {{ add_field => {{ "[labels][origin]" => "%{{component}}/%{{action}}" }} }}
  dissect {{ mapping => {{ "[log][logger]" => "app.core.%{{[service][part]}}" }} }}
  kv {{ source => "message" target => "facts" include_keys => [ "cache", "mode", "gate", "rule", "upstream", "tries" ] }}
  if [component] in [ "ai-persona", "persona" ] {{
    mutate {{ replace => {{ "[@metadata][family]" => "persona" }} }}
  }} else if [component] == "four-laws" {{
    mutate {{ replace => {{ "[@metadata][family]" => "ethics" }} }}
  }} else if [component] in [ "security", "authentication", "cerberus" ] {{
    mutate {{ replace => {{ "[@metadata][family]" => "security" }} }}
  }} else {{
    mutate {{ replace => {{ "[@metadata][family]" => "logs" }} }}
  }}
  if ![status] {{
    mutate {{ add_field => {{ "[event][outcome]" => "unknown" }} }}
  }} else if [status] >= 500 {{
    mutate {{ add_tag => [ "server_error" ] add_field => {{ "[event][outcome]" => "failure" }} }}
  }} else if [status] >= 400 {{
    mutate {{ add_tag => [ "client_error" ] add_field => {{ "[event][outcome]" => "failure" }} }}
    if [status] == 403 and [@metadata][family] == "security" {{
      mutate {{ add_field => {{ "[event][category]" => "authentication" }} }}
    }}
  }} else {{
    mutate {{ add_field => {{ "[event][outcome]" => "success" }} }}
  }}
  if [source_ip] {{
    mutate {{ copy => {{ "source_ip" => "[source][ip]" }} }}
    geoip {{
      source => "source_ip"
      target => "source"
      database => "{}"
      fields => [ "city_name", "region_name", "country_name", "country_code2", "continent_code", "location" ]
      tag_on_failure => [ ]
    }}
    if [source][geo][country_iso_code] {{
      mutate {{ add_tag => [ "located" ] }}
    }}
  }}
  if [user][name] =~ /^svc-/ {{
    mutate {{ add_field => {{ "[user][kind]" => "service" }} }}
  }} else {{
    mutate {{ capitalize => [ "[user][name]" ] }}
  }}
  if [message] =~ "^Refused" or "client_error" in [tags] {{
    mutate {{ add_field => {{ "[event][kind]" => "alert" }} }}
  }}
  if [duration_ms] and [duration_ms] > 800 {{
    mutate {{ add_tag => [ "slow" ] }}
  }}
  mutate {{ remove_field => [ "source_ip", "host" ] }}
"#,
        database.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{ParseOptions, SourceMap};
    use crate::plan::{PlanOptions, compile};
    use crate::plugin::Settings;

    #[test]
    fn every_config_compiles_and_general_has_thirty_steps() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("city.mmdb");
        crate::loadtest::geo::write_city(&database).unwrap();
        for scenario in Scenario::ALL {
            for reading in [Reading::Rounds, Reading::Growing, Reading::Whole(&database)] {
                let places = Places {
                    input: "/tmp/lines.log",
                    reading,
                    database: &database,
                    connection: "    hosts => [ \"http://127.0.0.1:1\" ]\n",
                    prefix: "load-",
                };
                let Some(text) = config(scenario, places) else {
                    continue;
                };
                let map = SourceMap::single("load.conf", &text).unwrap();
                let settings = Settings {
                    test_only: true,
                    ..Settings::default()
                };
                let compiled = compile(
                    &map,
                    &PlanOptions {
                        catalogue: crate::catalogue::CATALOGUE,
                        settings: &settings,
                        environment: &|_| None,
                        parse: ParseOptions::default(),
                    },
                );
                let messages = crate::language::render(&compiled.diagnostics, &map, false);
                let plan = compiled
                    .plan
                    .unwrap_or_else(|| panic!("{}: {messages}", scenario.name()));
                if scenario == Scenario::General {
                    assert_eq!(plan.filters.len(), 30);
                }
            }
        }
    }
}
