//! Runs a plan: sources are pulled by workers, bodies go to outputs, answers become commits.

mod decorate;
mod pool;
mod worker;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use pool::{BlockPool, Budget};

use crate::delivery::{Commit, Delivery};
use crate::lock;
use crate::plan::Plan;
use crate::plugin::{Checkpoints, Codec, Source, StartCx};

/// How a pipeline runs. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Number of worker threads.
    pub workers: usize,
    /// `-w` was given: order is then the user's business.
    pub workers_given: bool,
    /// Keep the order of each stream's events.
    pub ordered: bool,
    /// Most records in a block; none: what fits.
    pub batch_records: Option<usize>,
    /// Folder for checkpoints.
    pub data_dir: PathBuf,
    /// Size at which a block is full.
    pub block_bytes: usize,
    /// Memory for blocks.
    pub blocks_bytes: usize,
    /// Memory for unanswered bodies, shared by the outputs; each has 8 MiB at least.
    pub bodies_bytes: usize,
    /// How often commits are collected.
    pub commit_interval: Duration,
    /// How long a stop may take before what has no answer is given up.
    pub stop_within: Duration,
    /// How often a standing pipeline says why.
    pub idle_notice: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers_given: false,
            ordered: false,
            batch_records: None,
            data_dir: PathBuf::from("data"),
            block_bytes: 1 << 20,
            blocks_bytes: 32 << 20,
            bodies_bytes: 64 << 20,
            commit_interval: Duration::from_millis(100),
            stop_within: Duration::from_millis(4200),
            idle_notice: Duration::from_secs(30),
        }
    }
}

/// How long workers may take to leave after everything was given up.
const WORKER_GRACE: Duration = Duration::from_millis(300);

/// A source with what the workers need to use it.
pub(crate) struct SourceSlot {
    source: Mutex<Box<dyn Source>>,
    codec: Arc<dyn Codec>,
    checkpoints: Option<Arc<dyn Checkpoints>>,
    ordered: bool,
    /// A block of an ordered source is in a worker.
    busy: AtomicBool,
    ended: AtomicBool,
    woken: AtomicBool,
    /// Milliseconds of [`Shared::elapsed_ms`] before which there is nothing.
    due: AtomicU64,
}

/// What all threads of a pipeline share.
pub struct Shared {
    /// The plan.
    pub plan: Plan,
    /// How it runs.
    pub options: RunOptions,
    pub(crate) sources: Vec<SourceSlot>,
    pub(crate) delivery: Mutex<Delivery>,
    /// Blocks.
    pub blocks: BlockPool,
    /// Unanswered bytes per output.
    pub budgets: Vec<Budget>,
    /// Events that conditions could not decide and that were set aside.
    pub condition_errors: AtomicU64,
    /// Events read, filtered and sent.
    pub events: EventCounts,
    /// Events of sources that cannot be read again, given to outputs and not answered.
    pub(crate) untracked: AtomicU64,
    runtime: tokio::runtime::Handle,
    signal: Mutex<u64>,
    wake: Condvar,
    stopping: AtomicBool,
    stop_at: Mutex<Option<Instant>>,
    give_up: watch::Sender<bool>,
    stop_inputs: watch::Sender<bool>,
    next: AtomicUsize,
    started: Instant,
    live_workers: AtomicUsize,
}

/// Events that passed, flushed per batch.
#[derive(Debug, Default)]
pub struct EventCounts {
    /// Made by inputs.
    pub input: AtomicU64,
    /// Left the filters.
    pub filtered: AtomicU64,
    /// Given to outputs (once per output).
    pub output: AtomicU64,
}

/// A running pipeline.
pub struct Pipeline {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    committer: Option<JoinHandle<()>>,
}

/// How a pipeline ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// What was received, cannot be read again and was not delivered.
    pub lost: Vec<String>,
    /// Events of replayable sources that had no answer: they are read again at the next start.
    pub unanswered: u64,
    /// A thread of ours ended by a panic.
    pub panicked: bool,
}

impl Pipeline {
    /// Starts inputs, outputs and workers.
    ///
    /// # Errors
    /// A sentence for the reader when an input cannot begin (address in use, damaged checkpoint …).
    pub fn start(
        plan: Plan,
        options: RunOptions,
        runtime: tokio::runtime::Handle,
    ) -> Result<Pipeline, String> {
        let (give_up, _) = watch::channel(false);
        let (stop_inputs, _) = watch::channel(false);
        let weak: Arc<std::sync::OnceLock<std::sync::Weak<Shared>>> = Arc::default();
        let mut sources = Vec::with_capacity(plan.inputs.len());
        for (number, node) in plan.inputs.iter().enumerate() {
            let weak = Arc::clone(&weak);
            let started = node
                .input
                .start(StartCx {
                    waker: Arc::new(move || {
                        if let Some(shared) = weak.get().and_then(std::sync::Weak::upgrade) {
                            shared.wake_source(number);
                        }
                    }),
                    runtime: runtime.clone(),
                    data_dir: options.data_dir.clone(),
                    stopping: stop_inputs.subscribe(),
                    metrics: Arc::clone(&node.metrics),
                    id: node.id.clone(),
                })
                .map_err(|error| format!("input {}: {error}", node.id))?;
            sources.push(SourceSlot {
                source: Mutex::new(started.source),
                codec: started.codec,
                checkpoints: started.checkpoints,
                ordered: options.ordered || (started.ordered && !options.workers_given),
                busy: AtomicBool::new(false),
                ended: AtomicBool::new(false),
                woken: AtomicBool::new(true),
                due: AtomicU64::new(0),
            });
        }
        let blocks =
            (options.blocks_bytes / options.block_bytes.max(1)).clamp(options.workers + 2, 256);
        let per_output = (options.bodies_bytes / plan.outputs.len().max(1)).max(8 << 20);
        let shared = Arc::new(Shared {
            budgets: plan
                .outputs
                .iter()
                .map(|_| Budget::new(per_output))
                .collect(),
            blocks: BlockPool::new(blocks),
            delivery: Mutex::new(Delivery::new()),
            condition_errors: AtomicU64::new(0),
            events: EventCounts::default(),
            untracked: AtomicU64::new(0),
            runtime,
            signal: Mutex::new(0),
            wake: Condvar::new(),
            stopping: AtomicBool::new(false),
            stop_at: Mutex::new(None),
            give_up,
            stop_inputs,
            next: AtomicUsize::new(0),
            started: Instant::now(),
            live_workers: AtomicUsize::new(0),
            sources,
            plan,
            options,
        });
        let _ = weak.set(Arc::downgrade(&shared));
        for (number, node) in shared.plan.outputs.iter().enumerate() {
            Arc::clone(&node.output).start(shared.send_cx(number, Arc::from([])));
        }
        Pipeline::spawn(shared)
    }

    fn spawn(shared: Arc<Shared>) -> Result<Pipeline, String> {
        let mut workers = Vec::new();
        for number in 0..shared.options.workers.max(1) {
            let worker_shared = Arc::clone(&shared);
            shared.live_workers.fetch_add(1, SeqCst);
            let worker = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .stack_size(16 << 20)
                .spawn(move || worker::run(&worker_shared))
                .map_err(|error| format!("cannot start a worker thread: {error}"))?;
            workers.push(worker);
        }
        let committer_shared = Arc::clone(&shared);
        let committer = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || committer_shared.commit_loop())
            .map_err(|error| format!("cannot start the checkpoint thread: {error}"))?;
        Ok(Pipeline {
            shared,
            workers,
            committer: Some(committer),
        })
    }

    /// What the threads share: for metrics.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Asks all inputs to end; what they hold is still delivered, for as long as [`RunOptions::stop_within`].
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// True when all inputs ended and everything was answered or given up.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shared.live_workers.load(SeqCst) == 0 && self.shared.bodies_held() == 0
    }

    /// Waits until the inputs ended and everything is answered, or until a stop runs out of time.
    pub fn wait(mut self) -> Ended {
        // A worker may be held by a write that nobody reads; it is left behind when the time to stop is over.
        while !self.workers.iter().all(JoinHandle::is_finished) && !self.shared.past(WORKER_GRACE) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut panicked = false;
        for worker in self.workers.drain(..) {
            if !worker.is_finished() {
                log::warn!(
                    "a worker was held by an output that takes nothing; its block was not delivered"
                );
            } else if worker.join().is_err() {
                log::error!("a worker thread ended by a panic; its block was not delivered");
                panicked = true;
            }
        }
        self.shared.stopping.store(true, SeqCst);
        while self.shared.bodies_held() > 0 && !self.shared.out_of_time() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.shared.give_up();
        let grace = Instant::now() + Duration::from_millis(300);
        while self.shared.bodies_held() > 0 && Instant::now() < grace {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.shared.live_workers.store(0, SeqCst);
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
        let in_flight = lock(&self.shared.delivery).in_flight();
        let untracked = self.shared.untracked.load(SeqCst);
        let mut lost: Vec<String> = self
            .shared
            .sources
            .iter()
            .filter_map(|slot| lock(&slot.source).lost())
            .collect();
        if untracked > 0 {
            lost.push(format!(
                "{untracked} events that had no answer and cannot be read again"
            ));
        }
        Ended {
            lost,
            unanswered: in_flight.items,
            panicked,
        }
    }
}

impl Shared {
    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts of open tickets and items, and totals of answers.
    #[must_use]
    pub fn delivery_state(&self) -> (crate::delivery::InFlight, crate::delivery::Totals) {
        let delivery = lock(&self.delivery);
        (delivery.in_flight(), delivery.totals())
    }

    /// Bytes (or records) that wait to be read, per input.
    #[must_use]
    pub fn lags(&self) -> Vec<u64> {
        self.sources
            .iter()
            .map(|slot| slot.source.try_lock().map_or(0, |source| source.lag()))
            .collect()
    }

    /// Asks all inputs to end.
    pub fn stop(&self) {
        self.stopping.store(true, SeqCst);
        // The inputs may have ended by themselves before: the time to stop begins with the first request all the same.
        lock(&self.stop_at).get_or_insert_with(|| Instant::now() + self.options.stop_within);
        self.stop_inputs.send_replace(true);
        for number in 0..self.sources.len() {
            self.wake_source(number);
        }
    }

    fn out_of_time(&self) -> bool {
        self.past(Duration::ZERO)
    }

    /// True so long after the time to stop was over.
    fn past(&self, grace: Duration) -> bool {
        lock(&self.stop_at).is_some_and(|at| Instant::now() >= at + grace)
    }

    pub(crate) fn has_given_up(&self) -> bool {
        *self.give_up.borrow()
    }

    /// What has no answer gets none: retries end, and nobody waits for a budget.
    fn give_up(&self) {
        self.give_up.send_replace(true);
        for budget in &self.budgets {
            budget.close();
        }
    }

    fn bodies_held(&self) -> usize {
        self.budgets.iter().map(|budget| budget.held().1).sum()
    }

    pub(crate) fn wake_source(&self, number: usize) {
        if let Some(slot) = self.sources.get(number) {
            slot.woken.store(true, SeqCst);
        }
        *lock(&self.signal) += 1;
        self.wake.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// Collects commits, makes them durable, and says at intervals why nothing flows.
    fn commit_loop(&self) {
        let mut commits: Vec<Commit> = Vec::new();
        let mut next_flush = Instant::now() + Duration::from_secs(1);
        let mut notice = Notice::new(self.options.idle_notice);
        loop {
            let last = self.live_workers.load(SeqCst) == 0
                && (self.bodies_held() == 0 || *self.give_up.borrow());
            commits.clear();
            lock(&self.delivery).poll(&mut commits);
            if !commits.is_empty() {
                for slot in &self.sources {
                    if let Some(checkpoints) = &slot.checkpoints {
                        checkpoints.commit(&commits);
                    }
                }
            }
            let now = Instant::now();
            if now >= next_flush || last {
                next_flush = now + Duration::from_secs(1);
                self.flush_checkpoints();
            }
            if last {
                return;
            }
            if self.out_of_time() && !self.has_given_up() {
                self.give_up();
            }
            notice.check(self, now);
            std::thread::park_timeout(self.options.commit_interval);
        }
    }

    fn flush_checkpoints(&self) {
        for (slot, node) in self.sources.iter().zip(&self.plan.inputs) {
            if let Some(checkpoints) = &slot.checkpoints
                && let Err(error) = checkpoints.flush()
            {
                log::error!("input {}: {error}", node.id);
            }
        }
    }
}

/// Says why a pipeline stands still.
struct Notice {
    every: Duration,
    seen: (u64, u64),
    since: Instant,
}

impl Notice {
    fn new(every: Duration) -> Self {
        Notice {
            every,
            seen: (0, 0),
            since: Instant::now(),
        }
    }

    fn check(&mut self, shared: &Shared, now: Instant) {
        let answered = lock(&shared.delivery).totals();
        let seen = (
            shared.events.input.load(Relaxed),
            answered.indexed + answered.set_aside + shared.events.output.load(Relaxed),
        );
        if seen != self.seen {
            self.seen = seen;
            self.since = now;
            return;
        }
        if now.duration_since(self.since) < self.every {
            return;
        }
        self.since = now;
        let mut reasons: Vec<String> = shared
            .plan
            .outputs
            .iter()
            .filter_map(|node| {
                node.output
                    .trouble()
                    .map(|trouble| format!("{}: {trouble}", node.name))
            })
            .collect();
        reasons.extend(
            shared
                .sources
                .iter()
                .filter(|slot| !slot.ended.load(Relaxed))
                .filter_map(|slot| {
                    slot.source
                        .try_lock()
                        .ok()
                        .map(|source| source.idle_reason())
                }),
        );
        let shown = reasons.len().min(6);
        let more = if reasons.len() > shown {
            format!(" (and {} more)", reasons.len() - shown)
        } else {
            String::new()
        };
        log::info!(
            "nothing has flowed for {} s: {}{more}",
            self.every.as_secs(),
            reasons[..shown].join("; ")
        );
    }
}
