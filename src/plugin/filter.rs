//! Filters: steps of the plan that work on a batch.

use std::any::Any;

use super::common::Common;
use super::metrics::PluginMetrics;
use crate::event::{Batch, EventId, Selection};

/// What a filter works with, beside the batch.
pub struct Cx<'a> {
    /// Scratch for building text, empty or not: clear before use.
    pub buf: &'a mut Vec<u8>,
    /// What [`Filter::scratch`] made for this worker.
    pub scratch: &'a mut (dyn Any + Send),
    /// `add_field`, `remove_field`, `add_tag`, `remove_tag`.
    pub common: &'a Common,
    /// Counters of this plugin.
    pub metrics: &'a PluginMetrics,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Success: the common options are applied.
    Matched,
    /// Nothing to do, or failure (the filter has tagged it): the common options are not applied.
    Unmatched,
    /// The event is cancelled.
    Drop,
}

/// A filter. It does no I/O and never waits.
pub trait Filter: Send + Sync {
    /// State of its own for each worker: caches of regexes and look-ups, buffers.
    fn scratch(&self) -> Box<dyn Any + Send> {
        Box::new(())
    }

    /// Tag of an event on which a common option failed (`add_field` onto `@timestamp`, say).
    fn failure_tag(&self) -> Option<Vec<u8>> {
        None
    }

    /// Works on the selected events. What it removes from the selection is dropped; what it makes it inserts
    /// behind the event that it came from. Most filters call [`per_event`].
    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>);
}

/// Calls `call` for each selected event, applies the common options where it succeeded and removes what
/// was cancelled.
pub fn per_event(
    batch: &mut Batch,
    sel: &mut Selection,
    cx: &mut Cx<'_>,
    mut call: impl FnMut(&mut Batch, EventId, &mut Cx<'_>) -> Verdict,
) {
    let mut kept: Option<Vec<EventId>> = None;
    let ids = sel.ids();
    for (at, &id) in ids.iter().enumerate() {
        match call(batch, id, cx) {
            Verdict::Matched => {
                if !cx.common.is_empty() {
                    cx.common.apply(batch, id, cx.buf);
                }
            }
            Verdict::Unmatched => {}
            Verdict::Drop => {
                kept.get_or_insert_with(|| ids[..at].to_vec());
                continue;
            }
        }
        if let Some(kept) = &mut kept {
            kept.push(id);
        }
    }
    if let Some(mut kept) = kept {
        sel.swap(&mut kept);
    }
}
