//! The way from sockets to workers: blocks of records through a bounded channel.
//!
//! Whoever reads a socket holds an [`Intake`]; the pipeline pulls from the [`Channel`]. What lies between them is
//! bounded in bytes: a reader that has to wait for room does not read, so that its peer has to wait too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::{Semaphore, TryAcquireError};

use crate::plugin::{Block, Fill, FillCx, PluginMetrics, Rec, Run, Source};

/// Memory of the blocks that may wait, in KiB.
const WAITING_KIB: u32 = 16 << 10;
/// Blocks that may wait.
const WAITING_BLOCKS: usize = 4_096;
/// The waker is called when something comes; this is only a safety net.
const IDLE: Duration = Duration::from_secs(1);

/// Wakes the workers.
type Waker = Arc<dyn Fn() + Send + Sync>;

/// A block on its way, and the room that it takes.
struct Waiting {
    block: Block,
    kib: u32,
}

struct Shared {
    room: Semaphore,
    records: AtomicU64,
    bytes: AtomicU64,
    waker: Waker,
    metrics: Arc<PluginMetrics>,
}

/// The sockets' end. The source ends when the last of them is gone.
pub struct Intake {
    sender: Option<mpsc::Sender<Waiting>>,
    shared: Arc<Shared>,
}

impl Clone for Intake {
    fn clone(&self) -> Self {
        Intake {
            sender: self.sender.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // The source must see that this end is gone when it is woken.
        drop(self.sender.take());
        (self.shared.waker)();
    }
}

/// Room in KiB that a block takes: what its buffer holds, used or not.
fn kib(block: &Block) -> u32 {
    u32::try_from(block.buf.capacity() >> 10)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
        .min(WAITING_KIB)
}

impl Intake {
    /// Hands a block over; waits while there is no room. A block without runs is dropped. False when the pipeline
    /// is gone.
    pub async fn send(&self, block: Block) -> bool {
        if block.runs.is_empty() {
            return true;
        }
        let kib = kib(&block);
        let Ok(room) = self.shared.room.acquire_many(kib).await else {
            return false;
        };
        room.forget();
        let Some(sender) = &self.sender else {
            return false;
        };
        self.count(&block);
        let sent = sender.send(Waiting { block, kib }).await.is_ok();
        (self.shared.waker)();
        sent
    }

    /// Hands a block over when there is room for it, else returns it.
    ///
    /// # Errors
    /// The block.
    pub fn try_send(&self, block: Block) -> Result<(), Block> {
        if block.runs.is_empty() {
            return Ok(());
        }
        let kib = kib(&block);
        match self.shared.room.try_acquire_many(kib) {
            Ok(room) => room.forget(),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Err(block),
        }
        let Some(sender) = &self.sender else {
            return Err(block);
        };
        let Ok(place) = sender.try_reserve() else {
            self.shared.room.add_permits(kib as usize);
            return Err(block);
        };
        self.count(&block);
        place.send(Waiting { block, kib });
        (self.shared.waker)();
        Ok(())
    }

    fn count(&self, block: &Block) {
        self.shared
            .records
            .fetch_add(block.recs.len() as u64, Relaxed);
        self.shared.bytes.fetch_add(block.buf.len() as u64, Relaxed);
    }

    /// Records that wait for a worker.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.shared.records.load(Relaxed)
    }

    /// Counters of the plugin.
    #[must_use]
    pub fn metrics(&self) -> &PluginMetrics {
        &self.shared.metrics
    }
}

/// The pipeline's end.
pub struct Channel {
    name: &'static str,
    queue: mpsc::Receiver<Waiting>,
    shared: Arc<Shared>,
    /// A block that did not fit behind others.
    next: Option<Waiting>,
    idle_reason: Box<dyn Fn() -> String + Send>,
    ended: bool,
}

impl Channel {
    /// A channel for a plugin called `name`; `idle_reason` says what it waits for.
    #[must_use]
    pub fn new(
        name: &'static str,
        waker: Waker,
        metrics: Arc<PluginMetrics>,
        idle_reason: impl Fn() -> String + Send + 'static,
    ) -> (Intake, Channel) {
        let (sender, queue) = mpsc::channel(WAITING_BLOCKS);
        let shared = Arc::new(Shared {
            room: Semaphore::new(WAITING_KIB as usize),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            waker,
            metrics,
        });
        let intake = Intake {
            sender: Some(sender),
            shared: Arc::clone(&shared),
        };
        let channel = Channel {
            name,
            queue,
            shared,
            next: None,
            idle_reason: Box::new(idle_reason),
            ended: false,
        };
        (intake, channel)
    }

    fn take(&mut self, into: &mut Block, waiting: Waiting) {
        let (records, bytes) = (waiting.block.recs.len(), waiting.block.buf.len());
        append(into, waiting.block);
        self.shared.room.add_permits(waiting.kib as usize);
        self.shared.records.fetch_sub(records as u64, Relaxed);
        self.shared.bytes.fetch_sub(bytes as u64, Relaxed);
    }
}

/// Appends the records of one block to another; into an empty one they move without being copied.
fn append(into: &mut Block, mut from: Block) {
    if into.buf.is_empty() && into.recs.is_empty() && into.runs.is_empty() {
        std::mem::swap(into, &mut from);
        return;
    }
    let bytes = u32::try_from(into.buf.len()).unwrap_or(u32::MAX);
    let records = u32::try_from(into.recs.len()).unwrap_or(u32::MAX);
    into.buf.extend_from_slice(&from.buf);
    into.recs.extend(from.recs.iter().map(|rec| Rec {
        off: rec.off + bytes,
        ..*rec
    }));
    into.runs.extend(from.runs.into_iter().map(|run| Run {
        recs_end: run.recs_end + records,
        ..run
    }));
}

impl Source for Channel {
    fn fill(&mut self, block: &mut Block, cx: &mut FillCx<'_>) -> Fill {
        if self.ended {
            return Fill::Ended;
        }
        loop {
            let waiting = match self.next.take() {
                Some(waiting) => waiting,
                None => match self.queue.try_recv() {
                    Ok(waiting) => waiting,
                    Err(TryRecvError::Empty) => return Fill::Idle(IDLE),
                    Err(TryRecvError::Disconnected) => {
                        self.ended = true;
                        return Fill::Ended;
                    }
                },
            };
            let records = block.recs.len() + waiting.block.recs.len();
            let full = block.buf.len() + waiting.block.buf.len() > cx.block_bytes
                || cx.max_records.is_some_and(|max| records > max);
            if full && !block.runs.is_empty() {
                self.next = Some(waiting);
                return Fill::More;
            }
            self.take(block, waiting);
        }
    }

    fn idle_reason(&self) -> String {
        (self.idle_reason)()
    }

    fn lost(&self) -> Option<String> {
        let records = self.shared.records.load(Relaxed);
        (records > 0).then(|| {
            format!(
                "{}: {records} records were received but not processed",
                self.name
            )
        })
    }

    fn lag(&self) -> u64 {
        self.shared.bytes.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::testing::{Drain, start_cx, texts};
    use crate::plugin::Attrs;

    fn block(records: &[&str]) -> Block {
        let mut block = Block::default();
        for record in records {
            block.push_record(&[record.as_bytes()], 0, 0);
        }
        block.end_run(None, &Arc::new(Attrs::default()), 0);
        block
    }

    fn channel() -> (Intake, Channel) {
        let (cx, _, _) = start_cx();
        Channel::new("test", cx.waker, cx.metrics, || "nothing comes".to_owned())
    }

    #[test]
    fn small_blocks_leave_together() {
        let (intake, mut channel) = channel();
        intake.try_send(block(&["a", "b"])).unwrap();
        intake.try_send(block(&["c"])).unwrap();
        assert!(channel.lost().unwrap().contains("3 records"));
        assert_eq!(channel.lag(), 3);
        let mut taken = Block::default();
        assert_eq!(
            Drain::default().fill(&mut channel, &mut taken),
            Fill::Idle(IDLE)
        );
        let mut out = Vec::new();
        texts(&taken, &mut out);
        assert_eq!(out, ["a", "b", "c"]);
        assert_eq!(
            taken
                .runs
                .iter()
                .map(|run| run.recs_end)
                .collect::<Vec<_>>(),
            [2, 3]
        );
        assert_eq!(channel.lost(), None);
        drop(intake);
        assert_eq!(
            Drain::default().fill(&mut channel, &mut Block::default()),
            Fill::Ended
        );
    }

    #[test]
    fn a_limit_of_records_holds() {
        let (intake, mut channel) = channel();
        for _ in 0..3 {
            intake.try_send(block(&["a", "b"])).unwrap();
        }
        let drain = Drain {
            max_records: Some(5),
            ..Drain::default()
        };
        let mut taken = Block::default();
        assert_eq!(drain.fill(&mut channel, &mut taken), Fill::More);
        assert_eq!(taken.recs.len(), 4);
        taken.clear();
        drain.fill(&mut channel, &mut taken);
        assert_eq!(taken.recs.len(), 2);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let (intake, mut channel) = channel();
        let large = "x".repeat(1 << 20);
        let mut sent = 0;
        while intake.try_send(block(&[&large])).is_ok() {
            sent += 1;
        }
        assert!((8..=16).contains(&sent), "{sent}");
        let (cx, _, _) = start_cx();
        let sender = intake.clone();
        let waiting = cx
            .runtime
            .spawn(async move { sender.send(block(&[&"y".repeat(1 << 20)])).await });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        Drain::default().fill(&mut channel, &mut Block::default());
        assert!(cx.runtime.block_on(waiting).unwrap());
        drop(channel);
        assert!(!cx.runtime.block_on(intake.send(block(&["late"]))));
    }
}
