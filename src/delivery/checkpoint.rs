//! Keeps how far each source was delivered, in a text file that people can read and a crash cannot spoil.
//!
//! The file is JSON lines: a header, a record per source, and a checksum of everything above it:
//!
//! ```text
//! {"logmill_checkpoints":1,"next_id":2,"records":1}
//! {"id":1,"path":"/var/log/app.log","device":2049,"inode":131,"birth":1699999999123456789,"head_bytes":1024,"head_hash":"9ae1…","pos":5217,"active":1700000000,"finished":false}
//! {"sum":"0f3c…"}
//! ```
//!
//! A flush writes `NAME.tmp`, syncs it, renames `NAME` to `NAME.prev` and `NAME.tmp` to `NAME`, and syncs the folder. So
//! at every moment one of `NAME` and `NAME.prev` is whole. A record's id is never given out twice by one store: it is the
//! *generation* of a file that is truncated, or whose inode is used again.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::delivery::storage::Storage;

/// The newest format this store reads, and the one it writes.
pub const VERSION: u64 = 1;

/// How many of a file's first bytes its [`Head`] covers at most: all of them, once the file is that long.
pub const HEAD_BYTES: u32 = 1024;

/// The first bytes of a file, as a length and a hash: tells a file from another one that got its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Head {
    /// How many bytes were hashed; 0 says nothing about the file.
    pub bytes: u32,
    /// [`hash`] of them.
    pub hash: u64,
}

impl Head {
    /// The head of a file that begins with `start`, of which at most [`HEAD_BYTES`] count.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        let start = &start[..start.len().min(HEAD_BYTES as usize)];
        Self {
            bytes: u32::try_from(start.len()).unwrap_or(HEAD_BYTES),
            hash: hash(start),
        }
    }
}

/// What a file is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileKey {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// When the file was made, in nanoseconds since 1970, where the file system says so.
    pub birth: Option<u64>,
    /// The first bytes. Keep it in step with the file's growth ([`CheckpointStore::identify`]) until it covers
    /// [`HEAD_BYTES`]: a short head proves little.
    pub head: Head,
    /// Where the file was last seen.
    pub path: PathBuf,
}

/// What a source is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A file.
    File(FileKey),
    /// Anything else that has a name of its own (`topic-partition`, a queue).
    Name(String),
}

/// How far one source was delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The record's number, unique in its store for ever; for a file its generation.
    pub id: u64,
    /// The source.
    pub key: Key,
    /// Everything before this position is delivered.
    pub pos: u64,
    /// When the source last advanced or was looked at, in seconds since 1970.
    pub active: u64,
    /// The source was read to its end and all of it is delivered.
    pub finished: bool,
    /// What else must be durable together with the position.
    pub state: Option<Value>,
}

/// Why checkpoints cannot be used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// Neither the file nor the generation before it is whole.
    #[error(
        "checkpoints {}: {reason}, and {} is no use either; restore one of them, or remove both to begin as if no source had been read before",
        path.display(), prev.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The generation before it.
        prev: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The file is of a version that this program does not know.
    #[error(
        "checkpoints {} were written by a newer logmill (format {found}, this one reads up to {VERSION}); run that version, or remove the file to begin as if no source had been read before",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file cannot be read.
    #[error("cannot read checkpoints {}: {source}; check the data path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written; what is on disk is still good, and the next flush tries again.
    #[error("cannot write checkpoints {}: {source}; check the data path, its permissions and free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The checkpoints of one input. Shared by reference: a flush never keeps an update waiting for the disk.
pub struct CheckpointStore {
    path: PathBuf,
    recovered: Option<String>,
    table: Mutex<Table>,
    writer: Mutex<Writer>,
}

struct Writer {
    storage: Box<dyn Storage>,
    current: Current,
    text: String,
}

/// What stands under the file's own name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Current {
    Absent,
    Good,
    Damaged,
}

impl CheckpointStore {
    /// Reads the checkpoints in `path`; there are none if the file does not exist. The file is made by the first flush.
    ///
    /// # Errors
    /// See [`CheckpointError`]. A damaged or missing file is no error if the generation before it is good:
    /// [`CheckpointStore::recovered`] then says what happened.
    pub fn load(storage: Box<dyn Storage>, path: PathBuf) -> Result<Self, CheckpointError> {
        let prev = beside(&path, ".prev");
        let (current, table, recovered) = match read_generation(&*storage, &path)? {
            Generation::Good(table) => (Current::Good, table, None),
            Generation::Absent => match read_generation(&*storage, &prev)? {
                Generation::Absent => (Current::Absent, Table::default(), None),
                Generation::Good(table) => (
                    Current::Absent,
                    table,
                    Some("the file is missing".to_owned()),
                ),
                Generation::Damaged(_) => {
                    return Err(CheckpointError::Damaged {
                        path,
                        prev,
                        reason: "the file is missing".to_owned(),
                    });
                }
            },
            Generation::Damaged(reason) => match read_generation(&*storage, &prev)? {
                Generation::Good(table) => (Current::Damaged, table, Some(reason)),
                Generation::Absent | Generation::Damaged(_) => {
                    return Err(CheckpointError::Damaged { path, prev, reason });
                }
            },
        };
        let recovered = recovered.map(|reason| {
            format!(
                "checkpoints {}: {reason}; {} is used in its place, so that some events may be delivered twice",
                path.display(),
                prev.display()
            )
        });
        let mut table = table;
        table.changed = recovered.is_some();
        let writer = Writer {
            storage,
            current,
            text: String::new(),
        };
        Ok(Self {
            path,
            recovered,
            table: Mutex::new(table),
            writer: Mutex::new(writer),
        })
    }

    /// The sentence to log when the generation before the last had to be used.
    #[must_use]
    pub fn recovered(&self) -> Option<&str> {
        self.recovered.as_deref()
    }

    /// Adds a source that is delivered up to `pos` and returns its id. It takes the place of a record with the same
    /// name, or with the same device and inode: that file is gone, or starts over.
    pub fn insert(&self, key: Key, pos: u64, active: u64) -> u64 {
        let mut table = self.table();
        let id = table.next_id;
        table.next_id += 1;
        table.put(Checkpoint {
            id,
            key,
            pos,
            active,
            finished: false,
            state: None,
        });
        id
    }

    /// The record of an id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Checkpoint> {
        self.table().records.get(&id).cloned()
    }

    /// The record of a named source.
    #[must_use]
    pub fn find_name(&self, name: &str) -> Option<Checkpoint> {
        let table = self.table();
        table
            .by_name
            .get(name)
            .and_then(|id| table.records.get(id))
            .cloned()
    }

    /// The record of a file that was found on disk; `head` gives the head of its first so many bytes, or `None` if it is
    /// shorter.
    ///
    /// A file is the same if device, inode, birth (where both are known) and head agree; or, where only the device was
    /// renumbered, if path, inode, birth and a full head do. A copy is another file: taking it for the original could
    /// skip what was never read, while the reverse only reads twice.
    #[must_use]
    pub fn find_file(
        &self,
        seen: &FileKey,
        mut head: impl FnMut(u32) -> Option<Head>,
    ) -> Option<Checkpoint> {
        let (by_inode, by_path) = {
            let table = self.table();
            let record = |id: Option<&u64>| id.and_then(|id| table.records.get(id)).cloned();
            (
                record(table.by_inode.get(&(seen.device, seen.inode))),
                record(table.by_path.get(&seen.path)),
            )
        };
        let mut is_seen = |known: &FileKey, least_head: u32| {
            known.inode == seen.inode
                && (known.birth.is_none() || seen.birth.is_none() || known.birth == seen.birth)
                && known.head.bytes >= least_head
                && (known.head.bytes == 0 || head(known.head.bytes) == Some(known.head))
        };
        by_inode
            .filter(|it| it.key.file().is_some_and(|it| is_seen(it, 0)))
            .or_else(|| {
                by_path.filter(|it| it.key.file().is_some_and(|it| is_seen(it, HEAD_BYTES)))
            })
    }

    /// Notes that a source is delivered up to `pos`. Returns false, and changes nothing, if the record is gone or
    /// already further: late news of a source that started over.
    pub fn update(&self, id: u64, pos: u64, active: u64, finished: bool) -> bool {
        self.table().advance(id, pos, active, finished).is_some()
    }

    /// As [`CheckpointStore::update`], with what else must become durable in the same write.
    pub fn update_with(
        &self,
        id: u64,
        pos: u64,
        active: u64,
        finished: bool,
        state: Value,
    ) -> bool {
        let mut table = self.table();
        let record = table.advance(id, pos, active, finished);
        record.map(|it| it.state = Some(state)).is_some()
    }

    /// Notes that a file was renamed, has grown a longer head, or was found under another inode. Its position stays.
    /// Returns false if the record is gone or is none of a file.
    pub fn identify(&self, id: u64, key: FileKey) -> bool {
        let mut table = self.table();
        match table.records.get(&id) {
            Some(Checkpoint {
                key: Key::File(known),
                ..
            }) if *known == key => true,
            Some(Checkpoint {
                key: Key::File(_), ..
            }) => {
                if let Some(mut record) = table.take(id) {
                    record.key = Key::File(key);
                    table.put(record);
                }
                true
            }
            _ => false,
        }
    }

    /// Forgets a source. Returns whether it was known.
    pub fn remove(&self, id: u64) -> bool {
        self.table().take(id).is_some()
    }

    /// Forgets the sources that were last active before `older_than` (seconds since 1970) and are not in use; returns
    /// how many.
    pub fn expire(&self, older_than: u64, in_use: impl Fn(u64) -> bool) -> usize {
        let mut table = self.table();
        let old: Vec<u64> = table
            .records
            .values()
            .filter(|it| it.active < older_than && !in_use(it.id))
            .map(|it| it.id)
            .collect();
        old.iter().filter(|id| table.take(**id).is_some()).count()
    }

    /// All records, by id.
    #[must_use]
    pub fn records(&self) -> Vec<Checkpoint> {
        self.table().records.values().cloned().collect()
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().records.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes everything noted so far durable; returns whether there was anything to write. Waits for the disk.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]: what was durable before still is, and the next flush tries again.
    pub fn flush(&self) -> Result<bool, CheckpointError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut table = self.table();
            if !std::mem::take(&mut table.changed) {
                return Ok(false);
            }
            writer.text.clear();
            table.print(&mut writer.text);
        }
        writer.replace(&self.path).map_err(|source| {
            self.table().changed = true;
            CheckpointError::Write {
                path: self.path.clone(),
                source,
            }
        })?;
        Ok(true)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is complete before a call that could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn replace(&mut self, path: &Path) -> io::Result<()> {
        let tmp = beside(path, ".tmp");
        self.storage.write_synced(&tmp, self.text.as_bytes())?;
        match self.current {
            Current::Absent => {}
            Current::Good => self.storage.rename(path, &beside(path, ".prev"))?,
            // The good previous generation must stay until the new one is in place.
            Current::Damaged => self.storage.rename(path, &beside(path, ".bad"))?,
        }
        self.current = Current::Absent;
        self.storage.rename(&tmp, path)?;
        self.current = Current::Good;
        self.storage
            .sync_dir(path.parent().unwrap_or(Path::new("")))
    }
}

impl Key {
    fn file(&self) -> Option<&FileKey> {
        match self {
            Key::File(file) => Some(file),
            Key::Name(_) => None,
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

enum Generation {
    Absent,
    Good(Table),
    Damaged(String),
}

fn read_generation(storage: &dyn Storage, path: &Path) -> Result<Generation, CheckpointError> {
    let bytes = storage.read(path).map_err(|source| CheckpointError::Read {
        path: path.to_owned(),
        source,
    })?;
    let Some(bytes) = bytes else {
        return Ok(Generation::Absent);
    };
    match Table::parse(&bytes) {
        Ok(table) => Ok(Generation::Good(table)),
        Err(Unreadable::Damaged(reason)) => Ok(Generation::Damaged(reason)),
        Err(Unreadable::Newer(found)) => Err(CheckpointError::Newer {
            path: path.to_owned(),
            found,
        }),
    }
}

/// The records and their indexes.
#[derive(Debug)]
struct Table {
    records: BTreeMap<u64, Checkpoint>,
    by_inode: HashMap<(u64, u64), u64>,
    by_path: HashMap<PathBuf, u64>,
    by_name: HashMap<String, u64>,
    next_id: u64,
    changed: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            by_inode: HashMap::new(),
            by_path: HashMap::new(),
            by_name: HashMap::new(),
            next_id: 1,
            changed: false,
        }
    }
}

impl Table {
    fn put(&mut self, record: Checkpoint) {
        self.changed = true;
        let id = record.id;
        let superseded = match &record.key {
            Key::File(file) => {
                self.by_path.insert(file.path.clone(), id);
                self.by_inode.insert((file.device, file.inode), id)
            }
            Key::Name(name) => self.by_name.insert(name.clone(), id),
        };
        if let Some(superseded) = superseded {
            self.take(superseded);
        }
        self.records.insert(id, record);
    }

    fn take(&mut self, id: u64) -> Option<Checkpoint> {
        let record = self.records.remove(&id)?;
        self.changed = true;
        match &record.key {
            Key::File(file) => {
                forget(&mut self.by_inode, &(file.device, file.inode), id);
                forget(&mut self.by_path, &file.path, id);
            }
            Key::Name(name) => forget(&mut self.by_name, name, id),
        }
        Some(record)
    }

    fn advance(
        &mut self,
        id: u64,
        pos: u64,
        active: u64,
        finished: bool,
    ) -> Option<&mut Checkpoint> {
        let record = self.records.get_mut(&id).filter(|it| it.pos <= pos)?;
        record.pos = pos;
        record.active = active;
        record.finished = finished;
        self.changed = true;
        Some(record)
    }

    fn print(&self, text: &mut String) {
        let header = Header {
            logmill_checkpoints: VERSION,
            next_id: self.next_id,
            records: self.records.len(),
        };
        print_line(text, &header);
        for record in self.records.values() {
            print_line(text, &Line::of(record));
        }
        let sum = hash(text.as_bytes());
        let _ = writeln!(text, "{}", trailer(sum));
    }

    fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::damaged("it is not text"))?;
        let header = text.split('\n').next().unwrap_or_default();
        let header: Header = serde_json::from_str(header)
            .map_err(|_| Unreadable::damaged("its first line is no checkpoint header"))?;
        // Before the checksum, which a newer format may take otherwise.
        if header.logmill_checkpoints > VERSION {
            return Err(Unreadable::Newer(header.logmill_checkpoints));
        }
        let cut = || Unreadable::damaged("it ends early, as after a torn write");
        let body = text.strip_suffix('\n').ok_or_else(cut)?;
        let (body, last) = body.rsplit_once('\n').ok_or_else(cut)?;
        let body = &text[..=body.len()];
        if !last.starts_with("{\"sum\":") {
            return Err(cut());
        }
        if last != trailer(hash(body.as_bytes())) {
            return Err(Unreadable::damaged(
                "its checksum is wrong (damaged, or edited by hand)",
            ));
        }
        let mut table = Self {
            next_id: header.next_id,
            ..Self::default()
        };
        for (number, line) in body.lines().enumerate().skip(1) {
            let record = Line::parse(line)
                .map_err(|what| Unreadable::Damaged(format!("line {}: {what}", number + 1)))?;
            if record.id >= header.next_id {
                return Err(Unreadable::Damaged(format!(
                    "line {}: id {} was never given out",
                    number + 1,
                    record.id
                )));
            }
            table.put(record);
        }
        if table.records.len() != header.records {
            return Err(Unreadable::damaged(
                "it has another number of records than its header says",
            ));
        }
        Ok(table)
    }
}

fn forget<K, Q>(index: &mut HashMap<K, u64>, key: &Q, id: u64)
where
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if index.get(key) == Some(&id) {
        index.remove(key);
    }
}

enum Unreadable {
    Damaged(String),
    Newer(u64),
}

impl Unreadable {
    fn damaged(reason: &str) -> Self {
        Self::Damaged(reason.to_owned())
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    logmill_checkpoints: u64,
    next_id: u64,
    records: usize,
}

/// A record as it is printed. Flat, and absent fields left out, for the reader's sake.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Line {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// In place of `path` where that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    birth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_hash: Option<String>,
    pos: u64,
    active: u64,
    finished: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
}

impl Line {
    fn of(record: &Checkpoint) -> Self {
        let mut line = Self {
            id: record.id,
            pos: record.pos,
            active: record.active,
            finished: record.finished,
            state: record.state.clone(),
            ..Self::default()
        };
        match &record.key {
            Key::Name(name) => line.name = Some(name.clone()),
            Key::File(file) => {
                match file.path.to_str() {
                    Some(path) => line.path = Some(path.to_owned()),
                    None => line.path_hex = Some(to_hex(file.path.as_os_str())),
                }
                line.device = Some(file.device);
                line.inode = Some(file.inode);
                line.birth = file.birth;
                line.head_bytes = Some(file.head.bytes);
                line.head_hash = Some(format!("{:016x}", file.head.hash));
            }
        }
        line
    }

    fn parse(text: &str) -> Result<Checkpoint, String> {
        let line: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let key = match (
            line.name,
            line.path
                .map(PathBuf::from)
                .or_else(|| from_hex(&line.path_hex?)),
        ) {
            (Some(name), None) => Key::Name(name),
            (None, Some(path)) => {
                let (Some(device), Some(inode)) = (line.device, line.inode) else {
                    return Err("a file's record needs `device` and `inode`".to_owned());
                };
                let hash = line.head_hash.unwrap_or_default();
                let hash = u64::from_str_radix(&hash, 16)
                    .map_err(|e| format!("head_hash `{hash}`: {e}"))?;
                let head = Head {
                    bytes: line.head_bytes.unwrap_or_default(),
                    hash,
                };
                Key::File(FileKey {
                    device,
                    inode,
                    birth: line.birth,
                    head,
                    path,
                })
            }
            _ => return Err("a record needs either `path` (or `path_hex`) or `name`".to_owned()),
        };
        Ok(Checkpoint {
            id: line.id,
            key,
            pos: line.pos,
            active: line.active,
            finished: line.finished,
            state: line.state,
        })
    }
}

fn print_line(text: &mut String, line: &impl Serialize) {
    // Maps with keys of text and numbers only: there is nothing that JSON cannot say.
    if let Ok(line) = serde_json::to_string(line) {
        text.push_str(&line);
        text.push('\n');
    }
}

fn trailer(sum: u64) -> String {
    format!("{{\"sum\":\"{sum:016x}\"}}")
}

fn to_hex(text: &OsStr) -> String {
    text.as_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn from_hex(hex: &str) -> Option<PathBuf> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok()))
        .collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| {
        OsString::from_vec(pairs.iter().map(|[high, low]| high << 4 | low).collect()).into()
    })
}

/// FNV-1a with 64 bits: the checksum of the file and the hash in a [`Head`]. Part of the format; finds accidents, not
/// forgeries.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
