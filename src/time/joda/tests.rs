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
        let mut formats = config["match"].as_array().expect("formats").iter().skip(1);
        let read = formats.find_map(|format| {
            read_value(
                format.as_str()?,
                &vector["event"]["t"],
                config["locale"].as_str(),
                zone,
            )
        });
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

#[test]
fn usual_log_dates() {
    for (pattern, text, moment) in [
        (
            "dd/MMM/yyyy:HH:mm:ss Z",
            "10/Oct/2000:13:55:36 -0700",
            "2000-10-10T20:55:36.000Z",
        ),
        (
            "yyyyMMddHHmmss",
            "20240102030405",
            "2024-01-02T03:04:05.000Z",
        ),
        (
            "yyyy-MM-dd HH:mm:ss,SSS",
            "2026-04-20 15:30:45,123",
            "2026-04-20T15:30:45.123Z",
        ),
        (
            "yyyy-MM-dd'T'HH:mm:ssZ",
            "2026-04-20T15:30:47+0000",
            "2026-04-20T15:30:47.000Z",
        ),
        (
            "EEE MMM dd HH:mm:ss yyyy",
            "TUE JAN 02 03:04:05 2024",
            "2024-01-02T03:04:05.000Z",
        ),
        (
            "d/M/yy h:mm a",
            "2/1/24 12:04 am",
            "2024-01-02T00:04:00.000Z",
        ),
        (
            "MM-dd-yyyy KK:mm a",
            "01-02-2024 00:30 PM",
            "2024-01-02T12:30:00.000Z",
        ),
        ("yyyy-MM-dd kk", "2024-01-02 24", "2024-01-02T00:00:00.000Z"),
        ("yyyy 'at' D", "2024 AT 60", "2024-02-29T00:00:00.000Z"),
        ("yyyy-MM-dd z", "2024-07-02 PDT", "2024-07-02T07:00:00.000Z"),
        (
            "yyyy-MM-dd z",
            "2024-07-02 CEST",
            "2024-07-01T22:00:00.000Z",
        ),
        ("G Y", "BC 24", "-0023-01-01T00:00:00.000Z"),
        ("yyyy", "+12024", "+12024-01-01T00:00:00.000Z"),
        ("yyyy", "-0001", "-0001-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(
            parse(pattern, text).as_deref(),
            Some(moment),
            "{pattern} {text}"
        );
    }
    for (pattern, text) in [
        ("yyyy-MM-dd", "2023-02-29"),
        ("yyyy-MM-dd", "2024-13-01"),
        ("yyyy-MM-dd", "2024-00-01"),
        ("HH:mm:ss", "23:59:60"),
        ("hh", "00"),
        ("yyyy-MM-dd", " 2024-01-02"),
        ("YYYY", "0000"),
        ("yyyy", "9999999999"),
        ("yyyy", "999999999"),
        ("dd MMM", "02 Foo"),
        ("Z", "+2500"),
        ("ZZZ", "Europe/Nowhere"),
    ] {
        assert_eq!(parse(pattern, text), None, "{pattern} {text}");
    }
}

#[test]
fn languages() {
    for (locale, pattern, text, moment) in [
        (
            "de",
            "dd MMM yyyy",
            "02 Okt. 2024",
            "2024-10-02T00:00:00.000Z",
        ),
        (
            "de",
            "dd. MMM yyyy",
            "02. Okt 2024",
            "2024-10-02T00:00:00.000Z",
        ),
        (
            "de-AT",
            "EEEE, d. MMMM yyyy",
            "Dienstag, 2. Jänner 2024",
            "2024-01-02T00:00:00.000Z",
        ),
        (
            "fr",
            "d MMMM yyyy",
            "1 août 2024",
            "2024-08-01T00:00:00.000Z",
        ),
        (
            "fr-FR",
            "d MMM yyyy",
            "1 DÉC. 2024",
            "2024-12-01T00:00:00.000Z",
        ),
        ("es", "d MMM yyyy", "1 ene 2024", "2024-01-01T00:00:00.000Z"),
        ("it", "d MMM yyyy", "1 mag 2024", "2024-05-01T00:00:00.000Z"),
        (
            "pt-BR",
            "d MMMM yyyy",
            "1 março 2024",
            "2024-03-01T00:00:00.000Z",
        ),
        (
            "nl",
            "d MMM yyyy",
            "1 mrt. 2024",
            "2024-03-01T00:00:00.000Z",
        ),
    ] {
        assert_eq!(
            parse_in(pattern, text, locale, "UTC").as_deref(),
            Some(moment),
            "{locale} {text}"
        );
    }
    assert_eq!(parse_in("dd MMM yyyy", "02 Oct 2024", "de", "UTC"), None);
    let unknown = JodaParser::compile("dd MMM yyyy", Some("tlh"), None);
    assert!(matches!(unknown, Err(JodaError::UnknownLocale { .. })));
    assert!(JodaParser::compile("yyyy-MM-dd", Some("tlh"), None).is_ok());
}

#[test]
fn english_is_tried_after_the_systems_language() {
    let mut parser =
        JodaParser::compile("dd MMM yyyy", Some("de"), Some(Zone::UTC)).expect("legal");
    parser.english_too = true;
    for text in ["02 Okt. 2024", "02 Oct 2024"] {
        let read = parser
            .parse(text.as_bytes(), NOW)
            .map(|moment| moment.to_string());
        assert_eq!(read.as_deref(), Some("2024-10-02T00:00:00.000Z"));
    }
}

#[test]
fn a_missing_year_is_guessed() {
    let parser =
        JodaParser::compile("MMM dd HH:mm:ss", Some("en"), Some(Zone::UTC)).expect("legal");
    let at = |text: &str, now: &str| {
        let now = parse_event_timestamp(now.as_bytes(), &Zone::UTC).expect("a moment");
        parser
            .parse(text.as_bytes(), now)
            .map(|moment| moment.to_string())
    };
    let january = "2026-01-03T12:00:00Z";
    let december = "2025-12-30T12:00:00Z";
    assert_eq!(
        at("Dec 31 23:59:59", january).as_deref(),
        Some("2025-12-31T23:59:59.000Z")
    );
    assert_eq!(
        at("Jan 01 00:00:00", december).as_deref(),
        Some("2026-01-01T00:00:00.000Z")
    );
    assert_eq!(
        at("Nov 01 00:00:00", january).as_deref(),
        Some("2026-11-01T00:00:00.000Z")
    );
    assert_eq!(
        at("Feb 29 00:00:00", january).as_deref(),
        Some("2026-02-28T00:00:00.000Z")
    );
    assert_eq!(at("Feb 30 00:00:00", january), None);

    let summer = |text: &str| parse_in("MMM dd HH:mm:ss", text, "en", "Europe/Berlin");
    assert_eq!(
        summer("Jul 01 12:00:00").as_deref(),
        Some("2026-07-01T10:00:00.000Z")
    );
}

#[test]
fn zone_of_the_event_replaces_the_default() {
    let parser = JodaParser::compile("yyyy-MM-dd HH", None, Some(Zone::UTC)).expect("legal");
    let berlin = Zone::parse("Europe/Berlin").expect("known");
    let read = parser
        .parse_in(b"2024-01-02 03", berlin, NOW)
        .map(|moment| moment.to_string());
    assert_eq!(read.as_deref(), Some("2024-01-02T02:00:00.000Z"));
    let read = Iso8601Parser::new(None)
        .parse_in(b"2024-01-02T03:04", berlin)
        .map(|moment| moment.to_string());
    assert_eq!(read.as_deref(), Some("2024-01-02T02:04:00.000Z"));
}

#[test]
fn iso_dates() {
    let parser = Iso8601Parser::new(Some(Zone::UTC));
    let read = |text: &str| {
        parser
            .parse(text.as_bytes())
            .map(|moment| moment.to_string())
    };
    for (text, moment) in [
        ("2024-01-02T03:04:05.678Z", "2024-01-02T03:04:05.678Z"),
        ("2024-01-02T03:04:05,678", "2024-01-02T03:04:05.678Z"),
        ("2024-01-02t03:04:05z", "2024-01-02T03:04:05.000Z"),
        ("2024-01-02T03:04.5", "2024-01-02T03:04:30.000Z"),
        ("2024-01-02T03.5", "2024-01-02T03:30:00.000Z"),
        ("2024-01-02T03+0100", "2024-01-02T02:00:00.000Z"),
        ("2024-01-02T+01:00", "2024-01-01T23:00:00.000Z"),
        ("2024-01-02T", "2024-01-02T00:00:00.000Z"),
        ("2024-1-2", "2024-01-02T00:00:00.000Z"),
        ("2024-01", "2024-01-01T00:00:00.000Z"),
        ("2024", "2024-01-01T00:00:00.000Z"),
        ("2024-060", "2024-02-29T00:00:00.000Z"),
        ("2024-W05", "2024-01-29T00:00:00.000Z"),
        ("T03:04", "1970-01-01T03:04:00.000Z"),
        ("2024-01-02 03:04:05.678+0200", "2024-01-02T01:04:05.678Z"),
        ("2024-01-02 03:04:05,678", "2024-01-02T03:04:05.678Z"),
        ("2024-01-02 03:04:05,678Z", "2024-01-02T03:04:05.678Z"),
    ] {
        assert_eq!(read(text).as_deref(), Some(moment), "{text}");
    }
    for text in [
        "",
        "2024-01-02 03:04:05",
        "20240102T030405Z",
        "2024-02-30",
        "2024-01-02T24:00",
        "1700000000",
        "2024-01-02 03:04:05.6789",
        "x",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn written_dates() {
    let moment = Timestamp {
        secs: 1_735_542_489,
        nanos: 123_456_789,
    };
    for (pattern, expected) in [
        ("YYYY.MM.dd", "2024.12.30"),
        ("xxxx.ww xx", "2025.01 25"),
        ("yyyy.MM.dd.HH", "2024.12.30.07"),
        ("EEEE, d MMMM yy G", "Monday, 30 December 24 AD"),
        ("S SS SSSSSS", "1 12 123000"),
        ("z zzzz ZZZ", "UTC Coordinated Universal Time UTC"),
        ("k K h H a", "7 7 7 7 AM"),
        ("CC DDDD 'it''s'", "20 0365 it's"),
    ] {
        let mut out = Vec::new();
        JodaFormatter::compile(pattern)
            .expect("legal")
            .write(moment, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{pattern}");
    }
    let finest = |pattern: &str| {
        JodaFormatter::compile(pattern)
            .expect("legal")
            .granularity()
    };
    assert_eq!(finest("'logs'-yyyy.MM.dd"), Granularity::Day);
    assert_eq!(finest("yyyy.MM.dd.HH"), Granularity::Hour);
    assert_eq!(finest("mm.HH"), Granularity::Minute);
    assert_eq!(finest("ss"), Granularity::Second);
    assert_eq!(finest("SSS"), Granularity::Sub);
}

#[test]
fn patterns_are_bounded() {
    assert!(matches!(
        JodaParser::compile(&"dM".repeat(20), None, None),
        Err(JodaError::TooManyFields { .. })
    ));
    assert!(matches!(
        JodaParser::compile("", None, None),
        Err(JodaError::Empty)
    ));
    let error = JodaParser::compile("yyyy-MM-ddTHH", None, None).expect_err("T has no meaning");
    assert_eq!(
        error.to_string(),
        "`T` in the date pattern `yyyy-MM-ddTHH` has no meaning: put text between single quotes"
    );
}

const QUICK_LETTERS: [&str; 22] = [
    "yyyy", "YYYY", "y", "MM", "M", "MMM", "dd", "d", "EEE", "HH", "H", "hh", "h", "a", "mm", "ss",
    "SSS", "SSSSSS", "Z", "ZZ", "ZZZ", "z",
];

#[test]
fn usual_patterns_have_a_quick_way() {
    for (pattern, text) in [
        ("dd/MMM/yyyy:HH:mm:ss Z", "10/Oct/2000:13:55:36 -0700"),
        ("MMM dd HH:mm:ss", "Oct 10 13:55:36"),
        ("MMM  d HH:mm:ss", "Oct  1 13:55:36"),
        ("yyyy-MM-dd HH:mm:ss,SSS", "2026-04-20 15:30:45,123"),
        ("yyyyMMddHHmmss", "20240102030405"),
        ("EEE MMM dd HH:mm:ss yyyy", "Tue Jan 02 03:04:05 2024"),
        ("M/d/yyyy h:mm:ss a", "1/2/2024 3:04:05 PM"),
    ] {
        let parser = JodaParser::compile(pattern, Some("en"), None).expect("legal");
        assert!(
            parser
                .quick
                .is_some_and(|quick| quick.read(text.as_bytes()).is_some()),
            "{pattern}"
        );
    }
}

proptest! {
    #![proptest_config(crate::time::property_config())]

    #[test]
    fn what_is_written_can_be_read(
        pattern in prop::sample::select(vec![
            "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            "yyyyMMddHHmmssSSS",
            "EEE, dd MMM yyyy HH:mm:ss.SSS ZZ",
            "EEEE d MMMM yyyy h:mm:ss.SSS a",
            "yyyy-DDD kk:mm:ss.SSS",
            "ww xxxx e HH:mm:ss.SSS 'y'",
        ]),
        millis in -2_000_000_000_000_i64..8_000_000_000_000,
    ) {
        let moment = Timestamp::from_millis(millis);
        let mut text = Vec::new();
        JodaFormatter::compile(pattern).expect("legal").write(moment, &mut text);
        let parser = JodaParser::compile(pattern, Some("en"), Some(Zone::UTC)).expect("legal");
        prop_assert_eq!(parser.parse(&text, NOW), Some(moment), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn iso_quick_way_agrees_with_the_elements(
        text in "20[0-9]{2}-[01][0-9]-[0-3][0-9][T t][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.,][0-9]{0,10})?(Z|z|[+-][012][0-9]:?[0-6][0-9]|.)?",
    ) {
        let reading = Reading { names: &ENGLISH, now: NOW };
        let parser = Iso8601Parser::new(Some(Zone::UTC));
        let general = std::iter::once(&parser.iso)
            .chain(&parser.spaced)
            .find_map(|elements| read_whole(elements, text.as_bytes(), reading)?.moment(parser.zone))
            .map(|parsed| Timestamp::from_millis(parsed.utc_ms));
        prop_assert_eq!(parser.parse(text.as_bytes()), general);
    }

    #[test]
    fn the_quick_way_agrees_with_the_general_one(
        letters in prop::collection::vec((prop::sample::select(QUICK_LETTERS.to_vec()), prop::sample::select(vec![" ", "-", "/", ":", "", "'T'", ".", ", "])), 1..8),
        millis in -80_000_000_000_000_i64..250_000_000_000_000,
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"0123456789:-+Z. tA".to_vec()), 0..3_u8), 0..3),
    ) {
        let pattern: String = letters.into_iter().map(|(letter, mark)| [letter, mark].concat()).collect();
        let mut text = Vec::new();
        JodaFormatter::compile(&pattern).expect("legal").write(Timestamp::from_millis(millis), &mut text);
        for (place, byte, kind) in edits {
            let at = place.index(text.len() + 1);
            match kind {
                0 if at < text.len() => text[at] = byte,
                1 if at < text.len() => { text.remove(at); }
                _ => text.insert(at, byte),
            }
        }
        let parser = JodaParser::compile(&pattern, Some("en"), Some(Zone::UTC)).expect("legal");
        if let Some(quick) = parser.quick.and_then(|quick| quick.read(&text)) {
            let general = read_whole(&parser.elements, &text, Reading { names: &ENGLISH, now: NOW });
            prop_assert_eq!(Some(quick), general, "{} {}", pattern, String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn any_pattern_and_text(
        pattern in "[GCxyYMdahHkKmsSeEDwzZ'é :/-]{0,12}|\\PC{0,12}",
        text in proptest::collection::vec(any::<u8>(), 0..40),
        digits in "[0-9:/ +Z.-]{0,24}",
        secs: i64,
    ) {
        if let Ok(parser) = JodaParser::compile(&pattern, Some("de"), Some(Zone::UTC)) {
            let _ = parser.parse(&text, NOW);
            let _ = parser.parse(digits.as_bytes(), Timestamp { secs, nanos: 0 });
        }
        if let Ok(formatter) = JodaFormatter::compile(&pattern) {
            formatter.write(Timestamp { secs, nanos: 0 }, &mut Vec::new());
        }
        let _ = Iso8601Parser::new(None).parse(&text);
        let _ = Iso8601Parser::new(None).parse(digits.as_bytes());
    }

    #[test]
    fn any_number(text in "\\PC{0,30}|[0-9.eE+-]{0,30}") {
        let _ = unix_from_text(text.as_bytes());
        let _ = unix_from_number(text.as_bytes());
        let _ = unix_ms_from_number(text.as_bytes());
        let _ = tai64n(text.as_bytes());
    }
}
