//! The demo and the load test, as a user runs them: everything that is written arrives, and nothing stays behind.

mod common;

use std::process::Output;

use common::{logmill, repository};

/// Runs the program with a folder for temporary files of its own, which must be empty afterwards.
fn run(args: &[&str]) -> (Output, String) {
    let temporary = tempfile::tempdir().expect("temp dir");
    let output = logmill()
        .args(args)
        .env("TMPDIR", temporary.path())
        .env_remove("ELASTICSEARCH_URL")
        .env_remove("GEOIP_CITY_DB")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let left: Vec<_> = std::fs::read_dir(temporary.path())
        .expect("lists")
        .filter_map(Result::ok)
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    (output, text)
}

#[test]
fn every_line_of_the_demo_arrives() {
    let pipelines = repository("pipelines");
    let (output, text) = run(&[
        "demo",
        "--seconds",
        "5",
        "--rate",
        "500",
        "--pipelines",
        pipelines.to_str().expect("UTF-8"),
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    assert!(
        text.contains("Every line arrived, each once and in the index of its family."),
        "{text}"
    );
    let written = text
        .lines()
        .find_map(|line| line.split_once(" lines written, "))
        .expect("the summary names the lines");
    assert!(
        written
            .0
            .replace(',', "")
            .parse::<u64>()
            .is_ok_and(|lines| lines >= 2500),
        "{text}"
    );
    assert!(
        text.contains(" 0 set aside, 0 undecodable, 0 errors."),
        "{text}"
    );
    for family in ["persona", "security", "ethics", "logs"] {
        assert!(
            text.contains(&format!("  project-ai-{family}-")),
            "{family} is missing: {text}"
        );
    }
    let hits = text
        .lines()
        .find_map(|line| line.strip_prefix("GeoIP hits: "))
        .expect("the summary names the hits");
    let mut words = hits.split(' ');
    assert_eq!(words.next(), words.nth(1), "{hits}");
    assert_eq!(text.matches("\n{\n").count(), 3, "three documents: {text}");
}

#[test]
fn a_demo_without_pipelines_says_what_is_missing() {
    let (output, _) = run(&["demo", "--pipelines", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--pipelines"));
}

#[test]
fn a_demo_with_a_broken_config_shows_its_error() {
    let folder = tempfile::tempdir().expect("temp dir");
    let config = folder.path().join("broken.conf");
    std::fs::write(&config, "input { fiel { } }").expect("writes");
    let (output, _) = run(&["demo", "--pipelines", config.to_str().expect("UTF-8")]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("fiel"), "{error}");
}
