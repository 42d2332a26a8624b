//! Drives the delivery core and its checkpoints through simulated faults, from a seed: answers reordered, partial, lost,
//! repeated and late; streams fenced; power cut in the middle of a write. After every step it compares the core with a
//! slow and obvious model, and at the end nothing may be missing at the destination.
//!
//! `LOGMILL_SIM_SEEDS=N` runs N seeds (200 by default), `LOGMILL_SIM_SEED=n` replays one and tells its last steps.

#[path = "delivery_simulator/faulty_disk.rs"]
mod faulty_disk;
#[path = "delivery_simulator/rng.rs"]
mod rng;
#[path = "delivery_simulator/suspect_core.rs"]
mod suspect_core;
#[path = "delivery_simulator/world.rs"]
mod world;

use std::collections::VecDeque;
use std::ops::Range;

use logmill::delivery::checkpoint::{CheckpointStore, Key};
use logmill::delivery::{Commit, InFlight, Limits, OpenError, Outcome, StreamId, Ticket};

use faulty_disk::FaultyDisk;
use rng::Rng;
use suspect_core::{Core, Defect};
use world::{Seen, Source};

const STEPS: usize = 400;
const LIMITS: Limits = Limits {
    tickets_per_stream: 5,
    tickets: 12,
};

type Verdict = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

#[test]
fn seeds_find_no_loss() {
    if let Some(seed) = number_from_env("LOGMILL_SIM_SEED") {
        run_or_explain(seed, &Setting::default());
        return;
    }
    for seed in 0..number_from_env("LOGMILL_SIM_SEEDS").unwrap_or(200) {
        run_or_explain(seed, &Setting::default());
    }
}

#[test]
fn a_crash_at_every_step_loses_nothing() {
    for seed in 1000..1003 {
        for step in 0..STEPS {
            run_or_explain(
                seed,
                &Setting {
                    crash_at: Some(step),
                    ..Setting::default()
                },
            );
        }
    }
}

#[test]
fn the_faults_that_are_promised_do_happen() {
    let mut seen = Seen::default();
    for seed in 0..60 {
        let mut sim = Sim::new(seed, &Setting::default());
        sim.run().unwrap();
        seen.add(&sim.seen);
    }
    let Seen {
        crashes,
        torn_flushes,
        failed_flushes,
        recovered,
        fences,
        late,
        repeats,
        resent,
        saturated,
    } = seen;
    let all = [
        crashes,
        torn_flushes,
        failed_flushes,
        recovered,
        fences,
        late,
        repeats,
        resent,
        saturated,
    ];
    assert!(all.iter().all(|it| *it > 0), "{seen:?}");
}

#[test]
fn a_core_that_commits_what_was_only_read_is_caught() {
    assert_caught(
        &Setting::with(Defect::CommitsAtOpen),
        "longest answered prefix",
    );
}

#[test]
fn a_core_that_commits_past_a_gap_is_caught() {
    assert_caught(&Setting::with(Defect::SkipsGaps), "longest answered prefix");
}

#[test]
fn a_core_that_takes_one_answer_for_all_is_caught() {
    assert_caught(&Setting::with(Defect::OneAnswerIsEnough), "in flight");
}

#[test]
fn a_core_that_finishes_early_is_caught() {
    assert_caught(&Setting::with(Defect::FinishesEarly), "finished");
}

#[test]
fn a_core_that_forgets_fences_is_caught() {
    assert_caught(&Setting::with(Defect::ForgetsFences), "in flight");
}

#[test]
fn a_core_that_holds_commits_back_is_caught() {
    assert_caught(&Setting::with(Defect::SwallowsCommits), "was not polled");
}

#[test]
fn losses_are_caught_by_what_is_missing_alone() {
    for defect in [
        Defect::CommitsAtOpen,
        Defect::SkipsGaps,
        Defect::OneAnswerIsEnough,
    ] {
        let blind = Setting {
            losses_only: true,
            ..Setting::with(defect)
        };
        assert_caught(&blind, "never arrived");
    }
}

#[test]
fn checkpoints_on_a_disk_that_only_pretends_to_sync_are_caught() {
    assert_caught(
        &Setting {
            lying_disk: true,
            ..Setting::default()
        },
        "after a crash",
    );
}

fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

fn run_or_explain(seed: u64, setting: &Setting) {
    let mut sim = Sim::new(seed, setting);
    let Err(why) = sim.run() else { return };
    let mut again = Sim::new(seed, setting);
    again.trace = Some(VecDeque::new());
    let _ = again.run();
    let steps: Vec<String> = again.trace.into_iter().flatten().collect();
    let crash = setting.crash_at.map_or(String::new(), |it| {
        format!(" with a crash forced at step {it}")
    });
    panic!(
        "seed {seed}{crash}, step {}: {why}\nlast steps:\n{}\nreplay: LOGMILL_SIM_SEED={seed} cargo test --test delivery_simulator",
        sim.step,
        steps.join("\n")
    );
}

fn assert_caught(setting: &Setting, how: &str) {
    let caught: Vec<String> = (0..30)
        .filter_map(|seed| Sim::new(seed, setting).run().err())
        .collect();
    assert!(
        caught.iter().any(|it| it.contains(how)),
        "expected a complaint about `{how}`, had {caught:#?}"
    );
}

#[derive(Default)]
struct Setting {
    defect: Option<Defect>,
    lying_disk: bool,
    crash_at: Option<usize>,
    /// Compare nothing with the model: ask only whether something was lost.
    losses_only: bool,
}

impl Setting {
    fn with(defect: Defect) -> Self {
        Self {
            defect: Some(defect),
            ..Self::default()
        }
    }
}

/// A stream of the running process, as the model sees it.
struct Live {
    id: StreamId,
    record: u64,
    start: u64,
    next_event: usize,
    runs: Vec<usize>,
    committed: u64,
    ended: bool,
    told_finished: bool,
    fenced: bool,
}

struct Run {
    source: usize,
    ticket: Ticket,
    end: u64,
    events: Range<usize>,
    expected: Option<u32>,
    answered: u32,
    void: bool,
}

impl Run {
    fn complete(&self) -> bool {
        self.expected == Some(self.answered)
    }
}

#[derive(Clone, Copy)]
struct Item {
    run: usize,
    event: usize,
    number: usize,
}

#[derive(Clone, Copy)]
struct Reply {
    run: usize,
    items: u32,
    outcome: Outcome,
}

struct Sim {
    rng: Rng,
    defect: Option<Defect>,
    crash_at: Option<usize>,
    losses_only: bool,
    step: usize,
    faults: bool,
    seen: Seen,
    trace: Option<VecDeque<String>>,
    disk: FaultyDisk,
    sources: Vec<Source>,
    // All that follows is lost in a crash.
    core: Core,
    store: CheckpointStore,
    live: Vec<Live>,
    runs: Vec<Run>,
    unparsed: Vec<usize>,
    unsent: Vec<Item>,
    replies: Vec<Reply>,
    /// Replies that the network may repeat once their run is closed.
    echoes: Vec<Reply>,
}

impl Sim {
    fn new(seed: u64, setting: &Setting) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995);
        let sources = (0..2 + rng.below(4))
            .map(|_| Source::random(&mut rng))
            .collect();
        let disk = FaultyDisk::new(rng.next(), setting.lying_disk);
        let mut sim = Self {
            rng,
            defect: setting.defect,
            crash_at: setting.crash_at,
            losses_only: setting.losses_only,
            step: 0,
            faults: true,
            seen: Seen::default(),
            trace: None,
            store: load(&disk).expect("an empty disk holds no bad checkpoints"),
            disk,
            sources,
            core: Core::new(setting.defect),
            live: Vec::new(),
            runs: Vec::new(),
            unparsed: Vec::new(),
            unsent: Vec::new(),
            replies: Vec::new(),
            echoes: Vec::new(),
        };
        sim.register_all();
        sim
    }

    fn run(&mut self) -> Verdict {
        while self.step < STEPS {
            if self.crash_at == Some(self.step) {
                self.crash_within_flush(self.step % 6)?;
            } else {
                self.random_step()?;
            }
            self.check()?;
            self.step += 1;
        }
        self.come_to_rest()
    }

    fn random_step(&mut self) -> Verdict {
        match self.rng.below(100) {
            0..25 => self.read(),
            25..42 => {
                self.parse();
                Ok(())
            }
            42..62 => {
                self.send();
                Ok(())
            }
            62..80 => self.receive(),
            80..84 => self.repeat(),
            84..91 => self.poll(),
            91..95 => self.flush(),
            95..98 => self.fence_or_return(),
            98 => self.crash(),
            _ => {
                let operations = self.rng.below(6);
                self.crash_within_flush(operations)
            }
        }
    }

    /// Without further faults everything must get through, in a bounded number of rounds.
    fn come_to_rest(&mut self) -> Verdict {
        self.faults = false;
        for _ in 0..2000 {
            if self.live.iter().all(|it| it.told_finished) {
                break;
            }
            for source in 0..self.sources.len() {
                if self.live[source].fenced {
                    self.register_again(source);
                }
            }
            self.read()?;
            self.parse();
            self.send();
            self.receive()?;
            self.poll()?;
            self.check()?;
        }
        for (live, source) in self.live.iter().zip(&self.sources) {
            ensure!(live.told_finished, "stream {:?} never finished", live.id);
            ensure!(
                live.committed == source.len(),
                "finished at {} of {}",
                live.committed,
                source.len()
            );
            ensure!(
                source.arrived_before(source.len()),
                "an event never arrived"
            );
        }
        ensure!(
            self.core.is_idle(),
            "everything is done but the core is not idle: {:?}",
            self.core.in_flight()
        );
        self.flush()?;
        let store = load(&self.disk)?;
        for (name, source) in self.sources.iter().enumerate() {
            let record = store
                .find_name(&name.to_string())
                .ok_or("a finished source has no checkpoint")?;
            ensure!(
                (record.pos, record.finished) == (source.len(), true),
                "the last checkpoint is {record:?}"
            );
        }
        Ok(())
    }

    fn register_all(&mut self) {
        self.live.clear();
        for (name, source) in self.sources.iter().enumerate() {
            let known = self.store.find_name(&name.to_string());
            let start = known.as_ref().map_or(0, |it| it.pos);
            let record = known.map_or_else(
                || self.store.insert(Key::Name(name.to_string()), 0, 0),
                |it| it.id,
            );
            self.live
                .push(Live::new(self.core.register(start), record, start, source));
        }
    }

    fn register_again(&mut self, source: usize) {
        self.say(|| format!("register source {source} again"));
        let old = &self.live[source];
        self.core.unregister(old.id);
        let start = old.committed;
        self.live[source] = Live::new(
            self.core.register(start),
            old.record,
            start,
            &self.sources[source],
        );
    }

    fn read(&mut self) -> Verdict {
        let source = self.rng.below(self.sources.len());
        let live = &mut self.live[source];
        if live.fenced || live.ended {
            ensure!(
                self.core.open(live.id, u64::MAX) == Err(OpenError::Closed),
                "a closed stream was read"
            );
            return Ok(());
        }
        let events = self.sources[source].ends.len();
        if live.next_event == events {
            live.ended = true;
            self.core.finish(live.id);
            self.say(|| format!("source {source} is at its end"));
            return Ok(());
        }
        let last = (live.next_event + 1 + self.rng.below(5)).min(events);
        let end = self.sources[source].ends[last - 1];
        let saturated = self.core.saturated(live.id);
        match self.core.open(live.id, end) {
            Ok(ticket) => {
                ensure!(!saturated, "opened although saturated");
                let events = live.next_event..last;
                live.next_event = last;
                let run = self.runs.len();
                live.runs.push(run);
                self.unparsed.push(run);
                self.say(|| format!("read source {source} to {end} as run {run}"));
                self.runs.push(Run {
                    source,
                    ticket,
                    end,
                    events,
                    expected: None,
                    answered: 0,
                    void: false,
                });
            }
            Err(why) => {
                ensure!(saturated && why == OpenError::Saturated, "open: {why}");
                self.seen.saturated += 1;
            }
        }
        Ok(())
    }

    fn parse(&mut self) {
        let Some(number) = self.rng.take(&mut self.unparsed) else {
            return;
        };
        let run = &mut self.runs[number];
        let arrived = &self.sources[run.source].arrived;
        let before = self.unsent.len();
        for event in run.events.clone() {
            self.unsent.extend((0..arrived[event].len()).map(|it| Item {
                run: number,
                event,
                number: it,
            }));
        }
        let items = count(self.unsent.len() - before);
        self.core.expect(run.ticket, items);
        if run.void {
            self.seen.late += 1;
        } else {
            run.expected = Some(items);
        }
        self.say(|| format!("run {number} has {items} items"));
    }

    /// Sends a body of random items; each arrives or not, and is answered or has to be sent again.
    fn send(&mut self) {
        for _ in 0..=self.rng.below(8) {
            let Some(item) = self.rng.take(&mut self.unsent) else {
                return;
            };
            let fate = if self.faults { self.rng.below(10) } else { 9 };
            if fate == 0 {
                // Refused for now, or the request was lost.
                self.unsent.push(item);
                self.seen.resent += 1;
                continue;
            }
            let source = self.runs[item.run].source;
            self.sources[source].arrived[item.event][item.number] += 1;
            if fate == 1 {
                // It arrived, but the answer was lost.
                self.unsent.push(item);
                self.seen.resent += 1;
                continue;
            }
            let outcome = if fate == 2 {
                Outcome::SetAside
            } else {
                Outcome::Indexed
            };
            let same = self
                .replies
                .iter_mut()
                .find(|it| it.run == item.run && it.outcome == outcome);
            match same {
                Some(reply) if fate % 2 == 0 => reply.items += 1,
                _ => self.replies.push(Reply {
                    run: item.run,
                    items: 1,
                    outcome,
                }),
            }
        }
    }

    fn receive(&mut self) -> Verdict {
        for _ in 0..=self.rng.below(4) {
            let Some(reply) = self.rng.take(&mut self.replies) else {
                break;
            };
            let run = &mut self.runs[reply.run];
            let before = self.core.in_flight();
            self.core.answer(run.ticket, reply.items, reply.outcome);
            if run.void {
                self.seen.late += 1;
                ensure!(
                    self.core.in_flight() == before,
                    "a late answer changed what is in flight"
                );
            } else {
                run.answered += reply.items;
            }
            self.echoes.push(reply);
            self.say(|| format!("run {}: {} answered", reply.run, reply.items));
        }
        Ok(())
    }

    /// Repeats an answer of a run that is closed. (For an open one the output must not: see `Delivery::answer`.)
    fn repeat(&mut self) -> Verdict {
        let runs = &self.runs;
        let Some(at) = self
            .echoes
            .iter()
            .position(|it| runs[it.run].void || runs[it.run].complete())
        else {
            return Ok(());
        };
        let echo = self.echoes.swap_remove(at);
        let before = self.core.in_flight();
        self.core
            .answer(runs[echo.run].ticket, echo.items, echo.outcome);
        ensure!(
            self.core.in_flight() == before,
            "a repeated answer changed what is in flight"
        );
        self.seen.repeats += 1;
        Ok(())
    }

    fn poll(&mut self) -> Verdict {
        let mut commits = Vec::new();
        self.core.poll(&mut commits);
        for commit in &commits {
            self.say(|| format!("{commit:?}"));
            if self.losses_only {
                self.accept_blindly(commit)?;
            } else {
                self.accept(commit)?;
            }
        }
        if self.losses_only {
            return Ok(());
        }
        for (source, live) in self.live.iter().enumerate().filter(|(_, it)| !it.fenced) {
            let prefix = self.prefix(live);
            ensure!(
                live.committed == prefix,
                "source {source} is answered to {prefix}, which was not polled"
            );
            let finished = live.ended && prefix == self.sources[source].len();
            ensure!(
                live.told_finished == finished,
                "source {source} is finished, which was not polled"
            );
        }
        Ok(())
    }

    fn accept_blindly(&mut self, commit: &Commit) -> Verdict {
        let Some(source) = self.live.iter().position(|it| it.id == commit.stream) else {
            return Ok(());
        };
        ensure!(
            self.sources[source].arrived_before(commit.pos),
            "{commit:?} passes an event that never arrived"
        );
        let live = &mut self.live[source];
        live.committed = live.committed.max(commit.pos);
        live.told_finished |= commit.finished;
        self.sources[source].noted.push(commit.pos);
        self.store
            .update(live.record, commit.pos, self.step as u64, commit.finished);
        Ok(())
    }

    fn accept(&mut self, commit: &Commit) -> Verdict {
        let found = self
            .live
            .iter()
            .position(|it| it.id == commit.stream && !it.fenced);
        let source = found.ok_or_else(|| format!("{commit:?} is of a stream that was given up"))?;
        let prefix = self.prefix(&self.live[source]);
        let live = &mut self.live[source];
        ensure!(
            commit.pos == prefix,
            "{commit:?} is not the longest answered prefix, {prefix}"
        );
        ensure!(
            commit.pos >= live.committed,
            "{commit:?} goes back from {}",
            live.committed
        );
        ensure!(
            commit.pos > live.committed || commit.finished,
            "{commit:?} says nothing new"
        );
        ensure!(
            !live.told_finished,
            "{commit:?} comes after the stream had finished"
        );
        let all = self.sources[source].len();
        ensure!(
            commit.finished == (live.ended && prefix == all),
            "{commit:?}: finished is wrong"
        );
        ensure!(
            self.sources[source].arrived_before(commit.pos),
            "{commit:?} passes an event that never arrived"
        );
        live.committed = commit.pos;
        live.told_finished = commit.finished;
        self.sources[source].noted.push(commit.pos);
        let noted = self
            .store
            .update(live.record, commit.pos, self.step as u64, commit.finished);
        ensure!(noted, "the store refused {commit:?}");
        Ok(())
    }

    fn flush(&mut self) -> Verdict {
        if self.faults && self.rng.below(4) == 0 {
            let operation = self.rng.below(5);
            self.disk.state().fail_at = Some(operation);
        }
        let flushed = self.store.flush();
        self.disk.state().fail_at = None;
        self.say(|| format!("flush: {flushed:?}"));
        match flushed {
            Ok(_) => self.note_durable(),
            Err(why) => {
                ensure!(self.faults, "{why}");
                self.seen.failed_flushes += 1;
            }
        }
        Ok(())
    }

    fn note_durable(&mut self) {
        for (source, live) in self.sources.iter_mut().zip(&self.live) {
            source.durable = self.store.get(live.record).map_or(0, |it| it.pos);
        }
    }

    fn fence_or_return(&mut self) -> Verdict {
        let source = self.rng.below(self.sources.len());
        if self.live[source].fenced {
            self.register_again(source);
            return Ok(());
        }
        if self.rng.below(2) == 0 {
            self.poll()?;
        }
        self.say(|| format!("fence source {source}"));
        self.seen.fences += 1;
        self.core.fence(self.live[source].id);
        self.live[source].fenced = true;
        for run in &self.live[source].runs {
            self.runs[*run].void = true;
        }
        if self.rng.below(2) == 0 {
            self.register_again(source);
        }
        Ok(())
    }

    fn crash_within_flush(&mut self, operations: usize) -> Verdict {
        self.disk.state().power_fails_at = Some(operations);
        match self.store.flush() {
            Ok(_) => self.note_durable(),
            Err(_) => self.seen.torn_flushes += 1,
        }
        self.crash()
    }

    fn crash(&mut self) -> Verdict {
        self.say(|| "crash".to_owned());
        self.seen.crashes += 1;
        self.disk.crash();
        self.core = Core::new(self.defect);
        self.store = load(&self.disk)?;
        self.seen.recovered += u32::from(self.store.recovered().is_some());
        self.runs.clear();
        self.unparsed.clear();
        self.unsent.clear();
        self.replies.clear();
        self.echoes.clear();
        for (name, source) in self.sources.iter_mut().enumerate() {
            let record = self.store.find_name(&name.to_string());
            let (pos, finished) = record.map_or((0, false), |it| (it.pos, it.finished));
            ensure!(
                pos >= source.durable,
                "after a crash source {name} is at {pos}, {} was durable",
                source.durable
            );
            ensure!(
                pos == 0 || source.noted.contains(&pos),
                "after a crash source {name} is at {pos}, never committed"
            );
            ensure!(
                source.arrived_before(pos),
                "after a crash source {name} is past an event that never arrived"
            );
            ensure!(
                !finished || pos == source.len(),
                "after a crash source {name} is finished at {pos}"
            );
            source.durable = pos;
        }
        self.register_all();
        Ok(())
    }

    /// The longest answered prefix, found the slow way.
    fn prefix(&self, live: &Live) -> u64 {
        let answered = live
            .runs
            .iter()
            .map(|it| &self.runs[*it])
            .take_while(|it| it.complete());
        answered.last().map_or(live.start, |it| it.end)
    }

    fn check(&self) -> Verdict {
        if self.losses_only {
            return Ok(());
        }
        let mut in_flight = InFlight {
            streams: count(self.live.len()),
            ..InFlight::default()
        };
        let mut news = false;
        for live in self.live.iter().filter(|it| !it.fenced) {
            let prefix = self.prefix(live);
            ensure!(
                self.core.answered_to(live.id) == Some(prefix),
                "{:?} is answered to {prefix}",
                live.id
            );
            let waiting = live
                .runs
                .iter()
                .map(|it| &self.runs[*it])
                .skip_while(|it| it.complete());
            let open = waiting.clone().count();
            ensure!(
                self.core.open_tickets(live.id) == count(open),
                "{:?} has {open} open tickets",
                live.id
            );
            ensure!(
                open <= LIMITS.tickets_per_stream as usize,
                "{:?} has {open} open tickets",
                live.id
            );
            in_flight.tickets += count(open);
            in_flight.items += waiting
                .map(|it| u64::from(it.expected.unwrap_or(0) - it.answered))
                .sum::<u64>();
            news |= prefix > live.committed || live.ended && open == 0 && !live.told_finished;
        }
        ensure!(
            self.core.in_flight() == in_flight,
            "{:?} in flight, not {in_flight:?}",
            self.core.in_flight()
        );
        ensure!(
            in_flight.tickets <= LIMITS.tickets,
            "too much in flight: {in_flight:?}"
        );
        ensure!(
            self.core.is_idle() == (in_flight.tickets == 0 && !news),
            "idle is wrong with {in_flight:?}"
        );
        Ok(())
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == 60 {
                trace.pop_front();
            }
            trace.push_back(format!("{:>4} {}", self.step, what()));
        }
    }
}

impl Live {
    fn new(id: StreamId, record: u64, start: u64, source: &Source) -> Self {
        Self {
            id,
            record,
            start,
            next_event: source.ends.partition_point(|it| *it <= start),
            runs: Vec::new(),
            committed: start,
            ended: false,
            told_finished: false,
            fenced: false,
        }
    }
}

fn load(disk: &FaultyDisk) -> Result<CheckpointStore, String> {
    CheckpointStore::load(Box::new(disk.clone()), "data/checkpoints".into())
        .map_err(|e| format!("after a crash: {e}"))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("the simulation is small")
}
