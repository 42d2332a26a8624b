//! The HTTP API: metrics, liveness, and Logstash's base information.

mod metrics;
mod process;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use metrics::render as render_metrics;

use crate::pipeline::Shared;

/// Connections served at once.
const MAX_CONNECTIONS: usize = 64;

struct Api {
    shared: Arc<Shared>,
    pipeline: String,
    name: String,
    address: SocketAddr,
}

/// Binds the first free port of `port` (a number or `first-last`) and serves until the runtime ends.
///
/// # Errors
/// A sentence, when no port is free or the setting makes no sense.
pub async fn serve(
    host: &str,
    port: &str,
    pipeline: &str,
    name: &str,
    shared: Arc<Shared>,
) -> Result<SocketAddr, String> {
    let (first, last) = port.split_once('-').unwrap_or((port, port));
    let parse = |text: &str| {
        text.trim()
            .parse::<u16>()
            .map_err(|_| format!("`api.http.port` cannot be `{port}`"))
    };
    let mut listener = Err(format!("`api.http.port` cannot be `{port}`"));
    for number in parse(first)?..=parse(last)? {
        match TcpListener::bind((host, number)).await {
            Ok(bound) => {
                listener = Ok(bound);
                break;
            }
            Err(error) => {
                listener = Err(format!(
                    "cannot listen on {host}:{port}: {error}; set `api.http.port` or `api.http.host`"
                ));
            }
        }
    }
    let listener = listener?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let api = Arc::new(Api {
        shared,
        pipeline: pipeline.to_owned(),
        name: name.to_owned(),
        address,
    });
    tokio::spawn(accept(listener, api));
    Ok(address)
}

async fn accept(listener: TcpListener, api: Arc<Api>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(answer(&api, &request)) }
            });
            // A client that goes away in the middle is no event worth a line.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .header_read_timeout(std::time::Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(slot);
        });
    }
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn answer<B>(api: &Api, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return reply(
            StatusCode::METHOD_NOT_ALLOWED,
            JSON,
            api.error(request.uri().path(), 405, "Method Not Allowed"),
        );
    }
    match request.uri().path() {
        "/" => reply(StatusCode::OK, JSON, api.base()),
        "/metrics" => reply(
            StatusCode::OK,
            TEXT,
            metrics::render(&api.shared, &api.pipeline),
        ),
        "/health/live" => reply(StatusCode::OK, JSON, "{\"status\":\"alive\"}".to_owned()),
        path => reply(
            StatusCode::NOT_FOUND,
            JSON,
            api.error(path, 404, "Not Found"),
        ),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl Api {
    fn base(&self) -> String {
        let options = &self.shared.options;
        serde_json::json!({
            "host": crate::inputs::hostname(),
            "version": env!("CARGO_PKG_VERSION"),
            "http_address": self.address.to_string(),
            "id": self.name,
            "name": self.name,
            "ephemeral_id": format!("{:08x}-{}", std::process::id(), self.pipeline),
            "snapshot": false,
            "status": "green",
            "pipeline": {
                "workers": options.workers,
                "batch_size": options.batch_records.unwrap_or(125),
                "batch_delay": 50,
            },
        })
        .to_string()
    }

    #[allow(clippy::unused_self)]
    fn error(&self, path: &str, status: u16, message: &str) -> String {
        serde_json::json!({"path": path, "status": status, "error": {"message": message}})
            .to_string()
    }
}
