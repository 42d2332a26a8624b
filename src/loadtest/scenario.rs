//! The loads: what is in them, how their files are written, and where each document must arrive.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use super::lines::{FIRST_TIME, Lines, iso};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// JSON lines of eleven fields through the `json` codec: date, route by component, GeoIP, index by day.
    Json,
    /// The same with the plain codec and the `json` filter, then the fields of ECS removed, as most configs have it.
    JsonFilter,
    /// The same with all defaults: the original text, the host and the path stay in each document.
    JsonEcs,
    /// Text lines through `grok` and `kv`: date, route by code, GeoIP, index by day.
    Audit,
    /// Lines of a web server in the combined format, against a list of 52 grok patterns.
    GrokAccess,
    /// JSON lines through thirty filters with conditions.
    General,
    /// Text lines that are not looked at.
    Passthrough,
    /// All files of the invented application through the shipped pipelines.
    ProjectAi,
}

/// Shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object of eleven fields, 339 bytes.
    Json,
    /// `time | LEVEL | CODE | k=v | k=v …`.
    Audit,
    /// The combined format of web servers.
    Access,
}

/// The file is written in pieces of this size: small appends would be slower to read.
const PIECE: usize = 1 << 20;

/// What was written, and what must come of it.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Events in it.
    pub events: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Documents per index.
    pub indices: BTreeMap<String, u64>,
    /// Look-ups that the invented databases answer.
    pub known_addresses: u64,
    /// The names of the indices are sure to the day; else only without their last part.
    pub exact_days: bool,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 8] = [
        Scenario::Json,
        Scenario::JsonFilter,
        Scenario::JsonEcs,
        Scenario::Audit,
        Scenario::GrokAccess,
        Scenario::General,
        Scenario::Passthrough,
        Scenario::ProjectAi,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Json => "json",
            Scenario::JsonFilter => "json-filter",
            Scenario::JsonEcs => "json-ecs",
            Scenario::Audit => "audit",
            Scenario::GrokAccess => "grok-access",
            Scenario::General => "general",
            Scenario::Passthrough => "passthrough",
            Scenario::ProjectAi => "project-ai",
        }
    }

    /// The load of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Scenario> {
        Scenario::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    }

    /// Shape of its lines; none where they are many.
    #[must_use]
    pub fn shape(self) -> Option<Shape> {
        match self {
            Scenario::Json | Scenario::JsonFilter | Scenario::JsonEcs | Scenario::General => {
                Some(Shape::Json)
            }
            Scenario::Audit | Scenario::Passthrough => Some(Shape::Audit),
            Scenario::GrokAccess => Some(Shape::Access),
            Scenario::ProjectAi => None,
        }
    }

    /// The index family of a line that a [`Lines`] says belongs to `family`.
    #[must_use]
    pub fn family(self, family: &'static str) -> &'static str {
        match self {
            Scenario::Passthrough => "raw",
            _ => family,
        }
    }

    /// Whether `geoip` is part of the work.
    #[must_use]
    pub fn has_geoip(self) -> bool {
        self != Scenario::Passthrough
    }
}

/// Writes a file of `events` lines of one shape; `hostile` percent of them are built to do harm.
///
/// # Errors
/// When the disk is full, or the file cannot be written.
pub fn write(
    scenario: Scenario,
    shape: Shape,
    path: &Path,
    events: u64,
    hostile: u64,
    prefix: &str,
) -> std::io::Result<Written> {
    let mut file = std::io::BufWriter::with_capacity(PIECE, std::fs::File::create(path)?);
    let mut lines = Lines::new(shape, hostile);
    let mut written = Written {
        events,
        exact_days: hostile == 0,
        ..Written::default()
    };
    // A handful of families: looking through them costs less than making a name for each line.
    let mut today: Vec<(&'static str, u64)> = Vec::new();
    let mut day = FIRST_TIME.div_euclid(DAY);
    let mut close = |day: i64, today: &mut Vec<(&'static str, u64)>| {
        let date = iso(day * DAY)
            .get(..10)
            .unwrap_or_default()
            .replace('-', ".");
        for (family, count) in today.drain(..) {
            let index = if scenario == Scenario::Passthrough {
                format!("{prefix}{family}")
            } else {
                format!("{prefix}{family}-{date}")
            };
            *written.indices.entry(index).or_default() += count;
        }
    };
    for number in 0..events {
        let millis = FIRST_TIME + i64::try_from(number).unwrap_or(0);
        if millis.div_euclid(DAY) != day {
            close(day, &mut today);
            day = millis.div_euclid(DAY);
        }
        let (family, known) = lines.next(millis);
        let family = scenario.family(family);
        file.write_all(&lines.line)?;
        written.bytes += lines.line.len() as u64;
        written.known_addresses += u64::from(known && scenario.has_geoip());
        match today.iter_mut().find(|(name, _)| *name == family) {
            Some((_, count)) => *count += 1,
            None => today.push((family, 1)),
        }
    }
    close(day, &mut today);
    let file = file
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    // What the disk has need not be written while the pipeline is measured.
    file.sync_all()?;
    Ok(written)
}

/// Writes the lines of a sample again and again until there are `events` of them.
///
/// # Errors
/// When the disk is full, or the file cannot be written.
pub fn repeat(sample: &[u8], path: &Path, events: u64) -> std::io::Result<Written> {
    let mut lines: Vec<&[u8]> = sample.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.is_empty() {
        lines.push(b"\n");
    }
    let mut file = std::io::BufWriter::with_capacity(PIECE, std::fs::File::create(path)?);
    let mut written = Written {
        events,
        ..Written::default()
    };
    let mut left = events;
    for line in lines.into_iter().cycle() {
        if left == 0 {
            break;
        }
        left -= 1;
        file.write_all(line)?;
        written.bytes += line.len() as u64;
        if !line.ends_with(b"\n") {
            file.write_all(b"\n")?;
            written.bytes += 1;
        }
    }
    let file = file
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(written)
}

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(scenario: Scenario, hostile: u64) -> (Vec<u8>, Written) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let shape = scenario.shape().unwrap();
        let written = write(scenario, shape, &path, 3000, hostile, "load-").unwrap();
        (std::fs::read(path).unwrap(), written)
    }

    #[test]
    fn every_line_is_counted_in_one_index() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::named(scenario.name()), Some(scenario));
            if scenario.shape().is_none() {
                continue;
            }
            for hostile in [0, 20] {
                let (text, written) = written(scenario, hostile);
                assert_eq!(memchr::memchr_iter(b'\n', &text).count(), 3000);
                assert_eq!(text.len() as u64, written.bytes);
                assert_eq!(written.indices.values().sum::<u64>(), 3000);
            }
        }
    }

    #[test]
    fn json_lines_are_what_the_reference_job_reads() {
        let (text, written) = written(Scenario::Json, 0);
        let all: Vec<serde_json::Value> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert!(
            all.iter()
                .all(|event| event.as_object().unwrap().len() == 11)
        );
        let bytes = text.len() / 3000;
        assert!((335..344).contains(&bytes), "{bytes}");
        assert_eq!(written.indices.len(), 8, "{:?}", written.indices);
        assert_eq!(
            all[1000]["timestamp"], "2026-04-21T00:00:00.000Z",
            "a second before midnight to two after"
        );
    }
}
