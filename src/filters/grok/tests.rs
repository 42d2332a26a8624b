//! Tests of the grok filter.

use serde_json::{Value as Json, json};

use super::*;
use crate::plugin::Ecs;
use crate::plugin::testing::{FilterRun, run_filter};

fn run_in(ecs: Ecs, config: &str, events: &[Json]) -> FilterRun {
    let run = run_filter(&SPEC, ecs, &format!("grok {{ {config} }}"), events);
    run.unwrap_or_else(|errors| panic!("{config}: {errors:?}"))
}

fn one(config: &str, event: Json) -> Json {
    run_in(Ecs::Disabled, config, &[event]).events.remove(0)
}

/// Text between quotes of a config, whichever it does not hold.
fn quoted(text: &str) -> String {
    if text.contains('"') {
        format!("'{text}'")
    } else {
        format!("\"{text}\"")
    }
}

/// Sets a capture the way the filter does.
fn expect(event: &mut Json, name: &str, value: &Json) {
    let segments = FieldPath::parse(name, EscapeStyle::None).unwrap().segments;
    let mut place = event;
    for segment in segments {
        if place.is_null() {
            *place = json!({});
        }
        place = &mut place[segment];
    }
    *place = match place.take() {
        Json::Null => value.clone(),
        Json::Array(mut values) => {
            values.push(value.clone());
            Json::Array(values)
        }
        Json::String(before) => json!([before, value]),
        other => other,
    };
}

#[test]
fn golden_vectors() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/golden/golden-grok.jsonl"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let (mut passed, mut skipped) = (0, 0);
    for line in text.lines() {
        let vector: Json = serde_json::from_str(line).unwrap();
        let ecs = if vector["set"] == "legacy" {
            Ecs::Disabled
        } else {
            Ecs::V8
        };
        let config = format!(
            "match => {{ \"input\" => {} }}",
            quoted(vector["pattern"].as_str().unwrap())
        );
        let event = json!({"input": vector["text"]});
        let run = match run_filter(
            &SPEC,
            ecs,
            &format!("grok {{ {config} }}"),
            std::slice::from_ref(&event),
        ) {
            Ok(run) => run,
            // A few vectors use patterns of families that are not bundled.
            Err(errors) => {
                assert!(
                    errors
                        .iter()
                        .all(|error| error.message.contains("is not defined")),
                    "{errors:?}"
                );
                skipped += 1;
                continue;
            }
        };
        let mut wanted = event;
        match vector["captures"].as_array() {
            Some(captures) => captures
                .iter()
                .for_each(|capture| expect(&mut wanted, capture[0].as_str().unwrap(), &capture[1])),
            None => wanted["tags"] = json!(["_grokparsefailure"]),
        }
        assert_eq!(run.events, [wanted], "{line}");
        passed += 1;
    }
    assert!(passed >= 58, "only {passed} passed, {skipped} skipped");
}

#[test]
fn patterns_are_tried_until_one_matches() {
    let config = r#"match => { "m" => ["%{INT:a:int}:%{WORD:b}", "%{WORD:c}"] "n" => "%{WORD:d}" } add_tag => "done""#;
    assert_eq!(
        one(config, json!({"m": "5:x", "n": "y"})),
        json!({"m": "5:x", "n": "y", "a": 5, "b": "x", "tags": ["done"]})
    );
    assert_eq!(
        one(config, json!({"m": "x", "n": "y"})),
        json!({"m": "x", "n": "y", "c": "x", "tags": ["done"]})
    );
    assert_eq!(
        one(config, json!({"m": "-", "n": "y"})),
        json!({"m": "-", "n": "y", "d": "y", "tags": ["done"]})
    );
    assert_eq!(
        one(config, json!({"m": "-", "n": "-"})),
        json!({"m": "-", "n": "-", "tags": ["_grokparsefailure"]})
    );
}

#[test]
fn all_patterns_are_tried_without_break() {
    let config = r#"match => { "m" => ["^%{WORD:a}", "%{WORD:a}$"] "n" => "%{WORD:d}" } break_on_match => false"#;
    assert_eq!(
        one(config, json!({"m": "x y", "n": "z"})),
        json!({"m": "x y", "n": "z", "a": ["x", "y"], "d": "z"})
    );
    assert_eq!(
        one(config, json!({"m": "-", "n": "z"})),
        json!({"m": "-", "n": "z", "d": "z"})
    );
}

#[test]
fn matches_may_be_written_in_other_ways() {
    for config in [
        r#"match => ["m", "%{WORD:a}"]"#,
        r#"match => { "m" => "^%{INT}$" } match => { "m" => "%{WORD:a}" }"#,
        r#"match => [{ "m" => "%{WORD:a}" }]"#,
    ] {
        assert_eq!(
            one(config, json!({"m": "x"})),
            json!({"m": "x", "a": "x"}),
            "{config}"
        );
    }
}

#[test]
fn a_capture_is_added_to_what_is_there() {
    let config = r#"match => { "m" => "%{WORD:a}" }"#;
    let of = |a: Json| one(config, json!({"m": "x", "a": a}))["a"].clone();
    assert_eq!(of(json!(null)), "x");
    assert_eq!(of(json!("o")), json!(["o", "x"]));
    assert_eq!(of(json!("")), json!(["", "x"]));
    assert_eq!(of(json!(["o", 1])), json!(["o", 1, "x"]));
    for kept in [json!(1), json!(1.5), json!(true), json!({"b": 1})] {
        assert_eq!(of(kept.clone()), kept);
    }
    let out = run_in(Ecs::Disabled, config, &[json!({"m": "x", "a": 1})]);
    assert_eq!(
        (out.events[0].get("tags"), out.metrics.matches.into_inner()),
        (None, 1)
    );
}

#[test]
fn overwrite_replaces() {
    let config = r#"match => { "message" => "^%{WORD:[a][b]} %{GREEDYDATA:message}" } overwrite => ["message", "[a][b]"]"#;
    let out = one(
        config,
        json!({"message": "x \"rest\"", "a": {"b": [1], "c": 2}}),
    );
    assert_eq!(out, json!({"message": "\"rest\"", "a": {"b": "x", "c": 2}}));
    // The name must be written as in the pattern.
    let config = r#"match => { "m" => "%{WORD:[a]}" } overwrite => ["a"]"#;
    assert_eq!(
        one(config, json!({"m": "x", "a": "o"}))["a"],
        json!(["o", "x"])
    );
}

#[test]
fn all_captures_go_below_the_target() {
    let config =
        r#"match => { "m" => "%{WORD:a} %{WORD:[b][c]}" } target => "[t][u]" overwrite => "a""#;
    let out = one(config, json!({"m": "x y", "t": {"u": {"a": "o"}}, "a": 1}));
    assert_eq!(
        out,
        json!({"m": "x y", "t": {"u": {"a": "x", "b": {"c": "y"}}}, "a": 1})
    );
    assert_eq!(
        one(
            r#"match => { "m" => "%{WORD:a}" } target => "t""#,
            json!({"m": "x"})
        ),
        json!({"m": "x", "t": {"a": "x"}})
    );
}

#[test]
fn fields_that_are_no_text() {
    let config = r#"match => { "m" => "^%{GREEDYDATA:a}$" }"#;
    let of = |m: Json| one(config, json!({"m": m}))["a"].clone();
    assert_eq!(of(json!(5)), "5");
    assert_eq!(of(json!(true)), "true");
    assert_eq!(of(json!({"b": [1]})), r#"{"b":[1]}"#);
    assert_eq!(of(json!(["x", 2])), json!(["x", "2"]));
    assert_eq!(of(json!([])), Json::Null);
    // A missing field is empty text, which matches here without capturing anything.
    for event in [json!({}), json!({"m": null}), json!({"m": ""})] {
        assert_eq!(one(config, event.clone()), event);
    }
    assert_eq!(
        one(r#"match => { "m" => "%{WORD:a}" }"#, json!({})),
        json!({"tags": ["_grokparsefailure"]})
    );
    assert_eq!(
        one(config, json!({"m": []}))["tags"],
        json!(["_grokparsefailure"])
    );
}

#[test]
fn escaped_text_is_matched_decoded() {
    let out = one(
        r#"match => { "m" => "^%{WORD:a}\s%{GREEDYDATA:b}" }"#,
        json!({"m": "x\ty\n\"z\" é"}),
    );
    assert_eq!(
        out,
        json!({"m": "x\ty\n\"z\" é", "a": "x", "b": "y\n\"z\" é"})
    );
}

#[test]
fn empty_captures_are_kept_on_request() {
    let config = r#"match => { "m" => "^(?<a>x*)(?<b>y)?(?<n:int>\d*)" }"#;
    assert_eq!(one(config, json!({"m": "z"})), json!({"m": "z", "n": 0}));
    let config = format!("{config} keep_empty_captures => true");
    assert_eq!(
        one(&config, json!({"m": "z", "b": "o"})),
        json!({"m": "z", "a": "", "b": ["o", null], "n": 0})
    );
}

#[test]
fn unnamed_captures_on_request() {
    let config = r#"match => { "m" => "%{WORD} %{INT:n}" } named_captures_only => false"#;
    let out = one(config, json!({"m": "x 5"}));
    assert_eq!((&out["WORD"], &out["n"]), (&json!("x"), &json!("5")));
}

#[test]
fn numbers_are_read_as_ruby_does() {
    let config =
        r#"match => { "m" => "^(?<i:int>.*)$" "f" => "^(?<x:float>.*)$" } break_on_match => false"#;
    let of = |text: &str| {
        let out = one(config, json!({"m": text, "f": text}));
        (out["i"].to_string(), out["x"].to_string())
    };
    for (text, int, float) in [
        ("42", "42", "42.0"),
        ("-0042.50kB", "-42", "-42.5"),
        (" +7", "7", "7.0"),
        ("1_000.2_5", "1000", "1000.25"),
        ("1__0", "1", "1.0"),
        ("abc", "0", "0.0"),
        ("-", "0", "-0.0"),
        (".5", "0", "0.5"),
        ("5.", "5", "5.0"),
        ("1e3x", "1", "1000.0"),
        ("1.5E-3", "1", "0.0015"),
        ("2e", "2", "2.0"),
        ("0.05", "0", "0.05"),
        ("12345678.25", "12345678", "1.234567825e+7"),
        (
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211456",
            "3.402823669209385e+38",
        ),
        ("0.1", "0", "0.1"),
        ("123.456", "123", "123.456"),
    ] {
        assert_eq!(of(text), (int.to_owned(), float.to_owned()), "{text}");
    }
}

#[test]
fn only_the_first_of_equal_names_is_converted() {
    let config = r#"match => { "m" => "%{NUMBER:a:int},%{NUMBER:a:int}" }"#;
    assert_eq!(one(config, json!({"m": "1,2"}))["a"], 1);
    let config = r#"match => { "m" => "%{WORD:a},%{NUMBER:a:int}" }"#;
    assert_eq!(one(config, json!({"m": "x,2"}))["a"], json!(["x", 2]));
}

#[test]
fn a_capture_that_cannot_be_set_is_a_failure() {
    let config = r#"match => { "m" => ["%{WORD:a} %{WORD:[b][c]}", "%{WORD:d}"] }"#;
    let out = one(config, json!({"m": "x y", "b": "text"}));
    assert_eq!(
        out,
        json!({"m": "x y", "a": "x", "b": "text", "tags": ["_grokparsefailure"]})
    );
}

#[test]
fn tags_can_be_captured() {
    let config = r#"match => { "m" => "%{WORD:tags}" }"#;
    assert_eq!(
        one(config, json!({"m": "x", "tags": ["o"]}))["tags"],
        json!(["o", "x"])
    );
    assert_eq!(one(config, json!({"m": "x"}))["tags"], "x");
}

#[test]
fn a_pattern_without_end_is_given_up() {
    let config = r#"match => { "m" => ["(?<x>a|aa)+(?:a|a)*\k<x>b", "%{WORD:z}"] } tag_on_timeout => "slow" add_tag => "done""#;
    let out = run_in(
        Ecs::Disabled,
        config,
        &[
            json!({"m": format!("{}c ab", "a".repeat(2000))}),
            json!({"m": "ab"}),
        ],
    );
    assert_eq!(out.events[0]["tags"], json!(["slow"]));
    assert_eq!(out.events[1]["tags"], json!(["done"]));
    assert_eq!(out.metrics.failures.into_inner(), 1);
}

#[test]
fn own_patterns_of_files_and_options() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.pat", "# a comment\nTHREE \\d{3}\nFOUR x\n");
    write("b.txt", "FOUR \\d{4}");
    write(".hidden", "FOUR hidden");
    let folder = dir.path().display();
    let config = format!(
        "match => {{ \"m\" => \"%{{THREE:a}} %{{FOUR:b}} %{{FIVE:c}}\" }} pattern_definitions => {{ \"FIVE\" => '\\d{{5}}' }} patterns_dir => [\"{folder}\"]"
    );
    assert_eq!(one(&config, json!({"m": "123 1234 12345"}))["c"], "12345");
    assert_eq!(
        one(
            &format!("{config} patterns_files_glob => \"*.pat\""),
            json!({"m": "123 x 12345"})
        )["b"],
        "x"
    );
    let single =
        format!("match => {{ \"m\" => \"%{{FOUR:b}}\" }} patterns_dir => \"{folder}/b.txt\"");
    assert_eq!(one(&single, json!({"m": "1234"}))["b"], "1234");
    let glob =
        format!("match => {{ \"m\" => \"%{{FOUR:b}}\" }} patterns_dir => \"{folder}/*.pat\"");
    assert_eq!(one(&glob, json!({"m": "x"}))["b"], "x");
}

#[test]
fn equal_patterns_are_compiled_once() {
    let grok = |definition: &str| {
        let config = format!(
            "match => {{ \"m\" => \"%{{EQUALPATTERN:b}}\" }} pattern_definitions => {{ \"EQUALPATTERN\" => \"{definition}\" }}"
        );
        let plugin = crate::plugin::testing::parse_plugin(&format!("grok {{ {config} }}"));
        let (compiled, ..) =
            crate::plugin::testing::build(crate::plugin::Catalogue(&[]), Ecs::V8, |build| {
                let config = Config::read(&plugin, build).unwrap();
                let own = own_patterns(&config, build, Span::default()).unwrap();
                let mut compiler = Compiler {
                    set: None,
                    own,
                    config: &config,
                    target: Vec::new(),
                    caches: 0,
                };
                compiler.compile("%{EQUALPATTERN:b}", true).unwrap()
            });
        compiled
    };
    let (first, same, other) = (grok("x"), grok("x"), grok("y"));
    assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &other));
}

#[test]
fn mistakes_are_reported_where_they_are() {
    let source =
        "grok { match => { \"m\" => [\"%{WROD:a}\", \"%{ZZZZZZ:a}\", \"(\", \"%{WORD:a[}\"] } }";
    let Err(errors) = run_filter(&SPEC, Ecs::V8, source, &[]) else {
        panic!("accepted")
    };
    let shown: Vec<String> = errors
        .iter()
        .map(|error| format!("{} {:?}", error.message, error.hint))
        .collect();
    assert_eq!(errors.len(), 4, "{shown:?}");
    assert!(
        shown[0].contains("`%{WROD}` is not defined")
            && shown[0].contains("did you mean `%{WORD}`"),
        "{shown:?}"
    );
    assert!(shown[1].contains("pattern_definitions"), "{shown:?}");
    assert!(shown[3].contains("field reference"), "{shown:?}");
    let refused =
        |config: &str| run_filter(&SPEC, Ecs::V8, &format!("grok {{ {config} }}"), &[]).is_err();
    assert!(refused("add_tag => \"x\""));
    assert!(refused("match => { \"m\" => \"x\" } target => \"a[\""));
    assert!(refused("match => { \"m[\" => \"x\" }"));
    assert!(refused("match => { \"m\" => { \"a\" => \"b\" } }"));
    assert!(refused(
        "match => { \"m\" => \"x\" } patterns_dirs => \"/x\""
    ));
}

#[test]
fn time_outs_by_the_clock_are_taken_with_a_warning() {
    let config =
        "match => { \"m\" => \"%{WORD:a}\" } timeout_millis => 1000 timeout_scope => \"event\"";
    assert_eq!(one(config, json!({"m": "x"}))["a"], "x");
}
