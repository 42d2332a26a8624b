//! `logmill loadtest` as a user starts it: every document accounted for, whatever the load.

use std::process::{Command, Output};

use serde_json::Value;

fn loadtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_logmill"))
        .arg("loadtest")
        .args(arguments)
        .env_remove("GEOIP_CITY_DB")
        .output()
        .expect("starts")
}

fn results(arguments: &[&str]) -> Vec<Value> {
    let output = loadtest(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    value["results"].as_array().expect("results").clone()
}

#[test]
fn every_scenario_ships_every_event() {
    let all = results(&["--smoke", "--scenario", "all", "--events", "3000", "--json"]);
    assert_eq!(all.len(), 8);
    for result in all {
        let run = &result["median"];
        assert_eq!(run["all_arrived"], true, "{result}");
        assert_eq!(run["events"], run["documents"], "{result}");
        assert_eq!(run["wrong"], serde_json::json!([]));
        if !run["geoip_hits_expected"].is_null() {
            assert_eq!(run["geoip_hits"], run["geoip_hits_expected"], "{result}");
        }
        assert!(run["events"].as_u64().unwrap() >= 3000, "{result}");
        for figure in [
            "events_per_second",
            "mb_per_second_in",
            "mb_per_second_out",
            "line_bytes",
            "body_bytes",
            "shipper_peak_rss_bytes",
            "sink_peak_rss_bytes",
        ] {
            let is_there = run[figure].as_f64().is_some_and(|figure| figure > 0.0);
            assert!(is_there, "{figure} in {result}");
        }
        for figure in ["total_cpu_us_per_event", "allocations_per_event"] {
            assert!(run[figure].is_number(), "{figure} in {result}");
        }
        assert!(!result["config"].as_str().unwrap().is_empty());
    }
}

#[test]
fn hostile_lines_arrive_too() {
    for scenario in ["json", "json-filter", "audit", "grok-access", "general"] {
        let all = results(&[
            "--smoke",
            "--scenario",
            scenario,
            "--events",
            "2000",
            "--hostile",
            "20",
            "--json",
        ]);
        assert_eq!(all[0]["median"]["all_arrived"], true, "{}", all[0]);
    }
}

#[test]
fn a_rate_tells_the_latency_of_every_line() {
    let all = results(&["--rate", "2000", "--seconds", "1", "--runs", "1", "--json"]);
    let latency = &all[0]["median"]["latency"];
    assert_eq!(latency["events"], 2000);
    assert_eq!(latency["by_line"], true);
    let of = |name: &str| latency[name].as_f64().unwrap();
    assert!(of("p50_ms") > 0.0 && of("p50_ms") <= of("p99_ms") && of("p99_ms") <= of("max_ms"));
}

#[test]
fn a_config_of_ones_own_is_measured_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("patterns.d"), "").unwrap();
    std::fs::write(
        path("own.conf"),
        r#"input { tcp { port => 5000 codec => json_lines } }
           filter { if [n] == 2 { drop { } } }
           output { elasticsearch { hosts => "https://nowhere:9200" user => "u" password => "${NOT_SET:p}" index => "own" } }"#,
    )
    .unwrap();
    std::fs::write(path("sample.jsonl"), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n").unwrap();
    let (config, sample) = (path("own.conf"), path("sample.jsonl"));
    let common = [
        "--config", &config, "--sample", &sample, "--events", "3000", "--runs", "1", "--json",
    ];
    let output = loadtest(&common);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &result["results"][0]["median"];
    assert_eq!(run["indices"]["own"], 2000, "a third is dropped: {run}");
    assert_eq!(
        run["all_arrived"],
        Value::Null,
        "what a filter drops is not known"
    );

    std::fs::write(path("before.json"), &output.stdout).unwrap();
    let before = path("before.json");
    let again = loadtest(&[&common[..], &["--compare", &before]].concat());
    let result: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert!(
        result["compared"]["own.conf"]["bytes out per event"].is_number(),
        "{result}"
    );
}

#[test]
fn rounds_are_counted_exactly() {
    let all = results(&[
        "--seconds",
        "2",
        "--events",
        "1000",
        "--runs",
        "1",
        "--json",
    ]);
    let run = &all[0]["median"];
    assert_eq!(run["all_arrived"], true, "{run}");
    assert!(run["events"].as_u64().unwrap() >= 3000, "{run}");
}

#[test]
fn what_does_not_go_together_is_refused_with_a_sentence() {
    for (arguments, word) in [
        (&["--scenario", "project-ai", "--rate", "5"][..], "demo"),
        (&["--target", "localhost:9200"], "no URL"),
        (&["--compare", "/nowhere.json"], "/nowhere.json"),
        (
            &["--config", "/nowhere.conf", "--sample", "/nowhere"],
            "/nowhere.conf",
        ),
    ] {
        let output = loadtest(arguments);
        assert!(!output.status.success());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains(word), "{arguments:?}: {message}");
    }
}
