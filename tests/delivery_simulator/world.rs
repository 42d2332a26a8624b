//! What outlives a simulated process: the sources with what arrived of them, and the tally of faults.

use crate::rng::Rng;

/// What the world remembers across crashes: the source's content and what arrived of it.
pub struct Source {
    /// Where each event ends.
    pub ends: Vec<u64>,
    /// How often each item of each event arrived; an event without items is dropped by rule.
    pub arrived: Vec<Vec<u32>>,
    /// Every position that was ever handed to the checkpoints.
    pub noted: Vec<u64>,
    /// The position in the last flush that succeeded.
    pub durable: u64,
}

impl Source {
    pub fn random(rng: &mut Rng) -> Self {
        let events = rng.below(60);
        let mut end = 0;
        let ends = (0..events)
            .map(|_| {
                end += 1 + rng.below(100) as u64;
                end
            })
            .collect();
        let items = [0, 1, 1, 1, 1, 1, 2, 3];
        let arrived = (0..events)
            .map(|_| vec![0; items[rng.below(items.len())]])
            .collect();
        Self {
            ends,
            arrived,
            noted: Vec::new(),
            durable: 0,
        }
    }

    pub fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    pub fn arrived_before(&self, pos: u64) -> bool {
        let events = self.ends.partition_point(|it| *it <= pos);
        self.arrived[..events].iter().flatten().all(|it| *it > 0)
    }
}

/// How often each kind of fault happened.
#[derive(Default, Debug, Clone, Copy)]
pub struct Seen {
    pub crashes: u32,
    pub torn_flushes: u32,
    pub failed_flushes: u32,
    pub recovered: u32,
    pub fences: u32,
    pub late: u32,
    pub repeats: u32,
    pub resent: u32,
    pub saturated: u32,
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.torn_flushes += other.torn_flushes;
        self.failed_flushes += other.failed_flushes;
        self.recovered += other.recovered;
        self.fences += other.fences;
        self.late += other.late;
        self.repeats += other.repeats;
        self.resent += other.resent;
        self.saturated += other.saturated;
    }
}
