//! What the pass accepts, refuses and hands out.

use super::*;
use std::fmt::Write as _;
use std::time::Instant;

/// Lines of eleven fields and about 339 bytes, as an application's JSON logger writes them, no two alike.
fn application_lines(count: u32) -> (Vec<u8>, Vec<(u32, u32)>) {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |bound: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % bound
    };
    let mut text = String::new();
    let mut records = Vec::new();
    let messages = [
        "GET /intent finished after one retry, the client had gone away in between",
        "Violates Zeroth Law: action refused by the four laws, see the audit trail for what was asked",
        "Security event: attack - seen at the edge, source blocked for ten minutes by the rate limiter",
    ];
    for _ in 0..count {
        let start = text.len() as u32;
        let _ = write!(
            text,
            "{{\"timestamp\": \"2026-04-20T15:{:02}:{:02}.{:03}Z\", \"level\": \"{}\", \"logger\": \"app.security.{}\", \
             \"message\": \"{}\", \"component\": \"{}\", \"status\": {}, \"duration\": {}.{}, \"source_ip\": \"{}.{}.{}.{}\", \
             \"trace_id\": \"eac5d473fa1d47cd{:016x}\", \"user_id\": {}, \"ok\": {}}}",
            below(60),
            below(60),
            below(1000),
            ["INFO", "WARNING", "ERROR", "DEBUG"][below(4) as usize],
            ["monitoring", "access", "core"][below(3) as usize],
            messages[below(3) as usize],
            ["four-laws", "security", "access-control"][below(3) as usize],
            [200, 404, 500, 12_000][below(4) as usize],
            below(2000),
            below(100),
            below(256),
            below(256),
            below(256),
            below(256),
            below(u64::MAX),
            below(100_000),
            ["true", "false", "null"][below(3) as usize],
        );
        records.push((start, text.len() as u32));
        text.push('\n');
    }
    (text.into_bytes(), records)
}

/// The least time of `rounds` runs of `work`, in nanoseconds for each of `items`.
fn least(rounds: u32, items: usize, mut work: impl FnMut()) -> u128 {
    let once = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_nanos()
    };
    (0..rounds).map(once).min().unwrap_or_default() / items as u128
}

#[test]
#[ignore = "a measurement: run with --release --ignored --nocapture"]
fn cost_of_a_line() {
    let lines = std::env::var("LINES").ok().and_then(|l| l.parse().ok()).unwrap_or(3_000);
    let (buf, records) = application_lines(lines);
    let rounds = 900_000 / lines;
    let limits = Limits::default();
    let mut out = Vec::new();
    for (name, marks) in [("best vectors", stops::Marks::new()), ("plain vectors", stops::Marks::plain())] {
        let mut scanner = Scanner { marks, ..Scanner::new() };
        let all = least(rounds, records.len(), || {
            for &(start, end) in &records {
                out.clear();
                walk_object(&mut scanner, &buf, start, end, &limits, &mut out).unwrap();
            }
        });
        let marking = least(rounds, records.len(), || {
            for &(start, end) in &records {
                assert!(scanner.marks.mark(&buf, start as usize, end as usize));
            }
        });
        println!("{name}: {} bytes a line, {all} ns, of which marking {marking} ns", buf.len() / records.len());
    }
    let skipping = least(rounds, records.len(), || {
        for &(start, end) in &records {
            out.clear();
            fields_of_valid(&buf, start, end, &mut out);
            assert_eq!(out.len(), 11);
        }
    });
    let mut scratch = KeyScratch::default();
    let twins = least(rounds, records.len(), || {
        for &(start, end) in &records {
            assert!(!has_duplicate_keys_deep(&buf, start, end, &mut scratch));
        }
    });
    println!("known valid: fields {skipping} ns, duplicate keys {twins} ns");
}
