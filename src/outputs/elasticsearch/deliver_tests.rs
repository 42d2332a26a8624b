//! Delivery against a server that answers as it is told.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::super::flow::{FIRST, LEAST, MOST};
use super::*;
use crate::delivery::Outcome::{Indexed, SetAside};
use crate::language::{ParseOptions, SourceMap};
use crate::plan::{PlanOptions, compile};
use crate::plugin::{Output, Settings};

/// What the server makes of a bulk: status, answer, and how long it takes.
struct Reply(u16, String, Duration);

fn all_taken() -> Reply {
    Reply(
        200,
        r#"{"took":1,"errors":false}"#.to_owned(),
        Duration::ZERO,
    )
}

/// A bulk that came in.
#[derive(Clone, Copy, Debug)]
struct Asked {
    bytes: usize,
    items: usize,
    /// Bulks that waited for their answers then, this one included.
    under_way: usize,
}

/// The judge, what was asked, and how much of it is under way.
type State = (Box<Judge>, Arc<Mutex<Vec<Asked>>>, AtomicUsize);
type Judge = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// A server that has `judge` decide about each bulk, by its number and its text, and remembers what it was asked.
struct Fake {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    async fn start(judge: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Fake {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let state = Arc::new((
            Box::new(judge) as Box<Judge>,
            Arc::clone(&fake.asked),
            AtomicUsize::new(0),
        ));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                let service = service_fn(move |request| Self::answer(Arc::clone(&state), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        fake
    }

    async fn answer(
        state: Arc<State>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (judge, asked, under_way) = &*state;
        let bulk = request.uri().path() == "/_bulk";
        let body = request.into_body().collect().await?.to_bytes();
        let Reply(status, text, delay) = if bulk {
            let text = std::str::from_utf8(&body).unwrap();
            let number = {
                let mut asked = lock(asked);
                asked.push(Asked {
                    bytes: body.len(),
                    items: text.lines().count() / 2,
                    under_way: under_way.fetch_add(1, SeqCst) + 1,
                });
                asked.len() - 1
            };
            judge(number, text)
        } else {
            Reply(
                200,
                r#"{"version":{"number":"8.19.0","build_flavor":"default"}}"#.to_owned(),
                Duration::ZERO,
            )
        };
        tokio::time::sleep(delay).await;
        if bulk {
            under_way.fetch_sub(1, SeqCst);
        }
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status.try_into().unwrap();
        let product = hyper::header::HeaderValue::from_static("Elasticsearch");
        response.headers_mut().insert("x-elastic-product", product);
        Ok(response)
    }

    fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

type Answers = BTreeMap<(usize, u32), Vec<delivery::Outcome>>;

/// An output under test and the answers that it gave.
struct Trial {
    output: Arc<dyn Output>,
    metrics: Arc<PluginMetrics>,
    answers: Arc<Mutex<Answers>>,
    stop: watch::Sender<bool>,
}

impl Trial {
    fn new(fake: &Fake) -> Trial {
        let text = format!(
            "output {{ elasticsearch {{ hosts => \"http://{}\" index => \"t\" compression_level => 0 \
             manage_template => false retry_initial_interval => 0.02 retry_max_interval => 0.05 timeout => 5 }} }}",
            fake.address
        );
        let source = SourceMap::single("test.conf", &text).unwrap();
        let compiled = compile(
            &source,
            &PlanOptions {
                catalogue: crate::catalogue::CATALOGUE,
                settings: &Settings::default(),
                environment: &|_| None,
                parse: ParseOptions::default(),
            },
        );
        let plan = compiled
            .plan
            .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let node = &plan.outputs[0];
        let trial = Trial {
            output: Arc::clone(&node.output),
            metrics: Arc::clone(&node.metrics),
            answers: Arc::default(),
            stop: watch::Sender::new(false),
        };
        Arc::clone(&trial.output).start(trial.cx(usize::MAX));
        trial
    }

    fn cx(&self, body: usize) -> SendCx {
        let answers = Arc::clone(&self.answers);
        SendCx {
            answer: Arc::new(move |run, items, outcome| {
                let mut answers = lock(&answers);
                let told = answers.entry((body, run)).or_default();
                told.extend((0..items).map(|_| outcome));
            }),
            stopping: self.stop.subscribe(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Sends a body of these documents; each is a run of its own.
    fn send(&self, number: usize, documents: &[String]) -> tokio::task::JoinHandle<Body> {
        let mut body = Body::default();
        for (run, document) in documents.iter().enumerate() {
            if !document.is_empty() {
                body.bytes
                    .extend_from_slice(b"{\"index\":{\"_index\":\"t\"}}\n");
                body.bytes.extend_from_slice(document.as_bytes());
                body.bytes.push(b'\n');
            }
            body.end_item(u32::try_from(run).unwrap());
        }
        tokio::spawn(Arc::clone(&self.output).deliver(body, self.cx(number)))
    }

    /// The answers to one body, in the order of its items; each must have one.
    fn outcomes(&self, number: usize, items: usize) -> Vec<delivery::Outcome> {
        let answers = lock(&self.answers);
        let one = |run| {
            let told = answers.get(&(number, u32::try_from(run).unwrap()));
            let told = told.map_or(&[][..], Vec::as_slice);
            assert_eq!(told.len(), 1, "body {number}, item {run}: {told:?}");
            told[0]
        };
        (0..items).map(one).collect()
    }

    fn target(&self) -> usize {
        usize::try_from(self.metrics.request_target.load(Relaxed)).unwrap()
    }
}

fn documents(count: usize, size: usize) -> Vec<String> {
    let pad = "x".repeat(size);
    (0..count)
        .map(|n| format!("{{\"n\":{n},\"pad\":\"{pad}\"}}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_spoils_a_request_is_found_by_halving() {
    let fake = Fake::start(|_, text| {
        if text.contains("poison") {
            Reply(400, r#"{"error":{"type":"illegal_argument_exception","reason":"Malformed action"},"status":400}"#.to_owned(), Duration::ZERO)
        } else if text.len() > 20_000 {
            Reply(413, String::new(), Duration::ZERO)
        } else {
            all_taken()
        }
    })
    .await;
    let trial = Trial::new(&fake);
    let mut lines = documents(100, 300);
    lines[17] = "{\"poison\":1}".to_owned();
    lines[18] = "{\"poison\":2}".to_owned();
    lines[40] = format!("{{\"large\":\"{}\"}}", "y".repeat(30_000));
    lines[99] = String::new();
    let body = trial.send(0, &lines).await.unwrap();
    assert!(
        body.bytes.capacity() > 30_000,
        "the body comes back for reuse"
    );
    for (at, outcome) in trial.outcomes(0, 100).into_iter().enumerate() {
        let spoiled = [17, 18, 40, 99].contains(&at);
        assert_eq!(
            outcome,
            if spoiled { SetAside } else { Indexed },
            "item {at}"
        );
    }
    assert!(fake.asked().len() < 60, "{} requests", fake.asked().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickle_goes_out_at_once() {
    let fake = Fake::start(|_, _| all_taken()).await;
    let trial = Trial::new(&fake);
    for number in 0..20 {
        let sent = trial.send(number, &documents(3, 10));
        tokio::time::timeout(Duration::from_secs(1), sent)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(trial.outcomes(number, 3), [Indexed; 3]);
    }
    assert!(
        fake.asked()
            .iter()
            .all(|asked| asked.items == 3 && asked.under_way == 1)
    );
    assert_eq!(trial.target(), FIRST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_wait_go_together_and_requests_grow() {
    let fake = Fake::start(|_, text| {
        // 100 ms and 1 ms a megabyte: the larger, the better.
        let time = 100 + u64::try_from(text.len() >> 20).unwrap();
        Reply(
            200,
            r#"{"took":1,"errors":false}"#.to_owned(),
            Duration::from_millis(time),
        )
    })
    .await;
    let trial = Trial::new(&fake);
    let lines = documents(10, 100_000);
    let sent: Vec<_> = (0..150).map(|number| trial.send(number, &lines)).collect();
    for (number, sent) in sent.into_iter().enumerate() {
        sent.await.unwrap();
        assert_eq!(trial.outcomes(number, 10), [Indexed; 10]);
    }
    let asked = fake.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.bytes <= MOST && asked.under_way <= PER_HOST)
    );
    assert!(asked.iter().any(|asked| asked.under_way == PER_HOST));
    assert!(asked.len() < 75, "{asked:?}");
    assert!(asked.iter().any(|asked| asked.bytes > FIRST));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn push_backs_shrink_requests_and_success_lets_them_grow_again() {
    let fake = Fake::start(|number, text| {
        if (4..64).contains(&number) {
            let error = r#"{"error":{"type":"es_rejected_execution_exception","reason":"full"},"status":429}"#;
            return Reply(429, error.to_owned(), Duration::from_millis(5));
        }
        let time = u64::try_from(text.len() >> 20).unwrap();
        Reply(200, r#"{"took":1,"errors":false}"#.to_owned(), Duration::from_millis(50 + time))
    })
    .await;
    let trial = Trial::new(&fake);
    let lines = documents(30, 100_000);
    let mut sent: Vec<_> = (0..40).map(|number| trial.send(number, &lines)).collect();
    let mut least = usize::MAX;
    while sent.iter().any(|sent| !sent.is_finished()) {
        least = least.min(trial.target());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for (number, sent) in sent.drain(..).enumerate() {
        sent.await.unwrap();
        assert_eq!(trial.outcomes(number, 30), [Indexed; 30]);
    }
    let asked = fake.asked();
    assert_eq!(least, LEAST, "{asked:?}");
    assert!(
        asked[64..].iter().any(|asked| asked.bytes <= LEAST),
        "bodies are cut"
    );
    let later = asked.get(asked.len() / 2..).unwrap_or_default();
    assert!(later.iter().any(|asked| asked.bytes > LEAST), "{asked:?}");
    assert_eq!(trial.metrics.requests_failed.load(Relaxed), 60);
}

/// One item of an answer for each document, as its text says; `busy` ones are refused the first time.
fn judged(text: &str, seen: &Mutex<HashSet<String>>) -> Reply {
    let items: Vec<String> = text
        .lines()
        .skip(1)
        .step_by(2)
        .map(|document| {
            let status = match document {
                bad if bad.contains("bad") => 400,
                busy if busy.contains("busy") && lock(seen).insert(busy.to_owned()) => 429,
                _ => return r#"{"index":{"status":201}}"#.to_owned(),
            };
            format!("{{\"index\":{{\"status\":{status},\"error\":{{\"type\":\"t\",\"reason\":\"r\"}}}}}}")
        })
        .collect();
    let answer = format!(
        "{{\"took\":1,\"errors\":true,\"items\":[{}]}}",
        items.join(",")
    );
    Reply(200, answer, Duration::from_millis(3))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_many_bodies_is_answered_item_by_item() {
    let seen = Mutex::default();
    let fake = Fake::start(move |number, text| match number {
        // No answer at all: an item is missing.
        5 | 6 => {
            let Reply(status, answer, delay) = judged(text, &Mutex::default());
            Reply(
                status,
                answer.replacen(r#"{"index":{"status":201}},"#, "", 1),
                delay,
            )
        }
        _ => judged(text, &seen),
    })
    .await;
    let trial = Trial::new(&fake);
    let mut sent = Vec::new();
    for number in 0..60 {
        let mut lines = documents(100, 50);
        for (at, line) in lines.iter_mut().enumerate() {
            if (at + number) % 7 == 0 {
                *line = format!("{{\"busy\":{at},\"body\":{number}}}");
            } else if (at + number) % 11 == 0 {
                *line = format!("{{\"bad\":{at}}}");
            }
        }
        sent.push((trial.send(number, &lines), lines));
    }
    for (number, (sent, lines)) in sent.into_iter().enumerate() {
        sent.await.unwrap();
        for (line, outcome) in lines.iter().zip(trial.outcomes(number, 100)) {
            let bad = line.contains("bad");
            assert_eq!(outcome, if bad { SetAside } else { Indexed }, "{line}");
        }
    }
    assert!(
        fake.asked().iter().any(|asked| asked.items > 200),
        "bodies went together"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_items_hold_up_nobody() {
    let fake = Fake::start(|_, text| {
        if text.contains("busy") {
            judged(text, &Mutex::default())
        } else {
            all_taken()
        }
    })
    .await;
    let trial = Trial::new(&fake);
    let stuck: Vec<_> = (0..10)
        .map(|n| trial.send(n, &[format!("{{\"busy\":{n}}}")]))
        .collect();
    for number in 10..100 {
        let sent = trial.send(number, &documents(2, 10));
        tokio::time::timeout(Duration::from_secs(5), sent)
            .await
            .unwrap()
            .unwrap();
    }
    assert!(stuck.iter().all(|stuck| !stuck.is_finished()));
    trial.stop.send_replace(true);
    for (number, stuck) in stuck.into_iter().enumerate() {
        let body = tokio::time::timeout(Duration::from_secs(5), stuck)
            .await
            .unwrap()
            .unwrap();
        assert!(!body.bytes.is_empty());
        assert!(
            !lock(&trial.answers).contains_key(&(number, 0)),
            "no answer was given"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_all_that_waits_without_an_answer() {
    let fake = Fake::start(|_, _| Reply(503, String::new(), Duration::ZERO)).await;
    let trial = Trial::new(&fake);
    let sent: Vec<_> = (0..50)
        .map(|n| trial.send(n, &documents(2, 1000)))
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    trial.stop.send_replace(true);
    for sent in sent {
        tokio::time::timeout(Duration::from_secs(5), sent)
            .await
            .unwrap()
            .unwrap();
    }
    assert!(lock(&trial.answers).is_empty());
}
