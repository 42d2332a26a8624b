//! From a database's record to the JSON that goes into events.

use super::cache::{Fragment, Group, Part, PartKind};
use super::fields::{DatabaseKind, Field, has_coordinates};
use super::record::{Data, Record};
use crate::event::Path;
use crate::language::FieldPath;
use crate::plugin::Build;

/// The places below a target at which something can be set, compiled.
#[derive(Debug)]
pub(super) struct Places {
    ecs: bool,
    places: Vec<(Vec<&'static str>, Path)>,
}

impl Places {
    /// All places below `target` that a mode has.
    pub(super) fn compile(target: &FieldPath, ecs: bool, build: &mut Build<'_>) -> Places {
        let mut places: Vec<(Vec<&'static str>, Path)> = Vec::new();
        let mut add = |keys: &[&'static str]| {
            if keys.is_empty() || places.iter().any(|(known, _)| known == keys) {
                return;
            }
            let mut reference = target.clone();
            reference
                .segments
                .extend(keys.iter().map(|key| (*key).to_owned()));
            places.push((keys.to_vec(), build.keys.path(&reference)));
        };
        for field in Field::option_names().filter_map(Field::parse) {
            let path = field.path(ecs);
            (1..=path.len()).for_each(|depth| add(&path[..depth]));
            if field == Field::Location {
                for part in ["lat", "lon"] {
                    add(&[path.as_slice(), &[part]].concat());
                }
            }
        }
        Places { ecs, places }
    }

    /// The path of a place.
    pub(super) fn path(&self, at: u16) -> Option<&Path> {
        self.places.get(usize::from(at)).map(|(_, path)| path)
    }

    /// The path of a field; none where the mode does not have it.
    pub(super) fn of_field(&self, field: Field) -> Option<&Path> {
        let keys = field.path(self.ecs);
        self.places
            .iter()
            .find(|(known, _)| *known == keys)
            .map(|(_, path)| path)
    }

    fn number(&self, keys: &[&str]) -> u16 {
        let at = self.places.iter().position(|(known, _)| known == keys);
        at.and_then(|at| u16::try_from(at).ok()).unwrap_or(u16::MAX)
    }

    /// Renders what a record says of the fields; `None` when that is nothing, or when it counts as not found.
    pub(super) fn render(
        &self,
        record: &Record<'_>,
        fields: &[Field],
        kind: DatabaseKind,
    ) -> Option<Fragment> {
        if kind == DatabaseKind::City && !has_coordinates(record) {
            return None;
        }
        let mut top: Vec<(&'static str, Tree)> = Vec::new();
        for field in fields.iter().filter(|field| **field != Field::Ip) {
            let path = field.path(self.ecs);
            if let Some(value) = field.value(record, kind) {
                insert(&mut top, &path, value);
            }
        }
        if top.is_empty() && !fields.contains(&Field::Ip) {
            return None;
        }
        let mut fragment = Fragment::default();
        let mut keys = Vec::new();
        fragment.text.push(b'{');
        for (name, tree) in &top {
            let first_leaf = fragment.leaves.len();
            let part = self.write_entry(name, tree, &mut keys, &mut fragment);
            let leaves = first_leaf..fragment.leaves.len();
            fragment.groups.push(Group { part, leaves });
        }
        fragment.text.push(b'}');
        Some(fragment)
    }

    /// Writes `"name":value`, and a comma in front of it where one is needed.
    fn write_entry(
        &self,
        name: &'static str,
        tree: &Tree,
        keys: &mut Vec<&'static str>,
        fragment: &mut Fragment,
    ) -> Part {
        if fragment.text.last() != Some(&b'{') {
            fragment.text.push(b',');
        }
        fragment.text.push(b'"');
        fragment.text.extend_from_slice(name.as_bytes());
        fragment.text.extend_from_slice(b"\":");
        keys.push(name);
        let start = fragment.text.len();
        let kind = match tree {
            Tree::Map(entries) => {
                fragment.text.push(b'{');
                for (name, tree) in entries {
                    self.write_entry(name, tree, keys, fragment);
                }
                fragment.text.push(b'}');
                PartKind::Object
            }
            Tree::Leaf(value) => {
                value.write(&mut fragment.text);
                leaf_kind(value)
            }
        };
        let quote = usize::from(matches!(kind, PartKind::Text { .. }));
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let range = bound(start + quote)..bound(fragment.text.len() - quote);
        let part = Part {
            path: self.number(keys),
            kind,
            range,
        };
        if kind != PartKind::Object {
            fragment.leaves.push(part.clone());
        }
        keys.pop();
        part
    }
}

fn leaf_kind(value: &Data) -> PartKind {
    match value {
        Data::Text(text) => PartKind::Text {
            escaped: crate::event::text::needs_escape(text.as_bytes()),
        },
        Data::Float(_) => PartKind::Float,
        Data::Bool(true) => PartKind::True,
        Data::Bool(false) => PartKind::False,
        Data::Map(_) => PartKind::Object,
        Data::Whole(_) | Data::List(_) | Data::Bytes => PartKind::Int,
    }
}

/// What goes below the target, in order.
enum Tree {
    Map(Vec<(&'static str, Tree)>),
    Leaf(Data),
}

fn insert(entries: &mut Vec<(&'static str, Tree)>, path: &[&'static str], value: Data) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        match value {
            // A location's two numbers can be set by fields of their own, too.
            Data::Map(inner) => {
                for (key, value) in inner {
                    let key = if key == "lat" { "lat" } else { "lon" };
                    insert(entries, &[first, key], value);
                }
            }
            value => match entries.iter_mut().find(|(name, _)| name == first) {
                Some((_, tree)) => *tree = Tree::Leaf(value),
                None => entries.push((first, Tree::Leaf(value))),
            },
        }
        return;
    }
    let at = entries
        .iter()
        .position(|(name, _)| name == first)
        .unwrap_or_else(|| {
            entries.push((first, Tree::Map(Vec::new())));
            entries.len() - 1
        });
    if let Some((_, Tree::Map(inner))) = entries.get_mut(at) {
        insert(inner, rest, value);
    }
}
