//! The command line: exit codes, errors, and the program as a Unix filter.

mod common;

use std::io::{BufRead as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use common::{Running, filter, json_filter, logmill, repository};

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = logmill().args(args).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn version_help_and_usage_errors() {
    assert_eq!(run(&["--version"]).0, Some(0));
    assert_eq!(run(&["--help"]).0, Some(0));
    let (code, _, error) = run(&["--nonsense"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("Unrecognised option"), "{error}");
    assert_eq!(run(&[]).0, Some(1));
    assert_eq!(run(&["-e", "x", "-f", "y"]).0, Some(1));
    assert_eq!(run(&["-f", "/nowhere/at/all.conf"]).0, Some(1));
}

#[test]
fn a_good_config_is_ok() {
    let (code, out, error) = run(&["-t", "-e", "filter { mutate { add_tag => [xy] } }"]);
    assert_eq!((code, out.trim()), (Some(0), "Configuration OK"), "{error}");
}

#[test]
fn five_errors_are_named_at_once() {
    let config = "input { stdn { } }\nfilter {\n  grok { patern => \"x\" }\n  mutate { convert => { \"a\" => \"integr\" } }\n  date { }\n}\noutput { elasticsearch { index => \"%{[a}\" } }\n";
    let (code, _, error) = run(&["-t", "-e", config]);
    assert_eq!(code, Some(1));
    for (line, word) in [
        (1, "stdn"),
        (3, "patern"),
        (4, "integr"),
        (5, "match"),
        (7, "[a"),
    ] {
        assert!(
            error.contains(&format!(":{line}:")),
            "line {line} is not named: {error}"
        );
        assert!(error.contains(word), "{word} is not named: {error}");
    }
    assert!(error.contains("did you mean `match`?"), "{error}");
    let (_, _, json) = run(&["-t", "-e", config, "--diagnostics.format", "json"]);
    let errors: Vec<serde_json::Value> = json
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert!(errors.len() >= 5, "{json}");
}

#[test]
fn the_shipped_pipelines_load() {
    let (code, out, error) = run(&["-t", "-f", repository("pipelines").to_str().expect("UTF-8")]);
    assert_eq!((code, out.trim()), (Some(0), "Configuration OK"), "{error}");
}

#[test]
fn a_data_folder_belongs_to_one_process() {
    let data = tempfile::tempdir().expect("temp dir");
    let path = data.path().to_str().expect("UTF-8");
    let mut first = Running(
        logmill()
            .args(["-e", "", "--api.enabled", "false", "--path.data", path])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts"),
    );
    let _open = first.0.stdin.take();
    assert!(common::wait(Duration::from_secs(5), || data
        .path()
        .join(".lock")
        .exists()));
    std::thread::sleep(Duration::from_millis(200));
    let (code, _, error) = run(&["-e", "", "--api.enabled", "false", "--path.data", path]);
    assert_eq!(code, Some(1));
    assert!(error.contains("used by another logmill"), "{error}");
}

#[test]
fn each_event_leaves_without_waiting_for_more() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut child = logmill()
        .args([
            "-e",
            &json_filter(""),
            "--api.enabled",
            "false",
            "--path.data",
        ])
        .arg(data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("piped"));
    for number in 0..3 {
        writeln!(stdin, "{{\"n\":{number}}}").expect("writes");
        stdin.flush().expect("flushes");
        let mut line = String::new();
        out.read_line(&mut line).expect("reads");
        assert!(line.contains(&format!("\"n\":{number}")), "{line}");
    }
    drop(stdin);
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[test]
fn a_stop_signal_drains_and_ends() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut running = Running(
        logmill()
            .args([
                "-e",
                "input { generator { count => 0 } } output { null { } }",
                "--api.enabled",
                "false",
                "--path.data",
            ])
            .arg(data.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts"),
    );
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        running.0.try_wait().expect("state").is_none(),
        "it ended by itself"
    );
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn bad_lines_arrive_flagged_beside_their_neighbours() {
    let mut input = b"{\"n\":1}\nnot json\n{\"n\":2}\n".to_vec();
    input.extend_from_slice(b"{\"x\":\"\xff\"}\n{\"n\":3}");
    let output = filter(&json_filter(""), &[], &input);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 5, "{text}");
    assert_eq!(text.matches("_jsonparsefailure").count(), 2, "{text}");
    assert!(text.contains("\\\\xFF"), "{text}");
}

#[test]
fn the_release_binary_needs_the_c_library_only() {
    let binary = env!("CARGO_BIN_EXE_logmill");
    let output = std::process::Command::new("ldd")
        .arg(binary)
        .output()
        .expect("ldd");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in text.lines() {
        let name = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let known = [
            "linux-vdso",
            "libc.so",
            "libm.so",
            "libgcc_s.so",
            "ld-linux",
            "libpthread.so",
            "libdl.so",
            "statically",
        ];
        assert!(
            name.is_empty() || known.iter().any(|known| name.starts_with(known)),
            "{line}"
        );
    }
}

#[test]
fn a_stop_ends_within_five_seconds_and_says_what_is_lost() {
    let outputs = [
        "elasticsearch { hosts => [\"http://127.0.0.1:1\"] }",
        // The budget for unanswered bytes is full, so the workers wait.
        "elasticsearch { hosts => [\"http://127.0.0.1:1\"] index => \"a\" }",
    ];
    let inputs = [
        "stdin { codec => json_lines }",
        "generator { message => \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" count => 2000000 }",
    ];
    for (input, output) in inputs.iter().zip(outputs) {
        let data = tempfile::tempdir().expect("temp dir");
        let log = data.path().join("log");
        let mut child = logmill()
            .args([
                "-e",
                &format!("input {{ {input} }} output {{ {output} }}"),
                "--api.enabled",
                "false",
                "--path.data",
            ])
            .arg(data.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::create(&log).expect("log file")))
            .spawn()
            .expect("starts");
        // The input ends by itself; its event has no answer.
        writeln!(child.stdin.take().expect("piped"), "{{\"n\":1}}").expect("writes");
        std::thread::sleep(Duration::from_secs(2));
        let since = std::time::Instant::now();
        let code = Running(child).stop();
        assert_eq!(code, Some(0), "{input}");
        assert!(
            since.elapsed() < Duration::from_secs(8),
            "{input}: {:?}",
            since.elapsed()
        );
        let text = std::fs::read_to_string(&log).expect("log");
        assert!(text.contains("lost at the stop"), "{input}: {text}");
    }
}

#[test]
fn what_dissect_writes_is_no_constant() {
    let config =
        "input { stdin { codec => plain add_field => { \"[@metadata][kind]\" => \"a\" } } }
        filter { dissect { mapping => { \"message\" => \"%{[@metadata][kind]} %{rest}\" } } }
        output { if [@metadata][kind] == \"a\" { stdout { codec => line { format => \"wrong\" } } }
                 else { stdout { codec => line { format => \"right %{rest}\" } } } }";
    let output = filter(config, &[], b"b x\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "right x\n");
}

#[test]
fn copies_of_wide_events_are_bounded() {
    let fields: Vec<String> = (0..1000).map(|number| format!("\"f{number}\":1")).collect();
    let event = format!(
        "{{{},\"l\":[{}1]}}\n",
        fields.join(","),
        "1,".repeat(99_999)
    );
    let output = filter(
        &json_filter("split { field => \"l\" }"),
        &[],
        event.as_bytes(),
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("_split_too_many_parts"));
}
