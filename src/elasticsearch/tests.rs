//! The client against the stand-in, with its faults; against TLS; and against a real Elasticsearch where `LOGMILL_TEST_ES`
//! names one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::client::JSON;
use super::*;

/// A stand-in that runs until it is dropped.
struct Running {
    address: SocketAddr,
    stats: SinkStats,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(options: SinkOptions) -> Running {
    start_at("127.0.0.1:0".parse().unwrap(), options).await
}

async fn start_at(address: SocketAddr, options: SinkOptions) -> Running {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let sink = Sink::new(options);
    let stats = sink.stats();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(sink.serve(listener, async {
        let _ = stopped.await;
    }));
    Running {
        address,
        stats,
        stop: Some(stop),
        task,
    }
}

impl Running {
    fn client(&self) -> Client {
        Client::new(&self.config()).unwrap()
    }

    fn config(&self) -> ClientConfig {
        ClientConfig {
            hosts: vec![self.address.to_string()],
            ..ClientConfig::default()
        }
    }

    async fn end(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.task.await.unwrap().unwrap();
    }
}

fn body(index: &str, from: u32, count: u32) -> BulkBody {
    let prefix = ActionPrefix::new(
        Action::Create,
        &ActionMeta {
            index: index.as_bytes(),
            ..ActionMeta::default()
        },
    );
    let mut out = Vec::new();
    for number in from..from + count {
        prefix.write(&mut out, Some(number.to_string().as_bytes()));
        out.extend_from_slice(
            format!("{{\"n\":{number},\"message\":\"event number {number}\"}}\n").as_bytes(),
        );
    }
    BulkBody::plain(out, count)
}

fn raw(body: &BulkBody) -> Vec<u8> {
    body.payload.pieces().flatten().copied().collect()
}

fn why(result: BulkResult) -> String {
    match result {
        BulkResult::Retry { why, .. } => why,
        other => panic!("expected a retry, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulks_arrive_at_every_compression_level() {
    let sink = start(SinkOptions::default()).await;
    for level in 0..=9 {
        let client = Client::new(&ClientConfig {
            compression_level: level,
            ..sink.config()
        })
        .unwrap();
        assert_eq!(
            client.send_bulk(&body("logs", level * 5000, 5000)).await,
            BulkResult::AllOk
        );
        let packed = BulkBody::compressed(body("packed", 0, 50).payload, 50, level).unwrap();
        assert_eq!(client.send_bulk(&packed).await, BulkResult::AllOk);
    }
    let snapshot = sink.stats.snapshot();
    assert_eq!((snapshot.documents, snapshot.bulk_requests), (50_500, 20));
    assert_eq!(
        (
            snapshot.header_mismatches,
            snapshot.bulks_malformed,
            snapshot.ids_doubled
        ),
        (0, 0, 0)
    );
    assert!(snapshot.bytes_received < snapshot.bytes_checked / 2);
    assert_eq!(sink.stats.documents(), 50_500);
    sink.end().await;
}

#[tokio::test]
async fn connections_are_kept_and_bounded() {
    let sink = start(SinkOptions::default()).await;
    let (front, opened) = counting_proxy(sink.address).await;
    let config = ClientConfig {
        hosts: vec![front.to_string()],
        pool_max: 3,
        ..ClientConfig::default()
    };
    let client = Client::new(&config).unwrap();
    for round in 0..20 {
        assert_eq!(
            client.send_bulk(&body("a", round, 1)).await,
            BulkResult::AllOk
        );
    }
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    let sends: Vec<_> = (0..30)
        .map(|round| {
            let client = client.clone();
            tokio::spawn(async move { client.send_bulk(&body("b", round, 200)).await })
        })
        .collect();
    for send in sends {
        assert_eq!(send.await.unwrap(), BulkResult::AllOk);
    }
    assert!(opened.load(Ordering::Relaxed) <= 3);
}

/// Passes connections on and counts them.
async fn counting_proxy(to: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let opened = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&opened);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, opened)
}

#[tokio::test]
async fn items_get_their_own_results() {
    let sink = start(SinkOptions {
        status_429_every: Some(4),
        ids: true,
        ..SinkOptions::default()
    })
    .await;
    let client = sink.client();
    let mut text = raw(&body("a", 0, 2));
    text.extend_from_slice(b"{\"index\":{\"_index\":\"a\"}}\n{broken\n");
    text.extend(raw(&body("a", 1, 1)));
    text.extend(raw(&body("a", 5, 1)));
    let BulkResult::Items(items) = client.send_bulk(&BulkBody::plain(text, 5)).await else {
        panic!("items expected")
    };
    let policy = Policy::default();
    let outcomes: Vec<_> = items.iter().map(|item| classify(item, &policy)).collect();
    assert_eq!(outcomes[..2], [Outcome::Done, Outcome::Done]);
    assert!(
        matches!(&outcomes[2], Outcome::Refused(reason) if reason.contains("document_parsing_exception")),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[3..], [Outcome::Conflict, Outcome::Retry]);
    sink.end().await;
}

#[tokio::test]
async fn whole_refusals_are_retries_with_a_reason() {
    for (status, want) in [
        (
            503,
            "is not available (503): ordered_exception: refused as ordered",
        ),
        (429, "is overloaded (429)"),
        (401, "Elasticsearch refused user `shipper` (401)"),
        (403, "user `shipper` may not do this (403)"),
        (400, "answered 400: ordered_exception"),
    ] {
        let sink = start(SinkOptions {
            refuse_status: Some(status),
            ..SinkOptions::default()
        })
        .await;
        let auth = Auth::Basic {
            user: "shipper".into(),
            password: "hidden".into(),
        };
        let client = Client::new(&ClientConfig {
            auth,
            ..sink.config()
        })
        .unwrap();
        let result = client.send_bulk(&body("a", 0, 1)).await;
        assert!(
            matches!(&result, BulkResult::Retry { status: Some(found), .. } if *found == status),
            "{result:?}"
        );
        let text = why(result);
        assert!(
            text.contains(want)
                && !text.contains("hidden")
                && text.contains(&sink.address.to_string()),
            "{text}"
        );
        assert_eq!(sink.stats.documents(), 0);
    }
}

#[tokio::test]
async fn every_nth_fault_passes_and_the_rest_arrives() {
    let options = SinkOptions {
        fail_every: Some(3),
        ids: true,
        ..SinkOptions::default()
    };
    let sink = start(options).await;
    let client = sink.client();
    let mut retries = 0;
    for number in 0..10 {
        while !matches!(
            client.send_bulk(&body("a", number, 1)).await,
            BulkResult::AllOk
        ) {
            retries += 1;
        }
    }
    assert!(retries >= 3);
    assert_eq!(sink.stats.documents(), 10);
    sink.end().await;
}

#[tokio::test]
async fn a_lost_answer_is_a_retry_and_ids_keep_the_effect_single() {
    let sink = start(SinkOptions {
        drop_connection_every: Some(2),
        ids: true,
        ..SinkOptions::default()
    })
    .await;
    let client = sink.client();
    assert_eq!(client.send_bulk(&body("a", 0, 10)).await, BulkResult::AllOk);
    let text = why(client.send_bulk(&body("a", 10, 10)).await);
    assert!(
        text.contains("ended the connection before its answer was complete"),
        "{text}"
    );
    let BulkResult::Items(items) = client.send_bulk(&body("a", 10, 10)).await else {
        panic!("conflicts expected")
    };
    assert!(
        items
            .iter()
            .all(|item| classify(item, &Policy::default()) == Outcome::Conflict)
    );
    assert_eq!(sink.stats.documents(), 20);
}

#[tokio::test]
async fn an_answer_with_too_few_items_is_no_answer() {
    let sink = start(SinkOptions {
        short_answer_every: Some(1),
        status_429_every: Some(2),
        ..SinkOptions::default()
    })
    .await;
    let text = why(sink.client().send_bulk(&body("a", 0, 4)).await);
    assert!(text.contains("bulk of 4 items has 3 items"), "{text}");
}

#[tokio::test]
async fn too_large_bodies_are_told_apart() {
    let sink = start(SinkOptions {
        max_content_length: 10_000,
        ..SinkOptions::default()
    })
    .await;
    for level in [0, 1] {
        let client = Client::new(&ClientConfig {
            compression_level: level,
            ..sink.config()
        })
        .unwrap();
        assert_eq!(
            client.send_bulk(&body("a", 0, 1000)).await,
            BulkResult::TooLarge,
            "level {level}"
        );
        assert_eq!(
            client.send_bulk(&body("a", 0, 100)).await,
            BulkResult::AllOk
        );
    }
    assert!(bulk::too_large_reason(12).contains("12 bytes"));
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let client = Client::new(&ClientConfig {
        hosts: vec![free.to_string()],
        ..ClientConfig::default()
    })
    .unwrap();
    let text = why(client.send_bulk(&body("a", 0, 1)).await);
    assert_eq!(
        text,
        format!(
            "connection refused by http://{free}: is Elasticsearch running there? `hosts` of the elasticsearch output says where to look"
        )
    );
    assert_eq!(client.live_hosts(), 0);
    let sink = start_at(free, SinkOptions::default()).await;
    assert_eq!(
        client.send_bulk(&body("a", 0, 1)).await,
        BulkResult::AllOk,
        "the only host is tried again at once"
    );
    assert_eq!(client.live_hosts(), 1);
    sink.end().await;
    let unknown = Client::new(&ClientConfig {
        hosts: vec!["no-such-host.invalid".into()],
        ..ClientConfig::default()
    })
    .unwrap();
    let text = why(unknown.send_bulk(&body("a", 0, 1)).await);
    assert!(
        text.contains("`no-such-host.invalid`") && text.contains("spelling"),
        "{text}"
    );
}

#[tokio::test]
async fn dead_hosts_are_passed_over_and_come_back() {
    let one = start(SinkOptions::default()).await;
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let hosts = vec![one.address.to_string(), gone.to_string()];
    let client = Client::new(&ClientConfig {
        hosts,
        resurrect_delay: Duration::from_millis(50),
        ..ClientConfig::default()
    })
    .unwrap();
    for round in 0..6 {
        assert_eq!(
            client.send_bulk(&body("a", round, 1)).await,
            BulkResult::AllOk,
            "a dead host is no failure while one lives"
        );
    }
    assert_eq!((one.stats.documents(), client.live_hosts()), (6, 1));
    let two = start_at(gone, SinkOptions::default()).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while two.stats.documents() == 0 && Instant::now() < deadline {
        assert_eq!(client.send_bulk(&body("a", 0, 1)).await, BulkResult::AllOk);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(two.stats.documents() > 0, "the second host never came back");
}

#[tokio::test]
async fn a_restarted_server_costs_nothing_but_a_connection() {
    let sink = start(SinkOptions::default()).await;
    let (address, client) = (sink.address, sink.client());
    assert_eq!(client.send_bulk(&body("a", 0, 1)).await, BulkResult::AllOk);
    sink.end().await;
    let sink = start_at(address, SinkOptions::default()).await;
    assert_eq!(client.send_bulk(&body("a", 1, 1)).await, BulkResult::AllOk);
    sink.end().await;
}

#[tokio::test]
async fn slow_answers_end_at_the_limit() {
    let sink = start(SinkOptions {
        delay: Duration::from_secs(20),
        ..SinkOptions::default()
    })
    .await;
    let client = Client::new(&ClientConfig {
        timeout: Duration::from_millis(100),
        ..sink.config()
    })
    .unwrap();
    let text = why(client.send_bulk(&body("a", 0, 1)).await);
    assert!(
        text.contains("no answer from") && text.contains("within 0.1 s"),
        "{text}"
    );
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_does_not_block_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // Answers the head alone and never reads the rest.
            let mut buffer = [0u8; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream
                .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
                .await;
            open.push(stream);
        }
    });
    let hosts = vec![address.to_string()];
    let client = Client::new(&ClientConfig {
        hosts,
        compression_level: 0,
        ..ClientConfig::default()
    })
    .unwrap();
    let large = body("a", 0, 200_000);
    let started = Instant::now();
    for _ in 0..5 {
        assert!(why(client.send_bulk(&large).await).contains("(401)"));
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_no_elasticsearch_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0u8; 65536];
            let _ = stream.read(&mut buffer).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html></html")
                .await;
        }
    });
    let client = Client::new(&ClientConfig {
        hosts: vec![address.to_string()],
        ..ClientConfig::default()
    })
    .unwrap();
    assert!(why(client.send_bulk(&body("a", 0, 1)).await).contains("is that Elasticsearch?"));
    assert!(
        client
            .connect_and_check()
            .await
            .unwrap_err()
            .to_string()
            .contains("not as Elasticsearch does")
    );
}

#[tokio::test]
async fn startup_reads_the_version_and_installs_templates_once() {
    let sink = start(SinkOptions::default()).await;
    let client = sink.client();
    let info = client.connect_and_check().await.unwrap();
    assert!(
        info.genuine && info.major == 8 && info.warnings.is_empty(),
        "{info:?}"
    );
    let mut template = Template {
        name: "project logs".into(),
        body: Bytes::from_static(br#"{"index_patterns":["logs-*"],"template":{}}"#),
        overwrite: false,
        api: TemplateApi::Auto,
    };
    assert_eq!(
        client.install_template(&template, &info).await,
        Ok(TemplateOutcome::Installed)
    );
    assert_eq!(
        client.install_template(&template, &info).await,
        Ok(TemplateOutcome::AlreadyThere)
    );
    template.overwrite = true;
    assert_eq!(
        client.install_template(&template, &info).await,
        Ok(TemplateOutcome::Installed)
    );
    let listed = client
        .request(Method::GET, "/_index_template/project*", None, JSON)
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&listed.body).contains("\"name\":\"project logs\""),
        "{listed:?}"
    );
    assert!(
        TemplateOutcome::AlreadyThere
            .sentence("x")
            .contains("template_overwrite")
    );
}

#[tokio::test]
async fn the_stand_in_answers_questions() {
    let sink = start(SinkOptions::default()).await;
    let client = Client::new(&ClientConfig {
        parameters: vec![("pretty".into(), "no".into())],
        ..sink.config()
    })
    .unwrap();
    client.send_bulk(&body("logs-1", 0, 7)).await;
    client.send_bulk(&body("logs-2", 0, 2)).await;
    let get = async |path: &str| {
        let response = client.request(Method::GET, path, None, JSON).await.unwrap();
        let value: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
        (response.status, value)
    };
    assert_eq!(get("/logs-*/_count").await.1["count"], 9);
    assert_eq!(get("/logs-1,nope/_count").await.1["count"], 7);
    assert_eq!(get("/nope/_count").await.0, 404);
    assert_eq!(
        get("/_cat/indices?format=json").await.1[1]["docs.count"],
        "2"
    );
    let (_, stats) = get("/_logmill/stats").await;
    assert_eq!(
        (
            &stats["documents"],
            &stats["indices"]["logs-1"]["newest"][2]["n"]
        ),
        (&9.into(), &6.into())
    );
    assert_eq!(get("/_nothing").await.0, 400);
    assert_eq!(get("/_index_template/none").await.0, 404);
    assert_eq!(
        client
            .request(Method::HEAD, "/", None, JSON)
            .await
            .unwrap()
            .status,
        200
    );
    let typed = client
        .request(
            Method::POST,
            "/_bulk",
            Some(Bytes::from_static(b"{}\n")),
            "text/plain",
        )
        .await
        .unwrap();
    assert_eq!(typed.status, 406);
}

#[tokio::test]
async fn broken_gzip_is_refused() {
    let sink = start(SinkOptions::default()).await;
    let good = BulkBody::compressed(body("a", 0, 100).payload, 100, 6).unwrap();
    for bytes in [
        raw(&good)[..good.payload.len() / 2].to_vec(),
        b"not gzip at all".to_vec(),
    ] {
        let text = why(sink
            .client()
            .send_bulk(&BulkBody {
                payload: bytes.into(),
                ..good.clone()
            })
            .await);
        assert!(text.contains("answered 400: zip_exception"), "{text}");
    }
    assert_eq!(sink.stats.documents(), 0);
}

/// Certificates made with openssl: a CA, a server certificate from it, and a self-signed one.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let run = |line: &str| {
            let mut command = Command::new("openssl");
            command
                .args(line.split(' '))
                .current_dir(folder.path())
                .output()
                .is_ok_and(|output| output.status.success())
        };
        std::fs::write(
            folder.path().join("san"),
            "subjectAltName=IP:127.0.0.1,DNS:localhost\n",
        )
        .unwrap();
        let good = run(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem",
        ) && run(
            "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
        ) && run(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem",
        ) && run(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout self.key -out self.pem",
        );
        good.then_some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fingerprint(&self, name: &str) -> String {
        let line = format!("x509 -in {name} -noout -fingerprint -sha256");
        let output = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .rsplit('=')
            .next()
            .unwrap()
            .to_owned()
    }
}

/// A TLS front for a plain server.
async fn tls_front(to: SocketAddr, chain: &[&Path], key: &Path) -> SocketAddr {
    let chain = chain
        .iter()
        .map(|file| CertificateDer::from_pem_file(file).unwrap())
        .collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn tls_trusts_whom_it_is_told_to_and_nobody_else() {
    let Some(certificates) = Certificates::make() else {
        eprintln!("skipped: no openssl");
        return;
    };
    let sink = start(SinkOptions::default()).await;
    let (ca, server) = (certificates.path("ca.pem"), certificates.path("server.pem"));
    let signed = tls_front(
        sink.address,
        &[&server, &ca],
        &certificates.path("server.key"),
    )
    .await;
    let own = certificates.path("self.pem");
    let selfsigned = tls_front(sink.address, &[&own], &certificates.path("self.key")).await;
    let attempt = async |host: String, tls: TlsOptions| {
        let client = Client::new(&ClientConfig {
            hosts: vec![format!("https://{host}")],
            tls,
            ..ClientConfig::default()
        })
        .unwrap();
        client.send_bulk(&body("tls", 0, 3)).await
    };
    let with_ca = |file: &Path| TlsOptions {
        certificate_authorities: vec![file.to_owned()],
        ..TlsOptions::default()
    };
    let with_print = |name: &str| TlsOptions {
        ca_trusted_fingerprint: vec![certificates.fingerprint(name)],
        ..TlsOptions::default()
    };
    let blind = TlsOptions {
        verification: VerificationMode::None,
        ..TlsOptions::default()
    };

    assert_eq!(
        attempt(signed.to_string(), with_ca(&ca)).await,
        BulkResult::AllOk
    );
    assert_eq!(
        attempt(signed.to_string(), with_print("ca.pem")).await,
        BulkResult::AllOk
    );
    assert_eq!(
        attempt(selfsigned.to_string(), with_ca(&own)).await,
        BulkResult::AllOk
    );
    assert_eq!(
        attempt(selfsigned.to_string(), with_print("self.pem")).await,
        BulkResult::AllOk
    );
    assert_eq!(
        attempt(selfsigned.to_string(), blind).await,
        BulkResult::AllOk
    );

    for untrusted in [with_ca(&own), with_print("self.pem")] {
        let text = why(attempt(signed.to_string(), untrusted).await);
        assert!(
            text.contains("not trusted here") && text.contains("ssl_certificate_authorities"),
            "{text}"
        );
    }
    let other_name = format!("localhost:{}", selfsigned.port());
    for named in [with_ca(&own), with_print("self.pem")] {
        let text = why(attempt(other_name.clone(), named).await);
        assert!(text.contains("another name"), "{text}");
    }
    let text = why(attempt(sink.address.to_string(), with_ca(&ca)).await);
    assert!(
        text.contains("does not speak TLS") || text.contains("does it speak TLS"),
        "{text}"
    );
    let plain = Client::new(&ClientConfig {
        hosts: vec![signed.to_string()],
        ..ClientConfig::default()
    })
    .unwrap();
    let text = why(plain.send_bulk(&body("tls", 0, 1)).await);
    assert!(text.contains("https://"), "{text}");
}

#[path = "real_tests.rs"]
mod real;
