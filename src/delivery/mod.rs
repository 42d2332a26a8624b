//! Decides how far each source may be called delivered: positions and answers go in, commits come out.
//!
//! A *stream* is one readable source (a file, a partition, a connection). Each run of records read from it gets a
//! [`Ticket`]; each ticket is answered item by item, in any order; a [`Commit`] is the longest prefix of a stream whose
//! tickets are all answered. This is a pure state machine: it does no I/O, reads no clock and starts no thread.
//!
//! Whatever goes wrong, it errs towards reading again: an answer that cannot be placed is counted and ignored, so a
//! position may come late but never early.

pub mod checkpoint;
pub mod sincedb;
pub mod storage;

use thiserror::Error;

/// Names a registered stream; after [`Delivery::unregister`] it names nothing, even if its place is reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    slot: u32,
    generation: u32,
}

impl StreamId {
    /// A small number that is unique among the streams registered at one moment; fit for indexing a table beside this one.
    #[must_use]
    pub fn index(self) -> usize {
        self.slot as usize
    }
}

/// Names one open run of a stream. Eight bytes, to be copied into every item made from the run.
///
/// A ticket that was answered in full, fenced or unregistered is recognised by its generation. The generation has 32
/// bits: a late answer could be mistaken only after one place was reused 2³² times while that answer was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

impl Ticket {
    /// The ticket of events that have no source to commit (a generator's, a timeout's): calls with it do nothing.
    pub const NONE: Self = Self {
        slot: NIL,
        generation: 0,
    };
}

/// What became of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The destination has them (or had them already, by id).
    Indexed,
    /// They were refused for good and are in a dead letter file, on disk.
    SetAside,
    /// A rule of the pipeline discarded them.
    Dropped,
}

/// What a ticket carries besides its position and what becomes durable together with it (counters, chain heads).
pub trait Merge {
    /// Adds what came later in the stream to what came before.
    fn merge(&mut self, later: Self);
}

impl Merge for () {
    fn merge(&mut self, (): Self) {}
}

/// A stream has been answered up to a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit<D = ()> {
    /// The stream that advanced.
    pub stream: StreamId,
    /// Everything before this position is answered; in the units given to [`Delivery::open`].
    pub pos: u64,
    /// The source was read to its end and all of it is answered. Said once, with the stream's last commit.
    pub finished: bool,
    /// What the committed tickets carried, merged in read order since the stream's previous commit.
    pub deltas: D,
}

/// The bounds of one delivery core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open tickets of one stream.
    pub tickets_per_stream: u32,
    /// Open tickets of all streams together; each takes 32 bytes (and its deltas).
    pub tickets: u32,
}

impl Default for Limits {
    /// 16,384 tickets per stream, 262,144 (8 MiB) in all: more than fits between the block pool and the bodies' budget
    /// unless runs are tiny, in which case reading has to wait.
    fn default() -> Self {
        Self {
            tickets_per_stream: 16_384,
            tickets: 262_144,
        }
    }
}

/// Why a run got no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Too much is unanswered; stop reading and try again after some answers. See [`Delivery::saturated`].
    #[error("too many unanswered runs; reading has to wait for answers")]
    Saturated,
    /// The stream was never registered here, or is unregistered.
    #[error("the stream is not registered")]
    Unknown,
    /// The stream was fenced or finished: what is read of it belongs to another registration.
    #[error("the stream is closed: it was fenced or had reached its end")]
    Closed,
    /// Positions of a stream must not go back; a source that starts over is a new stream.
    #[error(
        "position {end} lies before {read}, which was already read; a source that starts over needs a new stream"
    )]
    Backwards {
        /// The refused end of the run.
        end: u64,
        /// The end of the run before it.
        read: u64,
    },
}

/// What is under way, for gauges and for a drain at shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Registered streams.
    pub streams: u32,
    /// Tickets opened and neither committed nor fenced.
    pub tickets: u32,
    /// Items that were announced by [`Delivery::expect`] and not answered yet.
    pub items: u64,
}

/// Running totals since the core was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Items answered with [`Outcome::Indexed`].
    pub indexed: u64,
    /// Items answered with [`Outcome::SetAside`].
    pub set_aside: u64,
    /// Items answered with [`Outcome::Dropped`].
    pub dropped: u64,
    /// Calls for tickets that are answered, fenced or unregistered. Normal after a fence.
    pub late: u64,
    /// Calls that broke the order (an answer before `expect`, a second `expect`, more answers than items), all ignored.
    /// Anything but zero is a defect of the caller, and the tickets concerned may never commit.
    pub misused: u64,
}

const NIL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Free,
    Reading,
    Ending,
    Finished,
    Fenced,
}

#[derive(Debug)]
struct Stream<D> {
    generation: u32,
    phase: Phase,
    read: u64,
    answered: u64,
    first: u32,
    last: u32,
    open: u32,
    /// There is something to tell at the next poll.
    news: bool,
    /// The place is in `Delivery::listed`. Outlives the registration, so that a place is listed at most once.
    listed: bool,
    deltas: D,
}

#[derive(Debug)]
struct Run<D> {
    end: u64,
    generation: u32,
    stream: u32,
    /// The stream's next run while open, the next free place otherwise.
    next: u32,
    remaining: u32,
    expected: bool,
    deltas: D,
}

/// The delivery core. `D` is what a commit carries besides its position.
///
/// Every call costs O(1), amortised, and allocates only while the number of open tickets reaches a new height.
#[derive(Debug)]
pub struct Delivery<D = ()> {
    limits: Limits,
    streams: Vec<Stream<D>>,
    free_streams: Vec<u32>,
    runs: Vec<Run<D>>,
    free_run: u32,
    listed: Vec<u32>,
    news: u32,
    in_flight: InFlight,
    totals: Totals,
}

impl Delivery {
    /// A core with the default limits, whose commits carry positions alone.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }
}

impl<D: Default + Merge> Default for Delivery<D> {
    fn default() -> Self {
        Self::with_limits(Limits::default())
    }
}

impl<D: Default + Merge> Delivery<D> {
    /// A core with limits of its own.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        // The last slot number stands for "none".
        let limits = Limits {
            tickets: limits.tickets.min(NIL - 1),
            ..limits
        };
        Self {
            limits,
            streams: Vec::new(),
            free_streams: Vec::new(),
            runs: Vec::new(),
            free_run: NIL,
            listed: Vec::new(),
            news: 0,
            in_flight: InFlight::default(),
            totals: Totals::default(),
        }
    }

    /// Adds a stream that is committed up to `start`. The caller bounds how many sources it has.
    pub fn register(&mut self, start: u64) -> StreamId {
        self.in_flight.streams += 1;
        let slot = self.free_streams.pop().unwrap_or_else(|| {
            self.streams.push(Stream::vacant());
            u32::try_from(self.streams.len() - 1).unwrap_or(NIL)
        });
        let stream = &mut self.streams[slot as usize];
        stream.phase = Phase::Reading;
        stream.read = start;
        stream.answered = start;
        StreamId {
            slot,
            generation: stream.generation,
        }
    }

    /// Opens a ticket for the run that ends at `end`; runs of a stream are opened in read order.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was opened then, and what was read must be read again or kept by the caller.
    pub fn open(&mut self, stream: StreamId, end: u64) -> Result<Ticket, OpenError> {
        let (limits, open) = (self.limits, self.in_flight.tickets);
        let owner = self.stream_mut(stream).ok_or(OpenError::Unknown)?;
        if owner.phase != Phase::Reading {
            return Err(OpenError::Closed);
        }
        if end < owner.read {
            return Err(OpenError::Backwards {
                end,
                read: owner.read,
            });
        }
        if owner.open >= limits.tickets_per_stream || open >= limits.tickets {
            return Err(OpenError::Saturated);
        }
        owner.read = end;
        owner.open += 1;
        let before = owner.last;
        let slot = self.take_run(stream.slot, end);
        let owner = &mut self.streams[stream.index()];
        owner.last = slot;
        if before == NIL {
            owner.first = slot;
        } else {
            self.runs[before as usize].next = slot;
        }
        self.in_flight.tickets += 1;
        Ok(Ticket {
            slot,
            generation: self.runs[slot as usize].generation,
        })
    }

    /// Whether [`Delivery::open`] would be refused for want of answers; ask before reading.
    #[must_use]
    pub fn saturated(&self, stream: StreamId) -> bool {
        self.in_flight.tickets >= self.limits.tickets
            || self
                .stream(stream)
                .is_some_and(|it| it.open >= self.limits.tickets_per_stream)
    }

    /// Says how many answers a ticket will get: once per ticket and before the first of them. With 0 the whole run was
    /// dropped by rule and is answered by this call.
    pub fn expect(&mut self, ticket: Ticket, items: u32) {
        let Some(run) = self.run_mut(ticket) else {
            return;
        };
        if run.expected {
            self.misuse("a ticket's items were announced twice");
            return;
        }
        run.expected = true;
        run.remaining = items;
        let stream = run.stream;
        self.in_flight.items += u64::from(items);
        if items == 0 {
            self.settle(stream);
        }
    }

    /// Adds to what the ticket's commit will carry. Before the ticket's last answer, or it is late and ignored.
    pub fn attach(&mut self, ticket: Ticket, deltas: D) {
        let Some(run) = self.run_mut(ticket) else {
            return;
        };
        run.deltas.merge(deltas);
    }

    /// Answers `items` of a ticket's items. Each item is answered once; answers of closed tickets are counted as late
    /// and ignored.
    pub fn answer(&mut self, ticket: Ticket, items: u32, outcome: Outcome) {
        let Some(run) = self.run_mut(ticket) else {
            return;
        };
        if !run.expected {
            self.misuse("a ticket was answered before its items were announced");
            return;
        }
        if run.remaining == 0 {
            // Answered in full and waiting for an earlier run: as closed as if it had been committed.
            self.totals.late += 1;
            return;
        }
        if items > run.remaining {
            // No assertion: whether this answer finds the ticket open depends on timing, so it must not decide a crash.
            self.totals.misused += 1;
            return;
        }
        run.remaining -= items;
        let (stream, complete) = (run.stream, run.remaining == 0);
        self.in_flight.items -= u64::from(items);
        let total = match outcome {
            Outcome::Indexed => &mut self.totals.indexed,
            Outcome::SetAside => &mut self.totals.set_aside,
            Outcome::Dropped => &mut self.totals.dropped,
        };
        *total += u64::from(items);
        if complete {
            self.settle(stream);
        }
    }

    /// Gives a stream up: its open tickets are void, and nothing commits from it any more, answered or not. Poll first
    /// for what may still be committed. The stream stays registered, closed for reading.
    pub fn fence(&mut self, stream: StreamId) {
        if self.stream_mut(stream).is_none() {
            return;
        }
        self.void_runs(stream.slot);
        let fenced = &mut self.streams[stream.index()];
        fenced.phase = Phase::Fenced;
        fenced.deltas = D::default();
        if std::mem::take(&mut fenced.news) {
            self.news -= 1;
        }
    }

    /// Says that the source has been read to its end: once everything is answered, [`Delivery::poll`] reports the
    /// stream as finished.
    pub fn finish(&mut self, stream: StreamId) {
        let Some(ending) = self.stream_mut(stream) else {
            return;
        };
        if ending.phase == Phase::Reading {
            ending.phase = Phase::Ending;
            self.settle(stream.slot);
        }
    }

    /// Removes a stream, fencing what is open; its place may be reused. Poll first, as for [`Delivery::fence`].
    pub fn unregister(&mut self, stream: StreamId) {
        if self.stream(stream).is_none() {
            return;
        }
        self.fence(stream);
        let left = &mut self.streams[stream.index()];
        left.phase = Phase::Free;
        left.generation = left.generation.wrapping_add(1);
        self.free_streams.push(stream.slot);
        self.in_flight.streams -= 1;
    }

    /// Appends a commit for each stream that advanced or finished since the last poll, in the order in which they first
    /// did so.
    pub fn poll(&mut self, out: &mut Vec<Commit<D>>) {
        for slot in self.listed.drain(..) {
            let stream = &mut self.streams[slot as usize];
            stream.listed = false;
            if !std::mem::take(&mut stream.news) {
                continue;
            }
            self.news -= 1;
            out.push(Commit {
                stream: StreamId {
                    slot,
                    generation: stream.generation,
                },
                pos: stream.answered,
                finished: stream.phase == Phase::Finished,
                deltas: std::mem::take(&mut stream.deltas),
            });
        }
    }

    /// The position up to which a stream is answered, polled or not. `None` if it is not registered.
    #[must_use]
    pub fn answered_to(&self, stream: StreamId) -> Option<u64> {
        self.stream(stream).map(|it| it.answered)
    }

    /// The position up to which a stream was read. `None` if it is not registered.
    #[must_use]
    pub fn read_to(&self, stream: StreamId) -> Option<u64> {
        self.stream(stream).map(|it| it.read)
    }

    /// How many tickets of a stream are open: 0 when a revoked partition or a closing file has nothing to wait for.
    #[must_use]
    pub fn open_tickets(&self, stream: StreamId) -> u32 {
        self.stream(stream).map_or(0, |it| it.open)
    }

    /// What is under way.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.in_flight
    }

    /// Running totals.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The bounds in force, for gauges.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether no ticket is open and no commit waits for [`Delivery::poll`].
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.tickets == 0 && self.news == 0
    }

    fn stream(&self, id: StreamId) -> Option<&Stream<D>> {
        self.streams
            .get(id.index())
            .filter(|it| it.generation == id.generation && it.phase != Phase::Free)
    }

    fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream<D>> {
        self.streams
            .get_mut(id.index())
            .filter(|it| it.generation == id.generation && it.phase != Phase::Free)
    }

    /// The open run of a ticket; counts the call as late if there is none.
    fn run_mut(&mut self, ticket: Ticket) -> Option<&mut Run<D>> {
        if ticket == Ticket::NONE {
            return None;
        }
        let run = self
            .runs
            .get_mut(ticket.slot as usize)
            .filter(|it| it.generation == ticket.generation);
        if run.is_none() {
            self.totals.late += 1;
        }
        run
    }

    fn misuse(&mut self, what: &str) {
        self.totals.misused += 1;
        debug_assert!(false, "{what}");
    }

    fn take_run(&mut self, stream: u32, end: u64) -> u32 {
        if self.free_run == NIL {
            let slot = u32::try_from(self.runs.len()).unwrap_or(NIL);
            self.runs.push(Run {
                end,
                generation: 0,
                stream,
                next: NIL,
                remaining: 0,
                expected: false,
                deltas: D::default(),
            });
            return slot;
        }
        let slot = self.free_run;
        let run = &mut self.runs[slot as usize];
        self.free_run = run.next;
        run.end = end;
        run.stream = stream;
        run.next = NIL;
        run.remaining = 0;
        run.expected = false;
        slot
    }

    /// Makes the run's ticket stale and its place free; returns the stream's next run.
    fn release_run(&mut self, slot: u32) -> u32 {
        let run = &mut self.runs[slot as usize];
        run.generation = run.generation.wrapping_add(1);
        let next = std::mem::replace(&mut run.next, self.free_run);
        self.free_run = slot;
        self.in_flight.tickets -= 1;
        self.in_flight.items -= u64::from(run.remaining);
        next
    }

    /// Moves a stream over the answered runs at its front, and to its end if it has reached it.
    fn settle(&mut self, slot: u32) {
        let place = slot as usize;
        let mut moved = false;
        while let Some(run) = self.runs.get_mut(self.streams[place].first as usize) {
            if !run.expected || run.remaining > 0 {
                break;
            }
            moved = true;
            let stream = &mut self.streams[place];
            debug_assert!(run.stream == slot && run.end >= stream.answered);
            stream.answered = run.end;
            stream.deltas.merge(std::mem::take(&mut run.deltas));
            stream.open -= 1;
            let next = self.release_run(self.streams[place].first);
            self.streams[place].first = next;
        }
        let stream = &mut self.streams[place];
        if stream.first == NIL {
            debug_assert!(stream.open == 0 && stream.answered == stream.read);
            stream.last = NIL;
            if stream.phase == Phase::Ending {
                stream.phase = Phase::Finished;
                moved = true;
            }
        }
        if moved && !std::mem::replace(&mut stream.news, true) {
            self.news += 1;
            if !std::mem::replace(&mut stream.listed, true) {
                self.listed.push(slot);
            }
        }
    }

    fn void_runs(&mut self, slot: u32) {
        let stream = &mut self.streams[slot as usize];
        let mut run = std::mem::replace(&mut stream.first, NIL);
        stream.last = NIL;
        stream.open = 0;
        while run != NIL {
            self.runs[run as usize].deltas = D::default();
            run = self.release_run(run);
        }
    }
}

impl<D: Default> Stream<D> {
    fn vacant() -> Self {
        Self {
            generation: 0,
            phase: Phase::Free,
            read: 0,
            answered: 0,
            first: NIL,
            last: NIL,
            open: 0,
            news: false,
            listed: false,
            deltas: D::default(),
        }
    }
}

#[cfg(test)]
mod tests;
