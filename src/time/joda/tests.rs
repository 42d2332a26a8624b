//! The date filter's and sprintf's recorded vectors, and what they do not say.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::time::{
    JavaTimeFormatter, parse_event_timestamp, tai64n, unix_from_number, unix_from_text,
    unix_ms_from_number, unix_ms_from_text,
};

/// 2026-06-15T00:00:00Z: the recorded vectors were made in 2026.
const NOW: Timestamp = Timestamp {
    secs: 1_781_481_600,
    nanos: 0,
};

fn parse(pattern: &str, text: &str) -> Option<String> {
    parse_in(pattern, text, "en", "UTC")
}

fn parse_in(pattern: &str, text: &str, locale: &str, zone: &str) -> Option<String> {
    let zone = Zone::parse(zone).expect("known zone");
    let parser = JodaParser::compile(pattern, Some(locale), Some(zone)).expect("legal pattern");
    parser
        .parse(text.as_bytes(), NOW)
        .map(|moment| moment.to_string())
}

fn read_value(
    format: &str,
    value: &Value,
    locale: Option<&str>,
    zone: Option<Zone>,
) -> Option<Timestamp> {
    let zone = zone.or(Some(Zone::UTC));
    match (format, value) {
        ("ISO8601", Value::String(text)) => Iso8601Parser::new(zone).parse(text.as_bytes()),
        ("UNIX", Value::String(text)) => unix_from_text(text.as_bytes()),
        ("UNIX", Value::Number(number)) => unix_from_number(number.to_string().as_bytes()),
        ("UNIX_MS", Value::String(text)) => unix_ms_from_text(text.as_bytes()),
        ("UNIX_MS", Value::Number(number)) => unix_ms_from_number(number.to_string().as_bytes()),
        ("TAI64N", Value::String(text)) => tai64n(text.as_bytes()),
        (pattern, Value::String(text)) => {
            let parser =
                JodaParser::compile(pattern, locale.or(Some("en")), zone).expect("legal pattern");
            parser.parse(text.as_bytes(), NOW)
        }
        _ => None,
    }
}

#[test]
fn recorded_dates() {
    let lines = include_str!("../testdata/date.jsonl").lines();
    let mut checked = 0;
    for line in lines {
        let vector: Value = serde_json::from_str(line).expect("a JSON line");
        let config = &vector["config"];
        let zone = config["timezone"]
            .as_str()
            .map(|id| Zone::parse(id).expect("known zone"));
        let formats = config["match"].as_array().expect("formats").iter().skip(1);
        let read = formats
            .filter_map(|format| {
                read_value(
                    format.as_str()?,
                    &vector["event"]["t"],
                    config["locale"].as_str(),
                    zone,
                )
            })
            .next();
        let expected = vector["result"]["out"].as_str();
        assert_eq!(
            read.map(|moment| moment.to_string()).as_deref(),
            expected,
            "{line}"
        );
        checked += 1;
    }
    assert_eq!(checked, 55);
}

#[test]
fn recorded_templates() {
    let mut lines = include_str!("../testdata/sprintf.jsonl").lines();
    let event: Value = serde_json::from_str(lines.next().expect("the event")).expect("a JSON line");
    let text = event["event"]["@timestamp"].as_str().expect("a moment");
    let moment = parse_event_timestamp(text.as_bytes(), &Zone::UTC).expect("a moment");
    assert_eq!(moment.to_string(), text);
    for line in lines {
        let vector: Value = serde_json::from_str(line).expect("a JSON line");
        let template = vector["template"].as_str().expect("a template");
        let mut out = Vec::new();
        let compiled = if let Some(pattern) = template.strip_prefix("%{{") {
            JavaTimeFormatter::compile(pattern.strip_suffix("}}").expect("closed"))
                .map(|by| by.write(moment, &mut out))
        } else {
            let pattern = template
                .strip_prefix("%{+")
                .and_then(|rest| rest.strip_suffix('}'))
                .expect("a date");
            JodaFormatter::compile(pattern).map(|by| by.write(moment, &mut out))
        };
        let expected = vector["result"].as_str();
        assert_eq!(compiled.is_ok(), expected.is_some(), "{line}");
        if let Some(expected) = expected {
            assert_eq!(String::from_utf8_lossy(&out), expected, "{line}");
        }
    }
}
