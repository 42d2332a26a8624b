//! From an event to JSON text: untouched fields are copied as they came in.

use super::batch::{
    Batch, DIRTY, EventId, HAS_SOURCE, NONE, OVERFLOW, SHAPED, SUPERSEDED, VIRTUAL_ORIGINAL,
};
use super::keys::{Slot, slot};
use super::nodes::CLEAN;
use super::text::escape_into;
use super::value::{Kind, PLAIN, Value};

impl Batch {
    /// Appends the event as one JSON object, `@metadata` left out.
    pub fn write_event(&mut self, id: EventId, out: &mut Vec<u8>) {
        self.write_original_for_encoding(id);
        self.write_fields(id, out);
    }

    fn write_fields(&self, id: EventId, out: &mut Vec<u8>) {
        let head = self.head(id);
        out.push(b'{');
        let open = out.len();
        if head.flags & HAS_SOURCE != 0 {
            if head.flags & DIRTY == 0 {
                let source = self.bytes(head.source);
                out.extend_from_slice(inner(source));
            } else {
                self.write_untouched(id, out);
            }
        }
        let mut first = out.len() == open;
        let keys = &*self.keys;
        for word in 0..self.words {
            let mut bits = self.masks[id as usize * self.words + word];
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                let slot =
                    Slot::try_from(word * 64).unwrap_or(0) + Slot::try_from(bit).unwrap_or(0);
                if keys.is_metadata(slot) {
                    continue;
                }
                if !first {
                    out.push(b',');
                }
                first = false;
                out.extend_from_slice(keys.json_key(slot));
                let value = self.slot(id, slot);
                self.write_json(value, out);
            }
        }
        if head.flags & VIRTUAL_ORIGINAL != 0 && self.slot(id, slot::EVENT).is_absent() {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(b"\"event\":{\"original\":");
            self.write_json(head.original, out);
            out.push(b'}');
        }
        let mut next = head.over_first;
        while next != NONE {
            let over = self.overflow[next as usize];
            next = over.next;
            if over.value.is_absent() || over.value.is_orig() {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            out.push(b'"');
            escape_into(self.bytes(over.key), out);
            out.extend_from_slice(b"\":");
            self.write_json(over.value, out);
        }
        out.push(b'}');
    }

    /// A promised original beside an `event` that exists has to be written into it.
    fn write_original_for_encoding(&mut self, id: EventId) {
        if self.head(id).flags & VIRTUAL_ORIGINAL != 0 && !self.slot(id, slot::EVENT).is_absent() {
            self.write_original(id);
        }
    }

    /// The fields of the source that still stand, neighbours in one copy.
    fn write_untouched(&self, id: EventId, out: &mut Vec<u8>) {
        let head = self.head(id);
        let space = self.space(head.source.space);
        let mut pending: Option<(u32, u32)> = None;
        let mut first = true;
        let mut flush = |range: Option<(u32, u32)>, out: &mut Vec<u8>| {
            if let Some((from, to)) = range {
                if !first {
                    out.push(b',');
                }
                first = false;
                out.extend_from_slice(space.get(from as usize..to as usize).unwrap_or_default());
            }
        };
        let mut field = |from: u32, to: u32, stands: bool| {
            if stands {
                pending = Some((pending.map_or(from, |(from, _)| from), to));
            } else {
                flush(pending.take(), out);
            }
        };
        if head.flags & SHAPED != 0 {
            self.standing_shaped(id, &mut field);
        } else {
            let start = head.fields_start as usize;
            let fields = self
                .fields
                .get(start..start + head.fields_len as usize)
                .unwrap_or_default();
            for listed in fields {
                let stands = listed.target != SUPERSEDED
                    && if listed.target & OVERFLOW == 0 {
                        self.slot(id, Slot::try_from(listed.target).unwrap_or(Slot::MAX))
                            .is_orig()
                    } else {
                        self.overflow[(listed.target & !OVERFLOW) as usize]
                            .value
                            .is_orig()
                    };
                field(listed.start, listed.end, stands);
            }
        }
        flush(pending, out);
    }

    /// Appends one value as JSON text. An absent value is written as null.
    pub fn write_json(&self, value: Value, out: &mut Vec<u8>) {
        match value.kind {
            Kind::Absent | Kind::Null => out.extend_from_slice(b"null"),
            Kind::True => out.extend_from_slice(b"true"),
            Kind::False => out.extend_from_slice(b"false"),
            Kind::Int | Kind::Float | Kind::RawObject | Kind::RawArray => {
                out.extend_from_slice(self.bytes(value));
            }
            Kind::Str if value.flags & PLAIN == 0 => {
                out.push(b'"');
                escape_into(self.bytes(value), out);
                out.push(b'"');
            }
            Kind::Str | Kind::EscStr => {
                out.push(b'"');
                out.extend_from_slice(self.bytes(value));
                out.push(b'"');
            }
            Kind::Time => {
                out.push(b'"');
                if let Some(at) = self.time(value) {
                    self.write_time(at, out);
                }
                out.push(b'"');
            }
            Kind::Map | Kind::List => self.write_node(value, out),
        }
    }

    fn write_node(&self, value: Value, out: &mut Vec<u8>) {
        let node = self.nodes.get(value.off);
        if value.flags & CLEAN != 0 && !node.raw.is_absent() {
            out.extend_from_slice(self.bytes(node.raw));
            return;
        }
        let map = value.kind == Kind::Map;
        out.push(if map { b'{' } else { b'[' });
        for (at, entry) in node.entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if map {
                out.push(b'"');
                if entry.key.flags & PLAIN == 0 {
                    escape_into(self.bytes(entry.key), out);
                } else {
                    out.extend_from_slice(self.bytes(entry.key));
                }
                out.extend_from_slice(b"\":");
            }
            self.write_json(entry.value, out);
        }
        out.push(if map { b'}' } else { b']' });
    }
}

/// What stands between the braces of an object's text, blanks at the ends left out.
fn inner(object: &[u8]) -> &[u8] {
    let trimmed = object.trim_ascii();
    trimmed
        .get(1..trimmed.len().saturating_sub(1))
        .unwrap_or_default()
        .trim_ascii()
}
