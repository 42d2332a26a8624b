//! Checks a bulk body while it comes in: action lines, documents, ids, index names; nothing is kept but counts.
//!
//! Pieces of the body are checked where they were read. Only a line that crosses two pieces is copied.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::MutexGuard;

use bytes::Bytes;

use super::action_line::{self, ActionLine, Template};
use super::store::{Folded, Ids, MAX_KEPT_DOCUMENT, Remembered, Store, Tally, bump, low_half};
use crate::elasticsearch::action::{Action, write_json_string};
use crate::elasticsearch::json_check::{Checker, Fault, Problem};

/// Action lines remembered by their form.
const MAX_TEMPLATES: usize = 32;
/// Index names remembered by a connection.
const MAX_NAMES: usize = 4096;
/// Longest id that Elasticsearch takes, in bytes.
const MAX_ID: usize = 512;
/// No error.
const NONE: u32 = u32::MAX;

/// Why a bulk is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub kind: &'static str,
    pub reason: String,
}

impl Refusal {
    pub fn new(status: u16, kind: &'static str, reason: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            reason: reason.into(),
        }
    }

    fn malformed(reason: impl Into<String>) -> Self {
        Self::new(400, "illegal_argument_exception", reason)
    }

    fn invalid(reason: &str) -> Self {
        Self::new(
            400,
            "action_request_validation_exception",
            format!("Validation Failed: 1: {reason};"),
        )
    }
}

/// An error of one item.
#[derive(Clone, Debug)]
struct ItemError {
    kind: &'static str,
    reason: String,
}

/// One item, as the answer needs it.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// End of its id among all ids; where the one before ends, it begins.
    id_end: u32,
    index: u32,
    /// Place of its error, or [`NONE`].
    error: u32,
    status: u16,
    action: Action,
    has_id: bool,
}

/// An index name that was seen on this connection.
struct IndexName {
    name: Arc<str>,
    /// Why documents may not go there.
    illegal: Option<ItemError>,
    /// Distinguishes equal ids of different indices.
    seed: u64,
    tally: Tally,
    /// Places of the newest documents in the current piece, a ring.
    recent: Vec<(usize, usize)>,
    recent_next: usize,
}

/// What the next line has to be.
#[derive(Clone, Copy)]
enum Expect {
    Action,
    Document {
        action: Action,
        index: u32,
        id: Option<u128>,
    },
}

/// The state of a bulk that is being checked. Kept by its connection, because shapes, names and buffers serve the next one.
pub(super) struct BulkCheck {
    checker: Checker,
    templates: Vec<Template>,
    /// The template that fitted last.
    likely: usize,
    /// The one that is replaced next.
    oldest: usize,
    names: HashMap<Box<[u8]>, u32>,
    indices: Vec<IndexName>,
    carry: Vec<u8>,
    items: Vec<Item>,
    ids: Vec<u8>,
    errors: Vec<ItemError>,
    doubled: HashSet<u128, BuildHasherDefault<Folded>>,
    /// Ids that this bulk made known, for the case that it is refused later.
    inserted: Vec<u128>,
    expect: Expect,
    line: u64,
    bytes: u64,
    refusal: Option<Refusal>,
    default_index: Option<Box<str>>,
}

impl Default for BulkCheck {
    fn default() -> Self {
        Self {
            checker: Checker::new(),
            templates: Vec::new(),
            likely: 0,
            oldest: 0,
            names: HashMap::new(),
            indices: Vec::new(),
            carry: Vec::new(),
            items: Vec::new(),
            ids: Vec::new(),
            errors: Vec::new(),
            doubled: HashSet::default(),
            inserted: Vec::new(),
            expect: Expect::Action,
            line: 0,
            bytes: 0,
            refusal: None,
            default_index: None,
        }
    }
}

impl BulkCheck {
    /// Prepares for a bulk. `default_index` is the one in its path.
    pub fn begin(&mut self, default_index: Option<&str>) {
        if self.names.len() > MAX_NAMES || self.default_index.as_deref() != default_index {
            self.names.clear();
            self.indices.clear();
            self.templates.clear();
        }
        self.default_index = default_index.map(Into::into);
        self.carry.clear();
        self.items.clear();
        self.ids.clear();
        self.errors.clear();
        self.doubled.clear();
        self.inserted.clear();
        self.expect = Expect::Action;
        self.line = 0;
        self.bytes = 0;
        self.refusal = None;
        for index in &mut self.indices {
            index.tally = Tally::default();
            index.recent_next = 0;
        }
    }

    /// Refuses the whole bulk for a reason found elsewhere.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    pub fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Checks the next piece of the body.
    pub fn feed(&mut self, store: &Store, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        if self.bytes > store.options.max_content_length {
            self.refuse(too_large(store));
        }
        if self.refusal.is_some() {
            return;
        }
        let mut rest = piece;
        if !self.carry.is_empty() {
            let Some(end) = memchr::memchr(b'\n', piece) else {
                self.carry.extend_from_slice(piece);
                return;
            };
            let (head, tail) = piece.split_at(end + 1);
            rest = tail;
            let mut line = std::mem::take(&mut self.carry);
            line.extend_from_slice(head);
            self.lines(store, &line);
            line.clear();
            self.carry = line;
        }
        let whole = memchr::memrchr(b'\n', rest).map_or(0, |end| end + 1);
        let (lines, open) = rest.split_at(whole);
        self.lines(store, lines);
        self.carry.extend_from_slice(open);
    }

    /// Checks whole lines.
    fn lines(&mut self, store: &Store, lines: &[u8]) {
        let mut known = store.ids();
        self.checker.begin(lines);
        let mut pos = 0;
        while pos < lines.len() && self.refusal.is_none() {
            self.line += 1;
            pos = match self.expect {
                Expect::Action => self.action(store, &mut known, lines, pos),
                Expect::Document { action, index, id } => {
                    self.document(store, &mut known, lines, pos, (action, index, id))
                }
            };
        }
        drop(known);
        self.keep_newest(store, lines);
    }

    /// Checks the action line at `pos`; returns where the next line begins.
    fn action(
        &mut self,
        store: &Store,
        known: &mut Option<MutexGuard<'_, Ids>>,
        lines: &[u8],
        pos: usize,
    ) -> usize {
        let rest = lines.get(pos..).unwrap_or_default();
        let hit = match self
            .templates
            .get(self.likely)
            .and_then(|template| template.matches(rest))
        {
            Some(id_and_len) => Some((self.likely, id_and_len)),
            None => self
                .templates
                .iter()
                .enumerate()
                .find_map(|(at, template)| Some((at, template.matches(rest)?))),
        };
        let Some((at, (id, len))) = hit else {
            return self.new_action(store, known, lines, pos);
        };
        self.likely = at;
        if let Some(template) = self.templates.get(at) {
            let (action, index) = (template.action, template.index);
            self.push_item(known, action, index, id);
        }
        pos + len
    }

    /// An action line of a form that was not seen yet.
    #[cold]
    fn new_action(
        &mut self,
        store: &Store,
        known: &mut Option<MutexGuard<'_, Ids>>,
        lines: &[u8],
        pos: usize,
    ) -> usize {
        let rest = lines.get(pos..).unwrap_or_default();
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..len).unwrap_or_default();
        if line.trim_ascii().is_empty() {
            return pos + len;
        }
        match self.parse_action(store, line) {
            Ok((parsed, index)) => {
                if parsed.action == Action::Delete
                    || parsed.id.as_ref().is_none_or(|id| !id.is_empty())
                {
                    self.remember_form(&parsed, line, index);
                }
                self.push_item(
                    known,
                    parsed.action,
                    index,
                    parsed.id.as_deref().map(str::as_bytes),
                );
            }
            Err(refusal) => self.refuse(refusal),
        }
        pos + len
    }

    fn parse_action(&mut self, store: &Store, line: &[u8]) -> Result<(ActionLine, u32), Refusal> {
        let mut parsed = action_line::parse(line, self.line).map_err(Refusal::malformed)?;
        let Some(name) = parsed
            .index
            .take()
            .or_else(|| self.default_index.as_deref().map(str::to_owned))
        else {
            return Err(Refusal::invalid("index is missing"));
        };
        if let Some(id) = &parsed.id
            && id.len() > MAX_ID
        {
            return Err(Refusal::invalid(&format!(
                "id [{id}] is too long, must be no longer than {MAX_ID} bytes but was: {}",
                id.len()
            )));
        }
        if parsed.id.is_none() && matches!(parsed.action, Action::Delete | Action::Update) {
            return Err(Refusal::invalid("id is missing"));
        }
        Ok((parsed, self.index(store, &name)))
    }

    fn remember_form(&mut self, parsed: &ActionLine, line: &[u8], index: u32) {
        let Some(template) = Template::learn(parsed, line, index) else {
            return;
        };
        if self.templates.len() < MAX_TEMPLATES {
            self.templates.push(template);
        } else if let Some(slot) = self.templates.get_mut(self.oldest) {
            *slot = template;
            self.oldest = (self.oldest + 1) % MAX_TEMPLATES;
        }
    }

    /// The number of the index called `name` on this connection.
    fn index(&mut self, store: &Store, name: &str) -> u32 {
        if let Some(&index) = self.names.get(name.as_bytes()) {
            return index;
        }
        let shared: Arc<str> = name.into();
        let illegal = match illegal_index_name(name) {
            Some(why) => Some(ItemError {
                kind: "invalid_index_name_exception",
                reason: format!("Invalid index name [{name}], {why}"),
            }),
            None if !store.open_index(&shared) => Some(ItemError {
                kind: "validation_exception",
                reason: format!(
                    "Validation Failed: 1: this stand-in keeps {} indices at most;",
                    store.options.max_indices
                ),
            }),
            None => None,
        };
        let index = u32::try_from(self.indices.len()).unwrap_or(NONE);
        self.names.insert(name.as_bytes().into(), index);
        self.indices.push(IndexName {
            seed: low_half(fingerprint(0, name.as_bytes())),
            name: shared,
            illegal,
            tally: Tally::default(),
            recent: vec![(0, 0); store.options.newest.min(64)],
            recent_next: 0,
        });
        index
    }

    /// Enters an item; its status is that of success until its document says otherwise.
    #[inline]
    fn push_item(
        &mut self,
        known: &mut Option<MutexGuard<'_, Ids>>,
        action: Action,
        index: u32,
        id: Option<&[u8]>,
    ) {
        if let Some(id) = id {
            self.ids.extend_from_slice(id);
        }
        let status = if matches!(action, Action::Index | Action::Create) {
            201
        } else {
            200
        };
        let id_end = u32::try_from(self.ids.len()).unwrap_or(NONE);
        self.items.push(Item {
            id_end,
            index,
            error: NONE,
            status,
            action,
            has_id: id.is_some(),
        });
        let seed = self
            .indices
            .get(index as usize)
            .map_or(0, |index| index.seed);
        let id_print = id.map(|id| fingerprint(seed, id));
        if id.is_some_and(<[u8]>::is_empty) {
            self.fail_item(
                400,
                "illegal_argument_exception",
                "if _id is specified it must not be empty".to_owned(),
            );
        }
        if action == Action::Delete {
            self.delete(known, index, id_print);
        } else {
            self.expect = Expect::Document {
                action,
                index,
                id: id_print,
            };
        }
    }

    fn delete(&mut self, known: &mut Option<MutexGuard<'_, Ids>>, index: u32, id: Option<u128>) {
        let was_known = match (known.as_mut(), id) {
            (Some(known), Some(id)) => known.remove(id),
            _ => true,
        };
        if let Some(item) = self.items.last_mut() {
            item.status = if was_known { 200 } else { 404 };
        }
        if let Some(index) = self.indices.get_mut(index as usize) {
            match index.illegal.clone() {
                Some(error) => self.fail_item(400, error.kind, error.reason),
                None => index.tally.deleted += 1,
            }
        }
    }

    /// Checks the document at `pos`; returns where the next line begins.
    #[inline]
    fn document(
        &mut self,
        store: &Store,
        known: &mut Option<MutexGuard<'_, Ids>>,
        lines: &[u8],
        pos: usize,
        (action, index, id): (Action, u32, Option<u128>),
    ) -> usize {
        self.expect = Expect::Action;
        let end = match self.checker.document(lines, pos) {
            Ok(end) => end,
            Err(problem) => return self.bad_document(store, lines, pos, problem),
        };
        if action == Action::Update && !self.check_update(lines.get(pos..end).unwrap_or_default()) {
            return end;
        }
        if store.options.status_429_every.is_some() || store.options.status_400_every.is_some() {
            self.ordered_fault(store);
        }
        let failed = self.items.last().is_some_and(|item| item.error != NONE);
        if !failed && self.legal(index) && self.identify(store, known, action, id) {
            self.take(index, pos, end);
        }
        end
    }

    #[cold]
    fn bad_document(&mut self, store: &Store, lines: &[u8], pos: usize, problem: Problem) -> usize {
        bump(&store.counters.malformed_documents, 1);
        let rest = lines.get(pos..).unwrap_or_default();
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..len).unwrap_or_default().trim_ascii();
        let column = problem.at.saturating_sub(pos) + 1;
        let reason = match problem.fault {
            _ if line.is_empty() => "[0:0] failed to parse, document is empty".to_owned(),
            Fault::NotAnObject => "Malformed content, must start with an object".to_owned(),
            fault => {
                let before = problem.at.saturating_sub(pos + 20);
                let near = String::from_utf8_lossy(
                    rest.get(before..(before + 40).min(line.len()))
                        .unwrap_or_default(),
                )
                .into_owned();
                format!("[1:{column}] failed to parse: {fault}, near `{near}`")
            }
        };
        self.fail_item(400, "document_parsing_exception", reason);
        pos + len
    }

    /// An update needs one of its parts and knows no others; Elasticsearch refuses the whole bulk otherwise.
    fn check_update(&mut self, document: &[u8]) -> bool {
        const PARTS: [&str; 8] = [
            "doc",
            "script",
            "upsert",
            "doc_as_upsert",
            "scripted_upsert",
            "detect_noop",
            "if_seq_no",
            "if_primary_term",
        ];
        let parts: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(document).unwrap_or_default();
        if let Some(unknown) = parts.keys().find(|part| !PARTS.contains(&part.as_str())) {
            self.refuse(Refusal::new(
                400,
                "x_content_parse_exception",
                format!("[UpdateRequest] unknown field [{unknown}]"),
            ));
            return false;
        }
        if !parts.contains_key("doc") && !parts.contains_key("script") {
            self.refuse(Refusal::invalid("script or doc is missing"));
            return false;
        }
        true
    }

    #[cold]
    fn ordered_fault(&mut self, store: &Store) {
        let number = bump(&store.items_seen, 1) + 1;
        let strikes = |every: Option<u64>| {
            every.is_some_and(|every| every > 0 && number.is_multiple_of(every))
        };
        if strikes(store.options.status_429_every) {
            bump(&store.counters.items_429, 1);
            self.fail_item(
                429,
                "es_rejected_execution_exception",
                "rejected execution of coordinating operation, as ordered".to_owned(),
            );
        } else if strikes(store.options.status_400_every) {
            bump(&store.counters.items_400, 1);
            self.fail_item(
                400,
                "document_parsing_exception",
                "[1:1] failed to parse, as ordered".to_owned(),
            );
        }
    }

    #[inline]
    fn legal(&mut self, index: u32) -> bool {
        match self
            .indices
            .get(index as usize)
            .and_then(|index| index.illegal.clone())
        {
            None => true,
            Some(error) => {
                self.fail_item(400, error.kind, error.reason);
                false
            }
        }
    }

    /// Settles what the item's id means; false when that refuses the item.
    #[inline]
    fn identify(
        &mut self,
        store: &Store,
        known: &mut Option<MutexGuard<'_, Ids>>,
        action: Action,
        id: Option<u128>,
    ) -> bool {
        let Some(id) = id else { return true };
        let mut exists = !self.doubled.insert(id);
        if exists {
            bump(&store.counters.ids_doubled, 1);
        }
        if let Some(known) = known.as_mut() {
            if action == Action::Update {
                exists = known.contains(id);
            } else {
                match known.insert(id, store.options.max_ids) {
                    Remembered::New => {
                        self.inserted.push(id);
                        exists = false;
                    }
                    Remembered::Known => exists = true,
                    Remembered::NoRoom => {
                        bump(&store.counters.ids_overflow, 1);
                    }
                }
            }
        } else if action == Action::Update {
            exists = true;
        }
        match (action, exists) {
            (Action::Create, true) => {
                bump(&store.counters.conflicts, 1);
                self.fail_item(
                    409,
                    "version_conflict_engine_exception",
                    "version conflict, document already exists".to_owned(),
                );
                false
            }
            (Action::Update, false) => {
                self.fail_item(
                    404,
                    "document_missing_exception",
                    "document missing".to_owned(),
                );
                false
            }
            (Action::Index, true) => {
                if let Some(item) = self.items.last_mut() {
                    item.status = 200;
                }
                true
            }
            _ => true,
        }
    }

    #[inline]
    fn take(&mut self, index: u32, start: usize, end: usize) {
        let Some(index) = self.indices.get_mut(index as usize) else {
            return;
        };
        // The newline is not part of the document.
        let end = end - 1;
        index.tally.documents += 1;
        index.tally.bytes += (end - start) as u64;
        let next = index.recent_next;
        if let Some(slot) = index.recent.get_mut(next) {
            *slot = (start, end);
            index.recent_next = if next + 1 == index.recent.len() {
                0
            } else {
                next + 1
            };
        }
    }

    fn fail_item(&mut self, status: u16, kind: &'static str, reason: String) {
        let Some(item) = self.items.last_mut().filter(|item| item.error == NONE) else {
            return;
        };
        item.status = status;
        item.error = u32::try_from(self.errors.len()).unwrap_or(NONE);
        self.errors.push(ItemError { kind, reason });
    }

    /// Copies the newest documents out of a piece before it is gone.
    fn keep_newest(&mut self, store: &Store, lines: &[u8]) {
        for index in &mut self.indices {
            let count = index.recent.len();
            for step in 0..count {
                let Some(slot) = index.recent.get_mut((index.recent_next + step) % count) else {
                    continue;
                };
                let (start, end) = std::mem::take(slot);
                if end > start && end - start <= MAX_KEPT_DOCUMENT {
                    index.tally.newest.push_back(Bytes::copy_from_slice(
                        lines.get(start..end).unwrap_or_default(),
                    ));
                }
            }
            index.recent_next = 0;
            while index.tally.newest.len() > store.options.newest {
                index.tally.newest.pop_front();
            }
        }
    }

    /// Takes back what an unfinished bulk made known. A finished one leaves nothing to take back.
    pub fn forget(&mut self, store: &Store) {
        if !self.inserted.is_empty()
            && let Some(mut known) = store.ids()
        {
            for id in self.inserted.drain(..) {
                known.remove(id);
            }
        }
    }

    /// Ends the bulk: counts it, or forgets it when it is refused.
    pub fn finish(&mut self, store: &Store) -> Result<(), Refusal> {
        if self.refusal.is_none() {
            self.refusal = self.last_refusal();
        }
        bump(&store.counters.bytes_checked, self.bytes);
        if let Some(refusal) = self.refusal.clone() {
            self.forget(store);
            bump(
                if refusal.status == 413 {
                    &store.counters.bulks_refused
                } else {
                    &store.counters.bulks_malformed
                },
                1,
            );
            return Err(refusal);
        }
        let mut tallies: Vec<Tally> = Vec::new();
        for index in &mut self.indices {
            if index.tally.documents + index.tally.deleted > 0 {
                tallies.push(Tally {
                    name: Arc::clone(&index.name),
                    ..std::mem::take(&mut index.tally)
                });
            }
        }
        store.commit(&mut tallies);
        self.inserted.clear();
        if self.has_errors() {
            bump(&store.counters.bulks_with_errors, 1);
            let illegal = self.items.iter().filter(|item| {
                item.error != NONE
                    && self
                        .indices
                        .get(item.index as usize)
                        .is_some_and(|i| i.illegal.is_some())
            });
            bump(&store.counters.illegal_indices, illegal.count() as u64);
        }
        Ok(())
    }

    fn last_refusal(&self) -> Option<Refusal> {
        if self.bytes == 0 {
            return Some(Refusal::new(
                400,
                "parse_exception",
                "request body is required",
            ));
        }
        if !self.carry.is_empty() {
            return Some(Refusal::malformed(
                "The bulk request must be terminated by a newline [\\n]",
            ));
        }
        if matches!(self.expect, Expect::Document { .. }) {
            return Some(Refusal::malformed("the last action has no document line"));
        }
        if self.items.is_empty() {
            return Some(Refusal::invalid("no requests added"));
        }
        None
    }

    pub fn items(&self) -> usize {
        self.items.len()
    }

    pub fn checked_bytes(&self) -> u64 {
        self.bytes
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The answer's body. `filter` is the request's `filter_path`: with one, an answer without errors has no items.
    pub fn answer(&self, took_ms: u128, filter: Option<&str>, omit_last: bool) -> Vec<u8> {
        let errors = self.has_errors();
        let mut out = format!("{{\"took\":{took_ms},\"errors\":{errors}").into_bytes();
        if errors || filter.is_none() {
            out.extend_from_slice(b",\"items\":[");
            let count = self.items.len() - usize::from(omit_last && !self.items.is_empty());
            let with_index = filter.is_none_or(|filter| filter.contains("_index"));
            let with_id = filter.is_none_or(|filter| filter.contains("_id"));
            let mut id_start = 0;
            for (at, item) in self.items.iter().take(count).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                let id = self
                    .ids
                    .get(id_start as usize..item.id_end as usize)
                    .unwrap_or_default();
                id_start = item.id_end;
                self.write_item(&mut out, item, with_index, with_id.then_some(id));
            }
            out.push(b']');
        }
        out.push(b'}');
        out
    }

    fn write_item(&self, out: &mut Vec<u8>, item: &Item, with_index: bool, id: Option<&[u8]>) {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(item.action.name().as_bytes());
        out.extend_from_slice(b"\":{");
        let index = self.indices.get(item.index as usize);
        if let Some(index) = index.filter(|_| with_index) {
            out.extend_from_slice(b"\"_index\":");
            write_json_string(out, index.name.as_bytes());
            out.push(b',');
        }
        if let Some(id) = id.filter(|_| item.has_id) {
            out.extend_from_slice(b"\"_id\":");
            write_json_string(out, id);
            out.push(b',');
        }
        out.extend_from_slice(format!("\"status\":{}", item.status).as_bytes());
        if let Some(error) = self.errors.get(item.error as usize) {
            out.extend_from_slice(b",\"error\":{\"type\":");
            write_json_string(out, error.kind.as_bytes());
            out.extend_from_slice(b",\"reason\":");
            write_json_string(out, error.reason.as_bytes());
            out.push(b'}');
        }
        out.extend_from_slice(b"}}");
    }
}

pub(super) fn too_large(store: &Store) -> Refusal {
    Refusal::new(
        413,
        "content_too_large",
        format!(
            "entity content is too large, more than [{}] bytes",
            store.options.max_content_length
        ),
    )
}

/// Why Elasticsearch would not make an index of this name, in its words.
fn illegal_index_name(name: &str) -> Option<String> {
    const BAD: &str = " \"*,/<>?\\|";
    if name.is_empty() {
        return Some("must not be empty".to_owned());
    }
    if name.chars().any(|c| BAD.contains(c)) {
        return Some(r#"must not contain the following characters [' ','"','*',',','/','<','>','?','\','|']"#.to_owned());
    }
    for bad in ['#', ':'] {
        if name.contains(bad) {
            return Some(format!("must not contain '{bad}'"));
        }
    }
    if name.starts_with(['_', '-', '+']) {
        return Some("must not start with '_', '-', or '+'".to_owned());
    }
    if name.len() > 255 {
        return Some(format!("index name is too long, ({} > 255)", name.len()));
    }
    if name == "." || name == ".." {
        return Some("must not be '.' or '..'".to_owned());
    }
    if name.chars().any(char::is_uppercase) {
        return Some("must be lowercase".to_owned());
    }
    None
}

/// 128 well mixed bits of `bytes`: two lanes of folded multiplications.
#[inline]
fn fingerprint(seed: u64, bytes: &[u8]) -> u128 {
    const K: [u64; 4] = [
        0x9e37_79b9_7f4a_7c15,
        0xc2b2_ae3d_27d4_eb4f,
        0x1656_67b1_9e37_79f9,
        0x27d4_eb2f_1656_67c5,
    ];
    let fold = |x: u64, y: u64| {
        let product = u128::from(x) * u128::from(y);
        low_half(product ^ (product >> 64))
    };
    let (mut a, mut b) = (seed ^ K[0], (bytes.len() as u64) ^ K[1]);
    let (pieces, rest) = bytes.as_chunks::<16>();
    let mut last = [0u8; 16];
    for (slot, byte) in last.iter_mut().zip(rest) {
        *slot = *byte;
    }
    for piece in pieces.iter().chain(std::iter::once(&last)) {
        let bits = u128::from_le_bytes(*piece);
        let (low, high) = (low_half(bits), low_half(bits >> 64));
        (a, b) = (fold(a ^ low, high ^ K[2]), fold(b ^ high ^ a, low ^ K[3]));
    }
    (u128::from(fold(a ^ K[3], b ^ K[0])) << 64) | u128::from(fold(a ^ K[1], b ^ K[2]))
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
