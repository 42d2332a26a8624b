//! Tests of the `kv` filter.

use super::SPEC;
use super::class::CharClass;
use super::scan::{Classes, Scan};
use crate::grok::{RegexOptions, RubyRegex};
use crate::plugin::Ecs;
use crate::plugin::testing::run_filter;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};

fn run(config: &str, event: Json) -> Json {
    let mut run = run_filter(&SPEC, Ecs::V8, &format!("kv {{ {config} }}"), &[event]).unwrap();
    run.events.remove(0)
}

/// The pairs of a text, as an object.
fn pairs(config: &str, text: &str) -> Json {
    let mut event = run(
        &format!("{config} target => 'out'"),
        json!({ "message": text }),
    );
    event["out"].take()
}

#[test]
fn quotes_and_brackets_close_where_a_separator_follows() {
    assert_eq!(pairs("", r#"a="x"y b=2"#), json!({"a": "\"x\"y", "b": "2"}));
    assert_eq!(pairs("", r#"a="x y b=2"#), json!({"a": "\"x", "b": "2"}));
    assert_eq!(
        pairs("", r#"dir="C:\logs\" b="2""#),
        json!({"dir": r"C:\logs\", "b": "2"})
    );
    assert_eq!(
        pairs("", r#"a="say \"hi\" now" b=(1 \) 2)"#),
        json!({"a": r#"say \"hi\" now"#, "b": r"1 \) 2"})
    );
    assert_eq!(pairs("", "a=\"x\"\nb=2"), json!({"a": "x", "\nb": "2"}));
    assert_eq!(
        pairs("include_brackets => false", "a=[1 2] b='3 4'"),
        json!({"a": "[1", "b": "3 4"})
    );
    assert_eq!(
        pairs("allow_empty_values => true", "a=\"\" b=() c="),
        json!({"a": "", "b": "", "c": ""})
    );
}

#[test]
fn text_that_is_no_pair_is_passed_over() {
    assert_eq!(
        pairs("", "some words a=1 more = 2 =3 x"),
        json!({"a": "1", "more": "2"})
    );
    assert_eq!(
        pairs("", r"a\ b=1 \=x=2 y\=3 z"),
        json!({r"a\ b": "1", r"\=x": "2", r"y\": "3"})
    );
    assert_eq!(pairs("", "=="), Json::Null);
    assert_eq!(pairs("", ""), Json::Null);
}

#[test]
fn blanks_around_the_separator() {
    assert_eq!(pairs("", "a =  1 b= 2"), json!({"a": "1", "b": "2"}));
    assert_eq!(
        pairs("whitespace => strict", "a=1 b =2 c= 3"),
        json!({"a": "1"})
    );
    assert_eq!(
        pairs("field_split => ',' trim_key => ' '", "a = 1 , b = 2"),
        json!({"a": "1 ", "b": "2"})
    );
    assert_eq!(
        pairs("field_split => ',' value_split => ' '", "a   1,b 2"),
        json!({"a": "1", "b": "2"})
    );
}

#[test]
fn separators_are_character_classes() {
    assert_eq!(
        pairs(
            r"field_split => '\t\n' value_split => ':'",
            "a:1 2\tb:3\nc:4"
        ),
        json!({"a": "1 2", "b": "3", "c": "4"})
    );
    assert_eq!(
        pairs(r"field_split => '&?;' value_split => '='", "/p?a=1&b=2;c=3"),
        json!({"a": "1", "b": "2", "c": "3"})
    );
    assert_eq!(
        pairs("field_split => '·' value_split => '→='", "ä→1·b=ö·c→3"),
        json!({"ä": "1", "b": "ö", "c": "3"})
    );
    assert_eq!(
        pairs("field_split => '^a-z0-9='", "a=1|b=2||c=3"),
        json!({"a": "1", "b": "2", "c": "3"})
    );
}

#[test]
fn separators_may_be_patterns() {
    let config = "field_split_pattern => ';\\s*|, and ' value_split_pattern => '->|:'";
    assert_eq!(
        pairs(config, "a -> 1;  b:'2; 3', and c: 4"),
        json!({"a": "1", "b": "2; 3", "c": "4"})
    );
    assert_eq!(
        pairs("value_split_pattern => '::'", "a::1 b::\"2 3\" c:4"),
        json!({"a": "1", "b": "2 3"})
    );
    assert_eq!(
        pairs("field_split_pattern => ' *;'", r"a=1\;2 ; b=3"),
        json!({"a": r"1\;2", " b": "3"})
    );
    assert_eq!(
        pairs("field_split_pattern => 'x*'", "a=1 b=2"),
        Json::Null,
        "an empty separator is everywhere"
    );
    let event = run(
        "field_split_pattern => ';' recursive => true include_brackets => true",
        json!({"message": "a=(b=1;c=2);d=3"}),
    );
    assert_eq!(
        (&event["a"], &event["d"]),
        (&json!({"b": "1", "c": "2"}), &json!("3"))
    );
}

#[test]
fn keys_and_values_are_edited() {
    let config = r"trim_key => '<>' trim_value => '<>,' remove_char_key => '\-' remove_char_value => '\[\]' transform_key => uppercase transform_value => capitalize include_brackets => false";
    assert_eq!(
        pairs(config, "<a-b>=<x[1]Y>, c=ß"),
        json!({"AB": "X1y", "C": "Ss"})
    );
    let config = "field_split => ';' trim_value => ' '";
    assert_eq!(
        pairs(config, "a= x \n y ;b=2"),
        json!({"a": "x\ny", "b": "2"})
    );
}

#[test]
fn keys_are_chosen() {
    let config =
        "include_keys => ['a', 'k%{n}', 'B'] transform_key => uppercase prefix => 'p%{n}_'";
    let event = run(
        &format!("{config} target => out"),
        json!({"message": "a=1 b=2 k5=3", "n": 5}),
    );
    assert_eq!(event["out"], json!({"p5_B": "2"}));
    let event = run(
        "exclude_keys => ['a', 'k%{n}'] target => out",
        json!({"message": "a=1 b=2 k5=3", "n": 5}),
    );
    assert_eq!(event["out"], json!({"b": "2"}));
}

#[test]
fn defaults_fill_gaps() {
    let config = "default_keys => { 'a' => 'no' '[x][y]' => 'deep' 'n' => 5 'l' => ['p', 'q'] } remove_field => message";
    assert_eq!(
        run(config, json!({"message": "a=1"})),
        json!({"a": "1", "x": {"y": "deep"}, "n": 5, "l": ["p", "q"]})
    );
    assert_eq!(
        run(config, json!({"message": null})),
        json!({"a": "no", "x": {"y": "deep"}, "n": 5, "l": ["p", "q"]})
    );
}

#[test]
fn repeated_keys_get_arrays() {
    let event = run(
        "add_field => { 'a' => 'late' } remove_field => message",
        json!({"message": "a=1 a=2", "a": "old"}),
    );
    assert_eq!(event, json!({"a": ["1", "2", "late"]}));
    let texts = json!({"m": ["a=1", 5, "a=1 b=11 b=1", {"c": "d=1"}]});
    let event = run(
        "source => 'm' allow_duplicate_values => false target => out",
        texts,
    );
    assert_eq!(event["out"], json!({"a": "1", "b": ["11", "1"]}));
}

#[test]
fn keys_in_brackets_are_references() {
    let event = run(
        "remove_field => message include_brackets => true",
        json!({"message": "[a][b]=1 [a][c]=2 tags=x"}),
    );
    assert_eq!(event, json!({"a": {"b": "1", "c": "2"}, "tags": "x"}));
    let event = run(
        "remove_field => message",
        json!({"message": "a=1 @timestamp=2 b[0]=3 c=4"}),
    );
    assert_eq!(
        event,
        json!({"message": "a=1 @timestamp=2 b[0]=3 c=4", "a": "1", "c": "4", "tags": ["_kv_filter_error"]})
    );
    assert_eq!(
        pairs("", "[a][b]=1 x[0]=2"),
        json!({"[a][b]": "1", "x[0]": "2"})
    );
}

#[test]
fn the_source_may_be_replaced_and_other_types_are_passed_over() {
    assert_eq!(
        run("", json!({"message": "message=new x=\"q\\\"\""})),
        json!({"message": "new", "x": "q\\\""})
    );
    assert_eq!(
        run("add_tag => x1", json!({"message": 5})),
        json!({"message": 5})
    );
}

#[test]
fn recursion_is_bounded() {
    let text = "a=".repeat(5000) + "1";
    let mut inner = pairs("recursive => true", &text);
    let mut depth = 0;
    while inner.is_object() {
        inner = inner["a"].take();
        depth += 1;
    }
    assert_eq!(depth, 33);
    assert_eq!(
        pairs("recursive => true", "a=(b=[c='d=1 d=2']) e=5"),
        json!({"a": {"b": {"c": {"d": ["1", "2"]}}}, "e": "5"})
    );
}

#[test]
fn many_pairs_take_linear_time() {
    let start = Instant::now();
    for (name, pair) in [
        ("plain", "k{}=v"),
        ("open", "k{}=(v"),
        ("quote", "k{}=\"v"),
        ("dup", "k=v{}"),
        ("late", "k{}=(\\)v"),
    ] {
        let text: Vec<String> = (0..20_000)
            .map(|at| pair.replace("{}", &at.to_string()))
            .collect();
        let text = text.join(" ");
        for config in [
            "",
            "allow_duplicate_values => false",
            "field_split_pattern => ' '",
        ] {
            let out = pairs(config, &text);
            assert_eq!(
                out.as_object().unwrap().len(),
                if name == "dup" { 1 } else { 20_000 },
                "{name} {config}"
            );
        }
        let event = run("", json!({ "message": text }));
        assert!(event.as_object().unwrap().len() >= 2);
    }
    assert!(
        start.elapsed() < Duration::from_mins(1),
        "took {:?}",
        start.elapsed()
    );
}

#[test]
fn wrong_configs_are_refused() {
    for config in [
        "field_split => ''",
        "value_split_pattern => '('",
        "transform_key => upper",
        "default_keys => { 'a' => { 'b' => 'c' } }",
    ] {
        assert!(
            run_filter(&SPEC, Ecs::V8, &format!("kv {{ {config} }}"), &[]).is_err(),
            "{config}"
        );
    }
    assert!(run_filter(&SPEC, Ecs::V8, "kv { trim => '<' trimkey => '>' }", &[]).is_ok());
}

/// Keys and values as the scanner finds them.
fn scanned(text: &str) -> Vec<(String, String)> {
    let classes = Classes::new(CharClass::parse(", "), CharClass::parse("="), true);
    let mut scan = Scan::new(true);
    let mut found = Vec::new();
    while let Some((key, value)) = scan.next(text.as_bytes(), &mut &classes) {
        found.push((text[key].to_owned(), text[value].to_owned()));
    }
    found
}

/// Keys and values as the original's regular expression finds them.
fn matched(text: &str) -> Vec<(String, String)> {
    let quoted = |open: &str, close: &str| format!(r"{open}((?:\\.|[^{close}])+)?{close}");
    let values = [
        quoted("\"", "\""),
        quoted("'", "'"),
        quoted(r"\(", r"\)"),
        quoted(r"\[", r"\]"),
        quoted("<", ">"),
    ];
    let pattern = format!(
        r"((?:\\.|[^=, ])+) *[=] *(?:{}|((?:\\.|[^, ])+))?(?:[, ]|$)",
        values.join("|")
    );
    let regex = RubyRegex::new(&pattern, RegexOptions::default()).unwrap();
    let (mut cache, mut groups, mut from) = (regex.new_cache(), Vec::new(), 0);
    let mut found = Vec::new();
    while regex
        .captures(&mut cache, text.as_bytes(), from, &mut groups)
        .unwrap()
    {
        let slice = |group: usize| {
            groups[group].map(|(start, end)| text[start as usize..end as usize].to_owned())
        };
        found.push((
            slice(1).unwrap(),
            (2..8).find_map(slice).unwrap_or_default(),
        ));
        from = groups[0].unwrap().1 as usize;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn simple_pairs_come_back(values in proptest::collection::vec("[a-z0-9:/é.-]{1,6}", 1..40)) {
        let text: Vec<String> = values.iter().enumerate().map(|(at, value)| match at % 3 {
            0 => format!("k{at}={value}"),
            1 => format!("k{at}=\"{value} {value}\""),
            _ => format!("k{at} = [{value}]"),
        }).collect();
        let expected: serde_json::Map<String, Json> = values.iter().enumerate().map(|(at, value)| {
            (format!("k{at}"), if at % 3 == 1 { json!(format!("{value} {value}")) } else { json!(value) })
        }).collect();
        prop_assert_eq!(pairs("", &text.join(" ")), Json::Object(expected));
    }

    #[test]
    fn pairs_are_where_the_original_finds_them(text in "[ab=,\\\\\"'\n ()\\[é]{0,24}") {
        prop_assert_eq!(scanned(&text), matched(&text));
    }

    #[test]
    fn classes_and_patterns_agree(text in "[a-c=:,\\\\\" ()é]{0,40}") {
        let classes = pairs("field_split => ', ' value_split => '=:' allow_empty_values => true", &text);
        let patterns = pairs("field_split_pattern => '[, ]' value_split_pattern => '[=:]' allow_empty_values => true", &text);
        prop_assert_eq!(classes, patterns);
    }

    #[test]
    fn literal_separators_and_patterns_agree(text in "[ab=: |\\\\\"()\n]{0,40}", lenient in any::<bool>()) {
        let whitespace = if lenient { "lenient" } else { "strict" };
        let common = format!("allow_empty_values => true whitespace => {whitespace}");
        for (field, value) in [(" \\| ", "="), ("|", "=+ab"), (" ", ": "), ("||", "==")] {
            let field = field.replace('|', "\\|").replace("\\\\|", "\\|");
            let value = value.replace('+', "\\+");
            let literal = format!("field_split_pattern => '{field}' value_split_pattern => '{value}' {common}");
            // The other branch never occurs, but makes it a pattern.
            let pattern = format!("field_split_pattern => '{field}|~~' value_split_pattern => '{value}|~~' {common}");
            prop_assert_eq!(pairs(&literal, &text), pairs(&pattern, &text), "{} {:?}", literal, text);
        }
        let class = format!("field_split_pattern => ' \\| ' value_split => '=:' {common}");
        let pattern = format!("field_split_pattern => ' \\| |~~' value_split => '=:' {common}");
        prop_assert_eq!(pairs(&class, &text), pairs(&pattern, &text), "{} {:?}", class, text);
    }
}
