//! What the tests of the built binary share.
#![allow(dead_code)]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The built program.
pub fn logmill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmill"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Third parties' files, read as oracles; none when they are not there, which the caller says.
pub fn oracles(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LOGMILL_ORACLES")
        .map_or_else(|| repository("../shared/data"), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there (LOGMILL_ORACLES)", path.display());
    None
}

/// The address of a real Elasticsearch; none when there is none, which the caller says.
pub fn elasticsearch() -> Option<String> {
    let url = std::env::var("LOGMILL_TEST_ES")
        .ok()
        .filter(|url| !url.is_empty());
    if url.is_none() {
        println!("skipped: no Elasticsearch (LOGMILL_TEST_ES)");
    }
    url
}

/// Runs a config as a Unix filter: JSON lines in, lines out.
pub fn filter(config: &str, args: &[&str], input: &[u8]) -> Output {
    let data = tempfile::tempdir().expect("temp dir");
    let mut child = logmill()
        .args([
            "-e",
            config,
            "--api.enabled",
            "false",
            "--log.level",
            "error",
            "--path.data",
        ])
        .arg(data.path())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("logmill starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A config that does not load ends the process before it reads.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("logmill ends");
    writer.join().expect("writer");
    output
}

/// Wraps filters for [`filter`].
pub fn json_filter(filters: &str) -> String {
    format!(
        "input {{ stdin {{ codec => json_lines }} }} filter {{ {filters} }} output {{ stdout {{ codec => json_lines }} }}"
    )
}

/// A text as it is written in a config.
pub fn quoted(text: &str) -> String {
    for quote in ['"', '\''] {
        if !text.contains(quote) && !text.ends_with('\\') {
            return format!("{quote}{text}{quote}");
        }
    }
    panic!("cannot be quoted: {text}")
}

/// A JSON value as it is written in a config.
pub fn config_value(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => format!(
            "[{}]",
            values
                .iter()
                .map(config_value)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{} => {}", quoted(key), config_value(value)))
                .collect();
            format!("{{ {} }}", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

/// A process that is killed when the test is done with it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Asks it to stop and waits; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        wait(Duration::from_secs(10), || {
            matches!(self.0.try_wait(), Ok(Some(_)))
        });
        self.0
            .try_wait()
            .ok()
            .flatten()
            .and_then(|status| status.code())
    }

    /// Peak resident memory so far, bytes.
    pub fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap_or("0");
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .unwrap_or(0)
            * 1024
    }
}

/// Waits until the condition holds; false when it did not in time.
pub fn wait(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One HTTP request; status and body.
pub fn http(method: &str, url: &str, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").expect("plain http");
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, String::from("/")), |(host, path)| {
            (host, format!("/{path}"))
        });
    let mut stream = std::net::TcpStream::connect(host).expect("connects");
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .expect("timeout");
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("reads");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    (
        status,
        if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
    )
}

fn unchunk(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || size > after.len() {
            break;
        }
        out.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    out
}

/// One HTTP GET whose answer is JSON.
pub fn get_json(url: &str) -> serde_json::Value {
    let (status, body) = http("GET", url, "");
    assert_eq!(status, 200, "{url}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url}: {error}: {body}"))
}

/// Starts `logmill sink` on a free port.
pub fn sink(args: &[&str]) -> (Running, String) {
    let mut child = logmill()
        .args(["sink", "--listen", "127.0.0.1:0"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sink starts");
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().expect("piped")),
        &mut line,
    )
    .expect("its address");
    let url = line.trim().rsplit(' ').next().expect("address").to_owned();
    (Running(child), url)
}
