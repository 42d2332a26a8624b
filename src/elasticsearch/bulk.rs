//! Bulk requests: sent, their answers read as far as needed, every item's fate decided by one table.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use bytes::BytesMut;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::client::{Call, Client, JSON, Reply, TransportError, gzip};
use super::payload::Payload;

/// The parts of a bulk answer that are asked for; everything else would only cost bytes.
const FILTER: &str = "filter_path=took,errors,items.*.error,items.*.status,items.*._id";
/// How far into an answer `"errors"` is looked for before the whole is read.
const LOOK_AHEAD: usize = 1024;
/// Longest reason that is kept of one item, in bytes.
const MAX_REASON: usize = 2048;

/// A bulk body, ready to be sent, as often as needed.
#[derive(Clone, Debug)]
pub struct BulkBody {
    /// Action and document lines, or their gzip.
    pub payload: Payload,
    /// Actions in it; the answer must have as many items.
    pub items: u32,
    /// Length before compression, in bytes.
    pub uncompressed_len: u64,
    /// Whether the payload is gzipped already. Otherwise the client compresses as configured.
    pub gzipped: bool,
}

impl BulkBody {
    /// A body of plain lines.
    #[must_use]
    pub fn plain(payload: impl Into<Payload>, items: u32) -> Self {
        let payload = payload.into();
        Self {
            uncompressed_len: payload.len() as u64,
            payload,
            items,
            gzipped: false,
        }
    }

    /// A body that is compressed at once, by the calling thread; level 0 leaves it plain.
    ///
    /// # Errors
    /// Only what the compressor itself reports.
    pub fn compressed(
        payload: impl Into<Payload>,
        items: u32,
        level: u32,
    ) -> std::io::Result<Self> {
        let payload = payload.into();
        if level == 0 {
            return Ok(Self::plain(payload, items));
        }
        Ok(Self {
            uncompressed_len: payload.len() as u64,
            payload: gzip(&payload, level)?.into(),
            items,
            gzipped: true,
        })
    }
}

/// What became of a bulk request as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum BulkResult {
    /// Every item is stored.
    AllOk,
    /// At least one item has an error; one result per item, in their order.
    Items(Vec<ItemResult>),
    /// Nothing is known to be stored: send the same body again.
    Retry {
        /// One sentence: who, what, remedy.
        why: String,
        /// HTTP status of the answer, if there was one.
        status: Option<u16>,
        /// How long the server asks to wait.
        after: Option<Duration>,
        /// The request may have been too much for the server: 429, 502 to 504, no answer in time, or none at all on a
        /// connection that stood.
        overloaded: bool,
    },
    /// The body is larger than the server takes (HTTP 413): split it, or refuse its only item with [`too_large_reason`].
    TooLarge,
}

/// Elasticsearch's answer for one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemResult {
    /// HTTP-like status of the item.
    pub status: u16,
    /// Type of the error, such as `document_parsing_exception`; empty without one.
    pub error_type: Box<str>,
    /// Reason with its causes; empty without one.
    pub reason: Box<str>,
}

/// What has to be done about an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored.
    Done,
    /// Its id or version exists already (409): counts as stored, worth a warning unless ids are made from positions.
    Conflict,
    /// Send it again after a pause.
    Retry,
    /// It will never be taken: a dead letter, or a warning, with this reason.
    Refused(String),
    /// Its error type is in `drop_error_types`.
    DroppedByRule,
}

/// The options that shape the reaction table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `drop_error_types`: error types whose items are dropped with a warning.
    pub drop_error_types: Vec<String>,
    /// `dlq_custom_codes`: statuses that are refused like 400 and 404.
    pub dlq_custom_codes: Vec<u16>,
    /// `silence_errors_in_log`: error types that are not worth a log line.
    pub silence_errors_in_log: Vec<String>,
}

impl Policy {
    /// Whether errors of this type are logged.
    #[must_use]
    pub fn logs(&self, error_type: &str) -> bool {
        !self
            .silence_errors_in_log
            .iter()
            .any(|silenced| silenced == error_type)
    }
}

/// The reaction table: what an item's answer means.
#[must_use]
pub fn classify(item: &ItemResult, policy: &Policy) -> Outcome {
    match item.status {
        200..=299 => Outcome::Done,
        409 => Outcome::Conflict,
        // A delete of what is not there; alone in its bulk it would not even count as an error.
        404 if item.error_type.is_empty() && item.reason.is_empty() => Outcome::Done,
        _ if policy
            .drop_error_types
            .iter()
            .any(|dropped| **dropped == *item.error_type) =>
        {
            Outcome::DroppedByRule
        }
        status if status == 400 || status == 404 || policy.dlq_custom_codes.contains(&status) => {
            Outcome::Refused(item.to_string())
        }
        _ => Outcome::Retry,
    }
}

impl fmt::Display for ItemResult {
    /// `status 400, document_parsing_exception: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if !self.error_type.is_empty() {
            write!(f, ", {}", self.error_type)?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

/// The reason of a dead letter, in the original's words.
#[must_use]
pub fn dead_letter_reason(item: &ItemResult, action: &str) -> String {
    format!(
        "Could not index event to Elasticsearch. status: {}, action: {action}, response: {{\"type\"=>{:?}, \"reason\"=>{:?}}}",
        item.status, item.error_type, item.reason
    )
}

/// The reason of an item that is too large even alone.
#[must_use]
pub fn too_large_reason(len: usize) -> String {
    format!(
        "the document has {len} bytes, more than Elasticsearch takes in one request (413): raise `http.max_content_length` there or cut the event"
    )
}

impl Client {
    /// Sends one bulk and says what became of it. Never fails: whatever is not an answer is [`BulkResult::Retry`].
    pub async fn send_bulk(&self, body: &BulkBody) -> BulkResult {
        let path = bulk_target(self.bulk_path());
        let headers = [
            (
                HeaderName::from_static("x-elastic-event-count"),
                HeaderValue::from(body.items),
            ),
            (
                HeaderName::from_static("x-elastic-uncompressed-request-length"),
                HeaderValue::from(body.uncompressed_len),
            ),
        ];
        let call = Call {
            method: Method::POST,
            path: &path,
            body: Some(body.payload.clone()),
            gzipped: body.gzipped,
            content_type: JSON,
            headers: &headers,
        };
        let answer = match self.exchange(&call).await {
            Ok(reply) => self.read_bulk(reply, body.items).await,
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| BulkResult::Retry {
            overloaded: matches!(
                error,
                TransportError::Timeout { .. } | TransportError::Broken { .. }
            ),
            why: error.to_string(),
            status: None,
            after: None,
        })
    }

    async fn read_bulk(
        &self,
        mut reply: Reply<'_>,
        sent: u32,
    ) -> Result<BulkResult, TransportError> {
        let status = reply.status();
        if status == 413 {
            // The server may not have read the request: the connection is not used again.
            return Ok(BulkResult::TooLarge);
        }
        if !(200..300).contains(&status) {
            let after = reply
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            let host = reply.host_shown().to_owned();
            let body = reply.read_rest(BytesMut::new()).await?;
            return Ok(BulkResult::Retry {
                why: self.explain(&host, status, &body),
                status: Some(status),
                after,
                overloaded: matches!(status, 429 | 502..=504),
            });
        }
        let mut start = BytesMut::new();
        while start.len() < LOOK_AHEAD {
            let Some(chunk) = reply.chunk().await? else {
                break;
            };
            start.extend_from_slice(&chunk);
            if let Some(errors) = find_errors(&start) {
                if errors {
                    break;
                }
                // Only to its end, so that a cut answer is noticed and the connection can be used again.
                while reply.chunk().await?.is_some() {}
                return Ok(BulkResult::AllOk);
            }
        }
        let host = reply.host_shown().to_owned();
        let answer = reply.read_rest(start).await?;
        Ok(
            read_items(&answer, sent).unwrap_or_else(|what| BulkResult::Retry {
                why: format!(
                    "the answer of {host} to a bulk of {sent} items {what}: is that Elasticsearch?"
                ),
                status: Some(status),
                after: None,
                overloaded: false,
            }),
        )
    }
}

fn bulk_target(path: &str) -> String {
    if path.contains("filter_path=") {
        return path.to_owned();
    }
    let join = if path.contains('?') { '&' } else { '?' };
    format!("{path}{join}{FILTER}")
}

/// The value of the answer's own `errors`, when it stands before `items`.
fn find_errors(start: &[u8]) -> Option<bool> {
    let end = memchr::memmem::find(start, b"\"items\"").unwrap_or(start.len());
    let head = &start[..end];
    let key = memchr::memmem::find(head, b"\"errors\"")?;
    let value = head[key + b"\"errors\"".len()..]
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start();
    if value.starts_with(b"false") {
        Some(false)
    } else if value.starts_with(b"true") {
        Some(true)
    } else {
        None
    }
}

/// Reads a whole answer; the error says what is wrong with it.
fn read_items(answer: &[u8], sent: u32) -> Result<BulkResult, String> {
    let parsed: Answer =
        serde_json::from_slice(answer).map_err(|error| format!("cannot be read ({error})"))?;
    match parsed.errors {
        None => return Err("does not say whether there were errors".to_owned()),
        Some(false) => return Ok(BulkResult::AllOk),
        Some(true) => {}
    }
    if parsed.items.len() != sent as usize {
        return Err(format!("has {} items", parsed.items.len()));
    }
    let items = parsed
        .items
        .into_iter()
        .map(|Item(result)| result)
        .collect::<Vec<_>>();
    if items.iter().any(|item| item.status == 0) {
        return Err("has an item without a status".to_owned());
    }
    Ok(BulkResult::Items(items))
}

#[derive(Deserialize)]
struct Answer {
    errors: Option<bool>,
    #[serde(default)]
    items: Vec<Item>,
}

/// `{"index":{"status":…,"error":…}}`, whatever the action is called.
struct Item(ItemResult);

#[derive(Deserialize)]
struct ItemBody {
    #[serde(default)]
    status: u16,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Text(String),
    Object(ErrorObject),
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
    caused_by: Option<Box<ErrorObject>>,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneAction;
        impl<'de> Visitor<'de> for OneAction {
            type Value = Item;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item: an object with one action")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let mut found = ItemResult::default();
                while map.next_key::<IgnoredAny>()?.is_some() {
                    found = map.next_value::<ItemBody>()?.into();
                }
                Ok(Item(found))
            }
        }
        deserializer.deserialize_map(OneAction)
    }
}

impl From<ItemBody> for ItemResult {
    fn from(body: ItemBody) -> Self {
        let (error_type, reason) = match body.error {
            None => (String::new(), String::new()),
            Some(ErrorBody::Text(text)) => (String::new(), text),
            Some(ErrorBody::Object(object)) => object.flatten(),
        };
        Self {
            status: body.status,
            error_type: error_type.into(),
            reason: reason.into(),
        }
    }
}

impl ErrorObject {
    /// Type, and the reason with its causes joined by `: `.
    fn flatten(self) -> (String, String) {
        let mut reason = self.reason.unwrap_or_default();
        let mut cause = self.caused_by;
        while let Some(inner) = cause {
            for text in [inner.kind, inner.reason].into_iter().flatten() {
                if !reason.contains(&text) {
                    reason.push_str(": ");
                    reason.push_str(&text);
                }
            }
            cause = inner.caused_by;
        }
        if reason.len() > MAX_REASON {
            let cut = (0..=MAX_REASON)
                .rev()
                .find(|&at| reason.is_char_boundary(at))
                .unwrap_or(0);
            reason.truncate(cut);
            reason.push('…');
        }
        (self.kind.unwrap_or_default(), reason)
    }
}

/// Pauses that double from `retry_initial_interval` to `retry_max_interval`, each shortened at random by up to a quarter,
/// so that senders which failed together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
    random: u64,
}

impl Default for Backoff {
    /// The original's 2 s and 64 s.
    fn default() -> Self {
        Self::new(Duration::from_secs(2), Duration::from_secs(64))
    }
}

impl Backoff {
    /// Starts at `initial` and never exceeds `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        let initial = initial.min(max);
        Self {
            initial,
            max,
            next: initial,
            random: RandomState::new().hash_one(0_u8) | 1,
        }
    }

    /// The pause to make, and the doubling for the one after.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        // xorshift64: statistics are of no concern here.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = u32::try_from(self.random >> 48).unwrap_or(0);
        pause.saturating_sub(pause / 4 * share / 0x1_0000)
    }

    /// To be called after a success.
    pub fn reset(&mut self) {
        self.next = self.initial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(status: u16, error_type: &str) -> ItemResult {
        ItemResult {
            status,
            error_type: error_type.into(),
            reason: "why".into(),
        }
    }

    #[test]
    fn the_reaction_table() {
        let policy = Policy {
            drop_error_types: vec!["version_oops".into()],
            dlq_custom_codes: vec![403],
            silence_errors_in_log: vec!["document_already_exists_exception".into()],
        };
        for (status, kind, want) in [
            (200, "", Outcome::Done),
            (201, "", Outcome::Done),
            (409, "version_conflict_engine_exception", Outcome::Conflict),
            (409, "version_oops", Outcome::Conflict),
            (400, "version_oops", Outcome::DroppedByRule),
            (429, "version_oops", Outcome::DroppedByRule),
            (429, "es_rejected_execution_exception", Outcome::Retry),
            (503, "unavailable_shards_exception", Outcome::Retry),
            (401, "security_exception", Outcome::Retry),
            (
                400,
                "document_parsing_exception",
                Outcome::Refused("status 400, document_parsing_exception: why".into()),
            ),
            (
                404,
                "index_not_found_exception",
                Outcome::Refused("status 404, index_not_found_exception: why".into()),
            ),
            (
                403,
                "cluster_block_exception",
                Outcome::Refused("status 403, cluster_block_exception: why".into()),
            ),
        ] {
            assert_eq!(
                classify(&item(status, kind), &policy),
                want,
                "{status} {kind}"
            );
        }
        let gone = ItemResult {
            status: 404,
            ..ItemResult::default()
        };
        assert_eq!(classify(&gone, &policy), Outcome::Done);
        assert_eq!(
            classify(&item(403, "cluster_block_exception"), &Policy::default()),
            Outcome::Retry
        );
        assert!(policy.logs("other") && !policy.logs("document_already_exists_exception"));
    }

    #[test]
    fn answers_are_read_item_by_item() {
        let answer = br#"{"took":3,"errors":true,"items":[{"create":{"_id":"1","status":201}},
            {"index":{"_id":"2","status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse","caused_by":{"type":"illegal_argument_exception","reason":"bad date"}}}},
            {"delete":{"status":404}},{"index":{"status":500,"error":"old style"}}]}"#;
        let BulkResult::Items(items) = read_items(answer, 4).unwrap() else {
            panic!("items expected")
        };
        assert_eq!(
            items.iter().map(|i| i.status).collect::<Vec<_>>(),
            [201, 400, 404, 500]
        );
        assert_eq!(
            items[1].to_string(),
            "status 400, document_parsing_exception: failed to parse: illegal_argument_exception: bad date"
        );
        assert_eq!(&*items[3].reason, "old style");
        let reason = dead_letter_reason(&items[1], "index");
        assert!(reason.starts_with(
            "Could not index event to Elasticsearch. status: 400, action: index, response: "
        ));
    }

    #[test]
    fn an_answer_of_another_length_is_no_answer() {
        let answer = br#"{"errors":true,"items":[{"index":{"status":400}}]}"#;
        assert_eq!(read_items(answer, 2).unwrap_err(), "has 1 items");
        assert_eq!(read_items(answer, 0).unwrap_err(), "has 1 items");
        assert!(
            read_items(br#"{"errors":true,"items":[{"index":{}}]}"#, 1)
                .unwrap_err()
                .contains("status")
        );
        assert!(read_items(br#"{"took":1}"#, 1).is_err());
        assert!(
            read_items(b"<html>", 1)
                .unwrap_err()
                .contains("cannot be read")
        );
        assert_eq!(
            read_items(br#"{"items":[],"errors":false}"#, 3),
            Ok(BulkResult::AllOk)
        );
    }

    #[test]
    fn errors_are_found_before_the_items_only() {
        assert_eq!(find_errors(br#"{"took":1,"errors":false,"#), Some(false));
        assert_eq!(find_errors(br#"{"errors" : true"#), Some(true));
        assert_eq!(find_errors(br#"{"took":1,"err"#), None);
        assert_eq!(find_errors(br#"{"errors":fal"#), None);
        assert_eq!(
            find_errors(br#"{"items":[{"index":{"error":{"reason":"\"errors\":false"#),
            None
        );
    }

    #[test]
    fn pauses_double_and_stay_within_bounds() {
        let mut backoff = Backoff::default();
        for want in [2, 4, 8, 16, 32, 64, 64] {
            let pause = backoff.pause().as_secs_f64();
            assert!(
                pause <= f64::from(want) && pause >= f64::from(want) * 0.75,
                "{pause} of {want}"
            );
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_secs(2));
        assert!(
            Backoff::new(Duration::from_secs(9), Duration::from_secs(3)).pause()
                <= Duration::from_secs(3)
        );
    }

    #[test]
    fn the_target_asks_for_little() {
        assert_eq!(bulk_target("/_bulk"), format!("/_bulk?{FILTER}"));
        assert_eq!(
            bulk_target("/_bulk?refresh=true"),
            format!("/_bulk?refresh=true&{FILTER}")
        );
        assert_eq!(
            bulk_target("/_bulk?filter_path=errors"),
            "/_bulk?filter_path=errors"
        );
    }
}
