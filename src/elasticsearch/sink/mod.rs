//! An Elasticsearch stand-in: takes bulks over HTTP/1.1, checks every byte of them, and keeps counts instead of documents.
//!
//! It answers what a shipper and a curious user ask: `GET /`, bulks, templates, counts per index, the newest documents.
//! It maps, searches and stores nothing. Faults can be ordered, so that retries and splits can be tested.

mod action_line;
mod bulk;
mod routes;
mod store;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

pub use store::{IndexStats, SinkStats, Snapshot};

use routes::Connection;
use store::Store;

/// Largest read buffer of a connection, in bytes: large pieces keep the validator in one go, small ones keep it in cache.
const READ_BUFFER: usize = 256 * 1024;
/// Connections served at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long requests under way may go on after the shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// What a [`Sink`] does besides taking everything that is right. All faults are off by default.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Remember all ids: `create` of a known one is answered with 409.
    pub ids: bool,
    /// Most ids remembered; later ones are counted, not checked. 16 bytes each, and as much again for the table.
    pub max_ids: usize,
    /// Most indices; a bulk that would make another is refused as Elasticsearch refuses too many shards.
    pub max_indices: usize,
    /// Largest body in bytes, compressed or not; longer ones are answered with 413.
    pub max_content_length: u64,
    /// Newest documents kept per index.
    pub newest: usize,
    /// Every bulk is answered with this HTTP status, unread.
    pub refuse_status: Option<u16>,
    /// Every n-th bulk is answered with HTTP 503, nothing of it is taken.
    pub fail_every: Option<u64>,
    /// Every n-th item is answered with 429.
    pub status_429_every: Option<u64>,
    /// Every n-th item is answered with 400.
    pub status_400_every: Option<u64>,
    /// Every n-th bulk is taken, but its connection is closed without an answer.
    pub drop_connection_every: Option<u64>,
    /// Every n-th bulk that has errors or not is answered with one item too few.
    pub short_answer_every: Option<u64>,
    /// Pause before each answer to a bulk.
    pub delay: Duration,
    /// Bytes of bulk bodies read per second and connection.
    pub slow: Option<u64>,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            ids: false,
            max_ids: 50_000_000,
            max_indices: 1000,
            max_content_length: 100 * 1024 * 1024,
            newest: 3,
            refuse_status: None,
            fail_every: None,
            status_429_every: None,
            status_400_every: None,
            drop_connection_every: None,
            short_answer_every: None,
            delay: Duration::ZERO,
            slow: None,
        }
    }
}

/// The stand-in server. Take a [`stats`](Self::stats) handle, then [`serve`](Self::serve).
pub struct Sink {
    store: Arc<Store>,
}

impl Sink {
    /// A server that has taken nothing yet.
    #[must_use]
    pub fn new(options: SinkOptions) -> Self {
        Self {
            store: Arc::new(Store::new(options)),
        }
    }

    /// A handle to its counts that lives as long as it is held. Cheap to clone and to read.
    #[must_use]
    pub fn stats(&self) -> SinkStats {
        SinkStats::new(Arc::clone(&self.store))
    }

    /// Serves until `shutdown` is ready, then lets requests under way end (2 s at most).
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let (stop, stopping) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::pin!(shutdown);
        loop {
            let slot = Arc::clone(&slots).acquire_owned();
            let accepted = async {
                let slot = slot.await;
                (listener.accept().await, slot)
            };
            tokio::select! {
                () = &mut shutdown => break,
                (accepted, slot) = accepted => match accepted {
                    Ok((stream, peer)) => {
                        let connection = serve_connection(stream, peer, Arc::clone(&self.store), stopping.clone());
                        tokio::spawn(async move { connection.await; drop(slot) });
                    }
                    Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => return Err(error),
                },
            }
        }
        drop(listener);
        let _ = stop.send(true);
        // Each connection holds a slot: all slots free means that all are done.
        let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(DRAIN, slots.acquire_many(all)).await;
        Ok(())
    }
}

/// Whether `accept` may work again: the client left early, or file descriptors are short.
fn is_passing(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    store: Arc<Store>,
    mut stopping: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("no TCP_NODELAY for {peer}: {error}");
    }
    let state = Arc::new(Connection::new(store));
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { state.answer(request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        log::debug!("connection of {peer} ended: {error}");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop too.
    drop(stopping.wait_for(|stop| *stop).await);
}

/// An error of a service that ends its connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped as ordered")]
pub(super) struct DropConnection;
