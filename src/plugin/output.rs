//! Outputs: they encode events to bytes in the worker and deliver the bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::filter::Cx;
use super::metrics::PluginMetrics;
use crate::delivery::Outcome;
use crate::event::{Batch, Selection};

/// End of one encoded event in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// One past its last byte.
    pub end: u32,
    /// The run that waits for its answer.
    pub run: u32,
}

/// Encoded events on their way out.
#[derive(Debug, Default)]
pub struct Body {
    /// The bytes of all items, one after another.
    pub bytes: Vec<u8>,
    /// Where each ends, and who waits for it.
    pub items: Vec<Item>,
}

impl Body {
    /// Forgets the contents, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Ends an item after the bytes written so far.
    pub fn end_item(&mut self, run: u32) {
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.items.push(Item { end, run });
    }

    /// Answers all items alike, neighbours of one run together.
    pub fn answer_all(&self, cx: &SendCx, outcome: Outcome) {
        let mut at = 0;
        while at < self.items.len() {
            let run = self.items[at].run;
            let count = self.items[at..]
                .iter()
                .take_while(|item| item.run == run)
                .count();
            (cx.answer)(run, u32::try_from(count).unwrap_or(u32::MAX), outcome);
            at += count;
        }
    }

    /// The bytes of item `at`.
    #[must_use]
    pub fn item(&self, at: usize) -> &[u8] {
        let start = if at == 0 {
            0
        } else {
            self.items[at - 1].end as usize
        };
        &self.bytes[start..self.items[at].end as usize]
    }
}

/// How a delivered body reports back; cheap to clone.
#[derive(Clone)]
pub struct SendCx {
    /// Tells delivery that `items` of a run got their answer.
    pub answer: Arc<dyn Fn(u32, u32, Outcome) + Send + Sync>,
    /// Becomes true when the process stops: a retry that would wait gives up then, without an answer.
    pub stopping: tokio::sync::watch::Receiver<bool>,
    /// Counters of this plugin.
    pub metrics: Arc<PluginMetrics>,
}

/// A future without a name.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An output. What it is given in [`Output::deliver`] is answered item by item, or not at all.
pub trait Output: Send + Sync {
    /// State of its own for each worker.
    fn scratch(&self) -> Box<dyn std::any::Any + Send> {
        Box::new(())
    }

    /// Appends the selected events to the body, one item each. An event that can never be sent (its index
    /// name does not resolve) is set aside: counted, logged, and ended as an item without bytes.
    fn encode(&self, batch: &mut Batch, sel: &Selection, body: &mut Body, cx: &mut Cx<'_>);

    /// Delivers from the worker thread itself, for outputs that only write locally. `false`: not this kind.
    fn deliver_now(&self, _body: &Body, _cx: &SendCx) -> bool {
        false
    }

    /// Delivers on the I/O runtime; retries as its protocol asks, for ever, until told to stop. The body
    /// returns for reuse.
    fn deliver(self: Arc<Self>, body: Body, cx: SendCx) -> BoxFuture<Body> {
        let _ = cx;
        Box::pin(async move { body })
    }

    /// Called once on the I/O runtime before events flow; must not wait for the far side.
    fn start(self: Arc<Self>, _cx: SendCx) {}

    /// Why nothing leaves at the moment, if that is so; shown when the pipeline stands still.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// True for outputs that drop everything (null).
    fn discards(&self) -> bool {
        false
    }
}
