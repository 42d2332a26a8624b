//! The options as configs write them, and the fields that events get.

use std::fs;
use std::sync::{Arc, Mutex};

use crate::delivery::Delivery;
use crate::plugin::testing::{build, parse_plugin};
use crate::plugin::{Block, Ecs, FillCx, Make, PluginMetrics, StartCx};

use super::super::SPEC;
use super::CATALOGUE;

#[test]
fn bad_options_are_refused_with_their_reason() {
    let errors = |config: &str| {
        let plugin = parse_plugin(config);
        let Make::Input(make) = SPEC.make else {
            panic!()
        };
        let (made, _, diagnostics) =
            build(CATALOGUE, Ecs::V8, |build| make(&plugin, build).is_some());
        (
            made,
            diagnostics
                .iter()
                .map(|it| it.message.clone())
                .collect::<Vec<_>>()
                .join("; "),
        )
    };
    for (config, part) in [
        ("file { path => 'logs/*.log' }", "absolute path"),
        ("file { }", "needs the option `path`"),
        (
            "file { path => '/x' mode => read file_completed_action => log }",
            "file_completed_log_path",
        ),
        (
            "file { path => '/x' sincedb_path => '/tmp' }",
            "not a folder",
        ),
        (
            "file { path => '/x' stat_interval => 'often' }",
            "must be a number or a text",
        ),
        ("file { path => '/x' exclude => '[' }", "invalid glob"),
    ] {
        let (made, text) = errors(config);
        assert!(!made && text.contains(part), "{config}: {text}");
    }
    let (made, text) =
        errors("file { path => '/x' exit_after_read => true offset_field => '[log][offset]' }");
    assert!(made && text.contains("read mode only"));
}

#[test]
fn events_get_the_path_and_the_host_under_the_names_of_the_ecs_mode() {
    for (ecs, expected) in [
        (
            Ecs::V8,
            [
                "[@metadata][path]",
                "[@metadata][host]",
                "[host][name]",
                "[log][file][path]",
            ],
        ),
        (
            Ecs::Disabled,
            ["[@metadata][path]", "[@metadata][host]", "host", "path"],
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.log");
        fs::write(&path, "1\n").unwrap();
        let config = format!(
            "file {{ path => '{}' start_position => beginning offset_field => '[log][offset]' }}",
            path.display()
        );
        let plugin = parse_plugin(&config);
        let Make::Input(make) = SPEC.make else {
            panic!()
        };
        let (made, keys, diagnostics) = build(CATALOGUE, ecs, |build| {
            let input = make(&plugin, build)?;
            let paths = expected.map(|name| build.path(name));
            Some((input, paths, build.path("[log][offset]")))
        });
        let (input, paths, offset) = made.unwrap_or_else(|| panic!("{diagnostics:?}"));
        drop(keys);
        assert!(input.replayable());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut started = input
            .start(StartCx {
                waker: Arc::new(|| ()),
                runtime: runtime.handle().clone(),
                data_dir: home.path().join("data"),
                stopping: tokio::sync::watch::channel(false).1,
                metrics: Arc::new(PluginMetrics::default()),
                id: "test".to_owned(),
            })
            .unwrap();
        let delivery = Mutex::new(Delivery::new());
        let mut block = Block::default();
        let mut cx = FillCx {
            delivery: &delivery,
            stopping: false,
            max_records: Some(125),
            block_bytes: 1 << 20,
        };
        started.source.fill(&mut block, &mut cx);
        assert_eq!(block.recs.len(), 1, "the first fill already yields records");
        let attrs = &block.runs[0].attrs;
        let got: Vec<String> = attrs
            .fields
            .iter()
            .map(|attr| format!("{:?}", attr.path))
            .collect();
        assert_eq!(got, paths.map(|path| format!("{path:?}")));
        assert_eq!(
            attrs.fields[3].text,
            path.display().to_string().into_bytes()
        );
        assert_eq!(
            format!("{:?}", attrs.offset_field),
            format!("{:?}", Some(offset))
        );
    }
}
