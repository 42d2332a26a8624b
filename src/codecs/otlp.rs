//! `otlp`: OpenTelemetry log requests in JSON, an event for each log record.

use std::sync::Arc;

use super::charset::tag_cut;
use super::cri::record_text;
use super::framing::{LineFramer, line_delimiter, max_record_bytes};
use super::json;
use crate::event::text::as_str;
use crate::event::{Batch, EventId, Kind, Value, slot};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{Build, Codec, DecodeCx, Framer, Framing, Make, Options, PluginSpec, Rec};
use crate::time::Timestamp;

/// Tag of an event made of something that is no OTLP log request, or no log record.
pub const FAILURE_TAG: &[u8] = b"_otlpparsefailure";

/// Names at top level that attributes cannot take; such an attribute goes under `[otel][attributes]`.
const RESERVED: [&str; 6] = [
    "message",
    "otel",
    "tags",
    "@timestamp",
    "@version",
    "@metadata",
];

options! {
    /// Options of the `otlp` codec.
    pub struct Config {
        /// Whether the whole request is kept as `[event][original]` when ECS compatibility is on; only of a request
        /// that holds a single log record.
        keep_original: bool = true;
    }
}

/// `otlp` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "otlp",
    about: "Reads OTLP log requests in JSON, a request a line, and makes an event of each log record: a text body \
            becomes `message` (any other body `[otel][body]`, and its JSON `message`), attributes become fields at \
            top level with their types, the severity `level` (from its number where the text is missing) and \
            `[otel][severity_number]`, `traceId` and `spanId` become `trace_id` and `span_id`, the scope \
            `[otel][scope]`, the resource's attributes `[otel][resource]`, and `timeUnixNano` (else \
            `observedTimeUnixNano`) `@timestamp`. An attribute whose name is taken goes under `[otel][attributes]`. A \
            line that is no request, and a log record that is malformed, becomes an event with its text as `message` \
            and the tag `_jsonparsefailure` or `_otlpparsefailure`. A codec of logmill's own.",
    options: Config::specs,
    make: Make::Codec(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(Otlp {
        original: config.keep_original && build.ecs.enabled(),
        max: max_record_bytes(build.settings),
    }))
}

struct Otlp {
    original: bool,
    max: usize,
}

impl Codec for Otlp {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        let delimiter = line_delimiter(framing, b"\n").unwrap_or(b"\n");
        Box::new(LineFramer::new(delimiter, self.max))
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        for rec in recs {
            let text = record_text(batch, rec, cx.buf);
            if batch.bytes(text).trim_ascii().is_empty() {
                cx.blank += 1;
                continue;
            }
            let before = cx.out.len();
            match batch.decode_value(text) {
                Err(_) => refuse(batch, rec, text, json::FAILURE_TAG, cx),
                Ok(request) => {
                    if decode_request(batch, rec, request, cx).is_none() {
                        refuse(batch, rec, text, FAILURE_TAG, cx);
                    } else if cx.out.len() == before {
                        cx.blank += 1;
                    }
                }
            }
            let made = cx.out.ids().get(before..).unwrap_or_default();
            if let ([id], true) = (made, self.original) {
                batch.set_original(*id, text);
            }
        }
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        batch.write_event(id, out);
        out.push(b'\n');
    }
}

/// An event with the text as it came, flagged.
fn refuse(batch: &mut Batch, rec: &Rec, text: Value, tag: &[u8], cx: &mut DecodeCx<'_>) {
    let id = batch.new_event(cx.run, rec.pos);
    batch.set_slot(id, slot::MESSAGE, text);
    batch.tag(id, tag);
    tag_cut(batch, id, rec);
    cx.failed += 1;
    cx.out.push(id);
}

/// An object, taken apart. None: it is something else.
fn object(batch: &mut Batch, value: Value) -> Option<Value> {
    let value = batch.expand(value);
    (value.kind() == Kind::Map).then_some(value)
}

/// What an object that was taken apart has under a name.
fn member(batch: &mut Batch, of: Value, name: &str) -> Value {
    match batch.map_position(of, name.as_bytes()) {
        Some(at) => batch.node_value(of, at),
        None => Value::ABSENT,
    }
}

/// The text under a name; an empty one, or something else, is absent.
fn text(batch: &mut Batch, of: Value, name: &str) -> Value {
    let value = member(batch, of, name);
    if value.is_str() && !batch.bytes(value).is_empty() {
        value
    } else {
        Value::ABSENT
    }
}

/// The list under a name; an absent or null one is empty. None: it is something else.
fn list(batch: &mut Batch, of: Value, name: &str) -> Option<Value> {
    let value = member(batch, of, name);
    if value.is_nil() {
        return Some(Value::ABSENT);
    }
    let value = batch.expand(value);
    (value.kind() == Kind::List).then_some(value)
}

/// None when it is no request; nothing was made then.
fn decode_request(
    batch: &mut Batch,
    rec: &Rec,
    request: Value,
    cx: &mut DecodeCx<'_>,
) -> Option<()> {
    let request = object(batch, request)?;
    if batch.node_len(request) > 0 && member(batch, request, "resourceLogs").is_absent() {
        return None;
    }
    let groups = list(batch, request, "resourceLogs")?;
    for at in 0..batch.node_len(groups) {
        let group = batch.node_value(groups, at);
        // A group that is malformed is one malformed record: its neighbours arrive.
        if decode_group(batch, rec, group, cx).is_none() {
            refuse_json(batch, rec, group, cx);
        }
    }
    Some(())
}

/// None when the group is malformed; nothing was made then.
fn decode_group(batch: &mut Batch, rec: &Rec, group: Value, cx: &mut DecodeCx<'_>) -> Option<()> {
    let group = object(batch, group)?;
    let resource = member(batch, group, "resource");
    let resource = if resource.is_nil() {
        Value::ABSENT
    } else {
        attributes(batch, resource)?
    };
    let all_scoped = list(batch, group, "scopeLogs")?;
    for at in 0..batch.node_len(all_scoped) {
        let part = batch.node_value(all_scoped, at);
        let Some(scoped) = object(batch, part) else {
            continue;
        };
        let Some(records) = list(batch, scoped, "logRecords") else {
            refuse_json(batch, rec, part, cx);
            continue;
        };
        let scope = member(batch, scoped, "scope");
        let scope = scope_fields(batch, scope);
        for at in 0..batch.node_len(records) {
            let record = batch.node_value(records, at);
            let used = batch.nodes.used();
            let fields = fields_of(batch, record, scope, resource, cx.buf)
                .map(|(fields, time)| (json_text(batch, fields, cx.buf), time));
            // What the record was taken apart into is text again: the next one takes the same nodes.
            batch.nodes.release(used);
            match fields {
                Some((text, time)) => make_event(batch, rec, text, time, cx),
                None => refuse_json(batch, rec, record, cx),
            }
        }
    }
    Some(())
}

fn refuse_json(batch: &mut Batch, rec: &Rec, part: Value, cx: &mut DecodeCx<'_>) {
    let text = json_text(batch, part, cx.buf);
    refuse(batch, rec, text, FAILURE_TAG, cx);
}

/// A value's JSON as text.
fn json_text(batch: &mut Batch, value: Value, buf: &mut Vec<u8>) -> Value {
    buf.clear();
    batch.write_json(value, buf);
    batch.push(buf)
}

/// The attributes of a resource or a record, values taken out of their wrappers. None: malformed.
fn attributes(batch: &mut Batch, of: Value) -> Option<Value> {
    let of = object(batch, of)?;
    let pairs = list(batch, of, "attributes")?;
    key_values(batch, pairs)
}

fn key_values(batch: &mut Batch, pairs: Value) -> Option<Value> {
    let all = batch.new_map();
    for at in 0..batch.node_len(pairs) {
        let pair = batch.node_value(pairs, at);
        let pair = object(batch, pair)?;
        let key = member(batch, pair, "key");
        if !key.is_str() {
            return None;
        }
        let value = member(batch, pair, "value");
        let value = any_value(batch, value)?;
        batch.map_append(all, key, value);
    }
    batch.keep_last(all);
    Some(all)
}

/// The value in an `AnyValue`; one that holds nothing is null. None: malformed.
fn any_value(batch: &mut Batch, any: Value) -> Option<Value> {
    if any.is_nil() {
        return Some(Value::NULL);
    }
    let members = object(batch, any)?;
    let (wrapper, value) = (batch.map_key(members, 0), batch.node_value(members, 0));
    if value.is_nil() {
        return Some(Value::NULL);
    }
    match (batch.bytes(wrapper), value.kind()) {
        (b"stringValue" | b"bytesValue", Kind::Str)
        | (b"boolValue", Kind::True | Kind::False)
        | (b"intValue" | b"doubleValue", Kind::Int | Kind::Float) => Some(value),
        // 64-bit numbers are texts by rule; what is no number (`NaN`) stays text.
        (b"intValue" | b"doubleValue", Kind::Str) => Some(match batch.decode_value(value) {
            Ok(number) if matches!(number.kind(), Kind::Int | Kind::Float) => number,
            _ => value,
        }),
        (b"arrayValue", _) => {
            let of = object(batch, value)?;
            let elements = list(batch, of, "values")?;
            let all = batch.new_list();
            for at in 0..batch.node_len(elements) {
                let element = batch.node_value(elements, at);
                let element = any_value(batch, element)?;
                batch.list_push(all, element);
            }
            Some(all)
        }
        (b"kvlistValue", _) => {
            let of = object(batch, value)?;
            let pairs = list(batch, of, "values")?;
            key_values(batch, pairs)
        }
        _ => None,
    }
}

/// Appends to an object, unless the value is absent.
fn put(batch: &mut Batch, map: Value, name: &str, value: Value) {
    if !value.is_absent() {
        let key = batch.push(name.as_bytes());
        batch.map_append(map, key, value);
    }
}

/// What a log record becomes, and its time. None: the record is malformed.
fn fields_of(
    batch: &mut Batch,
    record: Value,
    scope: Value,
    resource: Value,
    buf: &mut Vec<u8>,
) -> Option<(Value, Option<Timestamp>)> {
    let record = object(batch, record)?;
    let body = member(batch, record, "body");
    let body = any_value(batch, body)?;
    let severity = member(batch, record, "severityNumber");
    let severity = severity_number(batch, severity)?;
    let named = attributes(batch, record)?;
    let time = member(batch, record, "timeUnixNano");
    let time = match unix_nanos(batch, time).ok()? {
        Some(time) => Some(time),
        None => {
            let observed = member(batch, record, "observedTimeUnixNano");
            unix_nanos(batch, observed).ok()?
        }
    };

    let (event, otel) = (batch.new_map(), batch.new_map());
    if body.is_str() {
        put(batch, event, "message", body);
    } else if !body.is_nil() {
        let message = json_text(batch, body, buf);
        put(batch, event, "message", message);
        put(batch, otel, "body", body);
    }
    let level = level(batch, record, severity, buf);
    put(batch, event, "level", level);
    for (name, from) in [("trace_id", "traceId"), ("span_id", "spanId")] {
        let value = text(batch, record, from);
        put(batch, event, name, value);
    }
    if severity > 0 {
        let number = batch.push_int(severity);
        put(batch, otel, "severity_number", number);
    }
    let name = text(batch, record, "eventName");
    put(batch, otel, "event_name", name);
    put_attributes(batch, named, event, otel);
    put(batch, otel, "scope", scope);
    if batch.node_len(resource) > 0 {
        put(batch, otel, "resource", resource);
    }
    if batch.node_len(otel) > 0 {
        put(batch, event, "otel", otel);
    }
    Some((event, time))
}

/// Puts attributes into the event, or below `otel` where their names are taken.
fn put_attributes(batch: &mut Batch, named: Value, event: Value, otel: Value) {
    let own = batch.node_len(event);
    let mut taken = Value::ABSENT;
    for at in 0..batch.node_len(named) {
        let (key, value) = (batch.map_key(named, at), batch.node_value(named, at));
        let name = batch.bytes(key);
        let is_free = RESERVED.iter().all(|reserved| reserved.as_bytes() != name)
            && (0..own).all(|at| batch.bytes(batch.map_key(event, at)) != name);
        if is_free {
            batch.map_append(event, key, value);
            continue;
        }
        if taken.is_absent() {
            taken = batch.new_map();
        }
        batch.map_append(taken, key, value);
    }
    put(batch, otel, "attributes", taken);
}

fn make_event(
    batch: &mut Batch,
    rec: &Rec,
    text: Value,
    time: Option<Timestamp>,
    cx: &mut DecodeCx<'_>,
) {
    let id = batch.new_event(cx.run, rec.pos);
    // What was just written is an object; nesting beyond the limit was refused when the line was read.
    if batch.decode_object(id, text).is_err() {
        batch.set_slot(id, slot::MESSAGE, text);
        batch.tag(id, FAILURE_TAG);
        cx.failed += 1;
    }
    if let Some(time) = time {
        batch.set_timestamp(id, time);
    }
    tag_cut(batch, id, rec);
    cx.out.push(id);
}

/// Name and version of a scope; absent when it has neither.
fn scope_fields(batch: &mut Batch, scope: Value) -> Value {
    let Some(scope) = object(batch, scope) else {
        return Value::ABSENT;
    };
    let fields = batch.new_map();
    for name in ["name", "version"] {
        let value = text(batch, scope, name);
        put(batch, fields, name, value);
    }
    if batch.node_len(fields) > 0 {
        fields
    } else {
        Value::ABSENT
    }
}

/// The severity's text in upper case, else the level of its number.
fn level(batch: &mut Batch, record: Value, severity: i64, buf: &mut Vec<u8>) -> Value {
    let given = text(batch, record, "severityText");
    if given.is_absent() {
        return level_of(severity).map_or(Value::ABSENT, |level| batch.push(level.as_bytes()));
    }
    buf.clear();
    let text = as_str(batch.bytes(given));
    if text.is_ascii() {
        buf.extend_from_slice(text.as_bytes());
        buf.make_ascii_uppercase();
    } else {
        buf.extend_from_slice(text.to_uppercase().as_bytes());
    }
    batch.push(buf)
}

/// A severity by its number or its name in the protocol (`SEVERITY_NUMBER_WARN2`); 0 when it is not given.
fn severity_number(batch: &Batch, value: Value) -> Option<i64> {
    let text = as_str(batch.bytes(value));
    match value.kind() {
        Kind::Absent | Kind::Null => Some(0),
        Kind::Int | Kind::Float => text.parse().ok(),
        Kind::Str => text.parse().ok().or_else(|| {
            let name = text.strip_prefix("SEVERITY_NUMBER_")?;
            let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let first = match name.strip_suffix(digits)? {
                "UNSPECIFIED" => return Some(0),
                "TRACE" => 1,
                "DEBUG" => 5,
                "INFO" => 9,
                "WARN" => 13,
                "ERROR" => 17,
                "FATAL" => 21,
                _ => return None,
            };
            let step: i64 = if digits.is_empty() {
                1
            } else {
                digits.parse().ok()?
            };
            Some(first + step - 1)
        }),
        _ => None,
    }
}

/// The level as Python names it: 5, 9, 13, 17 and 21 are its own, the numbers between belong to the one below them.
fn level_of(severity: i64) -> Option<&'static str> {
    Some(match severity {
        1..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARNING",
        17..=20 => "ERROR",
        21..=24 => "CRITICAL",
        _ => return None,
    })
}

/// A part of a log record that cannot be read.
struct Malformed;

/// Nanoseconds since the epoch, as a number or as text; nothing or 0 is no time.
fn unix_nanos(batch: &Batch, value: Value) -> Result<Option<Timestamp>, Malformed> {
    let text = match value.kind() {
        Kind::Absent | Kind::Null => return Ok(None),
        Kind::Int | Kind::Float | Kind::Str => as_str(batch.bytes(value)),
        _ => return Err(Malformed),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let nanos = match text.parse::<u64>() {
        Ok(nanos) => nanos,
        Err(_) => large_number(text).ok_or(Malformed)?,
    };
    let seconds = nanos / 1_000_000_000;
    let time = Timestamp {
        secs: i64::try_from(seconds).map_err(|_| Malformed)?,
        nanos: u32::try_from(nanos % 1_000_000_000).map_err(|_| Malformed)?,
    };
    Ok((nanos > 0).then_some(time))
}

/// A number of nanoseconds that is written with a fraction or an exponent.
fn large_number(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    // Within the range, rounding to what a double can hold is all that is lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = (0.0..1.8e19).contains(&number).then_some(number as u64);
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::codecs::testing::decode;

    fn events(text: &str) -> Vec<Json> {
        decode(
            SPEC,
            "otlp { keep_original => false }",
            &Framing::Lines(b"\n".to_vec()),
            text.as_bytes(),
        )
    }

    fn request(records: &Json) -> String {
        json!({"resourceLogs": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "project-ai"}}]},
            "scopeLogs": [{"scope": {"name": "x", "version": ""}, "logRecords": records}]
        }]})
        .to_string()
    }

    #[test]
    fn a_log_record_becomes_an_event() {
        let record = json!([{
            "timeUnixNano": "1776699045123000000", "severityNumber": 13, "severityText": "warning",
            "body": {"stringValue": "Refused"}, "traceId": "4bf9", "spanId": "",
            "attributes": [
                {"key": "component", "value": {"stringValue": "four-laws"}},
                {"key": "n", "value": {"intValue": "9007199254740993"}},
                {"key": "m", "value": {"intValue": 4}},
                {"key": "d", "value": {"doubleValue": 0.25}},
                {"key": "b", "value": {"boolValue": true}},
                {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {}]}}},
                {"key": "api", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": "NaN"}}]}}},
                {"key": "raw", "value": {"bytesValue": "AAE="}},
                {"key": "message", "value": {"stringValue": "taken"}}
            ]
        }]);
        assert_eq!(
            events(&request(&record)),
            [json!({
                "message": "Refused", "level": "WARNING", "trace_id": "4bf9", "component": "four-laws",
                "n": 9_007_199_254_740_993_u64, "m": 4, "d": 0.25, "b": true, "list": ["a", null], "api": {"k": "NaN"}, "raw": "AAE=",
                "otel": {"severity_number": 13, "scope": {"name": "x"}, "attributes": {"message": "taken"},
                    "resource": {"service.name": "project-ai"}},
                "@timestamp": "2026-04-20T15:30:45.123Z"
            })]
        );
    }

    #[test]
    fn other_bodies_and_times() {
        let records = json!([
            {"body": {"intValue": "5"}, "timeUnixNano": 0, "observedTimeUnixNano": 1_776_699_045_123_000_001_u64, "severityNumber": 21},
            {"body": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}},
            {}
        ]);
        let left = events(&request(&records));
        assert_eq!(left[0]["message"], "5");
        assert_eq!(left[0]["otel"]["body"], 5);
        assert_eq!(left[0]["level"], "CRITICAL");
        assert_eq!(left[0]["@timestamp"], "2026-04-20T15:30:45.123000001Z");
        assert_eq!(left[1]["message"], "{\"a\":\"b\"}");
        assert_eq!(left[1]["otel"]["body"], json!({"a": "b"}));
        assert_eq!(left[2]["message"], Json::Null);
        assert_eq!(left[2].get("@timestamp"), None);
    }

    #[test]
    fn a_bad_record_spoils_no_neighbour() {
        let records = json!([
            {"body": {"stringValue": "first"}},
            7,
            {"body": "no wrapper"},
            {"attributes": "none"},
            {"attributes": [{"value": {}}]},
            {"timeUnixNano": "soon"},
            {"body": {"stringValue": "last"}}
        ]);
        let left = events(&request(&records));
        assert_eq!(left.len(), 7);
        assert_eq!(
            (&left[0]["message"], &left[6]["message"]),
            (&json!("first"), &json!("last"))
        );
        for event in &left[1..6] {
            assert_eq!(event["tags"], json!(["_otlpparsefailure"]), "{event}");
        }
        assert_eq!(left[5]["message"], "{\"timeUnixNano\":\"soon\"}");
    }

    #[test]
    fn lines_that_are_no_request() {
        let text = "no json\n{\"a\":1}\n[]\n\n{}\n{\"resourceLogs\":[5]}\n{\"resourceLogs\":[]}";
        let left = events(text);
        assert_eq!(
            left,
            [
                json!({"message": "no json", "tags": ["_jsonparsefailure"]}),
                json!({"message": "{\"a\":1}", "tags": ["_otlpparsefailure"]}),
                json!({"message": "[]", "tags": ["_otlpparsefailure"]}),
                json!({"message": "5", "tags": ["_otlpparsefailure"]}),
            ]
        );
    }

    #[test]
    fn the_original_of_single_records() {
        let text = request(&json!([{"body": {"stringValue": "x"}}]));
        let left = decode(SPEC, "otlp {}", &Framing::Message, text.as_bytes());
        assert_eq!(left[0]["event"]["original"], text);
        let text = request(&json!([{}, {}]));
        let left = decode(SPEC, "otlp {}", &Framing::Message, text.as_bytes());
        assert_eq!(left[0].get("event"), None);
    }

    #[test]
    fn severities() {
        let mut batch = Batch::new(&std::sync::Arc::new(crate::event::Keys::new()));
        for (value, number) in [
            ("SEVERITY_NUMBER_WARN2", Some(14)),
            ("17", Some(17)),
            ("SEVERITY_NUMBER_UNSPECIFIED", Some(0)),
            ("LOUD", None),
        ] {
            let text = batch.push(value.as_bytes());
            assert_eq!(severity_number(&batch, text), number);
        }
        assert_eq!(level_of(5), Some("DEBUG"));
        assert_eq!(level_of(0), None);
    }
}
