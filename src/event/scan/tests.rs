//! What the pass accepts, refuses and hands out; and what it costs.

#![allow(clippy::cast_possible_truncation, reason = "test texts are short")]

use std::fmt::Write as _;
use std::time::Instant;

use proptest::prelude::*;

use super::RawKind::{Array, EscStr, Int, Null, Object, Str};
use super::*;
use crate::event::text::unescape;

fn limits() -> Limits {
    Limits {
        max_depth: 5,
        max_number_len: 20,
    }
}

fn fields(text: &[u8]) -> Result<Vec<RawField>, JsonError> {
    let mut out = Vec::new();
    walk_object(
        &mut Scanner::new(),
        text,
        0,
        text.len() as u32,
        &limits(),
        &mut out,
    )?;
    Ok(out)
}

/// The fields as `key=kind:value` texts.
fn listed(text: &str) -> Vec<String> {
    let part = |(from, to): Stretch| &text[from as usize..to as usize];
    let fields = fields(text.as_bytes()).unwrap();
    fields
        .iter()
        .map(|field| format!("{}={:?}:{}", part(field.key), field.kind, part(field.value)))
        .collect()
}

fn problem(text: &[u8]) -> (Problem, u32) {
    let error =
        validate_value(&mut Scanner::new(), text, 0, text.len() as u32, &limits()).unwrap_err();
    (error.what, error.at)
}

#[test]
fn fields_come_in_their_order_with_kind_and_place() {
    assert_eq!(
        listed(
            r#" {"a":1 ,"b": -2.5e3, "c":"x" ,"d" : "y\n","":null,"e":true,"f":false,"g":{"h":[1]},"i":[ ],"a":2} "#
        ),
        [
            "a=Int:1",
            "b=Float:-2.5e3",
            "c=Str:x",
            "d=EscStr:y\\n",
            "=Null:null",
            "e=True:true",
            "f=False:false",
            "g=Object:{\"h\":[1]}",
            "i=Array:[ ]",
            "a=Int:2",
        ]
    );
    assert_eq!(listed("{}"), [""; 0]);
    assert_eq!(listed("\r\n\t{ \n}\r"), [""; 0]);
    assert_eq!(
        listed("{\n\t\"a\" :\r\n\"x\"\t,\n\"b\"\n:\n2\n}\r\n"),
        ["a=Str:x", "b=Int:2"]
    );
}

#[test]
fn escaped_keys_are_told() {
    let fields = fields(br#"{"a\u0062":1,"ab":2,"\"":"3"}"#).unwrap();
    assert_eq!(
        fields
            .iter()
            .map(|field| field.key_escaped)
            .collect::<Vec<_>>(),
        [true, false, true]
    );
}

#[test]
fn strings_of_every_length_end_at_their_quote() {
    for key_len in 0..140 {
        for value_len in [0, 1, 7, 50, 55, 56, 57, 63, 64, 65, 129] {
            for separator in [":", ": ", " : "] {
                let (key, value) = ("k".repeat(key_len), "v".repeat(value_len));
                let text =
                    format!("{{\"{key}\"{separator}\"{value}\",\"z\"{separator}\"\\\"{value}\"}}");
                assert_eq!(
                    listed(&text),
                    [
                        format!("{key}=Str:{value}"),
                        format!("z=EscStr:\\\"{value}")
                    ]
                );
            }
        }
    }
}

#[test]
fn elements_come_in_their_order() {
    let text = br#"[1, "two" ,[3],{"four":4},null,"f\tive"]"#;
    let (mut walked, mut listed) = (Vec::new(), Vec::new());
    walk_array(
        &mut Scanner::new(),
        text,
        0,
        text.len() as u32,
        &limits(),
        &mut walked,
    )
    .unwrap();
    elements_of_valid(text, 0, text.len() as u32, &mut listed);
    assert_eq!(walked, listed);
    let kinds: Vec<RawKind> = walked.iter().map(|element| element.0).collect();
    assert_eq!(kinds, [Int, Str, Array, Object, Null, EscStr]);
    assert_eq!(
        &text[walked[1].1.0 as usize..walked[1].1.1 as usize],
        b"two"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    use Problem::*;
    let cases: &[(&[u8], Problem, u32)] = &[
        (b"", Empty, 0),
        (b" \t\r\n", Empty, 0),
        (b"{", UnexpectedEnd, 1),
        (b"{\"a\"", UnexpectedEnd, 4),
        (b"{\"a\":", UnexpectedEnd, 5),
        (b"{\"a\":1", UnexpectedEnd, 6),
        (b"{\"a\":1,", UnexpectedEnd, 7),
        (b"{\"a\":1,}", UnexpectedByte, 7),
        (b"{,}", UnexpectedByte, 1),
        (b"{\"a\" 1}", UnexpectedByte, 5),
        (b"{\"a\":1 \"b\":2}", UnexpectedByte, 7),
        (b"{a:1}", UnexpectedByte, 1),
        (b"{'a':1}", UnexpectedByte, 1),
        (b"{1:1}", UnexpectedByte, 1),
        (b"[1,]", UnexpectedByte, 3),
        (b"[1}", UnexpectedByte, 2),
        (b"{\"a\":[1,2}", UnexpectedByte, 9),
        (b"[1 2]", UnexpectedByte, 3),
        (b"[1\x0B]", UnexpectedByte, 2),
        (b"{\"a\":1\0}", UnexpectedByte, 6),
        (b"{} {}", TrailingData, 3),
        (b"{}x", TrailingData, 2),
        (b"1\0", TrailingData, 1),
        (b"nul", UnexpectedByte, 0),
        (b"nulL", UnexpectedByte, 0),
        (b"truefalse", TrailingData, 4),
        (b"fals", UnexpectedByte, 0),
        (b"falsy", UnexpectedByte, 0),
        (b"{\"a\":\"b", UnterminatedString, 5),
        (b"{\"a\":\"b\\\"}", UnterminatedString, 5),
        (b"{\"a\":\"b\\", BadEscape, 7),
        (b"\"\\x41\"", BadEscape, 1),
        (b"\"\\u12G4\"", BadEscape, 1),
        (b"\"\\u12\"", BadEscape, 1),
        (b"\"\\u+123\"", BadEscape, 1),
        (b"\"ab\\ud83d\"", LoneSurrogate, 3),
        (b"\"\\ude00\\ud83d\"", LoneSurrogate, 1),
        (b"\"\\ud83d\\ud83d\\ude00\"", LoneSurrogate, 1),
        (b"\"\\ud83d\\u0041\"", LoneSurrogate, 1),
        (b"\"\\ud83dx\"", LoneSurrogate, 1),
        (b"\"\\ud83d\\uDE0\"", BadEscape, 7),
        (b"\"a\nb\"", ControlCharacter, 2),
        (b"\"a\x1Fb\"", ControlCharacter, 2),
        (b"{\"a\tb\":1}", ControlCharacter, 3),
        (b"01", BadNumber, 0),
        (b"-", BadNumber, 0),
        (b"-a", BadNumber, 0),
        (b"[-01]", BadNumber, 1),
        (b"1.", BadNumber, 0),
        (b"1.e5", BadNumber, 0),
        (b"1e", BadNumber, 0),
        (b"1e+", BadNumber, 0),
        (b"+1", BadNumber, 0),
        (b".5", BadNumber, 0),
        (b"0x10", TrailingData, 1),
        (b"[123456789012345678901]", NumberTooLong, 1),
        (b"NaN", NotFinite, 0),
        (b"{\"a\": Infinity}", NotFinite, 6),
        (b"[-Infinity]", NotFinite, 1),
        (b"{\"a\":\"\xFF\"}", InvalidUtf8, 6),
        (b"\"\xC0\x80\"", InvalidUtf8, 1),
        (b"\"\xED\xA0\x80\"", InvalidUtf8, 1),
        (b"\"\xF4\x90\x80\x80\"", InvalidUtf8, 1),
        (b"{}\xC3", InvalidUtf8, 2),
        (b"\xEF\xBB\xBF{}", UnexpectedByte, 0),
        (b"[[[[[[]]]]]]", TooDeep, 5),
        (b"{\"a\":[{\"b\":[{\"c\":{}}]}]}", TooDeep, 17),
    ];
    for &(text, what, at) in cases {
        assert_eq!(
            problem(text),
            (what, at),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn a_value_of_another_kind_is_told_from_garbage() {
    let mut elements = Vec::new();
    let mut array = |text: &[u8]| {
        walk_array(
            &mut Scanner::new(),
            text,
            0,
            text.len() as u32,
            &limits(),
            &mut elements,
        )
        .unwrap_err()
        .what
    };
    assert_eq!(array(b"{}"), Problem::NotAnArray);
    assert_eq!(array(b"17"), Problem::NotAnArray);
    assert_eq!(array(b"<xml>"), Problem::UnexpectedByte);
    assert_eq!(
        fields(b" [1]").unwrap_err(),
        JsonError {
            at: 1,
            what: Problem::NotAnObject
        }
    );
    assert_eq!(fields(b"null").unwrap_err().what, Problem::NotAnObject);
    assert_eq!(
        fields(b"plain text").unwrap_err().what,
        Problem::UnexpectedByte
    );
    assert_eq!(leading_kind(b" \r\n[", 0, 4), Some(RawKind::Array));
    assert_eq!(leading_kind(b"{", 0, 1), Some(RawKind::Object));
    assert_eq!(leading_kind(b"  ", 0, 2), None);
}

#[test]
fn a_refused_record_leaves_no_fields() {
    let text = br#"{"a":1,"b":2,"c":}"#;
    let mut out = fields(br#"{"kept":1}"#).unwrap();
    let error = walk_object(
        &mut Scanner::new(),
        text,
        0,
        text.len() as u32,
        &limits(),
        &mut out,
    )
    .unwrap_err();
    assert_eq!(
        (error.what, error.at, out.len()),
        (Problem::UnexpectedByte, 17, 1)
    );
    assert_eq!(error.to_string(), "unexpected byte at byte 17");
}

#[test]
fn records_of_a_block_do_not_see_their_neighbours() {
    let lines: &[&[u8]] = &[
        b"{\"a\":\"",
        b"{\"b\":2}",
        b"\"\\",
        b"{\"c\":\"\xC3\xA9\"}\r",
        b"\xFF\xC3",
        b"{\"d\":12",
        b"34}",
        b"{\"e\":tr",
        b"ue}",
    ];
    for separator in [&b"\n"[..], b"", b"\"", b"}"] {
        let mut block = Vec::new();
        let mut accepted = Vec::new();
        let mut scanner = Scanner::new();
        let mut out = Vec::new();
        let mut records = Vec::new();
        for line in lines {
            let start = block.len() as u32;
            block.extend_from_slice(line);
            records.push((start, block.len() as u32));
            block.extend_from_slice(separator);
        }
        for (start, end) in records {
            accepted
                .push(walk_object(&mut scanner, &block, start, end, &limits(), &mut out).is_ok());
        }
        assert_eq!(
            accepted,
            [false, true, false, true, false, false, false, false, false]
        );
        assert_eq!(out.len(), 2);
    }
}

#[test]
fn ranges_outside_the_buffer_are_empty_records() {
    let mut scanner = Scanner::new();
    for (start, end) in [(3, 2), (0, 9), (7, 9), (u32::MAX, 0)] {
        let error = validate_value(&mut scanner, b"{}{}", start, end, &limits()).unwrap_err();
        assert_eq!(error.what, Problem::Empty);
    }
}

#[test]
fn depth_costs_no_stack() {
    let mut scanner = Scanner::new();
    let depth = 1_000_000;
    let text = [b"[".repeat(depth), b"]".repeat(depth)].concat();
    let end = text.len() as u32;
    let deep = Limits {
        max_depth: depth as u32,
        ..Limits::default()
    };
    assert_eq!(
        validate_value(&mut scanner, &text, 0, end, &deep),
        Ok(RawKind::Array)
    );
    let error = validate_value(&mut scanner, &text, 0, end, &Limits::default()).unwrap_err();
    assert_eq!((error.what, error.at), (Problem::TooDeep, 1_000));
    assert!(!has_duplicate_keys_deep(
        &text,
        0,
        end,
        &mut KeyScratch::default()
    ));
    let mut elements = Vec::new();
    elements_of_valid(&text, 0, end, &mut elements);
    assert_eq!(elements, [(RawKind::Array, (1, end - 1))]);
    let none = Limits {
        max_depth: 0,
        ..Limits::default()
    };
    assert_eq!(
        validate_value(&mut scanner, b"{}", 0, 2, &none)
            .unwrap_err()
            .what,
        Problem::TooDeep
    );
    assert_eq!(
        validate_value(&mut scanner, b"7", 0, 1, &none),
        Ok(RawKind::Int)
    );
}

fn doubled(text: &str) -> bool {
    has_duplicate_keys_deep(
        text.as_bytes(),
        0,
        text.len() as u32,
        &mut KeyScratch::default(),
    )
}

#[test]
fn doubled_keys_are_seen_at_any_depth_and_in_any_spelling() {
    assert!(doubled(r#"{"a":1,"a":2}"#));
    assert!(doubled(
        r#"{"a":1,"b":{"x":[{"k":1},{"k":1,"l":2,"k":3}]}}"#
    ));
    assert!(doubled(r#"{"a":1,"\u0061":2}"#));
    assert!(doubled(r#"{"\u0061":1,"\u0061":2}"#));
    assert!(doubled(r#"[{"😀":1,"\ud83d\ude00":2}]"#));
    assert!(doubled(r#"{"":1,"":2}"#));
    assert!(!doubled(
        r#"{"a":{"a":{"a":["a","a",{"a":"a"}]}},"b":"a","c":"b"}"#
    ));
    assert!(!doubled(
        r#"{"a":"b","b":"a","ab":1,"a\u0000":2,"a\u0000\u0000":3}"#
    ));
    assert!(!doubled(r#"[{"a":1},{"a":1}]"#));
    assert!(!doubled("{}"));
}

#[test]
fn doubled_keys_are_seen_in_wide_objects() {
    for width in [2_usize, 16, 31, 32, 33, 100, 5_000] {
        let keys: Vec<String> = (0..width)
            .map(|key| format!("\"key{key}\":{{\"key{key}\":0}}"))
            .collect();
        let plain = keys.join(",");
        assert!(!doubled(&format!("{{{plain}}}")), "{width}");
        for twin in [0, width / 2, width - 1] {
            assert!(
                doubled(&format!("{{{plain},\"key{twin}\":0}}")),
                "{width} {twin}"
            );
            assert!(
                doubled(&format!("{{{plain},\"k\\u0065y{twin}\":0}}")),
                "{width} {twin}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_answered(text in proptest::collection::vec(
        prop_oneof![4 => proptest::sample::select(b"{}[]:,\"\\ u0123deltrusfan-.E\n".to_vec()), 1 => any::<u8>()], 0..120,
    )) {
        let end = text.len() as u32;
        let (mut fields, mut elements, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
        fields_of_valid(&text, 0, end, &mut fields);
        elements_of_valid(&text, 0, end, &mut elements);
        let inside = |(from, to): Stretch| from <= to && to <= end;
        prop_assert!(fields.iter().all(|field| inside(field.key) && inside(field.value)));
        prop_assert!(elements.iter().all(|element| inside(element.1)));
        let _ = has_duplicate_keys_deep(&text, 0, end, &mut KeyScratch::default());
        unescape(&text, &mut decoded);
        for marks in [stops::Marks::new(), stops::Marks::plain()] {
            let mut scanner = Scanner { marks, ..Scanner::new() };
            if let Err(error) = validate_value(&mut scanner, &text, 0, end, &limits()) {
                prop_assert!(error.at <= end);
            }
        }
    }

    #[test]
    fn fields_of_a_valid_object_are_those_of_the_walk(keys in proptest::collection::vec("[a-c\\\\\"é]{0,3}", 0..8), blanks in "[ \t\r\n]{0,2}") {
        let values = ["1", "-2.5E1", "null", "true", "false", "\"x\"", "\"\\u00e9\\\\\"", "{\"a\":[1,\"]\"]}", "[{},\"}\"]"];
        let mut text = String::from("{");
        for (at, key) in keys.iter().enumerate() {
            let mut escaped = Vec::new();
            crate::event::text::escape_into(key.as_bytes(), &mut escaped);
            let comma = if at == 0 { "" } else { "," };
            let key = String::from_utf8(escaped).unwrap();
            let value = values[(at + key.len()) % values.len()];
            write!(text, "{comma}{blanks}\"{key}\"{blanks}:{blanks}{value}{blanks}").unwrap();
        }
        text.push('}');
        let mut listed = Vec::new();
        fields_of_valid(text.as_bytes(), 0, text.len() as u32, &mut listed);
        prop_assert_eq!(fields(text.as_bytes()).unwrap(), listed);
    }
}

/// Lines of eleven fields and about 339 bytes, as an application's JSON logger writes them, no two alike.
fn application_lines(count: u32) -> (Vec<u8>, Vec<(u32, u32)>) {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |bound: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % bound
    };
    let mut text = String::new();
    let mut records = Vec::new();
    let messages = [
        "GET /intent finished after one retry, the client had gone away in between",
        "Violates Zeroth Law: action refused by the four laws, see the audit trail for what was asked",
        "Security event: attack - seen at the edge, source blocked for ten minutes by the rate limiter",
    ];
    for _ in 0..count {
        let start = text.len() as u32;
        let _ = write!(
            text,
            "{{\"timestamp\": \"2026-04-20T15:{:02}:{:02}.{:03}Z\", \"level\": \"{}\", \"logger\": \"app.security.{}\", \
             \"message\": \"{}\", \"component\": \"{}\", \"status\": {}, \"duration\": {}.{}, \"source_ip\": \"{}.{}.{}.{}\", \
             \"trace_id\": \"eac5d473fa1d47cd{:016x}\", \"user_id\": {}, \"ok\": {}}}",
            below(60),
            below(60),
            below(1000),
            ["INFO", "WARNING", "ERROR", "DEBUG"][below(4) as usize],
            ["monitoring", "access", "core"][below(3) as usize],
            messages[below(3) as usize],
            ["four-laws", "security", "access-control"][below(3) as usize],
            [200, 404, 500, 12_000][below(4) as usize],
            below(2000),
            below(100),
            below(256),
            below(256),
            below(256),
            below(256),
            below(u64::MAX),
            below(100_000),
            ["true", "false", "null"][below(3) as usize],
        );
        records.push((start, text.len() as u32));
        text.push('\n');
    }
    (text.into_bytes(), records)
}

/// The least time of `rounds` runs of `work`, in nanoseconds for each of `items`.
fn least(rounds: u32, items: usize, mut work: impl FnMut()) -> u128 {
    let once = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_nanos()
    };
    (0..rounds).map(once).min().unwrap_or_default() / items as u128
}

#[test]
#[ignore = "a measurement: run with --release --ignored --nocapture"]
fn cost_of_a_line() {
    let (buf, records) = application_lines(3_000);
    let limits = Limits::default();
    let mut out = Vec::new();
    for (name, marks) in [
        ("best vectors", stops::Marks::new()),
        ("plain vectors", stops::Marks::plain()),
    ] {
        let mut scanner = Scanner {
            marks,
            ..Scanner::new()
        };
        let all = least(300, records.len(), || {
            for &(start, end) in &records {
                out.clear();
                walk_object(&mut scanner, &buf, start, end, &limits, &mut out).unwrap();
            }
        });
        let marking = least(300, records.len(), || {
            for &(start, end) in &records {
                assert!(scanner.marks.mark(&buf, start as usize, end as usize));
            }
        });
        println!(
            "{name}: {} bytes a line, {all} ns, of which marking {marking} ns",
            buf.len() / records.len()
        );
    }
    let skipping = least(300, records.len(), || {
        for &(start, end) in &records {
            out.clear();
            fields_of_valid(&buf, start, end, &mut out);
            assert_eq!(out.len(), 11);
        }
    });
    let mut scratch = KeyScratch::default();
    let twins = least(300, records.len(), || {
        for &(start, end) in &records {
            assert!(!has_duplicate_keys_deep(&buf, start, end, &mut scratch));
        }
    });
    println!("known valid: fields {skipping} ns, duplicate keys {twins} ns");
}

fn spots_of(shapes: &mut super::shape::Shapes, text: &str) -> Option<Vec<String>> {
    let mut buf = text.as_bytes().to_vec();
    let end = u32::try_from(buf.len()).unwrap();
    buf.extend_from_slice(&[b'"'; super::shape::MARGIN]);
    let mut spots = Vec::new();
    if shapes.find(&buf, 0, end, &mut spots).is_none() {
        shapes.learn(&buf, 0, end);
        return None;
    }
    let text = |spot: &super::shape::Spot| {
        let (from, to) = spot.stretch();
        String::from_utf8_lossy(&buf[from as usize..to as usize]).into_owned()
    };
    Some(spots.iter().map(text).collect())
}

#[test]
fn a_record_like_an_earlier_one_is_known_by_its_literals() {
    let long = "n".repeat(70);
    for mut shapes in [
        super::shape::Shapes::new(limits()),
        super::shape::Shapes::portable(limits()),
    ] {
        let line = |a: &str, b: &str, c: &str| {
            format!("{{\"a\": {a}, \"{long}\": {{\"b\":[{b}]}},\t\"c\":\"{c}\" }}")
        };
        assert_eq!(spots_of(&mut shapes, &line("1", "\"x\"", "é")), None);
        let same = line("-2.5e3", "\"y \\u00e9\"", &"z".repeat(100));
        let expected = vec!["-2.5e3".to_owned(), "y \\u00e9".to_owned(), "z".repeat(100)];
        assert_eq!(spots_of(&mut shapes, &same), Some(expected));
        for other in [
            line("01", "\"x\"", "c"),
            line("1", "\"\\x\"", "c"),
            line("1", "\"x\"", "c\u{1}"),
            line("1", "\"x\",2", "c"),
            line("1", "\"x\"", "c").replace("\"a\"", "\"A\""),
            line("1", "\"x\"", "c").replace('\t', " "),
            line("1", "\"x\"", "c") + "x",
            line("1", "\"x\"", "c").replace("\" }", "\""),
        ] {
            let mut shapes = super::shape::Shapes::new(limits());
            spots_of(&mut shapes, &line("1", "\"x\"", "c"));
            assert_eq!(spots_of(&mut shapes, &other), None, "{other}");
        }
        // A string and a number in one place are two shapes, whichever came first or last.
        assert_eq!(spots_of(&mut shapes, &line("\"1\"", "true", "c")), None);
        for _ in 0..2 {
            assert!(spots_of(&mut shapes, &line("\"1\"", "null", "c")).is_some());
            assert!(spots_of(&mut shapes, &line("1", "\"x\"", "c")).is_some());
        }
    }
}

#[test]
fn shapes_are_bounded_and_rest_where_they_do_not_pay() {
    let mut shapes = super::shape::Shapes::new(limits());
    let mut forgotten = false;
    for number in 0..40_000 {
        assert_eq!(spots_of(&mut shapes, &format!("{{\"k{number}\":1}}")), None);
        assert!(shapes.len() <= 1024);
        forgotten |= shapes.tidy();
    }
    assert!(forgotten);
    let mut known = false;
    for _ in 0..40_000 {
        known |= spots_of(&mut shapes, "{\"again\":true}").is_some();
        shapes.tidy();
    }
    assert!(known, "after a pause shapes are looked for again");
}
