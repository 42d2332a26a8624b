//! Tests of the `mutate` filter.

use super::SPEC;
use crate::plugin::Ecs;
use crate::plugin::testing::run_filter;
use serde_json::{Value as Json, json};

fn run(config: &str, event: Json) -> Json {
    let mut run = run_filter(&SPEC, Ecs::V8, &format!("mutate {{ {config} }}"), &[event]).unwrap();
    run.events.remove(0)
}

fn errors(config: &str) -> String {
    let errors = run_filter(&SPEC, Ecs::V8, &format!("mutate {{ {config} }}"), &[])
        .err()
        .unwrap();
    errors
        .iter()
        .map(|error| error.message.clone())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn operations_have_a_fixed_order() {
    let config = "copy => { 'a' => 'copied' } replace => { 'a' => 'X-%{b}' } lowercase => ['a'] rename => { 'old' => 'b' } \
                  gsub => ['a', '-', ':'] add_field => { 'seen' => '%{copied}' }";
    let event = run(config, json!({"old": "Y", "a": 1}));
    assert_eq!(
        event,
        json!({"a": "x:y", "b": "Y", "copied": "x:y", "seen": "x:y"})
    );
}

#[test]
fn the_array_form_of_hashes_is_taken() {
    let config = "convert => ['n', 'integer'] rename => ['a', '[b][c]'] split => ['s', ',']";
    assert_eq!(
        run(config, json!({"n": "5", "a": 1, "s": "x,y"})),
        json!({"n": 5, "b": {"c": 1}, "s": ["x", "y"]})
    );
}

#[test]
fn names_of_renamed_fields_are_templates() {
    let event = run(
        "rename => { 'x_%{k}' => '[y][%{k}]' 'zz' => 'new' }",
        json!({"k": "kk", "x_kk": {"deep": [1]}}),
    );
    assert_eq!(event, json!({"k": "kk", "y": {"kk": {"deep": [1]}}}));
    let event = run(
        "rename => { 'a' => 'b%{k}' } add_tag => 't'",
        json!({"a": 1, "k": "["}),
    );
    assert_eq!(
        event,
        json!({"a": 1, "k": "[", "tags": ["_mutate_error"]}),
        "an illegal name loses nothing"
    );
}

#[test]
fn a_failure_keeps_what_was_done_and_stops() {
    let config = "replace => { 'a' => 'new' } convert => { 'b' => 'integer' } uppercase => ['c'] add_tag => ['t'] tag_on_failure => 'oops'";
    assert_eq!(
        run(config, json!({"a": 1, "b": "x", "c": "c"})),
        json!({"a": "new", "b": "x", "c": "c", "tags": ["oops"]})
    );
}

#[test]
fn values_that_tags_and_time_refuse_fail() {
    assert_eq!(
        run("replace => { '@timestamp' => 'x' }", json!({})),
        json!({"tags": ["_mutate_error"]})
    );
    assert_eq!(
        run("copy => { 'a' => 'tags' }", json!({"a": 5, "tags": ["x"]})),
        json!({"a": 5, "tags": ["x", "_mutate_error"]})
    );
    assert_eq!(
        run("replace => { '[a][b]' => 'x' }", json!({"a": 5})),
        json!({"a": 5, "tags": ["_mutate_error"]})
    );
    let event = run(
        "copy => { '@timestamp' => 'then' }",
        json!({"@timestamp": "2020-01-01T00:00:00Z"}),
    );
    assert_eq!(event["then"], "2020-01-01T00:00:00.000Z");
}

#[test]
fn conversions_by_type_of_value() {
    let event = json!({"t": true, "f": false, "i": 7, "d": -3.99, "s": " 1,234.5 ", "l": ["1", 2, null, "0x10"], "z": null});
    let config = "convert => { 't' => integer 'f' => float 'i' => float 'd' => integer 's' => float 'l' => integer 'z' => integer 'no' => float }";
    let expected =
        json!({"t": 1, "f": 0.0, "i": 7.0, "d": -3, "s": 1234.5, "l": [1, 2, null, 16], "z": null});
    assert_eq!(run(config, event), expected);
    let event = json!({"a": 12_345_678.9, "b": true, "c": 5, "d": "YES", "e": "", "f": 0, "g": [1.0, "no", 3]});
    let config = "convert => { 'a' => string 'b' => string 'c' => string 'd' => boolean 'e' => boolean 'f' => boolean 'g' => boolean }";
    assert_eq!(
        run(config, event),
        json!({"a": "12345678.9", "b": "true", "c": "5", "d": true, "e": false, "f": false, "g": [true, false, 3]})
    );
    assert_eq!(
        run("convert => { 'a' => integer_eu }", json!({"a": "1.234,9"})),
        json!({"a": 1234})
    );
    assert_eq!(
        run(
            "convert => { 'a' => string 'b' => integer }",
            json!({"a": {"x": 1}, "b": {"y": 1}})
        ),
        json!({"a": {"x": 1}, "b": {"y": 1}})
    );
}

#[test]
fn patterns_are_replaced() {
    assert_eq!(
        run(
            "gsub => ['a', '(?<w>[a-z]+)=', '\\k<w>:', 'l', 'x', '']",
            json!({"a": "k=1 q=2", "l": ["x1", 5, "ax"]})
        ),
        json!({"a": "k:1 q:2", "l": ["1", 5, "a"]})
    );
    assert_eq!(
        run("gsub => ['m', '[\r\n]+', ' ']", json!({"m": "a\r\nb\n"})),
        json!({"m": "a b "})
    );
    let config = "gsub => ['a', '^%{r}', '%{n}'] add_tag => ok";
    assert_eq!(
        run(config, json!({"a": "xyx", "r": "x", "n": 5})),
        json!({"a": "5yx", "r": "x", "n": 5, "tags": ["ok"]})
    );
    assert_eq!(
        run(config, json!({"a": "xyx", "r": "("})),
        json!({"a": "xyx", "r": "(", "tags": ["_mutate_error"]})
    );
    assert_eq!(
        run("gsub => ['none', 'a', 'b']", json!({"a": 1})),
        json!({"a": 1})
    );
}

#[test]
fn more_patterns_than_are_kept_still_work() {
    let events: Vec<_> = (0..100)
        .map(|at| json!({"a": format!("x{at}y"), "r": format!("x{at}y")}))
        .collect();
    let run = run_filter(
        &SPEC,
        Ecs::V8,
        "mutate { gsub => ['a', '%{r}', 'done'] }",
        &events,
    )
    .unwrap();
    assert!(run.events.iter().all(|event| event["a"] == "done"));
}

#[test]
fn case_and_blanks() {
    let config =
        "capitalize => ['a', 'e'] uppercase => ['b'] lowercase => ['c', 'none'] strip => ['d']";
    let event = run(
        config,
        json!({"a": "ßA", "b": "aé", "c": "ÀΣ", "d": [" x\0", "\u{b}"], "e": ""}),
    );
    assert_eq!(
        event,
        json!({"a": "Ssa", "b": "AÉ", "c": "àσ", "d": ["x", ""], "e": ""})
    );
}

#[test]
fn splitting_and_joining() {
    assert_eq!(
        run(
            "split => { 'a' => '' 'b' => ', ' 'c' => ' ' }",
            json!({"a": "aé", "b": ", x, y", "c": " \t"})
        ),
        json!({"a": ["a", "é"], "b": ["", "x", "y"], "c": []})
    );
    assert_eq!(
        run(
            "split => { 'a' => ',' } join => { 'a' => ';' }",
            json!({"a": "x,y,"})
        ),
        json!({"a": "x;y"})
    );
    assert_eq!(
        run(
            "join => { 'a' => '' 'b' => ',' }",
            json!({"a": [1.0, true, [["x"], null]], "b": "text"})
        ),
        json!({"a": "1.0truex", "b": "text"})
    );
}

#[test]
fn merging() {
    assert_eq!(
        run(
            "merge => { 'tags' => 'a' }",
            json!({"a": "x", "tags": ["t"]})
        ),
        json!({"a": "x", "tags": ["t", "x"]})
    );
    assert_eq!(
        run(
            "merge => { 'a' => 'none' 'none2' => 'none' }",
            json!({"a": [1]})
        ),
        json!({"a": [1], "none2": []})
    );
    assert_eq!(
        run("merge => { 'none' => 'a' }", json!({"a": {"x": 1}})),
        json!({"a": {"x": 1}})
    );
    let event = run(
        "merge => { 'a' => 'b' } replace => { '[b][y][z]' => 'early' } add_field => { '[b][y][w]' => 'late' }",
        json!({"a": {"x": 1}, "b": {"y": {}}}),
    );
    assert_eq!(
        event,
        json!({"a": {"x": 1, "y": {"z": "early"}}, "b": {"y": {"z": "early", "w": "late"}}}),
        "the merged values are copies"
    );
}

#[test]
fn copies_are_deep() {
    let event = run(
        "copy => { 'a' => 'b' 'z' => 'y' } add_field => { '[b][new]' => '1' }",
        json!({"a": {"x": [1]}, "z": null}),
    );
    assert_eq!(
        event,
        json!({"a": {"x": [1]}, "b": {"x": [1], "new": "1"}, "z": null})
    );
}

#[test]
fn coerce_is_for_null_only() {
    assert_eq!(
        run(
            "coerce => { 'a' => '%{b}' 'b' => 'd' 'c' => 'd' '[l][0]' => 'd' }",
            json!({"a": null, "b": "x", "l": [null]})
        ),
        json!({"a": "x", "b": "x", "l": [null]})
    );
}

#[test]
fn wrong_configs_are_refused() {
    assert!(errors("gsub => ['a', 'b']").contains("triples"));
    assert!(errors("gsub => ['a', '(', 'b']").contains('('));
    assert!(errors("convert => { 'a' => 'int' }").contains("integer"));
    assert!(errors("remove => ['a']").contains("not there"));
    assert!(errors("replace => { 'a[b]' => 'x' }").contains("a[b]"));
    assert!(errors("uppercase => { 'a' => 'x' }").contains("array"));
}
