//! Measures a pipeline end to end: files, a shipper and a sink as processes of their own, every document accounted for.

pub mod child;
pub mod configs;
mod feed;
pub mod geo;
mod handout;
pub mod http;
mod latency;
mod lines;
mod load;
mod measure;
mod patterns;
pub mod progress;
pub(crate) mod project_ai;
mod receiver;
pub mod report;
pub mod rng;
pub mod scale;
mod scenario;
pub mod signals;
mod user;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

pub use handout::hand_out;
pub use load::Kind;
pub use measure::{Options, run};
pub use receiver::Target;
pub use scenario::{Scenario, Shape};
pub use user::UserConfig;

/// The sum of a family's samples whose labels hold `label`; a family without labels has one sample.
#[must_use]
pub fn metric(metrics: &str, family: &str, label: &str) -> u64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(family)?;
        match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once("} "),
            None => Some(("", rest.strip_prefix(' ')?)),
        }
    });
    samples
        .filter(|(labels, _)| labels.contains(label))
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

/// The counts of a sink.
///
/// # Errors
/// A sentence, when it does not answer.
pub fn stats(address: SocketAddr) -> Result<Value, String> {
    let text = http::get(address, "/_logmill/stats")?;
    serde_json::from_str(&text).map_err(|error| format!("the sink's counts are no JSON: {error}"))
}

/// Documents per index in the counts of a sink.
#[must_use]
pub fn documents_per_index(stats: &Value) -> BTreeMap<String, u64> {
    let indices = stats
        .get("indices")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    indices
        .map(|(name, index)| {
            (
                name.clone(),
                index.get("documents").and_then(Value::as_u64).unwrap_or(0),
            )
        })
        .collect()
}

/// The newest documents of an index in the counts of a sink, oldest first.
pub fn newest<'a>(
    stats: &'a Value,
    index: &str,
) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
    let newest = stats
        .get("indices")
        .and_then(|indices| indices.get(index)?.get("newest")?.as_array());
    newest.map_or(&[][..], Vec::as_slice).iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_family_are_summed() {
        let text = "# TYPE a counter\na{p=\"x\",q=\"}\"} 3\na{p=\"x\"} 4\na{p=\"y\"} 50\nab{p=\"x\"} 600\nc 7\n";
        assert_eq!(metric(text, "a", "p=\"x\""), 7);
        assert_eq!(metric(text, "a", ""), 57);
        assert_eq!(metric(text, "b", ""), 0);
        assert_eq!(metric(text, "c", ""), 7);
    }
}
