//! Events whose text has a known shape: only the fields that the plan names are entered, the others on demand.

use super::batch::{Batch, EventId, HAS_SOURCE, Head, NONE, OVERFLOW, SHAPED, SourceField};
use super::decode::raw_value;
use super::keys::{Keys, Slot, slot};
use super::scan;
use super::scan::shape::{At, ShapeField, Spot};
use super::value::{Kind, ORIG, PLAIN, Space, Value};

/// What a shape means for a plan.
#[derive(Debug)]
pub(crate) struct ShapePlan {
    /// The fields that the plan names, and where they are.
    known: Vec<(Slot, At)>,
    /// Slot of each field in the shape's order; none where the plan does not name it.
    slots: Box<[Option<Slot>]>,
    /// `@timestamp`, `tags` or `@metadata` is among them.
    special: bool,
}

impl ShapePlan {
    fn new(fields: &[ShapeField], keys: &Keys) -> Self {
        let slots: Box<[Option<Slot>]> =
            fields.iter().map(|field| keys.find(&field.name)).collect();
        let known: Vec<(Slot, At)> = slots
            .iter()
            .zip(fields)
            .filter_map(|(slot, field)| Some(((*slot)?, field.value)))
            .collect();
        let special = known
            .iter()
            .any(|(slot, _)| matches!(*slot, slot::TIMESTAMP | slot::TAGS | slot::METADATA));
        ShapePlan {
            known,
            slots,
            special,
        }
    }
}

#[inline]
fn value_at(at: At, space: Space, start: u32, spots: &[Spot]) -> Value {
    let mut value = match at {
        At::Spot(number) => match spots.get(number as usize) {
            Some(spot) => raw_value(space, spot.kind(), spot.stretch()),
            None => Value::NULL,
        },
        At::Nested { kind, from, to } => {
            let bounds = (from.offset(start, spots), to.offset(start, spots));
            raw_value(space, kind, bounds)
        }
    };
    value.flags |= ORIG;
    value
}

impl Batch {
    /// Sets the fields of the first document of an event, if its text has a known shape.
    #[inline]
    pub(crate) fn take_shaped(&mut self, id: EventId, text: Value) -> bool {
        let first = self.spots.len();
        let (from, to) = (text.off, text.off + text.len);
        let found = match text.space {
            Space::Block => self.shapes.find(&self.block, from, to, &mut self.spots),
            Space::Arena => {
                // Text was built just before it is read: room for reading past its end is made.
                let len = self.arena.len();
                self.arena.extend_from_slice(&[0; scan::shape::MARGIN]);
                let found = self.shapes.find(&self.arena, from, to, &mut self.spots);
                self.arena.truncate(len);
                found
            }
            Space::Plan => None,
        };
        let Some(shape) = found else { return false };
        let Some(plan) = self.shape_plans.get(shape as usize) else {
            self.spots.truncate(first);
            return false;
        };
        let head = &mut self.heads[id as usize];
        head.flags |= HAS_SOURCE | SHAPED;
        head.source = Value {
            kind: Kind::RawObject,
            ..text
        };
        head.fields_start = u32::try_from(first).unwrap_or(NONE);
        head.fields_len = shape;
        let row = id as usize * self.width;
        let before = plan.special.then(|| {
            let slot = |slot: Slot| self.slots[row + usize::from(slot)];
            (
                slot(slot::TIMESTAMP),
                slot(slot::TAGS),
                slot(slot::METADATA),
            )
        });
        let spots = &self.spots[first..];
        for &(slot, at) in &plan.known {
            self.slots[row + usize::from(slot)] = value_at(at, text.space, text.off, spots);
            let word = id as usize * self.words + usize::from(slot) / 64;
            self.masks[word] &= !(1_u64 << (slot % 64));
        }
        if let Some(before) = before {
            self.settle_special(id, before);
        }
        true
    }

    /// Remembers the shape of a document that had none.
    pub(crate) fn learn_shape(&mut self, text: Value) {
        let buf: &[u8] = match text.space {
            Space::Block => &self.block,
            Space::Arena => &self.arena,
            Space::Plan => self.keys.text(),
        };
        self.shapes.learn(buf, text.off, text.off + text.len);
        while let Some(number) = u32::try_from(self.shape_plans.len())
            .ok()
            .filter(|number| (*number as usize) < self.shapes.len())
        {
            let plan = ShapePlan::new(self.shapes.fields(number), &self.keys);
            self.shape_plans.push(plan);
        }
    }

    /// The values of an event with a shape.
    fn spots_of(&self, head: &Head) -> &[Spot] {
        self.spots
            .get(head.fields_start as usize..)
            .unwrap_or_default()
    }

    /// Lists all fields of an event that so far has only its shape. Whatever looks for fields by name, or goes through
    /// them, needs them listed.
    pub(crate) fn list_fields(&mut self, id: EventId) {
        if self.heads[id as usize].flags & SHAPED != 0 {
            self.list_shaped(id);
        }
    }

    #[inline(never)]
    fn list_shaped(&mut self, id: EventId) {
        let head = self.head(id);
        let (start, space) = (head.source.off, head.source.space);
        let first = self.fields.len();
        let count = self.shapes.fields(head.fields_len).len();
        for number in 0..count {
            let field = &self.shapes.fields(head.fields_len)[number];
            let spots = self.spots_of(&head);
            let (from, to) = (
                field.from.offset(start, spots),
                field.to.offset(start, spots),
            );
            let known = self
                .shape_plans
                .get(head.fields_len as usize)
                .and_then(|plan| plan.slots[number]);
            let target = if let Some(slot) = known {
                u32::from(slot)
            } else {
                let len = u32::try_from(field.name.len()).unwrap_or(0);
                let key = Value::span(Kind::Str, PLAIN, space, from + 1, len);
                let hash = super::batch::hash(&field.name);
                let value = value_at(field.value, space, start, spots);
                OVERFLOW | self.append_overflow(id, key, hash, value)
            };
            self.fields.push(SourceField {
                start: from,
                end: to,
                target,
            });
        }
        let head = self.head_mut(id);
        head.flags &= !SHAPED;
        head.fields_start = u32::try_from(first).unwrap_or(NONE);
        head.fields_len = u32::try_from(count).unwrap_or(0);
    }

    /// Calls for each field of the source that still stands: from the quote before its name to the end of its value.
    pub(crate) fn standing_shaped(&self, id: EventId, mut call: impl FnMut(u32, u32, bool)) {
        let head = self.head(id);
        let (start, spots) = (head.source.off, self.spots_of(&head));
        let Some(plan) = self.shape_plans.get(head.fields_len as usize) else {
            return;
        };
        for (field, known) in self.shapes.fields(head.fields_len).iter().zip(&plan.slots) {
            let stands = known.is_none_or(|slot| self.slot(id, slot).is_orig());
            call(
                field.from.offset(start, spots),
                field.to.offset(start, spots),
                stands,
            );
        }
    }
}
