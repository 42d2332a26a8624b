//! Where documents go: the built-in sink in a process of its own, or a real Elasticsearch.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;

use hyper::Method;
use serde_json::Value;

use super::child::{Child, Launch, Usage};
use super::http;
use super::load::Connection;
use crate::elasticsearch::{Auth, Client, ClientConfig, TlsOptions};

/// The receiving end of a measurement.
pub enum Receiver {
    /// Our own, started for one run.
    Sink {
        /// Its process.
        child: Child,
        /// Where it listens.
        address: SocketAddr,
    },
    /// Somebody else's.
    Elasticsearch(Target),
}

/// A real Elasticsearch, with credentials from the environment.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its URL.
    pub url: String,
    auth: Auth,
    authority: Option<String>,
}

/// What the receiving end counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Documents per index.
    pub indices: BTreeMap<String, u64>,
    /// Bytes of bulk bodies, if it counts them.
    pub bytes: Option<u64>,
    /// What it found to be wrong, a sentence each.
    pub wrong: Vec<String>,
}

impl Receiver {
    /// Starts a sink; `ids` makes it remember all ids.
    ///
    /// # Errors
    /// A sentence, when it does not start.
    pub fn sink(folder: &Path, run: &str, ids: bool) -> Result<Receiver, String> {
        let mut arguments = vec!["sink", "--listen", "127.0.0.1:0"];
        if ids {
            arguments.push("--ids");
        }
        let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
        let messages = folder.join(format!("sink-{run}.messages"));
        let mut child = Launch::new("the sink", &arguments, messages)?.start()?;
        let address = child.address()?;
        Ok(Receiver::Sink { child, address })
    }

    /// How a shipper connects to it.
    #[must_use]
    pub fn connection(&self) -> Connection {
        match self {
            Receiver::Sink { address, .. } => Connection::plain(&format!("http://{address}")),
            Receiver::Elasticsearch(target) => target.connection(&target.url),
        }
    }

    /// The address to which plain HTTP goes.
    ///
    /// # Errors
    /// A sentence, when it speaks TLS or its name is unknown.
    pub fn address(&self) -> Result<SocketAddr, String> {
        match self {
            Receiver::Sink { address, .. } => Ok(*address),
            Receiver::Elasticsearch(target) => target.address(),
        }
    }

    /// CPU and memory of the sink so far; none of a real one.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Receiver::Sink { child, .. } => Some(child.usage()),
            Receiver::Elasticsearch(_) => None,
        }
    }

    /// An error when the sink has ended.
    ///
    /// # Errors
    /// A sentence with its last messages.
    pub fn check_alive(&mut self) -> Result<(), String> {
        match self {
            Receiver::Sink { child, .. } => child.check_alive(),
            Receiver::Elasticsearch(_) => Ok(()),
        }
    }

    /// Documents so far; none where asking costs too much.
    ///
    /// # Errors
    /// A sentence, when the sink does not answer.
    pub fn count(&self) -> Result<Option<u64>, String> {
        let Receiver::Sink { address, .. } = self else {
            return Ok(None);
        };
        let text = http::get(*address, "/_count")?;
        let answer: Value = serde_json::from_str(&text)
            .map_err(|error| format!("the sink's count is no JSON: {error}"))?;
        Ok(answer.get("count").and_then(Value::as_u64))
    }

    /// All counts at the end of a run; of a real Elasticsearch those of the indices that begin with `prefix`.
    ///
    /// # Errors
    /// A sentence, when it does not answer.
    pub fn counts(&self, prefix: &str) -> Result<Counts, String> {
        match self {
            Receiver::Sink { address, .. } => Ok(sink_counts(&super::stats(*address)?)),
            Receiver::Elasticsearch(target) => target.counts(prefix),
        }
    }
}

fn sink_counts(stats: &Value) -> Counts {
    const WRONG: [(&str, &str); 6] = [
        ("/bulks/malformed", "bulks refused for their form"),
        (
            "/bulks/header_mismatches",
            "bulks whose headers disagree with their content",
        ),
        (
            "/malformed_documents",
            "documents that are no valid JSON, or hold a key twice",
        ),
        (
            "/illegal_indices",
            "documents for an index with an illegal name",
        ),
        ("/ids/doubled_in_bulk", "ids that stand twice in one bulk"),
        (
            "/ids/conflicts",
            "documents to be created whose id was there already",
        ),
    ];
    let number = |path: &str| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    Counts {
        indices: super::documents_per_index(stats),
        bytes: Some(number("/bytes/received")),
        wrong: WRONG
            .iter()
            .filter(|(path, _)| number(path) > 0)
            .map(|(path, what)| format!("{} {what}", number(path)))
            .collect(),
    }
}

impl Connection {
    /// To a URL, without credentials.
    #[must_use]
    pub fn plain(url: &str) -> Connection {
        Connection {
            url: url.to_owned(),
            options: format!("    hosts => [ \"{url}\" ]\n"),
        }
    }
}

impl Target {
    /// A URL, with the credentials of `ELASTICSEARCH_API_KEY`, or of `ELASTICSEARCH_USER` and
    /// `ELASTICSEARCH_PASSWORD`, and the authority of `ELASTICSEARCH_CA`.
    ///
    /// # Errors
    /// A sentence, when it is no URL.
    pub fn new(url: &str) -> Result<Target, String> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!(
                "`--target {url}` is no URL: write it as http://HOST:9200 or https://HOST:9200"
            ));
        }
        if url.contains(['"', '\\', '\n']) || url.contains('@') {
            return Err("credentials do not belong into `--target`: set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USER and ELASTICSEARCH_PASSWORD".to_owned());
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let auth = match (
            variable("ELASTICSEARCH_API_KEY"),
            variable("ELASTICSEARCH_USER"),
        ) {
            (Some(key), _) => Auth::ApiKey(key),
            (None, Some(user)) => Auth::Basic {
                user,
                password: variable("ELASTICSEARCH_PASSWORD").unwrap_or_default(),
            },
            (None, None) => Auth::None,
        };
        Ok(Target {
            url: url.trim_end_matches('/').to_owned(),
            auth,
            authority: variable("ELASTICSEARCH_CA"),
        })
    }

    /// How a shipper connects to it by way of `url`. Credentials stay in the environment, which the shipper reads.
    #[must_use]
    pub fn connection(&self, url: &str) -> Connection {
        let mut connection = Connection::plain(url);
        connection.options.push_str(match self.auth {
            Auth::ApiKey(_) => "    api_key => \"${ELASTICSEARCH_API_KEY}\"\n",
            Auth::Basic { .. } => "    user => \"${ELASTICSEARCH_USER}\"\n    password => \"${ELASTICSEARCH_PASSWORD:}\"\n",
            _ => "",
        });
        if self.authority.is_some() && url.starts_with("https") {
            connection
                .options
                .push_str("    ssl_certificate_authorities => [ \"${ELASTICSEARCH_CA}\" ]\n");
        }
        connection
    }

    fn address(&self) -> Result<SocketAddr, String> {
        let Some(host) = self.url.strip_prefix("http://") else {
            return Err("`--rate` watches the answers on their way, which TLS does not allow: give a `--target` that begins with http://".to_owned());
        };
        let host = host.split('/').next().unwrap_or_default();
        let host = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:9200")
        };
        let mut found = host
            .to_socket_addrs()
            .map_err(|error| format!("the host of `--target` is unknown: {error}"))?;
        found
            .next()
            .ok_or_else(|| "the host of `--target` has no address".to_owned())
    }

    /// One request; its answer with status 200.
    fn ask(&self, method: &Method, path: &str) -> Result<Value, String> {
        let config = ClientConfig {
            hosts: vec![self.url.clone()],
            auth: self.auth.clone(),
            tls: TlsOptions {
                certificate_authorities: self.authority.iter().map(Into::into).collect(),
                ..TlsOptions::default()
            },
            ..ClientConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let client = Client::new(&config).map_err(|error| error.to_string())?;
            let answer = client
                .request(method.clone(), path, None, "application/json")
                .await
                .map_err(|error| error.to_string())?;
            if answer.status != 200 {
                return Err(client.explain(&answer.host, answer.status, &answer.body));
            }
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
        })
    }

    /// Documents of the indices that begin with `prefix`.
    fn counts(&self, prefix: &str) -> Result<Counts, String> {
        self.ask(
            &Method::POST,
            &format!("/{prefix}*/_refresh?ignore_unavailable=true"),
        )?;
        let listed = self.ask(
            &Method::GET,
            &format!("/_cat/indices/{prefix}*?format=json&h=index,docs.count"),
        )?;
        let mut counts = Counts::default();
        for entry in listed.as_array().into_iter().flatten() {
            let name = entry.get("index").and_then(Value::as_str);
            let documents = entry.get("docs.count").and_then(Value::as_str);
            if let (Some(name), Some(documents)) = (name, documents) {
                counts
                    .indices
                    .insert(name.to_owned(), documents.parse().unwrap_or(0));
            }
        }
        Ok(counts)
    }

    /// Deletes the indices that begin with `prefix`, each by its name.
    ///
    /// # Errors
    /// A sentence that names what is left.
    pub fn clean(&self, prefix: &str) -> Result<(), String> {
        let left =
            |error: String| format!("the indices {prefix}* are still in {}: {error}", self.url);
        for name in self.counts(prefix).map_err(left)?.indices.keys() {
            self.ask(&Method::DELETE, &format!("/{name}"))
                .map_err(|error| left(error.clone()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sink_found_wrong_is_told() {
        let stats = serde_json::json!({
            "bulks": {"malformed": 0}, "malformed_documents": 3, "bytes": {"received": 7},
            "indices": {"a": {"documents": 5}},
        });
        let counts = sink_counts(&stats);
        assert_eq!(counts.indices["a"], 5);
        assert_eq!(counts.bytes, Some(7));
        assert_eq!(counts.wrong.len(), 1, "{:?}", counts.wrong);
        assert!(counts.wrong[0].starts_with("3 documents"));
    }

    #[test]
    fn targets_are_urls_without_credentials() {
        assert!(
            Target::new("localhost:9200")
                .unwrap_err()
                .contains("no URL")
        );
        let error = Target::new("http://u:p@localhost:9200").unwrap_err();
        assert!(error.contains("ELASTICSEARCH_API_KEY"), "{error}");
        let target = Target::new("https://localhost:9200/").unwrap();
        assert_eq!(target.url, "https://localhost:9200");
        assert!(target.address().unwrap_err().contains("TLS"));
    }
}
