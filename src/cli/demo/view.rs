//! What the demo shows: a table that is redrawn in place on a terminal, lines elsewhere, and the summary.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::status::Status;
use crate::loadtest::project_ai::story::{Expected, Family};

/// How often the table is redrawn, and how often a line is written elsewhere.
const TABLE_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the progress.
pub(super) struct View {
    terminal: bool,
    /// Where the documents go, in words.
    target: String,
    started: Instant,
    length: Duration,
    shown: Option<(Instant, u64, u64)>,
    /// Lines of the table that stands on the screen.
    height: usize,
}

impl View {
    pub(super) fn new(target: String, length: Duration) -> Self {
        let terminal = std::io::stdout().is_terminal();
        View {
            terminal,
            target,
            started: Instant::now(),
            length,
            shown: None,
            height: 0,
        }
    }

    /// Whether it is time to show the progress again.
    pub(super) fn is_due(&self) -> bool {
        let every = if self.terminal {
            TABLE_EVERY
        } else {
            LINE_EVERY
        };
        self.shown.map_or(self.started, |(at, ..)| at).elapsed() >= every
    }

    /// Shows the progress.
    ///
    /// # Errors
    /// When nobody reads the output any more.
    pub(super) fn show(&mut self, expected: &Expected, status: &Status) -> std::io::Result<()> {
        let (at, lines, documents) = self.shown.unwrap_or((self.started, 0, 0));
        let seconds = at.elapsed().as_secs_f64().max(0.001);
        let per_second = |count: u64, before: u64| {
            (count.saturating_sub(before) as f64 / seconds).round() as u64
        };
        let rates = [
            per_second(expected.lines, lines),
            per_second(status.total(), documents),
        ];
        self.shown = Some((Instant::now(), expected.lines, status.total()));
        let text = if self.terminal {
            self.table(expected, status, rates)
        } else {
            self.line(expected, status, rates)
        };
        let mut out = std::io::stdout().lock();
        if self.terminal && self.height > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.height)?;
        }
        self.height = text.lines().count();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn line(&self, expected: &Expected, status: &Status, [written, arrived]: [u64; 2]) -> String {
        format!(
            "{:>3} s: {} lines written ({written}/s), {} documents of {} events ({arrived}/s), {} GeoIP hits, lag {} bytes, {} set aside, {} errors\n",
            self.started.elapsed().as_secs(),
            expected.lines,
            status.total(),
            expected.events(),
            status.geoip_hits,
            status.lag_bytes,
            status.set_aside,
            status.errors,
        )
    }

    fn table(&self, expected: &Expected, status: &Status, [written, arrived]: [u64; 2]) -> String {
        let mut text = format!(
            "\x1b[1mlogmill demo\x1b[0m   live logs → pipelines → {}   {} of {} s, ctrl-c ends it\n\
             \n  written    {:>12} lines      {:>9}/s\n  delivered  {:>12} documents  {:>9}/s   of {} events\n\
             \x20 GeoIP hits {:>12}\n  lag        {:>12} bytes\n  set aside  {:>12}            errors {}, undecodable {}\n\n",
            self.target,
            self.started.elapsed().as_secs(),
            self.length.as_secs(),
            grouped(expected.lines),
            grouped(written),
            grouped(status.total()),
            grouped(arrived),
            grouped(expected.events()),
            grouped(status.geoip_hits),
            grouped(status.lag_bytes),
            grouped(status.set_aside),
            status.errors,
            status.undecodable,
        );
        push_indices(&mut text, status);
        text
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits.get(..first).unwrap_or_default().to_owned();
    for group in digits.as_bytes().get(first..).unwrap_or_default().chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().map(|digit| char::from(*digit)));
    }
    text
}

fn push_indices(text: &mut String, status: &Status) {
    for (index, count) in &status.documents {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:>12}  {index}", grouped(*count));
    }
}

/// The end of the demo in words, without the documents to look at.
pub(super) fn summary(expected: &Expected, status: &Status, warnings: &[String]) -> String {
    let mut text = format!(
        "\n{} lines written, {} events in them; {} documents delivered, {} set aside, {} undecodable, {} errors.\n\
         GeoIP hits: {} of {} (the networks are invented, the demo wrote the databases itself).\nDocuments:\n",
        grouped(expected.lines),
        grouped(expected.events()),
        grouped(status.total()),
        grouped(status.set_aside),
        grouped(status.undecodable),
        status.errors,
        grouped(status.geoip_hits),
        // Each address is looked up for its place and for its network.
        grouped(expected.known_addresses * 2),
    );
    push_indices(&mut text, status);
    for warning in warnings.iter().take(5) {
        let _ = writeln!(text, "from the log: {warning}");
    }
    text
}

/// Up to three documents of different indices.
pub(super) fn documents(status: &Status) -> String {
    // Security first: it tells most.
    let order = [
        Family::Security,
        Family::Logs,
        Family::Persona,
        Family::Ethics,
    ];
    let newest = order.iter().filter_map(|family| {
        status
            .newest
            .iter()
            .rev()
            .find(|(index, _)| index.starts_with(family.index()))
    });
    let mut text = String::new();
    for (index, document) in newest.take(3) {
        let _ = writeln!(text, "\n{index}\n{}", pretty(document));
    }
    text
}

fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default()
}

/// What is missing, or none when all arrived.
pub(super) fn missing(expected: &Expected, status: &Status) -> Option<String> {
    let short: Vec<String> = Family::ALL
        .into_iter()
        .zip(expected.families)
        .filter(|(family, count)| status.of(*family) < *count)
        .map(|(family, count)| format!("{} has {} of {count}", family.index(), status.of(family)))
        .collect();
    (!short.is_empty()).then(|| short.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345, "12,345"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let expected = Expected {
            lines: 9,
            families: [1, 2, 3, 3],
            known_addresses: 0,
        };
        let mut status = Status::default();
        status
            .documents
            .insert("project-ai-persona-2026.01.01".to_owned(), 1);
        status
            .documents
            .insert("project-ai-security-2026.01.01".to_owned(), 2);
        status
            .documents
            .insert("project-ai-ethics-2026.01.01".to_owned(), 2);
        status
            .documents
            .insert("project-ai-ethics-2026.01.02".to_owned(), 2);
        assert_eq!(
            missing(&expected, &status).as_deref(),
            Some("project-ai-logs has 0 of 3")
        );
        assert!(!status.has_all(&expected));
        status
            .documents
            .insert("project-ai-logs-2026.01.02".to_owned(), 3);
        assert_eq!(missing(&expected, &status), None);
        assert!(status.has_all(&expected));
    }
}
