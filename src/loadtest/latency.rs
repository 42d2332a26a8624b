//! Latency of single events: a relay between shipper and sink that notes when each line's document is answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use flate2::write::MultiGzDecoder;
use serde::Serialize;

use super::lines::{MARK, MARK_DIGITS};

/// Bytes taken from a socket at once.
const PIECE: usize = 256 << 10;
/// Longest head of a request, bytes.
const MAX_HEAD: usize = 64 << 10;
/// Steps into which each doubling is divided: values are right to 1.6 %.
const STEPS: u32 = 64;

/// What was found.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Lines a second that were asked for.
    pub rate: u64,
    /// Documents that were answered.
    pub events: u64,
    /// Half of them took at most so long, ms; from the moment for which the line was planned to the answer.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1000.
    pub p999_ms: f64,
    /// All of them.
    pub max_ms: f64,
    /// The lines told their numbers; else the n-th answer is taken for that of the n-th line, which hides what is
    /// overtaken.
    pub by_line: bool,
    /// The furthest that the writer of the lines was behind its plan, ms; it is part of the latency.
    pub writer_late_ms: f64,
}

/// Counts of durations in steps that grow with them.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: vec![0; (STEPS * 40) as usize],
            total: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Adds a duration, µs.
    pub fn add(&mut self, micros: u64) {
        let slot = Self::slot(micros).min(self.counts.len() - 1);
        self.counts[slot] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    fn slot(micros: u64) -> usize {
        let steps = u64::from(STEPS);
        if micros < steps {
            return micros as usize;
        }
        let shift = micros.ilog2() - STEPS.trailing_zeros();
        (u64::from(shift) * steps + (micros >> shift)) as usize
    }

    /// The end of a slot, µs.
    fn end(slot: usize) -> u64 {
        let (slot, steps) = (slot as u64, u64::from(STEPS));
        if slot < steps {
            return slot;
        }
        let shift = slot / steps - 1;
        ((slot - shift * steps + 1) << shift) - 1
    }

    /// The duration that `share` (0 to 1) of all do not exceed, ms.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return Self::end(slot).min(self.max) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// Durations added.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest, ms.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        self.max as f64 / 1000.0
    }
}

/// The plan of an open loop: line n belongs to the moment `start + n / rate`.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When line 0 is due.
    pub start: Instant,
    /// Lines a second.
    pub rate: u64,
}

impl Schedule {
    /// Time between the moment a line is planned for and `now`, µs.
    fn age_micros(&self, line: u64, now: Instant) -> u64 {
        let due = Duration::from_nanos(
            u64::try_from(u128::from(line) * 1_000_000_000 / u128::from(self.rate.max(1)))
                .unwrap_or(u64::MAX),
        );
        let elapsed = now.saturating_duration_since(self.start);
        u64::try_from(elapsed.saturating_sub(due).as_micros()).unwrap_or(u64::MAX)
    }
}

/// What all connections of a relay note.
#[derive(Default)]
struct Notes {
    schedule: OnceLock<Schedule>,
    by_line: bool,
    found: Mutex<Found>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Found {
    histogram: Histogram,
    /// Documents of each answer and when it came, where the lines do not tell their numbers.
    answers: Vec<(u64, Instant)>,
    trouble: Option<String>,
}

impl Found {
    /// Takes the n-th document for that of the n-th line. Where filters drop or split events, all lines become as
    /// many documents as each other.
    fn settle(&mut self, schedule: &Schedule, lines: u64) {
        let all: u64 = self.answers.iter().map(|(documents, _)| documents).sum();
        let mut number = 0_u64;
        for (documents, at) in std::mem::take(&mut self.answers) {
            for _ in 0..documents {
                let line = u128::from(number) * u128::from(lines) / u128::from(all.max(1));
                let line = u64::try_from(line).unwrap_or(u64::MAX);
                self.histogram.add(schedule.age_micros(line, at));
                number += 1;
            }
        }
    }
}

/// A relay that listens for the shipper and hands everything on.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    notes: Arc<Notes>,
}

impl Relay {
    /// Starts a relay to `upstream`. `by_line` says that the lines tell their numbers.
    ///
    /// # Errors
    /// A sentence, when it cannot listen.
    pub fn start(upstream: SocketAddr, by_line: bool) -> Result<Relay, String> {
        let deaf = |error: std::io::Error| format!("cannot listen for the shipper: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(deaf)?;
        let address = listener.local_addr().map_err(deaf)?;
        let notes = Arc::new(Notes {
            by_line,
            ..Notes::default()
        });
        let shared = Arc::clone(&notes);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stopped.load(Relaxed) {
                    return;
                }
                connect(client, upstream, &shared);
            }
        });
        Ok(Relay { address, notes })
    }

    /// Says when which line is due. Answers before that are not counted.
    pub fn begin(&self, schedule: Schedule) {
        // There is one schedule to a relay.
        let _ = self.notes.schedule.set(schedule);
    }

    /// What was found, after so many lines.
    ///
    /// # Errors
    /// A sentence, when the requests could not be read.
    pub fn end(&self, lines: u64) -> Result<Latency, String> {
        let mut found = crate::lock(&self.notes.found);
        if let Some(trouble) = &found.trouble {
            return Err(trouble.clone());
        }
        if let Some(schedule) = self.notes.schedule.get() {
            found.settle(schedule, lines);
        }
        let histogram = &found.histogram;
        Ok(Latency {
            rate: self.notes.schedule.get().map_or(0, |plan| plan.rate),
            events: histogram.total(),
            p50_ms: histogram.quantile_ms(0.5),
            p99_ms: histogram.quantile_ms(0.99),
            p999_ms: histogram.quantile_ms(0.999),
            max_ms: histogram.max_ms(),
            by_line: self.notes.by_line,
            writer_late_ms: 0.0,
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.notes.stopped.store(true, Relaxed);
        // The listener looks up when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

/// Serves one connection in two threads, one for each direction.
fn connect(client: TcpStream, upstream: SocketAddr, notes: &Arc<Notes>) {
    let Ok(server) = TcpStream::connect(upstream) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let scan = Arc::new(Mutex::new(Scan::default()));
    let (scan_too, notes_too) = (Arc::clone(&scan), Arc::clone(notes));
    std::thread::spawn(move || {
        forward(client, server, |piece| crate::lock(&scan).request(piece));
    });
    std::thread::spawn(move || {
        forward(server_too, client_too, |piece| {
            let now = Instant::now();
            crate::lock(&scan_too).answer(piece, now, &notes_too);
        });
    });
}

/// Hands bytes on until one side ends; each piece is looked at before the other side has it.
fn forward(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; PIECE];
    while let Ok(size) = from.read(&mut buffer) {
        let piece = buffer.get(..size).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        look(piece);
        if to.write_all(piece).is_err() {
            break;
        }
    }
    let _ = (
        to.shutdown(std::net::Shutdown::Write),
        from.shutdown(std::net::Shutdown::Read),
    );
}

/// The requests of one connection, which come one after another.
#[derive(Default)]
struct Scan {
    head: Vec<u8>,
    /// Bytes of the body that are still to come.
    body_left: u64,
    bulk: bool,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    /// The end of the piece before, in which a mark may have begun.
    tail: Vec<u8>,
    lines: Vec<u64>,
    newlines: u64,
    trouble: Option<String>,
}

impl Scan {
    fn request(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.body_left == 0 {
                piece = self.read_head(piece);
                continue;
            }
            let size = usize::try_from(self.body_left)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            let (body, rest) = piece.split_at(size);
            if self.bulk {
                self.unpack(body);
            }
            self.body_left -= size as u64;
            piece = rest;
        }
    }

    /// Takes what belongs to the head; what is left.
    fn read_head<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let before = self.head.len();
        self.head.extend_from_slice(piece);
        let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else {
            if self.head.len() > MAX_HEAD {
                self.trouble = Some("a request of the shipper has no end to its head".to_owned());
                self.head.clear();
            }
            return &[];
        };
        let text = String::from_utf8_lossy(self.head.get(..end).unwrap_or_default());
        let header = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        self.bulk = text
            .lines()
            .next()
            .is_some_and(|line| line.contains("/_bulk"));
        self.body_left = header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        let gzip = header("content-encoding").is_some_and(|encoding| encoding == "gzip");
        self.gzip = gzip.then(|| MultiGzDecoder::new(Vec::new()));
        if self.bulk && self.body_left == 0 {
            self.trouble =
                Some("a bulk request of the shipper does not tell its length".to_owned());
        }
        self.head.clear();
        self.tail.clear();
        piece.get(end + 4 - before..).unwrap_or_default()
    }

    /// Reads a piece of a body, compressed or not.
    fn unpack(&mut self, body: &[u8]) {
        let Some(mut gzip) = self.gzip.take() else {
            self.read_body(body);
            return;
        };
        if let Err(error) = gzip.write_all(body).and_then(|()| gzip.flush()) {
            self.trouble = Some(format!("a bulk request cannot be unpacked: {error}"));
        }
        let text = std::mem::take(gzip.get_mut());
        self.read_body(&text);
        self.gzip = Some(gzip);
    }

    fn read_body(&mut self, body: &[u8]) {
        self.newlines += memchr::memchr_iter(b'\n', body).count() as u64;
        let keep = MARK.len() + MARK_DIGITS - 1;
        if !self.tail.is_empty() {
            // Marks that begin in the piece before and end in this one.
            let old = self.tail.len();
            self.tail
                .extend_from_slice(body.get(..keep.min(body.len())).unwrap_or_default());
            let joined = std::mem::take(&mut self.tail);
            self.find(&joined, |at| at < old);
            if body.len() < keep {
                let from = joined.len().saturating_sub(keep);
                self.tail = joined.get(from..).unwrap_or_default().to_vec();
                return;
            }
        }
        self.find(body, |_| true);
        let from = body.len().saturating_sub(keep);
        self.tail
            .extend_from_slice(body.get(from..).unwrap_or_default());
    }

    /// Notes all whole marks that begin where `wanted` says.
    fn find(&mut self, text: &[u8], wanted: impl Fn(usize) -> bool) {
        for at in memchr::memmem::find_iter(text, MARK) {
            let digits = text.get(at + MARK.len()..at + MARK.len() + MARK_DIGITS);
            let number = digits
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u64::from_str_radix(digits, 16).ok());
            // One document may tell its number in several fields.
            if let (Some(number), true) = (number, wanted(at))
                && self.lines.last() != Some(&number)
            {
                self.lines.push(number);
            }
        }
    }

    /// The first bytes of an answer settle the request before it.
    fn answer(&mut self, piece: &[u8], now: Instant, notes: &Notes) {
        let (lines, newlines) = (std::mem::take(&mut self.lines), self.newlines);
        self.newlines = 0;
        let mut found = crate::lock(&notes.found);
        found.trouble = found.trouble.take().or_else(|| self.trouble.take());
        let good = piece.get(9..10) == Some(b"2");
        let Some(schedule) = notes.schedule.get().filter(|_| good) else {
            return;
        };
        if notes.by_line {
            for line in lines {
                found.histogram.add(schedule.age_micros(line, now));
            }
        } else {
            found.answers.push((newlines / 2, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_step() {
        let mut histogram = Histogram::default();
        for micros in 0..100_000 {
            histogram.add(micros);
        }
        for share in [0.01, 0.5, 0.99, 0.999, 1.0] {
            let (got, want) = (histogram.quantile_ms(share), share * 100.0);
            assert!((got - want).abs() <= want * 0.02 + 0.01, "{share}: {got}");
        }
        assert!(histogram.max_ms() < 100.0);
        for micros in [0, 1, 63, 64, 65, 127, 128, 1 << 20, (1 << 30) + 5] {
            let slot = Histogram::slot(micros);
            assert!(Histogram::end(slot) >= micros, "{micros}");
            assert!(slot == 0 || Histogram::end(slot - 1) < micros, "{micros}");
        }
    }

    #[test]
    fn marks_are_found_wherever_the_stream_is_cut() {
        let body = format!(
            "{{\"index\":{{}}}}\n{{\"t\":\"{MARK}000000000000000a\"}}\n{{\"index\":{{}}}}\n{{\"t\":\"{MARK}00000000000000ff\"}}\n"
        );
        let request = format!(
            "POST /_bulk?x HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}GET / HTTP/1.1\r\n\r\n",
            body.len()
        );
        for size in 1..request.len() {
            let mut scan = Scan::default();
            for piece in request.as_bytes().chunks(size) {
                scan.request(piece);
            }
            assert_eq!(scan.lines, [10, 255], "pieces of {size}");
            assert_eq!(scan.newlines, 4);
            assert_eq!(scan.trouble, None);
        }
    }

    #[test]
    fn compressed_bodies_are_read_too() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        write!(gzip, "{{}}\n{{\"t\":\"{MARK}0000000000000007\"}}\n").unwrap();
        let body = gzip.finish().unwrap();
        let mut request = format!(
            "POST /_bulk HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        for size in [1, 7, request.len()] {
            let mut scan = Scan::default();
            for piece in request.chunks(size) {
                scan.request(piece);
            }
            assert_eq!(scan.lines, [7], "pieces of {size}");
            assert_eq!((scan.newlines, scan.trouble), (2, None));
        }
    }

    #[test]
    fn documents_that_filters_dropped_do_not_make_others_late() {
        let start = Instant::now();
        let schedule = Schedule { start, rate: 1000 };
        let mut found = Found::default();
        for batch in 1..=10_u64 {
            // Half of the hundred lines of each tenth of a second are dropped; the others come at its end.
            found
                .answers
                .push((50, start + Duration::from_millis(100 * batch)));
        }
        found.settle(&schedule, 1000);
        assert_eq!(found.histogram.total(), 500);
        assert!(found.histogram.max_ms() <= 100.0);
    }

    #[test]
    fn answers_that_refuse_count_nothing() {
        let notes = Notes {
            by_line: true,
            ..Notes::default()
        };
        let start = Instant::now();
        notes.schedule.set(Schedule { start, rate: 1000 }).unwrap();
        let mut scan = Scan {
            lines: vec![0],
            ..Scan::default()
        };
        scan.answer(b"HTTP/1.1 429 Too Many", start, &notes);
        scan.lines.push(5);
        scan.answer(b"HTTP/1.1 200 OK", start + Duration::from_millis(7), &notes);
        let found = notes.found.lock().unwrap();
        assert_eq!(found.histogram.total(), 1);
        assert!((found.histogram.max_ms() - 2.0).abs() < 0.1);
    }
}
