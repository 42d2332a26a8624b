//! The log: lines on stderr, so many per place in the code and no more.
//!
//! One bad line at a million a second must not become a million log lines: each call site may speak three times
//! in ten seconds; what it says beyond that is counted, and the count is told.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Metadata, Record};

use crate::lock;
use crate::time::Timestamp;

/// Lines that one place may write in one window.
const BURST: u32 = 3;
/// Length of the window.
const WINDOW: Duration = Duration::from_secs(10);
/// Places that are remembered; there are fewer in the code.
const MAX_PLACES: usize = 4096;

struct Place {
    since: Instant,
    written: u32,
    held_back: u64,
    level: Level,
    target: String,
    last: String,
}

struct Logger {
    json: AtomicBool,
    color: bool,
    places: Mutex<Option<HashMap<(&'static str, u32), Place>>>,
}

static LOGGER: std::sync::LazyLock<Logger> = std::sync::LazyLock::new(|| Logger {
    json: AtomicBool::new(false),
    color: std::io::stderr().is_terminal(),
    places: Mutex::new(None),
});

/// Starts the log. `level`: `fatal`, `error`, `warn`, `info`, `debug` or `trace`; `format`: `plain` or `json`.
pub fn start(level: &str, format: &str) {
    let level = match level {
        "fatal" => LevelFilter::Error,
        other => LevelFilter::from_str(other).unwrap_or(LevelFilter::Info),
    };
    LOGGER.json.store(format == "json", Relaxed);
    // A second start in one process (tests) keeps the first logger and changes its level.
    let _ = log::set_logger(&*LOGGER);
    log::set_max_level(level);
}

/// Writes what was held back, as counts. Called at intervals and at the end.
pub fn flush(all: bool) {
    let mut due = Vec::new();
    {
        let mut places = lock(&LOGGER.places);
        let Some(places) = places.as_mut() else {
            return;
        };
        for place in places.values_mut() {
            if place.held_back > 0 && (all || place.since.elapsed() >= WINDOW) {
                due.push((
                    place.level,
                    place.target.clone(),
                    format!("{} (and {} more like this)", place.last, place.held_back),
                ));
                place.held_back = 0;
                place.written = 0;
                place.since = Instant::now();
            }
        }
    }
    for (level, target, text) in due {
        LOGGER.write(level, &target, &text);
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("logmill");
        metadata.level() <= log::max_level()
            && (ours || metadata.level() <= Level::Warn || log::max_level() >= LevelFilter::Trace)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() <= Level::Info && !self.may_speak(record) {
            return;
        }
        self.write(record.level(), record.target(), &record.args().to_string());
    }

    fn flush(&self) {
        flush(true);
    }
}

impl Logger {
    fn may_speak(&self, record: &Record<'_>) -> bool {
        let key = (
            record.file_static().unwrap_or_default(),
            record.line().unwrap_or_default(),
        );
        let mut places = lock(&self.places);
        let places = places.get_or_insert_with(HashMap::new);
        if places.len() >= MAX_PLACES && !places.contains_key(&key) {
            return true;
        }
        let place = places.entry(key).or_insert_with(|| Place {
            since: Instant::now(),
            written: 0,
            held_back: 0,
            level: record.level(),
            target: record.target().to_owned(),
            last: String::new(),
        });
        if place.held_back == 0 && place.since.elapsed() >= WINDOW {
            place.since = Instant::now();
            place.written = 0;
        }
        if place.written < BURST {
            place.written += 1;
            return true;
        }
        if place.held_back == 0 {
            place.last = record.args().to_string();
        }
        place.held_back += 1;
        false
    }

    fn write(&self, level: Level, target: &str, text: &str) {
        let mut line = Vec::with_capacity(text.len() + 64);
        let name = level.as_str();
        if self.json.load(Relaxed) {
            line.extend_from_slice(b"{\"timestamp\":\"");
            Timestamp::now()
                .truncated_to_millis()
                .write_iso8601(&mut line);
            let rest = serde_json::json!({"level": name, "loggerName": target, "message": text})
                .to_string();
            line.extend_from_slice(b"\",");
            line.extend_from_slice(rest.get(1..).unwrap_or_default().as_bytes());
        } else {
            line.push(b'[');
            Timestamp::now()
                .truncated_to_millis()
                .write_iso8601(&mut line);
            let (on, off) = if self.color {
                (color(level), "\x1b[0m")
            } else {
                ("", "")
            };
            let _ = write!(
                line,
                "][{on}{name:<5}{off}][{}] ",
                target.strip_prefix("logmill::").unwrap_or(target)
            );
            // A line is a line, whatever is quoted in it.
            for character in text.chars() {
                match character {
                    '\n' => line.extend_from_slice(b"\\n"),
                    other if other.is_control() => {
                        let _ = write!(line, "{}", other.escape_default());
                    }
                    other => {
                        let mut buffer = [0; 4];
                        line.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes());
                    }
                }
            }
        }
        line.push(b'\n');
        // Where stderr is gone there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(&line);
    }
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[2m",
    }
}
