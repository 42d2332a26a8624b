//! The invented application: its sixteen log files, read by the shipped pipelines.

pub(crate) mod formats;
pub(crate) mod story;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use self::formats::FORMATS;
use self::story::{Expected, Family, Moment, World};
use super::scenario::Written;

/// Settings of the machine's real pipelines, which have no place in an invented application's.
pub(crate) const SETTINGS: [&str; 4] = [
    "PROJECT_AI_MAX_AGE",
    "PROJECT_AI_MAX_AHEAD",
    "PROJECT_AI_CLOSE_OLDER",
    "PROJECT_AI_AUDIT_INDEX",
];
/// Entries that are invented; more are repetitions of them, since inventing costs more than shipping.
const INVENTED: u64 = 100_000;

/// The shipped pipelines: those that are given, else those here, or beside or above the program.
///
/// # Errors
/// A sentence, when there are none.
pub(crate) fn pipelines(given: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(given) = given {
        return if given.exists() {
            Ok(given.to_path_buf())
        } else {
            Err(format!(
                "there is no {}: check `--pipelines`",
                given.display()
            ))
        };
    }
    let program = std::env::current_exe().unwrap_or_default();
    let places = std::iter::once(Path::new(".")).chain(program.ancestors().skip(1));
    let is_ours = |folder: &PathBuf| folder.join("90-output.conf").is_file();
    let found = places.map(|place| place.join("pipelines")).find(is_ours);
    found.ok_or_else(|| "the folder pipelines/ is neither here nor beside or above the program: name it with `--pipelines`".to_owned())
}

/// Writes all files into a folder: `events` events or a few more, a millisecond apart, the last one of this moment.
///
/// # Errors
/// When the disk is full, or a file cannot be written.
pub(crate) fn write(folder: &Path, events: u64) -> std::io::Result<Written> {
    let mut world = World::new(2026);
    let end = world.now.millis;
    let count = i64::try_from(events.min(INVENTED)).unwrap_or(0);
    let weights: u64 = FORMATS.iter().map(|format| format.weight).sum();
    let mut texts = vec![String::new(); FORMATS.len()];
    while world.expected.events() < events.min(INVENTED) {
        let done = i64::try_from(world.expected.events()).unwrap_or(0);
        world.now = Moment::at(end - (count - done).max(0));
        let mut left = world.rng.below(weights);
        for (format, text) in FORMATS.iter().zip(&mut texts) {
            if left < format.weight {
                (format.write)(&mut world, text);
                break;
            }
            left -= format.weight;
        }
    }
    let rounds = events.div_ceil(world.expected.events().max(1)).max(1);
    let mut written = Written::default();
    for (format, text) in FORMATS.iter().zip(&texts) {
        let mut file = File::create(folder.join(format.file))?;
        for _ in 0..rounds {
            file.write_all(text.as_bytes())?;
        }
        // What the disk has need not be written while the pipeline is measured.
        file.sync_all()?;
        written.bytes += text.len() as u64 * rounds;
    }
    expect(&mut written, &world.expected, rounds);
    Ok(written)
}

fn expect(written: &mut Written, expected: &Expected, rounds: u64) {
    written.events = expected.events() * rounds;
    // Each address is looked up twice: its place and its network.
    written.known_addresses = expected.known_addresses * rounds * 2;
    for (family, count) in Family::ALL.into_iter().zip(expected.families) {
        written
            .indices
            .insert(family.index().to_owned(), count * rounds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_what_is_expected_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let written = write(folder.path(), 5000).unwrap();
        assert!((5000..5010).contains(&written.events), "{}", written.events);
        assert_eq!(written.indices.values().sum::<u64>(), written.events);
        let bytes: u64 = FORMATS
            .iter()
            .map(|format| {
                std::fs::metadata(folder.path().join(format.file))
                    .unwrap()
                    .len()
            })
            .sum();
        assert_eq!(bytes, written.bytes);
    }
}
