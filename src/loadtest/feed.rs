//! Lines that come while the shipper runs: appended to one file on a schedule, or whole files round after round.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::latency::Schedule;
use super::lines::{Lines, MARK, MARK_DIGITS};
use super::scenario::Shape;

/// How often lines are appended.
const TICK: Duration = Duration::from_millis(1);
/// Lines that are invented; more are repetitions of them with other numbers.
const INVENTED: u64 = 20_000;
/// Rounds that wait in the folder at most, the one that is read included.
const ROUNDS_AHEAD: usize = 3;

/// A thread that writes; it stops when this is dropped.
pub struct Feed {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicBool,
    /// Lines appended, or rounds made.
    written: AtomicU64,
    bytes: AtomicU64,
    late_micros: AtomicU64,
    trouble: std::sync::Mutex<Option<String>>,
}

impl Feed {
    fn spawn(work: impl FnOnce(&Shared) -> Result<(), String> + Send + 'static) -> Feed {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            if let Err(error) = work(&own) {
                *crate::lock(&own.trouble) = Some(error);
            }
            own.done.store(true, Relaxed);
        });
        Feed {
            shared,
            thread: Some(thread),
        }
    }

    /// Appends `count` lines of a pool to a file, each when it is due.
    #[must_use]
    pub fn growing(path: PathBuf, pool: Vec<Vec<u8>>, schedule: Schedule, count: u64) -> Feed {
        Feed::spawn(move |shared| append(&path, &pool, schedule, count, shared))
    }

    /// Copies a file into a folder again and again, as soon as there is room, for `length`.
    #[must_use]
    pub fn rounds(source: PathBuf, folder: PathBuf, length: Duration) -> Feed {
        Feed::spawn(move |shared| rounds(&source, &folder, length, shared))
    }

    /// Lines or rounds written, once it is done.
    ///
    /// # Errors
    /// A sentence, when a file could not be written.
    pub fn done(&self) -> Result<Option<u64>, String> {
        if let Some(trouble) = &*crate::lock(&self.shared.trouble) {
            return Err(trouble.clone());
        }
        let done = self.shared.done.load(Relaxed);
        Ok(done.then(|| self.shared.written.load(Relaxed)))
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Relaxed)
    }

    /// The furthest that it was behind its schedule, ms.
    #[must_use]
    pub fn late_ms(&self) -> f64 {
        self.shared.late_micros.load(Relaxed) as f64 / 1000.0
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It catches its errors itself.
            let _ = thread.join();
        }
    }
}

/// Lines with marks, for [`Feed::growing`]. They are all of one time.
#[must_use]
pub fn marked_lines(shape: Shape, millis: i64) -> Vec<Vec<u8>> {
    let mut lines = Lines::new(shape, 0).marked();
    (0..INVENTED)
        .map(|_| {
            lines.next(millis);
            lines.line.clone()
        })
        .collect()
}

/// The lines of a sample, for [`Feed::growing`].
#[must_use]
pub fn sample_lines(sample: &[u8]) -> Vec<Vec<u8>> {
    let lines = sample.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| [line, b"\n"].concat())
        .collect()
}

fn append(
    path: &Path,
    pool: &[Vec<u8>],
    schedule: Schedule,
    count: u64,
    shared: &Shared,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(failed)?;
    let marks: Vec<Option<usize>> = pool
        .iter()
        .map(|line| memchr::memmem::find(line, MARK.as_bytes()))
        .collect();
    let mut next = 0;
    let mut text = Vec::new();
    while next < count && !shared.stop.load(Relaxed) {
        let elapsed = Instant::now().saturating_duration_since(schedule.start);
        let due = (elapsed.as_nanos() * u128::from(schedule.rate) / 1_000_000_000) as u64;
        text.clear();
        let first = next;
        while next < due.min(count) {
            let at = usize::try_from(next).unwrap_or(0) % pool.len().max(1);
            let from = text.len();
            text.extend_from_slice(pool.get(at).map_or(&[][..], Vec::as_slice));
            if let Some(mark) = marks.get(at).copied().flatten() {
                let digits = format!("{next:0MARK_DIGITS$x}");
                let start = from + mark + MARK.len();
                if let Some(place) = text.get_mut(start..start + MARK_DIGITS) {
                    place.copy_from_slice(digits.as_bytes());
                }
            }
            next += 1;
        }
        if next > first {
            file.write_all(&text).map_err(failed)?;
            let planned = u128::from(first) * 1_000_000 / u128::from(schedule.rate.max(1));
            let now = Instant::now().saturating_duration_since(schedule.start);
            let late = now.as_micros().saturating_sub(planned);
            shared
                .late_micros
                .fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Relaxed);
            shared.bytes.fetch_add(text.len() as u64, Relaxed);
            shared.written.store(next, Relaxed);
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

fn rounds(source: &Path, folder: &Path, length: Duration, shared: &Shared) -> Result<(), String> {
    let started = Instant::now();
    let failed = |error: std::io::Error| {
        format!(
            "cannot copy {} into {}: {error}",
            source.display(),
            folder.display()
        )
    };
    let mut number = 0_u64;
    while started.elapsed() < length && !shared.stop.load(Relaxed) {
        let waiting = std::fs::read_dir(folder).map_err(failed)?.count();
        if waiting >= ROUNDS_AHEAD {
            std::thread::sleep(TICK * 20);
            continue;
        }
        // Readers look for another ending, so that they meet whole files only.
        let (hidden, path) = (
            folder.join(format!("{number:06}.tmp")),
            folder.join(format!("{number:06}.log")),
        );
        let size = std::fs::copy(source, &hidden).map_err(failed)?;
        File::open(&hidden)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        std::fs::rename(&hidden, &path).map_err(failed)?;
        number += 1;
        shared.bytes.fetch_add(size, Relaxed);
        shared.written.store(number, Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_when_they_are_due_and_tell_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grows");
        std::fs::write(&path, "").unwrap();
        let schedule = Schedule {
            start: Instant::now(),
            rate: 10_000,
        };
        let pool = marked_lines(Shape::Json, 0);
        let feed = Feed::growing(path.clone(), pool, schedule, 500);
        while feed.done().unwrap().is_none() {
            std::thread::sleep(TICK);
        }
        assert!(schedule.start.elapsed() >= Duration::from_millis(49));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len() as u64, feed.bytes());
        for (number, line) in text.lines().enumerate() {
            assert!(line.contains(&format!("{MARK}{number:016x}")), "{line}");
        }
        assert_eq!(text.lines().count(), 500);
    }

    #[test]
    fn rounds_are_copies_and_wait_for_room() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("lines");
        std::fs::write(&source, "a\nb\n").unwrap();
        let rounds = folder.path().join("rounds");
        std::fs::create_dir(&rounds).unwrap();
        let feed = Feed::rounds(source, rounds.clone(), Duration::from_millis(100));
        while feed.done().unwrap().is_none() {
            std::thread::sleep(TICK);
        }
        assert_eq!(feed.done().unwrap(), Some(ROUNDS_AHEAD as u64));
        assert_eq!(std::fs::read_dir(rounds).unwrap().count(), ROUNDS_AHEAD);
    }
}
