//! Appends to the producers' files at a steady rate.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::loadtest::project_ai::formats::FORMATS;
use crate::loadtest::project_ai::story::{Expected, Moment, World};

/// Most entries at once, so that a machine that cannot keep up is not asked for ever more.
const MOST_AT_ONCE: u64 = 20_000;

/// The open files.
pub(super) struct Files {
    open: Vec<File>,
    texts: Vec<String>,
    world: World,
    /// Lines a second.
    rate: u64,
    started: Instant,
}

impl Files {
    /// Makes the files in a folder.
    ///
    /// # Errors
    /// A sentence, when one cannot be made.
    pub(super) fn new(folder: &Path, rate: u64, seed: u64) -> Result<Self, String> {
        let opened = FORMATS.iter().map(|format| {
            let path = folder.join(format.file);
            let file = OpenOptions::new().create_new(true).append(true).open(&path);
            file.map_err(|error| format!("cannot make {}: {error}", path.display()))
        });
        Ok(Files {
            open: opened.collect::<Result<_, _>>()?,
            texts: vec![String::new(); FORMATS.len()],
            world: World::new(seed),
            rate,
            started: Instant::now(),
        })
    }

    /// What was written so far.
    pub(super) fn expected(&self) -> Expected {
        self.world.expected
    }

    /// Writes what is due since the beginning, `until` at most.
    ///
    /// # Errors
    /// A sentence, when a file cannot be written.
    pub(super) fn write_due(&mut self, until: Duration) -> Result<(), String> {
        let elapsed = self.started.elapsed().min(until);
        let due = (elapsed.as_secs_f64() * self.rate as f64) as u64;
        let weights: u64 = FORMATS.iter().map(|format| format.weight).sum();
        let stop = self.world.expected.lines + MOST_AT_ONCE;
        while self.world.expected.lines < due.min(stop) {
            self.world.now = Moment::now();
            let mut left = self.world.rng.below(weights);
            for (format, text) in FORMATS.iter().zip(&mut self.texts) {
                if left < format.weight {
                    let before = text.len();
                    (format.write)(&mut self.world, text);
                    let written = text.get(before..).unwrap_or_default();
                    self.world.expected.lines +=
                        memchr::memchr_iter(b'\n', written.as_bytes()).count() as u64;
                    break;
                }
                left -= format.weight;
            }
        }
        for ((file, text), format) in self.open.iter_mut().zip(&mut self.texts).zip(&FORMATS) {
            if !text.is_empty() {
                file.write_all(text.as_bytes())
                    .map_err(|error| format!("cannot write {}: {error}", format.file))?;
                text.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(folder.path(), 100_000, 1).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        files.write_due(Duration::from_millis(20)).unwrap();
        let expected = files.expected();
        let lines: usize = FORMATS
            .iter()
            .map(|format| {
                std::fs::read_to_string(folder.path().join(format.file))
                    .unwrap()
                    .lines()
                    .count()
            })
            .sum();
        assert_eq!(lines as u64, expected.lines);
        assert!(expected.lines >= 2000 && expected.events() > 1500);
    }
}
