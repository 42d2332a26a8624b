//! A small HTTP/1.1 client for Elasticsearch: pooled keep-alive connections, live and dead hosts, gzip, time limits.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
};
use hyper::{Method, Request};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::config::{self, ClientConfig, ConfigError, Resolved};
use super::payload::Payload;
use super::pool::{self, Host, Link};
use super::tls;

/// Content type of everything that is sent.
pub const JSON: &str = "application/json";
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Bodies shorter than this are sent as they are: gzip would save nothing.
const GZIP_FROM: usize = 1024;
/// A body this short is with the server, even when it refused the request early.
const SURELY_READ: usize = 16 * 1024;
/// Bodies longer than this are compressed off the I/O threads.
const GZIP_ASIDE_FROM: usize = 64 * 1024;

/// Why a request got no answer. Each is a sentence that names host, cause and remedy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TransportError {
    /// Nothing listens there.
    #[error(
        "connection refused by {host}: is Elasticsearch running there? `hosts` of the elasticsearch output says where to look"
    )]
    Refused {
        /// Scheme, host and port.
        host: String,
    },
    /// The host's name has no address.
    #[error(
        "cannot find the address of `{host}` ({cause}): check the spelling in `hosts` and this machine's name service"
    )]
    Name {
        /// Name of the host.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// TCP could not connect for another reason.
    #[error("cannot connect to {host} ({cause}): check `hosts`, routes and firewalls")]
    Connect {
        /// Scheme, host and port.
        host: String,
        /// What the operating system said.
        cause: String,
    },
    /// Look-up, TCP and TLS took too long.
    #[error("no connection to {host} within {seconds} s: check `hosts`, routes and firewalls")]
    ConnectTimeout {
        /// Scheme, host and port.
        host: String,
        /// The limit that passed.
        seconds: f32,
    },
    /// The TLS handshake failed; the sentence says why and what to do.
    #[error("{sentence}")]
    Tls {
        /// Scheme, host and port.
        host: String,
        /// Cause and remedy.
        sentence: String,
    },
    /// The answer did not come in time.
    #[error(
        "no answer from {host} within {seconds} s: is it overloaded? `timeout` of the elasticsearch output sets the limit"
    )]
    Timeout {
        /// Scheme, host and port.
        host: String,
        /// The limit that passed.
        seconds: f32,
    },
    /// The connection ended before the answer was complete.
    #[error(
        "{host} ended the connection before its answer was complete ({cause}): was it restarted, or does it expect https:// in `hosts`?"
    )]
    Broken {
        /// Scheme, host and port.
        host: String,
        /// What went wrong.
        cause: String,
    },
    /// The answer is longer than any that can be meant.
    #[error("the answer of {host} is longer than {limit} bytes: is that Elasticsearch?")]
    AnswerTooLong {
        /// Scheme, host and port.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The request itself could not be put together.
    #[error("cannot make a request of {what}: {cause}")]
    Malformed {
        /// The path or header at fault.
        what: String,
        /// Why.
        cause: String,
    },
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Body of the answer.
    pub body: Bytes,
    /// Scheme, host and port that answered.
    pub host: String,
}

/// A client of one cluster. Cheap to clone; its clones share connections. Must be used inside a tokio runtime.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    hosts: Vec<Host>,
    tls: Option<tokio_rustls::TlsConnector>,
    resolved: Resolved,
    connect_timeout: Duration,
    timeout: Duration,
    resurrect_delay: Duration,
    pub compression_level: u32,
    /// Bounds the connections to all hosts together.
    connections: Semaphore,
    /// Where the round over the hosts goes on.
    turn: AtomicUsize,
    /// Zero of the clock that dead hosts are timed with.
    started: Instant,
    /// Serverless clusters ask for a version header.
    pub serverless: AtomicBool,
}

/// What to send: one request, for any host.
pub(super) struct Call<'a> {
    pub method: Method,
    /// Path with query, starting with `/`; `path` and `parameters` of the configuration are added.
    pub path: &'a str,
    pub body: Option<Payload>,
    pub gzipped: bool,
    pub content_type: &'a str,
    pub headers: &'a [(HeaderName, HeaderValue)],
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.hosts()).finish()
    }
}

impl Client {
    /// Checks `config`, reads the files it names, and prepares everything; connects to nothing yet.
    ///
    /// # Errors
    /// The first option that cannot work, with its remedy.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        let mut resolved = config::resolve(config)?;
        let with_tls = resolved.endpoints.iter().any(|endpoint| endpoint.tls);
        let tls = if with_tls {
            Some(tokio_rustls::TlsConnector::from(tls::client_config(
                &config.tls,
            )?))
        } else {
            None
        };
        let hosts = std::mem::take(&mut resolved.endpoints)
            .into_iter()
            .map(|endpoint| Host::new(endpoint, config.pool_max_per_route))
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                hosts,
                tls,
                resolved,
                connect_timeout: config.connect_timeout,
                timeout: config.timeout,
                resurrect_delay: config.resurrect_delay,
                compression_level: config.compression_level,
                connections: Semaphore::new(config.pool_max.min(Semaphore::MAX_PERMITS)),
                turn: AtomicUsize::new(0),
                started: Instant::now(),
                serverless: AtomicBool::new(false),
            }),
        })
    }

    /// Scheme, host and port of every host, in the order of the configuration; no credentials.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.inner
            .hosts
            .iter()
            .map(|host| host.endpoint.shown.as_str())
    }

    /// Hosts that answered last time they were asked, or were never asked.
    #[must_use]
    pub fn live_hosts(&self) -> usize {
        self.inner
            .hosts
            .iter()
            .filter(|host| host.dead_until_ms() == 0)
            .count()
    }

    /// Path of bulk requests, as configured.
    #[must_use]
    pub fn bulk_path(&self) -> &str {
        &self.inner.resolved.bulk_path
    }

    /// Sends one request to a live host and reads its answer. `path_and_query` starts with `/`.
    ///
    /// # Errors
    /// When no host could be reached, or the answer did not come whole and in time. An answer with an error status is an answer.
    pub async fn request(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Bytes>,
        content_type: &str,
    ) -> Result<Response, TransportError> {
        let call = Call {
            method,
            path: path_and_query,
            body: body.map(Payload::from),
            gzipped: false,
            content_type,
            headers: &[],
        };
        self.exchange(&call).await?.collect().await
    }

    /// One sentence about an answer that is no success: who refused what, and the remedy.
    #[must_use]
    pub fn explain(&self, host: &str, status: u16, body: &[u8]) -> String {
        let reason = error_reason(body);
        let login = &self.inner.resolved.login;
        match status {
            401 => format!(
                "Elasticsearch refused {login} (401) at {host}: check `user`/`password` or `api_key`"
            ),
            403 => format!(
                "{login} may not do this (403) at {host}: {reason}; give its role the privilege"
            ),
            413 => format!(
                "the request is larger than {host} takes (413): raise `http.max_content_length` there, or send smaller batches"
            ),
            429 => format!("{host} is overloaded (429): {reason}"),
            502..=504 => format!("{host} is not available ({status}): {reason}"),
            _ => format!("{host} answered {status}: {reason}"),
        }
    }

    /// Sends `call` to the best host, or to the next one where no connection could be made.
    pub(super) async fn exchange(&self, call: &Call<'_>) -> Result<Reply<'_>, TransportError> {
        let inner = &*self.inner;
        let permit = inner.connections.acquire().await.ok();
        let call = inner.compressed(call).await?;
        let mut tried = Vec::new();
        let mut last = None;
        while let Some(index) = self.pick(&tried) {
            let Some(host) = inner.hosts.get(index) else {
                break;
            };
            let mut lease = Lease::new(host);
            lease.route = host.route.acquire().await.ok();
            match inner.attempt(&mut lease, &call).await {
                Ok((response, deadline)) => {
                    if host.mark_live() {
                        log::info!("{} is back", host.endpoint.shown);
                    }
                    return Ok(Reply {
                        response,
                        lease,
                        deadline,
                        limit: inner.timeout,
                        _permit: permit,
                    });
                }
                Err(Failure { error, sent }) => {
                    host.mark_dead(inner.now_ms() + inner.resurrect_ms());
                    if sent || matches!(error, TransportError::Malformed { .. }) {
                        return Err(error);
                    }
                    last = Some(error);
                    tried.push(index);
                }
            }
        }
        Err(last.unwrap_or(TransportError::Malformed {
            what: "`hosts`".to_owned(),
            cause: "it is empty".to_owned(),
        }))
    }

    /// The least used live host that was not tried, in turn; else the dead one whose time comes first.
    fn pick(&self, tried: &[usize]) -> Option<usize> {
        let hosts = &self.inner.hosts;
        let start = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let mut live: Option<(usize, usize)> = None;
        let mut dead: Option<(u64, usize)> = None;
        for step in 0..hosts.len() {
            let index = start.wrapping_add(step) % hosts.len();
            let Some(host) = hosts.get(index).filter(|_| !tried.contains(&index)) else {
                continue;
            };
            let until = host.dead_until_ms();
            if until == 0 {
                let load = host.in_flight.load(Ordering::Relaxed);
                if live.is_none_or(|(least, _)| load < least) {
                    live = Some((load, index));
                }
            } else {
                self.probe_if_due(index, until);
                if dead.is_none_or(|(first, _)| until < first) {
                    dead = Some((until, index));
                }
            }
        }
        live.map(|(_, index)| index)
            .or(dead.map(|(_, index)| index))
    }

    /// Asks a dead host in the background whether it lives again, once per `resurrect_delay`; no request waits for it.
    fn probe_if_due(&self, index: usize, until_ms: u64) {
        let now = self.inner.now_ms();
        let Some(host) = self
            .inner
            .hosts
            .get(index)
            .filter(|_| self.inner.hosts.len() > 1 && until_ms <= now)
        else {
            return;
        };
        if !host.claim_probe(until_ms, now + self.inner.resurrect_ms()) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let Some(host) = inner.hosts.get(index) else {
                return;
            };
            let call = Call {
                method: Method::HEAD,
                path: &inner.resolved.healthcheck_path,
                body: None,
                gzipped: false,
                content_type: JSON,
                headers: &[],
            };
            let mut lease = Lease::new(host);
            let answered = inner.attempt(&mut lease, &call).await;
            if answered.is_ok_and(|(response, _)| response.status().as_u16() < 500)
                && host.mark_live()
            {
                log::info!("{} is back", host.endpoint.shown);
            }
        });
    }
}

struct Failure {
    error: TransportError,
    /// The host may have acted on the request, so that no other host must be asked in its place.
    sent: bool,
}

impl Inner {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn resurrect_ms(&self) -> u64 {
        u64::try_from(self.resurrect_delay.as_millis())
            .unwrap_or(u64::MAX / 2)
            .min(u64::MAX / 2)
    }

    /// `call` with its body compressed as the configuration says.
    async fn compressed<'a>(&self, call: &Call<'a>) -> Result<Call<'a>, TransportError> {
        let mut call = Call {
            method: call.method.clone(),
            path: call.path,
            body: call.body.clone(),
            gzipped: call.gzipped,
            content_type: call.content_type,
            headers: call.headers,
        };
        let Some(plain) = call
            .body
            .take_if(|body| !call.gzipped && self.compression_level > 0 && body.len() >= GZIP_FROM)
        else {
            return Ok(call);
        };
        let level = self.compression_level;
        let packed = if plain.len() > GZIP_ASIDE_FROM {
            tokio::task::spawn_blocking(move || gzip(&plain, level))
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        } else {
            gzip(&plain, level)
        };
        let packed = packed.map_err(|error| TransportError::Malformed {
            what: "a compressed body".to_owned(),
            cause: error.to_string(),
        })?;
        call.body = Some(Payload::from(packed));
        call.gzipped = true;
        Ok(call)
    }

    /// Sends on an idle connection, or on a new one; a connection that the server closed meanwhile costs one more try.
    async fn attempt(
        &self,
        lease: &mut Lease<'_>,
        call: &Call<'_>,
    ) -> Result<(hyper::Response<Incoming>, tokio::time::Instant), Failure> {
        let endpoint = &lease.host.endpoint;
        let not_sent = |error| Failure { error, sent: false };
        let mut request = self.build(lease.host, call).map_err(not_sent)?;
        let deadline = tokio::time::Instant::now() + self.timeout;
        loop {
            let kept = lease.host.take_idle();
            let reused = kept.is_some();
            let mut link = match kept {
                Some(link) => link,
                None => pool::connect(endpoint, self.tls.as_ref(), self.connect_timeout)
                    .await
                    .map_err(not_sent)?,
            };
            if !link.is_ready().await {
                if reused {
                    continue;
                }
                return Err(not_sent(TransportError::Broken {
                    host: endpoint.shown.clone(),
                    cause: "closed at once".to_owned(),
                }));
            }
            match tokio::time::timeout_at(deadline, link.send(request)).await {
                Ok(Ok(response)) => {
                    lease.link = Some(link);
                    lease.sent_bytes = call.body.as_ref().map_or(0, Payload::len);
                    return Ok((response, deadline));
                }
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    unsent => {
                        let cause = sentence_of(error.error());
                        return Err(Failure {
                            error: TransportError::Broken {
                                host: endpoint.shown.clone(),
                                cause,
                            },
                            sent: unsent.is_none(),
                        });
                    }
                },
                Err(_) => {
                    return Err(Failure {
                        error: timed_out(lease.host, self.timeout),
                        sent: true,
                    });
                }
            }
        }
    }

    fn build(&self, host: &Host, call: &Call<'_>) -> Result<Request<Payload>, TransportError> {
        let endpoint = &host.endpoint;
        let mut target = String::with_capacity(
            endpoint.prefix.len() + call.path.len() + self.resolved.query.len() + 1,
        );
        target.push_str(&endpoint.prefix);
        target.push_str(call.path);
        if !self.resolved.query.is_empty() {
            target.push(if call.path.contains('?') { '&' } else { '?' });
            target.push_str(&self.resolved.query);
        }
        let malformed = |cause: String| TransportError::Malformed {
            what: call.path.to_owned(),
            cause,
        };
        let mut request = Request::new(call.body.clone().unwrap_or_default());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = target
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| malformed(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(HOST, endpoint.host_header.clone());
        for (name, value) in &self.resolved.headers {
            headers.insert(name, value.clone());
        }
        if let Some(authorization) = &endpoint.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if call.body.is_some() {
            let content_type = HeaderValue::from_str(call.content_type)
                .map_err(|error| malformed(error.to_string()))?;
            headers.insert(CONTENT_TYPE, content_type);
        }
        if call.gzipped {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if self.serverless.load(Ordering::Relaxed) {
            headers.insert(
                HeaderName::from_static("elastic-api-version"),
                HeaderValue::from_static("2023-10-31"),
            );
        }
        for (name, value) in call.headers {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }
}

fn timed_out(host: &Host, limit: Duration) -> TransportError {
    TransportError::Timeout {
        host: host.endpoint.shown.clone(),
        seconds: limit.as_secs_f32(),
    }
}

/// An error with its causes in one line: hyper hides what the operating system said one level down.
fn sentence_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The right to use one connection of a host; counts as load until dropped.
struct Lease<'a> {
    host: &'a Host,
    link: Option<Link>,
    /// Length of the request's body.
    sent_bytes: usize,
    route: Option<SemaphorePermit<'a>>,
}

impl<'a> Lease<'a> {
    fn new(host: &'a Host) -> Self {
        host.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            host,
            link: None,
            sent_bytes: 0,
            route: None,
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.host.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer whose body is still to be read.
pub(super) struct Reply<'a> {
    response: hyper::Response<Incoming>,
    lease: Lease<'a>,
    deadline: tokio::time::Instant,
    limit: Duration,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Reply<'_> {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub fn host_shown(&self) -> &str {
        &self.lease.host.endpoint.shown
    }

    /// The next piece of the body; `None` at its end, when the connection has gone back to the pool.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, TransportError> {
        loop {
            let next = self.response.body_mut().frame();
            let Ok(frame) = tokio::time::timeout_at(self.deadline, next).await else {
                return Err(timed_out(self.lease.host, self.limit));
            };
            match frame {
                None => {
                    self.give_back();
                    return Ok(None);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(TransportError::Broken {
                        host: self.host_shown().to_owned(),
                        cause: sentence_of(&error),
                    });
                }
            }
        }
    }

    /// Keeps the connection for the next request, unless the server may have refused without reading all of this one.
    fn give_back(&mut self) {
        let read_whole = self.status() < 400 || self.lease.sent_bytes < SURELY_READ;
        if let Some(link) = self.lease.link.take_if(|_| read_whole) {
            self.lease.host.keep(link);
        }
    }

    /// Reads the body to its end and appends it to `body`.
    pub async fn read_rest(&mut self, mut body: BytesMut) -> Result<Bytes, TransportError> {
        while let Some(more) = self.chunk().await? {
            if body.len() + more.len() > MAX_ANSWER {
                return Err(TransportError::AnswerTooLong {
                    host: self.host_shown().to_owned(),
                    limit: MAX_ANSWER,
                });
            }
            body.extend_from_slice(&more);
        }
        Ok(body.freeze())
    }

    async fn collect(mut self) -> Result<Response, TransportError> {
        let body = self.read_rest(BytesMut::new()).await?;
        Ok(Response {
            status: self.status(),
            headers: self.headers().clone(),
            body,
            host: self.host_shown().to_owned(),
        })
    }
}

/// gzip of `plain` at `level` (0 to 9).
///
/// # Errors
/// Only what the compressor itself reports.
pub fn gzip(plain: &Payload, level: u32) -> std::io::Result<Vec<u8>> {
    let room = plain.len() / 4 + 64;
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(room), flate2::Compression::new(level));
    for piece in plain.pieces() {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}

/// The reason in Elasticsearch's error answer, or the beginning of whatever came, on one line.
pub(super) fn error_reason(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let error = parsed.as_ref().and_then(|answer| answer.get("error"));
    let reason = error.and_then(|error| {
        let text = error
            .get("reason")
            .or(Some(error))
            .and_then(serde_json::Value::as_str)?;
        Some(
            match error.get("type").and_then(serde_json::Value::as_str) {
                Some(kind) => format!("{kind}: {text}"),
                None => text.to_owned(),
            },
        )
    });
    reason.unwrap_or_else(|| {
        let start: String = String::from_utf8_lossy(body)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(200)
            .collect();
        if start.is_empty() {
            "no reason given".to_owned()
        } else {
            start
        }
    })
}
