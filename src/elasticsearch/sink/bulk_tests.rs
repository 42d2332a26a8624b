//! Bulks as whole texts, in pieces of every size.

use serde_json::Value;

use super::super::SinkOptions;
use super::*;

const FILTER: Option<&str> = Some("took,errors,items.*.error,items.*.status,items.*._id");

fn store(options: SinkOptions) -> Store {
    Store::new(options)
}

fn run(check: &mut BulkCheck, store: &Store, body: &[u8], piece: usize) -> Result<Value, Refusal> {
    check.begin(None);
    for part in body.chunks(piece.max(1)) {
        check.feed(store, part);
    }
    check.finish(store)?;
    Ok(serde_json::from_slice(&check.answer(0, None, false)).unwrap())
}

fn statuses(answer: &Value) -> Vec<u64> {
    let items = answer["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| {
            item.as_object().unwrap().values().next().unwrap()["status"]
                .as_u64()
                .unwrap()
        })
        .collect()
}

fn once(body: &str) -> Result<Value, Refusal> {
    run(
        &mut BulkCheck::default(),
        &store(SinkOptions::default()),
        body.as_bytes(),
        usize::MAX,
    )
}

const MIXED: &str = concat!(
    "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"n\":1}\n",
    "{\"create\":{\"_index\":\"a\",\"_id\":\"2\"}}\n{\"n\":2}\n",
    "{\"create\":{\"_index\":\"a\",\"_id\":\"2\"}}\n{\"n\":3}\n",
    "{\"index\":{\"_index\":\"B\",\"_id\":\"3\"}}\n{\"n\":4}\n",
    "{\"index\":{\"_index\":\"a\"}}\n{\"n\":5,\"n\":6}\n",
    "{\"index\":{\"_index\":\"b\"}}\r\n{\"n\":7}\r\n",
    "\n",
    "{\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n",
    "{\"update\":{\"_index\":\"a\",\"_id\":\"2\"}}\n{\"doc\":{\"n\":8}}\n",
    "{\"index\":{\"_index\":\"a\",\"_id\":\"\"}}\n{\"n\":9}\n",
    "{\"index\":{\"_index\":\"b\"}}\n\n",
    "{\"index\":{\"_index\":\"b\",\"_id\":\"a\\\"b\",\"routing\":\"x\"}}\n{\"n\":10}\n",
);
const MIXED_STATUSES: [u64; 11] = [201, 201, 409, 400, 400, 201, 200, 200, 400, 400, 201];

#[test]
fn every_item_gets_its_own_answer_whatever_the_pieces() {
    for piece in [1, 2, 3, 7, 20, 64, usize::MAX] {
        let store = store(SinkOptions::default());
        let mut check = BulkCheck::default();
        for round in 1..=2 {
            let answer = run(&mut check, &store, MIXED.as_bytes(), piece).unwrap();
            assert_eq!(statuses(&answer), MIXED_STATUSES, "pieces of {piece}");
            assert_eq!(answer["errors"], true);
            assert_eq!(
                answer["items"][4]["index"]["error"]["type"],
                "document_parsing_exception"
            );
            assert_eq!(
                answer["items"][3]["index"]["error"]["reason"],
                "Invalid index name [B], must be lowercase"
            );
            assert_eq!(answer["items"][10]["index"]["_id"], "a\"b");
            let counts: Vec<_> = store
                .select("")
                .iter()
                .map(|i| (i.name.clone(), i.documents, i.deleted))
                .collect();
            assert_eq!(
                counts,
                [
                    ("a".to_owned(), 3 * round, round),
                    ("b".to_owned(), 2 * round, 0)
                ]
            );
        }
        let newest: Vec<_> = store
            .select("b")
            .remove(0)
            .newest
            .iter()
            .map(|d| String::from_utf8_lossy(d).trim().to_owned())
            .collect();
        assert_eq!(newest, ["{\"n\":10}", "{\"n\":7}", "{\"n\":10}"]);
    }
}

#[test]
fn a_good_bulk_has_a_tiny_answer() {
    let store = store(SinkOptions::default());
    let mut check = BulkCheck::default();
    run(
        &mut check,
        &store,
        b"{\"index\":{\"_index\":\"a\"}}\n{}\n",
        9,
    )
    .unwrap();
    assert_eq!(
        check.answer(0, FILTER, false),
        b"{\"took\":0,\"errors\":false}"
    );
    let full: Value = serde_json::from_slice(&check.answer(7, None, false)).unwrap();
    assert_eq!(
        (
            statuses(&full),
            full["items"][0]["index"]["_index"].as_str()
        ),
        (vec![201], Some("a"))
    );
}

#[test]
fn malformed_bulks_are_refused_as_a_whole() {
    for (body, kind, reason) in [
        ("", "parse_exception", "request body is required"),
        (
            "\n",
            "action_request_validation_exception",
            "Validation Failed: 1: no requests added;",
        ),
        (
            "{\"index\":{\"_index\":\"a\"}}\n{}",
            "illegal_argument_exception",
            "terminated by a newline",
        ),
        (
            "{\"index\":{\"_index\":\"a\"}}\n",
            "illegal_argument_exception",
            "no document line",
        ),
        (
            "{\"index\":{}}\n{}\n",
            "action_request_validation_exception",
            "index is missing",
        ),
        (
            "{\"delete\":{\"_index\":\"a\"}}\n",
            "action_request_validation_exception",
            "id is missing",
        ),
        (
            "{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n",
            "action_request_validation_exception",
            "script or doc",
        ),
        (
            "{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"foo\":1}\n",
            "x_content_parse_exception",
            "unknown field [foo]",
        ),
        (
            "{\"a\":1}\n{}\n",
            "illegal_argument_exception",
            "line [1], expected field [create]",
        ),
        (
            "{\"index\":{\"_index\":\"a\"}}\n{}\n{\"n\":1}\n{}\n",
            "illegal_argument_exception",
            "line [3], expected field",
        ),
    ] {
        let refusal = once(body).unwrap_err();
        assert_eq!((refusal.status, refusal.kind), (400, kind), "{body}");
        assert!(
            refusal.reason.contains(reason),
            "{body}: {}",
            refusal.reason
        );
    }
    let long = format!(
        "{{\"index\":{{\"_index\":\"a\",\"_id\":\"{}\"}}}}\n{{}}\n",
        "x".repeat(513)
    );
    assert!(
        once(&long)
            .unwrap_err()
            .reason
            .contains("too long, must be no longer than 512 bytes but was: 513")
    );
}

#[test]
fn a_refused_bulk_leaves_no_trace() {
    let store = store(SinkOptions {
        ids: true,
        ..SinkOptions::default()
    });
    let mut check = BulkCheck::default();
    let good = b"{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"n\":1}\n";
    let bad = [&good[..], b"oops\n{}\n"].concat();
    assert!(run(&mut check, &store, &bad, 5).is_err());
    assert_eq!(store.select("").iter().map(|i| i.documents).sum::<u64>(), 0);
    assert_eq!(statuses(&run(&mut check, &store, good, 5).unwrap()), [201]);
    assert_eq!(statuses(&run(&mut check, &store, good, 5).unwrap()), [409]);
}

#[test]
fn remembered_ids_tell_new_from_known() {
    let store = store(SinkOptions {
        ids: true,
        ..SinkOptions::default()
    });
    let mut check = BulkCheck::default();
    let mut line = |action: &str, index: &str, body: &str| {
        let text = format!("{{\"{action}\":{{\"_index\":\"{index}\",\"_id\":\"7\"}}}}\n{body}");
        statuses(&run(&mut check, &store, text.as_bytes(), usize::MAX).unwrap())[0]
    };
    assert_eq!(line("update", "a", "{\"doc\":{}}\n"), 404);
    assert_eq!(line("index", "a", "{}\n"), 201);
    assert_eq!(line("index", "a", "{}\n"), 200);
    assert_eq!(line("create", "b", "{}\n"), 201);
    assert_eq!(line("create", "a", "{}\n"), 409);
    assert_eq!(line("update", "a", "{\"doc\":{}}\n"), 200);
    assert_eq!(line("delete", "a", ""), 200);
    assert_eq!(line("delete", "a", ""), 404);
    assert_eq!(line("create", "a", "{}\n"), 201);
}

#[test]
fn ids_doubled_in_a_bulk_are_counted() {
    let store = store(SinkOptions::default());
    let body = "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n".repeat(3);
    let answer = run(
        &mut BulkCheck::default(),
        &store,
        body.as_bytes(),
        usize::MAX,
    )
    .unwrap();
    assert_eq!(statuses(&answer), [201, 200, 200]);
    assert_eq!(
        store
            .counters
            .ids_doubled
            .load(std::sync::atomic::Ordering::Relaxed),
        2
    );
}

#[test]
fn ordered_faults_strike_every_nth_item() {
    let store = store(SinkOptions {
        status_429_every: Some(3),
        status_400_every: Some(2),
        ..SinkOptions::default()
    });
    let body = "{\"index\":{\"_index\":\"a\"}}\n{}\n".repeat(6);
    let answer = run(
        &mut BulkCheck::default(),
        &store,
        body.as_bytes(),
        usize::MAX,
    )
    .unwrap();
    assert_eq!(statuses(&answer), [201, 400, 429, 400, 201, 429]);
    assert_eq!(store.select("a")[0].documents, 2);
}

#[test]
fn index_names_follow_the_rules() {
    for good in ["a", "logs-2024.05.01", ".hidden", "ü", &"x".repeat(255)] {
        assert_eq!(illegal_index_name(good), None, "{good}");
    }
    for bad in [
        "",
        "A",
        "_a",
        "-a",
        "+a",
        "a b",
        "a,b",
        "a/b",
        "a*",
        "a?",
        "a#b",
        "a:b",
        ".",
        "..",
        "a\\b",
        "a\"b",
        "a|b",
        &"x".repeat(256),
    ] {
        assert!(illegal_index_name(bad).is_some(), "{bad}");
    }
}

#[test]
fn the_index_of_the_path_is_the_default() {
    let store = store(SinkOptions::default());
    let mut check = BulkCheck::default();
    for index in ["p", "q"] {
        check.begin(Some(index));
        check.feed(
            &store,
            b"{\"index\":{}}\n{}\n{\"index\":{\"_index\":\"own\"}}\n{}\n",
        );
        check.finish(&store).unwrap();
    }
    let names: Vec<_> = store
        .select("")
        .iter()
        .map(|i| (i.name.clone(), i.documents))
        .collect();
    assert_eq!(
        names,
        [
            ("own".to_owned(), 2),
            ("p".to_owned(), 1),
            ("q".to_owned(), 1)
        ]
    );
}

#[test]
fn fingerprints_of_different_ids_differ() {
    let mut seen = std::collections::HashSet::new();
    for number in 0..100_000_u32 {
        assert!(seen.insert(fingerprint(1, number.to_string().as_bytes())));
        assert!(seen.insert(fingerprint(2, number.to_string().as_bytes())));
        assert!(seen.insert(fingerprint(
            1,
            format!("a-much-longer-prefix-{number}").as_bytes()
        )));
    }
    assert_ne!(fingerprint(0, b"a"), fingerprint(0, b"a\0"));
}
