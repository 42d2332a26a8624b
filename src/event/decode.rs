//! From a JSON object's text to an event: fields become handles into the text.

use std::sync::Arc;

use super::batch::{Batch, DIRTY, EventId, HAS_SOURCE, NONE, OVERFLOW, SUPERSEDED, SourceField};
use super::keys::slot;
use super::nodes::CLEAN;
use super::scan::{self, JsonError, Limits, Problem, RawField, RawKind};
use super::value::{Kind, ORIG, PLAIN, Space, Value};

/// Why text did not become an event's fields.
#[derive(Clone, Copy, Debug)]
pub enum JsonRefused {
    /// It is not valid JSON.
    Invalid(JsonError),
    /// It is valid, but not an object.
    NotAnObject(RawKind),
}

/// The original's reading limits (Jackson's).
pub(crate) const LIMITS: Limits = Limits {
    max_depth: 1000,
    max_number_len: 10_000,
};

/// Past so many unknown fields in one event, repeated names are found by a table instead of a walk.
const WALK_OVERFLOW: usize = 24;

/// Tag of an event whose document held a key twice; the last one won.
pub const DUPLICATE_KEY_TAG: &[u8] = b"_duplicate_key";

/// Tag of an event with fields that nest deeper than the limit and were kept as text.
pub const TOO_DEEP_TAG: &[u8] = b"_json_too_deep";

/// Deepest nesting of valid JSON text.
fn depth(text: &[u8]) -> u32 {
    let (mut now, mut most) = (0_u32, 0_u32);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' | b'[' => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            b'"' => {
                at += 1;
                while text.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    most
}

/// The value that a scanned span stands for.
pub(crate) fn raw_value(space: Space, kind: RawKind, (start, end): (u32, u32)) -> Value {
    let (kind, flags) = match kind {
        RawKind::Null => return Value::NULL,
        RawKind::False => return Value::FALSE,
        RawKind::True => return Value::TRUE,
        RawKind::Int => (Kind::Int, PLAIN),
        RawKind::Float => (Kind::Float, PLAIN),
        RawKind::Str => (Kind::Str, PLAIN),
        RawKind::EscStr => (Kind::EscStr, 0),
        RawKind::Object => (Kind::RawObject, 0),
        RawKind::Array => (Kind::RawArray, 0),
    };
    Value::span(kind, flags, space, start, end - start)
}

/// Finds repeated names among the fields that the plan does not know.
#[derive(Default)]
struct Unknown {
    /// A bit per hash: a name whose bit is not set has not been seen.
    seen: u64,
    count: usize,
    table: rustc_hash::FxHashMap<Box<[u8]>, u32>,
}

impl Batch {
    /// Sets the fields of the JSON object in `text` (a string value) on an event.
    ///
    /// The first object of an event is its *source*: what stays untouched is later copied from there.
    /// Of a repeated key the last wins, and the event is tagged `_duplicate_key`.
    ///
    /// # Errors
    /// When the text is not one valid JSON object; the event is unchanged then.
    pub fn decode_object(&mut self, id: EventId, text: Value) -> Result<(), JsonRefused> {
        let head = &self.heads[id as usize];
        let first = head.flags & HAS_SOURCE == 0 && head.over_first == NONE;
        if first && self.take_shaped(id, text) {
            return Ok(());
        }
        self.list_fields(id);
        let mut fields = std::mem::take(&mut self.raw_fields);
        fields.clear();
        let result = self.walk(text, &mut fields);
        let result = match result {
            Err(JsonRefused::Invalid(JsonError {
                what: Problem::TooDeep,
                ..
            })) => self.walk_deep(id, text, &mut fields),
            Ok(()) => {
                let repeated = self.take_fields(id, text, &fields);
                if first && !repeated {
                    self.learn_shape(text);
                }
                Ok(())
            }
            refused => refused,
        };
        self.raw_fields = fields;
        result
    }

    /// A document that nests deeper than the limit is kept: the fields that do become text.
    fn walk_deep(
        &mut self,
        id: EventId,
        text: Value,
        fields: &mut Vec<RawField>,
    ) -> Result<(), JsonRefused> {
        fields.clear();
        let limits = Limits {
            max_depth: u32::MAX,
            ..LIMITS
        };
        let bytes: &[u8] = match text.space {
            Space::Block => &self.block,
            Space::Arena => &self.arena,
            Space::Plan => self.keys.text(),
        };
        scan::walk_object(
            &mut self.scanner,
            bytes,
            text.off,
            text.off + text.len,
            &limits,
            fields,
        )
        .map_err(JsonRefused::Invalid)?;
        let mut deep = Vec::new();
        for field in fields.iter_mut() {
            let raw = self
                .space(text.space)
                .get(field.value.0 as usize..field.value.1 as usize)
                .unwrap_or_default();
            if depth(raw) >= LIMITS.max_depth {
                deep.push(*field);
                field.kind = RawKind::Null;
            }
        }
        self.take_fields(id, text, fields);
        for field in deep {
            let key = Value::span(
                Kind::EscStr,
                0,
                text.space,
                field.key.0,
                field.key.1 - field.key.0,
            );
            let key = self.decode_string(key);
            let name = self.bytes(key).to_vec();
            let value = Value::span(
                Kind::Str,
                0,
                text.space,
                field.value.0,
                field.value.1 - field.value.0,
            );
            match self.keys.find(&name) {
                // Where something else stands, a later field of the same name has won.
                Some(slot) if self.slot(id, slot).kind == Kind::Null => {
                    self.put_slot(id, slot, value);
                }
                Some(_) => {}
                None => {
                    if let Some(at) = self.find_overflow(id, &name)
                        && self.overflow[at as usize].value.kind == Kind::Null
                    {
                        self.put_overflow(id, at, value);
                    }
                }
            }
        }
        self.tag(id, TOO_DEEP_TAG);
        Ok(())
    }

    fn walk(&mut self, text: Value, fields: &mut Vec<RawField>) -> Result<(), JsonRefused> {
        let (start, end) = (text.off, text.off + text.len);
        let bytes: &[u8] = match text.space {
            Space::Block => &self.block,
            Space::Arena => &self.arena,
            Space::Plan => self.keys.text(),
        };
        match scan::walk_object(&mut self.scanner, bytes, start, end, &LIMITS, fields) {
            Ok(()) => Ok(()),
            Err(error) => match scan::validate_value(&mut self.scanner, bytes, start, end, &LIMITS)
            {
                Ok(kind) if kind != RawKind::Object => Err(JsonRefused::NotAnObject(kind)),
                _ => Err(JsonRefused::Invalid(error)),
            },
        }
    }

    /// True when a key was repeated, at any depth.
    fn take_fields(&mut self, id: EventId, text: Value, fields: &[RawField]) -> bool {
        let is_source = self.head(id).flags & HAS_SOURCE == 0;
        let first = self.fields.len();
        if is_source {
            let head = self.head_mut(id);
            head.flags |= HAS_SOURCE;
            head.source = Value {
                kind: Kind::RawObject,
                ..text
            };
            head.fields_start = u32::try_from(first).unwrap_or(NONE);
            head.fields_len = u32::try_from(fields.len()).unwrap_or(0);
        }
        let keys = Arc::clone(&self.keys);
        let orig = if is_source { ORIG } else { 0 };
        let before = (
            self.slot(id, slot::TIMESTAMP),
            self.slot(id, slot::TAGS),
            self.slot(id, slot::METADATA),
        );
        let mut repeated = false;
        let mut nested = false;
        let mut unknown = Unknown::default();
        for field in fields {
            let mut value = raw_value(text.space, field.kind, field.value);
            value.flags |= orig;
            nested |= matches!(field.kind, RawKind::Object | RawKind::Array);
            let name = self
                .space(text.space)
                .get(field.key.0 as usize..field.key.1 as usize)
                .unwrap_or_default();
            let hash = super::batch::hash(name);
            let known = if field.key_escaped {
                None
            } else {
                keys.find_hashed(name, hash)
            };
            let target = match known {
                Some(slot) => {
                    let at = id as usize * self.width + usize::from(slot);
                    if is_source && self.slots[at].is_absent() {
                        self.slots[at] = value;
                    } else {
                        if is_source && self.slots[at].is_orig() {
                            repeated = true;
                            self.supersede(first, u32::from(slot));
                        }
                        self.put_slot(id, slot, value);
                    }
                    u32::from(slot)
                }
                None => self.take_unknown(
                    id,
                    text.space,
                    field,
                    hash,
                    value,
                    first,
                    &mut unknown,
                    &mut repeated,
                ),
            };
            if is_source {
                let quote = u32::from(matches!(field.kind, RawKind::Str | RawKind::EscStr));
                self.fields.push(SourceField {
                    start: field.key.0 - 1,
                    end: field.value.1 + quote,
                    target,
                });
            }
        }
        if repeated {
            self.head_mut(id).flags |= DIRTY;
        }
        if nested || !is_source {
            repeated |= self.settle_repeated(id, text, fields);
        }
        self.settle_special(id, before);
        if repeated {
            self.tag(id, DUPLICATE_KEY_TAG);
        }
        repeated
    }

    fn supersede(&mut self, first: usize, target: u32) {
        for field in &mut self.fields[first..] {
            if field.target == target {
                field.target = SUPERSEDED;
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn take_unknown(
        &mut self,
        id: EventId,
        space: Space,
        field: &RawField,
        hash: u32,
        value: Value,
        first: usize,
        unknown: &mut Unknown,
        repeated: &mut bool,
    ) -> u32 {
        let raw = Value::span(
            Kind::Str,
            PLAIN,
            space,
            field.key.0,
            field.key.1 - field.key.0,
        );
        let (mut key, mut hash) = (raw, hash);
        if unknown.count == 0 && self.head(id).over_first != NONE {
            // Fields that were there before this document.
            unknown.seen = u64::MAX;
        }
        if field.key_escaped {
            key = self.decode_string(Value {
                kind: Kind::EscStr,
                flags: 0,
                ..raw
            });
            if let Some(slot) = self.keys.find(self.bytes(key)) {
                if value.is_orig() && self.slot(id, slot).is_orig() {
                    *repeated = true;
                    self.supersede(first, u32::from(slot));
                }
                self.put_slot(id, slot, value);
                return u32::from(slot);
            }
        }
        if field.key_escaped {
            hash = super::batch::hash(self.bytes(key));
        }
        let bit = 1_u64 << (hash >> 26);
        let found = if unknown.seen & bit == 0 {
            None
        } else {
            self.find_unknown(id, key, unknown)
        };
        unknown.seen |= bit;
        if let Some(at) = found {
            if value.is_orig() && self.overflow[at as usize].value.is_orig() {
                *repeated = true;
                self.supersede(first, OVERFLOW | at);
            }
            self.put_overflow(id, at, value);
            return OVERFLOW | at;
        }
        let at = self.append_overflow(id, key, hash, value);
        unknown.count += 1;
        if !unknown.table.is_empty() {
            unknown.table.insert(self.bytes(key).into(), at);
        }
        OVERFLOW | at
    }

    fn find_unknown(&self, id: EventId, key: Value, unknown: &mut Unknown) -> Option<u32> {
        let name = self.bytes(key);
        if unknown.count < WALK_OVERFLOW {
            return self.find_overflow(id, name);
        }
        if unknown.table.is_empty() {
            let mut next = self.head(id).over_first;
            while next != NONE {
                let over = &self.overflow[next as usize];
                if !over.value.is_absent() {
                    unknown.table.insert(self.bytes(over.key).into(), next);
                }
                next = over.next;
            }
        }
        unknown.table.get(name).copied()
    }

    /// Takes repeated keys out of nested objects; Elasticsearch refuses them at any depth.
    fn settle_repeated(&mut self, id: EventId, text: Value, fields: &[RawField]) -> bool {
        let mut any = false;
        let top_level =
            self.head(id).source.off != text.off || self.head(id).source.space != text.space;
        if top_level {
            any |= self.repeats_keys(text.space, text.off, text.off + text.len);
        }
        for field in fields {
            if !matches!(field.kind, RawKind::Object | RawKind::Array) {
                continue;
            }
            let (start, end) = field.value;
            if !self.repeats_keys(text.space, start, end) {
                continue;
            }
            any = true;
            let raw = raw_value(text.space, field.kind, field.value);
            let settled = self.without_repeated_keys(raw);
            let name: Vec<u8> = {
                let key = Value::span(
                    Kind::Str,
                    0,
                    text.space,
                    field.key.0,
                    field.key.1 - field.key.0,
                );
                let key = if field.key_escaped {
                    self.decode_string(Value {
                        kind: Kind::EscStr,
                        ..key
                    })
                } else {
                    key
                };
                self.bytes(key).to_vec()
            };
            match self.keys.find(&name) {
                Some(slot) if self.slot(id, slot).off == start => self.put_slot(id, slot, settled),
                Some(_) => {}
                None => {
                    if let Some(at) = self.find_overflow(id, &name)
                        && self.overflow[at as usize].value.off == start
                    {
                        self.put_overflow(id, at, settled);
                    }
                }
            }
        }
        any
    }

    fn repeats_keys(&mut self, space: Space, start: u32, end: u32) -> bool {
        let mut scratch = std::mem::take(&mut self.keys_scratch);
        let repeats = scan::has_duplicate_keys_deep(self.space(space), start, end, &mut scratch);
        self.keys_scratch = scratch;
        repeats
    }

    fn without_repeated_keys(&mut self, value: Value) -> Value {
        let expanded = self.expand(value);
        if !matches!(expanded.kind, Kind::Map | Kind::List) {
            return expanded;
        }
        for at in 0..self.node_len(expanded) {
            let inner = self.nodes.get(expanded.off).entries[at].value;
            let settled = self.without_repeated_keys(inner);
            self.nodes.get_mut(expanded.off).entries[at].value = settled;
        }
        Value {
            flags: expanded.flags & !(CLEAN | ORIG),
            ..expanded
        }
    }

    /// `@timestamp`, `tags` and `@metadata` of a document get the form that they have in an event.
    pub(crate) fn settle_special(&mut self, id: EventId, before: (Value, Value, Value)) {
        let (timestamp, tags, metadata) = before;
        let given = self.slot(id, slot::TIMESTAMP);
        if given != timestamp {
            self.settle_timestamp(id, given);
        }
        let given = self.slot(id, slot::TAGS);
        if given != tags && !self.is_tags(given) {
            let wrapped = if given.is_array() {
                given.without_orig()
            } else {
                self.list_of(given)
            };
            let list = self.new_list();
            self.put_slot(id, slot::BAD_TAGS, wrapped);
            self.put_slot(id, slot::TAGS, list);
            self.append_tag(id, b"_tagsparsefailure");
        }
        let given = self.slot(id, slot::METADATA);
        if given != metadata {
            self.put_slot(id, slot::METADATA, metadata);
            self.head_mut(id).flags |= DIRTY;
            if given.is_object() {
                let root = super::Path {
                    root: super::keys::Root::Slot(slot::METADATA),
                    rest: Box::default(),
                };
                // An object is always taken.
                let _ = self.set(id, &root, given);
            } else if !given.is_nil() {
                let root = self.keys.find(b"_@metadata").map_or_else(
                    || super::keys::Root::Name(b"_@metadata".as_slice().into()),
                    super::keys::Root::Slot,
                );
                let path = super::Path {
                    root,
                    rest: Box::default(),
                };
                // A top-level field can always be set.
                let _ = self.set(id, &path, given);
            }
        }
    }

    fn list_of(&mut self, value: Value) -> Value {
        let list = self.new_list();
        self.list_push(list, value);
        list
    }

    fn settle_timestamp(&mut self, id: EventId, given: Value) {
        let now = Value::span(Kind::Time, 0, Space::Arena, 0, 0);
        if given.is_nil() {
            self.put_slot(id, slot::TIMESTAMP, now);
            return;
        }
        let decoded = self.decode_string(given);
        let parsed = (decoded.kind == Kind::Str)
            .then(|| self.parse_timestamp(self.bytes(decoded)))
            .flatten();
        if let Some(at) = parsed {
            self.set_timestamp(id, at);
        } else {
            self.put_slot(id, slot::TIMESTAMP, now);
            self.put_slot(id, slot::BAD_TIMESTAMP, decoded.without_orig());
            self.tag(id, b"_timestampparsefailure");
        }
    }

    /// Validates any JSON text and returns it as a value; none when it is not valid JSON.
    pub fn decode_value(&mut self, text: Value) -> Result<Value, JsonError> {
        let (start, end) = (text.off, text.off + text.len);
        let bytes: &[u8] = match text.space {
            Space::Block => &self.block,
            Space::Arena => &self.arena,
            Space::Plan => self.keys.text(),
        };
        let kind = scan::validate_value(&mut self.scanner, bytes, start, end, &LIMITS)?;
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let slice = bytes.get(start as usize..end as usize).unwrap_or_default();
        let lead = slice.iter().take_while(|byte| blank(byte)).count();
        let tail = slice.iter().rev().take_while(|byte| blank(byte)).count();
        let (mut from, mut to) = (
            start + u32::try_from(lead).unwrap_or(0),
            end - u32::try_from(tail).unwrap_or(0),
        );
        if matches!(kind, RawKind::Str | RawKind::EscStr) {
            (from, to) = (from + 1, to - 1);
        }
        let value = raw_value(text.space, kind, (from, to));
        let repeated = matches!(kind, RawKind::Object | RawKind::Array)
            && self.repeats_keys(text.space, from, to);
        Ok(if repeated {
            self.without_repeated_keys(value)
        } else {
            self.decode_string(value)
        })
    }
}
