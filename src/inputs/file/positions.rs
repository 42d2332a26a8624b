//! Where the positions of one file input are kept, and what happens to a file once all of it is answered.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::delivery::checkpoint::{Checkpoint, CheckpointStore, FileKey, Head, Key};
use crate::delivery::sincedb::{Sincedb, parse_sincedb};
use crate::delivery::storage::{Disk, Nowhere, Storage};
use crate::delivery::{Commit, StreamId};
use crate::lock;
use crate::plugin::Checkpoints;

use super::identity::{FileId, Look};

/// Stores that inputs of this process have open: two inputs never write one file.
static IN_USE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// How often records that nobody uses are looked for.
const EXPIRY_PAUSE: Duration = Duration::from_hours(1);

/// How many records of files that are gone are remembered for their compressed copies.
const MAX_PAST: usize = 1000;

/// What is done with a file of read mode after its end is answered.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// Remove it.
    pub delete: bool,
    /// Append its path to this file.
    pub log: Option<PathBuf>,
}

/// A file that was read to its end.
#[derive(Clone, Debug)]
pub struct Complete {
    /// Where it is.
    pub path: PathBuf,
    /// Which it is.
    pub id: FileId,
    /// Its size on disk when its end was read.
    pub size: u64,
    /// Nothing in it was damaged; a damaged file is never deleted.
    pub intact: bool,
}

/// Timing of one store.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Positions are written at most so often.
    pub write_interval: Duration,
    /// Records are forgotten after so long without use.
    pub clean_after: Duration,
}

/// A stream that is answered to its end, its file completed.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// The stream.
    pub stream: StreamId,
    /// Its file was deleted, so that its name and inode may come back as another file.
    pub deleted: bool,
}

#[derive(Debug)]
struct Live {
    record: u64,
    complete: Option<Complete>,
}

struct Finished {
    /// None when the end was answered before the process started.
    stream: Option<StreamId>,
    record: u64,
    pos: u64,
    complete: Complete,
}

/// Records whose inode another file has: the store forgets them, but their compressed copies may still appear.
#[derive(Debug, Default)]
struct Past {
    by_inode: HashMap<FileId, u64>,
    records: VecDeque<Checkpoint>,
}

impl Past {
    fn of(store: &CheckpointStore) -> Self {
        let records = store.records();
        let by_inode = records
            .iter()
            .filter_map(|record| Some((file_id(record)?, record.id)));
        Past {
            by_inode: by_inode.collect(),
            records: VecDeque::new(),
        }
    }

    fn push(&mut self, record: Checkpoint) {
        if self.records.len() >= MAX_PAST {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    fn advance(&mut self, id: u64, pos: u64) {
        if let Some(record) = self.records.iter_mut().rev().find(|record| record.id == id) {
            record.pos = record.pos.max(pos);
        }
    }
}

/// The positions of one input; shared by its source and the checkpoint thread.
pub struct Positions {
    store: CheckpointStore,
    /// The store's file; none when nothing is remembered.
    file: Option<PathBuf>,
    sincedb: Sincedb,
    completion: Completion,
    pace: Pace,
    live: Mutex<HashMap<StreamId, Live>>,
    past: Mutex<Past>,
    finished: Mutex<Vec<Finished>>,
    done: Mutex<Vec<Done>>,
    again: Mutex<Vec<PathBuf>>,
    written: Mutex<Option<Instant>>,
    expired: Mutex<Option<Instant>>,
    has_news: AtomicBool,
    urgent: AtomicBool,
    stopping: AtomicBool,
    all_found: AtomicBool,
}

/// Seconds since 1970.
#[must_use]
pub fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs())
}

/// The name of the store for an input without `sincedb_path`: readable, and the same for the same globs.
#[must_use]
pub fn store_name(globs: &[String]) -> String {
    let joined = globs.join(",");
    let readable: String = joined
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let readable: String = readable.trim_matches('-').chars().take(60).collect();
    format!(
        "{readable}-{:016x}",
        crate::delivery::checkpoint::hash(joined.as_bytes())
    )
}

impl Positions {
    /// Opens the store of an input: beside `sincedb_path` when that is given (`/dev/null` remembers nothing), else in
    /// `data_dir`. A second input with the same name gets a store of its own.
    ///
    /// # Errors
    /// A sentence that names the remedy.
    pub fn open(
        sincedb_path: Option<&Path>,
        data_dir: &Path,
        globs: &[String],
        completion: Completion,
        pace: Pace,
    ) -> Result<Self, String> {
        let nowhere = sincedb_path == Some(Path::new("/dev/null"));
        let wanted = match sincedb_path {
            Some(path) => with_suffix(path, ".logmill"),
            None => data_dir.join("plugins/inputs/file").join(store_name(globs)),
        };
        let file = (!nowhere).then(|| reserve(&wanted));
        let loaded = Self::load(file.clone().unwrap_or(wanted), nowhere);
        let store = loaded.inspect_err(|_| release(file.as_deref()))?;
        let past = Mutex::new(Past::of(&store));
        let sincedb = match sincedb_path {
            Some(path) if !nowhere => import(path).inspect_err(|_| release(file.as_deref()))?,
            _ => Sincedb::default(),
        };
        Ok(Positions {
            store,
            file,
            sincedb,
            completion,
            pace,
            live: Mutex::default(),
            past,
            finished: Mutex::default(),
            done: Mutex::default(),
            again: Mutex::default(),
            written: Mutex::default(),
            expired: Mutex::default(),
            has_news: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            all_found: AtomicBool::new(false),
        })
    }

    fn load(path: PathBuf, nowhere: bool) -> Result<CheckpointStore, String> {
        let storage: Box<dyn Storage> = if nowhere {
            Box::new(Nowhere)
        } else {
            Box::new(Disk)
        };
        let store = CheckpointStore::load(storage, path).map_err(|error| error.to_string())?;
        if let Some(warning) = store.recovered() {
            log::warn!("file: {warning}");
        }
        Ok(store)
    }

    /// The record of a file that begins with `start`.
    #[must_use]
    pub fn find(&self, key: &FileKey, start: &[u8]) -> Option<Checkpoint> {
        self.store
            .find_file(key, |bytes| start.get(..bytes as usize).map(Head::of))
    }

    /// Where the original had read a file to.
    #[must_use]
    pub fn imported(&self, id: FileId) -> Option<u64> {
        self.sincedb
            .entry(id.device, id.inode)
            .map(|entry| entry.offset)
    }

    /// Records whose file began with the same bytes: a compressed copy of one of them begins with `start` when it is
    /// unpacked.
    #[must_use]
    pub fn beginning_like(&self, start: &[u8]) -> Vec<Checkpoint> {
        let mut alike = self.store.records();
        alike.extend(lock(&self.past).records.iter().cloned());
        alike.retain(|record| match &record.key {
            Key::File(file) => {
                let bytes = file.head.bytes as usize;
                bytes > 0
                    && record.pos > 0
                    && start
                        .get(..bytes)
                        .is_some_and(|start| Head::of(start) == file.head)
            }
            Key::Name(_) => false,
        });
        alike
    }

    /// Adds a file; it becomes durable with the next flush.
    pub fn insert(&self, key: FileKey, pos: u64, wall: SystemTime) -> u64 {
        self.urgent.store(true, SeqCst);
        let id = FileId {
            device: key.device,
            inode: key.inode,
        };
        let mut past = lock(&self.past);
        let before = past.by_inode.get(&id).and_then(|old| self.store.get(*old));
        let record = self.store.insert(Key::File(key), pos, seconds(wall));
        past.by_inode.insert(id, record);
        if let Some(before) = before.filter(|before| file_id(before) == Some(id)) {
            past.push(before);
        }
        record
    }

    /// Notes that a file has another name, or a longer head.
    pub fn identify(&self, record: u64, key: FileKey) {
        self.store.identify(record, key);
    }

    /// Notes that a file needs no reading: what there is of it was delivered before, or is not asked for.
    pub fn mark_finished(&self, record: u64, pos: u64, wall: SystemTime) {
        self.store.update(record, pos, seconds(wall), true);
    }

    /// From here on commits of `stream` move the position of `record`.
    pub fn track(&self, stream: StreamId, record: u64) {
        lock(&self.live).insert(
            stream,
            Live {
                record,
                complete: None,
            },
        );
    }

    /// The stream whose commits move a record.
    #[must_use]
    pub fn stream_of(&self, record: u64) -> Option<StreamId> {
        lock(&self.live)
            .iter()
            .find(|(_, live)| live.record == record)
            .map(|(stream, _)| *stream)
    }

    /// What is to be completed when the stream is answered to its end.
    pub fn complete_when_answered(&self, stream: StreamId, complete: Complete) {
        if let Some(live) = lock(&self.live).get_mut(&stream) {
            live.complete = Some(complete);
        }
    }

    /// Completes a file whose end was answered before the process started, unless that was done.
    pub fn complete_again(&self, record: &Checkpoint, complete: Complete) {
        let mut finished = lock(&self.finished);
        if record.state.is_none() && finished.iter().all(|it| it.record != record.id) {
            finished.push(Finished {
                stream: None,
                record: record.id,
                pos: record.pos,
                complete,
            });
        }
    }

    /// Streams that are answered to their end and completed, and paths to look at again: files that grew after their
    /// end was read, and files that were deleted without a stream.
    pub fn take_done(&self, done: &mut Vec<Done>, again: &mut Vec<PathBuf>) {
        if self.has_news.swap(false, SeqCst) {
            done.append(&mut lock(&self.done));
            again.append(&mut lock(&self.again));
        }
    }

    /// True when no stream is under way and no file waits to be completed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        lock(&self.live).is_empty() && lock(&self.finished).is_empty()
    }

    /// Every known file was looked up, so that records without a file may age.
    pub fn all_found(&self) {
        self.all_found.store(true, SeqCst);
    }

    /// The process stops: the next flush writes, however recent the last was.
    pub fn stop(&self) {
        self.stopping.store(true, SeqCst);
    }

    /// The records, for tests.
    #[cfg(test)]
    pub fn records(&self) -> Vec<Checkpoint> {
        self.store.records()
    }

    fn is_due(&self, now: Instant) -> bool {
        let written = *lock(&self.written);
        self.stopping.load(SeqCst)
            || self.urgent.load(SeqCst)
            || !lock(&self.finished).is_empty()
            || written.is_none_or(|at| now.duration_since(at) >= self.pace.write_interval)
    }

    fn expire(&self, now: Instant) {
        let mut expired = lock(&self.expired);
        let waits = expired.is_some_and(|at| now.duration_since(at) < EXPIRY_PAUSE);
        if waits || !self.all_found.load(SeqCst) {
            return;
        }
        *expired = Some(now);
        let oldest = seconds(SystemTime::now()).saturating_sub(self.pace.clean_after.as_secs());
        let mut in_use: BTreeSet<u64> = lock(&self.live).values().map(|live| live.record).collect();
        let old = self
            .store
            .records()
            .into_iter()
            .filter(|record| record.active < oldest);
        in_use.extend(old.filter(is_there).map(|record| record.id));
        let count = self.store.expire(oldest, |record| in_use.contains(&record));
        if count > 0 {
            let mut past = lock(&self.past);
            past.by_inode
                .retain(|_, record| self.store.get(*record).is_some());
            log::info!(
                "file: forgot the positions of {count} files that were not read for long (sincedb_clean_after)"
            );
        }
    }

    /// Deletes or logs files whose end is answered and whose position is durable.
    fn complete_files(&self) {
        let finished = std::mem::take(&mut *lock(&self.finished));
        for file in finished {
            let now = seconds(SystemTime::now());
            let completed = self.complete(&file.complete);
            let deleted = matches!(completed, Completed::Deleted);
            match completed {
                Completed::Deleted => {
                    self.store.remove(file.record);
                    if file.stream.is_none() {
                        lock(&self.again).push(file.complete.path);
                    }
                }
                Completed::Kept => {
                    let state = serde_json::json!({ "completed": true });
                    self.store
                        .update_with(file.record, file.pos, now, true, state);
                }
                Completed::Grown => lock(&self.again).push(file.complete.path),
            }
            lock(&self.done).extend(file.stream.map(|stream| Done { stream, deleted }));
            self.has_news.store(true, SeqCst);
        }
    }

    fn complete(&self, file: &Complete) -> Completed {
        let path = file.path.display();
        let look = match fs::metadata(&file.path) {
            Ok(meta) => Look::of(&meta),
            // Moved away or deleted by somebody else.
            Err(_) => return Completed::Kept,
        };
        if look.id != file.id {
            return Completed::Kept;
        }
        if look.size != file.size {
            log::warn!(
                "file: {path} changed after its end was read; the rest is read before it is completed"
            );
            return Completed::Grown;
        }
        if let Some(log) = &self.completion.log
            && let Err(error) = append_line(log, &file.path)
        {
            log::error!(
                "file: cannot append {path} to file_completed_log_path {}: {error}; check its folder and permissions",
                log.display()
            );
        }
        if !self.completion.delete {
            return Completed::Kept;
        }
        if !file.intact {
            log::warn!(
                "file: {path} was read to its end, but is kept since a part of it was damaged"
            );
            return Completed::Kept;
        }
        match fs::remove_file(&file.path) {
            Ok(()) => Completed::Deleted,
            Err(error) => {
                log::error!(
                    "file: cannot delete {path}, of which everything is delivered: {error}; give the user that runs \
                     logmill the right to write its folder, or set file_completed_action => log"
                );
                Completed::Kept
            }
        }
    }
}

enum Completed {
    Deleted,
    Kept,
    Grown,
}

impl Checkpoints for Positions {
    fn commit(&self, commits: &[Commit]) {
        let now = seconds(SystemTime::now());
        let mut live = lock(&self.live);
        for commit in commits {
            let Some(known) = live.get(&commit.stream) else {
                continue;
            };
            if !self
                .store
                .update(known.record, commit.pos, now, commit.finished)
            {
                lock(&self.past).advance(known.record, commit.pos);
            }
            if !commit.finished {
                continue;
            }
            let Some(Live { record, complete }) = live.remove(&commit.stream) else {
                continue;
            };
            let stream = Some(commit.stream);
            if let Some(complete) = complete {
                let pos = commit.pos;
                lock(&self.finished).push(Finished {
                    stream,
                    record,
                    pos,
                    complete,
                });
            } else {
                lock(&self.done).push(Done {
                    stream: commit.stream,
                    deleted: false,
                });
                self.has_news.store(true, SeqCst);
            }
        }
    }

    fn flush(&self) -> Result<(), String> {
        let now = Instant::now();
        if !self.is_due(now) {
            return Ok(());
        }
        self.expire(now);
        self.urgent.store(false, SeqCst);
        let result = self.store.flush();
        if let Err(error) = result {
            self.urgent.store(true, SeqCst);
            return Err(format!("file: {error}"));
        }
        *lock(&self.written) = Some(now);
        if lock(&self.finished).is_empty() {
            return Ok(());
        }
        self.complete_files();
        self.store
            .flush()
            .map(|_| ())
            .map_err(|error| format!("file: {error}"))
    }
}

impl Drop for Positions {
    fn drop(&mut self) {
        release(self.file.as_deref());
    }
}

/// The file of a record still exists, if only read to its end: its position keeps it from being read again.
fn is_there(record: &Checkpoint) -> bool {
    let (Key::File(file), Some(id)) = (&record.key, file_id(record)) else {
        return false;
    };
    Look::at(&file.path).is_ok_and(|look| look.is_same(id, file.birth))
}

fn file_id(record: &Checkpoint) -> Option<FileId> {
    match &record.key {
        Key::File(file) => Some(FileId {
            device: file.device,
            inode: file.inode,
        }),
        Key::Name(_) => None,
    }
}

/// The store's path, or one with a number when another input has it open.
fn reserve(wanted: &Path) -> PathBuf {
    let mut in_use = lock(&IN_USE);
    let mut path = wanted.to_owned();
    let mut number = 2;
    while !in_use.insert(path.clone()) {
        path = with_suffix(wanted, &format!("-{number}"));
        number += 1;
    }
    if path != wanted {
        log::info!(
            "file: another input with the same paths is running; positions of this one are kept in {}",
            path.display()
        );
    }
    path
}

fn release(path: Option<&Path>) {
    if let Some(path) = path {
        lock(&IN_USE).remove(path);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Reads what the original left at `sincedb_path`; it is never written.
fn import(path: &Path) -> Result<Sincedb, String> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Sincedb::default()),
        Err(error) => {
            return Err(format!(
                "cannot read sincedb_path {}: {error}; it must name a file",
                path.display()
            ));
        }
    };
    let sincedb = parse_sincedb(&text);
    if !sincedb.is_empty() {
        log::info!(
            "file: takes over {} positions of {} for files that it does not know yet; the file itself is left as it is",
            sincedb.len(),
            path.display()
        );
    }
    if let Some(first) = sincedb.rejected.first() {
        log::warn!(
            "file: {}: {} lines are no positions; the first: {first}",
            path.display(),
            sincedb.rejected.len()
        );
    }
    Ok(sincedb)
}

fn append_line(log: &Path, path: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)?
        .write_all(&line)
}

/// Shared by the source and the pipeline.
pub type SharedPositions = Arc<Positions>;

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, globs: &[&str], sincedb: Option<&Path>) -> Positions {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let pace = Pace {
            write_interval: Duration::from_secs(15),
            clean_after: Duration::from_hours(24 * 14),
        };
        Positions::open(sincedb, dir, &globs, Completion::default(), pace).unwrap()
    }

    #[test]
    fn two_inputs_with_the_same_globs_have_stores_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let first = open(home.path(), &["/var/log/*.log"], None);
        let second = open(home.path(), &["/var/log/*.log"], None);
        let other = open(home.path(), &["/var/log/*.txt"], None);
        let files: BTreeSet<_> = [&first, &second, &other]
            .iter()
            .map(|it| it.file.clone().unwrap())
            .collect();
        assert_eq!(files.len(), 3);
        assert!(
            files
                .iter()
                .all(|file| file.starts_with(home.path().join("plugins/inputs/file")))
        );
        let name = first.file.clone().unwrap();
        drop(first);
        assert_eq!(
            open(home.path(), &["/var/log/*.log"], None)
                .file
                .clone()
                .unwrap(),
            name
        );
    }

    #[test]
    fn a_sincedb_is_imported_and_never_written() {
        let home = tempfile::tempdir().unwrap();
        let sincedb = home.path().join("sincedb");
        fs::write(
            &sincedb,
            "131 0 64768 5217 1700000000.25 /var/log/a.log\nrubbish\n",
        )
        .unwrap();
        let positions = open(home.path(), &["/x"], Some(&sincedb));
        assert_eq!(
            positions.imported(FileId {
                device: 64768,
                inode: 131
            }),
            Some(5217)
        );
        assert_eq!(
            positions.imported(FileId {
                device: 64768,
                inode: 132
            }),
            None
        );
        positions.flush().unwrap();
        assert!(fs::read_to_string(&sincedb).unwrap().starts_with("131 "));
        assert_eq!(
            positions.file.clone().unwrap(),
            home.path().join("sincedb.logmill")
        );
    }

    #[test]
    fn names_of_stores_are_readable_and_distinct() {
        let name = |globs: &[&str]| {
            store_name(&globs.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
        };
        assert!(name(&["/var/log/app/*.log"]).starts_with("var-log-app--.log-"));
        assert_ne!(name(&["/a/*"]), name(&["/a-*"]));
        assert!(name(&["/x"; 200]).len() < 90);
    }
}
