//! What the stand-in remembers: counts, the newest documents, templates by name, ids if asked to; all of it bounded.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};

use super::SinkOptions;

/// Most templates and policies kept.
const MAX_NAMED: usize = 1000;
/// Longest document kept among the newest, in bytes.
pub(super) const MAX_KEPT_DOCUMENT: usize = 64 * 1024;

/// Counters that every request may bump.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub bulk_requests: AtomicU64,
    pub other_requests: AtomicU64,
    pub bulks_with_errors: AtomicU64,
    pub bulks_refused: AtomicU64,
    pub bulks_malformed: AtomicU64,
    pub bytes_received: AtomicU64,
    pub bytes_checked: AtomicU64,
    pub documents: AtomicU64,
    pub document_bytes: AtomicU64,
    pub malformed_documents: AtomicU64,
    pub illegal_indices: AtomicU64,
    pub ids_doubled: AtomicU64,
    pub conflicts: AtomicU64,
    pub ids_overflow: AtomicU64,
    pub header_mismatches: AtomicU64,
    pub items_429: AtomicU64,
    pub items_400: AtomicU64,
}

pub(super) fn bump(counter: &AtomicU64, by: u64) -> u64 {
    counter.fetch_add(by, Ordering::Relaxed)
}

/// One index as far as the stand-in knows it.
#[derive(Debug, Default)]
struct Index {
    documents: u64,
    bytes: u64,
    deleted: u64,
    newest: VecDeque<Bytes>,
}

/// What one bulk adds to one index.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub name: Arc<str>,
    pub documents: u64,
    pub bytes: u64,
    pub deleted: u64,
    pub newest: VecDeque<Bytes>,
}

/// Everything the stand-in shares between its connections.
pub(super) struct Store {
    pub options: SinkOptions,
    pub counters: Counters,
    /// Items seen, for the faults that strike every n-th.
    pub items_seen: AtomicU64,
    indices: Mutex<BTreeMap<Arc<str>, Index>>,
    named: Mutex<BTreeMap<String, Bytes>>,
    ids: Mutex<Ids>,
}

/// Remembered ids as 128-bit fingerprints of index and id: a false match is not to be expected below 10^15 ids.
#[derive(Default)]
pub(super) struct Ids {
    known: HashSet<u128, BuildHasherDefault<Folded>>,
}

/// Hands a fingerprint on as its own hash.
#[derive(Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, value: u128) {
        self.0 = low_half(value);
    }
}

/// The lower 64 bits.
pub(super) fn low_half(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).unwrap_or(0)
}

/// What became of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    New,
    Known,
    NoRoom,
}

impl Ids {
    pub fn insert(&mut self, id: u128, limit: usize) -> Remembered {
        if self.known.len() >= limit {
            return if self.known.contains(&id) {
                Remembered::Known
            } else {
                Remembered::NoRoom
            };
        }
        if self.known.insert(id) {
            Remembered::New
        } else {
            Remembered::Known
        }
    }

    pub fn contains(&self, id: u128) -> bool {
        self.known.contains(&id)
    }

    pub fn remove(&mut self, id: u128) -> bool {
        self.known.remove(&id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub fn new(options: SinkOptions) -> Self {
        Self {
            options,
            counters: Counters::default(),
            items_seen: AtomicU64::new(0),
            indices: Mutex::default(),
            named: Mutex::default(),
            ids: Mutex::default(),
        }
    }

    /// The remembered ids, when the options ask for them.
    pub fn ids(&self) -> Option<MutexGuard<'_, Ids>> {
        self.options.ids.then(|| lock(&self.ids))
    }

    /// Makes an index known; false when there are too many already.
    pub fn open_index(&self, name: &Arc<str>) -> bool {
        let mut indices = lock(&self.indices);
        if !indices.contains_key(name) {
            if indices.len() >= self.options.max_indices {
                return false;
            }
            indices.insert(Arc::clone(name), Index::default());
        }
        true
    }

    /// Takes what a bulk brought.
    pub fn commit(&self, tallies: &mut Vec<Tally>) {
        let mut indices = lock(&self.indices);
        for mut tally in tallies.drain(..) {
            bump(&self.counters.documents, tally.documents);
            bump(&self.counters.document_bytes, tally.bytes);
            let index = indices.entry(Arc::clone(&tally.name)).or_default();
            index.documents += tally.documents;
            index.bytes += tally.bytes;
            index.deleted += tally.deleted;
            index.newest.append(&mut tally.newest);
            while index.newest.len() > self.options.newest {
                index.newest.pop_front();
            }
        }
    }

    /// Remembers a template or policy under its path; false when there are too many.
    pub fn put_named(&self, path: &str, body: Bytes) -> bool {
        let mut named = lock(&self.named);
        if named.len() >= MAX_NAMED && !named.contains_key(path) {
            return false;
        }
        named.insert(path.to_owned(), body);
        true
    }

    /// Whether `pattern` (with `*`) names something remembered; the matches with their bodies.
    pub fn named(&self, pattern: &str) -> Vec<(String, Bytes)> {
        lock(&self.named)
            .iter()
            .filter(|(path, _)| matches_pattern(pattern, path))
            .map(|(path, body)| (path.clone(), body.clone()))
            .collect()
    }

    pub fn delete_named(&self, path: &str) -> bool {
        lock(&self.named).remove(path).is_some()
    }

    /// Counts of the indices that match a list of patterns, in the order of their names.
    pub fn select(&self, patterns: &str) -> Vec<IndexStats> {
        let all = patterns.is_empty() || patterns == "_all";
        lock(&self.indices)
            .iter()
            .filter(|(name, _)| {
                all || patterns
                    .split(',')
                    .any(|pattern| matches_pattern(pattern, name))
            })
            .map(|(name, index)| IndexStats {
                name: name.to_string(),
                documents: index.documents,
                bytes: index.bytes,
                deleted: index.deleted,
                newest: index.newest.iter().cloned().collect(),
            })
            .collect()
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters.
pub(super) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

/// Counts of one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexStats {
    /// Name of the index.
    pub name: String,
    /// Documents taken, doubled ids included unless ids are remembered.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Delete actions taken.
    pub deleted: u64,
    /// The newest documents, oldest first; bytes of valid JSON objects.
    pub newest: Vec<Bytes>,
}

/// All counts at one moment. Times are not kept: take two and divide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Bulk requests, refused and malformed ones included.
    pub bulk_requests: u64,
    /// All other requests.
    pub other_requests: u64,
    /// Bulks answered with errors of single items.
    pub bulks_with_errors: u64,
    /// Bulks refused or dropped by an ordered fault, or with 413.
    pub bulks_refused: u64,
    /// Bulks refused as a whole for their form.
    pub bulks_malformed: u64,
    /// Bytes of bulk bodies as they came.
    pub bytes_received: u64,
    /// Bytes of bulk bodies after decompression.
    pub bytes_checked: u64,
    /// Documents taken.
    pub documents: u64,
    /// Bytes of documents taken.
    pub document_bytes: u64,
    /// Documents refused for what they are.
    pub malformed_documents: u64,
    /// Items refused for the name of their index.
    pub illegal_indices: u64,
    /// Items whose id stood in the same bulk already.
    pub ids_doubled: u64,
    /// `create` of an id that is known.
    pub conflicts: u64,
    /// Ids that found no room to be remembered.
    pub ids_overflow: u64,
    /// Bulks whose `X-Elastic-…` headers disagree with their content.
    pub header_mismatches: u64,
    /// Items answered with 429 as ordered.
    pub items_429: u64,
    /// Items answered with 400 as ordered.
    pub items_400: u64,
    /// Every index, by name.
    pub indices: Vec<IndexStats>,
}

/// A handle to the counts of a [`Sink`](super::Sink).
#[derive(Clone)]
pub struct SinkStats {
    store: Arc<Store>,
}

impl std::fmt::Debug for SinkStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkStats")
            .field("documents", &self.documents())
            .finish()
    }
}

impl SinkStats {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Documents taken so far; costs one read.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.store.counters.documents.load(Ordering::Relaxed)
    }

    /// All counts.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        snapshot(&self.store)
    }

    /// All counts as JSON, as `GET /_logmill/stats` answers.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.snapshot().to_json()
    }
}

pub(super) fn snapshot(store: &Store) -> Snapshot {
    let counters = &store.counters;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Snapshot {
        bulk_requests: get(&counters.bulk_requests),
        other_requests: get(&counters.other_requests),
        bulks_with_errors: get(&counters.bulks_with_errors),
        bulks_refused: get(&counters.bulks_refused),
        bulks_malformed: get(&counters.bulks_malformed),
        bytes_received: get(&counters.bytes_received),
        bytes_checked: get(&counters.bytes_checked),
        documents: get(&counters.documents),
        document_bytes: get(&counters.document_bytes),
        malformed_documents: get(&counters.malformed_documents),
        illegal_indices: get(&counters.illegal_indices),
        ids_doubled: get(&counters.ids_doubled),
        conflicts: get(&counters.conflicts),
        ids_overflow: get(&counters.ids_overflow),
        header_mismatches: get(&counters.header_mismatches),
        items_429: get(&counters.items_429),
        items_400: get(&counters.items_400),
        indices: store.select(""),
    }
}

impl Snapshot {
    /// The counts as JSON; the newest documents as they are.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let indices: serde_json::Map<String, Value> = self
            .indices
            .iter()
            .map(|index| {
                let newest: Vec<Value> = index.newest.iter().filter_map(|document| serde_json::from_slice(document).ok()).collect();
                let value = json!({ "documents": index.documents, "bytes": index.bytes, "deleted": index.deleted, "newest": newest });
                (index.name.clone(), value)
            })
            .collect();
        json!({
            "requests": { "bulk": self.bulk_requests, "other": self.other_requests },
            "bulks": { "with_errors": self.bulks_with_errors, "refused": self.bulks_refused, "malformed": self.bulks_malformed, "header_mismatches": self.header_mismatches },
            "bytes": { "received": self.bytes_received, "checked": self.bytes_checked, "documents": self.document_bytes },
            "documents": self.documents,
            "malformed_documents": self.malformed_documents,
            "illegal_indices": self.illegal_indices,
            "ids": { "doubled_in_bulk": self.ids_doubled, "conflicts": self.conflicts, "without_room": self.ids_overflow },
            "ordered": { "429": self.items_429, "400": self.items_400 },
            "indices": indices,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_elasticsearch() {
        for (pattern, text, want) in [
            ("logs", "logs", true),
            ("logs", "logs-1", false),
            ("logs-*", "logs-2024", true),
            ("*", "", true),
            ("*-ops-*", "a-ops-b", true),
            ("*-ops-*", "a-op-b", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn indices_and_ids_are_bounded() {
        let store = Store::new(SinkOptions {
            max_indices: 1,
            ids: true,
            max_ids: 1,
            ..SinkOptions::default()
        });
        assert!(
            store.open_index(&"a".into())
                && store.open_index(&"a".into())
                && !store.open_index(&"b".into())
        );
        let mut ids = store.ids().unwrap();
        assert_eq!(ids.insert(1, 1), Remembered::New);
        assert_eq!(ids.insert(1, 1), Remembered::Known);
        assert_eq!(ids.insert(2, 1), Remembered::NoRoom);
    }
}
