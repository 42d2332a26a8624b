//! Settings: one table for flags, `logstash.yml` and defaults.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

/// Whether a setting works here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Works {
    /// It does what it says.
    Yes,
    /// Known from the original; refused when it is set to something else than its default.
    NotYet,
    /// Accepted: it has no meaning here.
    NoEffect,
}

/// One setting.
pub struct SettingSpec {
    /// Name in `logstash.yml` and (with `--`) on the command line.
    pub name: &'static str,
    /// One-letter flag.
    pub short: Option<char>,
    /// Takes no value on the command line.
    pub switch: bool,
    /// Default.
    pub default: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Whether it works.
    pub works: Works,
}

const fn setting(
    name: &'static str,
    short: Option<char>,
    default: &'static str,
    help: &'static str,
) -> SettingSpec {
    SettingSpec {
        name,
        short,
        switch: false,
        default,
        help,
        works: Works::Yes,
    }
}

const fn switch(name: &'static str, short: Option<char>, help: &'static str) -> SettingSpec {
    SettingSpec {
        name,
        short,
        switch: true,
        default: "false",
        help,
        works: Works::Yes,
    }
}

const fn later(name: &'static str, default: &'static str) -> SettingSpec {
    SettingSpec {
        name,
        short: None,
        switch: false,
        default,
        help: "",
        works: Works::NotYet,
    }
}

const fn idle(name: &'static str, default: &'static str) -> SettingSpec {
    SettingSpec {
        name,
        short: None,
        switch: false,
        default,
        help: "",
        works: Works::NoEffect,
    }
}

/// All settings. Those without a help text are known from the original only.
pub const SETTINGS: &[SettingSpec] = &[
    setting(
        "path.config",
        Some('f'),
        "",
        "Config file, folder or glob; files are read in name order as one pipeline",
    ),
    setting(
        "config.string",
        Some('e'),
        "",
        "Config text; without input it reads stdin, without output it writes to stdout",
    ),
    switch(
        "config.test_and_exit",
        Some('t'),
        "Check the config, say \"Configuration OK\", and exit",
    ),
    setting(
        "pipeline.workers",
        Some('w'),
        "",
        "Worker threads (default: one per core)",
    ),
    setting(
        "pipeline.batch.size",
        Some('b'),
        "",
        "Most events in a batch (default: what fits a block of 1 MiB)",
    ),
    setting(
        "pipeline.batch.delay",
        Some('u'),
        "50",
        "Longest wait for a batch to fill, milliseconds",
    ),
    setting(
        "pipeline.ordered",
        None,
        "auto",
        "Keep the order of each stream: auto (when workers is 1), true, false",
    ),
    setting(
        "pipeline.ecs_compatibility",
        None,
        "v8",
        "Field names: disabled, v1 or v8",
    ),
    setting(
        "pipeline.id",
        None,
        "main",
        "Name of the pipeline, in metrics and logs",
    ),
    setting(
        "pipeline.block.bytes",
        None,
        "1048576",
        "Size of a block of input, bytes (our own setting)",
    ),
    setting(
        "pipeline.max_record_bytes",
        None,
        "16777216",
        "Longest record, bytes; longer ones are cut and flagged (our own setting)",
    ),
    setting(
        "path.data",
        None,
        "data",
        "Folder for checkpoints; locked while a process uses it",
    ),
    setting("path.settings", None, "", "Folder with logstash.yml"),
    setting(
        "log.level",
        None,
        "info",
        "fatal, error, warn, info, debug or trace",
    ),
    setting("log.format", None, "plain", "plain or json"),
    setting("api.enabled", None, "true", "Serve metrics over HTTP"),
    setting(
        "api.http.host",
        None,
        "127.0.0.1",
        "Address of the HTTP API",
    ),
    setting(
        "api.http.port",
        None,
        "9600-9700",
        "Port of the HTTP API; of a range the first free one",
    ),
    setting(
        "node.name",
        Some('n'),
        "",
        "Name of this process (default: the host's name)",
    ),
    setting(
        "config.support_escapes",
        None,
        "false",
        "Decode \\n, \\t … in quoted strings",
    ),
    setting(
        "config.field_reference.escape_style",
        None,
        "none",
        "none, percent or ampersand",
    ),
    switch("config.debug", None, "Print the plan at start"),
    setting(
        "allow_superuser",
        None,
        "true",
        "false: refuse to run as root",
    ),
    setting(
        "diagnostics.format",
        None,
        "text",
        "How errors of a config are printed: text or json (our own setting)",
    ),
    SettingSpec {
        short: Some('r'),
        switch: true,
        ..later("config.reload.automatic", "false")
    },
    idle("config.reload.interval", "3s"),
    later("queue.type", "memory"),
    later("dead_letter_queue.enable", "false"),
    later("api.auth.type", "none"),
    later("api.ssl.enabled", "false"),
    SettingSpec {
        switch: true,
        ..idle("pipeline.unsafe_shutdown", "false")
    },
    idle("pipeline.reloadable", "true"),
    idle("pipeline.recoverable", "false"),
    idle("pipeline.separate_logs", "false"),
    idle("pipeline.buffer.type", "heap"),
    idle(
        "pipeline.batch.output_chunking.growth_threshold_factor",
        "1000",
    ),
    idle("pipeline.batch.metrics.sampling_mode", "minimal"),
    SettingSpec {
        short: Some('l'),
        ..idle("path.logs", "")
    },
    SettingSpec {
        short: Some('p'),
        ..idle("path.plugins", "")
    },
    idle("path.queue", ""),
    idle("path.dead_letter_queue", ""),
    idle("api.environment", "production"),
    idle("log.format.json.fix_duplicate_message_fields", "true"),
    idle("metric.collect", "true"),
    idle("monitoring.cluster_uuid", ""),
    idle("slowlog.threshold.warn", "-1"),
    idle("slowlog.threshold.info", "-1"),
    idle("slowlog.threshold.debug", "-1"),
    idle("slowlog.threshold.trace", "-1"),
];

/// The values given: flags, then the settings file, then defaults.
#[derive(Clone, Debug, Default)]
pub struct Values {
    given: BTreeMap<String, String>,
}

impl Values {
    /// Gives a value; the first one given stays (flags are given before the file).
    ///
    /// # Errors
    /// A sentence, when the setting is unknown or not there yet.
    pub fn give(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(spec) = SETTINGS.iter().find(|spec| spec.name == name) else {
            let close = crate::language::did_you_mean(name, SETTINGS.iter().map(|spec| spec.name));
            let hint = close.map_or_else(String::new, |close| format!("; did you mean `{close}`?"));
            return Err(format!("unknown setting `{name}`{hint}"));
        };
        if spec.works == Works::NotYet && value != spec.default {
            return Err(format!(
                "the setting `{name}` is not there yet: leave it at `{}`",
                spec.default
            ));
        }
        self.given
            .entry(name.to_owned())
            .or_insert_with(|| value.to_owned());
        Ok(())
    }

    /// Reads `logstash.yml` (or `logmill.yml`) in a folder; keys may be nested or dotted.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read_folder(&mut self, folder: &Path) -> Result<(), String> {
        for name in ["logmill.yml", "logstash.yml"] {
            let path = folder.join(name);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
            };
            let yaml: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text)
                .map_err(|error| format!("{} is not YAML: {error}", path.display()))?;
            let mut flat = Vec::new();
            flatten("", &yaml, &mut flat);
            for (name, value) in flat {
                let value =
                    crate::language::substitute::replace(&value, &|name| std::env::var(name).ok())
                        .map_err(|error| format!("{}: {error}", path.display()))?
                        .unwrap_or(value);
                self.give(&name, &value)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// The text of a setting; its default when it is not given.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let default = || {
            SETTINGS
                .iter()
                .find(|spec| spec.name == name)
                .map_or("", |spec| spec.default)
        };
        self.given.get(name).map_or_else(default, String::as_str)
    }

    /// True when the setting was given.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// A setting as a number, a boolean …
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.get(name);
        text.parse()
            .map_err(|_| format!("`{name}` cannot be `{text}`"))
    }
}

fn flatten(prefix: &str, value: &serde_yaml_ng::Value, out: &mut Vec<(String, String)>) {
    use serde_yaml_ng::Value;
    match value {
        Value::Mapping(map) => {
            for (key, inner) in map {
                let key = key.as_str().unwrap_or_default();
                let name = if prefix.is_empty() {
                    key.to_owned()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&name, inner, out);
            }
        }
        Value::Null => {}
        Value::Bool(value) => out.push((prefix.to_owned(), value.to_string())),
        Value::Number(value) => out.push((prefix.to_owned(), value.to_string())),
        Value::String(value) => out.push((prefix.to_owned(), value.clone())),
        other => out.push((prefix.to_owned(), format!("{other:?}"))),
    }
}
