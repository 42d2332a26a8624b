//! Helpers for the tests of plugins: a config in, events in, events out.

use std::any::Any;

use serde_json::Value as Json;

use super::{Build, Catalogue, Common, Cx, Ecs, Make, PluginMetrics, PluginSpec, Settings};
use crate::event::{Batch, Keys, Selection};
use crate::language::ast::{Item, Plugin};
use crate::language::{Diagnostic, SourceMap};
use crate::time::Timestamp;

/// Parses `name { options }` as it would stand in a section.
pub fn parse_plugin(text: &str) -> Plugin {
    let source = SourceMap::single("test.conf", &format!("filter {{ {text} }}")).expect("small");
    let parsed = crate::language::parse(&source, crate::language::ParseOptions::default());
    let errors: Vec<_> = parsed
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    match parsed
        .config
        .sections
        .into_iter()
        .next()
        .and_then(|section| section.items.into_iter().next())
    {
        Some(Item::Plugin(plugin)) => plugin,
        other => panic!("no plugin: {other:?}"),
    }
}

/// Builds with defaults for everything; returns what `make` made, the names, and the diagnostics.
pub fn build<T>(
    catalogue: Catalogue,
    ecs: Ecs,
    make: impl FnOnce(&mut Build<'_>) -> T,
) -> (T, Keys, Vec<Diagnostic>) {
    let mut keys = Keys::new();
    let mut diagnostics = Vec::new();
    let settings = Settings {
        ecs,
        max_record_bytes: 16 << 20,
        ..Settings::default()
    };
    let made = make(&mut Build {
        keys: &mut keys,
        diagnostics: &mut diagnostics,
        settings: &settings,
        catalogue,
        ecs,
        id: "test".to_owned(),
    });
    (made, keys, diagnostics)
}

/// What became of the events of one filter run.
pub struct FilterRun {
    /// Events that left, in order, without `@timestamp` and `@version` unless they were given.
    pub events: Vec<Json>,
    /// The counters of the plugin.
    pub metrics: PluginMetrics,
}

/// Runs one filter, built from config text, over JSON events.
pub fn run_filter(
    spec: &PluginSpec,
    ecs: Ecs,
    config: &str,
    events: &[Json],
) -> Result<FilterRun, Vec<Diagnostic>> {
    let plugin = parse_plugin(config);
    let Make::Filter(make) = spec.make else {
        panic!("{} is no filter", spec.name)
    };
    let (made, keys, diagnostics) = build(Catalogue(&[]), ecs, |build| {
        let filter = make(&plugin, build);
        let common = crate::plugin::common::read(&plugin, build);
        filter.zip(common)
    });
    let Some((filter, common)) = made else {
        return Err(diagnostics);
    };
    let mut batch = Batch::new(&keys);
    let lines: Vec<String> = events.iter().map(Json::to_string).collect();
    let mut block = Vec::new();
    let mut spans = Vec::new();
    for line in &lines {
        spans.push((
            u32::try_from(block.len()).expect("small"),
            u32::try_from(line.len()).expect("small"),
        ));
        block.extend_from_slice(line.as_bytes());
        block.push(b'\n');
    }
    batch.reset(
        block,
        Timestamp {
            secs: 1_735_542_489,
            nanos: 0,
        },
    );
    let mut sel = Selection::default();
    for (off, len) in spans {
        let id = batch.new_event(0, u64::from(off));
        let text = batch.block_text(off, len);
        batch.decode_object(id, text).expect("valid test event");
        sel.push(id);
    }
    let mut scratch: Box<dyn Any + Send> = filter.scratch();
    let metrics = PluginMetrics::default();
    let mut buf = Vec::new();
    let common: Common = common;
    filter.run(
        &mut batch,
        &mut sel,
        &mut Cx {
            buf: &mut buf,
            scratch: &mut *scratch,
            common: &common,
            metrics: &metrics,
        },
    );
    let mut out = Vec::new();
    for &id in sel.ids() {
        let mut text = Vec::new();
        batch.write_event(id, &mut text);
        let mut json: Json = serde_json::from_slice(&text)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
        if let Some(object) = json.as_object_mut() {
            if object.get("@timestamp").and_then(Json::as_str) == Some("2024-12-30T07:08:09.000Z") {
                object.remove("@timestamp");
            }
            object.remove("@version");
        }
        out.push(json);
    }
    Ok(FilterRun {
        events: out,
        metrics,
    })
}
