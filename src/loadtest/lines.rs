//! The invented lines: JSON objects, audit text, access logs; and lines built to do harm.

use std::io::Write as _;

use super::geo;
use super::rng::Rng;
use super::scenario::Shape;
use crate::time::Timestamp;

/// Time of the first line, a second before midnight, so that the events belong to two days; milliseconds since 1970.
/// Each line is a millisecond younger.
pub const FIRST_TIME: i64 = 1_776_729_599_000;

/// Stands where a line tells its own number, as sixteen hexadecimal digits behind these letters.
pub const MARK: &str = "LINENUMBER";
/// Digits behind [`MARK`].
pub const MARK_DIGITS: usize = 16;

const COMPONENTS: [&str; 10] = [
    "ai-persona",
    "persona",
    "four-laws",
    "security",
    "authentication",
    "cerberus",
    "api",
    "memory",
    "plugins",
    "learning",
];
const USERS: [&str; 8] = [
    "amara",
    "benedikt",
    "chen",
    "dolores",
    "emeka",
    "farah",
    "svc-index",
    "svc-mirror",
];
const ACTIONS: [&str; 6] = [
    "read_document",
    "update_profile",
    "list_sessions",
    "rotate_key",
    "export_report",
    "delete_draft",
];
const MESSAGES: [&str; 6] = [
    "Requests handed on to the planners, cache=warm mode=fast",
    "Answers from four memories: cache=cold mode=deep",
    "Refused: no permit for that one, gate=front rule=41",
    "The second look-up answered at last: cache=cold x",
    "Sessions renewed for half an hour, mode=slides",
    "Answers at third attempts, upstream=b tries=3",
];
const CODES: [&str; 5] = [
    "AUTH_SUCCESS",
    "AUTH_FAILURE",
    "UNAUTHORIZED_ACCESS",
    "FOUR_LAWS_DENIAL",
    "CONFIG_CHANGE",
];
const PATHS: [&str; 6] = [
    "/v1/dialogue",
    "/v1/memory/search?q=harbour&page=2",
    "/v1/permits/1841",
    "/healthz",
    "/static/app.css",
    "/v1/reports?from=2026-04-01",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "curl/8.9.1",
    "kube-probe/1.30",
];

/// A time as ISO 8601, UTC, with milliseconds.
#[must_use]
pub fn iso(millis: i64) -> String {
    let mut out = Vec::with_capacity(24);
    Timestamp::from_millis(millis).write_iso8601(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Makes line after line.
pub struct Lines {
    /// The last line, its end included. Hostile ones need not be UTF-8.
    pub line: Vec<u8>,
    shape: Shape,
    hostile: u64,
    rng: Rng,
    address: String,
    /// What stands in the field that tells lines apart.
    trace: String,
    marked: bool,
}

impl Lines {
    /// Lines from a fixed seed, the same on every machine; `hostile` percent of them are built to do harm.
    #[must_use]
    pub fn new(shape: Shape, hostile: u64) -> Self {
        Lines {
            line: Vec::new(),
            shape,
            hostile,
            rng: Rng::new(2026),
            address: String::new(),
            trace: String::new(),
            marked: false,
        }
    }

    /// Lines with a [`MARK`] in them.
    #[must_use]
    pub fn marked(mut self) -> Self {
        self.marked = true;
        self
    }

    /// The next line; its index family, and whether the databases know its address.
    pub fn next(&mut self, millis: i64) -> (&'static str, bool) {
        self.line.clear();
        if self.hostile > 0 && self.rng.chance(self.hostile) {
            return (self.hostile(millis), false);
        }
        self.trace.clear();
        if self.marked {
            self.trace.push_str(MARK);
            self.trace.extend(std::iter::repeat_n('0', MARK_DIGITS));
        }
        let known = geo::address(&mut self.rng, &mut self.address);
        let family = match self.shape {
            Shape::Json => self.json(millis),
            Shape::Audit => self.audit(millis),
            Shape::Access => self.access(millis),
        };
        (family, known)
    }

    fn json(&mut self, millis: i64) -> &'static str {
        let rng = &mut self.rng;
        let missing = 32_usize.saturating_sub(self.trace.len());
        rng.hex(missing, &mut self.trace);
        let component = *rng.pick(&COMPONENTS);
        // Writing to a vector cannot fail.
        let _ = writeln!(
            self.line,
            r#"{{"timestamp": "{}", "level": "{}", "logger": "app.core.{}", "message": "{}", "component": "{component}", "user": "{}", "source_ip": "{}", "trace_id": "{}", "action": "{}", "duration_ms": {}.{:03}, "status": {}}}"#,
            iso(millis),
            rng.pick(&["DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR"]),
            rng.pick(&["planner", "memory", "dialogue", "permits", "gateway"]),
            rng.pick(&MESSAGES),
            rng.pick(&USERS),
            self.address,
            self.trace,
            rng.pick(&ACTIONS),
            rng.below(900),
            rng.below(1000),
            rng.pick(&[200, 200, 200, 201, 204, 301, 400, 403, 404, 500]),
        );
        match component {
            "ai-persona" | "persona" => "persona",
            "four-laws" => "ethics",
            "security" | "authentication" | "cerberus" => "security",
            _ => "logs",
        }
    }

    fn audit(&mut self, millis: i64) -> &'static str {
        let rng = &mut self.rng;
        let code = *rng.pick(&CODES);
        let user = *rng.pick(&USERS);
        let user = if self.marked { &self.trace } else { user };
        // Writing to a vector cannot fail.
        let _ = writeln!(
            self.line,
            "{} | {} | {code} | user={user} | ip={} | reason={}",
            iso(millis),
            rng.pick(&["INFO", "WARNING"]),
            self.address,
            rng.pick(&["wrong_password", "locked", "expired", "no_permit"]),
        );
        if code == "FOUR_LAWS_DENIAL" {
            "ethics"
        } else {
            "security"
        }
    }

    fn access(&mut self, millis: i64) -> &'static str {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let rng = &mut self.rng;
        let time = iso(millis);
        let part = |from, to| time.get(from..to).unwrap_or_default();
        let month = part(5, 7).parse::<usize>().unwrap_or(1);
        let path = *rng.pick(&PATHS);
        let path = if self.marked { &self.trace } else { path };
        // Writing to a vector cannot fail.
        let _ = writeln!(
            self.line,
            r#"{} - {} [{}/{}/{}:{} +0000] "{} {path} HTTP/1.1" {} {} "{}" "{}""#,
            self.address,
            rng.pick(&["-", "-", "-", "amara", "chen"]),
            part(8, 10),
            MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan"),
            part(0, 4),
            part(11, 19),
            rng.pick(&["GET", "GET", "GET", "POST", "PUT"]),
            rng.pick(&[200, 200, 200, 201, 204, 301, 400, 403, 404, 500]),
            rng.below(90_000),
            rng.pick(&["-", "-", "https://app.example.org/start"]),
            rng.pick(&AGENTS),
        );
        "access"
    }

    /// A line that breaks the format on purpose; its index family. Each becomes one event.
    fn hostile(&mut self, millis: i64) -> &'static str {
        match self.shape {
            Shape::Json => {
                self.hostile_json(millis);
                "logs"
            }
            Shape::Audit => {
                self.hostile_text(millis, &format!("{} | INFO | ", iso(millis)));
                "security"
            }
            Shape::Access => {
                self.hostile_text(
                    millis,
                    "203.0.113.9 - - [21/Apr/2026:00:00:01 +0000] \"GET /",
                );
                "access"
            }
        }
    }

    fn hostile_json(&mut self, millis: i64) {
        let time = iso(millis);
        let case = self.rng.below(14);
        let head = format!(r#"{{"timestamp": "{time}", "message": ""#);
        let out = &mut self.line;
        out.extend_from_slice(head.as_bytes());
        match case {
            0 => out.extend_from_slice(b"cut sho"),
            1 => out.extend_from_slice(b"bad \xff\xfe bytes\"}"),
            2 => out.extend_from_slice(br#"twice", "user": "a", "user": "b", "us\u0065r": "c"}"#),
            3 => {
                out.extend_from_slice(br#"deep", "a": "#);
                out.extend(std::iter::repeat_n(b'[', 2000));
                out.extend(std::iter::repeat_n(b']', 2000));
                out.push(b'}');
            }
            4 => {
                out.extend_from_slice(br#"huge", "duration_ms": 1e999999, "status": "#);
                out.extend(std::iter::repeat_n(b'9', 500));
                out.push(b'}');
            }
            5 => out.extend_from_slice(
                br#"types", "component": {"a": [1]}, "source_ip": {"b": 2}, "user": [[]]}"#,
            ),
            6 => out.extend_from_slice(br#"time", "timestamp": "99999-99-99T99:99:99Z"}"#),
            7 => out.extend_from_slice(
                br#"own", "@timestamp": {"x": 1}, "@version": [], "tags": {"y": 2}}"#,
            ),
            8 => out.extend_from_slice(br#"\ud800 lone", "user": "\udc00\ud800"}"#),
            9 => out.extend_from_slice(
                br#"route", "@metadata": {"index": "evil"}, "component": "../../_all"}"#,
            ),
            10 => out.extend_from_slice(br#"ip", "source_ip": "999.999.999.999"}"#),
            11 => out.extend_from_slice(b"nul \0\0\0 bytes\"}"),
            12 => {
                out.extend_from_slice(br#"many""#);
                for number in 0..500 {
                    // Writing to a vector cannot fail.
                    let _ = write!(out, r#", "field_{number}_{millis}": {number}"#);
                }
                out.push(b'}');
            }
            _ => {
                out.extend(std::iter::repeat_n(b'x', 20_000));
                out.extend_from_slice(b"\"}");
            }
        }
        out.push(b'\n');
    }

    /// Text that begins as its format does and does not go on so.
    fn hostile_text(&mut self, millis: i64, head: &str) {
        let case = self.rng.below(8);
        let out = &mut self.line;
        match case {
            0 => out.extend_from_slice(head.as_bytes()),
            1 => {
                out.extend_from_slice(head.as_bytes());
                out.extend(b"a ".iter().cycle().take(8_000));
            }
            2 => {
                out.extend_from_slice(head.as_bytes());
                out.extend(b"| user=x ".iter().cycle().take(4_000));
            }
            3 => out.extend_from_slice(b"\xc3\x28 \xff not UTF-8 \xf0\x90"),
            4 => out.extend_from_slice(b"\x1b[31mred\x1b[0m \0\0 nul"),
            5 => out.extend(b"1.".iter().cycle().take(6_000)),
            6 => out.extend(std::iter::repeat_n(b'"', 3_000)),
            _ => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "{millis} ");
                out.extend(std::iter::repeat_n(b'-', 20_000));
            }
        }
        out.push(b'\n');
    }
}
