//! `mutate`: renames, converts, replaces and reshapes fields.

mod convert;
mod text;

use std::any::Any;

use crate::choice;
use crate::event::{Batch, EventId, Kind, Path, Selection, SetError, Value};
use crate::language::ast::{Plugin, Span};
use crate::language::{EscapeStyle, FieldPath};
use crate::options;
use crate::plugin::common::{self, Name};
use crate::plugin::{
    Build, Cx, FieldRef, Filter, Make, Options, Pairs, PluginMetrics, PluginSpec, Sprintf, Verdict,
    per_event,
};

pub(crate) use convert::{decimal_float, decimal_integer};
pub(crate) use text::{Case, write_case};
use text::{Gsub, Scratch};

options! {
    /// Options of the `mutate` filter.
    pub struct Config {
        /// Field → text that it gets if it is there but null. The text may hold `%{…}`.
        coerce: Pairs<Sprintf>;
        /// Old name → new name; both may hold `%{…}`. The value moves; what stood under the new name is lost. A missing
        /// field is passed over.
        rename: Pairs<String>;
        /// Field → text that it gets if it exists. The text may hold `%{…}`.
        update: Pairs<Sprintf>;
        /// Field → text that it gets, whether it existed or not. The text may hold `%{…}`.
        replace: Pairs<Sprintf>;
        /// Field → `integer`, `float`, `integer_eu`, `float_eu`, `string` or `boolean`. Arrays are converted element by
        /// element, objects are left alone. In text, commas between digits are dropped (for `_eu`: points, and the comma
        /// is the decimal sign); hexadecimal (`0x1F`) and exponents (`1e3`) are taken; integers are cut towards zero.
        /// Text that is no number fails. `boolean` knows true, t, yes, y, 1, 1.0 and false, f, no, n, 0, 0.0 and the
        /// empty text, in any case; other values stay as they are.
        convert: Pairs<Type>;
        /// Triples of field, regular expression (Ruby syntax) and replacement, for text and arrays of text. The
        /// expression and the replacement may hold `%{…}`; in the replacement `\1` or `\k<name>` stand for groups. A
        /// backslash is written once: `"\d+"`.
        gsub: Vec<String>;
        /// Fields (text, or arrays of text) that become upper case.
        uppercase: Vec<FieldRef>;
        /// Fields whose first character becomes upper case and the rest lower case.
        capitalize: Vec<FieldRef>;
        /// Fields that become lower case.
        lowercase: Vec<FieldRef>;
        /// Fields that lose white space and NUL characters at both ends. An array must hold nothing but text.
        strip: Vec<FieldRef>;
        /// Field → separator, taken literally, at which text becomes an array. A single blank stands for any run of white
        /// space; empty parts at the end are dropped; the empty separator splits between characters.
        split: Pairs<String>;
        /// Field → separator that joins the elements of an array to text.
        join: Pairs<String>;
        /// Field → field or fields that are added to it: elements to an array, keys to an object. Single values count
        /// as arrays of one element. An object and something else are not merged.
        merge: Pairs<Vec<FieldRef>>;
        /// Field → field that gets a copy, unless the first is missing or null.
        copy: Pairs<FieldRef>;
        /// Tag of an event for which an operation failed. The operations after it are not done.
        tag_on_failure: String = "_mutate_error";
    }
    later { "remove" => "it is gone from Logstash too: use `remove_field`" }
}

/// The entry of the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "mutate",
    about: "Changes fields. Whatever the order in which they are written, the operations of one `mutate` are done in this \
            order: coerce, rename, update, replace, convert, gsub, uppercase, capitalize, lowercase, strip, split, join, \
            merge, copy, then the common options (add_field, remove_field, add_tag, remove_tag). For another order write \
            several `mutate` blocks.\n\nWhen an operation fails the event is tagged, what was done before stays, and the \
            rest, common options included, is left out.",
    options: Config::specs,
    make: Make::Filter(make),
};

choice! {
    /// What `convert` converts to.
    pub enum Type {
        /// A whole number.
        Integer = "integer",
        /// A whole number written with a decimal comma and points between thousands.
        IntegerEu = "integer_eu",
        /// A number with a fraction.
        Float = "float",
        /// A number with a fraction, written with a decimal comma.
        FloatEu = "float_eu",
        /// Text.
        String = "string",
        /// True or false.
        Boolean = "boolean",
    }
}

/// An operation could not be done: the event is tagged.
#[derive(Debug)]
pub(crate) struct Failed;

impl From<SetError> for Failed {
    fn from(_: SetError) -> Self {
        Failed
    }
}

struct Mutate {
    steps: Vec<Step>,
    tag: Vec<u8>,
}

enum Step {
    Coerce(Path, Sprintf),
    Rename(Name, Name),
    Update(Path, Sprintf),
    Replace(Path, Sprintf),
    Convert(Path, Type),
    Gsub(Gsub),
    Case(Path, Case),
    Strip(Path),
    Split(Path, String),
    Join(Path, String),
    Merge(Path, Path),
    Copy(Path, Path),
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    let tag = config.tag_on_failure.clone().into_bytes();
    let steps = steps(config, plugin, build)?;
    Some(Box::new(Mutate { steps, tag }))
}

/// The operations in the order in which they are done.
fn steps(config: Config, plugin: &Plugin, build: &mut Build<'_>) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut at = |option: &str, name: &str| path(name, span_of(plugin, option), build);
    for (name, value) in config.coerce.0 {
        steps.push(Step::Coerce(at("coerce", &name)?, value));
    }
    let mut updates = Vec::new();
    for (name, value) in config.update.0 {
        updates.push(Step::Update(at("update", &name)?, value));
    }
    for (name, value) in config.replace.0 {
        updates.push(Step::Replace(at("replace", &name)?, value));
    }
    for (name, to) in config.convert.0 {
        updates.push(Step::Convert(at("convert", &name)?, to));
    }
    let mut reshapes = Vec::new();
    for (name, separator) in config.split.0 {
        reshapes.push(Step::Split(at("split", &name)?, separator));
    }
    for (name, separator) in config.join.0 {
        reshapes.push(Step::Join(at("join", &name)?, separator));
    }
    for (name, added) in config.merge.0 {
        for added in added {
            reshapes.push(Step::Merge(at("merge", &name)?, added.path));
        }
    }
    for (name, to) in config.copy.0 {
        reshapes.push(Step::Copy(at("copy", &name)?, to.path));
    }
    for (old, new) in config.rename.0 {
        let span = span_of(plugin, "rename");
        steps.push(Step::Rename(
            common::name(&old, build, span)?,
            common::name(&new, build, span)?,
        ));
    }
    steps.append(&mut updates);
    for gsub in text::gsubs(&config.gsub, span_of(plugin, "gsub"), build)? {
        steps.push(Step::Gsub(gsub));
    }
    let cases = [
        (config.uppercase, Case::Upper),
        (config.capitalize, Case::Capital),
        (config.lowercase, Case::Lower),
    ];
    for (fields, case) in cases {
        steps.extend(fields.into_iter().map(|field| Step::Case(field.path, case)));
    }
    steps.extend(
        config
            .strip
            .into_iter()
            .map(|field| Step::Strip(field.path)),
    );
    steps.append(&mut reshapes);
    Some(steps)
}

fn span_of(plugin: &Plugin, option: &str) -> Span {
    let attr = plugin.attrs.iter().find(|attr| attr.name.text == option);
    attr.map_or(plugin.name.span, |attr| attr.value.span)
}

fn path(name: &str, span: Span, build: &mut Build<'_>) -> Option<Path> {
    match FieldPath::parse(name, EscapeStyle::None) {
        Ok(reference) => Some(build.keys.path(&reference)),
        Err(error) => {
            build.error("field-reference", error.to_string(), span);
            None
        }
    }
}

impl Filter for Mutate {
    fn scratch(&self) -> Box<dyn Any + Send> {
        let gsubs = self.steps.iter().filter_map(|step| match step {
            Step::Gsub(gsub) => Some(gsub),
            _ => None,
        });
        Box::new(Scratch::new(gsubs))
    }

    fn failure_tag(&self) -> Option<Vec<u8>> {
        Some(self.tag.clone())
    }

    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let mut failed = 0;
        per_event(batch, sel, cx, |batch, id, cx| {
            let Some(scratch) = cx.scratch.downcast_mut::<Scratch>() else {
                return Verdict::Unmatched;
            };
            if self
                .steps
                .iter()
                .try_for_each(|step| step.apply(batch, id, cx.buf, scratch))
                .is_ok()
            {
                return Verdict::Matched;
            }
            failed += 1;
            batch.tag(id, &self.tag);
            Verdict::Unmatched
        });
        PluginMetrics::add(&cx.metrics.failures, failed);
    }
}

impl Step {
    fn apply(
        &self,
        batch: &mut Batch,
        id: EventId,
        buf: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) -> Result<(), Failed> {
        match self {
            Step::Coerce(path, value) => {
                if batch.get(id, path).kind() == Kind::Null && batch.contains(id, path) {
                    let value = rendered(batch, id, value, buf);
                    batch.set(id, path, value)?;
                }
            }
            Step::Rename(old, new) => rename(batch, id, old, new, buf)?,
            Step::Update(path, value) => {
                if batch.contains(id, path) {
                    let value = rendered(batch, id, value, buf);
                    batch.set(id, path, value)?;
                }
            }
            Step::Replace(path, value) => {
                let value = rendered(batch, id, value, buf);
                batch.set(id, path, value)?;
            }
            Step::Convert(path, to) => convert::convert_field(batch, id, path, *to, buf)?,
            Step::Gsub(gsub) => gsub.apply(batch, id, buf, scratch)?,
            Step::Case(path, case) => text::change_case(batch, id, path, *case, buf)?,
            Step::Strip(path) => text::strip(batch, id, path)?,
            Step::Split(path, separator) => text::split(batch, id, path, separator)?,
            Step::Join(path, separator) => text::join(batch, id, path, separator, buf)?,
            Step::Merge(into, from) => merge(batch, id, into, from)?,
            Step::Copy(from, to) => {
                let value = batch.get(id, from);
                if !value.is_nil() {
                    let copy = batch.deep_copy(value);
                    batch.set(id, to, copy)?;
                }
            }
        }
        Ok(())
    }
}

/// The text of a template as a value; a template that is nothing but one field of text is that text.
fn rendered(batch: &mut Batch, id: EventId, template: &Sprintf, buf: &mut Vec<u8>) -> Value {
    if let Some(constant) = template.constant() {
        return constant;
    }
    if let Some(field) = template.as_field() {
        let value = batch.get(id, field);
        if value.is_str() {
            return value;
        }
    }
    buf.clear();
    template.render(batch, id, buf);
    batch.push(buf)
}

/// Moves a value. As in the original the old name is gone even if the new one does not take the value.
fn rename(
    batch: &mut Batch,
    id: EventId,
    old: &Name,
    new: &Name,
    buf: &mut Vec<u8>,
) -> Result<(), Failed> {
    // Both names are rendered before the event changes.
    let new_path = match new {
        Name::Fixed(_) => None,
        Name::Dynamic(template) => {
            buf.clear();
            template.render(batch, id, buf);
            Some(common::dynamic_path(batch, buf).ok_or(Failed)?)
        }
    };
    let mut moved = Value::ABSENT;
    let legal = old.with(batch, id, buf, |batch, _, path| {
        if batch.contains(id, path) {
            moved = batch.remove(id, path);
        }
        true
    });
    if !legal {
        return Err(Failed);
    }
    if moved.is_absent() {
        return Ok(());
    }
    match (new, &new_path) {
        (Name::Fixed(path), _) | (_, Some(path)) => Ok(batch.set(id, path, moved)?),
        (Name::Dynamic(_), None) => Err(Failed),
    }
}

fn merge(batch: &mut Batch, id: EventId, into: &Path, from: &Path) -> Result<(), Failed> {
    let added = batch.get_expanded(id, from);
    let before = batch.get_expanded(id, into);
    if added.is_object() != before.is_object() || (added.is_nil() && before.is_array()) {
        return Ok(());
    }
    let merged = if before.is_object() {
        batch.new_map()
    } else {
        batch.new_list()
    };
    put_all(batch, merged, before);
    let added = batch.deep_copy(added);
    let added = batch.expand(added);
    put_all(batch, merged, added);
    Ok(batch.set(id, into, merged)?)
}

/// Puts the entries of an object, the elements of an array, or a single value into `all`.
fn put_all(batch: &mut Batch, all: Value, from: Value) {
    if from.is_nil() {
        return;
    }
    if !from.is_object() && !from.is_array() {
        batch.list_push(all, from);
        return;
    }
    let mut name = Vec::new();
    for at in 0..batch.node_len(from) {
        let value = batch.node_value(from, at);
        if from.is_array() {
            batch.list_push(all, value);
            continue;
        }
        name.clear();
        let key = batch.map_key(from, at);
        name.extend_from_slice(batch.bytes(key));
        batch.map_put(all, &name, value);
    }
}

#[cfg(test)]
mod tests;
