//! What has become of the lines so far, read from the shipper's metrics and the sink's counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::elasticsearch::{Auth, Client, ClientConfig};
use crate::loadtest::project_ai::story::{Expected, Family};
use crate::loadtest::{documents_per_index, http, metric, newest, stats};

/// Where the documents go.
pub(super) enum Target {
    /// The stand-in, at this address.
    Sink(SocketAddr),
    /// A real Elasticsearch, at this URL.
    Elasticsearch(String),
}

/// One look at everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// Documents per index; for a real Elasticsearch events delivered per family.
    pub documents: BTreeMap<String, u64>,
    /// Look-ups that found something.
    pub geoip_hits: u64,
    /// Bytes in the files that are not read yet.
    pub lag_bytes: u64,
    /// Events set aside.
    pub set_aside: u64,
    /// Records that a codec could not decode.
    pub undecodable: u64,
    /// Bulk requests that failed, and what the sink found to be wrong with bulks and documents.
    pub errors: u64,
    /// The newest documents per index, as far as the sink keeps them.
    pub newest: BTreeMap<String, Value>,
}

impl Status {
    /// Reads all counts.
    ///
    /// # Errors
    /// A sentence, when one of the two does not answer.
    pub(super) fn read(api: SocketAddr, target: &Target) -> Result<Status, String> {
        let metrics = http::get(api, "/metrics")?;
        let sum = |family: &str| metric(&metrics, family, "");
        let mut status = Status {
            geoip_hits: metric(&metrics, "logmill_filter_matches_total", "plugin=\"geoip\""),
            lag_bytes: sum("logmill_input_lag_bytes"),
            set_aside: sum("logmill_output_set_aside_total")
                + sum("logmill_condition_errors_total"),
            undecodable: sum("logmill_input_decode_failures_total"),
            errors: metric(&metrics, "logmill_bulk_requests_total", "result=\"failed\""),
            ..Status::default()
        };
        match target {
            Target::Sink(address) => {
                let counts = stats(*address)?;
                status.documents = documents_per_index(&counts);
                let wrong = [
                    "/bulks/malformed",
                    "/bulks/header_mismatches",
                    "/malformed_documents",
                    "/illegal_indices",
                    "/ids/doubled_in_bulk",
                ];
                status.errors += wrong
                    .iter()
                    .filter_map(|path| counts.pointer(path)?.as_u64())
                    .sum::<u64>();
                status.newest = status
                    .documents
                    .keys()
                    .filter_map(|index| Some((index.clone(), telling(&counts, index)?)))
                    .collect();
            }
            Target::Elasticsearch(_) => {
                for family in Family::ALL {
                    let label = format!("output=\"{}\"", family.index());
                    status.documents.insert(
                        family.index().to_owned(),
                        metric(&metrics, "logmill_output_events_total", &label),
                    );
                }
            }
        }
        Ok(status)
    }

    /// All documents.
    pub(super) fn total(&self) -> u64 {
        self.documents.values().sum()
    }

    /// Documents of a family, on all days.
    pub(super) fn of(&self, family: Family) -> u64 {
        self.documents
            .iter()
            .filter(|(index, _)| index.starts_with(family.index()))
            .map(|(_, count)| count)
            .sum()
    }

    /// Whether every event has arrived in its family, or more than that.
    pub(super) fn has_all(&self, expected: &Expected) -> bool {
        Family::ALL
            .into_iter()
            .zip(expected.families)
            .all(|(family, count)| self.of(family) >= count)
    }
}

/// The newest document of an index, preferably one with a place.
fn telling(stats: &Value, index: &str) -> Option<Value> {
    let placed = newest(stats, index)
        .rev()
        .find(|document| document.pointer("/source/geo").is_some());
    placed.or_else(|| newest(stats, index).next_back()).cloned()
}

/// The newest document of each family in a real Elasticsearch.
///
/// # Errors
/// A sentence, when it cannot be asked.
pub(super) fn ask_elasticsearch(url: &str) -> Result<BTreeMap<String, Value>, String> {
    let key = std::env::var("ELASTICSEARCH_API_KEY").unwrap_or_default();
    // The variable may hold a list, as the config language writes one.
    let hosts = url
        .trim()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .split(',');
    let config = ClientConfig {
        hosts: hosts
            .map(|host| host.trim().trim_matches('"').to_owned())
            .collect(),
        auth: if key.is_empty() {
            Auth::None
        } else {
            Auth::ApiKey(key)
        },
        ..ClientConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let client = Client::new(&config).map_err(|error| error.to_string())?;
        let mut newest = BTreeMap::new();
        // Without a refresh the last documents are not to be found for half a minute.
        let refresh = client
            .request(
                hyper::Method::POST,
                "/project-ai-*/_refresh",
                None,
                "application/json",
            )
            .await;
        refresh.map_err(|error| error.to_string())?;
        for family in Family::ALL {
            let path = format!(
                "/{}-*/_search?size=1&sort=%40timestamp:desc&ignore_unavailable=true",
                family.index()
            );
            let answer = client
                .request(hyper::Method::GET, &path, None, "application/json")
                .await
                .map_err(|error| error.to_string())?;
            if answer.status != 200 {
                return Err(client.explain(&answer.host, answer.status, &answer.body));
            }
            let found: Value =
                serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            if let (Some(index), Some(document)) = (
                found.pointer("/hits/hits/0/_index"),
                found.pointer("/hits/hits/0/_source"),
            ) {
                newest.insert(
                    index.as_str().unwrap_or_default().to_owned(),
                    document.clone(),
                );
            }
        }
        Ok(newest)
    })
}
