//! A worker: takes a block, makes events of it, runs the plan over them, and hands the bodies out.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use super::Shared;
use super::decorate::{add_input_options, add_stream_fields};
use crate::delivery::{OpenError, Outcome, StreamId, Ticket};
use crate::event::{Batch, EventId, Selection};
use crate::grok::RegexCache;
use crate::lock;
use crate::plan::{Regexes, Step};
use crate::plugin::{Block, Body, Cx, DecodeCx, Fill, FillCx, PluginMetrics, SendCx};
use crate::time::Timestamp;

/// Records that run through the plan together: the events of a whole block would not stay in a core's cache.
const CHUNK: usize = 256;

/// Place in a block.
#[derive(Clone, Copy, Default)]
struct Cursor {
    run: usize,
    rec: usize,
}

/// Longest sleep of a worker without work.
const NAP: Duration = Duration::from_secs(1);

/// Works until every source has ended.
pub(super) fn run(shared: &Arc<Shared>) {
    struct Leave<'a>(&'a Shared);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.live_workers.fetch_sub(1, SeqCst);
        }
    }
    let _leave = Leave(shared);
    let mut worker = Worker::new(shared);
    loop {
        match shared.next_block() {
            Next::Block(work) => worker.process(work),
            Next::Sleep { for_ms, signal } => shared.sleep(for_ms, signal),
            Next::Done => return,
        }
    }
}

/// A block that was read, and the tickets of its runs.
struct Work {
    source: usize,
    block: Block,
    tickets: Arc<[Ticket]>,
}

enum Next {
    Block(Work),
    Sleep { for_ms: u64, signal: u64 },
    Done,
}

impl Shared {
    /// Asks the sources in turn for a block.
    fn next_block(&self) -> Next {
        if self.has_given_up() {
            return Next::Done;
        }
        let signal = *lock(&self.signal);
        let count = self.sources.len();
        let first = self.next.fetch_add(1, Relaxed);
        let mut soonest = u64::try_from(NAP.as_millis()).unwrap_or(1000);
        let mut all_ended = true;
        for turn in 0..count {
            let number = (first + turn) % count;
            let slot = &self.sources[number];
            if slot.ended.load(SeqCst) {
                continue;
            }
            all_ended = false;
            let now = self.elapsed_ms();
            let due = slot.due.load(SeqCst);
            if !slot.woken.load(SeqCst) && due > now {
                soonest = soonest.min(due - now);
                continue;
            }
            if slot.ordered && slot.busy.load(SeqCst) {
                continue;
            }
            let Ok(mut source) = slot.source.try_lock() else {
                continue;
            };
            if slot.ended.load(SeqCst) || (slot.ordered && slot.busy.load(SeqCst)) {
                continue;
            }
            let Some(mut block) = self.blocks.take(Duration::from_millis(100)) else {
                soonest = soonest.min(10);
                continue;
            };
            slot.woken.store(false, SeqCst);
            let fill = source.fill(
                &mut block,
                &mut FillCx {
                    delivery: &self.delivery,
                    stopping: self.is_stopping(),
                    max_records: self.options.batch_records,
                    block_bytes: self.options.block_bytes,
                },
            );
            let tickets = self.open_tickets(&block);
            match fill {
                Fill::More => slot.due.store(0, SeqCst),
                Fill::Idle(pause) => {
                    let pause = u64::try_from(pause.as_millis()).unwrap_or(1000).max(1);
                    slot.due.store(self.elapsed_ms() + pause, SeqCst);
                    soonest = soonest.min(pause);
                }
                Fill::Ended => slot.ended.store(true, SeqCst),
            }
            if block.runs.is_empty() {
                self.blocks.put(block, self.options.block_bytes);
                if fill == Fill::Ended {
                    drop(source);
                    self.notify();
                }
                continue;
            }
            slot.busy.store(true, SeqCst);
            drop(source);
            if fill == Fill::More {
                self.notify();
            }
            return Next::Block(Work {
                source: number,
                block,
                tickets,
            });
        }
        if all_ended {
            Next::Done
        } else {
            Next::Sleep {
                for_ms: soonest,
                signal,
            }
        }
    }

    /// Tickets are opened under the source's lock, so that a stream's runs are in reading order.
    fn open_tickets(&self, block: &Block) -> Arc<[Ticket]> {
        if block.runs.iter().all(|run| run.stream.is_none()) {
            return block.runs.iter().map(|_| Ticket::NONE).collect();
        }
        block
            .runs
            .iter()
            .map(|run| {
                run.stream
                    .map_or(Ticket::NONE, |stream| self.open_ticket(stream, run.end))
            })
            .collect()
    }

    /// Waits for answers while too much is open. A run that gets no ticket fences its stream: a later ticket must
    /// not commit past it.
    fn open_ticket(&self, stream: StreamId, end: u64) -> Ticket {
        loop {
            let opened = lock(&self.delivery).open(stream, end);
            match opened {
                Ok(ticket) => return ticket,
                Err(OpenError::Saturated) if !self.has_given_up() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => {
                    log::error!(
                        "a run could not be tracked: {error}; its source is read again from its last position at the next start"
                    );
                    lock(&self.delivery).fence(stream);
                    return Ticket::NONE;
                }
            }
        }
    }

    fn notify(&self) {
        *lock(&self.signal) += 1;
        self.wake.notify_all();
    }

    fn sleep(&self, for_ms: u64, signal: u64) {
        let state = lock(&self.signal);
        if *state == signal {
            drop(self.wake.wait_timeout(state, Duration::from_millis(for_ms)));
        }
    }

    pub(super) fn send_cx(self: &Arc<Self>, output: usize, tickets: Arc<[Ticket]>) -> SendCx {
        let shared = Arc::clone(self);
        SendCx {
            answer: Arc::new(move |run: u32, items: u32, outcome: Outcome| {
                match tickets.get(run as usize) {
                    Some(&Ticket::NONE) => {
                        shared.untracked.fetch_sub(u64::from(items), SeqCst);
                    }
                    Some(ticket) => lock(&shared.delivery).answer(*ticket, items, outcome),
                    None => {}
                }
            }),
            stopping: self.give_up.subscribe(),
            metrics: Arc::clone(&self.plan.outputs[output].metrics),
        }
    }
}

/// State of one worker; nothing in it is allocated anew per block.
struct Worker<'s> {
    shared: &'s Arc<Shared>,
    batch: Batch,
    sel: Selection,
    buf: Vec<u8>,
    regex_caches: Vec<RegexCache>,
    filter_scratch: Vec<Box<dyn Any + Send>>,
    output_scratch: Vec<Box<dyn Any + Send>>,
    out_sels: Vec<Selection>,
    counts: Vec<u32>,
    bodies: Vec<Option<Body>>,
    spare: Vec<Vec<EventId>>,
    spare_parts: Vec<Vec<Vec<EventId>>>,
    cursors: Vec<usize>,
}

impl<'s> Worker<'s> {
    fn new(shared: &'s Arc<Shared>) -> Self {
        let plan = &shared.plan;
        Worker {
            batch: Batch::new(&plan.keys),
            sel: Selection::default(),
            buf: Vec::new(),
            regex_caches: plan
                .regexes
                .iter()
                .map(crate::grok::RubyRegex::new_cache)
                .collect(),
            filter_scratch: plan
                .filters
                .iter()
                .map(|node| node.filter.scratch())
                .collect(),
            output_scratch: plan
                .outputs
                .iter()
                .map(|node| node.output.scratch())
                .collect(),
            out_sels: plan.outputs.iter().map(|_| Selection::default()).collect(),
            counts: Vec::new(),
            bodies: plan.outputs.iter().map(|_| None).collect(),
            spare: Vec::new(),
            spare_parts: Vec::new(),
            cursors: Vec::new(),
            shared,
        }
    }

    fn process(&mut self, work: Work) {
        let Work {
            source,
            mut block,
            tickets,
        } = work;
        let shared = self.shared;
        let bytes = block.buf.len();
        self.batch
            .reset(std::mem::take(&mut block.buf), Timestamp::now());
        self.counts.clear();
        self.counts.resize(block.runs.len(), 0);
        for body in &mut self.bodies {
            *body = None;
        }
        let node = &shared.plan.inputs[source];
        PluginMetrics::add(&node.metrics.bytes, bytes as u64);
        let mut at = Cursor::default();
        while at.run < block.runs.len() {
            self.batch.next_chunk();
            at = self.decode(source, &block, at);
            let made = self.sel.len() as u64;
            PluginMetrics::add(&node.metrics.events_out, made);
            shared.events.input.fetch_add(made, Relaxed);

            let mut sel = std::mem::take(&mut self.sel);
            self.filters(&node.program.filters, &mut sel);
            shared.events.filtered.fetch_add(sel.len() as u64, Relaxed);
            for out in &mut self.out_sels {
                out.clear();
            }
            self.route(&node.program.outputs, sel.ids());
            self.sel = sel;
            self.encode();
        }
        self.send(&tickets);

        block.buf = self.batch.reset(Vec::new(), Timestamp::default());
        shared.blocks.put(block, shared.options.block_bytes);
        let slot = &shared.sources[source];
        slot.busy.store(false, SeqCst);
        if slot.ordered {
            shared.notify();
        }
    }

    /// Makes events of the next records; returns where the ones after them begin.
    fn decode(&mut self, source: usize, block: &Block, from: Cursor) -> Cursor {
        let slot = &self.shared.sources[source];
        let node = &self.shared.plan.inputs[source];
        self.sel.clear();
        let mut at = from;
        let mut room = CHUNK;
        let mut failed = 0;
        while let Some(run) = block.runs.get(at.run).filter(|_| room > 0) {
            let end = (run.recs_end as usize).min(block.recs.len()).max(at.rec);
            let take = room.min(end - at.rec);
            let before = self.sel.len();
            let mut cx = DecodeCx {
                run: u32::try_from(at.run).unwrap_or(u32::MAX),
                buf: &mut self.buf,
                out: &mut self.sel,
                blank: 0,
                failed: 0,
            };
            let recs = block.recs.get(at.rec..at.rec + take).unwrap_or_default();
            slot.codec.decode(&mut self.batch, recs, &mut cx);
            failed += cx.failed;
            let made = &self.sel.ids()[before..];
            add_stream_fields(&mut self.batch, made, &run.attrs, &mut self.buf);
            add_input_options(&mut self.batch, made, &node.decoration, &mut self.buf);
            at.rec += take;
            room -= take;
            if at.rec >= end {
                at.run += 1;
            }
        }
        PluginMetrics::add(&node.metrics.failures, failed);
        at
    }

    fn filters(&mut self, steps: &[Step], sel: &mut Selection) {
        for step in steps {
            if sel.is_empty() {
                return;
            }
            match step {
                Step::Plugin(number) => self.filter(*number, sel),
                Step::Branch { arms, otherwise } => self.filter_branch(arms, otherwise, sel),
            }
        }
    }

    fn filter(&mut self, number: usize, sel: &mut Selection) {
        let node = &self.shared.plan.filters[number];
        PluginMetrics::add(&node.metrics.events_in, sel.len() as u64);
        let mut cx = Cx {
            buf: &mut self.buf,
            scratch: &mut *self.filter_scratch[number],
            common: &node.common,
            metrics: &node.metrics,
        };
        node.filter.run(&mut self.batch, sel, &mut cx);
        PluginMetrics::add(&node.metrics.events_out, sel.len() as u64);
    }

    /// Events take the first arm that holds, and come together again in their order.
    fn filter_branch(
        &mut self,
        arms: &[(usize, Vec<Step>)],
        otherwise: &[Step],
        sel: &mut Selection,
    ) {
        let mut parts = self.partition(arms, sel);
        let first_new = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
        let total = sel.len();
        let mut choice = self.spare.pop().unwrap_or_default();
        choice.clear();
        if parts.iter().any(|part| part.len() == total) {
            // All took the same way: no need to come together.
            for (at, part) in parts.iter().enumerate() {
                if part.len() == total {
                    let steps = arms.get(at).map_or(otherwise, |(_, steps)| steps);
                    self.filters(steps, sel);
                }
            }
        } else {
            let mut order = self.spare.pop().unwrap_or_default();
            order.clear();
            order.extend_from_slice(sel.ids());
            for (at, part) in parts.iter_mut().enumerate() {
                let steps = arms.get(at).map_or(otherwise, |(_, steps)| steps);
                if part.is_empty() || steps.is_empty() {
                    continue;
                }
                let mut inner = Selection::default();
                inner.swap(part);
                self.filters(steps, &mut inner);
                inner.swap(part);
            }
            let cursors = &mut self.cursors;
            merge(&self.batch, &order, &parts, first_new, cursors, &mut choice);
            sel.swap(&mut choice);
            self.spare.push(order);
        }
        self.spare.push(choice);
        self.keep_parts(parts);
    }

    fn keep_parts(&mut self, mut parts: Vec<Vec<EventId>>) {
        self.spare.append(&mut parts);
        self.spare.truncate(64);
        self.spare_parts.push(parts);
    }

    /// One list per arm and one for `else`; events whose condition has no answer are set aside and removed.
    fn partition(&mut self, arms: &[(usize, Vec<Step>)], sel: &mut Selection) -> Vec<Vec<EventId>> {
        let mut parts = self.spare_parts.pop().unwrap_or_default();
        parts.resize_with(arms.len() + 1, || {
            let mut part = self.spare.pop().unwrap_or_default();
            part.clear();
            part
        });
        let plan = &self.shared.plan;
        let mut regexes = Regexes {
            regexes: &plan.regexes,
            caches: &mut self.regex_caches,
        };
        let mut aside = 0_u64;
        let mut kept: Option<Vec<EventId>> = None;
        for (number, &id) in sel.ids().iter().enumerate() {
            let mut way = Some(arms.len());
            for (at, (test, _)) in arms.iter().enumerate() {
                let node = &plan.tests[*test];
                match node.test.holds(&mut self.batch, id, &mut regexes) {
                    Ok(true) => {
                        way = Some(at);
                        break;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        log::warn!(
                            "an event was set aside: the condition `{}` has no answer for it: {error}",
                            node.text
                        );
                        aside += 1;
                        way = None;
                        break;
                    }
                }
            }
            if let Some(way) = way {
                parts[way].push(id);
                if let Some(kept) = &mut kept {
                    kept.push(id);
                }
            } else {
                kept.get_or_insert_with(|| sel.ids()[..number].to_vec());
            }
        }
        if aside > 0 {
            self.shared.condition_errors.fetch_add(aside, Relaxed);
        }
        if let Some(mut kept) = kept {
            sel.swap(&mut kept);
        }
        parts
    }

    fn route(&mut self, steps: &[Step], ids: &[EventId]) {
        for step in steps {
            match step {
                Step::Plugin(number) => ids.iter().for_each(|id| self.out_sels[*number].push(*id)),
                Step::Branch { arms, otherwise } => {
                    let mut all = self.spare.pop().unwrap_or_default();
                    all.clear();
                    all.extend_from_slice(ids);
                    let mut sel = Selection::default();
                    sel.swap(&mut all);
                    let parts = self.partition(arms, &mut sel);
                    for (at, part) in parts.iter().enumerate() {
                        let steps = arms
                            .get(at)
                            .map_or(otherwise.as_slice(), |(_, steps)| steps);
                        if !part.is_empty() {
                            self.route(steps, part);
                        }
                    }
                    sel.swap(&mut all);
                    self.spare.push(all);
                    self.keep_parts(parts);
                }
            }
        }
    }

    /// Encodes for every output.
    fn encode(&mut self) {
        let shared = self.shared;
        for (number, node) in shared.plan.outputs.iter().enumerate() {
            let sel = &self.out_sels[number];
            if sel.is_empty() {
                continue;
            }
            let body = self.bodies[number].get_or_insert_with(|| shared.budgets[number].body());
            let before = body.items.len();
            PluginMetrics::add(&node.metrics.events_in, sel.len() as u64);
            shared.events.output.fetch_add(sel.len() as u64, Relaxed);
            let mut cx = Cx {
                buf: &mut self.buf,
                scratch: &mut *self.output_scratch[number],
                common: &NO_COMMON,
                metrics: &node.metrics,
            };
            node.output.encode(&mut self.batch, sel, body, &mut cx);
            for item in &body.items[before..] {
                if let Some(count) = self.counts.get_mut(item.run as usize) {
                    *count += 1;
                }
            }
        }
    }

    /// Tells delivery how many answers will come, then sends.
    fn send(&mut self, tickets: &Arc<[Ticket]>) {
        let shared = self.shared;
        {
            let mut delivery = lock(&shared.delivery);
            for (ticket, count) in tickets.iter().zip(&self.counts) {
                if *ticket == Ticket::NONE {
                    shared.untracked.fetch_add(u64::from(*count), SeqCst);
                } else {
                    delivery.expect(*ticket, *count);
                }
            }
        }
        for (number, body) in self.bodies.iter_mut().enumerate() {
            let Some(body) = body.take() else { continue };
            let budget = &shared.budgets[number];
            if body.items.is_empty() {
                budget.keep(body);
                continue;
            }
            let output = &shared.plan.outputs[number].output;
            let cx = shared.send_cx(number, Arc::clone(tickets));
            if output.deliver_now(&body, &cx) {
                budget.keep(body);
                continue;
            }
            let bytes = body.bytes.len();
            if !budget.acquire(bytes) {
                continue;
            }
            let (output, shared) = (Arc::clone(output), Arc::clone(shared));
            self.shared.runtime.spawn(async move {
                let body = output.deliver(body, cx).await;
                shared.budgets[number].release(bytes, body);
            });
        }
    }
}

static NO_COMMON: std::sync::LazyLock<crate::plugin::Common> =
    std::sync::LazyLock::new(crate::plugin::Common::default);

/// Brings the arms' events together in the order in which they entered; what an arm made follows its parent.
fn merge(
    batch: &Batch,
    order: &[EventId],
    parts: &[Vec<EventId>],
    first_new: EventId,
    cursors: &mut Vec<usize>,
    out: &mut Vec<EventId>,
) {
    cursors.clear();
    cursors.resize(parts.len(), 0);
    for id in order {
        for (part, cursor) in parts.iter().zip(&mut *cursors) {
            if part.get(*cursor) == Some(id) {
                out.push(*id);
                *cursor += 1;
            }
        }
        for (part, cursor) in parts.iter().zip(&mut *cursors) {
            while let Some(child) = part
                .get(*cursor)
                .filter(|child| **child >= first_new && batch.ancestor(**child, first_new) == *id)
            {
                out.push(*child);
                *cursor += 1;
            }
        }
    }
    // Events that came from no event (time-outs of later filters, say) come last.
    for (part, cursor) in parts.iter().zip(&*cursors) {
        out.extend_from_slice(part.get(*cursor..).unwrap_or_default());
    }
}
