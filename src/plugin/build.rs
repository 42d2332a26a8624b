//! What a plugin is given while it is built from its config, and the catalogue's entry for it.

use std::path::PathBuf;
use std::sync::Arc;

use super::codec::Codec;
use super::filter::Filter;
use super::input::Input;
use super::options::OptionSpec;
use super::output::Output;
use crate::event::{Keys, Path};
use crate::language::ast::{Plugin, Span};
use crate::language::{Diagnostic, FieldPath};

/// ECS compatibility: which field names plugins use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ecs {
    /// The names from before ECS.
    Disabled,
    /// Elastic Common Schema 1.
    V1,
    /// Elastic Common Schema 8, the default; for nearly all plugins the same as 1.
    #[default]
    V8,
}

impl Ecs {
    /// True for v1 and v8.
    #[must_use]
    pub fn enabled(self) -> bool {
        self != Ecs::Disabled
    }

    /// Reads `disabled`, `v1` or `v8`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Ecs> {
        match text {
            "disabled" => Some(Ecs::Disabled),
            "v1" => Some(Ecs::V1),
            "v8" => Some(Ecs::V8),
            _ => None,
        }
    }
}

/// Settings of the pipeline that plugins may ask for.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Default ECS compatibility.
    pub ecs: Ecs,
    /// `path.data`; none while a config is only tested.
    pub data_dir: Option<PathBuf>,
    /// Folders against which a relative file name of an option is tried after the working directory:
    /// the config file's, and its parent.
    pub config_dirs: Vec<PathBuf>,
    /// Only checks: plugins open nothing.
    pub test_only: bool,
    /// Longest record in bytes; longer ones are cut and flagged.
    pub max_record_bytes: usize,
}

/// The kinds of plugins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// Reads events.
    Input,
    /// Turns bytes into events and back.
    Codec,
    /// Changes events.
    Filter,
    /// Writes events.
    Output,
}

impl PluginKind {
    /// `input`, `codec`, `filter` or `output`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Input => "input",
            PluginKind::Codec => "codec",
            PluginKind::Filter => "filter",
            PluginKind::Output => "output",
        }
    }
}

/// Builds a plugin from its options; `None` after it has reported its errors.
#[derive(Clone, Copy)]
pub enum Make {
    /// An input.
    Input(fn(&Plugin, &mut Build<'_>) -> Option<Box<dyn Input>>),
    /// A codec.
    Codec(fn(&Plugin, &mut Build<'_>) -> Option<Arc<dyn Codec>>),
    /// A filter.
    Filter(fn(&Plugin, &mut Build<'_>) -> Option<Box<dyn Filter>>),
    /// An output.
    Output(fn(&Plugin, &mut Build<'_>) -> Option<Arc<dyn Output>>),
}

/// One plugin of the catalogue.
#[derive(Clone, Copy)]
pub struct PluginSpec {
    /// Name in configs.
    pub name: &'static str,
    /// Reference text: what it does, in one paragraph or a few.
    pub about: &'static str,
    /// Its options.
    pub options: fn() -> &'static [OptionSpec],
    /// How to build it.
    pub make: Make,
}

impl PluginSpec {
    /// The kind of plugin.
    #[must_use]
    pub fn kind(&self) -> PluginKind {
        match self.make {
            Make::Input(_) => PluginKind::Input,
            Make::Codec(_) => PluginKind::Codec,
            Make::Filter(_) => PluginKind::Filter,
            Make::Output(_) => PluginKind::Output,
        }
    }
}

/// All plugins; handed to the planner, which knows none by name.
#[derive(Clone, Copy)]
pub struct Catalogue(pub &'static [PluginSpec]);

impl Catalogue {
    /// Finds a plugin.
    #[must_use]
    pub fn find(&self, kind: PluginKind, name: &str) -> Option<&'static PluginSpec> {
        self.0
            .iter()
            .find(|spec| spec.kind() == kind && spec.name == name)
    }

    /// Names of all plugins of a kind.
    pub fn names(&self, kind: PluginKind) -> impl Iterator<Item = &'static str> + use<> {
        let all = self.0;
        all.iter()
            .filter(move |spec| spec.kind() == kind)
            .map(|spec| spec.name)
    }
}

/// Plugins of the original that people use and that are not in the catalogue, so that a sentence can say so.
const NOT_YET: [&str; 68] = [
    "aggregate",
    "age",
    "avro",
    "azure_event_hubs",
    "beats",
    "bytes",
    "cef",
    "cidr",
    "clone",
    "cloudwatch",
    "csv",
    "de_dot",
    "dead_letter_queue",
    "dns",
    "dots",
    "edn",
    "elapsed",
    "elastic_agent",
    "email",
    "es_bulk",
    "exec",
    "fingerprint",
    "fluent",
    "gelf",
    "graphite",
    "heartbeat",
    "http",
    "http_poller",
    "imap",
    "influxdb",
    "java_uuid",
    "jdbc",
    "jdbc_static",
    "jdbc_streaming",
    "jms",
    "kafka",
    "lumberjack",
    "memcached",
    "metrics",
    "mongodb",
    "msgpack",
    "netflow",
    "opensearch",
    "pipe",
    "pipeline",
    "protobuf",
    "prune",
    "rabbitmq",
    "redis",
    "relp",
    "ruby",
    "s3",
    "sink",
    "sleep",
    "snmp",
    "sns",
    "sqs",
    "statsd",
    "syslog",
    "syslog_pri",
    "throttle",
    "tld",
    "translate",
    "truncate",
    "unix",
    "urldecode",
    "useragent",
    "xml",
];

/// What a plugin is given while it is built.
pub struct Build<'a> {
    /// Interner of the plan's field names.
    pub keys: &'a mut Keys,
    /// Where errors and warnings go.
    pub diagnostics: &'a mut Vec<Diagnostic>,
    /// Settings of the pipeline.
    pub settings: &'a Settings,
    /// All plugins, for codecs given as options.
    pub catalogue: Catalogue,
    /// ECS compatibility of the plugin that is being built.
    pub ecs: Ecs,
    /// Id of the plugin that is being built.
    pub id: String,
}

impl Build<'_> {
    /// Reports an error.
    pub fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span) {
        self.diagnostics
            .push(Diagnostic::error(code, message, span));
    }

    /// Reports an error with a hint.
    pub fn error_with_hint(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        hint: impl Into<String>,
    ) {
        self.diagnostics
            .push(Diagnostic::error(code, message, span).hint(hint));
    }

    /// Reports a warning.
    pub fn warn(&mut self, code: &'static str, message: impl Into<String>, span: Span) {
        self.diagnostics
            .push(Diagnostic::warning(code, message, span));
    }

    /// Compiles a field reference that the code itself names (`[log][file][path]`).
    #[must_use]
    pub fn path(&mut self, reference: &str) -> Path {
        match FieldPath::parse(reference, crate::language::EscapeStyle::None) {
            Ok(reference) => self.keys.path(&reference),
            Err(_) => self.keys.path(&FieldPath::top_level(reference)),
        }
    }

    /// Finds the file that a relative name means: in the working directory, beside the config, above it.
    #[must_use]
    pub fn find_file(&self, name: &str) -> PathBuf {
        let given = PathBuf::from(name);
        if given.is_absolute() || given.exists() {
            return given;
        }
        let beside = self
            .settings
            .config_dirs
            .iter()
            .map(|dir| dir.join(&given))
            .find(|path| path.exists());
        beside.unwrap_or(given)
    }

    /// Builds a codec from a plugin block, or by name with its defaults.
    #[must_use]
    pub fn codec(&mut self, plugin: &Plugin) -> Option<Arc<dyn Codec>> {
        let Some(spec) = self.catalogue.find(PluginKind::Codec, &plugin.name.text) else {
            self.unknown_plugin(PluginKind::Codec, plugin);
            return None;
        };
        let Make::Codec(make) = spec.make else {
            return None;
        };
        let outer = (self.ecs, self.id.clone());
        self.ecs = super::options::plugin_ecs(plugin, self);
        let codec = make(plugin, self);
        (self.ecs, self.id) = outer;
        codec
    }

    /// Reports a plugin that is not in the catalogue.
    pub fn unknown_plugin(&mut self, kind: PluginKind, plugin: &Plugin) {
        let name = &plugin.name.text;
        if NOT_YET.contains(&name.as_str()) {
            let message = format!("the {} plugin `{name}` is not there yet", kind.name());
            self.error_with_hint(
                "plugin-later",
                message,
                plugin.name.span,
                "`logmill plugin list` prints the plugins that there are",
            );
            return;
        }
        let mut diagnostic = Diagnostic::error(
            "unknown-plugin",
            format!("there is no {} plugin `{name}`", kind.name()),
            plugin.name.span,
        );
        if let Some(close) = crate::language::did_you_mean(name, self.catalogue.names(kind)) {
            diagnostic = diagnostic.hint(format!("did you mean `{close}`?"));
        } else {
            diagnostic = diagnostic.hint("`logmill plugin list` prints the plugins that there are");
        }
        self.diagnostics.push(diagnostic);
    }
}
