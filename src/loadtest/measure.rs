//! One measurement: the load is written once, then shipped run after run, each with processes of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::child::{Child, Launch, TempFolder, Usage};
use super::feed::{self, Feed};
use super::latency::{Relay, Schedule};
use super::lines::FIRST_TIME;
use super::load::{Input, Job, Kind, Load};
use super::progress::Progress;
use super::receiver::{Counts, Receiver, Target};
use super::report::{Host, Report, Run, median};
use super::signals::Signals;
use super::{http, metric, project_ai};

/// Longest time without a new document.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often the sink is asked for its count: it answers in some 30 µs, so that the question costs it 0.3 % of a core.
const POLL: Duration = Duration::from_millis(10);
/// How often a shipper is asked for its metrics where the other end cannot be asked.
const POLL_METRICS: Duration = Duration::from_millis(50);
/// How long a shipper may take to start.
const START_LIMIT: Duration = Duration::from_secs(15);
/// Seconds of an open loop, unless they are given.
const OPEN_LOOP_SECONDS: u64 = 10;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The load.
    pub kind: Kind,
    /// Lines in the file.
    pub events: u64,
    /// The file is shipped again and again by one shipper for so long; once when none. With a rate, how long lines come.
    pub seconds: Option<u64>,
    /// Lines a second that are appended to a file which the shipper follows; all at once when none.
    pub rate: Option<u64>,
    /// Worker threads of the shipper.
    pub workers: u64,
    /// How often all is measured.
    pub runs: u64,
    /// Percent of the lines that are built to do harm.
    pub hostile: u64,
    /// The sink remembers all ids, and tells which came twice.
    pub ids: bool,
    /// A real Elasticsearch instead of the sink.
    pub target: Option<Target>,
}

/// Writes the lines, ships them, and counts what arrived.
///
/// # Errors
/// A sentence, when the options do not go together, a process fails, or a file cannot be written.
pub fn run(
    options: &Options,
    signals: &Signals,
    progress: &mut Progress,
) -> Result<Report, String> {
    check(options)?;
    let folder = TempFolder::new("loadtest")?;
    let prefix = prefix(options);
    let name = options.kind.name();
    progress.step(&format!("{name}: writing the lines"));
    let events = if options.rate.is_some() {
        0
    } else {
        options.events
    };
    let load = Load::prepare(
        options.kind.clone(),
        folder.path(),
        events,
        options.hostile,
        &prefix,
    )?;
    let measurement = Measurement {
        options,
        load,
        folder: folder.path(),
        prefix,
        signals,
    };
    let result = measurement.all_runs(&name, progress);
    if let (Some(target), false) = (&options.target, is_users(&options.kind)) {
        target.clean(&measurement.prefix)?;
    }
    let (runs, config) = result?;
    Ok(Report {
        scenario: name,
        workers: options.workers,
        hostile_percent: options.hostile,
        target: options
            .target
            .as_ref()
            .map_or("the built-in sink".to_owned(), |target| target.url.clone()),
        median: median(&runs),
        runs,
        config,
        version: env!("CARGO_PKG_VERSION"),
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        host: Host::here(),
    })
}

fn is_users(kind: &Kind) -> bool {
    matches!(kind, Kind::User(_))
}

/// Index names of a real Elasticsearch must be nobody else's.
fn prefix(options: &Options) -> String {
    if options.target.is_none() {
        return "load-".to_owned();
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    format!("logmill-load-{now:x}-{:x}-", std::process::id())
}

fn check(options: &Options) -> Result<(), String> {
    let mixed = matches!(options.kind, Kind::Built(super::Scenario::ProjectAi));
    let refusal = match options {
        _ if mixed && options.rate.is_some() => {
            "`--rate` writes one file: choose another scenario than project-ai (`logmill demo --rate` writes all of its files)"
        }
        _ if mixed && options.seconds.is_some() => {
            "`--seconds` reads one file again and again: choose another scenario than project-ai, or give it more `--events`"
        }
        _ if mixed && options.hostile > 0 => {
            "project-ai has no hostile lines: choose another scenario for `--hostile`"
        }
        _ if mixed && options.target.is_some() => {
            "project-ai writes into the indices of the real application, and replaces its templates: choose another scenario for `--target`, or run `logmill demo`"
        }
        Options {
            rate: Some(_),
            hostile: 1..,
            ..
        } => "`--rate` and `--hostile` do not go together",
        Options {
            hostile: 1..,
            kind: Kind::User(_),
            ..
        } => "a sample of your own is taken as it is: `--hostile` goes with the scenarios only",
        Options { hostile: 51.., .. } => "`--hostile` is a percentage up to 50",
        _ => return Ok(()),
    };
    Err(refusal.to_owned())
}

/// All that the runs share.
struct Measurement<'a> {
    options: &'a Options,
    load: Load,
    folder: &'a Path,
    prefix: String,
    signals: &'a Signals,
}

/// What was seen while documents arrived.
#[derive(Default)]
struct Seen {
    seconds: f64,
    shipper: Usage,
    sink: Option<Usage>,
    memory: Vec<u64>,
    documents: u64,
}

impl Measurement<'_> {
    fn all_runs(&self, name: &str, progress: &mut Progress) -> Result<(Vec<Run>, String), String> {
        let mut runs = Vec::new();
        let mut config = String::new();
        for number in 1..=self.options.runs {
            progress.step(&format!("{name}: run {number} of {}", self.options.runs));
            let (run, job) = self.one_run(number, progress)?;
            progress.end(&format!(
                "{:.2} µs of CPU per event, {:.0} events/s",
                run.total_cpu_us_per_event, run.events_per_second
            ));
            runs.push(run);
            if number == 1 {
                config = job.text;
            }
        }
        Ok((runs, config))
    }

    fn one_run(&self, number: u64, progress: &mut Progress) -> Result<(Run, Job), String> {
        let run = number.to_string();
        let mut receiver = match &self.options.target {
            Some(target) => Receiver::Elasticsearch(target.clone()),
            None => Receiver::sink(self.folder, &run, self.options.ids)?,
        };
        let before = self.earlier_documents(&receiver)?;
        let load_before = load_average();
        let idle = self.allocations_of_a_start(&receiver, &run)?;
        let (seen, mut result, job, metrics) = if let Some(rate) = self.options.rate {
            self.open_loop(&run, rate, &mut receiver, progress)?
        } else if let Some(seconds) = self.options.seconds {
            self.rounds(&run, seconds, &mut receiver, progress)?
        } else {
            self.once(&run, &mut receiver, progress)?
        };
        let mut counts = if self.options.target.is_some() && is_users(&self.options.kind) {
            Counts::default()
        } else {
            receiver.counts(&self.prefix)?
        };
        for (name, count) in &before {
            if let Some(now) = counts.indices.get_mut(name) {
                *now = now.saturating_sub(*count);
            }
        }
        let arrived = seen.documents;
        fill(&mut result, &seen, &metrics, counts, idle);
        if is_users(&self.options.kind) && result.documents == 0 {
            result.documents = arrived;
        }
        result.load_average = [load_before, load_average()];
        self.judge(&mut result);
        Ok((result, job))
    }

    /// A real Elasticsearch keeps the documents of the runs before.
    fn earlier_documents(&self, receiver: &Receiver) -> Result<BTreeMap<String, u64>, String> {
        match receiver {
            Receiver::Elasticsearch(_) if !is_users(&self.options.kind) => {
                Ok(receiver.counts(&self.prefix)?.indices)
            }
            _ => Ok(BTreeMap::new()),
        }
    }

    /// The file, once.
    fn once(
        &self,
        run: &str,
        receiver: &mut Receiver,
        progress: &mut Progress,
    ) -> Result<(Seen, Run, Job, String), String> {
        let job = self.load.job(run, Input::Whole, &receiver.connection())?;
        let started = Instant::now();
        let (mut shipper, api) = self.launch(&job, run)?;
        let wanted = self.load.documents();
        let completed = job.completed.clone();
        let seen = self.watch(
            receiver,
            &mut shipper,
            api,
            started,
            progress,
            &mut |count| {
                Ok(match wanted {
                    Some(wanted) => (Some(wanted), count >= wanted),
                    None => {
                        let size = std::fs::metadata(&completed).map_or(0, |found| found.len());
                        (None, size > 0)
                    }
                })
            },
        )?;
        let run = Run {
            events: self.load.written.events,
            line_bytes: self.load.written.bytes as f64,
            ..Run::default()
        };
        let metrics = http::get(api, "/metrics")?;
        Ok((seen, run, job, metrics))
    }

    /// The file again and again, for a time.
    fn rounds(
        &self,
        run: &str,
        seconds: u64,
        receiver: &mut Receiver,
        progress: &mut Progress,
    ) -> Result<(Seen, Run, Job, String), String> {
        let job = self.load.job(run, Input::Rounds, &receiver.connection())?;
        let started = Instant::now();
        let folder = self.load.rounds();
        let length = Duration::from_secs(seconds);
        let feed = Feed::rounds(self.load.lines(), folder.clone(), length);
        let (mut shipper, api) = self.launch(&job, run)?;
        let each = self.load.documents();
        let seen = self.watch(
            receiver,
            &mut shipper,
            api,
            started,
            progress,
            &mut |count| {
                let (Some(rounds), each) = (feed.done()?, each) else {
                    return Ok((None, false));
                };
                Ok(match each {
                    Some(each) => (Some(each * rounds), count >= each * rounds),
                    None => {
                        let empty =
                            std::fs::read_dir(&folder).is_ok_and(|mut left| left.next().is_none());
                        (None, empty)
                    }
                })
            },
        )?;
        let rounds = feed.done()?.unwrap_or(0);
        let run = Run {
            events: self.load.written.events * rounds,
            line_bytes: feed.bytes() as f64,
            ..Run::default()
        };
        let metrics = http::get(api, "/metrics")?;
        // What is left of this run must not be read by the next.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(entry.path());
        }
        Ok((seen, run, job, metrics))
    }

    /// Lines on a schedule, whatever becomes of the ones before.
    fn open_loop(
        &self,
        run: &str,
        rate: u64,
        receiver: &mut Receiver,
        progress: &mut Progress,
    ) -> Result<(Seen, Run, Job, String), String> {
        let events = rate * self.options.seconds.unwrap_or(OPEN_LOOP_SECONDS);
        let pool = match &self.options.kind {
            Kind::User(config) => feed::sample_lines(&config.sample()?),
            Kind::Built(scenario) => {
                feed::marked_lines(scenario.shape().unwrap_or(super::Shape::Json), FIRST_TIME)
            }
            Kind::Probe { shape, .. } => feed::marked_lines(*shape, FIRST_TIME),
        };
        let by_line = !is_users(&self.options.kind);
        let relay = Relay::start(receiver.address()?, by_line)?;
        let url = format!("http://{}", relay.address);
        let connection = match receiver {
            Receiver::Sink { .. } => super::load::Connection::plain(&url),
            Receiver::Elasticsearch(target) => target.connection(&url),
        };
        let job = self.load.job(run, Input::Growing, &connection)?;
        let path = self.load.growing();
        std::fs::write(&path, "")
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let (mut shipper, api) = self.launch(&job, run)?;
        await_answer(api, &mut shipper)?;
        // The shipper has settled, and its start is no part of the measurement.
        std::thread::sleep(Duration::from_millis(300));
        let (idle, sink_idle) = (shipper.usage(), receiver.usage());
        let schedule = Schedule {
            start: Instant::now() + Duration::from_millis(10),
            rate,
        };
        relay.begin(schedule);
        let feed = Feed::growing(path.clone(), pool, schedule, events);
        let wanted = by_line.then_some(events);
        let mut quiet_since = (0, Instant::now());
        let mut seen = self.watch(
            receiver,
            &mut shipper,
            api,
            schedule.start,
            progress,
            &mut |count| {
                if count != quiet_since.0 {
                    quiet_since = (count, Instant::now());
                }
                let written = feed.done()?.is_some();
                let done = match wanted {
                    Some(wanted) => count >= wanted,
                    // Filters may drop events: what did not come within two seconds will not come.
                    None => quiet_since.1.elapsed() > Duration::from_secs(2),
                };
                Ok((wanted, written && done))
            },
        )?;
        seen.shipper.cpu_seconds -= idle.cpu_seconds;
        if let (Some(sink), Some(before)) = (&mut seen.sink, sink_idle) {
            sink.cpu_seconds -= before.cpu_seconds;
        }
        // The answer to the last request passes the relay after the sink has counted it.
        std::thread::sleep(POLL * 5);
        let mut latency = relay.end(events)?;
        latency.writer_late_ms = feed.late_ms();
        let result = Run {
            events,
            line_bytes: feed.bytes() as f64,
            latency: Some(latency),
            ..Run::default()
        };
        let metrics = http::get(api, "/metrics")?;
        let _ = std::fs::remove_file(path);
        Ok((seen, result, job, metrics))
    }

    fn launch(&self, job: &Job, run: &str) -> Result<(Child, SocketAddr), String> {
        let (workers, api) = (self.options.workers.to_string(), http::free_port()?);
        let (port, data) = (
            api.port().to_string(),
            self.folder.join(format!("data-{run}")),
        );
        let mut arguments = vec![
            OsStr::new("-f"),
            job.config.as_os_str(),
            OsStr::new("--path.data"),
            data.as_os_str(),
        ];
        arguments.extend(
            [
                "--api.http.host",
                "127.0.0.1",
                "--api.http.port",
                &port,
                "-w",
                &workers,
                "--log.level",
                "warn",
            ]
            .map(OsStr::new),
        );
        let messages = self.folder.join(format!("shipper-{run}.messages"));
        let mut launch = Launch::new("the shipper", &arguments, messages)?.silent();
        if !is_users(&self.options.kind) {
            for name in project_ai::SETTINGS {
                launch = launch.without_env(name);
            }
        }
        for (name, value) in &job.environment {
            launch = launch.env(name, value);
        }
        Ok((launch.start()?, api))
    }

    /// Allocations until a shipper of this load is ready for its first event.
    fn allocations_of_a_start(&self, receiver: &Receiver, run: &str) -> Result<u64, String> {
        let run = format!("{run}-start");
        let job = self
            .load
            .job(&run, Input::Nothing, &receiver.connection())?;
        let (mut shipper, api) = self.launch(&job, &run)?;
        await_answer(api, &mut shipper)?;
        std::thread::sleep(Duration::from_millis(200));
        Ok(metric(
            &http::get(api, "/metrics")?,
            "logmill_allocations_total",
            "",
        ))
    }

    /// Watches documents arrive until `judge` is content with their number; it also tells how many there will be.
    fn watch(
        &self,
        receiver: &mut Receiver,
        shipper: &mut Child,
        api: SocketAddr,
        started: Instant,
        progress: &mut Progress,
        judge: &mut dyn FnMut(u64) -> Result<(Option<u64>, bool), String>,
    ) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let (mut changed, mut next_second) = (Instant::now(), 1);
        let mut in_time = false;
        loop {
            let asked = receiver.count()?;
            let count = match asked {
                Some(count) => count,
                None => delivered(api),
            };
            let elapsed = Instant::now().saturating_duration_since(started);
            let (wanted, done) = judge(count)?;
            if count != seen.documents {
                seen.documents = count;
                changed = Instant::now();
                // The last few may wait for a timer, which is no work.
                if !in_time {
                    seen.seconds = elapsed.as_secs_f64();
                    let late = self.load.late();
                    in_time = late > 0 && wanted.is_some_and(|wanted| count + late >= wanted);
                }
            }
            seen.shipper = shipper.usage();
            seen.sink = receiver.usage();
            if elapsed.as_secs() >= next_second {
                next_second = elapsed.as_secs() + 1;
                seen.memory.push(seen.shipper.rss);
            }
            if done {
                return Ok(seen);
            }
            progress.show(
                count,
                wanted.or(self.load.documents()).unwrap_or(0),
                elapsed,
            );
            shipper.check_alive()?;
            receiver.check_alive()?;
            self.signals.check()?;
            if changed.elapsed() > PATIENCE {
                return Err(format!(
                    "{count} documents arrived, and then none for {} s{}",
                    PATIENCE.as_secs(),
                    shipper.last_messages()
                ));
            }
            std::thread::sleep(if asked.is_some() { POLL } else { POLL_METRICS });
        }
    }

    /// Whether every event arrived in its index.
    fn judge(&self, run: &mut Run) {
        let written = &self.load.written;
        if self.load.scenario().is_none() {
            run.all_arrived = self
                .load
                .documents()
                .map(|documents| run.documents >= documents);
            return;
        }
        if self.options.rate.is_some() {
            run.all_arrived = Some(run.documents == run.events);
            return;
        }
        let times = run.events / written.events.max(1);
        let expected: BTreeMap<String, u64> = written
            .indices
            .iter()
            .map(|(name, count)| (name.clone(), count * times))
            .collect();
        run.all_arrived = Some(if written.exact_days {
            run.indices == expected
        } else {
            per_family(&run.indices) == per_family(&expected)
        });
        if self.load.invented && written.known_addresses > 0 && self.options.hostile == 0 {
            run.geoip_hits_expected = Some(written.known_addresses * times);
        }
    }
}

/// Sets the figures of a run; its `line_bytes` are those of all lines until then.
fn fill(run: &mut Run, seen: &Seen, metrics: &str, counts: Counts, idle_allocations: u64) {
    let events = run.events.max(1) as f64;
    let per_event = |seconds: f64| seconds * 1e6 / events;
    let bytes_in = run.line_bytes;
    let bytes_out = counts
        .bytes
        .unwrap_or_else(|| metric(metrics, "logmill_output_bytes_total", "elasticsearch"))
        as f64;
    run.seconds = seen.seconds;
    run.events_per_second = events / seen.seconds.max(1e-6);
    run.mb_per_second_in = bytes_in / 1e6 / seen.seconds.max(1e-6);
    run.mb_per_second_out = bytes_out / 1e6 / seen.seconds.max(1e-6);
    run.line_bytes = bytes_in / events;
    run.body_bytes = bytes_out / events;
    run.shipper_cpu_us_per_event = per_event(seen.shipper.cpu_seconds);
    run.sink_cpu_us_per_event = seen.sink.map(|sink| per_event(sink.cpu_seconds));
    run.total_cpu_us_per_event =
        run.shipper_cpu_us_per_event + run.sink_cpu_us_per_event.unwrap_or(0.0);
    run.shipper_peak_rss_bytes = seen.shipper.peak_rss;
    run.sink_peak_rss_bytes = seen.sink.map(|sink| sink.peak_rss);
    run.shipper_rss_bytes.clone_from(&seen.memory);
    let allocations = metric(metrics, "logmill_allocations_total", "");
    run.allocations_per_event =
        (allocations > 0).then(|| allocations.saturating_sub(idle_allocations) as f64 / events);
    let geoip = "plugin=\"geoip\"";
    run.geoip_hits = metric(metrics, "logmill_filter_matches_total", geoip);
    let lookups = metric(metrics, "logmill_filter_events_in_total", geoip);
    run.geoip_hit_rate = (lookups > 0).then(|| run.geoip_hits as f64 / lookups as f64);
    run.documents = counts.indices.values().sum();
    run.indices = counts.indices;
    run.wrong = counts.wrong;
}

/// Events that a shipper's elasticsearch outputs have delivered or given up.
fn delivered(api: SocketAddr) -> u64 {
    // A shipper that is about to start or end does not answer.
    let metrics = http::get(api, "/metrics").unwrap_or_default();
    [
        "logmill_output_events_total",
        "logmill_output_set_aside_total",
    ]
    .iter()
    .map(|family| metric(&metrics, family, "plugin=\"elasticsearch\""))
    .sum()
}

fn await_answer(api: SocketAddr, shipper: &mut Child) -> Result<(), String> {
    let started = Instant::now();
    while let Err(error) = http::get(api, "/health/live") {
        shipper.check_alive()?;
        if started.elapsed() > START_LIMIT {
            return Err(format!(
                "the shipper does not answer: {error}{}",
                shipper.last_messages()
            ));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
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
    use crate::loadtest::Scenario;

    #[test]
    fn days_at_the_end_of_names_are_left_out() {
        let indices = BTreeMap::from([
            ("a-2026.04.20".to_owned(), 1),
            ("a-2026.04.21".to_owned(), 2),
            ("raw".to_owned(), 4),
        ]);
        assert_eq!(per_family(&indices), BTreeMap::from([("a", 3), ("raw", 4)]));
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let good = Options {
            kind: Kind::Built(Scenario::Json),
            events: 10,
            seconds: None,
            rate: None,
            workers: 2,
            runs: 1,
            hostile: 0,
            ids: false,
            target: None,
        };
        assert_eq!(check(&good), Ok(()));
        let mixed = Kind::Built(Scenario::ProjectAi);
        for (bad, word) in [
            (
                Options {
                    rate: Some(1),
                    kind: mixed.clone(),
                    ..good.clone()
                },
                "--rate",
            ),
            (
                Options {
                    seconds: Some(1),
                    kind: mixed.clone(),
                    ..good.clone()
                },
                "--seconds",
            ),
            (
                Options {
                    hostile: 1,
                    kind: mixed,
                    ..good.clone()
                },
                "--hostile",
            ),
            (
                Options {
                    hostile: 1,
                    rate: Some(5),
                    ..good.clone()
                },
                "--hostile",
            ),
            (
                Options {
                    hostile: 51,
                    ..good.clone()
                },
                "50",
            ),
        ] {
            let error = check(&bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
