//! One watched file: where reading stands, and what its next turn does.

mod archive;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::delivery::StreamId;
use crate::delivery::checkpoint::{Checkpoint, HEAD_BYTES, Head, Key};
use crate::plugin::{Attrs, Block, FillCx, Framer, Framing, PluginMetrics};

use self::archive::{CopyOf, is_named_gzip};
use super::gzip::{Unzip, is_gzip};
use super::handles::{Handle, Handles};
use super::identity::{FileId, Look, first_bytes};
use super::positions::Complete;
use super::{Mode, Notices, Shared, Start};

/// The shortest pause between two looks at a file that grows.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// Looks (of `stat_interval`) without growth after which a file that lost its name is taken for complete.
const QUIET_LOOKS: u32 = 5;
/// The whole head of a growing file is compared at most so often, its first few bytes at every growth.
const HEAD_PAUSE: Duration = Duration::from_secs(1);
/// How many first bytes are compared at every growth.
const FIRST_BYTES: usize = 64;

/// What a tail works with during its turn.
pub struct Turn<'a, 'c> {
    /// Where bytes and records go.
    pub block: &'a mut Block,
    /// The delivery core and the limits of the block.
    pub cx: &'a FillCx<'c>,
    /// What all tails share.
    pub shared: &'a Shared,
    /// The window of open files.
    pub handles: &'a mut Handles,
    /// Streams that will yield nothing more, and their ends.
    pub leaving: &'a mut Vec<(StreamId, u64)>,
    /// What was logged once.
    pub notices: &'a mut Notices,
    /// The clock, read once per fill.
    pub now: Instant,
    /// The time of day, read once per fill.
    pub wall: SystemTime,
    /// Bytes that may be read in this turn.
    pub want: usize,
    /// Pause between two looks at a growing file; longer the more files there are.
    pub hot_pause: Duration,
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to read.
    Again,
    /// Another turn after a pause.
    In(Duration),
    /// Read to its end; waits for its answers.
    Ended,
    /// The file is gone and done with.
    Remove,
    /// The path names another file.
    Replaced,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Not looked into yet.
    Found,
    /// Too old when it was found; read from this size on once it changes.
    Ignored(u64),
    /// A compressed file is decoded once to see whether it is whole.
    Checking,
    /// A compressed file is compared with one that was read.
    Comparing(CopyOf),
    /// It is read.
    Live,
    /// It was read to its end.
    Ended,
}

/// A watched file.
// Each flag is a fact of its own that the outside world sets; they make no states together.
#[allow(clippy::struct_excessive_bools)]
pub struct Tail {
    key: u32,
    /// Where it was last seen.
    pub path: PathBuf,
    /// Which file it is.
    pub id: FileId,
    /// The path is a symbolic link, which may point elsewhere tomorrow.
    pub linked: bool,
    /// It was there when the input started.
    pub initial: bool,
    /// The file that had this path before and is read to its end first.
    pub after: Option<u32>,
    /// It lost the name by which it was read: renamed or deleted.
    pub rotated: bool,
    /// No glob leads to it any more.
    pub nameless: bool,
    /// Other names of the same file (links), under which it is not read twice.
    pub second_names: Vec<PathBuf>,
    /// Read to its end since it lost its name.
    pub drained: bool,
    /// Its place in the schedule; other entries for it are void.
    pub due: u64,
    /// Its last known size, on disk.
    size: u64,
    /// When it was last changed, as of the last look.
    modified: SystemTime,
    birth: Option<u64>,
    head: Head,
    head_at: Instant,
    /// The first few bytes, compared more often than the head.
    first: Vec<u8>,
    /// Size when it lost its name; it counts as read to its end from there on, however much is appended.
    drain_to: Option<u64>,
    /// It was looked into, if in vain.
    tried: bool,
    /// Size at which a compressed file turned out to end in the middle.
    cut_at: Option<u64>,
    zipped: bool,
    checked: bool,
    damaged: bool,
    copy_tries: u32,
    attrs: Arc<Attrs>,
    phase: Phase,
    stream: Option<StreamId>,
    record: u64,
    framer: Option<Box<dyn Framer>>,
    /// Position of the next byte to read.
    pos: u64,
    /// End of the last run.
    told: u64,
    grown: Instant,
    pause: Duration,
}

impl Tail {
    /// A file that was found and not looked into.
    pub fn new(key: u32, path: PathBuf, look: &Look, attrs: Arc<Attrs>, now: Instant) -> Self {
        Tail {
            key,
            path,
            id: look.id,
            linked: false,
            initial: false,
            after: None,
            rotated: false,
            nameless: false,
            second_names: Vec::new(),
            drained: false,
            due: 0,
            size: look.size,
            modified: look.modified,
            birth: look.birth,
            head: Head::default(),
            head_at: now,
            first: Vec::new(),
            drain_to: None,
            tried: false,
            cut_at: None,
            zipped: false,
            checked: false,
            damaged: false,
            copy_tries: 0,
            attrs,
            phase: Phase::Found,
            stream: None,
            record: 0,
            framer: None,
            pos: 0,
            told: 0,
            grown: now,
            pause: SHORTEST_PAUSE,
        }
    }

    /// Bytes known and not read; a guess for compressed files.
    #[must_use]
    pub fn lag(&self) -> u64 {
        match self.phase {
            Phase::Ignored(_) | Phase::Ended => 0,
            _ if self.zipped => u64::from(self.size > 0),
            _ => self.size.saturating_sub(self.pos),
        }
    }

    /// The stream that it is read as.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// The stream and the end of its last run.
    #[must_use]
    pub fn last_run(&self) -> Option<(StreamId, u64)> {
        self.stream.map(|stream| (stream, self.told))
    }

    /// Whether a look was at this file, and not at another one with its inode.
    #[must_use]
    pub fn is_same(&self, look: &Look) -> bool {
        look.is_same(self.id, self.birth)
    }

    /// It was read to its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Its record is known, so that it cannot be taken for one that nobody uses.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.tried || !matches!(self.phase, Phase::Found)
    }

    /// Gives the file another path, under which it was found.
    pub fn rename(&mut self, path: PathBuf, shared: &Shared, now: Instant) {
        self.path = path;
        self.lose_name(now);
        self.nameless = false;
        self.identify(shared);
    }

    /// The name by which it was read is gone. Its writer may go on for a while.
    pub fn lose_name(&mut self, now: Instant) {
        self.nameless = true;
        self.rotated = true;
        self.drained = false;
        self.drain_to = None;
        self.grown = now;
    }

    /// Reads what can be read at once, or finds out why there is nothing.
    pub fn turn(&mut self, t: &mut Turn<'_, '_>) -> Next {
        let result = match &self.phase {
            Phase::Found => self.begin(t, None),
            Phase::Ignored(size) => {
                let size = *size;
                self.look_at_ignored(t, size)
            }
            Phase::Checking => self.check(t),
            Phase::Comparing(copy) => {
                let copy = copy.clone();
                self.compare(t, &copy)
            }
            Phase::Live if self.zipped => self.unzip(t),
            Phase::Live => self.follow(t),
            Phase::Ended => Ok(Next::Ended),
        };
        result.unwrap_or_else(|error| self.fail(t, &error))
    }

    /// The file cannot be opened or read: said once, tried again.
    fn fail(&mut self, t: &mut Turn<'_, '_>, error: &io::Error) -> Next {
        let stat = t.shared.stat_interval;
        if error.kind() == io::ErrorKind::NotFound {
            if !self.nameless {
                self.lose_name(t.now);
            }
            let waited = t.now.duration_since(self.grown) >= stat * QUIET_LOOKS;
            return if waited {
                self.leave(t)
            } else {
                Next::In(stat)
            };
        }
        self.tried = true;
        t.handles.close(self.key);
        t.notices.unreadable(&self.path, error);
        Next::In(stat.max(Duration::from_secs(1)))
    }

    fn identify(&self, shared: &Shared) {
        if self.stream.is_some() {
            let look = Look {
                birth: self.birth,
                ..Look::nameless(self.id)
            };
            shared
                .positions
                .identify(self.record, look.key(self.head, &self.path));
        }
    }

    fn leave(&mut self, t: &mut Turn<'_, '_>) -> Next {
        t.handles.close(self.key);
        if let Some(stream) = self.stream {
            t.leaving.push((stream, self.told));
        }
        Next::Remove
    }

    /// Looks into the file and decides where to read from. `ignored_size` is its size when it was too old to be read.
    fn begin(&mut self, t: &mut Turn<'_, '_>, ignored_size: Option<u64>) -> io::Result<Next> {
        let file = t.handles.open(&self.path)?;
        let look = Look::into(&file)?;
        if look.id != self.id {
            return Ok(Next::Replaced);
        }
        let start = first_bytes(&file)?;
        let named_gzip = is_named_gzip(&self.path);
        self.zipped = named_gzip && is_gzip(&start);
        let begins = named_gzip && start.len() < 2;
        if self.zipped && !Self::has_settled(&look, t, 1)
            || begins && (t.shared.mode == Mode::Tail || !Self::has_settled(&look, t, QUIET_LOOKS))
        {
            self.tried = true;
            return Ok(Next::In(t.shared.stat_interval));
        }
        self.birth = look.birth;
        self.size = look.size;
        self.modified = look.modified;
        self.take_head(&start);
        self.grown = earlier(t.now, t.wall, look.modified);
        let key = look.key(self.head, &self.path);
        if let Some(known) = t.shared.positions.find(&key, &start) {
            t.shared.positions.identify(known.id, key);
            return Ok(self.resume(t, &known, &look, file));
        }
        if ignored_size.is_none() && Self::is_too_old(&look, t) {
            self.phase = Phase::Ignored(look.size);
            return Ok(Next::In(t.shared.stat_interval));
        }
        if self.zipped && t.shared.check_archives && !self.checked {
            self.keep(t, file);
            self.phase = Phase::Checking;
            return Ok(Next::Again);
        }
        let pos = self.first_position(t, &look, ignored_size);
        if self.zipped
            && pos == 0
            && let Some(copy) = self.copied_from(t)?
        {
            self.phase = Phase::Comparing(copy);
            return Ok(Next::Again);
        }
        self.record = t.shared.positions.insert(key, pos, t.wall);
        if self.zipped && pos > 0 {
            t.shared.positions.mark_finished(self.record, pos, t.wall);
            self.phase = Phase::Ended;
            return Ok(Next::Ended);
        }
        self.keep(t, file);
        self.go_live(t, pos);
        Ok(Next::Again)
    }

    /// The file stays open, so that it is followed wherever it is moved.
    fn keep(&mut self, t: &mut Turn<'_, '_>, file: File) {
        let handle = if self.zipped {
            Handle::Gzip(Box::new(Unzip::new(file)))
        } else {
            Handle::Plain { file, at: 0 }
        };
        t.handles.keep(self.key, handle);
        self.head_at = t.now;
    }

    /// Goes on where the record says.
    fn resume(
        &mut self,
        t: &mut Turn<'_, '_>,
        known: &Checkpoint,
        look: &Look,
        file: File,
    ) -> Next {
        self.record = known.id;
        if let Key::File(file) = &known.key {
            self.rotated = file.path != self.path;
        }
        let read_once = self.zipped || t.shared.mode == Mode::Read;
        if known.finished && read_once && (self.zipped || known.pos >= look.size) {
            t.shared
                .positions
                .mark_finished(known.id, known.pos, t.wall);
            if t.shared.mode == Mode::Read {
                t.shared.positions.complete_again(known, self.complete());
            }
            self.phase = Phase::Ended;
            return Next::Ended;
        }
        self.keep(t, file);
        if !self.zipped && known.pos > look.size {
            t.notices.truncated(&self.path);
            self.record = t
                .shared
                .positions
                .insert(look.key(self.head, &self.path), 0, t.wall);
            self.go_live(t, 0);
        } else {
            self.go_live(t, known.pos);
        }
        Next::Again
    }

    /// Where a file without a record is read from; for a compressed one anything but 0 means: not at all.
    fn first_position(&self, t: &Turn<'_, '_>, look: &Look, ignored_size: Option<u64>) -> u64 {
        match t.shared.positions.imported(look.id) {
            Some(offset) if self.zipped => return if offset == look.size { offset } else { 0 },
            Some(offset) if offset <= look.size => return offset,
            Some(_) => return 0,
            None => {}
        }
        match ignored_size {
            _ if t.shared.mode == Mode::Read => 0,
            Some(_) if self.zipped => 0,
            Some(size) => size.min(look.size),
            None if self.initial && t.shared.start == Start::End => look.size,
            None => 0,
        }
    }

    fn go_live(&mut self, t: &Turn<'_, '_>, pos: u64) {
        let stream = t.cx.register(pos);
        t.shared.positions.track(stream, self.record);
        self.stream = Some(stream);
        self.pos = pos;
        self.told = pos;
        self.phase = Phase::Live;
    }

    fn is_too_old(look: &Look, t: &Turn<'_, '_>) -> bool {
        let age = t.wall.duration_since(look.modified).unwrap_or_default();
        t.shared.ignore_older.is_some_and(|limit| age > limit)
    }

    fn look_at_ignored(&mut self, t: &mut Turn<'_, '_>, size: u64) -> io::Result<Next> {
        let look = Look::at(&self.path)?;
        if !look.is_same(self.id, self.birth) {
            return Ok(Next::Replaced);
        }
        if look.size == size {
            return Ok(Next::In(t.shared.stat_interval));
        }
        self.begin(t, Some(if look.size < size { 0 } else { size }))
    }

    /// Nothing about the file has changed for so many looks: whoever wrote it is done.
    fn has_settled(look: &Look, t: &Turn<'_, '_>, looks: u32) -> bool {
        t.wall
            .duration_since(look.changed)
            .is_ok_and(|age| age >= t.shared.stat_interval * looks)
    }

    fn framer<'f>(
        framer: &'f mut Option<Box<dyn Framer>>,
        shared: &Shared,
        pos: u64,
    ) -> &'f mut dyn Framer {
        framer
            .get_or_insert_with(|| {
                let mut framer = shared
                    .codec
                    .framer(&Framing::Lines(shared.delimiter.clone()));
                framer.restart(pos);
                framer
            })
            .as_mut()
    }

    fn follow(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        let open = t
            .handles
            .get(self.key)
            .map(|handle| Look::into(handle.file()));
        let is_open = open.is_some();
        let look = match open {
            Some(look) => look?,
            None => Look::at(&self.path)?,
        };
        if !look.is_same(self.id, self.birth) {
            return Ok(self.replaced(t));
        }
        self.size = look.size;
        if look.size < self.pos {
            return Ok(self.start_over(t));
        }
        if self.rotated && self.pos >= *self.drain_to.get_or_insert(look.size) {
            self.drained = true;
        }
        // A file can also be rewritten to the very size that it had.
        let touched = look.modified != self.modified;
        self.modified = look.modified;
        if look.size == self.pos && !touched {
            return Ok(self.wait(t, &look, is_open));
        }
        if !is_open && !self.reopen(t)? {
            return Ok(self.replaced(t));
        }
        let doubtful = !is_open
            || t.now.duration_since(self.head_at) >= HEAD_PAUSE
            || self.first_differs(t.handles)?;
        if doubtful && !self.begins_as_before(t)? {
            return Ok(self.start_over(t));
        }
        if look.size == self.pos {
            return Ok(self.wait(t, &look, true));
        }
        self.read_on(t)
    }

    fn replaced(&mut self, t: &mut Turn<'_, '_>) -> Next {
        self.leave(t);
        Next::Replaced
    }

    /// Opens the file again; false if its path names another one.
    fn reopen(&mut self, t: &mut Turn<'_, '_>) -> io::Result<bool> {
        let file = t.handles.open(&self.path)?;
        if !Look::into(&file)?.is_same(self.id, self.birth) {
            return Ok(false);
        }
        t.handles.keep(self.key, Handle::Plain { file, at: 0 });
        Ok(true)
    }

    fn take_head(&mut self, start: &[u8]) {
        self.head = Head::of(start);
        self.first.clear();
        self.first
            .extend_from_slice(&start[..start.len().min(FIRST_BYTES)]);
    }

    /// A cheap look at the first few bytes: a file may be truncated and grow past its old size between two looks.
    fn first_differs(&self, handles: &mut Handles) -> io::Result<bool> {
        let Some(handle) = handles.get(self.key) else {
            return Ok(true);
        };
        let mut first = [0; FIRST_BYTES];
        let read = handle.file().read_at(&mut first, 0)?;
        Ok(!first[..read].starts_with(&self.first))
    }

    /// Whether the file still begins with the bytes that it began with. A beginning of zeros is what is left when a
    /// file is truncated while its writer goes on at its old place: what follows was not read yet, so that reading
    /// goes on too.
    fn begins_as_before(&mut self, t: &mut Turn<'_, '_>) -> io::Result<bool> {
        self.head_at = t.now;
        let Some(handle) = t.handles.get(self.key) else {
            return Ok(true);
        };
        let start = first_bytes(handle.file())?;
        let as_before = start
            .get(..self.head.bytes as usize)
            .is_some_and(|start| Head::of(start) == self.head);
        if !as_before && !start.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        let head = self.head;
        self.take_head(&start);
        if head != self.head {
            self.identify(t.shared);
        }
        Ok(true)
    }

    fn read_on(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        let Some(handle) = t.handles.reading(self.key) else {
            return Ok(Next::Again);
        };
        let want = usize::try_from(self.size - self.pos)
            .unwrap_or(usize::MAX)
            .min(t.want);
        let (from, recs) = (t.block.buf.len(), t.block.recs.len());
        let read = handle.read(&mut t.block.buf, self.pos, want)?;
        if read == 0 {
            return Ok(Next::In(t.shared.stat_interval));
        }
        Self::framer(&mut self.framer, t.shared, self.pos).feed(t.block, from, self.pos);
        self.pos += read as u64;
        self.grown = t.now;
        self.pause = t.hot_pause;
        PluginMetrics::add(&t.shared.metrics.bytes, read as u64);
        self.tell(t, recs, from);
        if self.head.bytes < HEAD_BYTES && u64::from(self.head.bytes) < self.size {
            self.begins_as_before(t)?;
        }
        Ok(if self.pos < self.size {
            Next::Again
        } else {
            Next::In(t.hot_pause)
        })
    }

    /// Ends the run, if there is one. Bytes that made no record were copied by the framer and need no room.
    fn tell(&mut self, t: &mut Turn<'_, '_>, recs_before: usize, from: usize) {
        let settled = self
            .framer
            .as_ref()
            .map_or(self.told, |framer| framer.settled());
        if t.block.recs.len() > recs_before || settled > self.told {
            t.block.end_run(self.stream, &self.attrs, settled);
            self.told = settled;
        }
        if t.block.recs.len() == recs_before {
            t.block.buf.truncate(from);
        }
    }

    /// What is held leaves as a record.
    fn flush(&mut self, t: &mut Turn<'_, '_>) {
        let (from, recs) = (t.block.buf.len(), t.block.recs.len());
        if let Some(framer) = self.framer.as_mut().filter(|framer| framer.is_holding()) {
            framer.flush(t.block);
            self.tell(t, recs, from);
        }
    }

    /// The file was truncated or rewritten: what was held leaves, and the file is read anew, as another generation.
    fn start_over(&mut self, t: &mut Turn<'_, '_>) -> Next {
        t.notices.truncated(&self.path);
        self.flush(t);
        if let Some(stream) = self.stream.take() {
            t.leaving.push((stream, self.told));
        }
        let handle = t.handles.get(self.key);
        let start = handle.and_then(|handle| first_bytes(handle.file()).ok());
        self.take_head(&start.unwrap_or_default());
        self.framer = None;
        let look = Look {
            birth: self.birth,
            ..Look::nameless(self.id)
        };
        self.record = t
            .shared
            .positions
            .insert(look.key(self.head, &self.path), 0, t.wall);
        self.go_live(t, 0);
        self.grown = t.now;
        Next::Again
    }

    /// Everything there is was read: flushes, closes and ends what is due for it.
    fn wait(&mut self, t: &mut Turn<'_, '_>, look: &Look, is_open: bool) -> Next {
        let stat = t.shared.stat_interval;
        if t.shared.mode == Mode::Read {
            if !Self::has_settled(look, t, 1) {
                return Next::In(stat);
            }
            return self.end(t);
        }
        let silence = t.now.duration_since(self.grown);
        let quiet = silence >= stat * QUIET_LOOKS;
        let deleted = look.links == 0;
        let lost_name = deleted || self.rotated;
        let holding = self.framer.as_ref().filter(|framer| framer.is_holding());
        let auto_flush = holding.and_then(|framer| framer.auto_flush());
        let patience = [
            auto_flush,
            t.shared.last_line_timeout.filter(|_| holding.is_some()),
        ]
        .into_iter()
        .flatten()
        .min();
        let closes = silence >= t.shared.close_older;
        if holding.is_some()
            && (closes || quiet && lost_name || patience.is_some_and(|limit| silence >= limit))
        {
            self.flush(t);
        }
        if deleted && quiet || !is_open && self.nameless && quiet {
            return self.leave(t);
        }
        if closes && is_open {
            t.handles.close(self.key);
            self.framer = None;
            if self.nameless {
                return self.leave(t);
            }
        }
        self.pause = (self.pause * 2).clamp(t.hot_pause.min(stat), stat);
        let patience = patience.map_or(stat, |limit| limit.saturating_sub(silence));
        Next::In(if patience.is_zero() {
            self.pause
        } else {
            self.pause.min(patience)
        })
    }

    /// A file that is read once was read to its end.
    fn end(&mut self, t: &mut Turn<'_, '_>) -> Next {
        self.flush(t);
        t.handles.close(self.key);
        self.framer = None;
        self.phase = Phase::Ended;
        if let Some(stream) = self.stream {
            if t.shared.mode == Mode::Read {
                t.shared
                    .positions
                    .complete_when_answered(stream, self.complete());
            }
            t.leaving.push((stream, self.told));
        }
        Next::Ended
    }

    fn complete(&self) -> Complete {
        Complete {
            path: self.path.clone(),
            id: self.id,
            size: self.size,
            intact: !self.damaged,
        }
    }
}

/// A moment on the monotonic clock that lies as far back as `then` does by the clock on the wall.
fn earlier(now: Instant, wall: SystemTime, then: SystemTime) -> Instant {
    let age = wall.duration_since(then).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}
