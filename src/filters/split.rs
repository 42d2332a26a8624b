//! `split`: makes one event of each line of a text, or of each element of an array.

use memchr::memmem::Finder;

use crate::event::{Batch, EventId, Kind, Path, Selection, Value};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{Build, Cx, FieldRef, Filter, Make, Options, PluginMetrics, PluginSpec};

options! {
    /// Options of the `split` filter.
    pub struct Config {
        /// The field to split: text, or an array.
        field: FieldRef = "message";
        /// The field of the new events that gets the part. Without it the part takes the place of `field`.
        target: Option<FieldRef>;
        /// What stands between the parts of a text. It is taken literally; for a line break write one between the quotes.
        terminator: String = "\n";
    }
}

/// The entry of the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "split",
    about: "Makes an event of each part of a text or of each element of an array. The new events are copies of the event \
            with that part in place of the whole; they follow where it stood, in order, and the event itself is \
            dropped.\n\nParts that are empty or null are left out. Text without a terminator is left alone. The common \
            options are applied to the new events only. An event whose field is missing or of another type is tagged \
            `_split_type_failure`; one that would become more than 131,072 events is tagged `_split_too_many_parts` and \
            stays whole.",
    options: Config::specs,
    make: Make::Filter(make),
};

/// Most events that one event can become: an array of 16 MiB must not fill the memory.
const MAX_PARTS: usize = 1 << 17;

/// Most bytes that the copies made of one batch may take: many copies of a wide event are as dangerous as many parts.
const MAX_BYTES: usize = 256 << 20;

/// Past so many elements an array that the copies keep is kept as text, which copies share.
const SHARED_LEN: usize = 16;

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    if config.terminator.is_empty() {
        let attr = plugin
            .attrs
            .iter()
            .find(|attr| attr.name.text == "terminator");
        let span = attr.map_or(plugin.name.span, |attr| attr.value.span);
        build.error(
            "option-value",
            "`terminator` of `split` must not be empty",
            span,
        );
        return None;
    }
    Some(Box::new(Split {
        field: config.field.path,
        target: config.target.map(|target| target.path),
        terminator: Finder::new(config.terminator.as_bytes()).into_owned(),
    }))
}

struct Split {
    field: Path,
    target: Option<Path>,
    terminator: Finder<'static>,
}

enum Parts {
    /// The event stays as it is.
    Whole,
    /// The event stays and is tagged.
    Failed(&'static [u8]),
    /// The event gives way to one for each part; it may be none.
    Some(Vec<Value>),
}

impl Filter for Split {
    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let mut ids = Vec::with_capacity(sel.len());
        let (mut split, mut failed) = (0, 0);
        let mut spent = 0_usize;
        for &id in sel.ids() {
            let before = batch.get_expanded(id, &self.field);
            match self.parts(batch, id) {
                Parts::Whole => ids.push(id),
                Parts::Failed(tag) => {
                    failed += 1;
                    batch.tag(id, tag);
                    ids.push(id);
                }
                Parts::Some(parts)
                    if self.cost(batch, id, before, parts.len())
                        > MAX_BYTES.saturating_sub(spent) =>
                {
                    failed += 1;
                    // The field was set before, so it can be set again.
                    let _ = batch.set(id, &self.field, before);
                    batch.tag(id, b"_split_too_many_parts");
                    ids.push(id);
                }
                Parts::Some(parts) => {
                    spent += self.cost(batch, id, before, parts.len());
                    split += 1;
                    for part in parts {
                        ids.push(self.child(batch, id, part, cx));
                    }
                }
            }
        }
        sel.swap(&mut ids);
        PluginMetrics::add(&cx.metrics.matches, split);
        PluginMetrics::add(&cx.metrics.failures, failed);
    }
}

impl Split {
    /// Bytes that the copies of an event will take.
    fn cost(&self, batch: &Batch, id: EventId, before: Value, parts: usize) -> usize {
        let replaced = if self.target.is_none() {
            batch.bytes(before).len()
        } else {
            0
        };
        batch
            .clone_cost(id)
            .saturating_sub(replaced)
            .saturating_mul(parts)
    }

    fn parts(&self, batch: &mut Batch, id: EventId) -> Parts {
        let value = batch.get_expanded(id, &self.field);
        match value.kind() {
            Kind::Str => self.text_parts(batch, value),
            Kind::List => self.elements(batch, id, value),
            _ => Parts::Failed(b"_split_type_failure"),
        }
    }

    fn text_parts(&self, batch: &Batch, value: Value) -> Parts {
        let text = batch.bytes(value);
        let step = self.terminator.needle().len();
        let mut parts = Vec::new();
        let mut from = 0;
        for at in self.terminator.find_iter(text) {
            if parts.len() > MAX_PARTS {
                return Parts::Failed(b"_split_too_many_parts");
            }
            parts.extend(part(batch, value, from, at));
            from = at + step;
        }
        if from == 0 && !text.is_empty() {
            return Parts::Whole;
        }
        parts.extend(part(batch, value, from, text.len()));
        Parts::Some(parts)
    }

    fn elements(&self, batch: &mut Batch, id: EventId, list: Value) -> Parts {
        let len = batch.node_len(list);
        if len > MAX_PARTS {
            return Parts::Failed(b"_split_too_many_parts");
        }
        let mut parts = Vec::with_capacity(len);
        for at in 0..len {
            let value = batch.node_value(list, at);
            let empty = value.is_nil() || (value.is_str() && batch.bytes(value).is_empty());
            if !empty {
                parts.push(value);
            }
        }
        if self.target.is_none() {
            batch.remove(id, &self.field);
        } else if len > SHARED_LEN {
            let mut text = Vec::new();
            batch.write_json(list, &mut text);
            let shared = batch.push_json(Kind::RawArray, &text);
            // The field holds an array already, so it takes one.
            let _ = batch.set(id, &self.field, shared);
        } else {
            for value in &mut parts {
                *value = batch.deep_copy(*value);
            }
        }
        Parts::Some(parts)
    }

    fn child(&self, batch: &mut Batch, parent: EventId, part: Value, cx: &mut Cx<'_>) -> EventId {
        let id = batch.clone_event(parent);
        let place = self.target.as_ref().unwrap_or(&self.field);
        if batch.set(id, place, part).is_err() {
            batch.tag(id, b"_split_type_failure");
        } else if !cx.common.is_empty() {
            cx.common.apply(batch, id, cx.buf);
        }
        id
    }
}

/// A part of the text; none when it is empty.
fn part(batch: &Batch, text: Value, from: usize, to: usize) -> Option<Value> {
    let (from, to) = (u32::try_from(from).ok()?, u32::try_from(to).ok()?);
    (from < to).then(|| batch.substr(text, from, to))
}

#[cfg(test)]
mod tests {
    use super::{MAX_PARTS, SPEC};
    use crate::plugin::Ecs;
    use crate::plugin::testing::run_filter;
    use serde_json::{Value as Json, json};

    fn run(config: &str, events: &[Json]) -> Vec<Json> {
        run_filter(&SPEC, Ecs::V8, config, events).unwrap().events
    }

    #[test]
    fn children_follow_where_the_parent_stood() {
        let events = [
            json!({"n": 0}),
            json!({"n": 1, "message": "x;y"}),
            json!({"n": 2, "message": "z"}),
        ];
        let out = run("split { terminator => ';' add_tag => ['t'] }", &events);
        let expected = [
            json!({"n": 0, "tags": ["_split_type_failure"]}),
            json!({"n": 1, "message": "x", "tags": ["t"]}),
            json!({"n": 1, "message": "y", "tags": ["t"]}),
            json!({"n": 2, "message": "z"}),
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn empty_parts_are_left_out() {
        assert_eq!(
            run(
                "split { terminator => ', ' }",
                &[json!({"message": ", a, "})]
            ),
            [json!({"message": "a"})]
        );
        assert!(run("split { terminator => ',' }", &[json!({"message": ","})]).is_empty());
        assert!(run("split { }", &[json!({"message": ""})]).is_empty());
    }

    #[test]
    fn children_share_nothing() {
        let event = json!({"o": {"x": [1, 2]}, "l": [{"k": 1}, {"k": 2}]});
        let out = run(
            "split { field => 'l' target => 't' add_field => { '[t][k2]' => '%{[t][k]}' '[o][n]' => '%{[t][k]}' } }",
            &[event],
        );
        let l = json!([{"k": 1}, {"k": 2}]);
        assert_eq!(
            out[0],
            json!({"o": {"x": [1, 2], "n": "1"}, "l": l, "t": {"k": 1, "k2": "1"}})
        );
        assert_eq!(
            out[1],
            json!({"o": {"x": [1, 2], "n": "2"}, "l": l, "t": {"k": 2, "k2": "2"}})
        );
    }

    #[test]
    fn long_arrays_are_split_in_linear_time() {
        let list: Vec<_> = (0..50_000).map(|at| json!({ "at": at })).collect();
        let out = run(
            "split { field => '[a][l]' }",
            &[json!({"a": {"l": list, "m": 1}})],
        );
        assert_eq!(out.len(), 50_000);
        assert_eq!(out[49_999], json!({"a": {"l": {"at": 49_999}, "m": 1}}));
        let list: Vec<_> = (0..300).collect();
        let out = run(
            "split { field => 'l' target => 't' }",
            &[json!({"l": list})],
        );
        assert_eq!(out[299], json!({"l": list, "t": 299}));
    }

    #[test]
    fn too_many_parts_leave_the_event_whole() {
        let text = "x\n".repeat(MAX_PARTS + 10);
        let out = run("split { }", &[json!({ "message": text })]);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0]["tags"], json!(["_split_too_many_parts"]));
    }

    #[test]
    fn an_empty_terminator_is_refused() {
        assert!(run_filter(&SPEC, Ecs::V8, "split { terminator => '' }", &[]).is_err());
    }
}
