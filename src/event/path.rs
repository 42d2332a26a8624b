//! Reading and changing fields by path, with the original's rules for missing and odd containers.

use super::batch::{Batch, EventId};
use super::keys::{Path, Root, Seg, Slot, slot};
use super::nodes::{CLEAN, Entry};
use super::value::{Kind, Value};

/// Why a field could not be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetError {
    /// A scalar stands where the path needs an object.
    #[error("a part of the path holds a single value, not an object")]
    NotAContainer,
    /// `@timestamp` takes a time only.
    #[error("@timestamp can only hold a time: use the date filter")]
    Timestamp,
    /// `tags` takes text or a list of texts only.
    #[error("tags can only hold text or a list of texts")]
    Tags,
}

/// Where a value is kept.
#[derive(Clone, Copy)]
enum Place {
    Slot(EventId, Slot),
    Overflow(EventId, u32),
    Entry(u32, usize),
}

impl Batch {
    fn load(&self, place: Place) -> Value {
        match place {
            Place::Slot(id, slot) => self.slot(id, slot),
            Place::Overflow(_, at) => self.overflow[at as usize].value,
            Place::Entry(node, at) => self
                .nodes
                .get(node)
                .entries
                .get(at)
                .map_or(Value::ABSENT, |entry| entry.value),
        }
    }

    fn store(&mut self, place: Place, value: Value) {
        match place {
            Place::Slot(id, slot) => self.put_slot(id, slot, value),
            Place::Overflow(id, at) => self.put_overflow(id, at, value),
            Place::Entry(node, at) => {
                if let Some(entry) = self.nodes.get_mut(node).entries.get_mut(at) {
                    entry.value = value;
                }
            }
        }
    }

    fn root_place(&mut self, id: EventId, root: &Root) -> Option<Place> {
        match root {
            Root::Slot(slot) => {
                if *slot == slot::EVENT {
                    self.write_original(id);
                }
                Some(Place::Slot(id, *slot))
            }
            Root::Name(name) => {
                self.list_fields(id);
                self.find_overflow(id, name)
                    .map(|at| Place::Overflow(id, at))
            }
            Root::Meta(name) => {
                let map = self.slot(id, slot::METADATA);
                let at = (map.kind == Kind::Map)
                    .then(|| self.map_position(map, name))
                    .flatten()?;
                Some(Place::Entry(map.off, at))
            }
        }
    }

    /// Writes `[event][original]` where it is only promised so far, unless the event has one.
    pub(crate) fn write_original(&mut self, id: EventId) {
        let head = self.head(id);
        if head.flags & super::batch::VIRTUAL_ORIGINAL == 0 {
            return;
        }
        self.head_mut(id).flags &= !super::batch::VIRTUAL_ORIGINAL;
        let event = self.slot(id, slot::EVENT);
        let expanded = self.expand(event);
        match expanded.kind {
            Kind::Absent | Kind::Null => {
                let map = self.new_map();
                self.map_put(map, b"original", head.original);
                self.put_slot(id, slot::EVENT, map);
            }
            Kind::Map => {
                if self.map_position(expanded, b"original").is_none() {
                    self.map_put(expanded, b"original", head.original);
                    let changed = Value {
                        flags: 0,
                        ..expanded
                    };
                    self.put_slot(id, slot::EVENT, changed);
                } else {
                    self.put_slot(id, slot::EVENT, expanded);
                }
            }
            // A scalar `event` of the document stands: there is no place for the original below it.
            _ => {}
        }
    }

    /// Steps into a container, taking it apart where needed.
    fn child(&mut self, place: Place, seg: &Seg) -> Option<Place> {
        let value = self.load(place);
        let expanded = self.expand(value);
        if expanded != value {
            self.store(place, expanded);
        }
        match expanded.kind {
            Kind::Map => self
                .seg_position(expanded, seg)
                .map(|at| Place::Entry(expanded.off, at)),
            Kind::List => {
                let at = list_index(seg.index?, self.node_len(expanded))?;
                (at < self.node_len(expanded)).then_some(Place::Entry(expanded.off, at))
            }
            _ => None,
        }
    }

    fn place(&mut self, id: EventId, path: &Path) -> Option<Place> {
        let mut place = self.root_place(id, &path.root)?;
        for seg in &path.rest {
            place = self.child(place, seg)?;
        }
        Some(place)
    }

    /// The value of a field; strings come decoded. [`Value::ABSENT`] when it does not exist.
    #[inline]
    pub fn get(&mut self, id: EventId, path: &Path) -> Value {
        if let (Root::Slot(slot), []) = (&path.root, &*path.rest)
            && *slot != slot::METADATA
        {
            return self.get_slot(id, *slot);
        }
        self.get_below(id, path)
    }

    #[inline(never)]
    fn get_below(&mut self, id: EventId, path: &Path) -> Value {
        if path.rest.is_empty() && matches!(path.root, Root::Slot(slot::METADATA)) {
            return self.whole_metadata(id);
        }
        let Some(place) = self.place(id, path) else {
            return Value::ABSENT;
        };
        let value = self.load(place);
        if value.kind != Kind::EscStr {
            return value;
        }
        let decoded = self.decode_string(value);
        self.store(place, decoded);
        decoded
    }

    /// The value of a slot; strings come decoded.
    #[inline]
    pub fn get_slot(&mut self, id: EventId, slot: Slot) -> Value {
        if slot == slot::EVENT {
            self.write_original(id);
        }
        let value = self.slot(id, slot);
        if value.kind != Kind::EscStr {
            return value;
        }
        self.decode_slot(id, slot, value)
    }

    #[inline(never)]
    fn decode_slot(&mut self, id: EventId, slot: Slot, value: Value) -> Value {
        let decoded = self.decode_string(value);
        self.put_slot(id, slot, decoded);
        decoded
    }

    /// Like [`Batch::get`], with an object or array taken apart (and kept so).
    pub fn get_expanded(&mut self, id: EventId, path: &Path) -> Value {
        if path.rest.is_empty() && matches!(path.root, Root::Slot(slot::METADATA)) {
            return self.whole_metadata(id);
        }
        let Some(place) = self.place(id, path) else {
            return Value::ABSENT;
        };
        let value = self.load(place);
        let expanded = if value.kind == Kind::EscStr {
            self.decode_string(value)
        } else {
            self.expand(value)
        };
        if expanded != value {
            self.store(place, expanded);
        }
        expanded
    }

    /// The value of an entry with an object or array taken apart (and kept so).
    pub fn node_value_expanded(&mut self, node: Value, at: usize) -> Value {
        let value = self.node_value(node, at);
        let expanded = self.expand(value);
        if expanded != value {
            self.store(Place::Entry(node.off, at), expanded);
        }
        expanded
    }

    /// True when the field exists; a null counts, but not inside a list.
    pub fn contains(&mut self, id: EventId, path: &Path) -> bool {
        match self.place(id, path) {
            Some(Place::Entry(node, at)) => {
                let entries = &self.nodes.get(node).entries;
                entries
                    .get(at)
                    .is_some_and(|entry| !entry.key.is_absent() || entry.value.kind != Kind::Null)
            }
            Some(place) => !self.load(place).is_absent(),
            None => false,
        }
    }

    /// Sets a field; missing objects on the way are made.
    ///
    /// # Errors
    /// When a scalar stands in the way, or the value is not one that `@timestamp` or `tags` may hold.
    /// The event is unchanged then.
    pub fn set(&mut self, id: EventId, path: &Path, value: Value) -> Result<(), SetError> {
        let value = value.without_orig();
        if let Root::Slot(root) = path.root {
            match root {
                slot::TIMESTAMP if value.kind != Kind::Time || !path.rest.is_empty() => {
                    return Err(SetError::Timestamp);
                }
                slot::TAGS if !path.rest.is_empty() || !self.is_tags(value) => {
                    return Err(SetError::Tags);
                }
                slot::METADATA if path.rest.is_empty() => {
                    return self.set_whole_metadata(id, value);
                }
                _ => {}
            }
            if path.rest.is_empty() {
                if root == slot::EVENT {
                    self.head_mut(id).flags &= !super::batch::VIRTUAL_ORIGINAL;
                }
                self.put_slot(id, root, value);
                return Ok(());
            }
        }
        if path.rest.len() > 1 {
            self.check_containers(id, path)?;
        }
        let mut place = self.make_root(id, &path.root);
        for seg in &path.rest {
            let before = self.load(place);
            let container = if before.is_nil() {
                self.new_map()
            } else {
                self.expand(before)
            };
            // Of longer paths nothing may be changed before all is known to be well.
            if !matches!(container.kind, Kind::Map | Kind::List) {
                return Err(SetError::NotAContainer);
            }
            let container = Value {
                flags: container.flags & !CLEAN,
                ..container
            }
            .without_orig();
            if container != before {
                self.store(place, container);
            }
            place = match self.make_child(container, seg) {
                Some(child) => child,
                // A name that is no number has no place in a list: ignored, as in the original.
                None => return Ok(()),
            };
        }
        self.store(place, value);
        Ok(())
    }

    /// Sets a top-level field by its slot, without the checks for `@timestamp` and `tags`.
    #[inline]
    pub fn set_slot(&mut self, id: EventId, slot: Slot, value: Value) {
        self.put_slot(id, slot, value.without_orig());
    }

    /// Sets a top-level field by a name (text of this batch) that was found while events run. The name must not be one
    /// of those with rules of their own: `@timestamp`, `@metadata`, `tags`, `event`.
    pub fn set_top(&mut self, id: EventId, name: Value, value: Value) {
        let value = value.without_orig();
        let text = self.bytes(name);
        if let Some(slot) = self.keys.find(text) {
            self.put_slot(id, slot, value);
            return;
        }
        let hash = super::batch::hash(text);
        self.list_fields(id);
        match self.find_overflow(id, self.bytes(name)) {
            Some(at) => self.put_overflow(id, at, value),
            None => {
                self.append_overflow(id, name, hash, value);
            }
        }
    }

    fn check_containers(&mut self, id: EventId, path: &Path) -> Result<(), SetError> {
        let Some(mut place) = self.root_place(id, &path.root) else {
            return Ok(());
        };
        for seg in &path.rest {
            let value = self.load(place);
            if value.is_nil() {
                return Ok(());
            }
            if !value.is_object() && !value.is_array() {
                return Err(SetError::NotAContainer);
            }
            match self.child(place, seg) {
                Some(child) => place = child,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn make_root(&mut self, id: EventId, root: &Root) -> Place {
        if let Some(place) = self.root_place(id, root) {
            return place;
        }
        match root {
            Root::Slot(slot) => Place::Slot(id, *slot),
            Root::Name(name) => {
                let key = self.push(name);
                let at = self.append_overflow(id, key, super::batch::hash(name), Value::NULL);
                Place::Overflow(id, at)
            }
            Root::Meta(name) => {
                let mut map = self.slot(id, slot::METADATA);
                if map.kind != Kind::Map {
                    map = self.new_map();
                    self.put_slot(id, slot::METADATA, map);
                }
                self.map_put(map, name, Value::NULL);
                Place::Entry(map.off, self.node_len(map) - 1)
            }
        }
    }

    fn make_child(&mut self, container: Value, seg: &Seg) -> Option<Place> {
        if container.kind == Kind::Map {
            let at = match self.seg_position(container, seg) {
                Some(at) => at,
                None => self.append_seg(container, seg),
            };
            return Some(Place::Entry(container.off, at));
        }
        let len = self.node_len(container);
        let at = list_index(seg.index?, len)?;
        // A config cannot ask for an unbounded list of nulls.
        if at > len + 100_000 {
            return None;
        }
        let entries = &mut self.nodes.get_mut(container.off).entries;
        while entries.len() <= at {
            entries.push(Entry {
                key: Value::ABSENT,
                value: Value::NULL,
            });
        }
        Some(Place::Entry(container.off, at))
    }

    /// Removes a field and returns what it held.
    pub fn remove(&mut self, id: EventId, path: &Path) -> Value {
        if let (Root::Slot(slot), []) = (&path.root, &*path.rest)
            && !matches!(*slot, slot::EVENT | slot::METADATA)
        {
            let value = self.slot(id, *slot);
            if !value.is_absent() {
                self.put_slot(id, *slot, Value::ABSENT);
            }
            return self.decode_string(value).without_orig();
        }
        let Some((last, parents)) = path.rest.split_last() else {
            return self.remove_root(id, &path.root);
        };
        let Some(root) = self.root_place(id, &path.root) else {
            return Value::ABSENT;
        };
        let mut place = root;
        for seg in parents {
            match self.child(place, seg) {
                Some(child) => place = child,
                None => return Value::ABSENT,
            }
        }
        let Some(Place::Entry(node, at)) = self.child(place, last) else {
            return Value::ABSENT;
        };
        // Walked a second time: no container on the way is what its text says any longer.
        self.mark_changed(root);
        let mut place = root;
        for seg in parents {
            if let Some(child) = self.child(place, seg) {
                self.mark_changed(child);
                place = child;
            }
        }
        let removed = self.nodes.get_mut(node).entries.remove(at).value;
        self.decode_string(removed).without_orig()
    }

    fn mark_changed(&mut self, place: Place) {
        let container = self.load(place);
        let changed = Value {
            flags: container.flags & !CLEAN,
            ..container
        };
        self.store(place, changed.without_orig());
    }

    fn remove_root(&mut self, id: EventId, root: &Root) -> Value {
        if matches!(root, Root::Slot(slot::METADATA)) {
            let whole = self.whole_metadata(id);
            self.clear_metadata(id);
            return whole;
        }
        if let Root::Meta(name) = root {
            let map = self.slot(id, slot::METADATA);
            let Some(at) = (map.kind == Kind::Map)
                .then(|| self.map_position(map, name))
                .flatten()
            else {
                return Value::ABSENT;
            };
            return self.nodes.get_mut(map.off).entries.remove(at).value;
        }
        if matches!(root, Root::Slot(slot::EVENT)) && self.slot(id, slot::EVENT).is_absent() {
            // Nobody has read the original, so it need not be written to be removed.
            let head = self.head(id);
            if head.flags & super::batch::VIRTUAL_ORIGINAL != 0 {
                self.head_mut(id).flags &= !super::batch::VIRTUAL_ORIGINAL;
                return head.original;
            }
        }
        let Some(place) = self.root_place(id, root) else {
            return Value::ABSENT;
        };
        let value = self.load(place);
        if !value.is_absent() {
            self.store(place, Value::ABSENT);
        }
        self.decode_string(value).without_orig()
    }

    fn clear_metadata(&mut self, id: EventId) {
        self.put_slot(id, slot::METADATA, Value::ABSENT);
        let keys = std::sync::Arc::clone(&self.keys);
        for (_, slot) in keys.meta_slots() {
            self.put_slot(id, slot, Value::ABSENT);
        }
    }

    fn set_whole_metadata(&mut self, id: EventId, value: Value) -> Result<(), SetError> {
        let value = self.deep_copy(value);
        let value = self.expand(value);
        if value.kind != Kind::Map {
            return Err(SetError::NotAContainer);
        }
        self.clear_metadata(id);
        for at in 0..self.node_len(value) {
            let (key, inner) = (self.map_key(value, at), self.node_value(value, at));
            let name: Box<[u8]> = self.bytes(key).into();
            let root = self
                .keys
                .find_meta(&name)
                .map_or(Root::Meta(name), Root::Slot);
            let place = self.make_root(id, &root);
            self.store(place, inner.without_orig());
        }
        Ok(())
    }

    /// `[@metadata]` as one object: what the plan keeps in slots, and the rest. Absent when there is none.
    fn whole_metadata(&mut self, id: EventId) -> Value {
        let map = self.new_map();
        let rest = self.slot(id, slot::METADATA);
        for at in 0..self.node_len(rest) {
            let (key, value) = (self.map_key(rest, at), self.node_value(rest, at));
            let copy = self.deep_copy(value);
            self.nodes
                .get_mut(map.off)
                .entries
                .push(Entry { key, value: copy });
        }
        let keys = std::sync::Arc::clone(&self.keys);
        let mut named: Vec<_> = keys.meta_slots().collect();
        named.sort_unstable();
        for (name, slot) in named {
            let value = self.get_slot(id, slot);
            if !value.is_absent() {
                let copy = self.deep_copy(value);
                self.map_put(map, name, copy);
            }
        }
        map
    }

    /// True for what `tags` may hold: text, or a list of texts.
    pub(crate) fn is_tags(&mut self, value: Value) -> bool {
        match value.kind {
            Kind::Str | Kind::EscStr | Kind::Absent => true,
            Kind::RawArray | Kind::List => {
                let list = self.expand(value);
                (0..self.node_len(list)).all(|at| self.node_value(list, at).is_str())
            }
            _ => false,
        }
    }

    fn tag_list(&mut self, id: EventId) -> Value {
        let tags = self.get_slot(id, slot::TAGS);
        let list = match tags.kind {
            Kind::RawArray | Kind::List => Value {
                flags: 0,
                ..self.expand(tags)
            },
            Kind::Str => {
                let list = self.new_list();
                self.list_push(list, tags);
                list
            }
            _ => self.new_list(),
        };
        self.put_slot(id, slot::TAGS, list);
        list
    }

    /// True when the event carries the tag.
    pub fn has_tag(&mut self, id: EventId, tag: &[u8]) -> bool {
        let tags = self.get_slot(id, slot::TAGS);
        match tags.kind {
            Kind::Str => self.bytes(tags) == tag,
            Kind::RawArray | Kind::List => {
                let list = self.expand(tags);
                if list != tags {
                    self.put_slot(id, slot::TAGS, list);
                }
                (0..self.node_len(list)).any(|at| {
                    let value = self.node_value(list, at);
                    self.bytes(value) == tag
                })
            }
            _ => false,
        }
    }

    /// Adds a tag unless the event has it: how plugins report failures.
    pub fn tag(&mut self, id: EventId, tag: &[u8]) {
        if self.slot(id, slot::TAGS).is_absent() {
            self.first_tag(id, tag);
        } else if !self.has_tag(id, tag) {
            self.append_tag(id, tag);
        }
    }

    /// Many events get one tag and the same one: they share its text.
    fn first_tag(&mut self, id: EventId, tag: &[u8]) {
        if self.shared_tag.0 != self.serial() || *self.shared_tag.1 != *tag {
            let mut text = std::mem::take(&mut self.scratch);
            text.clear();
            text.extend_from_slice(b"[\"");
            super::text::escape_into(tag, &mut text);
            text.extend_from_slice(b"\"]");
            let list = self.push_json(Kind::RawArray, &text);
            self.scratch = text;
            self.shared_tag.0 = self.serial();
            self.shared_tag.1.clear();
            self.shared_tag.1.extend_from_slice(tag);
            self.shared_tag.2 = list;
        }
        self.put_slot(id, slot::TAGS, self.shared_tag.2);
    }

    /// Appends a tag even when the event has it: how `add_tag` does it.
    pub fn append_tag(&mut self, id: EventId, tag: &[u8]) {
        if self.slot(id, slot::TAGS).is_absent() {
            return self.first_tag(id, tag);
        }
        let list = self.tag_list(id);
        let value = self.push(tag);
        self.list_push(list, value);
    }

    /// Removes all equal tags; `tags` stays a list when there is one.
    pub fn remove_tag(&mut self, id: EventId, tag: &[u8]) {
        if self.slot(id, slot::TAGS).is_absent() {
            return;
        }
        let list = self.tag_list(id);
        for at in (0..self.node_len(list)).rev() {
            let value = self.node_value(list, at);
            if self.bytes(value) == tag {
                self.nodes.get_mut(list.off).entries.remove(at);
            }
        }
    }

    /// Calls for each field of the event but `@metadata`, with the name and the (decoded) value.
    pub fn for_each_field(&mut self, id: EventId, mut call: impl FnMut(&mut Batch, Value, Value)) {
        self.write_original(id);
        self.list_fields(id);
        let keys = std::sync::Arc::clone(&self.keys);
        for index in 0..keys.len() {
            let slot = Slot::try_from(index).unwrap_or(Slot::MAX);
            if keys.is_metadata(slot) || self.slot(id, slot).is_absent() {
                continue;
            }
            let value = self.get_slot(id, slot);
            let name = self.push(keys.name(slot));
            call(self, name, value);
        }
        let mut next = self.head(id).over_first;
        while next != super::batch::NONE {
            let over = self.overflow[next as usize];
            if !over.value.is_absent() {
                let value = self.decode_string(over.value);
                if value != over.value {
                    self.put_overflow(id, next, value);
                }
                call(self, over.key, value);
            }
            next = over.next;
        }
    }
}

/// Index into a list the way Ruby counts: negative from the end.
fn list_index(index: i64, len: usize) -> Option<usize> {
    if index >= 0 {
        return usize::try_from(index).ok();
    }
    let back = usize::try_from(index.unsigned_abs()).ok()?;
    len.checked_sub(back)
}
