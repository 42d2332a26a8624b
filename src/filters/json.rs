//! `json`: takes the JSON text in a field apart.

use crate::event::text::unescape;
use crate::event::{Batch, EventId, JsonRefused, Path, Selection, Value, slot};
use crate::language::FieldPath;
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::common::dynamic_path;
use crate::plugin::{
    Build, Cx, FieldRef, Filter, Make, Options, PluginMetrics, PluginSpec, Verdict, per_event,
};

options! {
    /// Options of the `json` filter.
    pub struct Config {
        /// The field that holds the JSON text. It stays as it is; a field that is missing or null is passed over.
        source: FieldRef;
        /// The field that gets the parsed value, of whatever type it is. Without it the text must be an object, whose
        /// keys become fields of the event and replace those there are.
        target: Option<FieldRef>;
        /// Passes over text that is not JSON instead of tagging the event.
        skip_on_invalid_json: bool = false;
        /// Tags of an event whose text could not be taken apart.
        tag_on_failure: Vec<String> = ["_jsonparsefailure"];
    }
}

/// The entry of the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "json",
    about: "Parses a field that holds JSON text and makes its keys fields of the event, or puts the parsed value under \
            `target`.\n\nA key such as `[a][b]` is taken for a reference. The text of an `@timestamp` key becomes the \
            event's time; if it is no time, the event gets the time of its arrival, the text is kept in `_@timestamp` and \
            the event is tagged `_timestampparsefailure`. Of a key that stands twice in one object the last counts, and \
            the event is tagged `_duplicate_key`. The common options are applied when the text could be parsed.",
    options: Config::specs,
    make: Make::Filter(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    Some(Box::new(Json {
        source: config.source.path,
        target: config.target.map(|target| target.path),
        skip_invalid: config.skip_on_invalid_json,
        tags: config.tag_on_failure,
    }))
}

struct Json {
    source: Path,
    target: Option<Path>,
    skip_invalid: bool,
    tags: Vec<String>,
}

enum Outcome {
    Parsed,
    Nothing,
    /// The source is no JSON text.
    Invalid,
    /// It is JSON, but there is no place for it.
    Unfit,
}

impl Filter for Json {
    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let (mut parsed, mut failed) = (0, 0);
        per_event(batch, sel, cx, |batch, id, _| match self.parse(batch, id) {
            Outcome::Parsed => {
                parsed += 1;
                Verdict::Matched
            }
            Outcome::Nothing => Verdict::Unmatched,
            Outcome::Invalid if self.skip_invalid => Verdict::Unmatched,
            Outcome::Invalid | Outcome::Unfit => {
                failed += 1;
                for tag in &self.tags {
                    batch.tag(id, tag.as_bytes());
                }
                Verdict::Unmatched
            }
        });
        PluginMetrics::add(&cx.metrics.matches, parsed);
        PluginMetrics::add(&cx.metrics.failures, failed);
    }
}

impl Json {
    fn parse(&self, batch: &mut Batch, id: EventId) -> Outcome {
        let text = batch.get(id, &self.source);
        if text.is_nil() || text == Value::FALSE {
            return Outcome::Nothing;
        }
        if !text.is_str() {
            return Outcome::Invalid;
        }
        if let Some(target) = &self.target {
            return match batch.decode_value(text) {
                Ok(value) if batch.set(id, target, value).is_ok() => Outcome::Parsed,
                Ok(_) => Outcome::Unfit,
                Err(_) => Outcome::Invalid,
            };
        }
        let before = (
            batch.get_slot(id, slot::TIMESTAMP),
            batch.get_slot(id, slot::BAD_TIMESTAMP),
        );
        match batch.decode_object(id, text) {
            Ok(()) => {}
            Err(JsonRefused::NotAnObject(_)) => return Outcome::Unfit,
            Err(JsonRefused::Invalid(_)) => return Outcome::Invalid,
        }
        keep_time(batch, id, before);
        for name in bracketed_keys(batch, text) {
            follow_reference(batch, id, &name);
        }
        Outcome::Parsed
    }
}

/// An `@timestamp` that is null in the text leaves the event's time alone.
///
/// Decoding gives such an event the time of arrival, as it does for a document that has just come in.
fn keep_time(batch: &mut Batch, id: EventId, (time, bad): (Value, Value)) {
    let now = batch.get_slot(id, slot::TIMESTAMP);
    if now != time
        && batch.time(now) == Some(batch.now())
        && batch.get_slot(id, slot::BAD_TIMESTAMP) == bad
    {
        batch.set_slot(id, slot::TIMESTAMP, time);
    }
}

/// The keys of the object decoded last that begin with a bracket; allocates only if there are any.
fn bracketed_keys(batch: &Batch, text: Value) -> Vec<String> {
    let bytes = batch.bytes(text);
    let mut names = Vec::new();
    for field in &batch.raw_fields {
        let key = field
            .key
            .0
            .checked_sub(text.off)
            .zip(field.key.1.checked_sub(text.off));
        let Some(key) = key.and_then(|(from, to)| bytes.get(from as usize..to as usize)) else {
            continue;
        };
        if key.first() == Some(&b'[') {
            names.push(key.to_vec());
        } else if key.first() == Some(&b'\\') {
            let mut name = Vec::new();
            unescape(key, &mut name);
            names.push(name);
        }
    }
    let is_reference = |name: Vec<u8>| {
        String::from_utf8(name)
            .ok()
            .filter(|name| name.starts_with('['))
    };
    names.into_iter().filter_map(is_reference).collect()
}

/// Moves what stands under a key such as `[a][b]` to where it points. What cannot be set there stays under its key.
fn follow_reference(batch: &mut Batch, id: EventId, name: &str) {
    let Some(path) = dynamic_path(batch, name.as_bytes()) else {
        return;
    };
    let literal = batch.keys().resolve(&FieldPath::top_level(name));
    let value = batch.remove(id, &literal);
    if !value.is_absent() && batch.set(id, &path, value).is_err() {
        // A name of the top level takes any value.
        let _ = batch.set(id, &literal, value);
    }
}

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::plugin::Ecs;
    use crate::plugin::testing::run_filter;
    use serde_json::{Value as Json, json};

    fn run(config: &str, event: Json) -> Json {
        let mut run = run_filter(
            &SPEC,
            Ecs::V8,
            &format!("json {{ {config} add_tag => matched }}"),
            &[event],
        )
        .unwrap();
        assert_eq!(run.events.len(), 1);
        run.events.remove(0)
    }

    #[test]
    fn keys_become_fields_and_the_source_stays() {
        let event = run(
            "source => message",
            json!({"message": r#"{"a":1,"b":{"c":[1.0]},"kept":"new"}"#, "kept": "old"}),
        );
        let text = r#"{"a":1,"b":{"c":[1.0]},"kept":"new"}"#;
        assert_eq!(
            event,
            json!({"message": text, "kept": "new", "a": 1, "b": {"c": [1.0]}, "tags": ["matched"]})
        );
    }

    #[test]
    fn the_text_may_replace_its_own_field() {
        let event = run(
            "source => message",
            json!({"message": r#"{"message":"inner \"m\"","x":null}"#}),
        );
        assert_eq!(
            event,
            json!({"message": "inner \"m\"", "x": null, "tags": ["matched"]})
        );
    }

    #[test]
    fn a_target_takes_any_value() {
        for (text, value) in [
            (r#" {"a": 1}"#, json!({"a": 1})),
            ("[1,2]", json!([1, 2])),
            ("\"é\\n\"", json!("é\n")),
            ("7", json!(7)),
        ] {
            let event = run("source => 'm' target => '[t][u]'", json!({ "m": text }));
            assert_eq!(
                event,
                json!({"m": text, "t": {"u": value}, "tags": ["matched"]})
            );
        }
    }

    #[test]
    fn what_is_no_object_is_tagged() {
        for text in ["{\"a\":1", "", "[1]", "\"x\"", "5", "{} {}", "null"] {
            assert_eq!(
                run("source => 'm'", json!({ "m": text })),
                json!({"m": text, "tags": ["_jsonparsefailure"]})
            );
        }
        let tags = "tag_on_failure => ['one', 'two']";
        assert_eq!(
            run(&format!("source => 'm' {tags}"), json!({"m": "{"})),
            json!({"m": "{", "tags": ["one", "two"]})
        );
        assert_eq!(
            run("source => 'm'", json!({"m": {"a": 1}})),
            json!({"m": {"a": 1}, "tags": ["_jsonparsefailure"]})
        );
    }

    #[test]
    fn invalid_text_can_be_skipped() {
        assert_eq!(
            run(
                "source => 'm' skip_on_invalid_json => true",
                json!({"m": "{"})
            ),
            json!({"m": "{"})
        );
        let event = run(
            "source => 'm' skip_on_invalid_json => true",
            json!({"m": "[]"}),
        );
        assert_eq!(
            event,
            json!({"m": "[]", "tags": ["_jsonparsefailure"]}),
            "valid, but no object"
        );
    }

    #[test]
    fn nothing_happens_without_a_source() {
        assert_eq!(run("source => zz", json!({"m": 1})), json!({"m": 1}));
        assert_eq!(run("source => 'm'", json!({"m": null})), json!({"m": null}));
    }

    #[test]
    fn keys_in_brackets_are_references() {
        let text = r#"{"[a][b]":true,"\u005bc][d]":{"x":1},"[e":2,"f[g]":3,"[@timestamp]":"x"}"#;
        let mut event = run("source => 'm'", json!({"m": text, "a": {"z": 1}}));
        event.as_object_mut().unwrap().remove("m");
        let expected = json!({"a": {"z": 1, "b": true}, "c": {"d": {"x": 1}}, "[e": 2, "f[g]": 3, "[@timestamp]": "x", "tags": ["matched"]});
        assert_eq!(event, expected);
    }

    #[test]
    fn the_time_is_taken_from_the_text() {
        let event = run(
            "source => 'm' remove_field => 'm'",
            json!({"m": r#"{"@timestamp":"2020-02-03T04:05:06.7Z"}"#}),
        );
        assert_eq!(
            event,
            json!({"@timestamp": "2020-02-03T04:05:06.700Z", "tags": ["matched"]})
        );
        let event = run(
            "source => 'm' remove_field => 'm'",
            json!({"m": r#"{"@timestamp":"soon"}"#, "@timestamp": "2020-02-03T04:05:06Z"}),
        );
        assert_eq!(
            event,
            json!({"_@timestamp": "soon", "tags": ["_timestampparsefailure", "matched"]})
        );
        let event = run(
            "source => 'm' remove_field => 'm'",
            json!({"m": r#"{"@timestamp":null}"#, "@timestamp": "2020-02-03T04:05:06Z"}),
        );
        assert_eq!(
            event,
            json!({"@timestamp": "2020-02-03T04:05:06.000Z", "tags": ["matched"]})
        );
    }

    #[test]
    fn a_repeated_key_counts_once() {
        let event = run(
            "source => 'm' remove_field => 'm'",
            json!({"m": r#"{"a":1,"a":2}"#}),
        );
        assert_eq!(
            event,
            json!({"a": 2, "tags": ["_duplicate_key", "matched"]})
        );
    }

    #[test]
    fn the_source_is_required() {
        let error = run_filter(&SPEC, Ecs::V8, "json { sources => 'm' }", &[])
            .err()
            .unwrap();
        assert_eq!(error.len(), 2, "{error:?}");
    }
}
