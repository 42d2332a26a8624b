//! The running input: whose turn it is, which files came, went or changed their names.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::delivery::StreamId;
use crate::plugin::{Block, Fill, FillCx, Source};

use super::handles::Handles;
use super::identity::{FileId, Look};
use super::tail::{Next, Tail, Turn};
use super::watch::{Sight, Watch};
use super::{Mode, Notices, Shared, SortBy, SortDirection};

/// Turns of one fill at most, so that the lock on the source is never held for long.
const MAX_TURNS: usize = 512;
/// Folders that one fill visits at most.
const FOLDERS_PER_FILL: usize = 256;
/// Room for tickets that other inputs may take while this one reads.
const TICKET_MARGIN: usize = 8 * MAX_TURNS;
/// The least that is read at once, where a block is limited by its number of records.
const LEAST_READ: usize = 4096;
/// How many bytes a record is taken to have when a number of records limits a read.
const USUAL_RECORD: usize = 256;
/// Pause before a look at whether the tickets of an ending stream were opened, or a saturated one was answered.
const SHORT_PAUSE: Duration = Duration::from_millis(10);
/// Pause before a look at whether files that were read to their end are answered.
const ANSWER_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two looks at a growing file, for each watched file: bounds the cost of looking.
const PAUSE_PER_FILE: Duration = Duration::from_micros(20);
/// Most further names of one file that are remembered.
const MAX_SECOND_NAMES: usize = 16;
/// Most files that are watched at once.
const MAX_FILES: usize = 1_000_000;

/// An entry of the schedule: when, in which order, whose turn.
type Due = Reverse<(Instant, u64, u32)>;

/// The source of one file input.
// The flags are independent of one another.
#[allow(clippy::struct_excessive_bools)]
pub struct FileSource {
    shared: Arc<Shared>,
    watch: Watch,
    tails: Vec<Option<Box<Tail>>>,
    free: Vec<u32>,
    by_id: HashMap<FileId, u32>,
    by_path: HashMap<PathBuf, u32>,
    ended: HashMap<StreamId, u32>,
    schedule: BinaryHeap<Due>,
    sequence: u64,
    handles: Handles,
    leaving: Vec<(StreamId, u64)>,
    notices: Notices,
    sights: Vec<Sight>,
    /// Paths that could not be looked at.
    retry: Vec<PathBuf>,
    scanning: bool,
    first_round_done: bool,
    /// Every file of the first round was looked up.
    all_known: bool,
    next_quick: Option<Instant>,
    next_full: Option<Instant>,
    waits_for_answers: bool,
}

impl FileSource {
    /// A source that has looked at nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, watch: Watch) -> Self {
        let handles = Handles::new(shared.max_open_files);
        FileSource {
            shared,
            watch,
            tails: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_path: HashMap::new(),
            ended: HashMap::new(),
            schedule: BinaryHeap::new(),
            sequence: 0,
            handles,
            leaving: Vec::new(),
            notices: Notices::default(),
            sights: Vec::new(),
            retry: Vec::new(),
            scanning: false,
            first_round_done: false,
            all_known: false,
            next_quick: None,
            next_full: None,
            waits_for_answers: false,
        }
    }

    fn count(&self) -> usize {
        self.tails.len() - self.free.len()
    }

    fn live(&self) -> impl Iterator<Item = &Tail> {
        self.tails.iter().flatten().map(Box::as_ref)
    }

    // ---- files that end

    /// Ends the streams whose runs all have their tickets, and lets go of those that are answered.
    fn settle(&mut self, cx: &FillCx<'_>) {
        if !self.leaving.is_empty() {
            let mut delivery = crate::lock(cx.delivery);
            self.leaving
                .retain(|(stream, end)| match delivery.read_to(*stream) {
                    Some(read) if read < *end => true,
                    Some(_) => {
                        delivery.finish(*stream);
                        false
                    }
                    None => false,
                });
        }
        let (mut done, mut again) = (Vec::new(), Vec::new());
        self.shared.positions.take_done(&mut done, &mut again);
        for done in done {
            cx.unregister(done.stream);
            if let Some(key) = self.ended.remove(&done.stream) {
                let path = self.remove(key);
                if let Some(path) = path.filter(|_| done.deleted) {
                    self.watch.forget(&path);
                }
            }
        }
        for path in again {
            self.watch.forget(&path);
            self.retry.push(path);
        }
    }

    /// Lets go of a file; returns where it was.
    fn remove(&mut self, key: u32) -> Option<PathBuf> {
        let tail = self.tails.get_mut(key as usize).and_then(Option::take)?;
        self.handles.close(key);
        if self.by_id.get(&tail.id) == Some(&key) {
            self.by_id.remove(&tail.id);
        }
        if self.by_path.get(&tail.path) == Some(&key) {
            self.by_path.remove(&tail.path);
            if tail.nameless {
                // The name may come back with the same inode.
                self.watch.forget(&tail.path);
            }
        }
        self.free.push(key);
        Some(tail.path)
    }

    // ---- files that come and go

    /// Looks for files when that is due.
    fn discover(&mut self, now: Instant, wall: SystemTime) {
        if !self.scanning {
            let full = self.next_full.is_none_or(|at| now >= at);
            if !full && self.next_quick.is_some_and(|at| now < at) {
                return;
            }
            self.watch.begin(full);
            self.scanning = true;
            self.next_quick = Some(now + self.shared.stat_interval);
            if full {
                self.next_full = Some(now + self.shared.discovery_interval);
            }
        }
        if !self.watch.step(FOLDERS_PER_FILL, wall, &mut self.sights) {
            return;
        }
        self.scanning = false;
        if !self.all_known && self.first_round_done && self.live().all(Tail::is_known) {
            self.all_known = true;
            self.shared.positions.all_found();
        }
        let mut found: Vec<(PathBuf, Look, bool)> = Vec::new();
        let mut gone = Vec::new();
        let retried = std::mem::take(&mut self.retry);
        let sights = std::mem::take(&mut self.sights);
        let linked = |path: &Path| path.is_symlink();
        let retried = retried
            .into_iter()
            .map(|path| Sight::Found(path.clone(), linked(&path)));
        for sight in sights.into_iter().chain(retried) {
            match sight {
                Sight::Found(path, linked) => match Look::at(&path) {
                    Ok(look) if look.regular => found.push((path, look, linked)),
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        self.watch.forget(&path);
                    }
                    Err(error) => {
                        self.notices.unreadable(&path, &error);
                        self.retry.push(path);
                    }
                },
                Sight::Gone(path) => gone.push(path),
            }
        }
        self.sort(&mut found);
        for (path, look, linked) in found {
            self.adopt(path, &look, linked, now);
        }
        for path in gone {
            self.lose(&path, now);
        }
        self.first_round_done = true;
    }

    fn sort(&self, found: &mut [(PathBuf, Look, bool)]) {
        match self.shared.sort_by {
            SortBy::LastModified => {
                found.sort_by(|a, b| (a.1.modified, &a.0).cmp(&(b.1.modified, &b.0)));
            }
            SortBy::Path => found.sort_by(|a, b| a.0.cmp(&b.0)),
        }
        if self.shared.sort_direction == SortDirection::Desc {
            found.reverse();
        }
    }

    /// Takes note of a path that is new or names another file than before.
    fn adopt(&mut self, path: PathBuf, look: &Look, linked: bool, now: Instant) {
        let before = self.by_path.get(&path).copied();
        if let Some(&key) = self.by_id.get(&look.id) {
            let same = |tail: &Tail| tail.is_same(look);
            if self
                .tails
                .get(key as usize)
                .and_then(Option::as_deref)
                .is_some_and(same)
            {
                self.found_again(key, path, now);
                return;
            }
            self.supersede(key);
        }
        if let Some(before) = before {
            self.lose_name(before, now);
        }
        if self.count() >= MAX_FILES {
            self.notices.too_many(MAX_FILES);
            return;
        }
        let key = self.free.pop().unwrap_or_else(|| {
            self.tails.push(None);
            u32::try_from(self.tails.len() - 1).unwrap_or(u32::MAX)
        });
        let attrs = self.shared.attrs(&path);
        let mut tail = Tail::new(key, path.clone(), look, attrs, now);
        tail.linked = linked;
        tail.initial = !self.first_round_done;
        tail.after = before;
        self.by_id.insert(look.id, key);
        self.by_path.insert(path, key);
        self.tails[key as usize] = Some(Box::new(tail));
        self.schedule_at(key, now);
    }

    /// The inode of a file that is gone is used by another one.
    fn supersede(&mut self, key: u32) {
        self.ended.retain(|_, ended| *ended != key);
        let tail = self.tails.get(key as usize).and_then(Option::as_ref);
        self.leaving.extend(
            tail.filter(|tail| !tail.has_ended())
                .and_then(|tail| tail.last_run()),
        );
        self.remove(key);
    }

    /// A known file under a path: renamed, or a second name of it, which is not read twice.
    fn found_again(&mut self, key: u32, path: PathBuf, now: Instant) {
        let Some(tail) = self.tails.get_mut(key as usize).and_then(Option::as_mut) else {
            return;
        };
        if tail.path == path {
            tail.nameless = false;
            self.by_path.insert(path, key);
            return;
        }
        if !tail.nameless && Look::at(&tail.path).is_ok_and(|look| look.id == tail.id) {
            if tail.second_names.len() < MAX_SECOND_NAMES && !tail.second_names.contains(&path) {
                tail.second_names.push(path);
            }
            return;
        }
        let old = tail.path.clone();
        tail.rename(path.clone(), &self.shared, now);
        if self.by_path.get(&old) == Some(&key) {
            self.by_path.remove(&old);
        }
        if let Some(before) = self
            .by_path
            .insert(path, key)
            .filter(|before| *before != key)
        {
            self.lose_name(before, now);
        }
    }

    /// A path is gone: its file goes on under a second name, or without one.
    fn lose(&mut self, path: &Path, now: Instant) {
        let Some(&key) = self.by_path.get(path) else {
            return;
        };
        let Some(tail) = self.tails.get_mut(key as usize).and_then(Option::as_mut) else {
            return;
        };
        let still_there = |path: &Path| Look::at(path).is_ok_and(|look| look.id == tail.id);
        if still_there(path) {
            return;
        }
        self.by_path.remove(path);
        let second = tail.second_names.iter().position(|name| still_there(name));
        match second.map(|at| tail.second_names.swap_remove(at)) {
            Some(second) => {
                tail.rename(second.clone(), &self.shared, now);
                self.by_path.insert(second, key);
            }
            None => self.lose_name(key, now),
        }
    }

    fn lose_name(&mut self, key: u32, now: Instant) {
        if let Some(tail) = self.tails.get_mut(key as usize).and_then(Option::as_mut) {
            tail.lose_name(now);
            if !tail.has_ended() {
                self.schedule_at(key, now);
            }
        }
    }

    // ---- turns

    fn schedule_at(&mut self, key: u32, at: Instant) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.schedule_as(key, at, sequence);
    }

    fn schedule_as(&mut self, key: u32, at: Instant, sequence: u64) {
        if let Some(tail) = self.tails.get_mut(key as usize).and_then(Option::as_mut) {
            tail.due = sequence;
            self.schedule.push(Reverse((at, sequence, key)));
        }
    }

    /// The next file whose turn has come.
    fn next_due(&mut self, now: Instant) -> Option<(Instant, u64, u32)> {
        while let Some(&Reverse((at, sequence, key))) = self.schedule.peek() {
            let valid = self
                .tails
                .get(key as usize)
                .and_then(Option::as_ref)
                .is_some_and(|tail| tail.due == sequence);
            if valid && at > now {
                return None;
            }
            self.schedule.pop();
            if valid {
                return Some((at, sequence, key));
            }
        }
        None
    }

    /// Bytes that may still be read into the block; none when it is full.
    fn room(block: &Block, cx: &FillCx<'_>) -> Option<usize> {
        let space = cx.block_bytes.saturating_sub(block.buf.len());
        if space == 0 || space < cx.block_bytes / 16 {
            return None;
        }
        match cx.max_records {
            None => Some(space),
            Some(most) if block.recs.len() >= most => None,
            Some(most) => {
                Some(space.min(((most - block.recs.len()) * USUAL_RECORD).max(LEAST_READ)))
            }
        }
    }

    /// Whether a run of any stream would get a ticket.
    fn has_tickets(cx: &FillCx<'_>) -> bool {
        let delivery = crate::lock(cx.delivery);
        let limit = delivery.limits().tickets as usize;
        delivery.in_flight().tickets as usize + TICKET_MARGIN < limit
    }

    /// Whether as many runs of the stream as one fill can make would get tickets.
    fn has_tickets_of(cx: &FillCx<'_>, stream: StreamId) -> bool {
        let delivery = crate::lock(cx.delivery);
        let limit = delivery.limits().tickets_per_stream as usize;
        delivery.open_tickets(stream) as usize + MAX_TURNS < limit
    }

    fn take_turn(
        &mut self,
        due: (Instant, u64, u32),
        block: &mut Block,
        cx: &FillCx<'_>,
        clock: &Clock,
    ) {
        let (at, sequence, key) = due;
        if self.must_wait(key) || self.points_elsewhere(key, clock) {
            self.schedule_at(key, clock.now + SHORT_PAUSE);
            return;
        }
        let Some(mut tail) = self.tails.get_mut(key as usize).and_then(Option::take) else {
            return;
        };
        let may_read = tail
            .stream()
            .is_none_or(|stream| Self::has_tickets_of(cx, stream));
        let next = if may_read {
            let band = self.shared.band;
            tail.turn(&mut Turn {
                block,
                cx,
                shared: &self.shared,
                handles: &mut self.handles,
                leaving: &mut self.leaving,
                notices: &mut self.notices,
                now: clock.now,
                wall: clock.wall,
                want: clock.room.min(band),
                hot_pause: clock.hot_pause,
            })
        } else {
            self.waits_for_answers = true;
            Next::In(SHORT_PAUSE)
        };
        let path = (next == Next::Replaced).then(|| tail.path.clone());
        let stream = tail.stream();
        self.tails[key as usize] = Some(tail);
        match next {
            // One file after another, unless the bands are narrow.
            Next::Again if self.shared.mode == Mode::Read && self.shared.band >= cx.block_bytes => {
                self.schedule_as(key, at, sequence);
            }
            Next::Again => self.schedule_at(key, clock.now),
            Next::In(pause) => self.schedule_at(key, clock.now + pause),
            Next::Ended => match stream {
                Some(stream) => {
                    self.ended.insert(stream, key);
                }
                None => drop(self.remove(key)),
            },
            Next::Remove | Next::Replaced => drop(self.remove(key)),
        }
        if let Some(path) = path {
            self.watch.forget(&path);
            self.retry.push(path);
        }
    }

    /// A file that took the place of another one begins when that one was read to its end.
    fn must_wait(&mut self, key: u32) -> bool {
        let Some(after) = self.tails[key as usize]
            .as_ref()
            .and_then(|tail| tail.after)
        else {
            return false;
        };
        let waits = self
            .tails
            .get(after as usize)
            .and_then(Option::as_ref)
            .is_some_and(|before| {
                before.rotated
                    && !before.drained
                    && !before.has_ended()
                    && self.handles.get(after).is_some()
            });
        if !waits && let Some(tail) = self.tails[key as usize].as_mut() {
            tail.after = None;
        }
        waits
    }

    /// A symbolic link may point to another file since the last look: that one is adopted, the old one read to its end.
    fn points_elsewhere(&mut self, key: u32, clock: &Clock) -> bool {
        let Some(tail) = self.tails[key as usize].as_ref() else {
            return false;
        };
        if !tail.linked || tail.rotated {
            return false;
        }
        let (path, id) = (tail.path.clone(), tail.id);
        match Look::at(&path) {
            Ok(look) if look.id != id && look.regular => {
                self.adopt(path, &look, true, clock.now);
                true
            }
            _ => false,
        }
    }

    fn is_over(&self) -> bool {
        self.shared.exit_after_read
            && self.first_round_done
            && self.retry.is_empty()
            && self.leaving.is_empty()
            && self.count() == 0
            && self.shared.positions.is_idle()
    }

    fn next_pause(&mut self, now: Instant) -> Duration {
        let turn = self.schedule.peek().map(|Reverse((at, _, _))| *at);
        let wake = [turn, self.next_quick].into_iter().flatten().min();
        let pause = wake.map_or(self.shared.stat_interval, |at| {
            at.saturating_duration_since(now)
        });
        if !self.leaving.is_empty() {
            pause.min(SHORT_PAUSE)
        } else if !self.ended.is_empty() {
            pause.min(ANSWER_PAUSE)
        } else {
            pause
        }
    }
}

/// The clocks, read once per fill.
struct Clock {
    now: Instant,
    wall: SystemTime,
    room: usize,
    hot_pause: Duration,
}

impl Source for FileSource {
    fn fill(&mut self, block: &mut Block, cx: &mut FillCx<'_>) -> Fill {
        self.settle(cx);
        if cx.stopping {
            // A half line or an open multiline event stays unread: the positions lie before it.
            self.shared.positions.stop();
            return Fill::Ended;
        }
        let hot = (PAUSE_PER_FILE * u32::try_from(self.count()).unwrap_or(u32::MAX))
            .max(Duration::from_millis(50));
        let mut clock = Clock {
            now: Instant::now(),
            wall: SystemTime::now(),
            room: 0,
            hot_pause: hot.min(self.shared.stat_interval),
        };
        self.discover(clock.now, clock.wall);
        self.waits_for_answers = !Self::has_tickets(cx);
        if self.waits_for_answers {
            return Fill::Idle(SHORT_PAUSE);
        }
        for _ in 0..MAX_TURNS {
            let Some(room) = Self::room(block, cx) else {
                return Fill::More;
            };
            let Some(due) = self.next_due(clock.now) else {
                if self.scanning {
                    return Fill::More;
                }
                return if self.is_over() {
                    Fill::Ended
                } else {
                    Fill::Idle(self.next_pause(clock.now))
                };
            };
            clock.room = room;
            self.take_turn(due, block, cx, &clock);
        }
        Fill::More
    }

    fn idle_reason(&self) -> String {
        let files = self.count();
        let globs = self.shared.globs.join(", ");
        if files == 0 {
            return match self.watch.unreadable() {
                Some(dir) => format!(
                    "file: 0 files match {globs} (cannot look into {})",
                    dir.display()
                ),
                None => format!("file: 0 files match {globs}"),
            };
        }
        if self.waits_for_answers {
            return format!("file: {files} files, reading waits for answers of the outputs");
        }
        let lag = self.lag();
        match self.notices.last_unreadable() {
            Some(path) => format!(
                "file: {files} files match {globs}; {} cannot be read",
                path.display()
            ),
            None if lag > 0 => format!("file: {files} files, {lag} bytes not read yet"),
            None => format!("file: {files} files, all read to their end"),
        }
    }

    fn lag(&self) -> u64 {
        self.live().map(Tail::lag).sum()
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        self.shared.positions.stop();
    }
}
