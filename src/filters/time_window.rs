//! `time_window`: replaces times that cannot be true by the time of arrival.

use std::time::Duration;

use crate::event::{Batch, EventId, Selection, slot};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{
    Build, Cx, Filter, FromSetting, Make, Options, PluginMetrics, PluginSpec, Setting, SettingKind,
    Verdict, per_event,
};
use crate::time::Timestamp;

options! {
    /// Options of the `time_window` filter.
    pub struct Config {
        /// How far before its arrival an event may lie: a number of seconds, or a number with a unit, such as `"400d"`,
        /// `"36 h"`, `"10 min"`, `"30 s"`, `"500 ms"` or `"2 weeks"`. Without it there is no bound.
        max_age: Option<Length>;
        /// How far after its arrival an event may lie, written in the same way: clocks differ, so allow some minutes.
        max_ahead: Option<Length>;
    }
}

/// The entry of the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "time_window",
    about: "Guards against times that cannot be true, such as those of a device whose clock was never set: each would open \
            an index of its own far in the past or future. An event whose `@timestamp` lies too far from its arrival gets \
            the time of its arrival; the time that it had is kept as text in `_@timestamp`, and the event is tagged \
            `_timestamp_out_of_range`. An event without `@timestamp` gets the time of its arrival too.\n\nThe common options \
            are applied to events within the window. Logstash does not have this filter.",
    options: Config::specs,
    make: Make::Filter(make),
};

const TAG: &[u8] = b"_timestamp_out_of_range";

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Length(pub Duration);

impl FromSetting for Length {
    const KIND: &'static str = "length of time";

    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let text = match &setting.kind {
            SettingKind::Text(text) => text.clone(),
            _ => String::from_setting(setting, build)?,
        };
        let example = "such as \"400d\", \"36 h\" or \"10 min\"";
        Length::parse(&text)
            .ok_or_else(|| format!("must be a length of time {example}, not `{text}`"))
    }
}

impl Length {
    fn parse(text: &str) -> Option<Length> {
        let text = text.trim();
        let digits = text
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let (number, unit) = text.split_at_checked(digits)?;
        let seconds = match unit.trim_start() {
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds)
            .ok()
            .map(Length)
    }
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    if config.max_age.is_none() && config.max_ahead.is_none() {
        let message = "`time_window` needs `max_age`, `max_ahead` or both";
        build.error_with_hint(
            "missing-option",
            message,
            plugin.name.span,
            "add `max_age => \"400d\"`",
        );
        return None;
    }
    let nanos = |length: Option<Length>| {
        length.map(|Length(length)| i128::try_from(length.as_nanos()).unwrap_or(i128::MAX))
    };
    Some(Box::new(TimeWindow {
        max_age: nanos(config.max_age),
        max_ahead: nanos(config.max_ahead),
    }))
}

/// Bounds in nanoseconds.
struct TimeWindow {
    max_age: Option<i128>,
    max_ahead: Option<i128>,
}

fn nanos(at: Timestamp) -> i128 {
    i128::from(at.secs) * 1_000_000_000 + i128::from(at.nanos)
}

impl TimeWindow {
    fn holds(&self, at: Timestamp, arrival: Timestamp) -> bool {
        let ahead = nanos(at) - nanos(arrival);
        self.max_ahead.is_none_or(|max| ahead <= max)
            && self.max_age.is_none_or(|max| -ahead <= max)
    }
}

impl Filter for TimeWindow {
    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let arrival = batch.now();
        let mut replaced = 0;
        per_event(batch, sel, cx, |batch, id, cx| match batch.timestamp(id) {
            Some(at) if self.holds(at, arrival) => Verdict::Matched,
            given => {
                if given.is_some() {
                    replaced += 1;
                    keep_given(batch, id, cx.buf);
                }
                batch.set_timestamp(id, arrival);
                Verdict::Unmatched
            }
        });
        PluginMetrics::add(&cx.metrics.failures, replaced);
    }
}

fn keep_given(batch: &mut Batch, id: EventId, buf: &mut Vec<u8>) {
    let given = batch.get_slot(id, slot::TIMESTAMP);
    buf.clear();
    batch.render(given, buf);
    let text = batch.push(buf);
    batch.set_slot(id, slot::BAD_TIMESTAMP, text);
    batch.tag(id, TAG);
}

#[cfg(test)]
mod tests {
    use super::{Length, SPEC};
    use crate::plugin::Ecs;
    use crate::plugin::testing::run_filter;
    use serde_json::{Value as Json, json};
    use std::time::Duration;

    /// Events of tests arrive at 2024-12-30T07:08:09Z; the helper leaves that time out.
    fn run(config: &str, at: &str) -> Json {
        let config = format!("time_window {{ {config} add_tag => inside }}");
        let mut run = run_filter(&SPEC, Ecs::V8, &config, &[json!({ "@timestamp": at })]).unwrap();
        run.events.remove(0)
    }

    #[test]
    fn times_outside_become_the_arrival() {
        let config = "max_age => '1 d' max_ahead => '10 min'";
        for inside in ["2024-12-29T07:08:09.000Z", "2024-12-30T07:18:09.000Z"] {
            assert_eq!(
                run(config, inside),
                json!({"@timestamp": inside, "tags": ["inside"]})
            );
        }
        for outside in [
            "2024-12-29T07:08:08.999Z",
            "2024-12-30T07:18:09.001Z",
            "1970-01-01T00:00:00.000Z",
            "2199-01-01T00:00:00.000Z",
        ] {
            assert_eq!(
                run(config, outside),
                json!({"_@timestamp": outside, "tags": ["_timestamp_out_of_range"]})
            );
        }
    }

    #[test]
    fn one_bound_is_enough() {
        assert_eq!(
            run("max_ahead => 60", "1970-01-01T00:00:00.000Z")["tags"],
            json!(["inside"])
        );
        assert_eq!(
            run("max_age => 60", "2199-01-01T00:00:00.000Z")["tags"],
            json!(["inside"])
        );
    }

    #[test]
    fn lengths() {
        for (text, seconds) in [
            ("400d", 34_560_000.0),
            ("36 h", 129_600.0),
            ("10 min", 600.0),
            ("1.5m", 90.0),
            ("90", 90.0),
            ("500 ms", 0.5),
            ("2 weeks", 1_209_600.0),
        ] {
            assert_eq!(
                Length::parse(text),
                Some(Length(Duration::from_secs_f64(seconds))),
                "{text}"
            );
        }
        for text in ["", "d", "5 years", "-1d", "1e5", "1.2.3s"] {
            assert_eq!(Length::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wrong_configs_are_refused() {
        for config in ["", "max_age => 'long'", "max_age => []"] {
            assert!(
                run_filter(&SPEC, Ecs::V8, &format!("time_window {{ {config} }}"), &[]).is_err(),
                "{config}"
            );
        }
    }
}
