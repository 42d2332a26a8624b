//! Measures a pipeline end to end: a file, a shipper and a sink as processes of their own, every document accounted for.

pub mod child;
pub mod geo;
pub mod http;
pub mod rng;
mod scenario;
pub mod signals;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use child::{Child, Launch, TempFolder, Usage};
use scenario::{Places, Written};
use signals::Signals;

pub use scenario::Scenario;

/// Longest time for one run of the shipper.
const LIMIT: Duration = Duration::from_mins(10);
/// How often the sink is asked for its count: it answers in some 30 µs, so that the question costs it 0.3 % of a core.
const POLL: Duration = Duration::from_millis(10);

/// What is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The load.
    pub scenario: Scenario,
    /// Lines in the file.
    pub events: u64,
    /// The file is shipped again and again until so many seconds have passed; once when none.
    pub seconds: Option<u64>,
    /// Worker threads of the shipper.
    pub workers: u64,
}

/// What was found. Rates and times are over all runs; a run goes from the start of the
/// shipper's process until the sink has every document.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the load.
    pub scenario: &'static str,
    /// Worker threads of the shipper.
    pub workers: u64,
    /// Lines shipped in all runs.
    pub events: u64,
    /// How often the file was shipped.
    pub runs: u64,
    /// Sum of the runs' times.
    pub seconds: f64,
    /// Events per second of the clock.
    pub events_per_second: f64,
    /// CPU time of the shipper, µs per event.
    pub shipper_cpu_us_per_event: f64,
    /// CPU time of the sink, µs per event.
    pub sink_cpu_us_per_event: f64,
    /// Both together.
    pub total_cpu_us_per_event: f64,
    /// Both together in the cheapest run.
    pub best_total_cpu_us_per_event: f64,
    /// Bytes of a line, on average.
    pub line_bytes: f64,
    /// Bytes of a bulk body per event, on average: document and action line.
    pub body_bytes: f64,
    /// Read, MB (10^6 bytes) per second of the clock.
    pub mb_per_second_in: f64,
    /// Sent, MB (10^6 bytes) per second of the clock.
    pub mb_per_second_out: f64,
    /// Most resident memory of the shipper, bytes.
    pub shipper_peak_rss_bytes: u64,
    /// Most resident memory of the sink, bytes.
    pub sink_peak_rss_bytes: u64,
    /// Documents that the sink took.
    pub documents: u64,
    /// Documents per index.
    pub indices: BTreeMap<String, u64>,
    /// Whether the counts of all indices are what was written.
    pub all_arrived: bool,
    /// Addresses that `geoip` found.
    pub geoip_hits: u64,
    /// Addresses that it must find; none when `GEOIP_CITY_DB` names the database.
    pub geoip_hits_expected: Option<u64>,
    /// Cores that the process may use.
    pub cores: usize,
    /// Load average of the last minute before the first run, and after the last.
    pub load_average: [f64; 2],
    /// Build of this program: `release` or `debug`.
    pub build: &'static str,
}

/// Writes the lines, ships them, and counts what arrived.
///
/// # Errors
/// A sentence, when a process fails or a file cannot be written.
pub fn run(options: &Options) -> Result<Report, String> {
    let signals = Signals::watch()?;
    let folder = TempFolder::new("loadtest")?;
    let input = folder.path().join("lines.log");
    let written = options.scenario.write(&input, options.events).map_err(|error| {
        format!("cannot write {}: {error}; set TMPDIR to a folder with more room, or ask for fewer `--events`", input.display())
    })?;
    let (database, invented) = database(folder.path())?;
    let arguments = ["sink", "--listen", "127.0.0.1:0"].map(OsStr::new);
    let mut sink =
        Launch::new("the sink", &arguments, folder.path().join("sink.messages"))?.start()?;
    let address = sink.address()?;
    let config = folder.path().join("load.conf");
    let url = format!("http://{address}");
    let completed = folder.path().join("completed.log");
    let text = options.scenario.config(Places {
        input: &input,
        completed: &completed,
        database: &database,
        url: &url,
    });
    std::fs::write(&config, text)
        .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    warm(&input).map_err(|error| format!("cannot read {}: {error}", input.display()))?;

    let load_before = load_average();
    let started = Instant::now();
    let mut runs = Vec::new();
    loop {
        let data = folder.path().join(format!("data-{}", runs.len()));
        let documents = options.events * (runs.len() as u64 + 1);
        let shipment = Shipment {
            config: &config,
            data: &data,
            documents,
            workers: options.workers,
            signals: &signals,
        };
        runs.push(ship(&shipment, &mut sink, address)?);
        if options
            .seconds
            .is_none_or(|seconds| started.elapsed().as_secs() >= seconds)
        {
            break;
        }
    }
    let stats = stats(address)?;
    let counted = Counted {
        stats: &stats,
        sink: sink.usage(),
        invented,
        load: [load_before, load_average()],
    };
    Ok(report(options, &written, &runs, &counted))
}

/// Writes what a run would need into a folder, for programs that measure by themselves: `lines.log`, `city.mmdb`,
/// `load.conf`, whose sink is the variable `LOGMILL_SINK`, and `expected.json` with the documents per index.
///
/// # Errors
/// A sentence, when the folder or a file cannot be written.
pub fn write(scenario: Scenario, events: u64, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let folder = std::fs::canonicalize(folder).map_err(failed)?;
    let input = folder.join("lines.log");
    let written = scenario.write(&input, events).map_err(failed)?;
    let (database, _) = database(&folder)?;
    let config = scenario.config(Places {
        input: &input,
        completed: &folder.join("completed.log"),
        database: &database,
        url: "${LOGMILL_SINK}",
    });
    std::fs::write(folder.join("load.conf"), config).map_err(failed)?;
    let expected = serde_json::json!({
        "events": events,
        "bytes": written.bytes,
        "indices": written.indices,
        "known_addresses": written.known_addresses,
    });
    std::fs::write(folder.join("expected.json"), expected.to_string()).map_err(failed)
}

/// The database of `GEOIP_CITY_DB`, or an invented one (and true).
fn database(folder: &Path) -> Result<(PathBuf, bool), String> {
    if let Some(given) = std::env::var_os("GEOIP_CITY_DB").filter(|given| !given.is_empty()) {
        let given = PathBuf::from(given);
        let absolute = std::fs::canonicalize(&given);
        return Ok((
            absolute
                .map_err(|error| format!("GEOIP_CITY_DB names {}: {error}", given.display()))?,
            false,
        ));
    }
    let path = folder.join("city.mmdb");
    geo::write_city(&path)?;
    Ok((path, true))
}

/// Brings a file into the page cache.
fn warm(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    shipper: Usage,
    sink_cpu: f64,
    geoip_hits: u64,
}

/// What one run needs.
struct Shipment<'a> {
    config: &'a Path,
    data: &'a Path,
    /// Documents in the sink at its end.
    documents: u64,
    workers: u64,
    signals: &'a Signals,
}

fn ship(shipment: &Shipment<'_>, sink: &mut Child, address: SocketAddr) -> Result<Run, String> {
    let (workers, api) = (shipment.workers.to_string(), http::free_port()?);
    let port = api.port().to_string();
    let mut arguments = vec![
        OsStr::new("-f"),
        shipment.config.as_os_str(),
        OsStr::new("--path.data"),
        shipment.data.as_os_str(),
    ];
    arguments.extend(
        [
            "--api.http.port",
            &port,
            "-w",
            &workers,
            "--log.level",
            "warn",
        ]
        .map(OsStr::new),
    );
    let before = sink.usage().cpu_seconds;
    let launch = Launch::new(
        "the shipper",
        &arguments,
        shipment.data.with_extension("messages"),
    )?;
    let started = Instant::now();
    let mut shipper = launch.start()?;
    loop {
        let documents = count(address)?;
        if documents >= shipment.documents {
            break;
        }
        shipper.check_alive()?;
        sink.check_alive()?;
        shipment.signals.check()?;
        if started.elapsed() > LIMIT {
            let missing = shipment.documents - documents;
            return Err(format!(
                "{missing} documents did not arrive within {} s{}",
                LIMIT.as_secs(),
                shipper.last_messages()
            ));
        }
        std::thread::sleep(POLL);
    }
    let seconds = started.elapsed().as_secs_f64();
    // Before anything is asked of the two, since that costs CPU time too.
    let (usage, sink_cpu) = (shipper.usage(), sink.usage().cpu_seconds - before);
    let metrics = http::get(api, "/metrics")?;
    let geoip_hits = metric(&metrics, "logmill_filter_matches_total", "plugin=\"geoip\"");
    Ok(Run {
        seconds,
        shipper: usage,
        sink_cpu,
        geoip_hits,
    })
}

/// The sum of a family's samples whose labels hold `label`.
#[must_use]
pub fn metric(metrics: &str, family: &str, label: &str) -> u64 {
    let samples = metrics.lines().filter_map(|line| {
        line.strip_prefix(family)?
            .strip_prefix('{')?
            .rsplit_once("} ")
    });
    samples
        .filter(|(labels, _)| labels.contains(label))
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

/// All documents of a sink.
fn count(address: SocketAddr) -> Result<u64, String> {
    let text = http::get(address, "/_count")?;
    let answer: Value = serde_json::from_str(&text)
        .map_err(|error| format!("the sink's count is no JSON: {error}"))?;
    Ok(answer.get("count").and_then(Value::as_u64).unwrap_or(0))
}

/// The counts of a sink.
///
/// # Errors
/// A sentence, when it does not answer.
pub fn stats(address: SocketAddr) -> Result<Value, String> {
    let text = http::get(address, "/_logmill/stats")?;
    serde_json::from_str(&text).map_err(|error| format!("the sink's counts are no JSON: {error}"))
}

/// Documents per index in the counts of a sink.
#[must_use]
pub fn documents_per_index(stats: &Value) -> BTreeMap<String, u64> {
    let indices = stats
        .get("indices")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    indices
        .map(|(name, index)| {
            (
                name.clone(),
                index.get("documents").and_then(Value::as_u64).unwrap_or(0),
            )
        })
        .collect()
}

/// The newest documents of an index in the counts of a sink, oldest first.
pub fn newest<'a>(
    stats: &'a Value,
    index: &str,
) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
    let newest = stats
        .get("indices")
        .and_then(|indices| indices.get(index)?.get("newest")?.as_array());
    newest.map_or(&[][..], Vec::as_slice).iter()
}

/// What was seen after the last run.
struct Counted<'a> {
    stats: &'a Value,
    sink: Usage,
    invented: bool,
    load: [f64; 2],
}

fn report(options: &Options, written: &Written, runs: &[Run], counted: &Counted<'_>) -> Report {
    let times = runs.len() as u64;
    let events = options.events * times;
    let per_event = |seconds: f64| seconds * 1e6 / events.max(1) as f64;
    let seconds: f64 = runs.iter().map(|run| run.seconds).sum();
    let shipper = per_event(runs.iter().map(|run| run.shipper.cpu_seconds).sum());
    let sink = per_event(runs.iter().map(|run| run.sink_cpu).sum());
    let best = runs
        .iter()
        .map(|run| run.shipper.cpu_seconds + run.sink_cpu)
        .fold(f64::INFINITY, f64::min);
    let received = counted.stats["bytes"]["received"].as_f64().unwrap_or(0.0);
    let indices = documents_per_index(counted.stats);
    let expected: BTreeMap<String, u64> = written
        .indices
        .iter()
        .map(|(name, count)| (name.clone(), count * times))
        .collect();
    Report {
        scenario: options.scenario.name(),
        workers: options.workers,
        events,
        runs: times,
        seconds,
        events_per_second: events as f64 / seconds,
        shipper_cpu_us_per_event: shipper,
        sink_cpu_us_per_event: sink,
        total_cpu_us_per_event: shipper + sink,
        best_total_cpu_us_per_event: best * 1e6 / options.events.max(1) as f64,
        line_bytes: written.bytes as f64 / options.events.max(1) as f64,
        body_bytes: received / events.max(1) as f64,
        mb_per_second_in: (written.bytes * times) as f64 / 1e6 / seconds,
        mb_per_second_out: received / 1e6 / seconds,
        shipper_peak_rss_bytes: runs
            .iter()
            .map(|run| run.shipper.peak_rss)
            .max()
            .unwrap_or(0),
        sink_peak_rss_bytes: counted.sink.peak_rss,
        documents: indices.values().sum(),
        all_arrived: per_family(&indices) == per_family(&expected),
        indices,
        geoip_hits: runs.iter().map(|run| run.geoip_hits).sum(),
        geoip_hits_expected: counted.invented.then_some(written.known_addresses * times),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        load_average: counted.load,
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
    }
}

/// Load average of the last minute.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

/// Counts without the day at the end of an index name: where no filter reads the event's own time, the day is that
/// of its arrival.
fn per_family(indices: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let mut families = BTreeMap::new();
    for (name, count) in indices {
        let day = name.len().checked_sub("-yyyy.MM.dd".len());
        let family = match day.and_then(|at| name.split_at_checked(at)) {
            Some((family, day)) if day.starts_with('-') && day.matches('.').count() == 2 => family,
            _ => name,
        };
        *families.entry(family).or_default() += count;
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_family_are_summed() {
        let text = "# TYPE a counter\na{p=\"x\",q=\"}\"} 3\na{p=\"x\"} 4\na{p=\"y\"} 50\nab{p=\"x\"} 600\n";
        assert_eq!(metric(text, "a", "p=\"x\""), 7);
        assert_eq!(metric(text, "a", ""), 57);
        assert_eq!(metric(text, "b", ""), 0);
    }
}
