//! What the stand-in answers to which request.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::DropConnection;
use super::bulk::{BulkCheck, Refusal, too_large};
use super::store::{Store, bump, snapshot};
use crate::elasticsearch::config::percent_decode;

/// The version that the stand-in claims.
pub(super) const VERSION: &str = "8.19.0";
/// Longest body of any request but a bulk, in bytes.
const MAX_SMALL_BODY: usize = 4 * 1024 * 1024;
/// Compressed bytes unpacked at once: what comes out is at most about a thousand times as long.
const GZIP_STEP: usize = 4096;

type Answer = Response<Full<Bytes>>;

/// One client's connection: its requests come one after another, so its check can be kept between them.
pub(super) struct Connection {
    store: Arc<Store>,
    check: Mutex<Option<Box<BulkCheck>>>,
}

impl Connection {
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            check: Mutex::new(None),
        }
    }

    /// Answers one request; the error ends the connection without an answer.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Answer, DropConnection> {
        let (parts, body) = request.into_parts();
        let path = percent_decode(parts.uri.path());
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (&parts.method, segments.as_slice()) {
            (&Method::POST | &Method::PUT, ["_bulk"]) => self.bulk(&parts, body, None).await,
            (&Method::POST | &Method::PUT, [index, "_bulk"]) => {
                self.bulk(&parts, body, Some(index)).await
            }
            _ => {
                bump(&self.store.counters.other_requests, 1);
                let text = read_small(body).await;
                Ok(match text {
                    Some(text) => small(&self.store, &parts, &path, &segments, text),
                    None => refusal_answer(&too_large(&self.store)),
                })
            }
        }
    }

    async fn bulk(
        &self,
        parts: &Parts,
        body: Incoming,
        index: Option<&str>,
    ) -> Result<Answer, DropConnection> {
        let store = &*self.store;
        let number = bump(&store.counters.bulk_requests, 1) + 1;
        let strikes = |every: Option<u64>| {
            every.is_some_and(|every| every > 0 && number.is_multiple_of(every))
        };
        let ordered = store
            .options
            .refuse_status
            .or(strikes(store.options.fail_every).then_some(503));
        if let Some(status) = ordered {
            bump(&store.counters.bulks_refused, 1);
            drain(body).await;
            self.pause().await;
            return Ok(refusal_answer(&Refusal::new(
                status,
                "ordered_exception",
                "refused as ordered",
            )));
        }
        if let Some(refusal) = refuse_early(store, parts, &body) {
            bump(&store.counters.bulks_refused, 1);
            return Ok(refusal_answer(&refusal));
        }
        let started = Instant::now();
        let mut running = Running::new(self);
        let check = &mut *running.check;
        check.begin(index);
        read_bulk(store, check, parts, body).await?;
        let answer = if let Err(refusal) = check.finish(store) {
            refusal_answer(&refusal)
        } else {
            compare_headers(store, check, &parts.headers);
            let filter = query_value(parts.uri.query().unwrap_or_default(), "filter_path");
            let short = strikes(store.options.short_answer_every);
            let body = check.answer(started.elapsed().as_millis(), filter.as_deref(), short);
            json_answer(StatusCode::OK, body.into())
        };
        drop(running);
        self.pause().await;
        if strikes(store.options.drop_connection_every) {
            Err(DropConnection)
        } else {
            Ok(answer)
        }
    }

    async fn pause(&self) {
        if !self.store.options.delay.is_zero() {
            tokio::time::sleep(self.store.options.delay).await;
        }
    }
}

/// A check under way. However its request ends, it goes back to its connection, and an unfinished one leaves no trace.
struct Running<'a> {
    connection: &'a Connection,
    check: Box<BulkCheck>,
}

impl<'a> Running<'a> {
    fn new(connection: &'a Connection) -> Self {
        let kept = connection
            .check
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Self {
            connection,
            check: kept.unwrap_or_default(),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.check.forget(&self.connection.store);
        let check = std::mem::take(&mut self.check);
        *self
            .connection
            .check
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(check);
    }
}

/// Refusals that need no look at the body.
fn refuse_early(store: &Store, parts: &Parts, body: &Incoming) -> Option<Refusal> {
    if body
        .size_hint()
        .exact()
        .is_some_and(|length| length > store.options.max_content_length)
    {
        return Some(too_large(store));
    }
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let good = matches!(
        kind.as_str(),
        "application/json"
            | "application/x-ndjson"
            | "application/vnd.elasticsearch+json"
            | "application/vnd.elasticsearch+x-ndjson"
    );
    (!good).then(|| {
        Refusal::new(
            406,
            "media_type_header_exception",
            format!("Content-Type header [{content_type}] is not supported"),
        )
    })
}

async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Reads a bulk body and checks it piece by piece.
async fn read_bulk(
    store: &Store,
    check: &mut BulkCheck,
    parts: &Parts,
    mut body: Incoming,
) -> Result<(), DropConnection> {
    let mut unpack = match parts
        .headers
        .get(CONTENT_ENCODING)
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"identity") => None,
        Some(b"gzip") => Some(MultiGzDecoder::new(Vec::new())),
        Some(other) => {
            let reason = format!(
                "Content-Encoding [{}] is not supported",
                String::from_utf8_lossy(other)
            );
            check.refuse(Refusal::new(400, "illegal_argument_exception", reason));
            None
        }
    };
    while let Some(frame) = body.frame().await {
        // A body that breaks off was never answered by anybody: there is nothing to take.
        let frame = frame.map_err(|_| DropConnection)?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        bump(&store.counters.bytes_received, piece.len() as u64);
        match &mut unpack {
            None => check.feed(store, &piece),
            Some(unpack) => feed_packed(store, check, unpack, &piece),
        }
        if let Some(rate) = store.options.slow {
            let micros = piece.len() as u64 * 1_000_000 / rate.max(1);
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
    }
    if let Some(mut unpack) = unpack
        && !check.is_refused()
    {
        match unpack.try_finish() {
            Ok(()) => check.feed(store, &std::mem::take(unpack.get_mut())),
            Err(error) => check.refuse(broken_gzip(&error)),
        }
    }
    Ok(())
}

fn feed_packed(
    store: &Store,
    check: &mut BulkCheck,
    unpack: &mut MultiGzDecoder<Vec<u8>>,
    piece: &[u8],
) {
    for step in piece.chunks(GZIP_STEP) {
        if check.is_refused() {
            return;
        }
        if let Err(error) = unpack.write_all(step) {
            check.refuse(broken_gzip(&error));
            return;
        }
        check.feed(store, unpack.get_ref());
        unpack.get_mut().clear();
    }
}

fn broken_gzip(error: &std::io::Error) -> Refusal {
    Refusal::new(
        400,
        "zip_exception",
        format!("the body is no gzip: {error}"),
    )
}

/// The headers of a shipper that counts wrong are worth knowing of, though Elasticsearch does not care.
fn compare_headers(store: &Store, check: &BulkCheck, headers: &HeaderMap) {
    let number = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
    };
    let wrong = number("x-elastic-event-count").is_some_and(|count| count != check.items() as u64)
        || number("x-elastic-uncompressed-request-length")
            .is_some_and(|length| length != check.checked_bytes());
    if wrong {
        bump(&store.counters.header_mismatches, 1);
    }
}

async fn read_small(mut body: Incoming) -> Option<Bytes> {
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if text.len() + piece.len() > MAX_SMALL_BODY {
            return None;
        }
        text.extend_from_slice(&piece);
    }
    Some(text.into())
}

fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| percent_decode(value))
    })
}

/// Answers everything that is no bulk.
fn small(store: &Store, parts: &Parts, path: &str, segments: &[&str], body: Bytes) -> Answer {
    let query = parts.uri.query().unwrap_or_default();
    let get = matches!(parts.method, Method::GET | Method::HEAD);
    match (&parts.method, segments) {
        (_, []) if get => value_answer(200, &root()),
        (_, ["_license"]) if get => value_answer(
            200,
            &json!({ "license": { "status": "active", "type": "basic", "uid": "00000000-0000-0000-0000-000000000000" } }),
        ),
        (_, ["_cluster", "health"]) if get => value_answer(
            200,
            &json!({ "cluster_name": "logmill-sink", "status": "green", "timed_out": false, "number_of_nodes": 1 }),
        ),
        (_, ["_logmill", "stats"]) if get => value_answer(200, &snapshot(store).to_json()),
        (_, ["_cat", "indices"]) if get => cat_indices(store, "", query),
        (_, ["_cat", "indices", patterns]) if get => cat_indices(store, patterns, query),
        (_, ["_count"]) => count(store, ""),
        (_, [patterns, "_count"]) => count(store, patterns),
        (&Method::GET | &Method::POST, ["_refresh" | "_flush"] | [_, "_refresh" | "_flush"]) => {
            value_answer(
                200,
                &json!({ "_shards": { "total": 1, "successful": 1, "failed": 0 } }),
            )
        }
        (
            _,
            ["_index_template" | "_component_template" | "_template", _] | ["_ilm", "policy", _],
        ) => named(store, parts, path, segments, body),
        _ => value_answer(
            400,
            &json!({ "error": format!("no handler found for uri [{path}] and method [{}]", parts.method), "status": 400 }),
        ),
    }
}

fn root() -> Value {
    json!({
        "name": "logmill-sink",
        "cluster_name": "logmill-sink",
        "cluster_uuid": "bG9nbWlsbC1zaW5rLXN0YW5k",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "logmill",
            "build_snapshot": false,
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0"
        },
        "tagline": "A stand-in that checks and counts"
    })
}

/// Templates and policies: kept by name, listed in the form of their interface.
fn named(store: &Store, parts: &Parts, path: &str, segments: &[&str], body: Bytes) -> Answer {
    let key = segments.join("/");
    let name = segments.last().copied().unwrap_or_default();
    match parts.method {
        Method::PUT | Method::POST => {
            let good = serde_json::from_slice::<Value>(&body).is_ok_and(|value| value.is_object());
            if !good {
                return refusal_answer(&Refusal::new(
                    400,
                    "parse_exception",
                    "request body is required, and has to be a JSON object",
                ));
            }
            if !store.put_named(&key, body) {
                return refusal_answer(&Refusal::new(
                    400,
                    "illegal_argument_exception",
                    "this stand-in keeps no more templates",
                ));
            }
            value_answer(200, &json!({ "acknowledged": true }))
        }
        Method::GET | Method::HEAD => {
            let found = store.named(&key);
            if found.is_empty() {
                return refusal_answer(&Refusal::new(
                    404,
                    "resource_not_found_exception",
                    format!("[{name}] not found"),
                ));
            }
            value_answer(200, &listed(segments, &found))
        }
        Method::DELETE if store.delete_named(&key) => {
            value_answer(200, &json!({ "acknowledged": true }))
        }
        Method::DELETE => refusal_answer(&Refusal::new(
            404,
            "resource_not_found_exception",
            format!("[{name}] not found"),
        )),
        _ => value_answer(
            405,
            &json!({ "error": format!("Incorrect HTTP method for uri [{path}] and method [{}]", parts.method), "status": 405 }),
        ),
    }
}

fn listed(segments: &[&str], found: &[(String, Bytes)]) -> Value {
    let entries = found.iter().map(|(path, body)| {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        (
            path.rsplit('/').next().unwrap_or_default().to_owned(),
            value,
        )
    });
    let list = |key: &str, inner: &str| {
        let all: Vec<Value> = entries
            .clone()
            .map(|(name, value)| json!({ "name": name, inner: value }))
            .collect();
        json!({ key: all })
    };
    match segments.first().copied().unwrap_or_default() {
        "_index_template" => list("index_templates", "index_template"),
        "_component_template" => list("component_templates", "component_template"),
        _ => Value::Object(entries.collect()),
    }
}

fn cat_indices(store: &Store, patterns: &str, query: &str) -> Answer {
    let indices = store.select(patterns);
    if query_value(query, "format").as_deref() == Some("json") {
        let rows: Vec<Value> = indices
            .iter()
            .map(|index| {
                json!({
                    "health": "green", "status": "open", "index": index.name, "pri": "1", "rep": "0",
                    "docs.count": index.documents.to_string(), "docs.deleted": index.deleted.to_string(),
                    "store.size": format!("{}b", index.bytes), "pri.store.size": format!("{}b", index.bytes)
                })
            })
            .collect();
        return value_answer(200, &Value::Array(rows));
    }
    let mut text = String::new();
    for index in &indices {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "green open {} 1 0 {} {} {}b {}b",
            index.name, index.documents, index.deleted, index.bytes, index.bytes
        );
    }
    let mut answer = json_answer(StatusCode::OK, text.into());
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    answer
}

fn count(store: &Store, patterns: &str) -> Answer {
    let found = store.select(patterns);
    if found.is_empty() && !patterns.is_empty() && !patterns.contains('*') && patterns != "_all" {
        return refusal_answer(&Refusal::new(
            404,
            "index_not_found_exception",
            format!("no such index [{patterns}]"),
        ));
    }
    let documents: u64 = found.iter().map(|index| index.documents).sum();
    let shards = found.len();
    value_answer(
        200,
        &json!({ "count": documents, "_shards": { "total": shards, "successful": shards, "skipped": 0, "failed": 0 } }),
    )
}

fn refusal_answer(refusal: &Refusal) -> Answer {
    let error = json!({ "type": refusal.kind, "reason": refusal.reason });
    value_answer(
        refusal.status,
        &json!({ "error": { "root_cause": [error], "type": refusal.kind, "reason": refusal.reason }, "status": refusal.status }),
    )
}

fn value_answer(status: u16, value: &Value) -> Answer {
    json_answer(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        value.to_string().into(),
    )
}

fn json_answer(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        HeaderName::from_static("x-elastic-product"),
        HeaderValue::from_static("Elasticsearch"),
    );
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
