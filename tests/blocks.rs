//! Block size and number of workers are nobody's business: the documents are the same.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Running, get_json, logmill, sink, wait};

fn corpus() -> String {
    let mut text = String::new();
    for number in 0..100_000 {
        let padding = "x".repeat(number % 97);
        text.push_str(&format!(
            "{{\"n\":{number},\"component\":\"{}\",\"pad\":\"{padding}\",\"t\":\"\\u00e9\"}}\n",
            ["a", "b", "c"][number % 3]
        ));
    }
    text
}

/// Ships files through a config to the sink; what the sink holds per index, and a digest of the ids.
fn ship(
    files: &[(&str, &[u8])],
    filters: &str,
    codec: &str,
    args: &[&str],
    total: u64,
) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().expect("temp dir");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("writes");
    }
    let (_sink, url) = sink(&["--ids"]);
    let config = format!(
        "input {{ file {{ path => \"{}/*.log\" start_position => beginning codec => {codec} offset_field => \"[log][offset]\" }} }}
         filter {{ {filters} }}
         output {{ elasticsearch {{ hosts => \"{url}\" index => \"t-%{{kind}}\" action => create document_id => \"%{{[log][file][path]}}-%{{[log][offset]}}-%{{digest}}\" compression_level => 0 }} }}",
        folder.path().display()
    );
    let data = tempfile::tempdir().expect("temp dir");
    let running = Running(
        logmill()
            .args([
                "-e",
                &config,
                "--api.enabled",
                "false",
                "--log.level",
                "warn",
                "--path.data",
            ])
            .arg(data.path())
            .args(args)
            .spawn()
            .expect("starts"),
    );
    let counts = || -> BTreeMap<String, u64> {
        let indices = get_json(&format!("{url}/_cat/indices?format=json"));
        indices
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| {
                (
                    entry["index"].as_str().unwrap_or_default().to_owned(),
                    entry["docs.count"]
                        .as_str()
                        .and_then(|count| count.parse().ok())
                        .unwrap_or(0),
                )
            })
            .collect()
    };
    assert!(
        wait(Duration::from_mins(1), || counts().values().sum::<u64>()
            >= total),
        "{:?} of {total}",
        counts()
    );
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(running.stop(), Some(0));
    counts()
}

#[test]
fn workers_and_block_sizes_change_nothing() {
    let text = corpus();
    let filters = "mutate { copy => { \"component\" => \"kind\" \"n\" => \"digest\" } }";
    let mut results = Vec::new();
    for args in [
        ["-w", "1", "--pipeline.block.bytes", "4096"],
        ["-w", "4", "--pipeline.block.bytes", "4096"],
        ["-w", "1", "--pipeline.block.bytes", "1048576"],
        ["-w", "4", "--pipeline.block.bytes", "1048576"],
    ] {
        results.push(ship(
            &[("a.log", text.as_bytes())],
            filters,
            "json",
            &args,
            100_000,
        ));
    }
    assert_eq!(
        results[0].values().sum::<u64>(),
        100_000,
        "{:?}",
        results[0]
    );
    assert!(
        results.windows(2).all(|pair| pair[0] == pair[1]),
        "{results:?}"
    );
}

#[test]
fn multiline_cri_and_huge_records_cross_block_edges() {
    let mut lines = String::new();
    for number in 0..2000 {
        lines.push_str(&format!(
            "2026-01-01 event {number}\n  continued {}\n",
            "y".repeat(number % 61)
        ));
    }
    lines.push_str("2026-01-01 last\n");
    let multiline =
        "multiline { pattern => \"^20\" negate => true what => previous auto_flush_interval => 1 }";
    let filters = "mutate { add_field => { \"kind\" => \"m\" \"digest\" => \"1\" } }";
    for block in ["1024", "1048576"] {
        let counts = ship(
            &[("m.log", lines.as_bytes())],
            filters,
            multiline,
            &["--pipeline.block.bytes", block],
            2001,
        );
        assert_eq!(counts.get("t-m"), Some(&2001), "{counts:?}");
    }
    let mut cri = String::new();
    for number in 0..1000 {
        cri.push_str(&format!(
            "2026-01-01T00:00:00.{number:09}Z stdout P first {number} {}\n",
            "z".repeat(number % 53)
        ));
        cri.push_str(&format!(
            "2026-01-01T00:00:00.{number:09}Z stdout F  second\n"
        ));
    }
    for block in ["1024", "1048576"] {
        let counts = ship(
            &[("c.log", cri.as_bytes())],
            filters,
            "cri",
            &["--pipeline.block.bytes", block],
            1000,
        );
        assert_eq!(counts.get("t-m"), Some(&1000), "{counts:?}");
    }
    let huge = format!(
        "{{\"n\":1}}\n{{\"big\":\"{}\"}}\n{{\"n\":2}}\n",
        "b".repeat(3 << 20)
    );
    let counts = ship(
        &[("h.log", huge.as_bytes())],
        filters,
        "json",
        &["--pipeline.block.bytes", "65536"],
        3,
    );
    assert_eq!(counts.get("t-m"), Some(&3), "{counts:?}");
}
