//! The producers' files: how each writes an event, and which index family the event must reach.

use std::fmt::Write as _;

use serde::Serialize as _;
use serde_json::ser::Formatter;
use serde_json::{Map, Value, json};

use super::story::{ATTACKS, Family, GATES, LAWS, PATHS, SEVERITIES, STATUSES, Story, World};

/// A file and how one entry is appended to it.
pub(crate) struct Format {
    /// Name of the file, as the pipelines know it.
    pub file: &'static str,
    /// Entries of this file among 100 or so of all.
    pub weight: u64,
    /// Appends one entry, lines with their ends, and counts its events.
    pub write: fn(&mut World, &mut String),
}

/// All of them.
pub(crate) const FORMATS: [Format; 16] = [
    Format {
        file: "app-json.jsonl",
        weight: 20,
        write: app_json,
    },
    Format {
        file: "logstash-tcp.jsonl",
        weight: 8,
        write: logstash_tcp,
    },
    Format {
        file: "app-text.log",
        weight: 12,
        write: app_text,
    },
    Format {
        file: "audit-pipe.log",
        weight: 10,
        write: audit_pipe,
    },
    Format {
        file: "chain-audit.jsonl",
        weight: 4,
        write: chain,
    },
    Format {
        file: "command-override.log",
        weight: 4,
        write: command_override,
    },
    Format {
        file: "governance-audit.jsonl",
        weight: 5,
        write: governance,
    },
    Format {
        file: "access-uvicorn.cri.log",
        weight: 8,
        write: uvicorn,
    },
    Format {
        file: "access-nginx.log",
        weight: 8,
        write: nginx,
    },
    Format {
        file: "access-werkzeug.log",
        weight: 5,
        write: werkzeug,
    },
    Format {
        file: "docker-json.log",
        weight: 8,
        write: docker,
    },
    Format {
        file: "hubble-flows.jsonl",
        weight: 8,
        write: hubble,
    },
    Format {
        file: "otlp-logs.jsonl",
        weight: 5,
        write: otlp,
    },
    Format {
        file: "kubernetes-events.jsonl",
        weight: 5,
        write: kubernetes,
    },
    Format {
        file: "netdata.log",
        weight: 4,
        write: netdata,
    },
    Format {
        file: "zabbix-server.log",
        weight: 4,
        write: zabbix,
    },
];

/// Separators with a blank behind them, as Python writes JSON.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

fn spaced(value: &Value) -> String {
    let mut out = Vec::new();
    // Writing to a vector cannot fail, nor can a value of texts and finite numbers.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut out, Spaced,
    ));
    String::from_utf8(out).unwrap_or_default()
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// An object of some first members and the fields of a story, in this order.
fn joined(first: Value, story: &Story, last: Value) -> Value {
    let mut all = Map::new();
    for part in [first, Value::Object(story.fields.clone()), last] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

const TRACEBACK: &str = "Traceback (most recent call last):
  File \"/srv/app/memory/store.py\", line 118, in recall
    page = self.read(number)
  File \"/srv/app/memory/store.py\", line 74, in read
    raise PageLost(f\"page {number} is gone\")
app.memory.errors.PageLost: page 41 is gone";

/// The shapes that python-json-logger takes under different settings.
fn app_json(world: &mut World, out: &mut String) {
    let (story, now) = (world.story(), world.now.clone());
    let Story {
        level,
        logger,
        message,
        ..
    } = &story;
    let document = match world.rng.below(100) {
        0..50 => joined(
            json!({"timestamp": now.comma(), "logger": logger, "level": level, "message": message}),
            &story,
            json!({}),
        ),
        50..65 => joined(
            json!({"message": message}),
            &story,
            json!({"timestamp": now.comma(), "logger": logger, "level": level}),
        ),
        65..72 => joined(
            json!({"timestamp": null, "level": null, "name": logger, "message": message}),
            &story,
            json!({}),
        ),
        72..88 => {
            let context = json!({"user_id": world.rng.range(1, 900), "trace_id": world.hex(32), "action": "send_report"});
            joined(
                json!({"timestamp": now.iso, "level": level, "logger": logger, "message": message, "context": context}),
                &story,
                json!({}),
            )
        }
        88..97 => joined(
            json!({"timestamp": now.epoch(), "logger": logger, "level": level, "message": message}),
            &story,
            json!({}),
        ),
        _ => joined(
            json!({"timestamp": now.comma(), "logger": logger, "level": "ERROR", "message": message}),
            &story,
            json!({"exc_info": TRACEBACK}),
        ),
    };
    line(out, &spaced(&document));
    world.count(story.family, story.known_address);
}

fn logstash_tcp(world: &mut World, out: &mut String) {
    let story = world.story();
    let module = story.logger.rsplit('.').next().unwrap_or_default();
    let document = json!({
        "timestamp": world.now.epoch(), "level": story.level, "logger": story.logger, "message": story.message,
        "module": module, "function": "run", "line": world.rng.range(10, 900),
    });
    line(out, &spaced(&document));
    world.count(Family::Logs, false);
}

fn app_text(world: &mut World, out: &mut String) {
    let story = world.story();
    let time = if world.rng.chance(20) {
        world.now.seconds()
    } else {
        world.now.comma()
    };
    if world.rng.chance(5) {
        line(
            out,
            &format!("{time} - app.memory - ERROR - A memory could not be read\n{TRACEBACK}"),
        );
    } else {
        line(
            out,
            &format!(
                "{time} - {} - {} - {}",
                story.logger, story.level, story.message
            ),
        );
    }
    world.count(Family::Logs, false);
}

fn audit_pipe(world: &mut World, out: &mut String) {
    let ((ip, known), user) = (world.address(), world.user());
    let rng = &mut world.rng;
    let (level, body, family, known) = match rng.below(8) {
        0 | 1 => (
            "INFO",
            format!("AUTH_SUCCESS | user={user} | ip={ip}"),
            Family::Security,
            known,
        ),
        2 => {
            let reason = rng.pick(&["invalid_password", "account_locked"]);
            (
                "WARNING",
                format!("AUTH_FAILURE | user={user} | ip={ip} | reason={reason}"),
                Family::Security,
                known,
            )
        }
        3 => {
            let (law, severity) = (rng.pick(&LAWS), rng.pick(&SEVERITIES));
            let body = format!(
                "FOUR_LAWS_DENIAL | action=erase the archive | law={law} | severity={severity} | user={user}"
            );
            ("WARNING", body, Family::Ethics, false)
        }
        4 => (
            "WARNING",
            format!("UNAUTHORIZED_ACCESS | user={user} | resource=/v1/permits | ip={ip}"),
            Family::Security,
            known,
        ),
        5 => {
            let (attack, gate) = (rng.pick(&ATTACKS), rng.pick(&GATES));
            (
                "WARNING",
                format!("CERBERUS_BLOCK | attack_type={attack} | gate={gate} | ip={ip}"),
                Family::Security,
                known,
            )
        }
        6 => {
            let body = format!(
                "COMMAND_OVERRIDE_ACTIVATED | user={user} | command=output_filter | timestamp={}",
                world.now.epoch()
            );
            ("CRITICAL", body, Family::Security, false)
        }
        _ => (
            "INFO",
            format!("CONFIG_CHANGE | user={user} | key=log_level | old=INFO | new=DEBUG"),
            Family::Security,
            false,
        ),
    };
    line(
        out,
        &format!("{} | {level} | {body}", world.now.iso_seconds("+0000")),
    );
    world.count(family, known);
}

/// Each entry holds the SHA-256 of itself, with sorted keys and without the hash, and of the entry before.
fn chain(world: &mut World, out: &mut String) {
    let ((ip, known), user) = (world.address(), world.user());
    let event_type = *world.rng.pick(&[
        "FOUR_LAWS_DENIAL",
        "COMMAND_OVERRIDE",
        "BLACK_VAULT_ACCESS",
        "AUTH_FAILURE",
    ]);
    let details = json!({"ip": ip, "note": "demo", "seq": world.chain.number, "user": user});
    let (time, previous) = (
        world.now.epoch(),
        std::mem::take(&mut world.chain.previous_hash),
    );
    let sorted = json!({"details": details, "event_type": event_type, "previous_hash": previous, "timestamp": time});
    let hash = sha256(spaced(&sorted).as_bytes());
    let entry = json!({"timestamp": time, "event_type": event_type, "details": details, "previous_hash": previous, "current_hash": hash});
    line(out, &spaced(&entry));
    world.chain.number += 1;
    world.chain.previous_hash = hash;
    world.count(Family::Security, known);
}

fn sha256(bytes: &[u8]) -> String {
    use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;
    let Some(suite) = SUITE.tls13() else {
        return String::new();
    };
    let mut text = String::with_capacity(64);
    for byte in suite.common.hash_provider.hash(bytes).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn command_override(world: &mut World, out: &mut String) {
    if !world.override_header {
        world.override_header = true;
        line(
            out,
            &format!(
                "=== Command Override System Audit Log ===\nInitialized: {}\n",
                world.now.iso_seconds("")
            ),
        );
    }
    let (status, action, details) = *world.rng.pick(&[
        (
            "SUCCESS",
            "AUTHENTICATE",
            " | Details: Authentication successful",
        ),
        (
            "FAILED",
            "AUTHENTICATE",
            " | Details: Account locked. 412s remaining",
        ),
        (
            "SUCCESS",
            "OVERRIDE_PROTOCOL",
            " | Details: output_filter DISABLED",
        ),
        (
            "FAILED",
            "OVERRIDE_PROTOCOL",
            " | Details: rate_limiting: Authentication required",
        ),
        (
            "FAILED",
            "OVERRIDE_PROTOCOL",
            " | Details: Unknown protocol: tides",
        ),
        (
            "SUCCESS",
            "EMERGENCY_LOCKDOWN",
            " | Details: All protocols restored",
        ),
        ("SUCCESS", "LOGOUT", ""),
    ]);
    let micros = format!("{:03}", world.rng.below(1000));
    line(
        out,
        &format!(
            "[{}] {status}: {action}{details}",
            world.now.iso_digits(&micros)
        ),
    );
    world.count(Family::Security, false);
}

fn governance(world: &mut World, out: &mut String) {
    let verdict = *world.rng.pick(&["allow", "allow", "deny", "degrade"]);
    let votes: Vec<Value> = ["Lantern", "Anchor", "Compass"]
        .iter()
        .map(|pillar| json!({"pillar": pillar, "verdict": verdict, "reason": "by its rule"}))
        .collect();
    let document = json!({
        "intent_hash": world.hex(64), "tarl_version": "1.0", "votes": votes, "final_verdict": verdict, "timestamp": world.now.epoch(),
    });
    line(out, &spaced(&document));
    world.count(Family::Logs, false);
}

fn uvicorn(world: &mut World, out: &mut String) {
    let (ip, known) = world.address();
    let host = if ip.contains(':') && world.rng.chance(50) {
        format!("[{ip}]")
    } else {
        ip
    };
    let (port, path, status) = (
        world.rng.range(32_768, 60_999),
        *world.rng.pick(&PATHS),
        *world.rng.pick(&STATUSES),
    );
    let mut text = format!(
        "INFO:     {host}:{port} - \"GET {path}?page={} HTTP/1.1\" {status} OK",
        world.rng.below(90)
    );
    let time = world.now.iso_digits("000017Z");
    if world.rng.chance(3) {
        // The runtime cuts a long line into partial ones.
        text.push(' ');
        text.push_str(&"z".repeat(300));
        while text.len() > 120 {
            let rest = text.split_off(120);
            line(out, &format!("{time} stdout P {text}"));
            text = rest;
        }
    }
    line(out, &format!("{time} stdout F {text}"));
    world.count(Family::Logs, known);
}

fn nginx(world: &mut World, out: &mut String) {
    let ((ip, known), request) = (world.address(), world.hex(32));
    let time = world.now.common_log(':');
    let rng = &mut world.rng;
    let (path, status, took) = (*rng.pick(&PATHS), *rng.pick(&STATUSES), rng.thousandths());
    let upstream = if status == 302 {
        "- - - -".to_owned()
    } else {
        format!("10.42.0.7:5000 {} {took:.3} {status}", rng.below(900))
    };
    let text = format!(
        "{ip} - {} [{time} +0000] \"POST {path} HTTP/2.0\" {status} {} \"-\" \"{}\" {} {took:.3} [demo-project-ai-80] [] {upstream} {request}",
        rng.pick(&["-", "amara"]),
        rng.below(9000),
        rng.pick(&["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.9.1", "-"]),
        rng.range(80, 900),
    );
    line(out, &text);
    world.count(Family::Logs, known);
}

fn werkzeug(world: &mut World, out: &mut String) {
    let (ip, known) = world.address();
    let (path, status) = (*world.rng.pick(&PATHS), *world.rng.pick(&STATUSES));
    line(
        out,
        &format!(
            "{ip} - - [{}] \"GET {path} HTTP/1.1\" {status} -",
            world.now.common_log(' ')
        ),
    );
    world.count(Family::Logs, known);
}

fn docker(world: &mut World, out: &mut String) {
    let story = world.story();
    let inner = joined(
        json!({"timestamp": world.now.comma(), "logger": story.logger, "level": story.level, "message": story.message}),
        &story,
        json!({}),
    );
    let document = json!({"log": format!("{}\n", spaced(&inner)), "stream": "stderr", "time": world.now.iso_digits("000007Z")});
    line(out, &document.to_string());
    world.count(story.family, story.known_address);
}

fn hubble(world: &mut World, out: &mut String) {
    let ((ip, known), inbound) = (world.address(), world.rng.chance(60));
    let outside = json!({"identity": 2, "labels": ["reserved:world"]});
    let inside = json!({"ID": 907, "identity": 4711, "namespace": "project-ai", "pod_name": "project-ai-app-0", "labels": ["k8s:app=project-ai"]});
    let (source, destination) = if inbound {
        (outside, inside)
    } else {
        (inside, outside)
    };
    let (from, to) = if inbound {
        (ip.as_str(), "10.42.0.7")
    } else {
        ("10.42.0.7", ip.as_str())
    };
    let time = world.now.iso_digits("000084Z");
    let verdict = *world
        .rng
        .pick(&["FORWARDED", "FORWARDED", "FORWARDED", "DROPPED"]);
    let mut flow = json!({
        "time": time, "uuid": world.hex(32), "verdict": verdict,
        "IP": {"source": from, "destination": to, "ipVersion": if ip.contains(':') { "IPv6" } else { "IPv4" }},
        "l4": {"TCP": {"source_port": world.rng.range(32_768, 60_999), "destination_port": 5000, "flags": {"SYN": true}}},
        "source": source, "destination": destination, "Type": "L3_L4", "node_name": "demo/worker",
        "traffic_direction": if inbound { "INGRESS" } else { "EGRESS" }, "is_reply": false,
    });
    if verdict == "DROPPED" {
        flow["drop_reason_desc"] = json!("POLICY_DENIED");
        flow["Summary"] = json!("TCP Flags: SYN");
    }
    line(
        out,
        &json!({"flow": flow, "node_name": "demo/worker", "time": time}).to_string(),
    );
    world.count(Family::Logs, known);
}

fn otlp(world: &mut World, out: &mut String) {
    let mut records = Vec::new();
    for _ in 0..world.rng.range(1, 4) {
        let story = world.story();
        let number = match story.level {
            "DEBUG" => 5,
            "INFO" => 9,
            "WARNING" => 13,
            "ERROR" => 17,
            _ => 21,
        };
        let nanos = world.now.millis.saturating_mul(1_000_000);
        records.push(json!({
            "timeUnixNano": nanos.to_string(), "observedTimeUnixNano": (nanos + 1000).to_string(),
            "severityNumber": number, "severityText": story.level, "body": {"stringValue": story.message},
            "attributes": attributes(&story.fields), "traceId": world.hex(32), "spanId": world.hex(16), "flags": 1,
        }));
        world.count(story.family, story.known_address);
    }
    let request = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "project-ai"}}]},
        "scopeLogs": [{"scope": {"name": "demo"}, "logRecords": records}],
    }]});
    line(out, &request.to_string());
}

fn attributes(fields: &Map<String, Value>) -> Vec<Value> {
    fields
        .iter()
        .map(|(key, value)| json!({"key": key, "value": any_value(value)}))
        .collect()
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Object(fields) => json!({"kvlistValue": {"values": attributes(fields)}}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        other => json!({"stringValue": other.as_str().unwrap_or_default()}),
    }
}

fn kubernetes(world: &mut World, out: &mut String) {
    let (kind, reason, message) = *world.rng.pick(&[
        ("Normal", "Scheduled", "The pod has a node"),
        ("Normal", "Pulled", "The image was there already"),
        ("Warning", "BackOff", "The container failed again and waits"),
        ("Warning", "Unhealthy", "The probe got HTTP 503"),
    ]);
    let pod = format!("project-ai-app-{}", world.hex(9));
    let (when, old) = (world.now.iso_seconds("Z"), world.rng.chance(50));
    let document = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{pod}.{}", world.hex(16)), "namespace": "demo", "uid": world.hex(32), "creationTimestamp": when},
        "involvedObject": {"kind": "Pod", "namespace": "demo", "name": pod, "apiVersion": "v1"},
        "reason": reason, "message": message, "type": kind,
        "source": if old { json!({"component": "kubelet", "host": "node-1"}) } else { json!({}) },
        "firstTimestamp": old.then_some(&when), "lastTimestamp": old.then_some(&when),
        "eventTime": (!old).then(|| world.now.iso_digits("000Z")),
        "count": old.then(|| world.rng.range(1, 40)), "reportingComponent": "kubelet", "reportingInstance": "node-1",
    });
    line(out, &spaced(&document));
    world.count(Family::Logs, false);
}

fn netdata(world: &mut World, out: &mut String) {
    if world.rng.chance(50) {
        let level = world.rng.pick(&["info", "warning", "critical"]);
        let text = format!(
            "time=\"{}\" comm=netdata source=health level={level} tid=4711 thread=HEALTH node=node-1 context=system.cpu msg=\"an alert changed\"",
            world.now.iso
        );
        line(out, &text);
    } else {
        let micros = world.now.millis.saturating_mul(1000);
        let document = json!({"time": micros, "comm": "netdata", "source": "daemon", "level": "info", "tid": 4700, "thread": "MAIN", "msg": "still here"});
        line(out, &spaced(&document));
    }
    world.count(Family::Logs, false);
}

fn zabbix(world: &mut World, out: &mut String) {
    let text = *world.rng.pick(&[
        "executing housekeeper",
        "slow query: 3.014214 sec, \"select 1\"",
        "enabling agent checks on host \"node-1\"",
    ]);
    line(
        out,
        &format!(
            "{:6}:{} {text}",
            world.rng.range(100, 99_999),
            world.now.packed()
        ),
    );
    world.count(Family::Logs, false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_counts_its_events_and_json_is_json() {
        let mut world = World::new(11);
        for format in &FORMATS {
            for _ in 0..200 {
                let (before, mut out) = (world.expected.events(), String::new());
                (format.write)(&mut world, &mut out);
                let events = world.expected.events() - before;
                assert!(out.ends_with('\n'));
                assert!(
                    (1..=3).contains(&events) && (events == 1 || format.file == "otlp-logs.jsonl"),
                    "{}",
                    format.file
                );
                if format.file.contains(".jsonl") {
                    assert_eq!(out.lines().count(), 1);
                    assert!(
                        serde_json::from_str::<Value>(&out).unwrap().is_object(),
                        "{out}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_chain_holds() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let (mut world, mut out) = (World::new(5), String::new());
        for _ in 0..5 {
            chain(&mut world, &mut out);
        }
        let entries: Vec<Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for pair in entries.windows(2) {
            assert_eq!(pair[0]["current_hash"], pair[1]["previous_hash"]);
        }
        let entry = &entries[4];
        let sorted = json!({
            "details": entry["details"], "event_type": entry["event_type"], "previous_hash": entry["previous_hash"], "timestamp": entry["timestamp"],
        });
        assert_eq!(entry["current_hash"], sha256(spaced(&sorted).as_bytes()));
    }
}
