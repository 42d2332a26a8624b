//! The loads: what their lines look like, the config that reads them, and where each document must arrive.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::geo;
use super::rng::Rng;
use crate::time::Timestamp;

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// JSON lines of eleven fields through the `json` codec: time, route by component, GeoIP, index by day.
    Json,
    /// The same with the plain codec and the `json` filter, as most configs have it.
    JsonFilter,
    /// Text lines through `dissect` and `kv`: time, route by event, GeoIP, index by day.
    Audit,
    /// Text lines that are not looked at.
    Passthrough,
}

/// Time of the first line, a second before midnight, so that the events belong to two days; milliseconds since 1970.
/// Each line is a millisecond younger.
const FIRST_TIME: i64 = 1_776_729_599_000;
/// The file is written in pieces of this size: small appends would be slower to read.
const PIECE: usize = 1 << 20;

const COMPONENTS: [&str; 10] = [
    "ai-persona",
    "persona",
    "four-laws",
    "security",
    "authentication",
    "cerberus",
    "api",
    "memory",
    "plugins",
    "learning",
];
const USERS: [&str; 8] = [
    "amara",
    "benedikt",
    "chen",
    "dolores",
    "emeka",
    "farah",
    "svc-index",
    "svc-mirror",
];
const ACTIONS: [&str; 6] = [
    "read_document",
    "update_profile",
    "list_sessions",
    "rotate_key",
    "export_report",
    "delete_draft",
];
const MESSAGES: [&str; 6] = [
    "Request accepted and handed on to the planner",
    "Answer composed from four memories",
    "Refused: the caller holds no permit",
    "Cache was cold, the second look-up answered",
    "Session renewed for another half hour",
    "Slow upstream, the answer came at the third attempt",
];
const CODES: [&str; 5] = [
    "AUTH_SUCCESS",
    "AUTH_FAILURE",
    "UNAUTHORIZED_ACCESS",
    "FOUR_LAWS_DENIAL",
    "CONFIG_CHANGE",
];

/// What was written, and what must come of it.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Documents per index.
    pub indices: BTreeMap<String, u64>,
    /// Events with an address that the invented database knows.
    pub known_addresses: u64,
}

/// The paths and addresses that a config names.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The file with the lines.
    pub input: &'a Path,
    /// The file in which the input notes that it is done.
    pub completed: &'a Path,
    /// The GeoIP database.
    pub database: &'a Path,
    /// The sink.
    pub url: &'a str,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 4] = [
        Scenario::Json,
        Scenario::JsonFilter,
        Scenario::Audit,
        Scenario::Passthrough,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Json => "json",
            Scenario::JsonFilter => "json-filter",
            Scenario::Audit => "audit",
            Scenario::Passthrough => "passthrough",
        }
    }

    /// Its config.
    #[must_use]
    pub fn config(self, places: Places<'_>) -> String {
        let Places {
            input,
            completed,
            database,
            url,
        } = places;
        let (input, completed, database) =
            (input.display(), completed.display(), database.display());
        let codec = if self == Scenario::Json {
            "json"
        } else {
            "plain"
        };
        let geoip = |source: &str| {
            format!(
                "  if [{source}] {{\n    geoip {{ source => \"{source}\" target => \"source\" database => \"{database}\" }}\n  }}\n"
            )
        };
        let json_rest = format!(
            r#"  if [component] in [ "ai-persona", "persona" ] {{
    mutate {{ replace => {{ "[@metadata][index]" => "load-persona" }} }}
  }} else if [component] == "four-laws" {{
    mutate {{ replace => {{ "[@metadata][index]" => "load-ethics" }} }}
  }} else if [component] in [ "security", "authentication", "cerberus" ] {{
    mutate {{ replace => {{ "[@metadata][index]" => "load-security" }} }}
  }} else {{
    mutate {{ replace => {{ "[@metadata][index]" => "load-logs" }} }}
  }}
{}"#,
            geoip("source_ip")
        );
        let filter = match self {
            Scenario::Json => json_rest,
            Scenario::JsonFilter => format!("  json {{ source => \"message\" }}\n{json_rest}"),
            Scenario::Audit => format!(
                r#"  dissect {{ mapping => {{ "message" => "%{{[@metadata][time]}} | %{{level}} | %{{code}} | %{{[@metadata][pairs]}}" }} }}
  kv {{ source => "[@metadata][pairs]" field_split_pattern => " \| " value_split => "=" }}
  date {{ match => [ "[@metadata][time]", "ISO8601" ] }}
  if [code] == "FOUR_LAWS_DENIAL" {{
    mutate {{ replace => {{ "[@metadata][index]" => "load-ethics" }} }}
  }} else {{
    mutate {{ replace => {{ "[@metadata][index]" => "load-security" }} }}
  }}
{}"#,
                geoip("ip")
            ),
            Scenario::Passthrough => String::new(),
        };
        let index = if self == Scenario::Passthrough {
            "load-raw"
        } else {
            "%{[@metadata][index]}-%{+yyyy.MM.dd}"
        };
        format!(
            r#"input {{
  file {{
    path => "{input}"
    mode => "read"
    file_completed_action => "log"
    file_completed_log_path => "{completed}"
    codec => {codec} {{ keep_original => false }}
  }}
}}
filter {{
{filter}}}
output {{
  elasticsearch {{
    hosts => [ "{url}" ]
    index => "{index}"
    compression_level => 0
    manage_template => false
    data_stream => "false"
    ilm_enabled => "false"
  }}
}}
"#
        )
    }

    /// Writes a file of `events` lines.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    pub fn write(self, path: &Path, events: u64) -> std::io::Result<Written> {
        let mut file = std::io::BufWriter::with_capacity(PIECE, std::fs::File::create(path)?);
        let mut lines = Lines {
            rng: Rng::new(2026),
            line: String::new(),
            address: String::new(),
            trace: String::new(),
        };
        let mut written = Written::default();
        let mut today = String::new();
        let mut last_day = i64::MIN;
        for number in 0..events {
            let millis = FIRST_TIME + i64::try_from(number).unwrap_or(0);
            if millis.div_euclid(86_400_000) != last_day {
                last_day = millis.div_euclid(86_400_000);
                today = iso(millis).get(..10).unwrap_or_default().replace('-', ".");
            }
            let (family, known) = lines.next(self, millis);
            file.write_all(lines.line.as_bytes())?;
            written.bytes += lines.line.len() as u64;
            written.known_addresses += u64::from(known);
            // A handful of names: looking through them costs less than making one.
            let belongs = |index: &str| {
                index
                    .strip_prefix(family)
                    .is_some_and(|rest| rest.is_empty() || rest.get(1..) == Some(&today))
            };
            if let Some((_, count)) = written.indices.iter_mut().find(|(index, _)| belongs(index)) {
                *count += 1;
            } else {
                let index = if self == Scenario::Passthrough {
                    family.to_owned()
                } else {
                    format!("{family}-{today}")
                };
                written.indices.insert(index, 1);
            }
        }
        let file = file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        // What the disk has need not be written while the pipeline is measured.
        file.sync_all()?;
        Ok(written)
    }
}

fn iso(millis: i64) -> String {
    let mut out = Vec::with_capacity(24);
    Timestamp::from_millis(millis).write_iso8601(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Makes line after line.
struct Lines {
    rng: Rng,
    line: String,
    address: String,
    trace: String,
}

impl Lines {
    /// The next line; its index family, and whether the database knows its address.
    fn next(&mut self, scenario: Scenario, millis: i64) -> (&'static str, bool) {
        self.line.clear();
        match scenario {
            Scenario::Json | Scenario::JsonFilter => self.json(millis),
            Scenario::Audit => self.audit(millis),
            Scenario::Passthrough => {
                self.audit(millis);
                ("load-raw", false)
            }
        }
    }

    fn json(&mut self, millis: i64) -> (&'static str, bool) {
        let rng = &mut self.rng;
        let known = geo::address(rng, &mut self.address);
        self.trace.clear();
        rng.hex(32, &mut self.trace);
        let component = *rng.pick(&COMPONENTS);
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.line,
            r#"{{"timestamp": "{}", "level": "{}", "logger": "app.core.{}", "message": "{}", "component": "{component}", "user": "{}", "source_ip": "{}", "trace_id": "{}", "action": "{}", "duration_ms": {}.{:03}, "status": {}}}"#,
            iso(millis),
            rng.pick(&["DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR"]),
            rng.pick(&["planner", "memory", "dialogue", "permits", "gateway"]),
            rng.pick(&MESSAGES),
            rng.pick(&USERS),
            self.address,
            self.trace,
            rng.pick(&ACTIONS),
            rng.below(900),
            rng.below(1000),
            rng.pick(&[200, 200, 200, 201, 204, 301, 400, 403, 404, 500]),
        );
        let family = match component {
            "ai-persona" | "persona" => "load-persona",
            "four-laws" => "load-ethics",
            "security" | "authentication" | "cerberus" => "load-security",
            _ => "load-logs",
        };
        (family, known)
    }

    fn audit(&mut self, millis: i64) -> (&'static str, bool) {
        let rng = &mut self.rng;
        let known = geo::address(rng, &mut self.address);
        let code = *rng.pick(&CODES);
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.line,
            "{} | {} | {code} | user={} | ip={} | reason={}",
            iso(millis),
            rng.pick(&["INFO", "WARNING"]),
            rng.pick(&USERS),
            self.address,
            rng.pick(&["wrong_password", "locked", "expired", "no_permit"]),
        );
        (
            if code == "FOUR_LAWS_DENIAL" {
                "load-ethics"
            } else {
                "load-security"
            },
            known,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_the_scenario_says() {
        let folder = tempfile::tempdir().unwrap();
        for scenario in Scenario::ALL {
            let path = folder.path().join(scenario.name());
            let written = scenario.write(&path, 3000).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), 3000);
            assert_eq!(text.len() as u64, written.bytes);
            assert_eq!(written.indices.values().sum::<u64>(), 3000);
            if scenario == Scenario::Json {
                let all: Vec<serde_json::Value> = text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
                assert!(
                    all.iter()
                        .all(|event| event.as_object().unwrap().len() == 11)
                );
                assert!(
                    (300..380).contains(&(text.len() / 3000)),
                    "{}",
                    text.len() / 3000
                );
                assert_eq!(written.indices.len(), 8, "{:?}", written.indices);
                assert_eq!(
                    all[1000]["timestamp"], "2026-04-21T00:00:00.000Z",
                    "a second before midnight to two after"
                );
            }
        }
    }
}
