//! The options that all filters (and, in part, inputs) share, applied in the original's order.

use super::build::Build;
use super::options::{Pairs, Reader};
use super::sprintf::Sprintf;
use crate::event::{Batch, EventId, Path};
use crate::language::ast::Plugin;
use crate::language::{EscapeStyle, FieldPath};

/// A field name that may hold `%{…}`.
#[derive(Debug)]
pub enum Name {
    /// Known at load.
    Fixed(Path),
    /// Rendered for each event.
    Dynamic(Sprintf),
}

impl Name {
    /// Calls with the path; false when the rendered text is no field reference.
    pub fn with(
        &self,
        batch: &mut Batch,
        id: EventId,
        buf: &mut Vec<u8>,
        call: impl FnOnce(&mut Batch, &mut Vec<u8>, &Path) -> bool,
    ) -> bool {
        match self {
            Name::Fixed(path) => call(batch, buf, path),
            Name::Dynamic(template) => {
                buf.clear();
                template.render(batch, id, buf);
                let Some(path) = dynamic_path(batch, buf) else {
                    return false;
                };
                call(batch, buf, &path)
            }
        }
    }
}

/// Resolves a field reference that was rendered for an event; none when it is illegal.
#[must_use]
pub fn dynamic_path(batch: &Batch, text: &[u8]) -> Option<Path> {
    let text = std::str::from_utf8(text).ok()?;
    let reference = FieldPath::parse(text, EscapeStyle::None).ok()?;
    Some(batch.keys().resolve(&reference))
}

/// `add_field` → `remove_field` → `add_tag` → `remove_tag`.
///
/// Source: Logstash `LogStash::Util::Decorators` and the manual's "Common options".
#[derive(Debug, Default)]
pub struct Common {
    /// Names and values to add.
    pub add_field: Vec<(Name, Vec<Sprintf>)>,
    /// Fields to remove.
    pub remove_field: Vec<Name>,
    /// Tags to append.
    pub add_tag: Vec<Sprintf>,
    /// Tags to remove.
    pub remove_tag: Vec<Sprintf>,
    /// Tag of an event whose `add_field` could not be set.
    pub failure_tag: Option<Vec<u8>>,
}

impl Common {
    /// True when there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add_field.is_empty()
            && self.remove_field.is_empty()
            && self.add_tag.is_empty()
            && self.remove_tag.is_empty()
    }

    /// Applies the options to one event.
    pub fn apply(&self, batch: &mut Batch, id: EventId, buf: &mut Vec<u8>) {
        for (name, values) in &self.add_field {
            let set = name.with(batch, id, buf, |batch, buf, path| {
                values
                    .iter()
                    .all(|value| add_field(batch, id, path, value, buf))
            });
            if !set {
                let tag = self.failure_tag.as_deref().unwrap_or(b"_add_field_failure");
                batch.tag(id, tag);
            }
        }
        for name in &self.remove_field {
            name.with(batch, id, buf, |batch, _, path| {
                batch.remove(id, path);
                true
            });
        }
        for tag in &self.add_tag {
            buf.clear();
            tag.render(batch, id, buf);
            batch.append_tag(id, buf);
        }
        for tag in &self.remove_tag {
            buf.clear();
            tag.render(batch, id, buf);
            batch.remove_tag(id, buf);
        }
    }
}

/// Reads the common options of a filter; `None` after errors were reported.
#[must_use]
pub fn read(plugin: &Plugin, build: &mut Build<'_>) -> Option<Common> {
    let mut reader = Reader::unchecked(plugin, build);
    let add: Option<Pairs<Vec<Sprintf>>> = reader.take("add_field", None);
    let remove: Option<Vec<String>> = reader.take("remove_field", None);
    let add_tag: Option<Vec<Sprintf>> = reader.take("add_tag", None);
    let remove_tag: Option<Vec<Sprintf>> = reader.take("remove_tag", None);
    let span = reader.span("remove_field");
    let add_span = reader.span("add_field");
    let mut add_field = Vec::new();
    for (key, values) in add?.0 {
        add_field.push((name(&key, build, add_span)?, values));
    }
    let mut remove_field = Vec::new();
    for key in remove? {
        remove_field.push(name(&key, build, span)?);
    }
    Some(Common {
        add_field,
        remove_field,
        add_tag: add_tag?,
        remove_tag: remove_tag?,
        failure_tag: None,
    })
}

/// Compiles a field name that may hold `%{…}`; reports an illegal one.
#[must_use]
pub fn name(text: &str, build: &mut Build<'_>, span: crate::language::Span) -> Option<Name> {
    let template = Sprintf::compile(text, build, span)?;
    if template.constant().is_none() {
        return Some(Name::Dynamic(template));
    }
    match FieldPath::parse(text, EscapeStyle::None) {
        Ok(reference) => Some(Name::Fixed(build.keys.path(&reference))),
        Err(error) => {
            build.error(
                "field-reference",
                format!("`{text}` is no field reference: {error}"),
                span,
            );
            None
        }
    }
}

fn add_field(
    batch: &mut Batch,
    id: EventId,
    path: &Path,
    value: &Sprintf,
    buf: &mut Vec<u8>,
) -> bool {
    let exists = batch.contains(id, path);
    let value = match value.constant() {
        Some(constant) => constant,
        None => {
            buf.clear();
            value.render(batch, id, buf);
            batch.push(buf)
        }
    };
    if !exists {
        return batch.set(id, path, value).is_ok();
    }
    let before = batch.get_expanded(id, path);
    let list = batch.new_list();
    if before.is_array() {
        for at in 0..batch.node_len(before) {
            let element = batch.node_value(before, at);
            batch.list_push(list, element);
        }
    } else if !before.is_nil() {
        batch.list_push(list, before);
    }
    batch.list_push(list, value);
    batch.set(id, path, list).is_ok()
}
