//! `date`: reads a time from a field and sets `@timestamp` or another field to it.

use std::any::Any;

use crate::event::{Batch, EventId, Kind, Selection, Value};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::options::{FieldRef, NonEmpty, Options, Reader, Setting, SettingKind};
use crate::plugin::{
    Build, Cx, Filter, Make, PluginMetrics, PluginSpec, Sprintf, Verdict, per_event,
};
use crate::time::{
    Iso8601Parser, JodaParser, Timestamp, Zone, tai64n, unix_from_number, unix_from_text,
    unix_ms_from_number, unix_ms_from_text,
};

options! {
    /// Options of the `date` filter.
    pub struct Config {
        /// The field, then the formats to try, in order: `match => ["logdate", "ISO8601", "dd/MMM/yyyy:HH:mm:ss Z"]`.
        ///
        /// A format is a Joda-Time pattern, or one of these words:
        ///
        /// * `ISO8601`: dates as in `2024-01-02T03:04:05.678+01:00`, shortened from the right, week and ordinal dates, and
        ///   `2024-01-02 03:04:05,678` (with a blank, the fraction is needed);
        /// * `UNIX`: seconds since 1970, with or without a fraction, up to 2^31-1;
        /// * `UNIX_MS`: whole milliseconds since 1970;
        /// * `TAI64N`: an `@`, which may be left out, and 24 hexadecimal digits.
        ///
        /// `ISO8601`, `TAI64N` and patterns read text only; `UNIX` and `UNIX_MS` read text and numbers. What follows
        /// milliseconds is cut. A pattern without a year means the year in which that date is nearest to the arrival of
        /// the event, as far as December and January are concerned, else the present one.
        r#match: NonEmpty<Setting>;
        /// The field that gets the time.
        target: FieldRef = "@timestamp";
        /// Zone of texts that name none: a name such as `Europe/Berlin` or an offset such as `+05:30`; may hold `%{field}`.
        /// The zone of the machine when absent.
        timezone: Option<Sprintf>;
        /// Language of the names of months and days, such as `en` or `de-DE`. The machine's and English when absent.
        locale: Option<String>;
        /// Tags of an event whose field no format could read.
        tag_on_failure: Vec<String> = ["_dateparsefailure"];
    }
}

/// Catalogue entry.
pub const SPEC: PluginSpec = PluginSpec {
    name: "date",
    about: "Reads a time from a field and sets `@timestamp`, or another field, to it. An event without the field, or with \
            null in it, stays as it is and gets no tag.",
    options: Config::specs,
    make: Make::Filter(make),
};

/// One format of `match`.
#[derive(Debug)]
enum Format {
    Iso8601(Box<Iso8601Parser>),
    Unix,
    UnixMs,
    Tai64n,
    Joda(Box<JodaParser>),
}

#[derive(Debug)]
struct Date {
    source: FieldRef,
    formats: Vec<Format>,
    /// Reading a text again costs more than remembering it.
    remember: bool,
    target: FieldRef,
    /// Only a zone that depends on the event; a fixed one is in the formats.
    zone: Option<Sprintf>,
    tags: Vec<String>,
}

/// Texts up to this length are remembered, in bytes.
const REMEMBERED_LEN: usize = 48;

/// Zones that one worker remembers by the text that named them.
const REMEMBERED_ZONES: usize = 64;

/// What one worker remembers.
#[derive(Default)]
struct Scratch {
    /// The last text that was read in this run, and what came of it: many lines of one second follow each other.
    last: Vec<u8>,
    last_time: Option<Timestamp>,
    zones: Vec<(Vec<u8>, Option<Zone>)>,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    let reader = Reader::unchecked(plugin, build);
    let (zone_span, target_span) = (reader.span("timezone"), reader.span("match"));
    let mut fixed_zone = None;
    if let Some(id) = config.timezone.as_ref().and_then(Sprintf::as_literal) {
        match Zone::parse(id) {
            Ok(zone) => fixed_zone = Some(zone),
            Err(error) => {
                let hint = "use a name such as `Europe/Berlin` or an offset such as `+02:00`";
                build.error_with_hint(
                    "timezone",
                    format!("`timezone` of `date`: {error}"),
                    zone_span,
                    hint,
                );
                return None;
            }
        }
    }
    let mut settings = config.r#match.0.iter();
    let source = settings.next().and_then(|setting| field(setting, build))?;
    let formats: Vec<Option<Format>> = settings
        .map(|setting| format(setting, config.locale.as_deref(), fixed_zone, build))
        .collect();
    if formats.is_empty() {
        let message = "`match` of `date` needs a field and at least one format";
        build.error_with_hint(
            "option-value",
            message,
            target_span,
            "for example: match => [\"logdate\", \"ISO8601\"]",
        );
        return None;
    }
    let formats = formats.into_iter().collect::<Option<Vec<Format>>>()?;
    let zone = config.timezone.filter(|zone| zone.as_literal().is_none());
    Some(Box::new(Date {
        source,
        remember: !matches!(formats.as_slice(), [Format::Iso8601(_)]),
        formats,
        target: config.target,
        zone,
        tags: config.tag_on_failure,
    }))
}

fn field(setting: &Setting, build: &mut Build<'_>) -> Option<FieldRef> {
    use crate::plugin::FromSetting;
    match FieldRef::from_setting(setting, build) {
        Ok(field) => Some(field),
        Err(error) => {
            build.error(
                "field-reference",
                format!("the first element of `match` of `date` {error}"),
                setting.span,
            );
            None
        }
    }
}

fn format(
    setting: &Setting,
    locale: Option<&str>,
    zone: Option<Zone>,
    build: &mut Build<'_>,
) -> Option<Format> {
    let text = match &setting.kind {
        SettingKind::Text(text) => text.as_str(),
        SettingKind::Number(number) => number.text(),
        _ => {
            build.error(
                "option-value",
                "`match` of `date` must be a list of texts",
                setting.span,
            );
            return None;
        }
    };
    Some(match text {
        "ISO8601" => Format::Iso8601(Box::new(Iso8601Parser::new(zone))),
        "UNIX" => Format::Unix,
        "UNIX_MS" => Format::UnixMs,
        "TAI64N" => Format::Tai64n,
        pattern => match JodaParser::compile(pattern, locale, zone) {
            Ok(parser) => Format::Joda(Box::new(parser)),
            Err(error) => {
                build.error(
                    "date-pattern",
                    format!("`match` of `date`: {error}"),
                    setting.span,
                );
                return None;
            }
        },
    })
}

impl Format {
    fn read_text(&self, text: &[u8], zone: Option<Zone>, now: Timestamp) -> Option<Timestamp> {
        match (self, zone) {
            (Format::Iso8601(parser), None) => parser.parse(text),
            (Format::Iso8601(parser), Some(zone)) => parser.parse_in(text, zone),
            (Format::Joda(parser), None) => parser.parse(text, now),
            (Format::Joda(parser), Some(zone)) => parser.parse_in(text, zone, now),
            (Format::Unix, _) => unix_from_text(text),
            (Format::UnixMs, _) => unix_ms_from_text(text),
            (Format::Tai64n, _) => tai64n(text),
        }
    }

    fn read_number(&self, text: &[u8]) -> Option<Timestamp> {
        match self {
            Format::Unix => unix_from_number(text),
            Format::UnixMs => unix_ms_from_number(text),
            Format::Iso8601(_) | Format::Tai64n | Format::Joda(_) => None,
        }
    }
}

impl Date {
    fn read(
        &self,
        batch: &mut Batch,
        id: EventId,
        value: Value,
        cx: &mut Cx<'_>,
    ) -> Option<Timestamp> {
        let now = batch.now();
        match value.kind() {
            Kind::Str => {}
            Kind::Int | Kind::Float => {
                let text = batch.bytes(value);
                return self
                    .formats
                    .iter()
                    .find_map(|format| format.read_number(text));
            }
            _ => return None,
        }
        let scratch = cx.scratch.downcast_mut::<Scratch>()?;
        if let Some(zone) = &self.zone {
            cx.buf.clear();
            zone.render(batch, id, cx.buf);
            let zone = scratch.zone(cx.buf)?;
            let text = batch.bytes(value);
            return self
                .formats
                .iter()
                .find_map(|format| format.read_text(text, Some(zone), now));
        }
        let text = batch.bytes(value);
        if self.remember && scratch.last_time.is_some() && scratch.last == text {
            return scratch.last_time;
        }
        let time = self
            .formats
            .iter()
            .find_map(|format| format.read_text(text, None, now))?;
        if self.remember && text.len() <= REMEMBERED_LEN {
            scratch.last.clear();
            scratch.last.extend_from_slice(text);
            scratch.last_time = Some(time);
        }
        Some(time)
    }

    /// Sets the target; false when it cannot hold a time.
    fn set(&self, batch: &mut Batch, id: EventId, time: Timestamp) -> bool {
        let time = batch.push_time(time);
        batch.set(id, &self.target.path, time).is_ok()
    }
}

impl Scratch {
    /// The zone that a text names; none when it names none.
    fn zone(&mut self, id: &[u8]) -> Option<Zone> {
        if let Some((_, zone)) = self.zones.iter().find(|(known, _)| known == id) {
            return *zone;
        }
        let zone = std::str::from_utf8(id)
            .ok()
            .and_then(|id| Zone::parse(id).ok());
        if self.zones.len() == REMEMBERED_ZONES {
            self.zones.clear();
        }
        if id.len() <= REMEMBERED_LEN {
            self.zones.push((id.to_vec(), zone));
        }
        zone
    }
}

impl Filter for Date {
    fn scratch(&self) -> Box<dyn Any + Send> {
        Box::new(Scratch::default())
    }

    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        // What a text without a year means depends on the batch's arrival time.
        if let Some(scratch) = cx.scratch.downcast_mut::<Scratch>() {
            scratch.last_time = None;
        }
        let (mut matches, mut failures) = (0, 0);
        per_event(batch, sel, cx, |batch, id, cx| {
            let value = batch.get(id, &self.source.path);
            if value.is_nil() {
                return Verdict::Unmatched;
            }
            if let Some(time) = self.read(batch, id, value, cx)
                && self.set(batch, id, time)
            {
                matches += 1;
                return Verdict::Matched;
            }
            failures += 1;
            for tag in &self.tags {
                batch.tag(id, tag.as_bytes());
            }
            Verdict::Unmatched
        });
        PluginMetrics::add(&cx.metrics.matches, matches);
        PluginMetrics::add(&cx.metrics.failures, failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Ecs;
    use crate::plugin::testing::{FilterRun, run_filter};
    use serde_json::{Value as Json, json};

    fn run(config: &str, events: &[Json]) -> FilterRun {
        run_filter(&SPEC, Ecs::V8, &format!("date {{ {config} }}"), events).unwrap()
    }

    fn one(config: &str, event: Json) -> Json {
        run(config, &[event]).events.remove(0)
    }

    fn refused(config: &str) -> String {
        let Err(diagnostics) = run_filter(&SPEC, Ecs::V8, &format!("date {{ {config} }}"), &[])
        else {
            panic!("`{config}` was accepted");
        };
        diagnostics
            .iter()
            .map(|diagnostic| diagnostic.message.clone())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// A golden vector's options as config text.
    fn config_text(config: &Json) -> String {
        let options = config
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name} => {value}"));
        options.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn golden_vectors() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/golden/golden-filters.jsonl"
        );
        let text = std::fs::read_to_string(path).unwrap();
        let mut passed = 0;
        for line in text.lines() {
            let vector: Json = serde_json::from_str(line).unwrap();
            if vector["plugin"] != "date" {
                continue;
            }
            let config = config_text(&vector["config"]);
            let out = run(
                &format!("{config} add_field => {{ \"done\" => \"1\" }}"),
                &[vector["event"].clone()],
            );
            let mut wanted = vector["result"].clone();
            if vector["matched"] == true {
                wanted["done"] = json!("1");
            }
            if vector["config"]["match"][1] == "xxxx-'W'ww-e" {
                // The year is overwritten by the one in which the vector was recorded; here it is the batch's: of a
                // January seen in December, the next.
                wanted["out"] = json!("2025-01-30T00:00:00.000Z");
            }
            assert_eq!(out.events, [wanted], "{line}");
            passed += 1;
        }
        assert!(passed >= 50, "only {passed} vectors");
    }

    #[test]
    fn timestamp_is_the_default_target() {
        let out = one(r#"match => ["t", "UNIX"]"#, json!({"t": 1_700_000_000}));
        assert_eq!(
            out,
            json!({"t": 1_700_000_000, "@timestamp": "2023-11-14T22:13:20.000Z"})
        );
    }

    #[test]
    fn fields_may_be_nested_and_the_target_replaced() {
        let config = r#"match => ["[a][t]", "ISO8601"] target => "[a][t]" timezone => "UTC""#;
        assert_eq!(
            one(config, json!({"a": {"t": "2024-01-02T03:04:05,6", "b": 1}})),
            json!({"a": {"t": "2024-01-02T03:04:05.600Z", "b": 1}})
        );
    }

    #[test]
    fn missing_and_null_are_left_alone() {
        let out = run(
            r#"match => ["t", "UNIX"] add_tag => "done""#,
            &[json!({"a": 1}), json!({"t": null})],
        );
        assert_eq!(out.events, [json!({"a": 1}), json!({"t": null})]);
        assert_eq!(out.metrics.failures.into_inner(), 0);
    }

    #[test]
    fn other_kinds_of_values_fail() {
        let events = [
            json!({"t": true}),
            json!({"t": {"a": 1}}),
            json!({"t": [1_700_000_000]}),
        ];
        let out = run(
            r#"match => ["t", "UNIX", "ISO8601"] tag_on_failure => ["a", "b"]"#,
            &events,
        );
        for event in &out.events {
            assert_eq!(event["tags"], json!(["a", "b"]));
        }
        assert_eq!(out.metrics.failures.into_inner(), 3);
        let out = one(r#"match => ["@timestamp", "ISO8601"]"#, json!({}));
        assert_eq!(out["tags"], json!(["_dateparsefailure"]));
    }

    #[test]
    fn a_target_that_cannot_be_set_is_a_failure() {
        let out = one(
            r#"match => ["t", "UNIX"] target => "[t][x]""#,
            json!({"t": "5"}),
        );
        assert_eq!(out, json!({"t": "5", "tags": ["_dateparsefailure"]}));
    }

    #[test]
    fn the_zone_may_come_from_the_event() {
        let config =
            r#"match => ["t", "yyyy-MM-dd HH:mm", "ISO8601"] target => "o" timezone => "%{z}""#;
        let events = [
            json!({"t": "2024-01-02 03:04", "z": "Europe/Berlin"}),
            json!({"t": "2024-01-02T03:04", "z": "+05:30"}),
            json!({"t": "2024-01-02 03:04", "z": "Europe/Berlin"}),
            json!({"t": "2024-01-02 03:04", "z": "nowhere"}),
            json!({"t": "2024-01-02 03:04"}),
        ];
        let out = run(config, &events).events;
        assert_eq!(out[0]["o"], "2024-01-02T02:04:00.000Z");
        assert_eq!(out[1]["o"], "2024-01-01T21:34:00.000Z");
        assert_eq!(out[2]["o"], "2024-01-02T02:04:00.000Z");
        assert_eq!(out[3]["tags"], json!(["_dateparsefailure"]));
        assert_eq!(out[4]["tags"], json!(["_dateparsefailure"]));
    }

    #[test]
    fn repeated_texts_read_the_same() {
        let texts = ["2024-01-02", "2024-01-02", "x", "2024-01-02", "2024-01-03"];
        let events = texts.map(|text| json!({"t": text}));
        let out = run(
            r#"match => ["t", "yyyy-MM-dd"] target => "o" timezone => "UTC""#,
            &events,
        );
        let got: Vec<Json> = out.events.iter().map(|event| event["o"].clone()).collect();
        let (first, next) = ("2024-01-02T00:00:00.000Z", "2024-01-03T00:00:00.000Z");
        assert_eq!(
            got,
            [
                json!(first),
                json!(first),
                Json::Null,
                json!(first),
                json!(next)
            ]
        );
        assert_eq!(
            (
                out.metrics.matches.into_inner(),
                out.metrics.failures.into_inner()
            ),
            (4, 1)
        );
    }

    #[test]
    fn a_year_is_guessed_by_the_arrival() {
        // The batch arrives in December 2024.
        let config =
            r#"match => ["t", "MMM dd HH:mm:ss"] target => "o" timezone => "UTC" locale => "en""#;
        let of = |text: &str| one(config, json!({"t": text}))["o"].clone();
        assert_eq!(of("Dec 30 01:02:03"), "2024-12-30T01:02:03.000Z");
        assert_eq!(of("Mar 01 01:02:03"), "2024-03-01T01:02:03.000Z");
        assert_eq!(of("Jan 01 01:02:03"), "2025-01-01T01:02:03.000Z");
    }

    #[test]
    fn mistakes_are_reported() {
        assert!(refused(r#"match => ["t"]"#).contains("at least one format"));
        assert!(refused(r#"match => ["t", "yyyy-bb"]"#).contains("`b`"));
        assert!(refused(r#"match => ["t[", "ISO8601"]"#).contains("field reference"));
        assert!(
            refused(r#"match => ["t", "ISO8601"] timezone => "Mars/Base""#).contains("Mars/Base")
        );
        assert!(refused(r#"match => ["t", "MMM"] locale => "xx""#).contains("xx"));
        assert!(refused(r#"target => "x""#).contains("match"));
    }
}
