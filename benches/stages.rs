//! What each stage and each plugin costs: events run through real pipelines inside this process, one worker.
//!
//! A row holds all that its events need; take the `nothing` row of its lines off to see the step alone.

mod inside;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inside::{Feed, elasticsearch};
use logmill::loadtest::geo;
use logmill::loadtest::rng::Rng;

/// Events of one iteration: enough that starting a pipeline does not show.
const EVENTS: u64 = 20_000;
/// Different lines of a kind; enough that no branch predictor and no cache of one value knows them all.
const LINES: usize = 512;

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    /// JSON objects of eleven fields, some 340 bytes.
    Json,
    /// `time | LEVEL | CODE | user=… | ip=… | reason=…`, some 105 bytes.
    Audit,
    /// The combined log format of web servers, some 200 bytes.
    Access,
}

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    /// They are dropped, not encoded.
    Nowhere,
    /// They are encoded as documents, and dropped.
    Documents,
    /// They are encoded as bulks with an index by day, and dropped.
    Bulks,
}

/// A way through the pipeline.
#[derive(Clone, Debug)]
struct Case {
    /// Its name in tables.
    name: &'static str,
    /// What comes in.
    lines: Lines,
    /// The codec of the input, with its options.
    codec: &'static str,
    /// The filter section; `@CITY@` is the database of places.
    filters: String,
    /// What becomes of the events.
    out: Out,
}

const PLAIN: &str = "plain { keep_original => false }";
const JSON: &str = "json { keep_original => false }";

const ROUTE: &str = r#"
if [component] in [ "ai-persona", "persona" ] {
  mutate { replace => { "[@metadata][index]" => "persona" } }
} else if [component] == "four-laws" {
  mutate { replace => { "[@metadata][index]" => "ethics" } }
} else if [component] in [ "security", "authentication", "cerberus" ] {
  mutate { replace => { "[@metadata][index]" => "security" } }
} else {
  mutate { replace => { "[@metadata][index]" => "logs" } }
}"#;
const PLACE: &str = r#"
if [source_ip] { geoip { source => "source_ip" target => "source" database => "@CITY@" } }"#;
const DISSECT: &str = r#"
dissect { mapping => { "message" => "%{[@metadata][time]} | %{level} | %{code} | %{[@metadata][pairs]}" } }"#;
const SEGMENTS: &str = r#"
grok { match => { "message" => "^%{TIMESTAMP_ISO8601:[@metadata][time]} \| %{LOGLEVEL:level} \| %{WORD:code} \| %{GREEDYDATA:[@metadata][pairs]}$" } }"#;
const PAIRS: &str = r#"
kv { source => "[@metadata][pairs]" field_split_pattern => " \| " value_split => "=" }"#;
const TIME: &str = r#"
date { match => [ "[@metadata][time]", "ISO8601" ] }"#;
const CONDITIONS: &str = r#"
if [level] == "ERROR" and [status] >= 500 { mutate { add_tag => [ "failed" ] } }
if [user] =~ /^svc-/ { mutate { add_tag => [ "service" ] } }
if "nobody" in [tags] { drop { } }
if [component] not in [ "api", "memory", "plugins" ] { mutate { add_tag => [ "watched" ] } }
if ![trace_id] { mutate { add_tag => [ "untraced" ] } }
if [duration_ms] > 850 or [action] == "export_report" { mutate { add_tag => [ "slow" ] } }
if [logger] == "app.core.gateway" and [user] != "amara" { mutate { add_tag => [ "gateway" ] } }
if [message] == "" { drop { } }"#;
const RESHAPE: &str = r#"
mutate { rename => { "timestamp" => "[event][created]" "level" => "[log][level]" "source_ip" => "[source][ip]" } }
mutate { remove_field => [ "logger", "[nothing]" ] copy => { "user" => "[user_name]" } lowercase => [ "[log][level]" ] }
mutate { convert => { "status" => "string" "duration_ms" => "integer" } }
mutate { gsub => [ "message", "[aeiou]{2}", "-" ] add_field => { "summary" => "%{user} %{action} %{status}" } }"#;

/// A list of 52 patterns, of which the 40th matches.
fn alternatives() -> String {
    let pattern = |number: usize| match (number, number % 3) {
        (39, _) => "%{COMBINEDAPACHELOG}".to_owned(),
        (_, 0) => {
            format!(r"^\[probe-{number}\] %{{IPORHOST:host}} %{{WORD:verb}} %{{NUMBER:n:int}}$")
        }
        (_, 1) => {
            format!(r"^%{{SYSLOGTIMESTAMP:at}} unit{number}: %{{GREEDYDATA:rest}}$")
        }
        (..) => {
            format!(r"^%{{IP:client}} job={number} %{{WORD:state}} in %{{NUMBER:ms:float}} ms$")
        }
    };
    let all: Vec<String> = (0..52)
        .map(|number| format!("\"{}\"", pattern(number)))
        .collect();
    format!(
        "grok {{ match => {{ \"message\" => [ {} ] }} }}",
        all.join(", ")
    )
}

/// One filter or one stage each; `nothing` rows are what to take off the rows below them.
fn stages() -> Vec<Case> {
    let row = |name, lines, codec, filters: &[&str], out| Case {
        name,
        lines,
        codec,
        filters: filters.concat(),
        out,
    };
    use Lines::{Access, Audit, Json};
    use Out::{Bulks, Documents, Nowhere};
    vec![
        row("lines/nothing", Json, PLAIN, &[], Nowhere),
        row("lines/encode", Json, PLAIN, &[], Documents),
        row("json/nothing", Json, JSON, &[], Nowhere),
        row("json/encode", Json, JSON, &[], Documents),
        row("json/bulk", Json, JSON, &[], Bulks),
        row("json/conditions", Json, JSON, &[CONDITIONS], Nowhere),
        row("json/route", Json, JSON, &[ROUTE], Nowhere),
        row("json/mutate", Json, JSON, &[RESHAPE], Nowhere),
        row("json/mutate+encode", Json, JSON, &[RESHAPE], Documents),
        row("json/geoip", Json, JSON, &[PLACE], Nowhere),
        row("json/geoip+encode", Json, JSON, &[PLACE], Documents),
        row("audit/nothing", Audit, PLAIN, &[], Nowhere),
        row("audit/dissect", Audit, PLAIN, &[DISSECT], Nowhere),
        row("audit/dissect+kv", Audit, PLAIN, &[DISSECT, PAIRS], Nowhere),
        row(
            "audit/dissect+date",
            Audit,
            PLAIN,
            &[DISSECT, TIME],
            Nowhere,
        ),
        row("audit/grok", Audit, PLAIN, &[SEGMENTS], Nowhere),
        row("access/nothing", Access, PLAIN, &[], Nowhere),
        row(
            "access/grok",
            Access,
            PLAIN,
            &[r#"grok { match => { "message" => "%{COMBINEDAPACHELOG}" } }"#],
            Nowhere,
        ),
        row(
            "access/grok of 52",
            Access,
            PLAIN,
            &[&alternatives()],
            Nowhere,
        ),
    ]
}

impl Case {
    /// Runs so many events through it, to the end.
    fn run(&self, events: u64, places: &Places) {
        let filters = self
            .filters
            .replace("@CITY@", &places.city.display().to_string());
        let output = match self.out {
            Out::Nowhere => "null { }".to_owned(),
            Out::Documents => "null { encode => true }".to_owned(),
            Out::Bulks => elasticsearch("case-%{+yyyy.MM.dd}"),
        };
        let feed = Feed {
            lines: places.lines(self.lines).to_vec(),
            records: events,
            blocks: Vec::new(),
        };
        inside::run(feed, self.codec, &filters, &output, false);
    }
}

/// What the cases need: lines and a GeoIP database, the same on every machine.
struct Places {
    /// Removed with the database at the end.
    _folder: tempfile::TempDir,
    city: PathBuf,
    lines: [Vec<Vec<u8>>; 3],
}

impl Places {
    /// Writes the database into a folder for temporary files.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let city = folder.path().join("city.mmdb");
        geo::write_city(&city).expect("a database");
        let mut rng = Rng::new(2026);
        let lines = [Lines::Json, Lines::Audit, Lines::Access].map(|kind| {
            (0..LINES)
                .map(|number| line(&mut rng, kind, number))
                .collect()
        });
        Places {
            _folder: folder,
            city,
            lines,
        }
    }

    /// The lines of a kind.
    fn lines(&self, kind: Lines) -> &[Vec<u8>] {
        &self.lines[kind as usize]
    }
}

fn line(rng: &mut Rng, kind: Lines, number: usize) -> Vec<u8> {
    let mut address = String::new();
    geo::address(rng, &mut address);
    let (minute, milli) = (number / 60 % 60, number % 1000);
    let user = *rng.pick(&[
        "amara",
        "benedikt",
        "chen",
        "dolores",
        "svc-index",
        "svc-mirror",
    ]);
    let text = match kind {
        Lines::Json => {
            let mut trace = String::new();
            rng.hex(32, &mut trace);
            format!(
                r#"{{"timestamp": "2026-04-20T23:{minute:02}:59.{milli:03}Z", "level": "{}", "logger": "app.core.{}", "message": "{}", "component": "{}", "user": "{user}", "source_ip": "{address}", "trace_id": "{trace}", "action": "{}", "duration_ms": {}.{:03}, "status": {}}}"#,
                rng.pick(&["DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR"]),
                rng.pick(&["planner", "memory", "dialogue", "permits", "gateway"]),
                rng.pick(&[
                    "Request accepted and handed on to the planner",
                    "Answer composed from four memories",
                    "Cache was cold, the second look-up answered",
                    "Slow upstream, the answer came at the third attempt",
                ]),
                rng.pick(&[
                    "ai-persona",
                    "four-laws",
                    "security",
                    "cerberus",
                    "api",
                    "memory",
                    "plugins"
                ]),
                rng.pick(&[
                    "read_document",
                    "update_profile",
                    "rotate_key",
                    "export_report"
                ]),
                rng.below(900),
                rng.below(1000),
                rng.pick(&[200, 200, 200, 201, 204, 301, 400, 403, 404, 500]),
            )
        }
        Lines::Audit => format!(
            "2026-04-20T23:{minute:02}:59.{milli:03}Z | {} | {} | user={user} | ip={address} | reason={}",
            rng.pick(&["INFO", "WARNING"]),
            rng.pick(&[
                "AUTH_SUCCESS",
                "AUTH_FAILURE",
                "FOUR_LAWS_DENIAL",
                "CONFIG_CHANGE"
            ]),
            rng.pick(&["wrong_password", "locked", "expired", "no_permit"]),
        ),
        Lines::Access => format!(
            "{address} - {user} [20/Apr/2026:23:{minute:02}:{:02} +0000] \"{} /api/v1/{}/{} HTTP/1.1\" {} {} \"https://example.test/{}\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"",
            number % 60,
            rng.pick(&["GET", "GET", "POST", "PUT"]),
            rng.pick(&["documents", "profiles", "sessions"]),
            rng.below(10_000),
            rng.pick(&[200, 200, 304, 404, 500]),
            rng.below(100_000),
            rng.pick(&["", "index.html", "search?q=kestrel"]),
        ),
    };
    text.into_bytes()
}

fn pipelines(criterion: &mut Criterion) {
    let places = Places::new();
    let mut group = criterion.benchmark_group("stage");
    group
        .throughput(Throughput::Elements(EVENTS))
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for case in stages() {
        group.bench_function(case.name, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                case.run(iterations * EVENTS, &places);
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default();
    targets = pipelines
}
criterion_main!(benches);
