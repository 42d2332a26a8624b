//! What the text filters cost, printed: `cargo test --release --lib text_speed -- --ignored --nocapture`.

use std::any::Any;
use std::fmt::Write as _;
use std::time::Instant;

use crate::event::{Batch, Selection};
use crate::plugin::testing::{build, parse_plugin};
use crate::plugin::{Catalogue, Common, Cx, Ecs, Filter, Make, PluginMetrics, PluginSpec};
use crate::time::Timestamp;

const CHUNK: usize = 256;
const ROUNDS: usize = 400;

const SPECS: [&PluginSpec; 4] = [
    &super::dissect::SPEC,
    &super::kv::SPEC,
    &super::date::SPEC,
    &super::grok::SPEC,
];

/// Nanoseconds per event of each of these filters, run one after another over lines in `message`.
fn measure(filters: &[&str], lines: &[String]) -> Vec<f64> {
    let (made, keys, _) = build(Catalogue(&[]), Ecs::Disabled, |build| {
        filters
            .iter()
            .map(|text| {
                let plugin = parse_plugin(text);
                let spec = SPECS.iter().find(|spec| spec.name == plugin.name.text);
                let Some(Make::Filter(make)) = spec.map(|spec| spec.make) else {
                    panic!("no such filter: {text}")
                };
                make(&plugin, build).unwrap_or_else(|| panic!("{:?}", build.diagnostics))
            })
            .collect::<Vec<Box<dyn Filter>>>()
    });
    let mut scratches: Vec<Box<dyn Any + Send>> =
        made.iter().map(|filter| filter.scratch()).collect();
    let (metrics, common, mut buf) = (PluginMetrics::default(), Common::default(), Vec::new());
    let mut batch = Batch::new(&keys);
    let mut best = vec![f64::MAX; made.len()];
    let mut block = Vec::new();
    for round in 0..ROUNDS {
        block.clear();
        let mut spans = Vec::new();
        for at in 0..CHUNK {
            let line = &lines[(round * CHUNK + at) % lines.len()];
            spans.push((block.len() as u32, line.len() as u32));
            block.extend_from_slice(line.as_bytes());
        }
        block = batch.reset(block, Timestamp::from_millis(1_776_729_599_000));
        let mut sel = Selection::default();
        for (off, len) in spans {
            let id = batch.new_event(0, u64::from(off));
            let text = batch.block_text(off, len);
            batch.set_slot(id, crate::event::slot::MESSAGE, text);
            sel.push(id);
        }
        for ((filter, scratch), best) in made.iter().zip(&mut scratches).zip(&mut best) {
            let begin = Instant::now();
            filter.run(
                &mut batch,
                &mut sel,
                &mut Cx {
                    buf: &mut buf,
                    scratch: &mut **scratch,
                    common: &common,
                    metrics: &metrics,
                },
            );
            let spent = begin.elapsed().as_nanos() as f64 / CHUNK as f64;
            *best = best.min(spent);
        }
    }
    best
}

fn print(title: &str, filters: &[&str], lines: &[String]) {
    let mut out = format!("{title}:");
    for (filter, ns) in filters.iter().zip(measure(filters, lines)) {
        let name = filter.split(' ').next().unwrap_or_default();
        let _ = write!(out, " {name} {ns:.0} ns");
    }
    println!("{out}");
}

fn audit_lines() -> Vec<String> {
    (0..1000u32)
        .map(|n| {
            format!(
                "2026-04-20T23:59:{:02}.{:03}Z | {} | {} | user={} | ip=240.{}.2.{} | reason=wrong_password",
                n % 60,
                n,
                ["INFO", "WARNING"][n as usize % 2],
                ["AUTH_FAILURE", "CONFIG_CHANGE", "AUTH_SUCCESS"][n as usize % 3],
                ["amara", "benedikt", "chen"][n as usize % 3],
                n % 256,
                n % 199
            )
        })
        .collect()
}

const KV: &str =
    r#"kv { source => "[@metadata][pairs]" field_split_pattern => " \| " value_split => "=" }"#;
const DATE: &str = r#"date { match => [ "[@metadata][time]", "ISO8601" ] }"#;

#[test]
#[ignore = "a measurement: run with --release --ignored --nocapture"]
fn audit() {
    let lines = audit_lines();
    let dissect = r#"dissect { mapping => { "message" => "%{[@metadata][time]} | %{level} | %{code} | %{[@metadata][pairs]}" } }"#;
    let grok = r#"grok { match => { "message" => "%{TIMESTAMP_ISO8601:[@metadata][time]} \| %{LOGLEVEL:level} \| %{WORD:code} \| %{GREEDYDATA:[@metadata][pairs]}" } }"#;
    let classes = r#"kv { source => "[@metadata][pairs]" field_split => "| " value_split => "=" target => "out" }"#;
    print("audit", &[dissect, KV, DATE, classes], &lines);
    print("audit", &[grok, KV, DATE], &lines);
}

fn access_lines() -> Vec<String> {
    (0..1000u32)
        .map(|n| {
            format!(
                r#"240.{}.2.{} - - [20/Apr/2026:23:59:{:02} +0000] "GET /docs/page-{n}.html?x={} HTTP/1.1" 200 {} "https://example.org/start/{n}" "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/115.0""#,
                n % 256,
                n % 199,
                n % 60,
                n * 7,
                n * 31 % 40_000,
                100 + n % 40
            )
        })
        .collect()
}

fn alternatives(count: usize, last: &str) -> String {
    let names = [
        "sshd", "cron", "kernel", "postfix", "dovecot", "named", "haproxy", "squid", "vault",
    ];
    let mut patterns: Vec<String> = (1..count)
        .map(|n| {
            let name = names[n % names.len()];
            match n % 4 {
                0 => format!(r"^%{{SYSLOGTIMESTAMP:ts}} %{{HOSTNAME:host}} {name}\[%{{POSINT:pid}}\]: event{n} %{{GREEDYDATA:rest}}"),
                1 => format!(r"%{{TIMESTAMP_ISO8601:ts}} %{{LOGLEVEL:level}} {name}-{n}: %{{GREEDYDATA:rest}}"),
                2 => format!(r"%{{WORD:verb}} {name}{n} took %{{NUMBER:ms:float}}ms for %{{IP:client}}"),
                _ => format!(r"%{{IPORHOST:client}} {name}{n} \[%{{HTTPDATE:ts}}\] %{{DATA:what}} -> %{{NUMBER:code:int}}"),
            }
        })
        .collect();
    patterns.push(last.to_owned());
    let list: Vec<String> = patterns.iter().map(|p| format!("'{p}'")).collect();
    format!(
        "grok {{ match => {{ \"message\" => [ {} ] }} }}",
        list.join(", ")
    )
}

#[test]
#[ignore = "a measurement: run with --release --ignored --nocapture"]
fn access() {
    let lines = access_lines();
    let failing: Vec<String> = lines
        .iter()
        .map(|line| format!("{}x", line.trim_end_matches('"')))
        .collect();
    let date = r#"date { match => [ "timestamp", "dd/MMM/yyyy:HH:mm:ss Z" ] }"#;
    for count in [1, 2, 10, 52, 200] {
        let grok = alternatives(count, "%{COMBINEDAPACHELOG}");
        print(
            &format!("access, {count} alternatives"),
            &[&grok, date],
            &lines,
        );
        print(
            &format!("failing, {count} alternatives"),
            &[&grok],
            &failing,
        );
    }
}
