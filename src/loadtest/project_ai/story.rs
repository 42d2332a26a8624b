//! What happens in the invented application: events with the fields that its loggers give them.

use serde_json::{Map, Value, json};

use crate::loadtest::geo;
use crate::loadtest::rng::Rng;
use crate::time::Timestamp;

/// The index family that an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Persona,
    Security,
    Ethics,
    Logs,
}

impl Family {
    pub(crate) const ALL: [Family; 4] = [
        Family::Persona,
        Family::Security,
        Family::Ethics,
        Family::Logs,
    ];

    /// Its indices without the day.
    pub(crate) fn index(self) -> &'static str {
        match self {
            Family::Persona => "project-ai-persona",
            Family::Security => "project-ai-security",
            Family::Ethics => "project-ai-ethics",
            Family::Logs => "project-ai-logs",
        }
    }
}

/// What was written so far, and so what must arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Lines.
    pub lines: u64,
    /// Events per family, in the order of [`Family::ALL`]. Several lines may be one event, and one line several.
    pub families: [u64; 4],
    /// Addresses in events that the demo's databases know.
    pub known_addresses: u64,
}

impl Expected {
    /// All events.
    pub(crate) fn events(&self) -> u64 {
        self.families.iter().sum()
    }
}

/// One instant in the notations of log files, UTC.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// `2026-04-20T15:30:45.123Z`.
    pub iso: String,
    /// Milliseconds since 1970.
    pub millis: i64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self::at(Timestamp::now().to_millis())
    }

    /// The instant so many milliseconds after 1970.
    pub(crate) fn at(millis: i64) -> Self {
        let mut iso = Vec::with_capacity(24);
        Timestamp::from_millis(millis).write_iso8601(&mut iso);
        Moment {
            iso: String::from_utf8(iso).unwrap_or_default(),
            millis,
        }
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.iso.get(from..to).unwrap_or_default()
    }

    /// Seconds since 1970 with a fraction.
    pub(crate) fn epoch(&self) -> f64 {
        self.millis as f64 / 1000.0
    }

    /// `2026-04-20 15:30:45,123`.
    pub(crate) fn comma(&self) -> String {
        format!(
            "{} {},{}",
            self.part(0, 10),
            self.part(11, 19),
            self.part(20, 23)
        )
    }

    /// `2026-04-20 15:30:45`.
    pub(crate) fn seconds(&self) -> String {
        format!("{} {}", self.part(0, 10), self.part(11, 19))
    }

    /// `2026-04-20T15:30:45` followed by what is given.
    pub(crate) fn iso_seconds(&self, rest: &str) -> String {
        format!("{}{rest}", self.part(0, 19))
    }

    /// `2026-04-20T15:30:45.123` and more digits, without a zone.
    pub(crate) fn iso_digits(&self, digits: &str) -> String {
        format!("{}{digits}", self.part(0, 23))
    }

    /// `20/Apr/2026` and the time of day behind a separator.
    pub(crate) fn common_log(&self, separator: char) -> String {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let month = self
            .part(5, 7)
            .parse::<usize>()
            .ok()
            .and_then(|month| MONTHS.get(month.checked_sub(1)?))
            .unwrap_or(&"Jan");
        format!(
            "{}/{month}/{}{separator}{}",
            self.part(8, 10),
            self.part(0, 4),
            self.part(11, 19)
        )
    }

    /// `20260420:153045.123`.
    pub(crate) fn packed(&self) -> String {
        let plain = |from, to| self.part(from, to).replace(['-', ':'], "");
        format!("{}:{}.{}", plain(0, 10), plain(11, 19), self.part(20, 23))
    }
}

/// One event of the application.
pub(crate) struct Story {
    pub level: &'static str,
    pub logger: &'static str,
    pub message: String,
    /// Its fields; `component` is one of them.
    pub fields: Map<String, Value>,
    pub family: Family,
    /// It has an address that the databases know.
    pub known_address: bool,
}

pub(crate) const USERS: [&str; 8] = [
    "amara",
    "benedikt",
    "chen",
    "dolores",
    "emeka",
    "farah",
    "svc-index",
    "svc-mirror",
];
pub(crate) const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
pub(crate) const LAWS: [&str; 4] = ["Zeroth", "First", "Second", "Third"];
pub(crate) const GATES: [&str; 3] = ["prompt_gate", "upload_gate", "egress_gate"];
pub(crate) const ATTACKS: [&str; 4] = ["injection", "jailbreak", "exfiltration", "bypass"];

/// The invented application: its randomness, and the count of what it did.
pub(crate) struct World {
    pub rng: Rng,
    pub expected: Expected,
    pub now: Moment,
    pub chain: Chain,
    /// The override log has its header.
    pub override_header: bool,
}

/// State of the hash-chained log.
pub(crate) struct Chain {
    pub number: u64,
    pub previous_hash: String,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        World {
            rng: Rng::new(seed),
            expected: Expected::default(),
            now: Moment::now(),
            chain: Chain {
                number: 0,
                previous_hash: "GENESIS".to_owned(),
            },
            override_header: false,
        }
    }

    /// Counts an event that was written.
    pub(crate) fn count(&mut self, family: Family, known_address: bool) {
        self.expected.families[family as usize] += 1;
        self.expected.known_addresses += u64::from(known_address);
    }

    /// An address, and whether the databases know it.
    pub(crate) fn address(&mut self) -> (String, bool) {
        let mut text = String::new();
        let known = geo::address(&mut self.rng, &mut text);
        (text, known)
    }

    pub(crate) fn user(&mut self) -> &'static str {
        self.rng.pick::<&str, 8>(&USERS)
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::new();
        self.rng.hex(digits, &mut text);
        text
    }

    /// Something happens.
    pub(crate) fn story(&mut self) -> Story {
        match self.rng.below(20) {
            0..3 => self.mood(),
            3..6 => self.law(),
            6..9 => self.login(),
            9 | 10 => self.blocked(),
            11 | 12 => self.incident(),
            13 => self.vault(),
            14 => self.emergency(),
            15 | 16 => self.memory(),
            _ => self.request(),
        }
    }

    fn mood(&mut self) -> Story {
        let fields = if self.rng.chance(50) {
            let mut level = || self.rng.thousandths();
            json!({"component": "ai-persona", "mood": {"energy": level(), "curiosity": level(), "calm": level()}})
        } else {
            let kind = *self.rng.pick(&["chat", "trait_change", "greeting"]);
            json!({"component": "persona", "interaction_type": kind, "user": self.user()})
        };
        story(
            "INFO",
            "app.persona",
            "The persona's state moved".to_owned(),
            fields,
            Family::Persona,
            false,
        )
    }

    fn law(&mut self) -> Story {
        let (law, severity, user) = (
            *self.rng.pick(&LAWS),
            *self.rng.pick(&SEVERITIES),
            self.user(),
        );
        if self.rng.chance(60) {
            let fields = json!({"component": "four-laws", "result": "allowed", "user": user, "action": "send_report"});
            return story(
                "INFO",
                "app.ethics",
                "Action weighed and allowed".to_owned(),
                fields,
                Family::Ethics,
                false,
            );
        }
        let fields = json!({"component": "four-laws", "result": "denied", "law_violated": law, "severity": severity, "user": user, "action": "erase_archive"});
        story(
            "WARNING",
            "app.ethics",
            format!("Refused: the {law} Law forbids it"),
            fields,
            Family::Ethics,
            false,
        )
    }

    fn login(&mut self) -> Story {
        let ((address, known), user) = (self.address(), self.user());
        let reason = *self.rng.pick(&[
            "invalid_password",
            "account_locked",
            "expired",
            "mfa_failed",
        ]);
        let fields = json!({"component": "authentication", "user": user, "reason": reason, "source_ip": address});
        story(
            "WARNING",
            "app.login",
            format!("Login of {user} failed: {reason}"),
            fields,
            Family::Security,
            known,
        )
    }

    fn blocked(&mut self) -> Story {
        let (address, known) = self.address();
        let (attack, gate) = (*self.rng.pick(&ATTACKS), *self.rng.pick(&GATES));
        let fields = json!({"component": "cerberus", "attack_type": attack, "gate": gate, "source_ip": address});
        story(
            "WARNING",
            "app.cerberus",
            format!("{gate} stopped an attempt at {attack}"),
            fields,
            Family::Security,
            known,
        )
    }

    fn incident(&mut self) -> Story {
        let (address, known) = self.address();
        let fields = json!({
            "component": "security", "severity": *self.rng.pick(&SEVERITIES), "event_type": *self.rng.pick(&["anomaly", "probe", "breach_attempt"]),
            "source": "edge", "source_ip": address,
        });
        story(
            "ERROR",
            "app.security",
            "Something unusual at the edge".to_owned(),
            fields,
            Family::Security,
            known,
        )
    }

    fn vault(&mut self) -> Story {
        let fields =
            json!({"component": "black-vault", "user": self.user(), "content_hash": self.hex(64)});
        story(
            "CRITICAL",
            "app.vault",
            "A sealed item was asked for".to_owned(),
            fields,
            Family::Security,
            false,
        )
    }

    fn emergency(&mut self) -> Story {
        let fields = json!({"component": "emergency", "protocol_type": *self.rng.pick(&["lockdown", "safe_mode"])});
        story(
            "CRITICAL",
            "app.security",
            "Emergency drill".to_owned(),
            fields,
            Family::Security,
            false,
        )
    }

    fn memory(&mut self) -> Story {
        let fields = json!({
            "component": "memory", "query_type": *self.rng.pick(&["search", "recall", "store"]), "status": "success",
            "duration_seconds": self.rng.thousandths(),
        });
        story(
            "DEBUG",
            "app.memory",
            "Memory asked".to_owned(),
            fields,
            Family::Logs,
            false,
        )
    }

    fn request(&mut self) -> Story {
        let (address, known) = self.address();
        let (path, status) = (*self.rng.pick(&PATHS), *self.rng.pick(&STATUSES));
        let fields = json!({
            "component": "api", "method": "GET", "endpoint": path, "status": status,
            "api": {"duration": self.rng.range(1, 2000)}, "source_ip": address,
        });
        let level = if status >= 500 { "ERROR" } else { "INFO" };
        story(
            level,
            "app.api",
            format!("GET {path} -> {status}"),
            fields,
            Family::Logs,
            known,
        )
    }
}

pub(crate) const PATHS: [&str; 5] = [
    "/v1/dialogue",
    "/v1/memory",
    "/v1/permits",
    "/healthz",
    "/v1/reports",
];
pub(crate) const STATUSES: [u16; 8] = [200, 200, 200, 200, 302, 403, 404, 500];

fn story(
    level: &'static str,
    logger: &'static str,
    message: String,
    fields: Value,
    family: Family,
    known_address: bool,
) -> Story {
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Story {
        level,
        logger,
        message,
        fields,
        family,
        known_address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_every_notation() {
        let moment = Moment {
            iso: "2026-04-20T15:30:45.007Z".to_owned(),
            millis: 1_776_699_045_007,
        };
        assert_eq!(moment.epoch().to_string(), "1776699045.007");
        assert_eq!(moment.comma(), "2026-04-20 15:30:45,007");
        assert_eq!(moment.seconds(), "2026-04-20 15:30:45");
        assert_eq!(moment.iso_seconds("+0000"), "2026-04-20T15:30:45+0000");
        assert_eq!(moment.iso_digits("456"), "2026-04-20T15:30:45.007456");
        assert_eq!(moment.common_log(':'), "20/Apr/2026:15:30:45");
        assert_eq!(moment.packed(), "20260420:153045.007");
    }

    #[test]
    fn stories_have_a_component_of_their_family() {
        let mut world = World::new(3);
        for _ in 0..500 {
            let story = world.story();
            let family = match story.fields["component"].as_str().unwrap() {
                "ai-persona" | "persona" => Family::Persona,
                "four-laws" => Family::Ethics,
                "memory" | "api" => Family::Logs,
                _ => Family::Security,
            };
            assert_eq!(family, story.family);
            assert!(!story.known_address || story.fields.contains_key("source_ip"));
        }
    }
}
