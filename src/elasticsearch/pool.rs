//! Connections to one host: made, kept while idle, given out again, and the host's health.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::client::TransportError;
use super::config::Endpoint;
use super::payload::Payload;
use super::tls;

/// An open connection. Dropped, it is closed at once, whatever is still on its way.
pub(super) struct Link {
    sender: http1::SendRequest<Payload>,
    task: AbortHandle,
}

impl Link {
    /// Waits until the connection takes a request; false when it never will.
    ///
    /// The wait is bounded, because a server that answered early may have stopped reading what was sent before.
    pub async fn is_ready(&mut self) -> bool {
        tokio::time::timeout(READY_LIMIT, self.sender.ready())
            .await
            .is_ok_and(|ready| ready.is_ok())
    }

    /// Sends a request; the error gives it back when nothing of it was sent.
    pub async fn send(
        &mut self,
        request: Request<Payload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Payload>>> {
        self.sender.try_send_request(request).await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An idle connection older than this is closed rather than trusted: proxies forget silently.
const IDLE_LIMIT: Duration = Duration::from_secs(55);
/// Silence after which the kernel asks whether the peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a kept connection may take to become ready.
const READY_LIMIT: Duration = Duration::from_secs(1);
/// Largest read buffer of a connection, in bytes.
const READ_BUFFER: usize = 512 * 1024;

struct Idle {
    link: Link,
    since: Instant,
}

/// One host with its connections and its health.
pub(super) struct Host {
    pub endpoint: Endpoint,
    /// Bounds the connections of this host.
    pub route: Semaphore,
    /// Requests under way; the least used host is taken first.
    pub in_flight: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    /// 0 for a live host, else the time (ms of the client's clock) from which it may be tried again.
    dead_until_ms: AtomicU64,
}

impl Host {
    pub fn new(endpoint: Endpoint, connections: usize) -> Self {
        Self {
            endpoint,
            route: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)),
            in_flight: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
            dead_until_ms: AtomicU64::new(0),
        }
    }

    /// 0 when live, else when to try again.
    pub fn dead_until_ms(&self) -> u64 {
        self.dead_until_ms.load(Ordering::Relaxed)
    }

    /// Claims the right to probe a dead host whose time came: true for one caller only.
    pub fn claim_probe(&self, seen_ms: u64, next_ms: u64) -> bool {
        self.dead_until_ms
            .compare_exchange(
                seen_ms,
                next_ms.max(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Marks the host dead until then; idle connections go, they lead to the same trouble.
    pub fn mark_dead(&self, until_ms: u64) {
        self.dead_until_ms.store(until_ms.max(1), Ordering::Relaxed);
        self.idle_list().clear();
    }

    /// True when the host was dead.
    pub fn mark_live(&self) -> bool {
        self.dead_until_ms.swap(0, Ordering::Relaxed) != 0
    }

    /// The idle connection used last, if it still stands.
    pub fn take_idle(&self) -> Option<Link> {
        let mut idle = self.idle_list();
        while let Some(Idle { link, since }) = idle.pop() {
            if !link.sender.is_closed() && since.elapsed() < IDLE_LIMIT {
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub fn keep(&self, link: Link) {
        if !link.sender.is_closed() {
            let mut idle = self.idle_list();
            idle.retain(|kept| !kept.link.sender.is_closed() && kept.since.elapsed() < IDLE_LIMIT);
            idle.push(Idle {
                link,
                since: Instant::now(),
            });
        }
    }

    fn idle_list(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Opens a connection: name look-up, TCP, TLS where the endpoint wants it, all within `limit`.
pub(super) async fn connect(
    endpoint: &Endpoint,
    tls: Option<&tokio_rustls::TlsConnector>,
    limit: Duration,
) -> Result<Link, TransportError> {
    match tokio::time::timeout(limit, open(endpoint, tls)).await {
        Ok(result) => result,
        Err(_) => Err(TransportError::ConnectTimeout {
            host: endpoint.shown.clone(),
            seconds: limit.as_secs_f32(),
        }),
    }
}

async fn open(
    endpoint: &Endpoint,
    tls: Option<&tokio_rustls::TlsConnector>,
) -> Result<Link, TransportError> {
    let stream = open_tcp(endpoint).await?;
    let (Some(connector), Some(name)) =
        (tls.filter(|_| endpoint.tls), endpoint.server_name.clone())
    else {
        return handshake(endpoint, TokioIo::new(stream)).await;
    };
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| TransportError::Tls {
            host: endpoint.shown.clone(),
            sentence: match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                Some(inner) => tls::explain(inner, &endpoint.shown),
                None => format!(
                    "{} ended the TLS handshake ({error}): does it speak TLS on this port?",
                    endpoint.shown
                ),
            },
        })?;
    handshake(endpoint, TokioIo::new(stream)).await
}

async fn open_tcp(endpoint: &Endpoint) -> Result<TcpStream, TransportError> {
    let found: Vec<_> = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map(Iterator::collect)
        .map_err(|error| TransportError::Name {
            host: endpoint.host.clone(),
            cause: error.to_string(),
        })?;
    if found.is_empty() {
        return Err(TransportError::Name {
            host: endpoint.host.clone(),
            cause: "no address".to_owned(),
        });
    }
    let stream = TcpStream::connect(found.as_slice())
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => TransportError::Refused {
                host: endpoint.shown.clone(),
            },
            _ => TransportError::Connect {
                host: endpoint.shown.clone(),
                cause: error.to_string(),
            },
        })?;
    // Neither option is worth failing a connection for.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("no TCP_NODELAY towards {}: {error}", endpoint.shown);
    }
    let keepalive = socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
        log::debug!("no TCP keep-alive towards {}: {error}", endpoint.shown);
    }
    Ok(stream)
}

async fn handshake<Io>(endpoint: &Endpoint, io: Io) -> Result<Link, TransportError>
where
    Io: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .handshake(io)
        .await
        .map_err(|error| TransportError::Connect {
            host: endpoint.shown.clone(),
            cause: error.to_string(),
        })?;
    let shown = endpoint.shown.clone();
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("connection to {shown} ended: {error}");
        }
    });
    Ok(Link {
        sender,
        task: task.abort_handle(),
    })
}
