//! The names that a plan knows: each top-level field and each `[@metadata]` entry that a config
//! mentions has a slot, found once at load.

use rustc_hash::FxHashMap;

use crate::language::FieldPath;

/// Number of a slot in every event of a plan.
pub type Slot = u16;

/// Slots that every plan has.
pub mod slot {
    use super::Slot;
    /// `@timestamp`
    pub const TIMESTAMP: Slot = 0;
    /// `@version`
    pub const VERSION: Slot = 1;
    /// `tags`
    pub const TAGS: Slot = 2;
    /// `event`
    pub const EVENT: Slot = 3;
    /// `@metadata`: the entries that no config line names.
    pub const METADATA: Slot = 4;
    /// `message`
    pub const MESSAGE: Slot = 5;
    /// `host`
    pub const HOST: Slot = 6;
    /// `log`
    pub const LOG: Slot = 7;
    /// `_tags`, where an illegal `tags` goes.
    pub const BAD_TAGS: Slot = 8;
    /// `_@timestamp`, where an illegal `@timestamp` goes.
    pub const BAD_TIMESTAMP: Slot = 9;
}

const WELL_KNOWN: [&str; 10] = [
    "@timestamp",
    "@version",
    "tags",
    "event",
    "@metadata",
    "message",
    "host",
    "log",
    "_tags",
    "_@timestamp",
];

/// Interner of field names, and the text of every constant of a plan (the `Plan` space).
#[derive(Clone, Debug)]
pub struct Keys {
    /// Open addressing over the top-level names: hash and slot; a power of two, at most half full.
    top: Vec<Option<(u32, Slot)>>,
    meta: FxHashMap<Box<[u8]>, Slot>,
    names: Vec<KeyName>,
    text: Vec<u8>,
    /// Names below the top level, as constants.
    nested: FxHashMap<Box<[u8]>, super::Value>,
}

#[derive(Clone, Debug)]
struct KeyName {
    name: Box<[u8]>,
    /// `"name":`, escaped, ready to be written.
    json: Box<[u8]>,
    metadata: bool,
}

/// Where a field path begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Root {
    Slot(Slot),
    /// A top-level name that no config line mentions.
    Name(Box<[u8]>),
    /// A `[@metadata]` entry that no config line mentions.
    Meta(Box<[u8]>),
}

/// One step into an object or an array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seg {
    pub key: Box<[u8]>,
    /// The name as a constant of the plan; absent in a path that was compiled while events run.
    pub name: super::Value,
    pub index: Option<i64>,
}

/// A field reference compiled for one plan: a slot and the steps below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    pub(crate) root: Root,
    pub(crate) rest: Box<[Seg]>,
}

impl Path {
    /// The slot, when the path is one top-level (or `[@metadata]`) field that the plan knows.
    #[must_use]
    pub fn as_slot(&self) -> Option<Slot> {
        match self.root {
            Root::Slot(slot) if self.rest.is_empty() => Some(slot),
            _ => None,
        }
    }

    /// Number of steps below the top-level field.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.rest.len()
    }

    /// The slot of the top-level field, when the plan knows it.
    #[must_use]
    pub fn top_slot(&self) -> Option<Slot> {
        match self.root {
            Root::Slot(slot) => Some(slot),
            Root::Name(_) | Root::Meta(_) => None,
        }
    }

    /// What two paths below one top-level field have in common.
    #[must_use]
    pub(crate) fn top(&self) -> &Root {
        &self.root
    }

    /// The names below the top-level field, outermost first.
    pub fn keys_below(&self) -> impl Iterator<Item = &[u8]> {
        self.rest.iter().map(|seg| &*seg.key)
    }

    /// The innermost name below the top-level field; empty when there is none.
    #[must_use]
    pub fn last_key(&self) -> &[u8] {
        self.rest.last().map_or(&[], |seg| &*seg.key)
    }

    /// True when the path is `[@metadata]` or lies below it.
    #[must_use]
    pub fn is_metadata(&self, keys: &Keys) -> bool {
        match &self.root {
            Root::Slot(slot) => keys.is_metadata(*slot),
            Root::Meta(_) => true,
            Root::Name(_) => false,
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// The names that every plan has.
    #[must_use]
    pub fn new() -> Self {
        let mut keys = Keys {
            top: vec![None; 64],
            meta: FxHashMap::default(),
            names: Vec::new(),
            text: Vec::new(),
            nested: FxHashMap::default(),
        };
        for name in WELL_KNOWN {
            keys.intern(name.as_bytes());
        }
        keys.names[usize::from(slot::METADATA)].metadata = true;
        keys.text.push(b'1');
        keys
    }

    /// How many slots an event has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never true: every plan has the well-known names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The slot of a top-level name; makes one. Past 60,000 names (no config has them) the last slot is
    /// not shared: the name stays dynamic through [`Keys::path`].
    pub fn intern(&mut self, name: &[u8]) -> Slot {
        if let Some(slot) = self.find(name) {
            return slot;
        }
        let slot = self.add(name, false);
        self.place(super::batch::hash(name), slot);
        slot
    }

    fn intern_meta(&mut self, name: &[u8]) -> Slot {
        if let Some(slot) = self.meta.get(name) {
            return *slot;
        }
        let slot = self.add(name, true);
        self.meta.insert(name.into(), slot);
        slot
    }

    fn add(&mut self, name: &[u8], metadata: bool) -> Slot {
        let slot = Slot::try_from(self.names.len()).unwrap_or(Slot::MAX);
        let mut json = vec![b'"'];
        super::text::escape_into(name, &mut json);
        json.extend_from_slice(b"\":");
        self.names.push(KeyName {
            name: name.into(),
            json: json.into(),
            metadata,
        });
        slot
    }

    /// The slot of a known top-level name.
    #[inline]
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<Slot> {
        self.find_hashed(name, super::batch::hash(name))
    }

    /// The slot of a known top-level name whose hash is known.
    #[inline]
    pub(crate) fn find_hashed(&self, name: &[u8], hash: u32) -> Option<Slot> {
        let mask = self.top.len() - 1;
        let mut at = hash as usize & mask;
        while let Some((found, slot)) = self.top[at] {
            if found == hash && *self.names[usize::from(slot)].name == *name {
                return Some(slot);
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn place(&mut self, hash: u32, slot: Slot) {
        if self.names.len() * 2 > self.top.len() {
            let entries: Vec<_> = self.top.iter().flatten().copied().collect();
            self.top = vec![None; self.top.len() * 2];
            for (hash, slot) in entries {
                self.place(hash, slot);
            }
        }
        let mask = self.top.len() - 1;
        let mut at = hash as usize & mask;
        while self.top[at].is_some() {
            at = (at + 1) & mask;
        }
        self.top[at] = Some((hash, slot));
    }

    /// The slot of a known `[@metadata]` entry.
    #[must_use]
    pub fn find_meta(&self, name: &[u8]) -> Option<Slot> {
        self.meta.get(name).copied()
    }

    /// The name of a slot (for a `[@metadata]` entry: the name below it).
    #[must_use]
    pub fn name(&self, slot: Slot) -> &[u8] {
        &self.names[usize::from(slot)].name
    }

    pub(crate) fn json_key(&self, slot: Slot) -> &[u8] {
        &self.names[usize::from(slot)].json
    }

    pub(crate) fn is_metadata(&self, slot: Slot) -> bool {
        self.names[usize::from(slot)].metadata
    }

    pub(crate) fn meta_slots(&self) -> impl Iterator<Item = (&[u8], Slot)> {
        self.meta.iter().map(|(name, slot)| (&**name, *slot))
    }

    /// Compiles a field reference and gives its root a slot (at load).
    pub fn path(&mut self, reference: &FieldPath) -> Path {
        let segments = &reference.segments;
        let Some((first, below)) = segments.split_first() else {
            return Path {
                root: Root::Name(Box::default()),
                rest: Box::default(),
            };
        };
        if self.names.len() >= 60_000 {
            return self.resolve(reference);
        }
        if first == "@metadata" {
            if let Some((second, rest)) = below.split_first() {
                return Path {
                    root: Root::Slot(self.intern_meta(second.as_bytes())),
                    rest: self.constant_segs(rest),
                };
            }
            return Path {
                root: Root::Slot(slot::METADATA),
                rest: Box::default(),
            };
        }
        Path {
            root: Root::Slot(self.intern(first.as_bytes())),
            rest: self.constant_segs(below),
        }
    }

    /// Compiles a field reference against the names known already (while events run).
    #[must_use]
    pub fn resolve(&self, reference: &FieldPath) -> Path {
        let segments = &reference.segments;
        let Some((first, below)) = segments.split_first() else {
            return Path {
                root: Root::Name(Box::default()),
                rest: Box::default(),
            };
        };
        if first == "@metadata" {
            let Some((second, rest)) = below.split_first() else {
                return Path {
                    root: Root::Slot(slot::METADATA),
                    rest: Box::default(),
                };
            };
            let root = self
                .find_meta(second.as_bytes())
                .map_or_else(|| Root::Meta(second.as_bytes().into()), Root::Slot);
            return Path {
                root,
                rest: segs(rest),
            };
        }
        let root = self
            .find(first.as_bytes())
            .map_or_else(|| Root::Name(first.as_bytes().into()), Root::Slot);
        Path {
            root,
            rest: segs(below),
        }
    }

    fn constant_segs(&mut self, names: &[String]) -> Box<[Seg]> {
        let mut segs = segs(names);
        for seg in &mut segs {
            seg.name = match self.nested.get(&seg.key) {
                Some(name) => *name,
                None => {
                    let name = self.constant(&seg.key);
                    self.nested.insert(seg.key.clone(), name);
                    name
                }
            };
        }
        segs
    }

    /// Puts a constant text into the plan's space.
    pub fn constant(&mut self, text: &[u8]) -> super::Value {
        let off = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(text);
        let plain = if super::text::needs_escape(text) {
            0
        } else {
            super::value::PLAIN
        };
        let len = u32::try_from(text.len()).unwrap_or(0);
        super::Value::span(super::Kind::Str, plain, super::Space::Plan, off, len)
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }
}

fn segs(names: &[String]) -> Box<[Seg]> {
    names
        .iter()
        .map(|name| Seg {
            key: name.as_bytes().into(),
            name: super::Value::ABSENT,
            index: name.parse().ok(),
        })
        .collect()
}
