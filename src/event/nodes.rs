//! Objects and arrays that were taken apart: a pool of entry lists, reused from batch to batch.

use super::batch::Batch;
use super::keys::Seg;
use super::value::{Kind, ORIG, PLAIN, Space, Value};

/// The node's raw text still tells it.
pub(crate) const CLEAN: u8 = 4;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub key: Value,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub entries: Vec<Entry>,
    /// The text it was taken from.
    pub raw: Value,
}

/// The pool. Nodes keep their capacity when the batch is reset.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    pool: Vec<Node>,
    used: usize,
}

impl Nodes {
    pub fn clear(&mut self) {
        self.used = 0;
        self.pool.truncate(1 << 16);
    }

    pub fn take(&mut self, raw: Value) -> u32 {
        if self.used == self.pool.len() {
            self.pool.push(Node {
                entries: Vec::new(),
                raw,
            });
        } else {
            let node = &mut self.pool[self.used];
            node.entries.clear();
            node.entries.shrink_to(4096);
            node.raw = raw;
        }
        self.used += 1;
        u32::try_from(self.used - 1).unwrap_or(0)
    }

    /// How many are in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes those back that were taken after `used` were in use.
    pub fn release(&mut self, used: usize) {
        self.used = self.used.min(used);
    }

    #[inline]
    pub fn get(&self, at: u32) -> &Node {
        &self.pool[at as usize]
    }

    #[inline]
    pub fn get_mut(&mut self, at: u32) -> &mut Node {
        &mut self.pool[at as usize]
    }
}

impl Batch {
    /// An empty object.
    pub fn new_map(&mut self) -> Value {
        let at = self.nodes.take(Value::ABSENT);
        Value::span(Kind::Map, 0, Space::Arena, at, 0)
    }

    /// An empty array.
    pub fn new_list(&mut self) -> Value {
        let at = self.nodes.take(Value::ABSENT);
        Value::span(Kind::List, 0, Space::Arena, at, 0)
    }

    /// Appends to an array made by [`Batch::new_list`]. To change a field's array, build a list and set it.
    pub fn list_push(&mut self, list: Value, value: Value) {
        debug_assert!(list.kind == Kind::List);
        let value = value.without_orig();
        self.nodes.get_mut(list.off).entries.push(Entry {
            key: Value::ABSENT,
            value,
        });
    }

    /// Sets an entry of an object made by [`Batch::new_map`].
    pub fn map_put(&mut self, map: Value, key: &[u8], value: Value) {
        debug_assert!(map.kind == Kind::Map);
        let value = value.without_orig();
        match self.map_position(map, key) {
            Some(at) => self.nodes.get_mut(map.off).entries[at].value = value,
            None => {
                let key = self.push(key);
                self.nodes
                    .get_mut(map.off)
                    .entries
                    .push(Entry { key, value });
            }
        }
    }

    /// Appends an entry to an object made by [`Batch::new_map`] without a look whether it has the name: where it may,
    /// [`Batch::keep_last`] is called at the end.
    pub fn map_append(&mut self, map: Value, key: Value, value: Value) {
        debug_assert!(map.kind == Kind::Map);
        let value = value.without_orig();
        let entries = &mut self.nodes.get_mut(map.off).entries;
        entries.push(Entry { key, value });
    }

    /// Of entries with one name in an object made by [`Batch::new_map`], keeps the last.
    pub fn keep_last(&mut self, map: Value) {
        debug_assert!(map.kind == Kind::Map);
        self.drop_repeated_keys(map.off);
    }

    /// Number of entries of an object or array that was taken apart.
    #[must_use]
    pub fn node_len(&self, node: Value) -> usize {
        match node.kind {
            Kind::Map | Kind::List => self.nodes.get(node.off).entries.len(),
            _ => 0,
        }
    }

    /// The key of an object's entry.
    #[must_use]
    pub fn map_key(&self, map: Value, at: usize) -> Value {
        self.entry(map, at).map_or(Value::ABSENT, |entry| entry.key)
    }

    /// The value of an entry, decoded.
    pub fn node_value(&mut self, node: Value, at: usize) -> Value {
        let Some(entry) = self.entry(node, at) else {
            return Value::ABSENT;
        };
        if entry.value.kind != Kind::EscStr {
            return entry.value;
        }
        let value = self.decode_string(entry.value);
        self.nodes.get_mut(node.off).entries[at].value = value;
        value
    }

    fn entry(&self, node: Value, at: usize) -> Option<Entry> {
        match node.kind {
            Kind::Map | Kind::List => self.nodes.get(node.off).entries.get(at).copied(),
            _ => None,
        }
    }

    pub(crate) fn map_position(&self, map: Value, key: &[u8]) -> Option<usize> {
        let entries = &self.nodes.get(map.off).entries;
        entries
            .iter()
            .position(|entry| entry.key.len as usize == key.len() && self.bytes(entry.key) == key)
    }

    /// Where the object has the name of a path. Names that the plan has set are told by their handle.
    pub(crate) fn seg_position(&self, map: Value, seg: &Seg) -> Option<usize> {
        let entries = &self.nodes.get(map.off).entries;
        entries.iter().position(|entry| {
            entry.key == seg.name
                || (entry.key.len as usize == seg.key.len() && *self.bytes(entry.key) == *seg.key)
        })
    }

    /// Appends the name of a path to an object that has it not, with null; where it is then.
    pub(crate) fn append_seg(&mut self, map: Value, seg: &Seg) -> usize {
        let key = if seg.name.is_absent() {
            self.push(&seg.key)
        } else {
            seg.name
        };
        let entries = &mut self.nodes.get_mut(map.off).entries;
        entries.push(Entry {
            key,
            value: Value::NULL,
        });
        entries.len() - 1
    }

    /// A value that shares nothing that can change with the first.
    pub fn deep_copy(&mut self, value: Value) -> Value {
        if !matches!(value.kind, Kind::Map | Kind::List) {
            return value.without_orig();
        }
        let raw = self.nodes.get(value.off).raw;
        if value.flags & CLEAN != 0 && !raw.is_absent() {
            return raw.without_orig();
        }
        let at = self.nodes.take(Value::ABSENT);
        for index in 0..self.node_len(value) {
            let Some(entry) = self.entry(value, index) else {
                break;
            };
            let copy = self.deep_copy(entry.value);
            self.nodes.get_mut(at).entries.push(Entry {
                key: entry.key,
                value: copy,
            });
        }
        Value {
            flags: 0,
            off: at,
            ..value
        }
    }

    /// Takes an object or array apart, one level. Other values are returned as they are.
    ///
    /// The handle replaces the one that was given: whoever keeps the value must store it.
    pub fn expand(&mut self, value: Value) -> Value {
        let kind = match value.kind {
            Kind::RawObject => Kind::Map,
            Kind::RawArray => Kind::List,
            _ => return value,
        };
        let node = self.nodes.take(value);
        let (start, end) = (value.off, value.off + value.len);
        let mut fields = std::mem::take(&mut self.raw_fields);
        fields.clear();
        let mut clean = CLEAN | (value.flags & ORIG);
        if kind == Kind::Map {
            super::scan::fields_of_valid(self.space(value.space), start, end, &mut fields);
            self.nodes.get_mut(node).entries.reserve(fields.len());
            for field in &fields {
                let key = Value::span(
                    Kind::Str,
                    0,
                    value.space,
                    field.key.0,
                    field.key.1 - field.key.0,
                );
                let key = if field.key_escaped {
                    self.decode_string(Value {
                        kind: Kind::EscStr,
                        ..key
                    })
                } else {
                    Value {
                        flags: PLAIN,
                        ..key
                    }
                };
                let inner = super::decode::raw_value(value.space, field.kind, field.value);
                self.nodes
                    .get_mut(node)
                    .entries
                    .push(Entry { key, value: inner });
            }
            if self.drop_repeated_keys(node) {
                clean = 0;
            }
        } else {
            let mut elements = std::mem::take(&mut self.raw_elements);
            elements.clear();
            super::scan::elements_of_valid(self.space(value.space), start, end, &mut elements);
            let entries = &mut self.nodes.get_mut(node).entries;
            entries.extend(elements.iter().map(|(kind, span)| Entry {
                key: Value::ABSENT,
                value: super::decode::raw_value(value.space, *kind, *span),
            }));
            self.raw_elements = elements;
        }
        self.raw_fields = fields;
        Value::span(kind, clean, Space::Arena, node, 0)
    }

    /// Of keys that an object holds twice the last wins, as in the original. True when there were any.
    fn drop_repeated_keys(&mut self, node: u32) -> bool {
        let entries = std::mem::take(&mut self.nodes.get_mut(node).entries);
        let mut keep: Vec<bool> = Vec::new();
        if entries.len() <= 16 {
            for (at, entry) in entries.iter().enumerate() {
                let key = self.bytes(entry.key);
                if entries[at + 1..]
                    .iter()
                    .any(|later| later.key.len == entry.key.len && self.bytes(later.key) == key)
                {
                    keep.resize(entries.len(), true);
                    keep[at] = false;
                }
            }
        } else {
            let mut last = rustc_hash::FxHashMap::default();
            for (at, entry) in entries.iter().enumerate() {
                if let Some(before) = last.insert(self.bytes(entry.key), at) {
                    keep.resize(entries.len(), true);
                    keep[before] = false;
                }
            }
        }
        let repeated = !keep.is_empty();
        let mut entries = entries;
        if repeated {
            let mut keep = keep.iter();
            entries.retain(|_| keep.next().copied().unwrap_or(true));
        }
        self.nodes.get_mut(node).entries = entries;
        repeated
    }

    /// Decodes the escapes of a JSON string; other values are returned as they are.
    pub(crate) fn decode_string(&mut self, value: Value) -> Value {
        if value.kind != Kind::EscStr {
            return value;
        }
        let start = self.arena.len();
        match value.space {
            Space::Block => {
                let from = value.off as usize;
                if let Some(raw) = self.block.get(from..from + value.len as usize) {
                    super::text::unescape(raw, &mut self.arena);
                }
            }
            Space::Arena | Space::Plan => {
                let mut raw = std::mem::take(&mut self.scratch);
                raw.clear();
                raw.extend_from_slice(self.bytes(value));
                super::text::unescape(&raw, &mut self.arena);
                self.scratch = raw;
            }
        }
        let off = u32::try_from(start).unwrap_or(0);
        let len = u32::try_from(self.arena.len() - start).unwrap_or(0);
        Value::span(Kind::Str, value.flags & ORIG, Space::Arena, off, len)
    }
}
