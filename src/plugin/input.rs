//! Inputs: they yield blocks of records, pulled by the workers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::block::Block;
use super::metrics::PluginMetrics;
use crate::delivery::{Commit, Delivery, StreamId};

/// What a source says after it was asked for a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// There may be more at once.
    More,
    /// Nothing more for so long, unless the waker is called.
    Idle(Duration),
    /// The source ended and will never yield again.
    Ended,
}

/// What a source works with while it fills a block.
pub struct FillCx<'a> {
    /// Positions in, commits out.
    pub delivery: &'a Mutex<Delivery>,
    /// The process stops: flush what is held, yield it, then end.
    pub stopping: bool,
    /// Most records that a block should hold (`pipeline.batch.size`), or none.
    pub max_records: Option<usize>,
    /// Size in bytes at which a block is full.
    pub block_bytes: usize,
}

impl FillCx<'_> {
    /// Registers a stream that is committed up to `start`.
    #[must_use]
    pub fn register(&self, start: u64) -> StreamId {
        crate::lock(self.delivery).register(start)
    }

    /// The stream will yield nothing more: its commit comes with `finished`.
    pub fn finish(&self, stream: StreamId) {
        crate::lock(self.delivery).finish(stream);
    }

    /// Late answers of the stream are ignored from here on, and its state is released.
    pub fn unregister(&self, stream: StreamId) {
        crate::lock(self.delivery).unregister(stream);
    }

    /// True when too much of the stream waits for answers: read something else.
    #[must_use]
    pub fn saturated(&self, stream: StreamId) -> bool {
        crate::lock(self.delivery).saturated(stream)
    }
}

/// Keeps the committed positions of an input's streams.
pub trait Checkpoints: Send + Sync {
    /// Takes commits in; must be quick.
    fn commit(&self, commits: &[Commit]);
    /// Makes them durable. Called on the checkpoint thread at intervals and at the end.
    ///
    /// # Errors
    /// A sentence for the reader; the commits stay pending.
    fn flush(&self) -> Result<(), String>;
}

/// A running source. Workers call it under a lock, one at a time.
pub trait Source: Send {
    /// Appends what there is to the block. Must not block: reading a local file is fine, waiting is not.
    fn fill(&mut self, block: &mut Block, cx: &mut FillCx<'_>) -> Fill;

    /// Why nothing comes at the moment ("0 files match …"), for the line that is logged when nothing flows.
    fn idle_reason(&self) -> String;

    /// What was received but can no longer be delivered or replayed, said at the end. None when replayable.
    fn lost(&self) -> Option<String> {
        None
    }

    /// How many bytes (or records, for sources without bytes) wait to be read: the lag gauge.
    fn lag(&self) -> u64 {
        0
    }
}

/// What a starting input is given.
pub struct StartCx {
    /// Wakes idle workers: call it when a push source has a block.
    pub waker: Arc<dyn Fn() + Send + Sync>,
    /// The I/O runtime, for sockets and timers.
    pub runtime: tokio::runtime::Handle,
    /// `path.data` of the pipeline; locked by this process.
    pub data_dir: std::path::PathBuf,
    /// Becomes true when the process stops: stop accepting.
    pub stopping: tokio::sync::watch::Receiver<bool>,
    /// Counters of this plugin.
    pub metrics: Arc<PluginMetrics>,
    /// Id of the plugin.
    pub id: String,
}

/// A configured input.
pub trait Input: Send + Sync {
    /// Begins. Sockets are bound here, so that an address in use is told before anything flows.
    ///
    /// # Errors
    /// A sentence that names the remedy.
    fn start(&self, cx: StartCx) -> Result<Started, String>;

    /// True when what it yields can be read again after a crash.
    fn replayable(&self) -> bool {
        false
    }
}

/// What [`Input::start`] returns.
pub struct Started {
    /// The source itself.
    pub source: Box<dyn Source>,
    /// Where its positions are kept, when it has any.
    pub checkpoints: Option<Arc<dyn Checkpoints>>,
    /// Makes events of the records.
    pub codec: Arc<dyn super::codec::Codec>,
    /// Records keep their order only if one block at a time is in the workers (stdin).
    pub ordered: bool,
}
