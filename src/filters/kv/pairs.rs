//! The pairs found in one text, with several values of a key together.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::event::{Batch, Value};

/// Past so many pairs, keys are found by a table instead of a walk.
const WALK: usize = 24;

type Text = Box<[u8]>;

/// Keys in the order in which they were first seen, each with its value or an array of its values.
#[derive(Default)]
pub(super) struct Collected {
    pairs: Vec<Pair>,
    table: FxHashMap<Text, usize>,
    /// Pairs seen, where doubled ones do not count.
    seen: FxHashSet<(Text, Text)>,
}

struct Pair {
    key: Value,
    value: Value,
    /// `value` is an array made here.
    several: bool,
}

impl Collected {
    pub fn clear(&mut self) {
        self.pairs.clear();
        if !self.table.is_empty() {
            self.table.clear();
        }
        if !self.seen.is_empty() {
            self.seen.clear();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (Value, Value)> {
        self.pairs.iter().map(|pair| (pair.key, pair.value))
    }

    pub fn contains(&self, batch: &Batch, key: &[u8]) -> bool {
        self.find(batch, key).is_some()
    }

    fn find(&self, batch: &Batch, key: &[u8]) -> Option<usize> {
        if self.table.is_empty() {
            return self.pairs.iter().position(|pair| {
                pair.key.len as usize == key.len() && batch.bytes(pair.key) == key
            });
        }
        self.table.get(key).copied()
    }

    /// False when the same pair was seen before.
    pub fn is_new(&mut self, batch: &Batch, key: Value, value: Value) -> bool {
        self.seen
            .insert((batch.bytes(key).into(), batch.bytes(value).into()))
    }

    pub fn add(&mut self, batch: &mut Batch, key: Value, value: Value) {
        if let Some(at) = self.find(batch, batch.bytes(key)) {
            if let Some(pair) = self.pairs.get_mut(at) {
                if !pair.several {
                    let list = batch.new_list();
                    batch.list_push(list, pair.value);
                    (pair.value, pair.several) = (list, true);
                }
                batch.list_push(pair.value, value);
            }
            return;
        }
        if !self.table.is_empty() {
            self.table.insert(batch.bytes(key).into(), self.pairs.len());
        }
        self.pairs.push(Pair {
            key,
            value,
            several: false,
        });
        if self.pairs.len() == WALK {
            let keys = self.pairs.iter().enumerate();
            self.table
                .extend(keys.map(|(at, pair)| (batch.bytes(pair.key).into(), at)));
        }
    }
}
