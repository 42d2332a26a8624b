//! `otlp`: OpenTelemetry log requests in JSON, an event for each log record.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::charset::tag_cut;
use super::cri::record_text;
use super::framing::{LineFramer, line_delimiter, max_record_bytes};
use super::json;
use crate::event::{Batch, EventId, Value, slot};
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
            match serde_json::from_slice::<Json>(batch.bytes(text)) {
                Err(_) => refuse(batch, rec, text, json::FAILURE_TAG, cx),
                Ok(request) => {
                    if decode_request(batch, rec, &request, cx).is_none() {
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

/// The list under a name; an absent or null one is empty. None: it is something else.
fn list<'j>(of: &'j Json, name: &str) -> Option<&'j [Json]> {
    match of.get(name) {
        None | Some(Json::Null) => Some(&[]),
        Some(Json::Array(values)) => Some(values),
        Some(_) => None,
    }
}

/// None when it is no request; nothing was made then.
fn decode_request(
    batch: &mut Batch,
    rec: &Rec,
    request: &Json,
    cx: &mut DecodeCx<'_>,
) -> Option<()> {
    if !request.as_object()?.is_empty() {
        request.get("resourceLogs")?;
    }
    for group in list(request, "resourceLogs")? {
        // A group that is malformed is one malformed record: its neighbours arrive.
        if decode_group(batch, rec, group, cx).is_none() {
            refuse_json(batch, rec, group, cx);
        }
    }
    Some(())
}

/// None when the group is malformed; nothing was made then.
fn decode_group(batch: &mut Batch, rec: &Rec, group: &Json, cx: &mut DecodeCx<'_>) -> Option<()> {
    let resource = match group.as_object()?.get("resource") {
        None | Some(Json::Null) => Map::new(),
        Some(resource) => attributes(resource)?,
    };
    for scoped in list(group, "scopeLogs")? {
        let (Some(records), scope) = (list(scoped, "logRecords"), scoped.get("scope")) else {
            refuse_json(batch, rec, scoped, cx);
            continue;
        };
        for record in records {
            match Fields::of(record, scope, &resource) {
                Some(fields) => fields.make_event(batch, rec, cx),
                None => refuse_json(batch, rec, record, cx),
            }
        }
    }
    Some(())
}

fn refuse_json(batch: &mut Batch, rec: &Rec, part: &Json, cx: &mut DecodeCx<'_>) {
    let text = batch.push(part.to_string().as_bytes());
    refuse(batch, rec, text, FAILURE_TAG, cx);
}

/// The attributes of a resource or a record, values taken out of their wrappers. None: malformed.
fn attributes(of: &Json) -> Option<Map<String, Json>> {
    of.as_object()?;
    key_values(list(of, "attributes")?)
}

fn key_values(pairs: &[Json]) -> Option<Map<String, Json>> {
    let mut out = Map::new();
    for pair in pairs {
        let key = pair.get("key")?.as_str()?;
        let value = pair.get("value").map_or(Some(Json::Null), any_value)?;
        out.insert(key.to_owned(), value);
    }
    Some(out)
}

/// The value in an `AnyValue`; one that holds nothing is null. None: malformed.
fn any_value(any: &Json) -> Option<Json> {
    let members = match any {
        Json::Null => return Some(Json::Null),
        Json::Object(members) => members,
        _ => return None,
    };
    let Some((kind, value)) = members.iter().next() else {
        return Some(Json::Null);
    };
    match (kind.as_str(), value) {
        ("stringValue" | "bytesValue", Json::String(_))
        | ("boolValue", Json::Bool(_))
        | ("intValue" | "doubleValue", Json::Number(_))
        | (_, Json::Null) => Some(value.clone()),
        // 64-bit numbers are texts by rule; what is no number (`NaN`) stays text.
        ("intValue" | "doubleValue", Json::String(text)) => {
            Some(match serde_json::from_str(text) {
                Ok(number @ Json::Number(_)) => number,
                _ => value.clone(),
            })
        }
        ("arrayValue", Json::Object(_)) => list(value, "values")?
            .iter()
            .map(any_value)
            .collect::<Option<Vec<_>>>()
            .map(Json::Array),
        ("kvlistValue", Json::Object(_)) => key_values(list(value, "values")?).map(Json::Object),
        _ => None,
    }
}

/// What a log record becomes.
struct Fields {
    event: Map<String, Json>,
    time: Option<Timestamp>,
}

impl Fields {
    /// None: the record is malformed.
    fn of(record: &Json, scope: Option<&Json>, resource: &Map<String, Json>) -> Option<Fields> {
        let mut event = Map::new();
        let mut otel = Map::new();
        let text = |name: &str| {
            record
                .get(name)
                .and_then(Json::as_str)
                .filter(|text| !text.is_empty())
        };
        match record.get("body").map_or(Some(Json::Null), any_value)? {
            Json::Null => {}
            Json::String(body) => {
                event.insert("message".to_owned(), Json::String(body));
            }
            body => {
                event.insert("message".to_owned(), Json::String(body.to_string()));
                otel.insert("body".to_owned(), body);
            }
        }
        let severity = severity_number(record.get("severityNumber"))?;
        let level = text("severityText")
            .map(str::to_uppercase)
            .or_else(|| level_of(severity));
        for (name, value) in [
            ("level", level),
            ("trace_id", text("traceId").map(str::to_owned)),
            ("span_id", text("spanId").map(str::to_owned)),
        ] {
            if let Some(value) = value {
                event.insert(name.to_owned(), Json::String(value));
            }
        }
        if severity > 0 {
            otel.insert("severity_number".to_owned(), severity.into());
        }
        if let Some(name) = text("eventName") {
            otel.insert("event_name".to_owned(), name.into());
        }
        let mut taken = Map::new();
        for (name, value) in attributes(record)? {
            if RESERVED.contains(&name.as_str()) || event.contains_key(&name) {
                taken.insert(name, value);
            } else {
                event.insert(name, value);
            }
        }
        if !taken.is_empty() {
            otel.insert("attributes".to_owned(), Json::Object(taken));
        }
        if let Some(scope) = scope.and_then(scope_fields) {
            otel.insert("scope".to_owned(), scope);
        }
        if !resource.is_empty() {
            otel.insert("resource".to_owned(), Json::Object(resource.clone()));
        }
        if !otel.is_empty() {
            event.insert("otel".to_owned(), Json::Object(otel));
        }
        let time = match unix_nanos(record.get("timeUnixNano")).ok()? {
            Some(time) => Some(time),
            None => unix_nanos(record.get("observedTimeUnixNano")).ok()?,
        };
        Some(Fields { event, time })
    }

    fn make_event(self, batch: &mut Batch, rec: &Rec, cx: &mut DecodeCx<'_>) {
        let id = batch.new_event(cx.run, rec.pos);
        cx.buf.clear();
        let written = serde_json::to_writer(&mut *cx.buf, &Json::Object(self.event));
        let text = batch.push(cx.buf);
        // What was just written is an object; nesting beyond the limit was refused when the line was read.
        if written.is_err() || batch.decode_object(id, text).is_err() {
            batch.set_slot(id, slot::MESSAGE, text);
            batch.tag(id, FAILURE_TAG);
            cx.failed += 1;
        }
        if let Some(time) = self.time {
            batch.set_timestamp(id, time);
        }
        tag_cut(batch, id, rec);
        cx.out.push(id);
    }
}

fn scope_fields(scope: &Json) -> Option<Json> {
    let mut out = Map::new();
    for name in ["name", "version"] {
        if let Some(text) = scope
            .get(name)
            .and_then(Json::as_str)
            .filter(|text| !text.is_empty())
        {
            out.insert(name.to_owned(), text.into());
        }
    }
    (!out.is_empty()).then_some(Json::Object(out))
}

/// A severity by its number or its name in the protocol (`SEVERITY_NUMBER_WARN2`); 0 when it is not given.
fn severity_number(value: Option<&Json>) -> Option<i64> {
    match value {
        None | Some(Json::Null) => Some(0),
        Some(Json::Number(number)) => number.as_i64(),
        Some(Json::String(text)) => text.parse().ok().or_else(|| {
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
        Some(_) => None,
    }
}

/// The level as Python names it: 5, 9, 13, 17 and 21 are its own, the numbers between belong to the one below them.
fn level_of(severity: i64) -> Option<String> {
    let level = match severity {
        1..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARNING",
        17..=20 => "ERROR",
        21..=24 => "CRITICAL",
        _ => return None,
    };
    Some(level.to_owned())
}

/// A part of a log record that cannot be read.
struct Malformed;

/// Nanoseconds since the epoch, as a number or as text; nothing or 0 is no time.
fn unix_nanos(value: Option<&Json>) -> Result<Option<Timestamp>, Malformed> {
    let text = match value {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Number(number)) => number.to_string(),
        Some(Json::String(text)) => text.clone(),
        Some(_) => return Err(Malformed),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let nanos = match text.parse::<u64>() {
        Ok(nanos) => nanos,
        Err(_) => large_number(&text).ok_or(Malformed)?,
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
    use serde_json::json;

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
        for (value, number) in [
            (json!("SEVERITY_NUMBER_WARN2"), 14),
            (json!("17"), 17),
            (json!("SEVERITY_NUMBER_UNSPECIFIED"), 0),
        ] {
            assert_eq!(severity_number(Some(&value)), Some(number));
        }
        assert_eq!(severity_number(Some(&json!("LOUD"))), None);
        assert_eq!(level_of(5).as_deref(), Some("DEBUG"));
        assert_eq!(level_of(0), None);
    }
}
