//! The batch: events live here and nowhere else.

use std::sync::Arc;

use super::keys::{Keys, Slot, slot};
use super::nodes::Nodes;
use super::scan::shape::{Shapes, Spot};
use super::scan::{RawField, RawKind, Scanner};
use super::value::{Kind, ORIG, PLAIN, Space, Value};
use crate::time::Timestamp;

/// Number of an event in its batch.
pub type EventId = u32;

/// An ordered list of the events that a step works on.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    ids: Vec<EventId>,
}

impl Selection {
    /// The events, in order.
    #[inline]
    #[must_use]
    pub fn ids(&self) -> &[EventId] {
        &self.ids
    }

    /// How many events are selected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when no event is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.ids.clear();
    }

    /// Appends one event.
    pub fn push(&mut self, id: EventId) {
        self.ids.push(id);
    }

    /// Exchanges the list for another.
    pub fn swap(&mut self, ids: &mut Vec<EventId>) {
        std::mem::swap(&mut self.ids, ids);
    }
}

/// A top-level field of the source record, as it stood there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceField {
    /// From the quote before the key …
    pub start: u32,
    /// … to the end of the value.
    pub end: u32,
    /// Slot, or `OVERFLOW | index`, or `SUPERSEDED`.
    pub target: u32,
}

pub(crate) const OVERFLOW: u32 = 0x8000_0000;
pub(crate) const SUPERSEDED: u32 = u32::MAX;
pub(crate) const NONE: u32 = u32::MAX;

/// A field that the plan does not know by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    pub key: Value,
    pub hash: u32,
    pub value: Value,
    pub next: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Text of the JSON object that the event came from, if any; else the raw record.
    pub source: Value,
    pub fields_start: u32,
    pub fields_len: u32,
    pub over_first: u32,
    pub over_last: u32,
    pub run: u32,
    /// The record as it came in, for `[event][original]`.
    pub original: Value,
    pub flags: u8,
    /// The event that this one was cloned from.
    pub parent: EventId,
    /// Position of the record in its source.
    pub position: u64,
}

/// The fields of `source` are told by a shape: `fields_start` is its first value in `spots`, `fields_len` the shape. No field
/// is in the overflow list.
pub(crate) const SHAPED: u8 = 8;
/// `source` is a JSON object whose top-level fields are listed.
pub(crate) const HAS_SOURCE: u8 = 1;
/// A field of `source` was changed, removed or doubled: it must be walked when encoding.
pub(crate) const DIRTY: u8 = 2;
/// `[event][original]` is `original`, though nothing has written it yet.
pub(crate) const VIRTUAL_ORIGINAL: u8 = 4;

/// Events of one block, with all their bytes.
///
/// All memory is reused from batch to batch: in the steady state nothing is allocated.
pub struct Batch {
    pub(crate) keys: Arc<Keys>,
    pub(crate) block: Vec<u8>,
    pub(crate) arena: Vec<u8>,
    pub(crate) width: usize,
    pub(crate) words: usize,
    pub(crate) slots: Vec<Value>,
    pub(crate) masks: Vec<u64>,
    pub(crate) heads: Vec<Head>,
    pub(crate) fields: Vec<SourceField>,
    pub(crate) overflow: Vec<Over>,
    pub(crate) nodes: Nodes,
    pub(crate) times: Vec<Timestamp>,
    pub(crate) scanner: Scanner,
    pub(crate) raw_fields: Vec<RawField>,
    /// Scratch of taking arrays apart.
    pub(crate) raw_elements: Vec<(RawKind, (u32, u32))>,
    pub(crate) shapes: Shapes,
    pub(crate) shape_plans: Vec<super::shaped::ShapePlan>,
    pub(crate) spots: Vec<Spot>,
    pub(crate) scratch: Vec<u8>,
    pub(crate) day: std::cell::Cell<crate::time::DayCache>,
    pub(crate) keys_scratch: super::scan::KeyScratch,
    zone: crate::time::Zone,
    serial: u64,
    /// The slots and marks of an event that has just been made.
    fresh: (Vec<Value>, Vec<u64>),
    /// Serial, tag, and the list that holds just this tag.
    pub(crate) shared_tag: (u64, Vec<u8>, Value),
}

impl Batch {
    /// An empty batch for a plan's names.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        // A copy of its own: workers that count references to one table would fight for its cache line.
        let keys = Arc::new(keys.clone());
        let width = keys.len();
        let mut fresh = (vec![Value::ABSENT; width], vec![0; width.div_ceil(64)]);
        fresh.0[usize::from(slot::TIMESTAMP)] = Value::span(Kind::Time, 0, Space::Arena, 0, 0);
        fresh.0[usize::from(slot::VERSION)] = Value::span(Kind::Str, PLAIN, Space::Plan, 0, 1);
        fresh.1[0] = 1 << slot::TIMESTAMP | 1 << slot::VERSION;
        Batch {
            width,
            words: width.div_ceil(64),
            keys,
            block: Vec::new(),
            arena: Vec::new(),
            slots: Vec::new(),
            masks: Vec::new(),
            heads: Vec::new(),
            fields: Vec::new(),
            overflow: Vec::new(),
            nodes: Nodes::default(),
            times: Vec::new(),
            scanner: Scanner::default(),
            raw_fields: Vec::new(),
            raw_elements: Vec::new(),
            shapes: Shapes::new(super::decode::LIMITS),
            shape_plans: Vec::new(),
            spots: Vec::new(),
            scratch: Vec::new(),
            day: std::cell::Cell::default(),
            keys_scratch: super::scan::KeyScratch::default(),
            zone: crate::time::Zone::system(),
            serial: 0,
            fresh,
            shared_tag: (0, Vec::new(), Value::ABSENT),
        }
    }

    /// Forgets all events and takes the bytes of the next block; `now` is the arrival time of its events.
    /// Returns the bytes of the block before, for reuse.
    pub fn reset(&mut self, block: Vec<u8>, now: Timestamp) -> Vec<u8> {
        self.times.clear();
        self.times.push(now);
        self.next_chunk();
        // One hostile batch must not keep its memory for ever.
        self.arena.shrink_to(16 << 20);
        std::mem::replace(&mut self.block, block)
    }

    /// Forgets all events and keeps the block, for the next of its records.
    pub fn next_chunk(&mut self) {
        self.serial += 1;
        self.arena.clear();
        self.slots.clear();
        self.masks.clear();
        self.heads.clear();
        self.fields.clear();
        self.spots.clear();
        if self.shapes.tidy() {
            self.shape_plans.clear();
        }
        self.overflow.clear();
        self.nodes.clear();
        self.times.truncate(1);
    }

    /// Changes with every chunk: what was computed for one serial holds within it only.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The names of the plan.
    #[must_use]
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Number of events made so far, dropped ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// True before the first event is made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Arrival time of the batch's events.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.times.first().copied().unwrap_or_default()
    }

    /// Bytes of memory that the batch holds (a gauge).
    #[must_use]
    pub fn memory(&self) -> usize {
        self.block.capacity()
            + self.arena.capacity()
            + self.slots.capacity() * size_of::<Value>()
            + self.heads.capacity() * size_of::<Head>()
            + self.fields.capacity() * size_of::<SourceField>()
    }

    /// Makes an event without fields but `@timestamp` (arrival) and `@version`.
    pub fn new_event(&mut self, run: u32, position: u64) -> EventId {
        let id = u32::try_from(self.heads.len()).unwrap_or(NONE - 1);
        self.slots.extend_from_slice(&self.fresh.0);
        self.masks.extend_from_slice(&self.fresh.1);
        self.heads.push(Head {
            source: Value::ABSENT,
            fields_start: 0,
            fields_len: 0,
            over_first: NONE,
            over_last: NONE,
            run,
            original: Value::ABSENT,
            flags: 0,
            parent: NONE,
            position,
        });
        id
    }

    /// A deep copy of an event, `@metadata` included.
    pub fn clone_event(&mut self, of: EventId) -> EventId {
        let (run, position) = (self.head(of).run, self.head(of).position);
        let id = self.new_event(run, position);
        let from = self.head(of);
        let head = self.head_mut(id);
        (head.source, head.flags, head.original) = (from.source, from.flags, from.original);
        head.parent = of;
        (head.fields_start, head.fields_len) = (from.fields_start, from.fields_len);
        for index in 0..self.width {
            let value = self.slots[of as usize * self.width + index];
            self.slots[id as usize * self.width + index] = self.deep_copy_keeping_source(value);
        }
        for word in 0..self.words {
            self.masks[id as usize * self.words + word] =
                self.masks[of as usize * self.words + word];
        }
        // The listed source fields name overflow entries of the first event, so the copy needs its own list.
        let mut moved: Vec<(u32, u32)> = Vec::new();
        let mut next = from.over_first;
        while next != NONE {
            let over = self.overflow[next as usize];
            let value = self.deep_copy_keeping_source(over.value);
            let at = self.append_overflow(id, over.key, over.hash, value);
            if over.value.is_orig() {
                moved.push((next, at));
            }
            next = over.next;
        }
        if !moved.is_empty() {
            let start = self.fields.len();
            let range = from.fields_start as usize..(from.fields_start + from.fields_len) as usize;
            self.fields.extend_from_within(range);
            self.head_mut(id).fields_start = u32::try_from(start).unwrap_or(NONE);
            for field in &mut self.fields[start..] {
                if field.target == SUPERSEDED || field.target & OVERFLOW == 0 {
                    continue;
                }
                let old = field.target & !OVERFLOW;
                if let Ok(found) = moved.binary_search_by_key(&old, |(old, _)| *old) {
                    field.target = OVERFLOW | moved[found].1;
                }
            }
        }
        id
    }

    /// Bytes that a copy of the event costs, its encoded form included: for bounding how many are made.
    #[must_use]
    pub fn clone_cost(&self, id: EventId) -> usize {
        let head = self.head(id);
        if head.flags & SHAPED != 0 {
            return self.width * size_of::<Value>() + head.source.len as usize + 256;
        }
        let start = head.fields_start as usize;
        let fields = self
            .fields
            .get(start..start + head.fields_len as usize)
            .unwrap_or_default();
        let standing: usize = fields
            .iter()
            .filter(|field| match field.target {
                SUPERSEDED => false,
                target if target & OVERFLOW == 0 => {
                    self.slot(id, Slot::try_from(target).unwrap_or(0)).is_orig()
                }
                target => self.overflow[(target & !OVERFLOW) as usize].value.is_orig(),
            })
            .map(|field| (field.end - field.start) as usize)
            .sum();
        self.width * size_of::<Value>()
            + fields.len() * (size_of::<SourceField>() + size_of::<Over>())
            + standing
            + 256
    }

    fn deep_copy_keeping_source(&mut self, value: Value) -> Value {
        let copy = self.deep_copy(value);
        Value {
            flags: copy.flags | (value.flags & ORIG),
            ..copy
        }
    }

    /// The run of the block that the event belongs to.
    #[must_use]
    pub fn run_of(&self, id: EventId) -> u32 {
        self.head(id).run
    }

    /// Position of the event's record in its source: for files, decoded bytes from the beginning.
    #[must_use]
    pub fn position_of(&self, id: EventId) -> u64 {
        self.head(id).position
    }

    /// The event before number `first_new` that the event was cloned from, directly or not; itself if it is
    /// that old.
    #[must_use]
    pub fn ancestor(&self, id: EventId, first_new: EventId) -> EventId {
        let mut at = id;
        while at >= first_new && self.head(at).parent != NONE {
            at = self.head(at).parent;
        }
        at
    }

    #[inline]
    pub(crate) fn head(&self, id: EventId) -> Head {
        self.heads[id as usize]
    }

    #[inline]
    pub(crate) fn head_mut(&mut self, id: EventId) -> &mut Head {
        &mut self.heads[id as usize]
    }

    #[inline]
    pub(crate) fn slot(&self, id: EventId, slot: Slot) -> Value {
        self.slots[id as usize * self.width + usize::from(slot)]
    }

    /// Writes a slot; anything but a value of the source record is marked for encoding.
    #[inline]
    pub(crate) fn put_slot(&mut self, id: EventId, slot: Slot, value: Value) {
        let at = id as usize * self.width + usize::from(slot);
        let before = self.slots[at];
        self.slots[at] = value;
        if before.is_orig() && !value.is_orig() {
            self.heads[id as usize].flags |= DIRTY;
        }
        let word = &mut self.masks[id as usize * self.words + usize::from(slot) / 64];
        let bit = 1_u64 << (slot % 64);
        if value.is_absent() || value.is_orig() {
            *word &= !bit;
        } else {
            *word |= bit;
        }
    }

    /// The place of a field that the plan does not know; the event's fields are listed.
    pub(crate) fn find_overflow(&self, id: EventId, name: &[u8]) -> Option<u32> {
        debug_assert!(self.heads[id as usize].flags & SHAPED == 0);
        let mut next = self.head(id).over_first;
        if next == NONE {
            return None;
        }
        let hash = hash(name);
        while next != NONE {
            let over = &self.overflow[next as usize];
            if over.hash == hash && !over.value.is_absent() && self.bytes(over.key) == name {
                return Some(next);
            }
            next = over.next;
        }
        None
    }

    pub(crate) fn append_overflow(
        &mut self,
        id: EventId,
        key: Value,
        hash: u32,
        value: Value,
    ) -> u32 {
        let at = u32::try_from(self.overflow.len()).unwrap_or(NONE - 1);
        self.overflow.push(Over {
            key,
            hash,
            value,
            next: NONE,
        });
        let head = &mut self.heads[id as usize];
        if head.over_last == NONE {
            head.over_first = at;
        } else {
            self.overflow[head.over_last as usize].next = at;
        }
        head.over_last = at;
        at
    }

    pub(crate) fn put_overflow(&mut self, id: EventId, at: u32, value: Value) {
        let over = &mut self.overflow[at as usize];
        if over.value.is_orig() && !value.is_orig() {
            self.heads[id as usize].flags |= DIRTY;
        }
        over.value = value;
    }

    /// The bytes of a space.
    #[inline]
    pub(crate) fn space(&self, space: Space) -> &[u8] {
        match space {
            Space::Block => &self.block,
            Space::Arena => &self.arena,
            Space::Plan => self.keys.text(),
        }
    }

    /// The text of a string (decoded: read it through [`Batch::get`]), a number, a literal, or an
    /// object or array not taken apart. Empty for other kinds.
    #[inline]
    #[must_use]
    pub fn bytes(&self, value: Value) -> &[u8] {
        match value.kind {
            Kind::Str
            | Kind::EscStr
            | Kind::Int
            | Kind::Float
            | Kind::RawObject
            | Kind::RawArray => {
                let start = value.off as usize;
                self.space(value.space)
                    .get(start..start + value.len as usize)
                    .unwrap_or_default()
            }
            Kind::True => b"true",
            Kind::False => b"false",
            Kind::Null => b"null",
            Kind::Absent | Kind::Map | Kind::List | Kind::Time => b"",
        }
    }

    /// The text of a string value.
    #[inline]
    #[must_use]
    pub fn str(&self, value: Value) -> Option<&str> {
        (value.kind == Kind::Str).then(|| super::text::as_str(self.bytes(value)))
    }

    /// The moment that a time value tells.
    #[must_use]
    pub fn time(&self, value: Value) -> Option<Timestamp> {
        (value.kind == Kind::Time)
            .then(|| self.times.get(value.off as usize).copied())
            .flatten()
    }

    /// `@timestamp`; none when it was removed.
    #[inline]
    #[must_use]
    pub fn timestamp(&self, id: EventId) -> Option<Timestamp> {
        self.time(self.slot(id, slot::TIMESTAMP))
    }

    /// Sets `@timestamp`.
    pub fn set_timestamp(&mut self, id: EventId, at: Timestamp) {
        let value = self.push_time(at);
        self.put_slot(id, slot::TIMESTAMP, value);
    }

    /// Enters text (valid UTF-8) that was built outside the batch.
    #[inline]
    pub fn push(&mut self, text: &[u8]) -> Value {
        let flags = if super::text::needs_escape(text) {
            0
        } else {
            PLAIN
        };
        self.push_span(Kind::Str, flags, text)
    }

    /// Enters JSON text of an object or array; the caller vouches that it is valid.
    pub fn push_json(&mut self, kind: Kind, text: &[u8]) -> Value {
        debug_assert!(matches!(kind, Kind::RawObject | Kind::RawArray));
        self.push_span(kind, 0, text)
    }

    /// Enters a number by its text, which must be a JSON number of that kind.
    pub fn push_number(&mut self, kind: Kind, text: &[u8]) -> Value {
        debug_assert!(matches!(kind, Kind::Int | Kind::Float));
        self.push_span(kind, PLAIN, text)
    }

    /// Enters an integer.
    pub fn push_int(&mut self, number: i64) -> Value {
        let mut buffer = [0_u8; 20];
        let text = super::render::format_int(number, &mut buffer);
        self.push_span(Kind::Int, PLAIN, text)
    }

    /// Enters a floating-point number in the form that Java prints; not-a-number and infinities, which JSON
    /// does not have, become text.
    pub fn push_float(&mut self, number: f64) -> Value {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        super::render::java_double(number, &mut text);
        let kind = if number.is_finite() {
            Kind::Float
        } else {
            Kind::Str
        };
        let value = self.push_span(kind, PLAIN, &text);
        self.scratch = text;
        value
    }

    /// Enters a moment in time.
    pub fn push_time(&mut self, at: Timestamp) -> Value {
        let off = u32::try_from(self.times.len()).unwrap_or(0);
        self.times.push(at);
        Value::span(Kind::Time, 0, Space::Arena, off, 0)
    }

    fn push_span(&mut self, kind: Kind, flags: u8, text: &[u8]) -> Value {
        let (Ok(off), Ok(len)) = (u32::try_from(self.arena.len()), u32::try_from(text.len()))
        else {
            return Value::NULL;
        };
        if off.checked_add(len).is_none() {
            return Value::NULL;
        }
        self.arena.extend_from_slice(text);
        Value::span(kind, flags, Space::Arena, off, len)
    }

    /// A part of a string value that is already decoded, without copying it.
    #[must_use]
    pub fn substr(&self, value: Value, start: u32, end: u32) -> Value {
        debug_assert!(value.kind == Kind::Str && start <= end && end <= value.len);
        Value::span(
            Kind::Str,
            value.flags & PLAIN,
            value.space,
            value.off + start,
            end.saturating_sub(start),
        )
    }

    /// Text of the block, valid UTF-8, as a value.
    #[must_use]
    pub fn block_text(&self, off: u32, len: u32) -> Value {
        Value::span(Kind::Str, 0, Space::Block, off, len)
    }

    /// Text of the block, valid UTF-8, of which parts are likely to be written out: whether JSON would escape anything in
    /// it is found once, for all of them.
    #[must_use]
    pub fn block_line(&self, off: u32, len: u32) -> Value {
        let mut line = self.block_text(off, len);
        if !super::text::needs_escape(self.bytes(line)) {
            line.flags |= PLAIN;
        }
        line
    }

    /// Appends a time in ISO 8601; the text of its day is kept for the next.
    pub(crate) fn write_time(&self, at: Timestamp, out: &mut Vec<u8>) {
        let mut day = self.day.take();
        at.write_iso8601_cached(out, &mut day);
        self.day.set(day);
    }

    pub(crate) fn parse_timestamp(&self, text: &[u8]) -> Option<Timestamp> {
        crate::time::parse_event_timestamp(text, &self.zone)
    }

    /// Sets what `[event][original]` is, without writing it before somebody reads it.
    pub fn set_original(&mut self, id: EventId, original: Value) {
        let head = self.head_mut(id);
        head.original = original.without_orig();
        head.flags |= VIRTUAL_ORIGINAL;
    }
}

/// Hash of a field name, from its length, first and last bytes: cheap, and names that share them are told apart
/// by comparing. Only compared within one process.
#[inline]
pub(crate) fn hash(name: &[u8]) -> u32 {
    let (head, tail) =
        if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (
                u32::from_le_bytes(*head).into(),
                u32::from_le_bytes(*tail).into(),
            )
        } else {
            let byte = |at: usize| u64::from(name.get(at).copied().unwrap_or(0));
            (byte(0) | byte(1) << 8, byte(2))
        };
    let mixed = (head ^ (name.len() as u64).rotate_left(56)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ tail.wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    (mixed ^ (mixed >> 32)) as u32
}
