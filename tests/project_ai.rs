//! The shipped pipelines against a real Elasticsearch: every sample document once, in its index, with its look-ups.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use common::{Running, elasticsearch, get_json, http, logmill, oracles, repository, wait};
use serde_json::Value;

/// The indices have fixed names: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

struct Shipped {
    /// Document sources by file name and index family.
    documents: BTreeMap<String, Vec<(String, Value)>>,
    set_aside: u64,
    events: u64,
    peak_memory: u64,
}

impl Shipped {
    fn count(&self) -> usize {
        self.documents.values().map(Vec::len).sum()
    }
}

/// Ships a folder through `pipelines/`, waits until nothing more comes, and reads everything back.
fn ship(url: &str, logs: &Path, expected_documents: usize) -> Shipped {
    for entry in get_json(&format!("{url}/_cat/indices/project-ai-*?format=json"))
        .as_array()
        .expect("list")
    {
        let (status, body) = http(
            "DELETE",
            &format!("{url}/{}", entry["index"].as_str().expect("name")),
            "",
        );
        assert_eq!(status, 200, "{body}");
    }
    let data = tempfile::tempdir().expect("temp dir");
    let geo = |name: &str| {
        oracles(&format!("geoip/{name}"))
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let log_file = data.path().join("logmill.log");
    let child = logmill()
        .args(["-f"])
        .arg(repository("pipelines"))
        .args(["--path.data"])
        .arg(data.path().join("data"))
        .args(["--api.http.port", "19700-19790"])
        .env("PROJECT_AI_LOGS", logs)
        .env("ELASTICSEARCH_URL", url)
        .env("GEOIP_CITY_DB", geo("GeoLite2-City-Test.mmdb"))
        .env("GEOIP_ASN_DB", geo("GeoLite2-ASN-Test.mmdb"))
        .env("PROJECT_AI_CLOSE_OLDER", "2 s")
        .stderr(Stdio::from(
            std::fs::File::create(&log_file).expect("log file"),
        ))
        .spawn()
        .expect("starts");
    let running = Running(child);
    let read_log = || std::fs::read_to_string(&log_file).unwrap_or_default();
    assert!(
        wait(Duration::from_secs(20), || read_log().contains("/metrics")),
        "{}",
        read_log()
    );
    let log = read_log();
    let api = log
        .split("metrics on ")
        .nth(1)
        .and_then(|rest| rest.split("/metrics").next())
        .expect("address")
        .to_owned();
    let metric = |name: &str| -> u64 {
        let (_, text) = http("GET", &format!("{api}/metrics"), "");
        text.lines()
            .filter(|line| line.starts_with(&format!("{name}{{")))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    };
    let settled =
        || metric("logmill_output_events_total") + metric("logmill_output_set_aside_total");
    let enough = wait(Duration::from_mins(2), || {
        settled() >= expected_documents as u64 && metric("logmill_delivery_open_events") == 0
    });
    assert!(
        enough,
        "{} of {expected_documents}\n{}",
        settled(),
        read_log()
    );
    // What is held back for a moment (an open last line) comes within the closing time.
    std::thread::sleep(Duration::from_secs(5));
    let shipped = Shipped {
        documents: documents(url),
        set_aside: metric("logmill_output_set_aside_total"),
        events: metric("logmill_input_events_total"),
        peak_memory: running.peak_memory(),
    };
    assert_eq!(running.stop(), Some(0), "{}", read_log());
    shipped
}

fn documents(url: &str) -> BTreeMap<String, Vec<(String, Value)>> {
    let (status, body) = http("POST", &format!("{url}/project-ai-*/_refresh"), "");
    assert_eq!(status, 200, "{body}");
    let answer = get_json(&format!(
        "{url}/project-ai-*/_search?size=10000&_source_includes=log,source.geo,source.as,destination.geo,destination.as,sentinel,event_type,user,message,component,severity,mood,result,api,endpoint"
    ));
    let mut out: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for hit in answer["hits"]["hits"].as_array().expect("hits") {
        let source = hit["_source"].clone();
        let file = source["log"]["file"]["path"]
            .as_str()
            .unwrap_or("?")
            .rsplit('/')
            .next()
            .unwrap_or("?")
            .to_owned();
        let index = hit["_index"].as_str().expect("index");
        let family = index
            .strip_prefix("project-ai-")
            .and_then(|rest| rest.split('-').next())
            .unwrap_or(index)
            .to_owned();
        out.entry(file).or_default().push((family, source));
    }
    out
}

fn expected(samples: &Path) -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(samples.join("expected.json")).expect("expected.json");
    serde_json::from_str::<Value>(&text)
        .expect("JSON")
        .as_object()
        .expect("object")
        .clone()
}

fn hits(documents: &[(String, Value)], what: &str) -> usize {
    documents
        .iter()
        .filter(|(_, source)| {
            [&source["source"], &source["destination"]]
                .iter()
                .any(|side| side[what].is_object())
        })
        .count()
}

/// Copies the ordinary files flat into a folder and ships them; compares with `expected.json`.
fn check_ordinary(url: &str, samples: &Path) {
    let logs = tempfile::tempdir().expect("temp dir");
    let expected = expected(samples);
    let ordinary: Vec<(&String, &Value)> = expected
        .iter()
        .filter(|(name, _)| !name.contains('/'))
        .collect();
    let mut total = 0;
    for (name, entry) in &ordinary {
        std::fs::copy(samples.join(name), logs.path().join(name)).expect("copies");
        total += entry["events"].as_u64().expect("events");
    }
    let shipped = ship(url, logs.path(), usize::try_from(total).expect("small"));
    let mut wrong = Vec::new();
    for (name, entry) in &ordinary {
        let none = Vec::new();
        let documents = shipped.documents.get(*name).unwrap_or(&none);
        let mut families: BTreeMap<String, u64> = BTreeMap::new();
        for (family, source) in documents {
            *families.entry(family.clone()).or_default() += 1;
            if source["log"]["offset"].as_u64().is_none() {
                wrong.push(format!("{name}: a document without log.offset: {source}"));
            }
        }
        let wanted: BTreeMap<String, u64> = entry["by_index"]
            .as_object()
            .expect("by_index")
            .iter()
            .map(|(key, value)| (key.clone(), value.as_u64().expect("count")))
            .collect();
        if families != wanted {
            wrong.push(format!("{name}: {families:?}, not {wanted:?}"));
        }
        for (what, key) in [("geo", "geo_city_hits"), ("as", "geo_asn_hits")] {
            let wanted = entry[key].as_u64().expect("hits");
            let found = hits(documents, what) as u64;
            if oracles("geoip/GeoLite2-City-Test.mmdb").is_some() && found != wanted {
                wrong.push(format!("{name}: {found} {key}, not {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(shipped.count() as u64, total);
    queries(url, &shipped);
}

/// The analysts' queries return exactly the documents that they describe.
fn queries(url: &str, shipped: &Shipped) {
    let all: Vec<&Value> = shipped
        .documents
        .values()
        .flatten()
        .map(|(_, source)| source)
        .collect();
    let is = |source: &Value, field: &str, text: &str| source[field] == text;
    type Wanted = Box<dyn Fn(&Value) -> bool>;
    let queries: [(&str, Wanted); 4] = [
        (
            "component:security AND severity:critical",
            Box::new(move |s| is(s, "component", "security") && is(s, "severity", "critical")),
        ),
        (
            "component:ai-persona AND mood:*",
            Box::new(move |s| {
                is(s, "component", "ai-persona")
                    && s["mood"].as_object().is_some_and(|mood| !mood.is_empty())
            }),
        ),
        (
            "component:four-laws AND result:denied",
            Box::new(move |s| is(s, "component", "four-laws") && is(s, "result", "denied")),
        ),
        (
            "api.duration:>1000 AND endpoint:*",
            Box::new(|s| {
                s["api"]["duration"]
                    .as_f64()
                    .is_some_and(|duration| duration > 1000.0)
                    && !s["endpoint"].is_null()
            }),
        ),
    ];
    for (query, wanted) in queries {
        let count = search(url, query);
        let wanted = all.iter().filter(|source| wanted(source)).count();
        assert_eq!(count, wanted, "{query}");
        assert!(
            wanted > 0 || query.starts_with("api"),
            "{query} finds nothing"
        );
    }
}

fn search(url: &str, query: &str) -> usize {
    let body = serde_json::json!({"query": {"query_string": {"query": query}}}).to_string();
    let (status, answer) = http("POST", &format!("{url}/project-ai-*/_count"), &body);
    assert_eq!(status, 200, "{query}: {answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    usize::try_from(answer["count"].as_u64().expect("count")).expect("small")
}

#[test]
fn ordinary_samples_arrive_exactly() {
    let Some(url) = elasticsearch() else { return };
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    check_ordinary(&url, &repository("tests/data/samples"));
}

#[test]
fn samples_of_another_seed_and_of_half_an_hour_ago_arrive_exactly() {
    let Some(url) = elasticsearch() else { return };
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("temp dir");
    let half_an_hour_ago = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("clock")
        .as_secs()
        - 1800;
    let start = logmill::time::Timestamp {
        secs: i64::try_from(half_an_hour_ago).expect("now"),
        nanos: 0,
    }
    .to_string()
    .replace(".000", "");
    let made = Command::new("python3")
        .arg(repository("tests/data/samples/generate.py"))
        .arg(folder.path())
        .args(["--seed", "7", "--start", &start])
        .stdout(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: python3 cannot run the generator of samples");
        return;
    }
    check_ordinary(&url, folder.path());
    let recent = search(&url, "level:ERROR AND @timestamp:[now-1h TO now]");
    let all = search(&url, "level:ERROR");
    assert!(
        recent > 0 && recent <= all,
        "{recent} of {all} errors in the last hour"
    );
}

#[test]
fn hostile_samples_lose_no_neighbour() {
    let Some(url) = elasticsearch() else { return };
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let samples = repository("tests/data/samples");
    let logs = tempfile::tempdir().expect("temp dir");
    let expected = expected(&samples);
    let hostile: Vec<(String, &Value)> = expected
        .iter()
        .filter_map(|(name, entry)| Some((name.strip_prefix("hostile/")?.to_owned(), entry)))
        .collect();
    let mut least = 0;
    for (name, entry) in &hostile {
        std::fs::copy(samples.join("hostile").join(name), logs.path().join(name)).expect("copies");
        least += entry["sentinels"]
            .as_u64()
            .expect("count")
            .max(entry["events"].as_u64().unwrap_or(0));
    }
    let shipped = ship(&url, logs.path(), usize::try_from(least).expect("small"));
    let mut wrong = Vec::new();
    for (name, entry) in &hostile {
        let none = Vec::new();
        let documents = shipped.documents.get(name).unwrap_or(&none);
        let mut families: BTreeMap<String, u64> = BTreeMap::new();
        let counted = entry["events"].is_u64();
        for (family, source) in documents {
            if counted || is_sentinel(source) {
                *families.entry(family.clone()).or_default() += 1;
            }
        }
        let wanted: BTreeMap<String, u64> = entry["by_index"]
            .as_object()
            .expect("by_index")
            .iter()
            .map(|(key, value)| (key.clone(), value.as_u64().expect("count")))
            .collect();
        if families != wanted {
            wrong.push(format!("{name}: sentinels {families:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        shipped.count() as u64 + shipped.set_aside,
        shipped.events,
        "every event is stored or set aside"
    );
    assert!(
        shipped.peak_memory < 256 << 20,
        "peak memory {} MiB",
        shipped.peak_memory >> 20
    );
}

fn is_sentinel(source: &Value) -> bool {
    let text = |field: &str| source[field].as_str().unwrap_or_default().to_owned();
    source.get("sentinel").is_some() && text("event_type") == "sentinel"
        || text("user").starts_with("sentinel")
        || text("message").starts_with("sentinel ")
}
