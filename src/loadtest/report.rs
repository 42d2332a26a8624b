//! What a measurement found, as text and JSON, and beside an earlier one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use super::latency::Latency;

/// One run: from the start of the shipper's process until the sink has every document.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// Events shipped.
    pub events: u64,
    /// Its time by the clock.
    pub seconds: f64,
    /// Events per second of the clock.
    pub events_per_second: f64,
    /// Read, MB (10^6 bytes) per second of the clock.
    pub mb_per_second_in: f64,
    /// Sent, MB (10^6 bytes) per second of the clock.
    pub mb_per_second_out: f64,
    /// CPU time of the shipper, µs per event.
    pub shipper_cpu_us_per_event: f64,
    /// CPU time of the sink, µs per event; none of a real Elasticsearch.
    pub sink_cpu_us_per_event: Option<f64>,
    /// Both together, as far as they are known.
    pub total_cpu_us_per_event: f64,
    /// Bytes of a line, on average.
    pub line_bytes: f64,
    /// Bytes of a bulk body per event, on average: document and action line.
    pub body_bytes: f64,
    /// Most resident memory of the shipper, bytes.
    pub shipper_peak_rss_bytes: u64,
    /// Most resident memory of the sink, bytes.
    pub sink_peak_rss_bytes: Option<u64>,
    /// Resident memory of the shipper, second by second, without the pages of mapped files; bytes.
    pub shipper_rss_bytes: Vec<u64>,
    /// Allocations of the shipper per event, its start not counted; none where it does not count them.
    pub allocations_per_event: Option<f64>,
    /// Addresses that `geoip` found.
    pub geoip_hits: u64,
    /// Addresses that it must find, where the database is invented.
    pub geoip_hits_expected: Option<u64>,
    /// Hits among all look-ups.
    pub geoip_hit_rate: Option<f64>,
    /// Latency, where a rate was asked for.
    pub latency: Option<Latency>,
    /// Documents that arrived.
    pub documents: u64,
    /// Documents per index.
    pub indices: BTreeMap<String, u64>,
    /// The counts of all indices are what was written; none where that cannot be known.
    pub all_arrived: Option<bool>,
    /// What the sink found to be wrong.
    pub wrong: Vec<String>,
    /// Load average of the last minute when the run began, and when it ended.
    pub load_average: [f64; 2],
}

impl Run {
    /// Nothing was lost, and nothing was wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.all_arrived != Some(false) && self.wrong.is_empty()
    }
}

/// All runs of a load.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the load.
    pub scenario: String,
    /// Worker threads of the shipper.
    pub workers: u64,
    /// Percent of the lines that were built to do harm.
    pub hostile_percent: u64,
    /// Where the documents went.
    pub target: String,
    /// The run with the median CPU time per event.
    pub median: Run,
    /// All runs, in their order.
    pub runs: Vec<Run>,
    /// The config used, of the first run.
    pub config: String,
    /// This program.
    pub version: &'static str,
    /// Its build: `release` or `debug`.
    pub build: &'static str,
    /// The machine.
    pub host: Host,
}

/// The machine.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Cores that the process may use.
    pub cores: usize,
    /// What the processor calls itself.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

impl Host {
    /// This machine.
    #[must_use]
    pub fn here() -> Host {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        Host {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: after(&read("/proc/cpuinfo"), "model name"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: kib * 1024,
        }
    }
}

/// The run in the middle by CPU time per event; of an even number the cheaper one of the two.
#[must_use]
pub fn median(runs: &[Run]) -> Run {
    let mut sorted: Vec<&Run> = runs.iter().collect();
    sorted.sort_by(|a, b| {
        a.total_cpu_us_per_event
            .total_cmp(&b.total_cpu_us_per_event)
    });
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .cloned()
        .unwrap_or_default()
}

/// Figures that are compared: where they stand in a run, what they are called.
const COMPARED: [(&str, &str); 10] = [
    ("/total_cpu_us_per_event", "CPU per event"),
    ("/shipper_cpu_us_per_event", "shipper"),
    ("/sink_cpu_us_per_event", "sink"),
    ("/events_per_second", "events/s"),
    ("/body_bytes", "bytes out per event"),
    ("/shipper_peak_rss_bytes", "peak memory"),
    ("/allocations_per_event", "allocations per event"),
    ("/latency/p50_ms", "latency p50"),
    ("/latency/p99_ms", "latency p99"),
    ("/latency/p999_ms", "latency p99.9"),
];

/// Ratios of a report to the earlier one of the same load in `earlier`, by name; none where there is none.
#[must_use]
pub fn compare(report: &Report, earlier: &Value) -> Option<Map<String, Value>> {
    let results = earlier.get("results")?.as_array()?;
    let other = results
        .iter()
        .find(|other| other.get("scenario").and_then(Value::as_str) == Some(&report.scenario))?;
    let this = serde_json::to_value(&report.median).ok()?;
    let other = other.get("median")?;
    let mut ratios = Map::new();
    for (path, name) in COMPARED {
        let number = |value: &Value| value.pointer(path).and_then(Value::as_f64);
        if let (Some(now), Some(then)) = (number(&this), number(other))
            && then != 0.0
        {
            ratios.insert(
                name.to_owned(),
                Value::from((now / then * 1000.0).round() / 1000.0),
            );
        }
    }
    Some(ratios)
}

/// A report as text.
#[must_use]
pub fn text(report: &Report) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let run = &report.median;
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "scenario {}, {} worker(s), to {}: {} events of {:.0} bytes in {:.2} s",
        report.scenario, report.workers, report.target, run.events, run.line_bytes, run.seconds
    );
    if report.runs.len() > 1 {
        let costs: Vec<String> = report
            .runs
            .iter()
            .map(|run| format!("{:.2}", run.total_cpu_us_per_event))
            .collect();
        let _ = write!(out, ", the median of {} µs", costs.join(", "));
    }
    if report.build == "debug" {
        out.push_str("\n  this is a debug build: the figures mean nothing");
    }
    let sink = run
        .sink_cpu_us_per_event
        .map_or("not known here".to_owned(), |cpu| format!("{cpu:.2}"));
    let sink_memory = run.sink_peak_rss_bytes.map_or(String::new(), |bytes| {
        format!(", sink {:.0} MiB", mib(bytes))
    });
    let _ = write!(
        out,
        "\n\n  {:.0} events/s   {:.1} MB/s in   {:.1} MB/s out ({:.0} bytes per event)\
         \n  CPU per event: {:.2} µs = shipper {:.2} + sink {sink}\
         \n  peak memory: shipper {:.0} MiB{sink_memory}\n",
        run.events_per_second,
        run.mb_per_second_in,
        run.mb_per_second_out,
        run.body_bytes,
        run.total_cpu_us_per_event,
        run.shipper_cpu_us_per_event,
        mib(run.shipper_peak_rss_bytes),
    );
    if let Some(allocations) = run.allocations_per_event {
        let _ = writeln!(out, "  allocations per event: {allocations:.4}");
    }
    if let Some(latency) = &run.latency {
        let _ = writeln!(
            out,
            "  latency at {} lines/s: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, most {:.1} ms ({}; the writer was up to {:.1} ms late)",
            latency.rate,
            latency.p50_ms,
            latency.p99_ms,
            latency.p999_ms,
            latency.max_ms,
            if latency.by_line {
                "each line"
            } else {
                "by count"
            },
            latency.writer_late_ms,
        );
    }
    if let (Some(first), Some(last)) = (run.shipper_rss_bytes.get(4), run.shipper_rss_bytes.last())
        && run.shipper_rss_bytes.len() > 9
    {
        let _ = writeln!(
            out,
            "  memory after 5 s {:.1} MiB, at the end {:.1} MiB",
            mib(*first),
            mib(*last)
        );
    }
    if let Some(rate) = run.geoip_hit_rate {
        let judged = match run.geoip_hits_expected {
            Some(expected) if expected == run.geoip_hits => ", all that must be".to_owned(),
            Some(expected) => format!(", but {expected} addresses are in the database"),
            None => String::new(),
        };
        let _ = writeln!(
            out,
            "  GeoIP: {:.1} % hits ({}{judged})",
            rate * 100.0,
            run.geoip_hits
        );
    }
    let host = &report.host;
    let _ = writeln!(
        out,
        "  host: {} cores, {}, load average {:.2} before, {:.2} after",
        host.cores, host.processor, run.load_average[0], run.load_average[1]
    );
    let arrived = match run.all_arrived {
        Some(true) => ", every event, each in its index",
        Some(false) => ", NOT what was written",
        None => "",
    };
    let _ = writeln!(out, "  documents: {}{arrived}", run.documents);
    for (name, count) in &run.indices {
        let _ = writeln!(out, "    {count:>10}  {name}");
    }
    for wrong in &run.wrong {
        let _ = writeln!(out, "  WRONG: {wrong}");
    }
    out
}

/// A line for each report.
#[must_use]
pub fn table(reports: &[Report]) -> String {
    let mut out = format!(
        "\n{:<14} {:>12} {:>8} {:>8} {:>8} {:>11} {:>10} {:>9} {:>7}\n",
        "scenario",
        "events/s",
        "µs/event",
        "shipper",
        "sink",
        "allocations",
        "peak MiB",
        "bytes out",
        "load"
    );
    for report in reports {
        let run = &report.median;
        let or_none = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let _ = writeln!(
            out,
            "{:<14} {:>12.0} {:>8.2} {:>8.2} {:>8} {:>11} {:>10.0} {:>9.0} {:>7.2}",
            report.scenario,
            run.events_per_second,
            run.total_cpu_us_per_event,
            run.shipper_cpu_us_per_event,
            or_none(run.sink_cpu_us_per_event, 2),
            or_none(run.allocations_per_event, 4),
            run.shipper_peak_rss_bytes as f64 / f64::from(1 << 20),
            run.body_bytes,
            run.load_average[0],
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cost: f64) -> Report {
        let runs: Vec<Run> = [cost * 3.0, cost, cost * 2.0]
            .into_iter()
            .map(|cost| Run {
                total_cpu_us_per_event: cost,
                events_per_second: 1000.0 / cost,
                ..Run::default()
            })
            .collect();
        Report {
            scenario: "json".to_owned(),
            workers: 2,
            hostile_percent: 0,
            target: "the built-in sink".to_owned(),
            median: median(&runs),
            runs,
            config: String::new(),
            version: "0",
            build: "release",
            host: Host::here(),
        }
    }

    #[test]
    fn the_median_is_compared_with_an_earlier_result() {
        let (before, after) = (report(1.0), report(0.5));
        assert!((before.median.total_cpu_us_per_event - 2.0).abs() < 1e-9);
        let earlier = serde_json::json!({ "results": [before] });
        let ratios = compare(&after, &earlier).unwrap();
        assert_eq!(ratios["CPU per event"], 0.5);
        assert_eq!(ratios["events/s"], 2.0);
        assert!(!ratios.contains_key("latency p99"));
        assert!(compare(&after, &serde_json::json!({})).is_none());
        assert!(text(&after).contains("the median of 1.50, 0.50, 1.00 µs"));
        assert!(table(&[after]).contains("json"));
    }

    #[test]
    fn a_result_is_good_when_nothing_is_missing_or_wrong() {
        let mut run = Run::default();
        assert!(run.is_good());
        run.all_arrived = Some(false);
        assert!(!run.is_good());
        run.all_arrived = Some(true);
        run.wrong.push("3 documents".to_owned());
        assert!(!run.is_good());
    }
}
