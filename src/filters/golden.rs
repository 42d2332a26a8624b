//! Runs the filters over the golden vectors: what the original's own code answered.

use serde_json::{Map, Value as Json, json};

use crate::plugin::testing::run_filter;
use crate::plugin::{Ecs, PluginSpec};

/// A tag that shows that the common options were applied.
const MATCHED: &str = "__matched";

fn specs() -> Vec<PluginSpec> {
    vec![
        super::dissect::SPEC,
        super::kv::SPEC,
        super::mutate::SPEC,
        super::split::SPEC,
    ]
}

/// A JSON value as one would write it in a config.
fn config_text(value: &Json) -> String {
    match value {
        Json::String(text) if text.contains('"') => format!("'{text}'"),
        Json::String(text) => format!("\"{text}\""),
        Json::Array(values) => format!(
            "[{}]",
            values
                .iter()
                .map(config_text)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Json::Object(entries) => {
            let entry =
                |(key, value): (&String, &Json)| format!("\"{key}\" => {}", config_text(value));
            format!(
                "{{ {} }}",
                entries.iter().map(entry).collect::<Vec<_>>().join(" ")
            )
        }
        other => other.to_string(),
    }
}

fn plugin_text(name: &str, config: &Map<String, Json>) -> String {
    let options: Vec<String> = config
        .iter()
        .map(|(name, value)| format!("{name} => {}", config_text(value)))
        .collect();
    format!(
        "{name} {{ {} add_tag => [\"{MATCHED}\"] }}",
        options.join(" ")
    )
}

/// Takes the tag of success out again.
fn take_matched(mut event: Json) -> (Json, bool) {
    let Some(tags) = event.get_mut("tags").and_then(Json::as_array_mut) else {
        return (event, false);
    };
    let Some(at) = tags.iter().position(|tag| tag == MATCHED) else {
        return (event, false);
    };
    tags.remove(at);
    if tags.is_empty() {
        event.as_object_mut().map(|event| event.remove("tags"));
    }
    (event, true)
}

fn check(vector: &Json, spec: &PluginSpec) -> Result<(), String> {
    let config = plugin_text(spec.name, vector["config"].as_object().ok_or("no config")?);
    let ran = run_filter(
        spec,
        Ecs::V8,
        &config,
        vector.get("event").map_or(&[], std::slice::from_ref),
    );
    if vector.get("load_error").is_some() {
        return ran.map_or(Ok(()), |_| Err(format!("{config} loads")));
    }
    let ran = ran.map_err(|errors| format!("{config}: {errors:?}"))?;
    let result: Vec<(Json, bool)> = ran.events.into_iter().map(take_matched).collect();
    let mut expected = Vec::new();
    if vector.get("cancelled") != Some(&json!(true)) {
        expected.push((vector["result"].clone(), vector["matched"] == json!(true)));
    }
    for event in vector
        .get("new_events")
        .and_then(Json::as_array)
        .unwrap_or(&Vec::new())
    {
        expected.push((event["event"].clone(), event["matched"] == json!(true)));
    }
    if result == expected {
        Ok(())
    } else {
        Err(format!(
            "{config}\n  of {}\n  made {result:?}\n  not  {expected:?}",
            vector["event"]
        ))
    }
}

#[test]
fn every_vector_passes() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/golden/golden-filters.jsonl"
    );
    let text =
        std::fs::read_to_string(path).expect("the golden vectors are part of the repository");
    let specs = specs();
    let mut ran = 0;
    let mut failures = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let vector: Json = serde_json::from_str(line).expect("each line is a vector");
        let Some(spec) = specs.iter().find(|spec| vector["plugin"] == spec.name) else {
            continue;
        };
        ran += 1;
        if let Err(failure) = check(&vector, spec) {
            failures.push(failure);
        }
    }
    assert!(ran >= 90, "only {ran} vectors were found");
    assert!(
        failures.is_empty(),
        "{} of {ran} vectors fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
