//! One watched file: where reading stands, and what its next turn does.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::delivery::StreamId;
use crate::delivery::checkpoint::{Checkpoint, HEAD_BYTES, Head, Key};
use crate::plugin::{Attrs, Block, FillCx, Framer, Framing, PluginMetrics};

use super::gzip::{Unzip, is_gzip};
use super::handles::{Handle, Handles};
use super::identity::{FileId, Look, first_bytes};
use super::positions::Complete;
use super::{Mode, Notices, Shared, Start};

/// The shortest pause between two looks at a file that grows.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// Looks (of `stat_interval`) without growth after which a file that lost its name is taken for complete.
const QUIET_LOOKS: u32 = 5;
/// Decoded bytes that one turn passes over in a compressed file.
const SKIP_PER_TURN: u64 = 4 << 20;
/// How often a compressed file waits for the file that it may be the copy of, before it is read by itself.
const COPY_TRIES: u32 = 60;
/// The head of a growing file is compared at most so often.
const HEAD_PAUSE: Duration = Duration::from_secs(1);

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

/// Where reading would start if a compressed file turns out to hold what was read already.
#[derive(Clone, Debug)]
struct CopyOf {
    record: u64,
    pos: u64,
    /// The original is gone and had the like name: the compressed file may hold more than was read.
    may_be_longer: bool,
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
    birth: Option<u64>,
    head: Head,
    head_at: Instant,
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
            birth: look.birth,
            head: Head::default(),
            head_at: now,
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
        !matches!(self.phase, Phase::Found)
    }

    /// Gives the file another path, under which it was found.
    pub fn rename(&mut self, path: PathBuf, shared: &Shared) {
        self.path = path;
        self.nameless = false;
        self.rotated = true;
        self.drained = false;
        self.identify(shared);
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
                self.nameless = true;
                self.grown = t.now;
            }
            let waited = t.now.duration_since(self.grown) >= stat * QUIET_LOOKS;
            return if waited {
                self.leave(t)
            } else {
                Next::In(stat)
            };
        }
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

    // ---- beginning

    /// Looks into the file and decides where to read from. `ignored_size` is its size when it was too old to be read.
    fn begin(&mut self, t: &mut Turn<'_, '_>, ignored_size: Option<u64>) -> io::Result<Next> {
        let file = t.handles.open(&self.path)?;
        let look = Look::into(&file)?;
        if look.id != self.id {
            return Ok(Next::Replaced);
        }
        let start = first_bytes(&file)?;
        self.zipped = is_named_gzip(&self.path) && (is_gzip(&start) || start.is_empty());
        if self.zipped && !self.has_settled(&look, t) {
            return Ok(Next::In(t.shared.stat_interval));
        }
        self.birth = look.birth;
        self.size = look.size;
        self.head = Head::of(&start);
        self.grown = earlier(t.now, t.wall, look.modified);
        let key = look.key(self.head, &self.path);
        if let Some(known) = t.shared.positions.find(&key, &start) {
            t.shared.positions.identify(known.id, key);
            return Ok(self.resume(t, &known, &look, file));
        }
        if ignored_size.is_none() && self.is_too_old(&look, t) {
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
        let read_once = self.zipped || t.shared.mode == Mode::Read;
        if known.finished && read_once && (self.zipped || known.pos >= look.size) {
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

    fn is_too_old(&self, look: &Look, t: &Turn<'_, '_>) -> bool {
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

    /// Nothing about the file has changed for a moment: whoever wrote it is done.
    fn has_settled(&self, look: &Look, t: &Turn<'_, '_>) -> bool {
        t.wall
            .duration_since(look.changed)
            .is_ok_and(|age| age >= t.shared.stat_interval)
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

    // ---- a plain file

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
            return self.start_over(t);
        }
        if look.size == self.pos {
            return Ok(self.wait(t, &look, is_open));
        }
        if !is_open && !self.reopen(t)? {
            return Ok(self.replaced(t));
        }
        let looked = t.now.duration_since(self.head_at) < HEAD_PAUSE;
        if (!is_open || !looked) && !self.begins_as_before(t)? {
            return self.start_over(t);
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
        let head = Head::of(&start);
        if head != self.head {
            self.head = head;
            self.identify(t.shared);
        }
        Ok(true)
    }

    fn read_on(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        let Some(handle) = t.handles.to_read(self.key) else {
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
        self.drained = false;
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
    fn start_over(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        t.notices.truncated(&self.path);
        self.flush(t);
        if let Some(stream) = self.stream.take() {
            t.leaving.push((stream, self.told));
        }
        let start = match t.handles.get(self.key) {
            Some(handle) => first_bytes(handle.file())?,
            None => Vec::new(),
        };
        self.head = Head::of(&start);
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
        Ok(Next::Again)
    }

    /// Everything there is was read: flushes, closes and ends what is due for it.
    fn wait(&mut self, t: &mut Turn<'_, '_>, look: &Look, is_open: bool) -> Next {
        let stat = t.shared.stat_interval;
        if t.shared.mode == Mode::Read {
            if !self.has_settled(look, t) {
                return Next::In(stat);
            }
            return self.end(t);
        }
        self.drained = true;
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

    // ---- a compressed file

    fn unzip(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        let Some(unzip) = self.unzip_handle(t.handles)? else {
            return Ok(self.replaced(t));
        };
        if unzip.at() < self.pos {
            let behind = self.pos - unzip.at();
            return match unzip.skip(behind.min(SKIP_PER_TURN)) {
                Ok(0) => Ok(self.end_damaged(t, "is shorter than what was read of it before")),
                Ok(_) => Ok(Next::Again),
                Err(error) => self.broken(t, &error),
            };
        }
        let (from, recs) = (t.block.buf.len(), t.block.recs.len());
        let read = match unzip.read(&mut t.block.buf, t.want) {
            Ok(read) => read,
            Err(error) => return self.broken(t, &error),
        };
        if read == 0 {
            return Ok(self.end(t));
        }
        Self::framer(&mut self.framer, t.shared, self.pos).feed(t.block, from, self.pos);
        self.pos += read as u64;
        self.grown = t.now;
        PluginMetrics::add(&t.shared.metrics.bytes, read as u64);
        self.tell(t, recs, from);
        Ok(Next::Again)
    }

    fn unzip_handle<'h>(&self, handles: &'h mut Handles) -> io::Result<Option<&'h mut Unzip>> {
        if handles.get(self.key).is_none() {
            let file = handles.open(&self.path)?;
            if !Look::into(&file)?.is_same(self.id, self.birth) {
                return Ok(None);
            }
            handles.keep(self.key, Handle::Gzip(Box::new(Unzip::new(file))));
        }
        Ok(match handles.to_read(self.key) {
            Some(Handle::Gzip(unzip)) => Some(unzip),
            _ => None,
        })
    }

    /// A compressed file is cut or damaged. A cut one may still be growing, so that it gets time.
    fn broken(&mut self, t: &mut Turn<'_, '_>, error: &io::Error) -> io::Result<Next> {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                t.handles.close(self.key);
                let look = Look::at(&self.path)?;
                let age = t.wall.duration_since(look.changed).unwrap_or_default();
                if age < t.shared.stat_interval * QUIET_LOOKS {
                    return Ok(Next::In(t.shared.stat_interval));
                }
                Ok(self.end_damaged(t, "ends in the middle"))
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Ok(self.end_damaged(t, &error.to_string()))
            }
            _ => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }

    fn end_damaged(&mut self, t: &mut Turn<'_, '_>, what: &str) -> Next {
        self.damaged = true;
        t.notices.damaged(&self.path, what);
        self.end(t)
    }

    /// Decodes the whole file once, for `check_archive_validity`.
    fn check(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        let Some(unzip) = self.unzip_handle(t.handles)? else {
            return Ok(self.replaced(t));
        };
        match unzip.skip(SKIP_PER_TURN) {
            Ok(0) => {
                t.handles.close(self.key);
                self.checked = true;
                self.begin(t, None)
            }
            Ok(_) => Ok(Next::Again),
            Err(error) => {
                t.handles.close(self.key);
                t.notices.skipped(&self.path, &error);
                self.phase = Phase::Ended;
                Ok(Next::Ended)
            }
        }
    }

    /// The file that this one may be the compressed copy of.
    fn copied_from(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Option<CopyOf>> {
        let mut start = Vec::new();
        let mut unzip = Unzip::new(t.handles.open(&self.path)?);
        // What cannot be decoded is told when it is read.
        while start.len() < HEAD_BYTES as usize
            && unzip
                .read(&mut start, HEAD_BYTES as usize)
                .is_ok_and(|read| read > 0)
        {}
        let alike = t.shared.positions.beginning_like(&start);
        Ok(alike
            .into_iter()
            .filter_map(|record| self.as_copy(&record))
            .max_by_key(|copy| copy.pos))
    }

    fn as_copy(&self, record: &Checkpoint) -> Option<CopyOf> {
        let Key::File(original) = &record.key else {
            return None;
        };
        if record.id == self.record
            || u64::from(original.head.bytes) < record.pos.min(u64::from(HEAD_BYTES))
        {
            return None;
        }
        let there = Look::at(&original.path);
        let gone = !there.is_ok_and(|look| {
            look.id
                == FileId {
                    device: original.device,
                    inode: original.inode,
                }
        });
        let related = original.path.parent() == self.path.parent()
            && stem(&original.path)
                .is_some_and(|name| stem(&self.path).is_some_and(|own| own == name));
        let full = original.head.bytes == HEAD_BYTES;
        Some(CopyOf {
            record: record.id,
            pos: record.pos,
            may_be_longer: gone && related && full,
        })
    }

    /// Passes over what was read of the original: at its end, or where the original's reader stopped, the position is
    /// taken over; else the file is one of its own.
    fn compare(&mut self, t: &mut Turn<'_, '_>, copy: &CopyOf) -> io::Result<Next> {
        if let Some(stream) = t.shared.positions.stream_of(copy.record)
            && (copy.may_be_longer || is_unanswered(t.cx, stream))
            && self.copy_tries < COPY_TRIES
        {
            // The original is still being read or answered: its position is not its last.
            self.copy_tries += 1;
            t.handles.close(self.key);
            self.phase = Phase::Found;
            return Ok(Next::In(t.shared.stat_interval));
        }
        let Some(unzip) = self.unzip_handle(t.handles)? else {
            return Ok(self.replaced(t));
        };
        let left = copy.pos - unzip.at();
        let longer = match unzip.skip(left.clamp(1, SKIP_PER_TURN)) {
            Ok(skipped) if skipped > 0 && left > 0 => return Ok(Next::Again),
            Ok(skipped) => skipped > 0,
            Err(_) => return self.begin_by_itself(t, 0),
        };
        if left > 0 || longer && !copy.may_be_longer {
            return self.begin_by_itself(t, 0);
        }
        log::info!(
            "file: {} is the compressed copy of a file that was read before: {}",
            self.path.display(),
            if longer {
                "goes on where that ended"
            } else {
                "not read again"
            }
        );
        let next = self.begin_by_itself(t, copy.pos)?;
        Ok(if longer { next } else { self.end(t) })
    }

    fn begin_by_itself(&mut self, t: &mut Turn<'_, '_>, pos: u64) -> io::Result<Next> {
        t.handles.close(self.key);
        let look = Look::at(&self.path)?;
        self.record = t
            .shared
            .positions
            .insert(look.key(self.head, &self.path), pos, t.wall);
        self.go_live(t, pos);
        Ok(Next::Again)
    }
}

fn is_unanswered(cx: &FillCx<'_>, stream: StreamId) -> bool {
    let delivery = crate::lock(cx.delivery);
    delivery.read_to(stream) != delivery.answered_to(stream)
}

/// A moment on the monotonic clock that lies as far back as `then` does by the clock on the wall.
fn earlier(now: Instant, wall: SystemTime, then: SystemTime) -> Instant {
    let age = wall.duration_since(then).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

fn is_named_gzip(path: &std::path::Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "gz" || ending == "gzip")
}

/// The name without what rotation appends to it: `.gz`, numbers and dates.
fn stem(path: &std::path::Path) -> Option<&[u8]> {
    let mut name = path.file_name()?.as_encoded_bytes();
    for ending in [&b".gz"[..], b".gzip"] {
        name = name.strip_suffix(ending).unwrap_or(name);
    }
    let appended = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    let kept = name
        .iter()
        .rposition(|byte| !appended(byte))
        .map_or(0, |at| at + 1);
    name.get(..kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_rotation_appends_is_no_part_of_the_stem() {
        for name in [
            "app.log",
            "app.log.1",
            "app.log.12.gz",
            "app.log-20240131.gz",
            "app.log.2024-01-31_10",
        ] {
            assert_eq!(
                stem(Path::new(&format!("/x/{name}"))),
                Some(&b"app.log"[..]),
                "{name}"
            );
        }
    }
}
