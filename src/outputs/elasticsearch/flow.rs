//! How large a request should be: grown step by step while that pays, cut when the server has too much.
//!
//! Increase is additive, decrease multiplicative, as in TCP. For every size, in steps of 1 MiB, the mean time per byte
//! is kept. While a request that left others waiting is no dearer than the best smaller size, the next may be 1 MiB
//! larger; when it is dearer by a quarter, that smaller size is aimed at again. An answer that took longer than [`SLOW`] takes a quarter off; 429,
//! 5xx and missing answers halve the size, once for all that was under way.

use std::time::{Duration, Instant};

/// Smallest size aimed at, bytes.
pub(super) const LEAST: usize = 1 << 20;
/// Largest size aimed at, bytes.
pub(super) const MOST: usize = 16 << 20;
/// Size to begin with, bytes.
pub(super) const FIRST: usize = 4 << 20;
/// Growth at a time, bytes.
const STEP: usize = 1 << 20;
/// No request should take longer.
const SLOW: Duration = Duration::from_secs(5);
/// Weight of one request in the mean of its size.
const WEIGHT: f64 = 0.25;
/// Time per byte, against the best smaller size, up to which larger is no dearer, and from which it does harm.
const NO_DEARER: f64 = 1.1;
const HARMFUL: f64 = 1.25;

/// The size that requests should have at the moment.
#[derive(Debug)]
pub(super) struct Flow {
    target: usize,
    /// Never aimed higher: a larger request was refused for its size.
    ceiling: usize,
    /// Mean time per byte of such requests by their size in steps, seconds; 0 where there were none.
    pace: [f64; MOST / STEP + 1],
    last_cut: Option<Instant>,
}

impl Flow {
    pub fn new() -> Self {
        Flow {
            target: FIRST,
            ceiling: MOST,
            pace: [0.0; MOST / STEP + 1],
            last_cut: None,
        }
    }

    /// Bytes that a request should have at most.
    pub fn target(&self) -> usize {
        self.target
    }

    /// A request of so many bytes, sent at `started` while others waited, was answered after `elapsed`, and most of it
    /// was taken.
    pub fn taken(&mut self, bytes: usize, started: Instant, elapsed: Duration) {
        #[allow(clippy::cast_precision_loss, reason = "a rate needs few digits")]
        let pace = elapsed.as_secs_f64() / bytes as f64;
        if elapsed > SLOW {
            self.cut(self.target / 4 * 3, started, elapsed);
            return;
        }
        let at = bytes.div_ceil(STEP);
        let best = (1..at)
            .map(|smaller| (smaller, self.pace.get(smaller).copied().unwrap_or(0.0)))
            .filter(|(_, pace)| *pace > 0.0)
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some(mean) = self.pace.get_mut(at) else {
            return;
        };
        *mean = if *mean == 0.0 {
            pace
        } else {
            *mean + (pace - *mean) * WEIGHT
        };
        match best {
            Some((smaller, least)) if *mean > least * HARMFUL => self.target = smaller * STEP,
            Some((_, least)) if *mean > least * NO_DEARER => {}
            _ => self.target = (self.target + STEP).min(self.ceiling),
        }
    }

    /// A request that was sent at `started` found the server overloaded.
    pub fn pushed_back(&mut self, started: Instant, elapsed: Duration) {
        self.cut(self.target / 2, started, elapsed);
    }

    /// A request of so many bytes was refused for its size.
    pub fn too_large(&mut self, bytes: usize) {
        self.ceiling = (bytes / 2).clamp(LEAST, self.ceiling);
        self.target = self.target.min(self.ceiling);
    }

    fn cut(&mut self, target: usize, started: Instant, elapsed: Duration) {
        if self.last_cut.is_none_or(|last| started >= last) {
            self.target = target.max(LEAST);
            self.last_cut = Some(started + elapsed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const MS: Duration = Duration::from_millis(1);

    /// Full requests one after another, each taking what `time` says for its size.
    fn run(flow: &mut Flow, rounds: u32, time: impl Fn(usize) -> Duration) -> usize {
        let mut now = Instant::now();
        for _ in 0..rounds {
            let (size, elapsed) = (flow.target(), time(flow.target()));
            flow.taken(size, now, elapsed);
            now += elapsed;
        }
        flow.target()
    }

    fn mib(size: usize) -> u32 {
        u32::try_from(size / MIB).unwrap()
    }

    #[test]
    fn it_grows_while_the_time_per_byte_does_not() {
        let mut flow = Flow::new();
        assert_eq!(run(&mut flow, 3, |size| MS * 20 + MS * mib(size)), 7 * MIB);
        assert_eq!(run(&mut flow, 50, |size| MS * 20 + MS * mib(size)), MOST);
    }

    #[test]
    fn it_stops_where_larger_is_dearer() {
        let mut flow = Flow::new();
        // From 8 MiB on, time grows with the square.
        let time = |size| MS * mib(size) * mib(size).max(8);
        assert!((8 * MIB..=10 * MIB).contains(&run(&mut flow, 200, time)));
        // The server has become three times slower, whatever the size.
        let slower = |size| time(size) * 3;
        assert!((8 * MIB..=10 * MIB).contains(&run(&mut flow, 200, slower)));
    }

    #[test]
    fn slow_answers_shrink_it_however_steady_they_are() {
        let mut flow = Flow::new();
        let end = run(&mut flow, 100, |size| Duration::from_secs(1) * mib(size));
        assert!((3 * MIB..=7 * MIB).contains(&end), "{end}");
    }

    #[test]
    fn a_burst_of_push_backs_halves_it_once_for_all_that_was_under_way() {
        let mut flow = Flow::new();
        let now = Instant::now();
        for _ in 0..4 {
            flow.pushed_back(now, MS);
        }
        assert_eq!(flow.target(), FIRST / 2);
        for round in 1..20 {
            flow.pushed_back(now + MS * 10 * round, MS);
        }
        assert_eq!(flow.target(), LEAST);
        assert_eq!(run(&mut flow, 3, |size| MS * mib(size)), LEAST + 3 * STEP);
    }

    #[test]
    fn what_was_too_large_once_is_not_tried_again() {
        let mut flow = Flow::new();
        run(&mut flow, 50, |size| MS * mib(size));
        flow.too_large(10 * MIB);
        assert_eq!(run(&mut flow, 50, |size| MS * mib(size)), 5 * MIB);
        flow.too_large(100);
        assert_eq!(flow.target(), LEAST);
    }

    #[test]
    fn bodies_that_do_not_fill_the_target_do_not_hold_it_down() {
        let mut flow = Flow::new();
        let now = Instant::now();
        for _ in 0..20 {
            let bytes = flow.target() / (2_100 << 10) * (2_100 << 10);
            flow.taken(bytes, now, MS * 20 + MS * mib(bytes));
        }
        assert_eq!(flow.target(), MOST);
    }
}
