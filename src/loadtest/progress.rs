//! How far a measurement is: a bar on a terminal, a line for each run elsewhere; on stderr, since stdout has the result.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the bar is drawn.
const EVERY: Duration = Duration::from_millis(100);
/// Marks of a full bar.
const WIDTH: u64 = 30;

/// Tells how far a measurement is.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    quiet: bool,
    title: String,
    drawn: Option<Instant>,
}

impl Progress {
    /// On stderr, if that is a terminal as a bar. `quiet` shows nothing.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Progress {
            terminal: std::io::stderr().is_terminal(),
            quiet,
            title: String::new(),
            drawn: None,
        }
    }

    /// A new step begins.
    pub fn step(&mut self, title: &str) {
        title.clone_into(&mut self.title);
        self.drawn = None;
        self.show(0, 0, Duration::ZERO);
    }

    /// So many of all are done, after this time; 0 of 0 when it is unknown.
    pub fn show(&mut self, done: u64, all: u64, elapsed: Duration) {
        if self.quiet || !self.terminal || self.drawn.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let line = bar(&self.title, done, all, elapsed);
        // Nobody is hurt when the bar is not seen.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    /// The step is over, with this result.
    pub fn end(&mut self, result: &str) {
        if self.quiet {
            return;
        }
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(std::io::stderr(), "{clear}{}: {result}", self.title);
    }
}

fn bar(title: &str, done: u64, all: u64, elapsed: Duration) -> String {
    let speed = if elapsed.is_zero() {
        0.0
    } else {
        done as f64 / elapsed.as_secs_f64()
    };
    if all == 0 {
        return format!("{title}: {done} events, {speed:.0}/s");
    }
    let share = done.min(all) * 100 / all;
    let full = (done.min(all) * WIDTH / all) as usize;
    let rest = WIDTH as usize - full;
    format!(
        "{title} [{}{}] {share:>3} %  {speed:.0} events/s",
        "#".repeat(full),
        ".".repeat(rest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_long_as_its_share() {
        let line = bar("json", 500, 1000, Duration::from_secs(2));
        assert_eq!(
            line,
            "json [###############...............]  50 %  250 events/s"
        );
        assert!(bar("json", 2000, 1000, Duration::ZERO).contains("100 %"));
        assert!(bar("json", 7, 0, Duration::ZERO).contains("7 events"));
    }
}
